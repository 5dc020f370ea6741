"""Fixtures: real servers, and messages to send them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

from tests.interop.dovecot import SERVICES, Dovecot
from tests.interop.exim import Exim
from tests.interop.messages import MessageFactory
from tests.interop.nodemailer import Nodemailer
from tests.interop.postfix import Postfix
from tests.interop.postgresql import PostgreSQL
from tests.requirements import require_server


@pytest.fixture
def postfix() -> Postfix:
    """The instance that SMTPAUTH_INTEROP_JSON describes."""
    path = os.environ.get("SMTPAUTH_INTEROP_JSON")
    if not path:
        require_server("SMTPAUTH_INTEROP_JSON names no description of a running Postfix")
    return Postfix.read(path)


@pytest.fixture(scope="session")
def exim() -> Iterator[Exim]:
    """An instance for the session, from the program that SMTPAUTH_INTEROP_EXIM names."""
    program = os.environ.get("SMTPAUTH_INTEROP_EXIM")
    if not program:
        require_server("SMTPAUTH_INTEROP_EXIM names no program")
    with Exim(Path(program)) as running:
        yield running


@pytest.fixture(scope="session")
def dovecot(exim: Exim) -> Iterator[Dovecot]:
    """An instance for the session; what is submitted to it goes on to Exim."""
    missing = [str(path) for path in SERVICES if not path.exists()]
    if missing:
        require_server(f"{' and '.join(missing)} are not installed")
    with Dovecot(exim.port("plain")) as running:
        yield running


@pytest.fixture(scope="session")
def nodemailer() -> Iterator[Nodemailer]:
    """An instance for the session, from the folder that SMTPAUTH_INTEROP_NODE names."""
    folder = os.environ.get("SMTPAUTH_INTEROP_NODE")
    if not folder:
        require_server("SMTPAUTH_INTEROP_NODE names no folder with smtp-server")
    with Nodemailer(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """An instance for the session, by the programs in SMTPAUTH_INTEROP_POSTGRESQL."""
    programs = os.environ.get("SMTPAUTH_INTEROP_POSTGRESQL")
    if not programs:
        require_server("SMTPAUTH_INTEROP_POSTGRESQL names no folder of programs")
    with PostgreSQL(Path(programs)) as running:
        yield running


@pytest.fixture
def new_message() -> MessageFactory:
    """A message whose rendering can be repeated: Message-ID and Date are fixed."""

    def make(
        to: str | list[str],
        body: str = "A short text.\n",
        from_email: str = "alice@example.test",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> EmailMultiAlternatives:
        fixed = {"Message-ID": make_msgid(domain="client.example"), "Date": formatdate()}
        return EmailMultiAlternatives(
            fields.pop("subject", "Interop"),
            body,
            from_email,
            [to] if isinstance(to, str) else to,
            headers={**fixed, **(headers or {})},
            **fields,
        )

    return make
