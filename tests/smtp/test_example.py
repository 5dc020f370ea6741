"""The loop over a blocking socket in docs/engine.md works, and is honest about what it lost."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from django_smtpauth.smtp import (
    AuthenticationRefused,
    Disconnected,
    Endpoint,
    Security,
    SMTPError,
    TLSOptions,
    Transaction,
)
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import CLOSE, EXTENSIONS, RESET, SILENCE
from tests.smtp.network import BRIEF, CREDENTIALS, PASSWORD, USER, endpoint, statuses, transaction

PAGE = Path(__file__).parent.parent.parent / "docs/engine.md"
HEADING = "\n## Without its sockets\n"

Send = Callable[[Endpoint, Transaction], None]


@pytest.fixture
def send(nothing_leaks: None) -> Send:
    """The function `send()` of the page, with the class that it uses."""
    section = PAGE.read_text(encoding="utf-8").split(HEADING)[1].split("\n## ")[0]
    names: dict[str, Send] = {}
    for snippet in re.findall(r"^```python\n(.*?)^```$", section, re.M | re.S):
        exec(textwrap.dedent(snippet), names)
    return names["send"]


def secure(port: int, certificates: Certificates) -> Endpoint:
    """STARTTLS and AUTH at localhost, with the tests' own authority."""
    return endpoint(
        port,
        host="localhost",
        security=Security.STARTTLS,
        tls=TLSOptions(ca_file=certificates.ca_file),
        credentials=CREDENTIALS,
    )


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_message_over_starttls_and_auth(
    send: Send, scripted_server: ServerFactory, certificates: Certificates, pipelining: bool
) -> None:
    known = [word for word in EXTENSIONS if pipelining or word != "PIPELINING"]
    server = scripted_server(
        users={USER: PASSWORD},
        ssl_context=certificates.server(),
        extensions=[*known, "STARTTLS"],
        extensions_after_tls=[*known, "AUTH PLAIN"],
    )
    message = transaction("a", 3, b"Subject: hello\r\n\r\n.dot\r\n")

    send(secure(server.port, certificates), message)

    assert statuses(message) == ["accepted"] * 3
    [received] = server.accepted
    assert received.content == b"Subject: hello\r\n\r\n.dot\r\n"
    assert received.recipients == [r.address for r in message.envelope.recipients]
    [connection] = server.connections
    assert connection.tls is not None
    assert [attempt.accepted for attempt in connection.auth] == [True]
    assert server.violations == []


def test_implicit_tls(
    send: Send, scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(ssl_context=certificates.server(), implicit_tls=True)
    message = transaction()
    options = TLSOptions(ca_file=certificates.ca_file)

    send(
        endpoint(server.port, host="localhost", security=Security.IMPLICIT_TLS, tls=options),
        message,
    )

    assert statuses(message) == ["accepted"]


def test_what_the_server_refuses(
    send: Send, scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(users={USER: "another"}, ssl_context=certificates.server())
    with pytest.raises(AuthenticationRefused):
        send(secure(server.port, certificates), transaction())


def test_a_certificate_that_does_not_verify(
    send: Send, scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(users={USER: PASSWORD}, ssl_context=certificates.expired())
    with pytest.raises(SMTPError, match="certificate has expired") as caught:
        send(secure(server.port, certificates), transaction())
    assert caught.value.stage == "TLS"


@pytest.mark.parametrize("answer", [CLOSE, RESET, SILENCE], ids=["close", "reset", "silence"])
def test_a_loss_after_the_final_dot_is_a_doubt(
    send: Send, scripted_server: ServerFactory, answer: object
) -> None:
    server = scripted_server(replies={"CONTENT": answer})
    message = transaction("a", 2)
    with pytest.raises(Disconnected):
        send(endpoint(server.port, timeouts=BRIEF), message)
    assert statuses(message) == ["in_doubt"] * 2


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
def test_a_loss_before_the_content_is_none(
    send: Send, scripted_server: ServerFactory, verb: str
) -> None:
    server = scripted_server(replies={verb: CLOSE})
    message = transaction("a", 2)
    with pytest.raises(Disconnected):
        send(endpoint(server.port), message)
    assert statuses(message) == ["open"] * 2
