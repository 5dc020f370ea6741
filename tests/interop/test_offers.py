"""The table in this package's docstring is what the running servers announce."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.interop
from tests.interop.dovecot import Dovecot
from tests.interop.exim import Exim
from tests.interop.nodemailer import Nodemailer
from tests.interop.postfix import Postfix
from tests.interop.server import RealServer

pytestmark = pytest.mark.interop


def written(column: int) -> set[str]:
    """The rows that say yes in this column."""
    assert tests.interop.__doc__ is not None
    rows = [line for line in tests.interop.__doc__.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert len(cells) > 20
    return {row[0] for row in cells if row[column] == "yes"}


def announced(
    server: RealServer, name: str, certificate: tuple[Path, Path] | None = None
) -> set[str]:
    """Keywords and mechanisms that have a row."""
    assert tests.interop.__doc__ is not None
    extensions = server.announced(name, certificate)
    found = {*extensions, *extensions.get("AUTH", "").split()}
    return {word for word in found if f"\n| {word} |" in tests.interop.__doc__}


def test_postfix(postfix: Postfix) -> None:
    assert announced(postfix, "submission") == written(1)


def test_exim(exim: Exim) -> None:
    assert announced(exim, "starttls", exim.certificate) == written(2)
    assert announced(exim, "implicit", exim.certificate) == written(2)
    assert announced(exim, "bare") == {"SIZE"}


def test_dovecot(dovecot: Dovecot) -> None:
    assert announced(dovecot, "submission") == written(3)
    assert announced(dovecot, "implicit") == written(3)
    assert announced(dovecot, "lmtp") == written(4)
    assert announced(dovecot, "lmtp_socket") == written(4)


def test_nodemailer(nodemailer: Nodemailer) -> None:
    assert announced(nodemailer, "starttls") == written(5)
    assert announced(nodemailer, "implicit") == written(5)
    assert announced(nodemailer, "lmtp") == written(5) - {
        *("REQUIRETLS", "CRAM-MD5", "LOGIN", "PLAIN", "XOAUTH2")
    }
