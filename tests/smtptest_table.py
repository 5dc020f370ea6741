"""Writes the tables of options and exit codes in docs/smtptest.md from the code.

    python -m tests.smtptest_table

Each table stands between two comments; what is around them is written by hand and stays.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import django
from django.core.management import load_command_class

from django_smtpauth.management.smtptest import exits

PAGE = Path(__file__).parent.parent / "docs/smtptest.md"
COMMAND = "python -m tests.smtptest_table"

#: What a code stands for, in words.
_MEANINGS = {
    0: "all is well; with `--changes`: nothing failed newly",
    exits.USAGE: "there is no server to try, or the options do not go together",
    2: "the command line is wrong (Django's own code)",
    exits.LOST: "the connection was lost, and no refusal came before",
    exits.INTERRUPTED: "Ctrl-C",
}
_DJANGO_S = {"--version", "--settings", "--pythonpath", "--traceback", "--skip-checks"}


def page() -> str:
    """The whole of docs/smtptest.md, with today's tables."""
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in (("options", _options()), ("exit codes", _codes())):
        begin, end = f"<!-- {name}: made by `{COMMAND}` -->\n", f"\n<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        tail = rest.partition(end)[2]
        text = head + begin + "\n".join(rows) + end + tail
    return text


def _options() -> Iterator[str]:
    parser = load_command_class("django_smtpauth", "smtptest").create_parser("", "smtptest")
    yield "| Option | What it does |"
    yield "| --- | --- |"
    for group in parser._action_groups:
        actions = [one for one in group._group_actions if not _is_django_s(one)]
        if group.title not in ("positional arguments", "options") and actions:
            yield f"| **{group.title}** | |"
        for action in actions:
            yield f"| {_call(action)} | {_cell(action.help or '')} |"


def _is_django_s(action: argparse.Action) -> bool:
    names = set(action.option_strings)
    return bool(names & {*_DJANGO_S, "--force-color", "--no-color", "-h", "-v"})


def _call(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar}`…"
    value = f" {action.metavar or _cell('|'.join(action.choices or ()))}"
    if action.nargs == 0:
        value = ""
    elif action.nargs == "?":
        value = f" [{action.metavar}]"
    elif not action.metavar and not action.choices:
        value = f" {action.dest.upper()}"
    return ", ".join(f"`{name}{value}`" for name in action.option_strings)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _codes() -> Iterator[str]:
    stages: dict[int, list[str]] = {}
    for stage, code in exits.CODES.items():
        stages.setdefault(code, []).append(f"`{stage}`")
    yield "| Code | When |"
    yield "| --- | --- |"
    for code in sorted({*stages, *_MEANINGS}):
        yield f"| {code} | {_MEANINGS.get(code) or ', '.join(stages[code])} |"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
