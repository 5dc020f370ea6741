"""Batches: every message is tried, nothing is sent twice, and the outcome is the truth."""

import copy
import gc
import logging
import pickle
import time
import tracemalloc
import weakref

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.sending import delivery
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.smtp import (
    ConnectError,
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    RecipientsRefused,
    SenderRefused,
    TimedOut,
)
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    default_backend,
    mail_settings,
    make_account,
    message,
    parsed,
    senders,
    smtp_server,
)
from tests.servers.cutting import CutAt
from tests.servers.scripted import CLOSE, ORDINARY, RESET, SILENCE, Answer, Then

REFUSED = b"550 5.1.1 No such user\r\n"
GOODBYE = Answer(b"421 4.3.2 Going away\r\n", Then.CLOSE)


def batch(names):
    return [message(name) for name in names]


def failure_of(backend, messages, kind=Exception):
    with pytest.raises(kind) as caught:
        backend.send_messages(messages)
    return caught.value


def results(messages):
    """What became of each message: sent, in doubt, or failed."""
    fates = []
    for one in messages:
        result = one.smtp_result
        fates.append("sent" if result.sent else "in doubt" if result.in_doubt else "failed")
    return fates


# Every message is tried


def test_the_count_is_of_messages_handed_over(scripted_server):
    server = scripted_server(replies={"MAIL:b@example.com": REFUSED})
    messages = batch("abcd")
    error = failure_of(backend_for(server), messages, SenderRefused)
    assert senders(server) == ["a", "c", "d"]
    assert results(messages) == ["sent", "failed", "sent", "sent"]
    assert error is messages[1].smtp_result.error
    assert error.failed_results == [messages[1].smtp_result]
    assert len(server.connections) == 1
    assert server.violations == []


def test_fail_silently_returns_the_count(scripted_server):
    server = scripted_server(replies={"MAIL:b@example.com": REFUSED})
    messages = batch("abcd")
    assert backend_for(server, fail_silently=True).send_messages(messages) == 3
    assert isinstance(messages[1].smtp_result.error, SenderRefused)


def test_the_first_failure_is_raised_and_carries_them_all(scripted_server):
    replies = {"MAIL:b@example.com": REFUSED, "CONTENT:d@example.com": b"554 5.7.1 Spam\r\n"}
    server = scripted_server(replies=replies)
    messages = batch("abcde")
    error = failure_of(backend_for(server), messages, SenderRefused)
    failed = [messages[1].smtp_result, messages[3].smtp_result]
    assert error.failed_results == failed
    assert isinstance(failed[1].error, ContentRefused)
    assert senders(server) == ["a", "c", "e"]


def test_a_message_that_cant_be_composed_leaves_the_others_alone(scripted_server):
    server = scripted_server()
    messages = [message("a"), message("b", subject="x\ny"), message("c")]
    error = failure_of(backend_for(server), messages, ValueError)
    assert senders(server) == ["a", "c"]
    assert error.failed_results == [messages[1].smtp_result]
    assert messages[1].smtp_result.attempts == []


def test_a_message_whose_recipients_can_t_be_told_leaves_the_others_alone(scripted_server):
    class Broken(EmailMessage):
        def recipients(self):
            raise LookupError("no such list")

    server = scripted_server()
    messages = [message("a"), Broken(), message("c")]
    error = failure_of(backend_for(server), messages, LookupError)
    assert senders(server) == ["a", "c"]
    assert error is messages[1].smtp_result.error


def test_a_raised_error_survives_pickle_with_its_results(scripted_server):
    server = scripted_server(replies={"MAIL:b@example.com": REFUSED})
    messages = batch("abc")
    error = failure_of(backend_for(server), messages)
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin)) == (type(error), str(error))
    (result,) = twin.failed_results
    assert result.error is twin
    assert result.to_dict() == messages[1].smtp_result.to_dict()
    assert copy.deepcopy(messages[0]).smtp_result.to_dict() == messages[0].smtp_result.to_dict()


def test_a_value_error_is_not_silent(scripted_server):
    backend = backend_for(scripted_server(), fail_silently=True)
    failure_of(backend, [message(subject="x\ny")], ValueError)


def test_the_first_failure_by_position_is_raised(scripted_server):
    # The second message fails at once, the first one only when its reply comes.
    server = scripted_server(replies={"CONTENT:a@example.com": b"554 5.7.1 Spam\r\n"})
    error = failure_of(backend_for(server), [message("a"), message("b", subject="x\ny")])
    assert isinstance(error, ContentRefused)
    assert [type(one.error) for one in error.failed_results] == [ValueError, ContentRefused]


def test_messages_without_recipients_do_not_count(scripted_server):
    server = scripted_server()
    assert backend_for(server).send_messages([message("a"), message("b", to=[])]) == 1
    assert senders(server) == ["a"]


