"""The list of the duties names every test of this package, and only tests that are there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests import security

DUTY = re.compile(
    r"""(?P<duty> \S .+ )\n
        [ ]{4} against: [ ] (?P<why> \S .+ )
        (?P<tests> (?: \n [ ]{4} test_\w+ )+ | \n [ ]{4} later: [ ] \S .{20,} )""",
    re.VERBOSE,
)


def duties() -> dict[str, list[str]]:
    """The tests of each duty; of one that comes later there are none."""
    _, _, *entries = str(security.__doc__).strip().split("\n\n")
    found = [DUTY.fullmatch(entry) for entry in entries]
    assert all(found), [entry for entry, match in zip(entries, found, strict=True) if not match]
    matches = [match for match in found if match is not None]
    return {match["duty"]: re.findall(r"\btest_\w+", match["tests"]) for match in matches}


def named() -> list[str]:
    return [name for tests in duties().values() for name in tests]


def existing() -> list[str]:
    """The tests of all files but this one."""
    paths = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    return [
        node.name
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_the_list_names_only_tests_that_exist() -> None:
    assert sorted(set(named()) - set(existing())) == []


def test_the_list_names_every_test() -> None:
    assert sorted(set(existing()) - set(named())) == []


def test_no_test_stands_twice() -> None:
    for names in (named(), existing()):
        assert [name for name, times in Counter(names).items() if times > 1] == []


def test_every_duty_has_a_test_or_a_reason() -> None:
    assert [duty for duty, tests in duties().items() if not tests] == []
    assert len(duties()) > 20
