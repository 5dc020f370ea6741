"""Makes docs/protocol.md: what the engine speaks, and which real server proved it.

    python -m tests.protocol_table > docs/protocol.md

The rows are those of `django_smtpauth.smtp.spoken`. The proofs are the markers of the integration
tests, read from their syntax trees, so that no server and no package is needed:

    @pytest.mark.proves("SIZE", by="Postfix 3.7")
    @pytest.mark.proves(*MECHANISMS, by=POSTFIX)     names of literals in the same module

A proof is what the marked test shows with that server, and the test must fail without it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django_smtpauth.smtp.spoken import EXTENSIONS, MECHANISMS, SESSIONS, Spoken

INTEROP = Path(__file__).parent / "interop"
COMMAND = "python -m tests.protocol_table > docs/protocol.md"

HEAD = f"""\
<!-- Made by `{COMMAND}`. Don't edit it here: the rows stand in
django_smtpauth/smtp/spoken.py, the proofs are markers of the tests in tests/interop. -->
# What is spoken, and who proved it

"Proven with" names the servers of other people that the integration tests drive, and links to the
tests that would fail if it did not work. "Own tests only" means exactly that: the dialogue was
written from the document and tested against the document's examples and our own test server.
"""


class Proof(NamedTuple):
    """`name` was proven by a test in `path` with the server `by`."""

    name: str
    by: str
    path: Path


def proofs(folder: Path = INTEROP) -> list[Proof]:
    """Every proof that the tests in the folder claim."""
    return [proof for path in sorted(folder.glob("test_*.py")) for proof in _proofs_in(path)]


def _proofs_in(path: Path) -> Iterator[Proof]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    literals = dict(_literals(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.proves":
            names = _value(ast.List(node.args), literals)
            [by] = [_value(given.value, literals) for given in node.keywords if given.arg == "by"]
            yield from (Proof(name, by, path) for name in names)


def _literals(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """The module's names that are bound to literals."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                yield node.targets[0].id, ast.literal_eval(node.value)
            except ValueError:
                continue


def _value(node: ast.expr, literals: dict[str, Any]) -> Any:
    """What the expression stands for. Raises LookupError, with the place, if nobody can tell."""
    if isinstance(node, ast.List):
        return [value for element in node.elts for value in _elements(element, literals)]
    if isinstance(node, ast.Name) and node.id in literals:
        return literals[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    raise LookupError(f"line {node.lineno}: {ast.unparse(node)} is no literal of its module")


def _elements(node: ast.expr, literals: dict[str, Any]) -> list[Any]:
    if isinstance(node, ast.Starred):
        return list(_value(node.value, literals))
    return [_value(node, literals)]


def page() -> str:
    """The whole of docs/protocol.md."""
    proven = proofs()
    parts = [HEAD, *_table("Sessions", "session", SESSIONS, proven)]
    parts += _table("Extensions", "EHLO keyword", EXTENSIONS, proven)
    parts += _table("Mechanisms", "SASL mechanism", MECHANISMS, proven)
    return "\n".join(parts) + "\n"


def _table(
    heading: str, first: str, rows: tuple[Spoken, ...], proven: list[Proof]
) -> Iterator[str]:
    yield f"## {heading}\n"
    yield f"| {first} | | defined by | proven with |"
    yield "| --- | --- | --- | --- |"
    for row in rows:
        documents = ", ".join(_link(document) for document in row.documents)
        yield f"| {row.name} | {row.title} | {documents} | {_servers(row.name, proven)} |"
    yield ""


def _servers(name: str, proven: list[Proof]) -> str:
    found = dict.fromkeys((proof.by, proof.path) for proof in proven if proof.name == name)
    links = [f"[{by}](../tests/interop/{path.name})" for by, path in sorted(found)]
    return ", ".join(links) or "own tests only"


def _link(document: str) -> str:
    number = re.fullmatch(r"RFC (\d+)", document)
    if number is None and not document.startswith("draft-"):
        return document
    page = f"rfc{number[1]}" if number else document
    return f"[{document}](https://datatracker.ietf.org/doc/html/{page})"


if __name__ == "__main__":
    sys.stdout.write(page())