# One recipient of several refused


def test_a_message_for_some_counts_as_sent(scripted_server, caplog):
    server = scripted_server(replies={"RCPT:no@example.org": REFUSED})
    one = message(to=["yes@example.org", "no@example.org"], bcc=["too@example.org"])
    assert backend_for(server).send_messages([one]) == 1
    result = one.smtp_result
    assert result.sent
    assert result.error is None
    assert result.accepted == ["yes@example.org", "too@example.org"]
    assert result.refused == ["no@example.org"]
    assert result.recipients["no@example.org"].reply.text == "No such user"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("django_smtpauth", "WARNING")
    assert "accepted for 2 of 3 recipients; refused with 550 5.1.1 (1)" in record.getMessage()
    assert result.message_id in record.getMessage()
    assert "@example.org" not in record.getMessage()


def test_a_message_for_nobody_is_a_failure(scripted_server):
    replies = {"RCPT:a@example.org": REFUSED, "RCPT:b@example.org": b"450 4.2.1 Later\r\n"}
    server = scripted_server(replies=replies)
    one = message(to=["a@example.org", "b@example.org"])
    error = failure_of(backend_for(server), [one], RecipientsRefused)
    assert {address: code for address, (code, _) in error.recipients.items()} == {
        "a@example.org": 550,
        "b@example.org": 450,
    }
    assert one.smtp_result.refused == ["a@example.org", "b@example.org"]
    assert error.transient


# The result of a message


def test_the_result_tells_what_the_server_said(scripted_server, certificates):
    server = scripted_server(
        ssl_context=certificates.server(),
        users={"club": "secret"},
        replies={"CONTENT": b"250 2.0.0 Ok: queued as 4XyZ12\r\n"},
    )
    one = message(to=["a@example.org", "b@example.org"])
    backend = backend_for(
        server, username="club", password="secret", use_tls=True, ca_file=certificates.ca_file
    )
    assert backend.send_messages([one]) == 1
    result = one.smtp_result
    (attempt,) = result.attempts
    assert result.queue_id == attempt.queue_id == "4XyZ12"
    assert attempt.tls.version in ("TLSv1.2", "TLSv1.3")
    assert attempt.mechanism == "CRAM-MD5"
    assert attempt.server == f"127.0.0.1:{server.port}"
    assert attempt.peer == "127.0.0.1"
    assert attempt.reply.code == 250
    assert (attempt.account, attempt.rule) == ("", "the mailer was given this host")
    assert (attempt.error, attempt.in_doubt) == ("", False)
    assert list(result.recipients) == ["a@example.org", "b@example.org"]
    assert {outcome.status.value for outcome in result.recipients.values()} == {"accepted"}
    assert result.message_id == parsed(server.accepted[0])["Message-ID"]
    assert "RCPT TO:<b@example.org>" in result.dialogue()
    assert "secret" not in result.dialogue()


def test_each_message_has_its_own_result(scripted_server):
    server = scripted_server()
    messages = batch("ab")
    backend_for(server).send_messages(messages)
    first, second = (one.smtp_result for one in messages)
    assert first.message_id != second.message_id
    assert first.queue_id != second.queue_id
    assert "a@example.com" in first.dialogue()
    assert "b@example.com" not in first.dialogue()


def test_a_second_send_keeps_the_message_id_and_renews_the_result(scripted_server):
    server = scripted_server(replies={"CONTENT": [b"451 4.3.0 Later\r\n"]})
    one = message()
    backend = backend_for(server)
    failure_of(backend, [one], ContentRefused)
    before = one.smtp_result
    assert backend.send_messages([one]) == 1
    assert one.smtp_result is not before
    assert one.smtp_result.error is None
    assert one.smtp_result.message_id == before.message_id
    assert [parsed(received)["Message-ID"] for received in server.messages] == [
        before.message_id,
        before.message_id,
    ]


# The connection fails


def test_a_server_that_is_down_is_met_once(scripted_server, monkeypatch):
    server = scripted_server()
    server.close()
    dials = count_dials(monkeypatch)
    messages = batch("abcd")
    error = failure_of(backend_for(server), messages, ConnectError)
    assert len(dials) == 1
    assert results(messages) == ["failed"] * 4
    assert error.failed_results == [one.smtp_result for one in messages]
    assert all(one.smtp_result.error is error for one in messages)
    statuses = {str(o.status.value) for m in messages for o in m.smtp_result.recipients.values()}
    assert statuses == {"not_sent"}


