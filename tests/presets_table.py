"""Writes the table of providers in docs/presets.md from the presets.

    python -m tests.presets_table

What stands above `MARK` in the page is written by hand and stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import django
from django.utils import translation

from django_smtpauth.presets import PRESETS, Kind, Limits, Preset, UsernameForm
from django_smtpauth.smtp import Security

PAGE = Path(__file__).parent.parent / "docs/presets.md"
COMMAND = "python -m tests.presets_table"
MARK = f"<!-- The rows are made by `{COMMAND}` from django_smtpauth/presets/. -->\n"

_USERNAMES = {
    UsernameForm.ADDRESS: "the address",
    UsernameForm.LOCAL_PART: "before the @",
    UsernameForm.SHOWN: "as shown",
}


def page() -> str:
    """The whole of docs/presets.md, with today's rows."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    with translation.override("en"):
        return head + mark + "\n" + "\n".join(_tables())


def _tables() -> Iterator[str]:
    for kind in Kind:
        yield f"### {kind.label}\n"
        yield "| provider | slug | server | ports | user name | password | limits | source |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
        yield from (_row(preset) for preset in PRESETS.values() if preset.kind is kind)
        yield ""


def _row(preset: Preset) -> str:
    username = preset.username
    credential = preset.credential
    cells = (
        preset.name,
        f"`{preset.slug}`",
        f"`{preset.host}`",
        _ports(preset),
        _USERNAMES.get(username.form, f"`{username.word}`"),
        f"[{credential.title}]({credential.url})",
        _limits(preset.limits),
        f"[{preset.checked}]({preset.source})",
    )
    return f"| {' | '.join(cells)} |"


def _ports(preset: Preset) -> str:
    """Port and security of every way; other servers than the first with their names."""
    ways = []
    for server in (preset.server, *preset.alternatives):
        letter = "t" if server.security is Security.IMPLICIT_TLS else "s"
        name = "" if server.host == preset.host else f"`{server.host}` "
        ways.append(f"{name}{server.port} {letter}")
    return ", ".join(ways)


def _limits(limits: Limits) -> str:
    told = (
        (limits.recipients, "{:,} recipients"),
        (limits.messages_per_day, "{:,} a day"),
        (limits.connections, "{:,} connections"),
        (limits.octets and limits.octets // 1_000_000, "{:,} MB"),
    )
    return ", ".join(form.format(count) for count, form in told if count)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
