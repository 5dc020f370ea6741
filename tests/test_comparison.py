"""The comparison is complete: every row has a word about every library, every footnote a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs/comparison.md").read_text(encoding="utf-8")
LIBRARIES = ["ours", "nodemailer", "MailKit", "go-mail", "smtplib", "aiosmtplib", "swaks"]
TABLES = ["Log-in", "Extensions", "Reach", "TLS", "Behaviour"]


def rows(section: str) -> list[list[str]]:
    """The cells of the section's table, head first, without the line under the head."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def test_these_are_the_tables() -> None:
    sections = re.findall(r"^## (.+)$", PAGE, re.M)
    assert sections == [*TABLES, "Where it was looked up"]


def test_every_library_has_a_version_and_a_source() -> None:
    versions = re.findall(r"^\| (\w\S*) \| \S", PAGE.split("\n## ")[0], re.M)
    assert versions == LIBRARIES
    sources = PAGE.split("\n## Where it was looked up\n")[1]
    assert re.findall(r"^- \*\*\[?([\w-]+)", sources, re.M) == LIBRARIES


@pytest.mark.parametrize("section", TABLES)
def test_every_row_has_a_cell_for_every_library(section: str) -> None:
    head, *body = rows(section)
    assert head == ["", *LIBRARIES]
    for row in body:
        assert len(row) == len(head), row
        assert all(row), row


@pytest.mark.parametrize("section", TABLES)
def test_no_feature_stands_there_twice(section: str) -> None:
    features = [row[0] for row in rows(section)]
    assert len(set(features)) == len(features)


def test_footnotes_are_used_and_written() -> None:
    written = re.findall(r"^\[\^([\w-]+)\]: \S", PAGE, re.M)
    used = re.findall(r"\[\^([\w-]+)\](?!:)", PAGE)
    assert sorted(set(used)) == sorted(written)


def test_the_date_is_told() -> None:
    assert re.search(r"^Looked up in (\w+) 20\d\d ", PAGE, re.M)
