"""docs/presets.md has the providers that the code knows today."""

from __future__ import annotations

from django_smtpauth.presets import PRESETS
from tests.presets_table import COMMAND, MARK, PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"Run: {COMMAND}"


def test_every_preset_has_its_row() -> None:
    head, mark, table = page().partition(MARK)
    assert mark
    assert "## The table" in head
    assert [row.split("`")[1] for row in table.splitlines() if "| `" in row] == list(PRESETS)


def test_a_row_tells_ways_user_name_and_limits() -> None:
    (row,) = [line for line in page().splitlines() if "| `sendgrid` |" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "SendGrid"
    assert cells[2:5] == ["`smtp.sendgrid.net`", "587 s, 465 t, 2525 s", "`apikey`"]
    assert cells[6] == "1,000 recipients, 10,000 connections, 30 MB"
