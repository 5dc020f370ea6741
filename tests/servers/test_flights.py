"""The flight counter counts what it says: one per round trip, whatever the client's style.

Where a flight comes in several writes, `quiet` is generous: a slow machine must not split it.
"""

from __future__ import annotations

import pytest

from tests.servers.client import RawClient
from tests.servers.fixtures import ServerFactory
from tests.servers.test_scripted import CONTENT, MAIL, RCPT, deliver, opened


@pytest.mark.parametrize("recipients", [1, 5])
def test_without_pipelining_a_message_takes_3_plus_n(
    scripted_server: ServerFactory, recipients: int
) -> None:
    server = scripted_server(count_flights=True, extensions=["SIZE"], quiet=0.005)
    with opened(server) as client:
        assert server.flights == [("EHLO",)]
        deliver(client, recipients)
        assert len(server.flights) == 1 + 3 + recipients
        deliver(client, recipients)
    assert len(server.flights) == 1 + 2 * (3 + recipients)
    assert server.flights[-1] == ("CONTENT",)
    assert server.violations == []


@pytest.mark.parametrize("recipients", [1, 100])
def test_a_pipelined_envelope_takes_two(scripted_server: ServerFactory, recipients: int) -> None:
    server = scripted_server(count_flights=True)
    with opened(server) as client:
        client.ask(MAIL, *[RCPT] * recipients, b"DATA")
        client.send(CONTENT + b".\r\n")
        client.reply()
    assert server.flights[1:] == [("MAIL", *["RCPT"] * recipients, "DATA"), ("CONTENT",)]
    assert server.violations == []


def test_streamed_messages_take_one_each_and_one(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=0.005)
    group = [b"RSET", MAIL, RCPT, b"DATA"]
    with opened(server) as client:
        client.ask(*group)
        for _ in range(9):
            client.send(CONTENT + b".\r\n" + b"\r\n".join(group) + b"\r\n")
            client.replies(5)
        client.send(CONTENT + b".\r\n")
        client.reply()
    assert len(server.accepted) == 10
    assert len(server.flights) == 1 + 11
    assert server.flights[2] == ("CONTENT", "RSET", "MAIL", "RCPT", "DATA")
    assert server.violations == []


def test_one_flight_may_come_in_many_writes(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=0.3)
    with opened(server) as client:
        for octet in MAIL + b"\r\n" + RCPT + b"\r\nDATA\r\n":
            client.send(bytes([octet]))
        client.replies(3)
    assert server.flights == [("EHLO",), ("MAIL", "RCPT", "DATA")]


def test_the_replies_of_a_flight_leave_together(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=0.3)
    with opened(server) as client:
        client.send(MAIL + b"\r\n")
        client.send(RCPT + b"\r\n")
        assert client.receive() == b"250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n"


def test_an_unfinished_command_is_waited_for(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=0.001)
    with opened(server) as client:
        client.send(MAIL + b"\r\nRCPT TO:")
        client.limit_wait(0.05)
        with pytest.raises(TimeoutError):
            client.receive()
        client.limit_wait(5)
        client.send(b"<b@example.org>\r\n")
        client.replies(2)
    assert server.flights[1:] == [("MAIL", "RCPT")]


def test_auth_and_quit_are_flights(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, users={"a": "b"})
    with opened(server) as client:
        client.ask(b"AUTH LOGIN")
        client.ask(b"YQ==")
        client.ask(b"Yg==")
        client.ask(b"QUIT")
    expected = [("AUTH",), ("AUTH-RESPONSE",), ("AUTH-RESPONSE",), ("QUIT",)]
    assert server.flights[1:] == expected


def test_pipelining_unasked_is_a_violation(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, extensions=[])
    with opened(server) as client:
        client.ask(MAIL, RCPT)
    assert server.violations == ["RCPT behind MAIL without PIPELINING"]


@pytest.mark.parametrize("last", ["EHLO client.test", "DATA", "NOOP", "VRFY a", "AUTH LOGIN"])
def test_some_commands_must_end_their_group(scripted_server: ServerFactory, last: str) -> None:
    server = scripted_server(count_flights=True, users={"a": "b"})
    verb = last.split()[0]
    with opened(server) as client:
        client.ask(last.encode(), b"RSET")
        client.send(b".\r\n")
    (violation,) = server.violations[:1]
    assert f"behind {verb}, which must end its group" in violation


def test_content_sent_without_awaiting_354_is_a_violation(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True)
    with opened(server) as client:
        client.send(MAIL + b"\r\n" + RCPT + b"\r\nDATA\r\n" + CONTENT + b".\r\n")
        client.replies(4)
    assert server.violations == ["CONTENT behind DATA, which must end its group"]


def test_without_counting_nothing_is_held(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with RawClient(server.port) as client:
        client.reply()
        client.send(b"NOOP\r\nNOO")
        assert client.reply() == b"250 2.0.0 Ok\r\n"
    assert server.flights == []
