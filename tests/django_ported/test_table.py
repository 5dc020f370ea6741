"""The table in docs/django-behaviour.md names every test here, and only tests that are there."""

import inspect
import re
from pathlib import Path

import pytest

from tests.django_ported import test_messages, test_shared, test_smtp

TABLE = Path(__file__).parents[2] / "docs" / "django-behaviour.md"
ROW = re.compile(r"\| `(\w+\.test_\w+)` \| (5\.2|6\.1|5\.2, 6\.1) \| (.+) \|")
OURS = re.compile(r"`(test_\w+\.test_\w+)`")
MODULES = (test_messages, test_shared, test_smtp)


@pytest.fixture(scope="module")
def rows():
    """Django's test, the versions that have it, and what the table says of it."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    found = [ROW.fullmatch(line) for line in lines]
    assert found
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return [match.groups() for match in found]


def our_tests():
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in MODULES
        for name, _ in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_")
    }


def test_the_table_names_only_tests_that_exist(rows):
    named = {name for _, _, what in rows for name in OURS.findall(what)}
    assert named - our_tests() == set()


def test_the_table_names_every_ported_test(rows):
    named = {name for _, _, what in rows for name in OURS.findall(what)}
    assert our_tests() - named == set()


def test_every_row_has_a_test_or_a_reason(rows):
    reason = re.compile(r"not ported: \S.{10,}")
    without = [row for row in rows if not OURS.match(row[2]) and not reason.fullmatch(row[2])]
    assert without == []


def test_each_test_of_django_stands_once_for_each_version(rows):
    listed = [(name, version) for name, versions, _ in rows for version in versions.split(", ")]
    assert len(listed) == len(set(listed))
