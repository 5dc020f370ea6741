"""Print the n-th command of the README's section "Try it from a clone": README.md N.

A command is a fenced `sh` block; only the section's first two are promised to be complete.
"""

import re
import sys
from pathlib import Path

SECTION = re.compile(r"^#+ Try it from a clone\n(.*?)(?=^#+ |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(readme: str) -> list[str]:
    section = SECTION.search(readme)
    return [block.strip() for block in BLOCK.findall(section[1])] if section else []


if __name__ == "__main__":
    path, number = sys.argv[1], int(sys.argv[2])
    found = commands(Path(path).read_text(encoding="utf-8"))
    if len(found) < number:
        sys.exit(f'{path}: no sh block {number} under "Try it from a clone"')
    if "\n" in found[number - 1]:
        sys.exit(f"{path}: sh block {number} must be one line")
    print(found[number - 1])
