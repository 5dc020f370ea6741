"""A batch over several servers, without a backend around it."""

from dataclasses import replace
from uuid import uuid4

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.sending import delivery
from django_smtpauth.sending.accounts import Account
from django_smtpauth.sending.delivery import MOST_LOSSES, Batch, Lines
from django_smtpauth.sending.mailer import MailerOptions, build_endpoint
from django_smtpauth.sending.routing import Route, Rule
from django_smtpauth.smtp import (
    AuthenticationRefused,
    ConnectError,
    Credentials,
    DeliveryInDoubt,
    Disconnected,
    NotSupported,
)
from django_smtpauth.smtp.channel import Channel
from tests.backend_fixtures import _fresh_process, message, parsed, senders  # noqa: F401
from tests.servers.scripted import CLOSE, ORDINARY, Answer, Then


def route_to(server, name="", credentials=None, **options):
    found = MailerOptions(host=server.host, port=server.port, ehlo_name="client.test", **options)
    return Route(None, found, Rule.EXPLICIT_HOST, build_endpoint(found, name, credentials))


@pytest.fixture
def lines():
    kept = Lines()
    yield kept
    kept.close()


def delivered(lines, route, messages):
    """A batch after all of it was tried; `route` is one route, or finds one for a message."""
    find = route if callable(route) else lambda _: route
    batch = Batch(lines, find)
    batch.send(messages)
    return batch


def by_sender(**routes):
    return lambda one: routes[one.from_email.partition("@")[0]]


# Connections


def test_a_line_is_opened_once(scripted_server, lines):
    server = scripted_server()
    route = route_to(server)
    assert lines.find(route) is None
    connection = lines.get(route)
    assert lines.get(route) is connection
    assert lines.find(route) is connection
    assert list(lines) == [connection]
    assert len(server.connections) == 1


def test_equal_routes_share_a_line(scripted_server, lines):
    server = scripted_server()
    assert lines.get(route_to(server)) is lines.get(route_to(server, "by another name"))
    assert lines.get(route_to(server)) is not lines.get(route_to(server, timeout=9.0))
    assert len(server.connections) == 2


def test_a_line_that_is_spent_is_replaced(scripted_server, lines):
    route = route_to(scripted_server())
    spent = lines.get(route)
    spent.close()
    assert lines.find(route) is None
    assert lines.get(route) is not spent


def test_a_line_in_use_is_nobody_else_s(scripted_server, lines):
    route = route_to(scripted_server())
    mine, other = lines.take(route), lines.take(route)
    assert mine is not other
    assert lines.find(route) is None
    lines.put(route, mine)
    lines.put(route, other)
    assert lines.find(route) is mine
    assert not other.usable


def test_a_spent_line_is_not_kept(scripted_server, lines):
    route = route_to(scripted_server())
    connection = lines.take(route)
    connection.close()
    lines.put(route, connection)
    assert list(lines) == []


def test_closing_says_quit_everywhere(scripted_server, lines):
    servers = [scripted_server(), scripted_server()]
    for server in servers:
        lines.get(route_to(server))
    lines.close()
    for server in servers:
        server.settle(1)
        assert server.connections[0].verbs[-1] == "QUIT"
    assert list(lines) == []


# Runs


def test_neighbours_share_a_stream(scripted_server, lines):
    server = scripted_server(count_flights=True, quiet=0.1)
    route = route_to(server)
    lines.get(route)
    before = len(server.flights)
    batch = delivered(lines, route, [message(name) for name in "abcd"])
    assert batch.sent == 4
    assert len(server.flights) - before == 5


def test_interleaved_routes_use_two_connections(scripted_server, lines):
    first, second = scripted_server(), scripted_server()
    routes = by_sender(a=route_to(first), b=route_to(second), c=route_to(first), d=route_to(first))
    batch = delivered(lines, routes, [message(name) for name in "abcd"])
    assert batch.sent == 4
    assert (senders(first), senders(second)) == (["a", "c", "d"], ["b"])
    assert [len(server.connections) for server in (first, second)] == [1, 1]


