"""Writes docs/swaks.md: what swaks and smtptest tell of the same faults. Needs swaks.

    python -m tests.swaks_page

What stands above `MARK` in the page is written by hand and stays.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
from django.core.management import call_command

PAGE = Path(__file__).parent.parent / "docs/swaks.md"
COMMAND = "python -m tests.swaks_page"
MARK = f"<!-- What follows is made by `{COMMAND}`. -->\n"


def section(title: str, theirs: tuple[int, str] | None, ours: tuple[int, str]) -> Iterator[str]:
    """One fault: what swaks says, if it was asked, and what smtptest says."""
    yield f"## {title}"
    if theirs is not None:
        yield from _said("swaks", *theirs)
    yield from _said("smtptest", *ours)


def _said(name: str, code: int, text: str) -> Iterator[str]:
    yield f"{name}, exit code {code}:" if text else f"{name}, exit code {code}, and no error."
    if text:
        yield f"```\n{text}\n```"


def _page() -> str:
    # Its models are there after the setup only.
    from tests.servers.certificates import Certificates
    from tests.swaks_faults import FAULTS, swaks_told, told

    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    version = subprocess.run(["swaks", "--version"], capture_output=True, text=True, check=True)
    parts = [f"{version.stdout.splitlines()[0]}."]
    with tempfile.TemporaryDirectory() as directory:
        certificates = Certificates(Path(directory))
        for fault in FAULTS:
            both = swaks_told(fault, certificates), told(fault, certificates)
            parts += section(fault.title, *both)
    return head + mark + "\n" + "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    PAGE.write_text(_page(), encoding="utf-8")
