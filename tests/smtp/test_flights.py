"""How many round trips a message takes: counted by a server that answers when the client waits."""

from __future__ import annotations

import pytest

from django_smtpauth.smtp import connect
from tests.servers.fixtures import ServerFactory
from tests.smtp.network import endpoint, statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")

# Where a flight may come in several writes, `quiet` is generous: a slow machine must not split it.
GENEROUS = 0.3


@pytest.mark.parametrize("recipients", [1, 100])
def test_a_message_on_a_warm_connection_takes_two(
    scripted_server: ServerFactory, recipients: int
) -> None:
    server = scripted_server(count_flights=True)
    with connect(endpoint(server.port)) as connection:
        connection.deliver([transaction("warm")])
        before = len(server.flights)
        message = transaction("a", recipients)
        connection.deliver([message])
        assert server.flights[before:] == [
            ("MAIL", *["RCPT"] * recipients, "DATA"),
            ("CONTENT",),
        ]
    assert statuses(message) == ["accepted"] * recipients
    assert server.violations == []


def test_a_hundred_messages_take_a_hundred_and_one(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=0.005)
    messages = [transaction(f"a{number}") for number in range(100)]
    with connect(endpoint(server.port)) as connection:
        before = len(server.flights)
        connection.deliver(messages)
        flights = server.flights[before:]
    assert len(flights) == 101
    assert flights[0] == ("MAIL", "RCPT", "DATA")
    assert flights[1:-1] == [("CONTENT", "RSET", "MAIL", "RCPT", "DATA")] * 99
    assert flights[-1] == ("CONTENT",)
    assert [message.sender for message in server.accepted] == [
        message.envelope.sender for message in messages
    ]
    assert server.violations == []


@pytest.mark.parametrize("recipients", [1, 7])
def test_without_pipelining_a_message_takes_three_and_one_for_each_recipient(
    scripted_server: ServerFactory, recipients: int
) -> None:
    server = scripted_server(count_flights=True, extensions=["8BITMIME"], quiet=0.005)
    with connect(endpoint(server.port)) as connection:
        before = len(server.flights)
        connection.deliver([transaction("a", recipients)])
        assert len(server.flights) - before == 3 + recipients
        connection.deliver([transaction("b", recipients)])
    assert len(server.accepted) == 2
    assert server.violations == []


def test_pipelining_can_be_declined(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=0.005)
    with connect(endpoint(server.port, pipelining=False)) as connection:
        before = len(server.flights)
        connection.deliver([transaction("a", 3), transaction("b")])
        flights = server.flights[before:]
    assert all(len(flight) == 1 for flight in flights)
    assert len(server.accepted) == 2


def test_a_large_group_is_cut_and_each_part_is_one_flight(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, quiet=GENEROUS)
    message = transaction("a", 600)
    with connect(endpoint(server.port)) as connection:
        before = len(server.flights)
        connection.deliver([message])
        flights = server.flights[before:]
    assert [len(flight) for flight in flights] == [256, 256, 90, 1]
    assert statuses(message) == ["accepted"] * 600
    assert server.violations == []


def test_a_server_that_refuses_streams_gets_one_flight_more_each(
    scripted_server: ServerFactory,
) -> None:
    server = scripted_server(count_flights=True, refuse_behind_dot=True, quiet=0.005)
    messages = [transaction(f"a{number}") for number in range(5)]
    with connect(endpoint(server.port)) as connection:
        before = len(server.flights)
        connection.deliver(messages)
        flights = server.flights[before:]
        connection.deliver([transaction("later"), transaction("latest")])
    assert [statuses(message) for message in messages] == [["accepted"]] * 5
    # Learnt once: only the second message was streamed, refused, and sent again.
    assert sum(flight[0] == "CONTENT" and len(flight) > 1 for flight in server.flights) == 1
    assert len(flights) == 2 * 5
    assert len(server.accepted) == 7
    assert server.violations == []


def test_what_was_learnt_holds_for_later_connections(scripted_server: ServerFactory) -> None:
    server = scripted_server(count_flights=True, refuse_behind_dot=True, quiet=0.005)
    for _ in range(2):
        with connect(endpoint(server.port)) as connection:
            connection.deliver([transaction("a"), transaction("b")])
    assert len(server.accepted) == 4
    assert sum(flight[0] == "CONTENT" and len(flight) > 1 for flight in server.flights) == 1