def test_a_route_that_is_down_stays_down_for_the_batch(scripted_server, lines, monkeypatch):
    up, down = scripted_server(), scripted_server()
    down.close()
    dials, connect = [], delivery.connect

    def counted(endpoint, **details):
        dials.append(endpoint.port)
        return connect(endpoint, **details)

    monkeypatch.setattr(delivery, "connect", counted)
    routes = by_sender(
        **dict.fromkeys("ace", route_to(down)), **dict.fromkeys("bdf", route_to(up))
    )
    messages = [message(name) for name in "abcdef"]
    batch = delivered(lines, routes, messages)
    assert (batch.sent, len(batch.failed)) == (3, 3)
    assert dials.count(down.port) == 1
    assert isinstance(batch.first_error, ConnectError)
    (attempt,) = messages[4].smtp_result.attempts
    assert (attempt.server, attempt.peer) == (f"127.0.0.1:{down.port}", "")
    assert "CONNECT" in attempt.error
    # The next batch tries again.
    assert isinstance(delivered(lines, route_to(down), [message()]).first_error, ConnectError)
    assert dials.count(down.port) == 2


def test_a_route_that_can_t_be_found_fails_its_message_only(scripted_server, lines):
    server = scripted_server()
    route = route_to(server)

    def find(one):
        if one.from_email.startswith("b@"):
            raise LookupError("no such account")
        return route

    messages = [message(name) for name in "abc"]
    batch = delivered(lines, find, messages)
    assert senders(server) == ["a", "c"]
    assert isinstance(batch.first_error, LookupError)
    assert batch.first_mistake is batch.first_error


def test_losses_in_a_row_are_bounded(scripted_server, lines):
    server = scripted_server(replies={"CONTENT": CLOSE})
    messages = [message(name) for name in "abcdefgh"]
    batch = delivered(lines, route_to(server), messages)
    assert len(server.connections) == MOST_LOSSES
    doubtful = [one for one in messages if one.smtp_result.in_doubt]
    assert doubtful == messages[:MOST_LOSSES]
    assert isinstance(batch.first_error, DeliveryInDoubt)
    assert isinstance(messages[-1].smtp_result.error, Disconnected)
    assert [m.sender for m in server.messages] == [f"{name}@example.com" for name in "abc"]


def test_losses_with_verdicts_between_them_go_on(scripted_server, lines):
    # Every second message is accepted, and then the server leaves.
    leaving = Answer(then=Then.CLOSE)
    server = scripted_server(replies={"CONTENT": [ORDINARY, leaving] * 5})
    batch = delivered(lines, route_to(server), [message(f"m{n}") for n in range(10)])
    assert batch.sent == 10
    assert len(server.connections) == 5


def test_a_hundred_refusals_at_a_server_that_takes_twenty(scripted_server, lines):
    unknown = [f"no{number}@b.example" for number in range(100)]
    refusals = {f"RCPT:{address}": b"550 5.1.1 Unknown\r\n" for address in unknown}
    server = scripted_server(replies=refusals, refusals_before_421=20)
    one = message(to=[*unknown, "yes@b.example"])
    batch = delivered(lines, route_to(server), [one, message("b")])
    assert batch.sent == 2
    assert one.smtp_result.accepted == ["yes@b.example"]
    assert one.smtp_result.refused == unknown
    assert list(one.smtp_result.recipients) == one.to
    assert senders(server) == ["a", "b"]


def test_a_server_that_ends_the_session_at_every_recipient_is_left(scripted_server, lines):
    goodbye = Answer(b"421 4.7.0 Bye\r\n", Then.CLOSE)
    server = scripted_server(replies={"RCPT": goodbye})
    one = message(to=[f"to{number}@b.example" for number in range(10)])
    batch = delivered(lines, route_to(server), [one, message("b")])
    assert batch.sent == 0
    assert len(server.connections) <= MOST_LOSSES
    assert batch.first_error.transient
    assert not one.smtp_result.in_doubt


# Forms of a message


def test_the_form_fits_the_server(scripted_server, lines):
    able, plain = scripted_server(), scripted_server(extensions=["PIPELINING"])
    for server in (able, plain):
        assert delivered(lines, route_to(server), [message(body="Größe\n")]).sent == 1
        assert parsed(server.accepted[0]).get_content().splitlines() == ["Größe"]
    assert not able.accepted[0].content.isascii()
    assert b"BODY=8BITMIME" in able.accepted[0].sender_line
    assert plain.accepted[0].content.isascii()
    assert b"BODY" not in plain.accepted[0].sender_line


class Signed(EmailMessage):
    """A signed message with 8-bit text: changing its form would break the signature."""

    def message(self, **keywords):
        rendered = super().message(**keywords)
        rendered["DKIM-Signature"] = "v=1; d=example.com"
        return rendered


