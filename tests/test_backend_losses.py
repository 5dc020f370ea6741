"""Connections that fail: nothing is sent twice, and nothing that can be sent is left."""

import time

import pytest

from django_smtpauth.sending import delivery
from django_smtpauth.smtp import (
    ConnectError,
    DeliveryInDoubt,
    Disconnected,
    TimedOut,
)
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    batch,
    dials,
    failure_of,
    fates,
    message,
    senders,
)
from tests.servers.cutting import CutAt
from tests.servers.scripted import CLOSE, ORDINARY, RESET, SILENCE, Answer, Then

REFUSED = b"550 5.1.1 No such user\r\n"
GOODBYE = Answer(b"421 4.3.2 Going away\r\n", Then.CLOSE)


# The connection fails


def test_a_server_that_is_down_is_met_once(scripted_server, dials):  # noqa: F811
    server = scripted_server()
    server.close()
    messages = batch("abcd")
    error = failure_of(backend_for(server), messages, ConnectError)
    assert len(dials) == 1
    assert fates(messages) == ["failed"] * 4
    assert error.failed_results == [one.smtp_result for one in messages]
    assert all(one.smtp_result.error is error for one in messages)
    statuses = {str(o.status.value) for m in messages for o in m.smtp_result.recipients.values()}
    assert statuses == {"not_sent"}


@pytest.mark.parametrize(
    "refusal",
    [
        {"GREETING": Answer(b"554 5.7.1 Not you\r\n", Then.CLOSE)},
        {"EHLO": b"550 No\r\n", "HELO": b"550 No\r\n"},
        {"AUTH": b"535 5.7.8 Wrong\r\n", "AUTH-RESPONSE": b"535 5.7.8 Wrong\r\n"},
    ],
)
def test_a_refusal_of_the_connection_is_met_once(scripted_server, refusal):
    server = scripted_server(users={"club": "secret"}, replies=refusal)
    messages = batch("abc")
    backend = backend_for(server, username="club", password="secret")
    failure_of(backend, messages, OSError)
    assert len(server.connections) == 1
    assert fates(messages) == ["failed"] * 3


def test_the_next_batch_tries_again(scripted_server):
    server = scripted_server(replies={"GREETING": [Answer(b"421 4.3.2 Busy\r\n", Then.CLOSE)]})
    backend = backend_for(server)
    failure_of(backend, batch("a"))
    assert backend.send_messages(batch("b")) == 1


@pytest.mark.parametrize("how", [CLOSE, RESET], ids=["close", "reset"])
@pytest.mark.parametrize("when", ["MAIL:b@example.com", "RCPT:b@example.org", "DATA"])
def test_a_loss_before_the_end_of_the_content_is_mended(scripted_server, how, when):
    entry = [ORDINARY, how] if when == "DATA" else [how]
    server = scripted_server(replies={when: entry})
    messages = [message(name, to=[f"{name}@example.org"]) for name in "abcd"]
    assert backend_for(server).send_messages(messages) == 4
    assert senders(server) == ["a", "b", "c", "d"]
    assert len(server.connections) == 2
    assert server.violations == []


def test_the_attempts_of_a_mended_message(scripted_server):
    server = scripted_server(replies={"DATA": [CLOSE]})
    one = message()
    assert backend_for(server).send_messages([one]) == 1
    lost, sent = one.smtp_result.attempts
    assert "connection" in lost.error
    assert (lost.reply, lost.in_doubt) == (None, False)
    assert (sent.error, sent.reply.code) == ("", 250)
    assert one.smtp_result.queue_id == sent.queue_id != ""


def test_a_message_is_sent_once_over_a_new_connection_and_no_more(scripted_server):
    server = scripted_server(replies={"DATA": [ORDINARY, CLOSE, CLOSE]})
    messages = batch("abc")
    error = failure_of(backend_for(server), messages, Disconnected)
    assert fates(messages) == ["sent", "failed", "sent"]
    assert senders(server) == ["a", "c"]
    assert error.failed_results == [messages[1].smtp_result]
    assert len(messages[1].smtp_result.attempts) == 2
    assert len(server.connections) == 3


