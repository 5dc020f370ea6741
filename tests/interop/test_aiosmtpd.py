"""aiosmtpd, a server by other people: LOGIN and PLAIN inside STARTTLS, through Django."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from django.core.mail import send_mail
from django.test import override_settings

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import AuthenticationRefused, NotSupported, RecipientsRefused, Status
from tests.interop.conftest import MessageFactory
from tests.interop.postfix import comparable, own_bytes
from tests.servers.certificates import Certificates

AIOSMTPD = "aiosmtpd 1.4"
MECHANISMS = ["LOGIN", "PLAIN"]
USER, PASSWORD = "jürgen@example.org", 'pä "ss" wörd'


class Mailbox:
    """The handler of a server: keeps what it is given, refuses `nobody@`."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.mechanisms: list[str] = []

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        if right:
            self.mechanisms.append(mechanism)
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 unknown"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Any, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 OK"


class Server:
    """An aiosmtpd server in a thread of its own, which demands STARTTLS and AUTH."""

    def __init__(self, certificates: Certificates) -> None:
        self.mailbox = Mailbox()
        self._context = certificates.server()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._sessions: list[SMTP] = []
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Server:
        self._server = self._loop.run_until_complete(
            self._loop.create_server(self._session, sock=self._socket)
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _session(self) -> SMTP:
        session = SMTP(
            self.mailbox,
            authenticator=self.mailbox.authenticate,
            auth_required=True,
            require_starttls=True,
            tls_context=self._context,
            enable_SMTPUTF8=True,
            loop=self._loop,
        )
        self._sessions.append(session)
        return session

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self._sessions:
            if session.transport is not None:
                session.transport.abort()
        await self._server.wait_closed()


@pytest.fixture
def server(certificates: Certificates) -> Iterator[Server]:
    with Server(certificates) as running:
        yield running


@pytest.fixture
def options(server: Server, certificates: Certificates) -> dict[str, Any]:
    return {
        "host": "localhost",
        "port": server.port,
        "username": USER,
        "password": PASSWORD,
        "security": "starttls",
        "ca_file": certificates.ca_file,
    }


@pytest.mark.proves("SMTP", "STARTTLS", "AUTH", "8BITMIME", *MECHANISMS, by=AIOSMTPD)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_what_arrives_is_what_django_renders(
    server: Server, options: dict[str, Any], new_message: MessageFactory, mechanism: str
) -> None:
    message = new_message(
        "you@example.org", "Grüße\n.\n..dots\n\nend", cc=["cc@example.org"], bcc=["b@example.org"]
    )
    message.attach_alternative("<p>Grüße</p>", "text/html")
    message.attach("octets.bin", bytes(range(256)) * 100, "application/octet-stream")

    assert EmailBackend(**options, auth_mechanisms=[mechanism]).send_messages([message]) == 1

    [envelope] = server.mailbox.envelopes
    assert server.mailbox.mechanisms == [mechanism]
    assert envelope.mail_from == "alice@example.test"
    assert "BODY=8BITMIME" in envelope.mail_options
    assert envelope.rcpt_tos == ["you@example.org", "cc@example.org", "b@example.org"]
    assert isinstance(envelope.content, bytes)
    assert comparable(envelope.content.replace(b"\r\n", b"\n")) == own_bytes(message)
    [attempt] = message.smtp_result.attempts
    assert attempt.mechanism == mechanism
    assert attempt.tls.version == "TLSv1.3"


def test_send_mail_with_nothing_but_settings(server: Server, options: dict[str, Any]) -> None:
    with override_settings(
        EMAIL_BACKEND="django_smtpauth.backends.EmailBackend",
        EMAIL_HOST="localhost",
        EMAIL_PORT=server.port,
        EMAIL_HOST_USER=USER,
        EMAIL_HOST_PASSWORD=PASSWORD,
        EMAIL_USE_TLS=True,
        SMTPAUTH={"DEFAULTS": {"ca_file": options["ca_file"]}},
    ):
        assert send_mail("Hello", ".\n", "me@example.org", ["you@example.org"]) == 1

    [envelope] = server.mailbox.envelopes
    assert isinstance(envelope.content, bytes)
    assert envelope.content.endswith(b"\r\n\r\n.\r\n")


def test_a_batch_with_refused_recipients(
    server: Server, options: dict[str, Any], new_message: MessageFactory
) -> None:
    good = [new_message(f"you{n}@example.org", f"Number {n}\n") for n in range(20)]
    partly = new_message(["nobody@example.org", "you@example.org"])
    refused = new_message("nobody@example.org")

    with pytest.raises(RecipientsRefused) as caught:
        EmailBackend(**options).send_messages([*good[:10], partly, refused, *good[10:]])

    assert caught.value.reply.status == "550 5.1.1"
    assert partly.smtp_result.recipients["nobody@example.org"].status is Status.REFUSED
    received = [address for e in server.mailbox.envelopes for address in e.rcpt_tos]
    assert received == [
        *(f"you{n}@example.org" for n in range(10)),
        "you@example.org",
        *(f"you{n}@example.org" for n in range(10, 20)),
    ]
    assert server.mailbox.mechanisms == ["PLAIN"]


def test_a_wrong_password(
    server: Server, options: dict[str, Any], new_message: MessageFactory
) -> None:
    with pytest.raises(AuthenticationRefused) as caught:
        EmailBackend(**{**options, "password": "wrong"}).send_messages([new_message("you@x.org")])

    assert (caught.value.stage, caught.value.smtp_code) == ("AUTH", 535)
    assert server.mailbox.envelopes == []


def test_a_log_in_outside_tls_is_not_offered(server: Server, options: dict[str, Any]) -> None:
    with pytest.raises(NotSupported) as caught:
        EmailBackend(**{**options, "security": "none"}).open()

    assert (caught.value.stage, caught.value.reason) == ("AUTH", "no-mechanism")
