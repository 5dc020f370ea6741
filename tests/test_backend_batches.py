"""Batches: every message is tried, and the outcome is the truth."""

import copy
import gc
import logging
import pickle
import tracemalloc
import weakref

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.smtp import (
    ConnectError,
    ContentRefused,
    RecipientsRefused,
    SenderRefused,
)
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    batch,
    default_backend,
    dials,
    failure_of,
    fates,
    mail_settings,
    make_account,
    message,
    parsed,
    senders,
)
from tests.servers.scripted import ORDINARY, Answer, Then

REFUSED = b"550 5.1.1 No such user\r\n"
GOODBYE = Answer(b"421 4.3.2 Going away\r\n", Then.CLOSE)


# Every message is tried


def test_the_count_is_of_messages_handed_over(scripted_server):
    server = scripted_server(replies={"MAIL:b@example.com": REFUSED})
    messages = batch("abcd")
    error = failure_of(backend_for(server), messages, SenderRefused)
    assert senders(server) == ["a", "c", "d"]
    assert fates(messages) == ["sent", "failed", "sent", "sent"]
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
    assert (
        "accepted for 2 of 3 recipients; the others: refused with 550 5.1.1 (1)"
        in record.getMessage()
    )
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
    dials,  # noqa: F811
):
    up, down = scripted_server(), scripted_server()
    make_account("up", up)
    make_account("down", down)
    down.close()
    mail_settings()
    messages = batch("abcdef")
    for index, one in enumerate(messages):
        one.smtp_options = MessageOptions(account="down" if index % 2 == 0 else "up")
    error = failure_of(default_backend(), messages, ConnectError)
    assert senders(up) == ["b", "d", "f"]
    assert fates(messages) == ["failed", "sent"] * 3
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