def count_dials(monkeypatch):
    """Every endpoint that a batch connects to from here on."""
    dials, connect = [], delivery.connect

    def counted(endpoint, **details):
        dials.append(endpoint.address)
        return connect(endpoint, **details)

    monkeypatch.setattr(delivery, "connect", counted)
    return dials


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
    assert results(messages) == ["failed"] * 3


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
    assert results(messages) == ["sent", "failed", "sent"]
    assert senders(server) == ["a", "c"]
    assert error.failed_results == [messages[1].smtp_result]
    assert len(messages[1].smtp_result.attempts) == 2
    assert len(server.connections) == 3


def test_a_server_that_loses_every_connection_is_left(scripted_server):
    server = scripted_server(replies={"MAIL": CLOSE})
    messages = batch("abcdefgh")
    failure_of(backend_for(server), messages, Disconnected)
    assert results(messages) == ["failed"] * 8
    assert len(server.connections) <= 4


@pytest.mark.parametrize("how", [CLOSE, RESET], ids=["close", "reset"])
def test_a_loss_after_the_content_is_in_doubt_and_not_sent_again(scripted_server, how):
    server = scripted_server(replies={"CONTENT:b@example.com": how})
    messages = batch("abcd")
    error = failure_of(backend_for(server), messages, DeliveryInDoubt)
    assert results(messages) == ["sent", "in doubt", "sent", "sent"]
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
    failure_of(backend_for(server, timeout=0.2), messages, DeliveryInDoubt)
    assert results(messages) == ["in doubt", "sent"]


def test_silence_before_the_content_is_not_waited_for_twice(scripted_server):
    server = scripted_server(replies={"MAIL:a@example.com": SILENCE})
    messages = batch("ab")
    failure_of(backend_for(server, timeout=0.2), messages, TimedOut)
    assert results(messages) == ["failed", "sent"]
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
        assert sent == results(messages).count("sent")
        arrived = senders(server)
        assert len(arrived) == len(set(arrived))
        for one, fate in zip(messages, results(messages), strict=True):
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
    assert results(messages) == ["in doubt", "sent"]
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


# Several servers


@pytest.mark.django_db
def test_a_batch_over_two_accounts(scripted_server, make_account, mail_settings):  # noqa: F811
    servers = {"one": scripted_server(), "two": scripted_server()}
    for slug, server in servers.items():
        make_account(slug, server)
    mail_settings()
    messages = batch("abcdef")
    for index, one in enumerate(messages):
        one.smtp_options = MessageOptions(account="one" if index % 2 == 0 else "two")
    assert default_backend().send_messages(messages) == 6
    assert senders(servers["one"]) == ["a", "c", "e"]
    assert senders(servers["two"]) == ["b", "d", "f"]
    assert [len(server.connections) for server in servers.values()] == [1, 1]
    accounts = [one.smtp_result.attempts[0].account for one in messages]
    assert accounts == ["one", "two"] * 3


@pytest.mark.django_db
def test_one_server_down_does_not_stop_the_other(
    scripted_server,
    make_account,  # noqa: F811
    mail_settings,  # noqa: F811
    monkeypatch,
):
    up, down = scripted_server(), scripted_server()
    make_account("up", up)
    make_account("down", down)
    down.close()
    mail_settings()
    dials = count_dials(monkeypatch)
    messages = batch("abcdef")
    for index, one in enumerate(messages):
        one.smtp_options = MessageOptions(account="down" if index % 2 == 0 else "up")
    error = failure_of(default_backend(), messages, ConnectError)
    assert senders(up) == ["b", "d", "f"]
    assert results(messages) == ["failed", "sent"] * 3
    assert len(error.failed_results) == 3
    assert [dials.count((down.host, down.port)), dials.count((up.host, up.port))] == [1, 1]
    assert "account down" in str(error)


# Generators


def test_a_generator_that_fails_midway(scripted_server):
    server = scripted_server()

    def source():
        yield message("a")
        yield message("b")
        raise LookupError("no more addresses")

    error = failure_of(backend_for(server), source(), LookupError)
    assert senders(server) == ["a", "b"]
    assert str(error) == "no more addresses"


@pytest.mark.parametrize("refused", ["a", "b"])
@pytest.mark.parametrize("silent", [False, True])
def test_a_generator_s_own_error_goes_before_all_others(scripted_server, refused, silent):
    server = scripted_server(replies={f"MAIL:{refused}@example.com": REFUSED})

    def source():
        yield from batch("abcd")
        raise FileNotFoundError("addresses.csv")

    backend = backend_for(server, fail_silently=silent)
    error = failure_of(backend, source(), FileNotFoundError)
    assert len(error.failed_results) == 2
    assert len(server.accepted) == 3


def test_fail_silently_hides_no_mistake_behind_a_failure(scripted_server):
    server = scripted_server(replies={"MAIL:a@example.com": REFUSED})
    messages = [message("a"), message("b", subject="x\ny"), message("c")]
    backend = backend_for(server, fail_silently=True)
    error = failure_of(backend, messages, ValueError)
    assert error is messages[1].smtp_result.error
    assert senders(server) == ["c"]


