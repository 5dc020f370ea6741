"""The loop over a blocking socket in docs/engine.md works as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from django_smtpauth.smtp import AuthenticationRefused, Disconnected, Endpoint, Transaction
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import CLOSE, EXTENSIONS
from tests.smtp.network import CREDENTIALS, PASSWORD, USER, endpoint, statuses, transaction

PAGE = Path(__file__).parent.parent.parent / "docs/engine.md"
HEADING = "\n## Without its sockets\n"

Send = Callable[[Endpoint, Transaction], None]


@pytest.fixture
def send(nothing_leaks: None) -> Send:
    """The function `send()` of the page."""
    section = PAGE.read_text(encoding="utf-8").split(HEADING)[1].split("\n## ")[0]
    [snippet] = re.findall(r"^```python\n(.*?)^```$", section, re.M | re.S)
    names: dict[str, Send] = {}
    exec(snippet, names)
    return names["send"]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("bdat", ["never", "eager"])
def test_a_message_after_auth(
    send: Send, scripted_server: ServerFactory, pipelining: bool, bdat: str
) -> None:
    known = [word for word in EXTENSIONS if pipelining or word != "PIPELINING"]
    server = scripted_server(
        users={USER: PASSWORD}, extensions=[*known, "AUTH CRAM-MD5", "CHUNKING"]
    )
    message = transaction("a", 3, b"Subject: hello\r\n\r\n.dot\r\n")

    send(endpoint(server.port, credentials=CREDENTIALS, bdat=bdat), message)

    assert statuses(message) == ["accepted"] * 3
    [received] = server.accepted
    assert received.content == b"Subject: hello\r\n\r\n.dot\r\n"
    assert received.recipients == [r.address for r in message.envelope.recipients]
    server.settle(1)
    [connection] = server.connections
    assert [attempt.accepted for attempt in connection.auth] == [True]
    assert connection.verbs[-1] == "QUIT"
    assert server.violations == []


def test_what_the_server_refuses(send: Send, scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: "another"}, mechanisms=["CRAM-MD5"])
    with pytest.raises(AuthenticationRefused):
        send(endpoint(server.port, credentials=CREDENTIALS), transaction())


@pytest.mark.parametrize(("key", "fate"), [("CONTENT", "in_doubt"), ("DATA", "open")])
def test_a_connection_that_the_server_closes(
    send: Send, scripted_server: ServerFactory, key: str, fate: str
) -> None:
    server = scripted_server(replies={key: CLOSE})
    message = transaction("a", 2)
    with pytest.raises(Disconnected):
        send(endpoint(server.port), message)
    assert statuses(message) == [fate] * 2
