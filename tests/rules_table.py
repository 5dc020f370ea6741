"""Writes the table of rules in docs/diagnosis.md from the rules.

    python -m tests.rules_table

What stands above `MARK` in the page is written by hand and stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import django
from django.utils import translation

from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.rules import RULES, Rule, Source

PAGE = Path(__file__).parent.parent / "docs/diagnosis.md"
COMMAND = "python -m tests.rules_table"
MARK = f"<!-- The rows are made by `{COMMAND}` from django_smtpauth/diagnosis/rules/. -->\n"

#: Characters of a wording that are shown.
_WIDTH = 90


def page() -> str:
    """The whole of docs/diagnosis.md, with today's rows."""
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    with translation.override("en"):
        return head + mark + "\n" + "\n".join(_table())


def _table() -> Iterator[str]:
    yield "| rule | title | stage | field | seen as | where |"
    yield "| --- | --- | --- | --- | --- | --- |"
    yield from map(_row, RULES)
    yield ""


def _row(rule: Rule) -> str:
    source = rule.sources[0]
    finding = explain(source.failure())
    cells = (
        f"`{rule.id}`",
        str(finding.title),
        ", ".join(rule.stages) or "any",
        f"`{rule.field}`" if rule.field else "",
        _wording(source),
        _origin(source),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _wording(source: Source) -> str:
    words = " ".join(source.wording.split()).replace("`", "'")
    return f"`{words if len(words) <= _WIDTH else words[:_WIDTH] + '…'}`"


def _origin(source: Source) -> str:
    if source.origin.startswith("http"):
        return f"[{source.checked}]({source.origin.partition('#')[0]})"
    return f"{source.origin}, {source.checked}"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