def test_fail_silently_hides_no_error_of_a_message_that_is_being_made(scripted_server):
    class Template(EmailMessage):
        def message(self, **keywords):
            raise FileNotFoundError("template.html")

    backend = backend_for(scripted_server(), fail_silently=True)
    failure_of(backend, [Template(to=["to@example.org"])], FileNotFoundError)


def test_a_generator_is_not_read_to_its_end_before_the_first_message_leaves(scripted_server):
    server = scripted_server()
    arrived = []

    def source():
        for number in range(6):
            arrived.append(len(server.messages))
            yield message(f"m{number}")

    assert backend_for(server).send_messages(source()) == 6
    assert arrived[-1] >= 2


def test_an_interrupt_closes_the_connection(scripted_server):
    server = scripted_server()

    def source():
        yield message("a")
        yield message("b")
        raise KeyboardInterrupt

    backend = backend_for(server)
    with pytest.raises(KeyboardInterrupt):
        backend.send_messages(source())
    server.settle(1)
    assert server.connections[0].ended in ("client", "lost")
    assert len(set(senders(server))) == len(senders(server))


def test_an_interrupt_closes_the_connection_of_an_open_backend(scripted_server):
    server = scripted_server()

    def source():
        yield message("a")
        raise KeyboardInterrupt

    backend = backend_for(server)
    backend.open()
    with pytest.raises(KeyboardInterrupt):
        backend.send_messages(source())
    server.settle(1)
    assert backend.connection is None or not backend.connection.usable
    assert backend.send_messages([message("b")]) == 1
    backend.close()


@pytest.fixture
def forgetful_server(scripted_server):
    """A server that keeps no record of what it got, in the memory that is measured."""

    def forget(connection, content):
        connection.received.clear()
        connection.messages.clear()
        connection.commands.clear()
        return ORDINARY

    return scripted_server(replies={"CONTENT": forget})


def small_messages(count):
    fields = {"from_email": "a@example.com", "to": ["to@example.org"], "body": "x" * 2_000}
    return (EmailMessage(**fields) for _ in range(count))


def test_few_messages_of_a_generator_are_alive_at_a_time(forgetful_server):
    known, most = weakref.WeakSet(), 0

    def source():
        nonlocal most
        for one in small_messages(200):
            known.add(one)
            most = max(most, len(known))
            yield one

    assert backend_for(forgetful_server).send_messages(source()) == 200
    assert most <= 5


@pytest.mark.slow
def test_memory_stays_flat(forgetful_server):
    def peak_of(count):
        gc.collect()
        tracemalloc.start()
        try:
            assert backend_for(forgetful_server).send_messages(small_messages(count)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_of(20)
    # Ten times as many; their contents alone would be 5 MB more.
    assert peak_of(3_000) < peak_of(300) + 1_000_000


def test_few_failed_results_are_kept(scripted_server, caplog):
    caplog.set_level(logging.CRITICAL, logger="django_smtpauth")
    server = scripted_server()
    server.close()
    error = failure_of(backend_for(server), small_messages(1_100), ConnectError)
    assert len(error.failed_results) == 1_000


# A send within a send


@pytest.mark.parametrize("opened", [False, True])
def test_a_generator_may_send_over_the_same_backend(scripted_server, opened):
    server = scripted_server()
    backend = backend_for(server)
    if opened:
        backend.open()

    def source():
        for name in "abc":
            assert backend.send_messages([message(f"inner-{name}")]) == 1
            yield message(name)

    assert backend.send_messages(source()) == 3
    backend.close()
    assert sorted(senders(server)) == ["a", "b", "c", "inner-a", "inner-b", "inner-c"]
    assert server.violations == []
    server.settle(len(server.connections))


def test_a_message_may_send_another_one_when_it_is_made(scripted_server):
    server = scripted_server()
    backend = backend_for(server)

    class Announcing(EmailMessage):
        def message(self, **keywords):
            backend.send_messages([message("announcement")])
            return super().message(**keywords)

    letters = [Announcing(from_email=f"{name}@example.com", to=["x@b.example"]) for name in "ab"]
    assert backend.send_messages(letters) == 2
    assert sorted(senders(server)) == ["a", "announcement", "announcement", "b"]
    assert server.violations == []


def test_a_backend_that_is_closed_midway_ends_with_the_batch(scripted_server):
    server = scripted_server()
    backend = backend_for(server)
    backend.open()

    def source():
        yield message("a")
        backend.close()
        yield message("b")

    assert backend.send_messages(source()) == 2
    assert backend.connection is None
    server.settle(1)
    assert senders(server) == ["a", "b"]
