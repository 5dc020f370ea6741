"""docs/protocol.md is what the code and the integration tests say today."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_smtpauth.smtp.spoken import EXTENSIONS, MECHANISMS, SESSIONS
from tests.protocol_table import COMMAND, Proof, page, proofs

PAGE = Path(__file__).parent.parent / "docs/protocol.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"Run: {COMMAND}"


def test_only_what_is_registered_can_be_proven() -> None:
    registered = {row.name for row in (*SESSIONS, *EXTENSIONS, *MECHANISMS)}
    assert [proof for proof in proofs() if proof.name not in registered] == []


def test_markers_are_read_with_the_literals_of_their_module(tmp_path: Path) -> None:
    path = tmp_path / "test_some.py"
    path.write_text(
        "import pytest\n"
        'NAMES = ["A", "B"]\n'
        'SERVER = "Exim 4"\n'
        '@pytest.mark.proves("C", *NAMES, by=SERVER)\n'
        '@pytest.mark.proves("D", by="Postfix 3")\n'
        "def test_it(): ...\n"
    )
    assert set(proofs(tmp_path)) == {
        Proof("A", "Exim 4", path),
        Proof("B", "Exim 4", path),
        Proof("C", "Exim 4", path),
        Proof("D", "Postfix 3", path),
    }


@pytest.mark.parametrize("marker", ["NAME, by='x'", "'A', by=NAME", "*names(), by='x'"])
def test_a_marker_that_nobody_can_read_is_an_error(tmp_path: Path, marker: str) -> None:
    (tmp_path / "test_some.py").write_text(f"@pytest.mark.proves({marker})\ndef test_it(): ...\n")
    with pytest.raises(LookupError, match="is no literal of its module"):
        proofs(tmp_path)