def test_a_server_that_loses_every_connection_is_left(scripted_server):
    server = scripted_server(replies={"MAIL": CLOSE})
    messages = batch("abcdefgh")
    failure_of(backend_for(server), messages, Disconnected)
    assert fates(messages) == ["failed"] * 8
    assert len(server.connections) <= 4


@pytest.mark.parametrize("how", [CLOSE, RESET], ids=["close", "reset"])
def test_a_loss_after_the_content_is_in_doubt_and_not_sent_again(scripted_server, how):
    server = scripted_server(replies={"CONTENT:b@example.com": how})
    messages = batch("abcd")
    error = failure_of(backend_for(server), messages, DeliveryInDoubt)
    assert fates(messages) == ["sent", "in doubt", "sent", "sent"]
    assert error.in_doubt
    assert not error.transient
    assert error.failed_results == [messages[1].smtp_result]
    assert messages[1].smtp_result.attempts[-1].in_doubt
    contents = [received.sender for received in server.messages]
    assert contents == ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]


def test_doubt_is_no_class_that_retry_rules_name():
    assert not issubclass(DeliveryInDoubt, (ConnectionError, TimeoutError))
    assert issubclass(DeliveryInDoubt, OSError)


def test_silence_after_the_content_is_in_doubt(scripted_server):
    server = scripted_server(replies={"CONTENT:a@example.com": SILENCE})
    messages = batch("ab")
    failure_of(backend_for(server, timeout=0.6), messages, DeliveryInDoubt)
    assert fates(messages) == ["in doubt", "sent"]


def test_silence_before_the_content_is_not_waited_for_twice(scripted_server):
    server = scripted_server(replies={"MAIL:a@example.com": SILENCE})
    messages = batch("ab")
    failure_of(backend_for(server, timeout=0.6), messages, TimedOut)
    assert fates(messages) == ["failed", "sent"]
    assert len(server.connections) == 2


@pytest.mark.parametrize("direction", ["client", "server"])
def test_wherever_the_line_is_cut_nothing_is_sent_twice(scripted_server, cutting_proxy, direction):
    server = scripted_server()
    with backend_for(server) as probe:
        probe.send_messages(batch("ab"))
    total = len(server.connections[0].received)
    for octet in range(1, total, 23):
        server = scripted_server()
        proxy = cutting_proxy(server.port, CutAt(direction, octet, "close"))
        messages = batch("ab")
        backend = backend_for(server, port=proxy.port, fail_silently=True)
        sent = backend.send_messages(messages)
        assert sent == fates(messages).count("sent")
        arrived = senders(server)
        assert len(arrived) == len(set(arrived))
        for one, fate in zip(messages, fates(messages), strict=True):
            name = one.from_email.partition("@")[0]
            assert fate != "sent" or name in arrived
            assert fate != "failed" or name not in arrived


def beginnings(monkeypatch):
    """When the operation began that each connection is opened for."""
    began, connect = [], delivery.connect

    def watched(endpoint, **details):
        began.append(details["began"])
        return connect(endpoint, **details)

    monkeypatch.setattr(delivery, "connect", watched)
    return began


def test_waiting_for_another_verdict_uses_up_nobody_s_time(scripted_server, monkeypatch):
    moments, began = [], beginnings(monkeypatch)

    def late(connection, content):
        moments.append(time.monotonic())
        return CLOSE

    server = scripted_server(replies={"CONTENT:a@example.com": late})
    messages = batch("ab")
    failure_of(backend_for(server), messages, DeliveryInDoubt)
    assert fates(messages) == ["in doubt", "sent"]
    assert began[1] > moments[0]


def test_time_in_which_content_flowed_does_not_count(scripted_server, monkeypatch):
    moments, began = [], beginnings(monkeypatch)

    def late(connection, line):
        moments.append(time.monotonic())
        return Answer(b"354 Go\r\n", Then.RESET) if len(moments) == 1 else ORDINARY

    server = scripted_server(replies={"DATA": late})
    # More than the system's buffers take, or the loss would leave the message in doubt.
    one = message(body=("x" * 75 + "\n") * 120_000)
    assert backend_for(server).send_messages([one]) == 1
    assert began[1] > moments[0]


