"""The blocking driver: what a caller gets of a connection, and what it leaves behind."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from django_smtpauth.smtp import (
    ContentRefused,
    Credentials,
    DeliveryInDoubt,
    Disconnected,
    RecipientsRefused,
    SMTPError,
    Status,
    connect,
    connection,
)
from django_smtpauth.smtp.dialling import dial
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import CLOSE, Answer, Then
from tests.smtp.network import PASSWORD, USER, endpoint, statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")

TEXT = b"Subject: hello\r\n\r\nbody\r\n"


def test_one_message(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with connect(endpoint(server.port)) as open_connection:
        sent = open_connection.send("me@example.org", ["a@example.org", "b@example.org"], TEXT)
        assert open_connection.usable
    assert [outcome.status for outcome in sent.outcomes.values()] == [Status.ACCEPTED] * 2
    assert server.accepted[0].content == TEXT
    server.settle(1)
    assert server.connections[0].verbs[-1] == "QUIT"


def test_one_message_that_is_refused(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"RCPT": b"550 5.1.1 no\r\n"})
    with connect(endpoint(server.port)) as open_connection:
        with pytest.raises(RecipientsRefused) as caught:
            open_connection.send("me@example.org", ["a@example.org"], TEXT)
        assert open_connection.usable
    assert caught.value.peer == "the test server"
    assert "RCPT TO:<a@example.org>" in [event.text for event in caught.value.transcript]


def test_one_message_that_is_not_handed_over(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"MAIL": CLOSE})
    with connect(endpoint(server.port)) as open_connection:
        with pytest.raises(Disconnected):
            open_connection.send("me@example.org", ["a@example.org"], TEXT)
        assert not open_connection.usable


def test_one_message_in_doubt(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": CLOSE})
    with connect(endpoint(server.port)) as open_connection, pytest.raises(DeliveryInDoubt):
        open_connection.send("me@example.org", ["a@example.org"], TEXT)


def test_421_amid_the_content_is_no_verdict(scripted_server: ServerFactory) -> None:
    server = scripted_server(
        replies={"DATA": Answer(b"354 go\r\n421 4.3.2 bye\r\n", Then.CLOSE)},
    )
    message = transaction()
    with connect(endpoint(server.port)) as open_connection, pytest.raises(SMTPError):
        open_connection.deliver([message])
    assert statuses(message) == ["open"]


def test_facts_of_a_connection(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])
    credentials = Credentials(USER, lambda: PASSWORD)
    with connect(endpoint(server.port, credentials=credentials)) as open_connection:
        assert open_connection.tls is None
        assert open_connection.mechanism == "PLAIN"
        assert open_connection.peer == "127.0.0.1"
        assert open_connection.extensions.pipelining


def test_a_secret_that_can_not_be_had(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD})

    def vault() -> str:
        raise LookupError("the vault is closed")

    with pytest.raises(LookupError, match="the vault is closed"):
        connect(endpoint(server.port, credentials=Credentials(USER, vault)))
    server.settle(1)


def test_an_interrupt_ends_the_connection(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    open_connection = connect(endpoint(server.port))

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_connection.deliver([transaction()], interrupt)
    assert not open_connection.usable
    open_connection.close()


def test_a_refused_message_leaves_the_connection_open(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": [b"554 5.6.0 no\r\n"]})
    with connect(endpoint(server.port)) as open_connection:
        with pytest.raises(ContentRefused):
            open_connection.send("me@example.org", ["a@example.org"], TEXT)
        open_connection.send("me@example.org", ["a@example.org"], TEXT)
    assert len(server.accepted) == 1


def test_what_is_learnt_of_servers_is_bounded(
    scripted_server: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_traits", {})
    monkeypatch.setattr(connection, "_MAX_TRAITS", 2)
    for _ in range(3):
        with connect(endpoint(scripted_server().port)) as open_connection:
            open_connection.deliver([])
    assert len(connection._traits) == 2


@pytest.mark.parametrize(
    ("address", "name"),
    [("127.0.0.1", "[127.0.0.1]"), ("::1", "[IPv6:::1]"), ("", "localhost")],
)
def test_the_name_of_a_client_without_a_full_name(
    scripted_server: ServerFactory,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    name: str,
) -> None:
    monkeypatch.setattr(connection, "local_name", lambda: "")
    monkeypatch.setattr(connection.Channel, "local_address", address)
    server = scripted_server()
    connect(endpoint(server.port, ehlo_name="")).close()
    server.settle(1)
    assert server.connections[0].received.startswith(f"EHLO {name}\r\n".encode())


def test_an_own_way_to_dial(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    asked: list[tuple[str, int]] = []

    def through_a_tunnel(
        host: str, port: int, timeout: float, source_address: str | None
    ) -> socket.socket:
        asked.append((host, port))
        return dial("127.0.0.1", server.port, timeout, source_address)

    there = endpoint(25, host="mx.example.org")
    with connect(there, dial=through_a_tunnel) as open_connection:
        open_connection.send("me@example.org", ["a@example.org"], TEXT)
    assert asked == [("mx.example.org", 25)]
    assert len(server.accepted) == 1