def test_a_signed_message_is_not_changed(scripted_server, lines):
    server = scripted_server(extensions=["PIPELINING"])
    signed = Signed("S", "Größe\n", "b@example.com", ["to@example.org"])
    messages = [message("a"), signed, message("c")]
    batch = delivered(lines, route_to(server), messages)
    assert senders(server) == ["a", "c"]
    assert isinstance(batch.first_error, NotSupported)
    assert batch.first_error.reason == "sealed"
    assert batch.first_mistake is None
    assert signed.smtp_result.recipients["to@example.org"].status == "refused"
    assert "EHLO" in signed.smtp_result.dialogue()


def test_a_message_that_is_too_large_is_not_begun(scripted_server, lines):
    server = scripted_server(extensions=["PIPELINING", "SIZE 2000"])
    messages = [message("a"), message("b", body="x\n" * 2000), message("c")]
    batch = delivered(lines, route_to(server), messages)
    assert senders(server) == ["a", "c"]
    assert batch.first_error.reason == "size"
    assert b"MAIL FROM:<b@" not in server.connections[0].received


# What errors and results tell


def test_a_repeated_recipient_counts_once(scripted_server, lines):
    server = scripted_server()
    one = message(to=["a@b.example", "A <a@b.example>"], cc=["a@b.example", "c@b.example"])
    assert delivered(lines, route_to(server), [one]).sent == 1
    assert list(one.smtp_result.recipients) == ["a@b.example", "c@b.example"]
    assert server.accepted[0].recipients == ["a@b.example", "c@b.example"]


def test_seconds_are_measured_from_the_first_step(scripted_server, lines):
    server = scripted_server()
    messages = [message("a"), message("b")]
    delivered(lines, route_to(server), messages)
    for one in messages:
        assert 0 < one.smtp_result.attempts[0].seconds < 10


@pytest.fixture
def far_away(monkeypatch):
    """Loopback looks like another machine, where a password needs TLS."""
    monkeypatch.setattr(Channel, "is_local", property(lambda self: False))


def test_the_cure_is_told_in_the_words_of_a_site(scripted_server, lines, far_away):
    server = scripted_server(users={"club": "secret"}, mechanisms=["PLAIN"])
    route = route_to(server, credentials=Credentials("club", lambda: "secret"))
    error = delivered(lines, route, [message()]).first_error
    assert error.reason == "auth-without-tls"
    assert 'SMTPAUTH = {"DEFAULTS": {"allow_auth_without_tls": True}}' in str(error)
    assert b"AUTH PLAIN" not in server.connections[0].received


def test_the_cure_for_an_account_is_a_box_of_its_form(scripted_server, lines, far_away):
    server = scripted_server(users={"club": "secret"}, mechanisms=["PLAIN"])
    route = route_to(server, credentials=Credentials("club", lambda: "secret"))
    account = Account(uuid=uuid4(), slug="club", host="127.0.0.1", internal_host=True)
    error = delivered(lines, replace(route, account=account), [message()]).first_error
    assert 'tick "allow a password without TLS" on the account club' in str(error)


def test_the_cure_works(scripted_server, lines, far_away):
    server = scripted_server(users={"club": "secret"}, mechanisms=["PLAIN"])
    credentials = Credentials("club", lambda: "secret")
    route = route_to(server, credentials=credentials, allow_auth_without_tls=True)
    assert delivered(lines, route, [message()]).sent == 1
    assert server.connections[0].authenticated


def test_every_message_of_a_route_that_is_down_gets_the_same_error(scripted_server, lines):
    server = scripted_server(
        users={"club": "secret"},
        replies={"AUTH": b"535 5.7.8 Wrong\r\n", "AUTH-RESPONSE": b"535 5.7.8 Wrong\r\n"},
    )
    route = route_to(server, "account club", Credentials("club", lambda: "secret"))
    messages = [message("a"), message("b")]
    batch = delivered(lines, route, messages)
    assert isinstance(batch.first_error, AuthenticationRefused)
    assert {id(one.smtp_result.error) for one in messages} == {id(batch.first_error)}
    assert str(batch.first_error).startswith("AUTH refused: 535 5.7.8 (account club")
    for one in messages:
        assert one.smtp_result.recipients["to@example.org"].status in ("refused", "not_sent")
        assert "EHLO" in one.smtp_result.dialogue()