def test_time_before_any_content_counts_on(scripted_server, monkeypatch):
    began = beginnings(monkeypatch)
    server = scripted_server(replies={"MAIL": [CLOSE]})
    assert backend_for(server).send_messages([message()]) == 1
    assert began[1] == began[0]


# The server ends the session


LEAVING = {
    "a 421 by itself": {"CONTENT": [Answer(b"250 2.0.0 Ok\r\n421 4.4.2 Idle\r\n", Then.CLOSE)]},
    "421 to the next command": {
        "MAIL": [ORDINARY, Answer(b"421 4.4.2 Idle too long\r\n", Then.CLOSE)]
    },
    "the end": {"CONTENT": [Answer(then=Then.CLOSE)]},
    "a reset": {"CONTENT": [Answer(then=Then.RESET)]},
}


@pytest.mark.parametrize("replies", LEAVING.values(), ids=LEAVING.keys())
def test_a_server_that_left_an_open_backend_is_called_again(scripted_server, replies):
    server = scripted_server(replies=replies)
    with backend_for(server) as backend:
        assert backend.send_messages(batch("a")) == 1
        assert backend.send_messages(batch("b")) == 1
    assert senders(server) == ["a", "b"]
    assert len(server.connections) == 2


def test_421_after_many_refusals_and_the_rest_goes_on(scripted_server):
    unknown = {f"RCPT:no{number}@example.org": REFUSED for number in range(20)}
    server = scripted_server(replies=unknown, refusals_before_421=20)
    one = message(to=[*(f"no{number}@example.org" for number in range(20)), "yes@example.org"])
    messages = [one, message("b")]
    assert backend_for(server).send_messages(messages) == 2
    assert one.smtp_result.accepted == ["yes@example.org"]
    assert len(one.smtp_result.refused) == 20
    assert senders(server) == ["a", "b"]
    refused = b"".join(bytes(c.received) for c in server.connections[1:])
    assert b"RCPT TO:<no" not in refused


def test_421_to_one_recipient_spares_the_others(scripted_server):
    server = scripted_server(replies={"RCPT:drop@example.org": GOODBYE})
    one = message(to=["a@example.org", "drop@example.org", "b@example.org"])
    messages = [one, message("b"), message("c")]
    assert backend_for(server).send_messages(messages) == 3
    assert one.smtp_result.accepted == ["a@example.org", "b@example.org"]
    assert one.smtp_result.refused == ["drop@example.org"]
    assert senders(server) == ["a", "b", "c"]


def test_421_between_messages(scripted_server):
    server = scripted_server(replies={"MAIL:c@example.com": [GOODBYE]})
    assert backend_for(server).send_messages(batch("abcd")) == 4
    assert senders(server) == ["a", "b", "c", "d"]
    assert len(server.connections) == 2


def test_a_verdict_before_the_end_of_the_session_stands(scripted_server):
    close = Answer(then=Then.CLOSE)
    server = scripted_server(replies={"CONTENT:b@example.com": close})
    assert backend_for(server).send_messages(batch("abcd")) == 4
    assert senders(server) == ["a", "b", "c", "d"]


def test_a_server_that_cant_take_a_stream_gets_every_message_once(scripted_server):
    server = scripted_server(refuse_behind_dot=True)
    assert backend_for(server).send_messages(batch("abcde")) == 5
    assert senders(server) == ["a", "b", "c", "d", "e"]
    assert len(server.connections) == 1


def test_a_doubt_is_not_hidden_by_what_comes_after_it(scripted_server):
    """One recipient may have the message; the server is gone when the other one is to get it."""

    def answer(connection, line):
        full = len(connection.open_message.recipient_lines) >= 1
        return b"452 4.5.3 Too many\r\n" if full else b"250 2.1.5 Ok\r\n"

    server = scripted_server(
        replies={"RCPT": answer, "CONTENT": CLOSE, "GREETING": [ORDINARY, *[GOODBYE] * 5]}
    )
    one = message(to=["a@example.org", "b@example.org"])
    error = failure_of(backend_for(server), [one], DeliveryInDoubt)
    assert error.in_doubt
    statuses = [outcome.status.value for outcome in one.smtp_result.recipients.values()]
    assert statuses == ["in_doubt", "deferred"]
