"""docs/diagnosis.md has the rules that the code knows today."""

from __future__ import annotations

from django_smtpauth.diagnosis.rules import RULES
from tests.rules_table import COMMAND, MARK, PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"Run: {COMMAND}"


def test_every_rule_has_its_row() -> None:
    head, mark, table = page().partition(MARK)
    assert mark
    assert "## The rules" in head
    rows = [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]
    assert rows == [rule.id for rule in RULES]


def test_a_row_tells_title_field_wording_and_source() -> None:
    (row,) = [line for line in page().splitlines() if line.startswith("| `mail.not-owned`")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "The log-in may not send as this From"
    assert cells[3] == "`from_email`"
    assert cells[4].startswith("`553 5.7.1 <bob@example.test>: Sender address rejected")
    assert cells[5] == "Postfix 3.7.11 with Dovecot 2.3.19, 2026-11-25"
