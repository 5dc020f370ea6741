"""The register of what is spoken says what the code does, no more and no less."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_smtpauth import smtp
from django_smtpauth.smtp.parameters import RecipientOptions, SenderOptions, announced_as
from django_smtpauth.smtp.sasl import DEFAULT_ORDER, MECHANISMS
from django_smtpauth.smtp.spoken import EXTENSIONS, SESSIONS
from django_smtpauth.smtp.spoken import MECHANISMS as REGISTERED

CURE = (
    "Mend the rows in django_smtpauth/smtp/spoken.py, then: "
    "python -m tests.protocol_table > docs/protocol.md"
)
ENGINE = Path(smtp.__file__).parent

#: Read in every reply, whether it is announced or not.
NEVER_LOOKED_AT = {"ENHANCEDSTATUSCODES"}


def keywords_in(source: str) -> Iterator[str]:
    """The EHLO keywords that the source looks at: `"X" in extensions` or `keywords`,
    `keywords["X"]`, `keywords.get("X")`."""
    for node in ast.walk(ast.parse(source)):
        where: ast.expr | None = None
        what: ast.expr | None = None
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            where, what = node.comparators[0], node.left
        elif isinstance(node, ast.Subscript):
            where, what = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            where, what = node.func.value, node.args[0]
        named = where is not None and ast.unparse(where).endswith(("keywords", "extensions"))
        if named and isinstance(what, ast.Constant) and isinstance(what.value, str):
            yield what.value


def demanded() -> set[str]:
    """The EHLO keywords that the fields of a message's parameters demand."""
    sender = SenderOptions(ret="FULL", envid="1", auth="<>", require_tls=True)
    recipient = RecipientOptions(notify=("NEVER",), orcpt="a@x")
    return {announced_as(word) for word in (*sender.words(), *recipient.words())}


def test_every_mechanism_is_registered() -> None:
    own = [name for name in MECHANISMS if not name.startswith("X-")]
    assert sorted(row.name for row in REGISTERED) == sorted(own), CURE


def test_the_mechanisms_stand_in_the_order_of_preference() -> None:
    names = [row.name for row in REGISTERED]
    assert [name for name in names if name in DEFAULT_ORDER] == list(DEFAULT_ORDER), CURE


def test_every_keyword_that_is_looked_at_is_registered() -> None:
    sources = [path.read_text() for path in ENGINE.rglob("*.py")]
    looked_at = {keyword for source in sources for keyword in keywords_in(source)}
    assert {row.name for row in EXTENSIONS} == looked_at | NEVER_LOOKED_AT | demanded(), CURE


@pytest.mark.parametrize(
    "source",
    [
        '"SIZE" in session.extensions',
        '"SIZE" not in extensions',
        '"SIZE" in self.keywords',
        'self.keywords["SIZE"]',
        'extensions.keywords.get("SIZE", "").split()',
    ],
)
def test_a_keyword_is_found_however_it_is_looked_at(source: str) -> None:
    assert list(keywords_in(source)) == ["SIZE"]


def test_every_row_is_named_once_and_says_where_it_is_defined() -> None:
    rows = [*SESSIONS, *EXTENSIONS, *REGISTERED]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.title and row.documents for row in rows)
