"""Fixtures for pytest: `pytest_plugins = ["django_smtpauth.testing.pytest_plugin"]`.

smtp_outbox    every mailer uses the `RecordingBackend`; the list of accepted messages
smtp_server    every mailer sends to a real SMTP server of this process, a `MailServer`
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core import mail
from django.core.mail import EmailMessage

from .overriding import mail_through, recording_mail

if TYPE_CHECKING:
    from .server import MailServer


@pytest.fixture
def smtp_outbox() -> Iterator[list[EmailMessage]]:
    """The messages that the `RecordingBackend` took during this test."""
    with recording_mail():
        mail.outbox = []
        yield mail.outbox


@pytest.fixture
def smtp_server(tmp_path: Path) -> Iterator[MailServer]:
    """A server with STARTTLS and log-in; `.messages` is what it got. Needs aiosmtpd."""
    try:
        from .server import MailServer
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)
    ca_file = tmp_path / "smtp-server-ca.pem"
    with MailServer() as server:
        ca_file.write_text(server.ca_text)
        with mail_through(
            host=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            ca_file=str(ca_file),
        ):
            yield server
