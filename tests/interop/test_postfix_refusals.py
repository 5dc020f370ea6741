"""What Postfix refuses, puts off or breaks off: the truth in error and result, no copy twice."""

from __future__ import annotations

import smtplib
import socket
import uuid
from contextlib import ExitStack

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.smtp import (
    ConnectError,
    ContentRefused,
    Disconnected,
    RecipientsRefused,
    Refused,
    SenderRefused,
    Status,
    TLSError,
)
from tests.interop.conftest import MessageFactory
from tests.interop.postfix import Postfix, wait_for

pytestmark = pytest.mark.interop

RCPT = "rcpt6@example.test"
OTHER = "rcpt7@example.test"
POSTFIX = "Postfix 3.7"

#: Recipient -> code and enhanced status at RCPT.
REFUSED_RECIPIENTS = {
    "nobody": "550 5.1.1",
    "tempfail": "450 4.2.0",
    "full": "452 4.2.2",
    "refused": "554 5.7.1",
}
SUBMISSION_PORTS = ["submission", "no_chunking"]


def counts(postfix: Postfix, message: EmailMessage) -> dict[str, int]:
    """Copies per address that has any."""
    return {address: len(copies) for address, copies in postfix.delivered(message).items()}


def status_of(reply_status: str) -> Status:
    return Status.DEFERRED if reply_status.startswith("4") else Status.REFUSED


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
@pytest.mark.parametrize(("name", "reply"), REFUSED_RECIPIENTS.items())
def test_the_only_recipient_is_refused(
    postfix: Postfix, new_message: MessageFactory, name: str, reply: str, port: str
) -> None:
    address = f"{name}@example.test"
    before, refused, after = new_message(RCPT), new_message(address), new_message(RCPT)

    with pytest.raises(RecipientsRefused) as caught:
        postfix.backend(port, postfix.alice).send_messages([before, refused, after])

    error = caught.value
    assert isinstance(error, smtplib.SMTPRecipientsRefused)
    assert (error.stage, error.reply.status) == ("RCPT", reply)
    assert error.transient == reply.startswith("4")
    assert error.recipients[address][0] == int(reply[:3])
    outcome = refused.smtp_result.recipients[address]
    assert (outcome.status, outcome.reply.status) == (status_of(reply), reply)
    assert [counts(postfix, m) for m in (before, refused, after)] == [{RCPT: 1}, {}, {RCPT: 1}]


@pytest.mark.proves("ENHANCEDSTATUSCODES", by=POSTFIX)
@pytest.mark.parametrize("port", SUBMISSION_PORTS)
def test_some_recipients_are_refused(
    postfix: Postfix,
    new_message: MessageFactory,
    port: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = {f"{name}@example.test": reply for name, reply in REFUSED_RECIPIENTS.items()}
    message = new_message([RCPT, *refused, OTHER])

    assert postfix.backend(port, postfix.alice).send_messages([message]) == 1

    result = message.smtp_result
    assert result.error is None
    assert result.accepted == [RCPT, OTHER]
    assert {a: result.recipients[a].reply.status for a in refused} == refused
    assert {a: result.recipients[a].status for a in refused} == {
        a: status_of(reply) for a, reply in refused.items()
    }
    assert counts(postfix, message) == {RCPT: 1, OTHER: 1}
    [record] = caplog.records
    assert "2 of 6 recipients" in record.getMessage()
    assert "@example.test" not in record.getMessage()


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
def test_every_recipient_is_refused(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    message = new_message(["nobody@example.test", "full@example.test"])

    with pytest.raises(RecipientsRefused) as caught:
        postfix.backend(port, postfix.alice).send_messages([message])

    assert caught.value.transient, "one of the two may be there later"
    assert [o.status for o in message.smtp_result.recipients.values()] == [
        Status.REFUSED,
        Status.DEFERRED,
    ]
    assert counts(postfix, message) == {}


def test_greylisted_then_accepted(postfix: Postfix, new_message: MessageFactory) -> None:
    sender, address = f"{uuid.uuid4().hex}@elsewhere.example", "greylist1@example.test"
    message = new_message(address, from_email=sender)
    backend = postfix.backend("starttls_noauth")

    with pytest.raises(RecipientsRefused) as caught:
        backend.send_messages([message])

    assert caught.value.transient
    outcome = message.smtp_result.recipients[address]
    assert (outcome.status, outcome.reply.status) == (Status.DEFERRED, "450 4.7.1")
    backend.fail_silently = True
    wait_for(lambda: backend.send_messages([message]) == 1, "the end of greylisting")
    assert counts(postfix, message) == {address: 1}


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
def test_a_recipient_at_whom_the_server_hangs_up(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    before = new_message(RCPT)
    dropped = new_message([RCPT, "drop@example.test", OTHER])
    after = [new_message(RCPT), new_message(OTHER)]

    sent = postfix.backend(port, postfix.alice).send_messages([before, dropped, *after])

    # The 421 is met on two connections; then the others get the message without this recipient.
    assert sent == 4
    result = dropped.smtp_result
    assert result.accepted == [RCPT, OTHER]
    outcome = result.recipients["drop@example.test"]
    assert (outcome.status, outcome.reply.status) == (Status.DEFERRED, "421 4.7.0")
    assert len(result.attempts) > 1
    assert counts(postfix, dropped) == {RCPT: 1, OTHER: 1}
    assert [counts(postfix, m) for m in (before, *after)] == [{RCPT: 1}, {RCPT: 1}, {OTHER: 1}]


def test_the_server_hangs_up_at_the_only_recipient(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    dropped, after = new_message("drop@example.test"), new_message(RCPT)

    with pytest.raises((RecipientsRefused, Disconnected)) as caught:
        postfix.backend("submission", postfix.alice).send_messages([dropped, after])

    assert caught.value.reply.status == "421 4.7.0"
    assert caught.value.transient
    assert not caught.value.in_doubt
    outcome = dropped.smtp_result.recipients["drop@example.test"]
    assert outcome.status is Status.DEFERRED
    assert [counts(postfix, m) for m in (dropped, after)] == [{}, {RCPT: 1}]


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
@pytest.mark.parametrize("bad", [21, 22, 45, 200])
def test_more_unknown_recipients_than_the_server_bears(
    postfix: Postfix, new_message: MessageFactory, bad: int, port: str
) -> None:
    unknown = [f"nobody{n}@example.test" for n in range(bad)]
    good = [f"rcpt{n}@example.test" for n in range(30, 35)]
    message = new_message([good[0], *unknown, *good[1:]])
    after = [new_message(RCPT) for _ in range(3)]

    sent = postfix.backend(port, postfix.alice).send_messages([message, *after])

    assert sent == 4
    result = message.smtp_result
    assert result.accepted == good
    assert {result.recipients[address].reply.status for address in unknown} == {"550 5.1.1"}
    assert counts(postfix, message) == dict.fromkeys(good, 1)
    assert [counts(postfix, m) for m in after] == [{RCPT: 1}] * 3


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
def test_nothing_but_unknown_recipients(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    unknown = [f"nobody{n}@example.test" for n in range(100)]
    refused, after = new_message(unknown), new_message(RCPT)

    with pytest.raises(RecipientsRefused) as caught:
        postfix.backend(port, postfix.alice).send_messages([refused, after])

    assert not caught.value.transient
    assert set(caught.value.recipients) == set(unknown)
    outcomes = refused.smtp_result.recipients.values()
    assert {(o.status, o.reply.status) for o in outcomes} == {(Status.REFUSED, "550 5.1.1")}
    assert [counts(postfix, m) for m in (refused, after)] == [{}, {RCPT: 1}]


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
def test_many_messages_with_refused_recipients(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    """The errors of one connection add up over its messages, too."""
    good = [new_message([RCPT, "nobody@example.test"]) for _ in range(25)]
    bad = [new_message("nobody@example.test") for _ in range(25)]
    mixed = [message for pair in zip(good, bad, strict=True) for message in pair]

    with pytest.raises(RecipientsRefused) as caught:
        postfix.backend(port, postfix.alice).send_messages(mixed)

    assert len(caught.value.failed_results) == 25
    assert [message.smtp_result.accepted for message in good] == [[RCPT]] * 25
    assert {m.smtp_result.error.reply.status for m in bad} == {"550 5.1.1"}
    assert [counts(postfix, message) for message in good] == [{RCPT: 1}] * 25


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
@pytest.mark.parametrize(
    ("address", "headers", "reply"),
    [
        ("eodtemp@example.test", {}, "451 4.3.0"),
        ("eodreject@example.test", {}, "554 5.7.1"),
        (RCPT, {"X-Test-Reject": "yes"}, "550 5.7.1"),
    ],
)
def test_the_content_is_refused(
    postfix: Postfix,
    new_message: MessageFactory,
    address: str,
    headers: dict[str, str],
    reply: str,
    port: str,
) -> None:
    before, after = new_message(RCPT), new_message(RCPT)
    refused = new_message(address, headers=headers)

    with pytest.raises(ContentRefused) as caught:
        postfix.backend(port, postfix.alice).send_messages([before, refused, after])

    error = caught.value
    assert isinstance(error, smtplib.SMTPDataError)
    assert (error.stage, error.reply.status) == ("CONTENT", reply)
    assert (error.transient, error.in_doubt) == (reply.startswith("4"), False)
    assert refused.smtp_result.recipients[address].status is status_of(reply)
    assert [counts(postfix, m) for m in (before, refused, after)] == [{RCPT: 1}, {}, {RCPT: 1}]


@pytest.mark.parametrize("port", SUBMISSION_PORTS)
def test_the_sender_of_another_login(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    foreign, own = new_message(RCPT, from_email="bob@example.test"), new_message(RCPT)

    with pytest.raises(RecipientsRefused) as caught:
        postfix.backend(port, postfix.alice).send_messages([foreign, own])

    # Postfix puts its word about the sender off to RCPT.
    assert (caught.value.stage, caught.value.reply.status) == ("RCPT", "553 5.7.1")
    assert not caught.value.transient
    assert foreign.smtp_result.recipients[RCPT].status is Status.REFUSED
    assert [counts(postfix, m) for m in (foreign, own)] == [{}, {RCPT: 1}]


def test_no_log_in_where_one_is_wanted(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message(RCPT)

    with pytest.raises(RecipientsRefused) as caught:
        postfix.backend("submission").send_messages([message])

    assert caught.value.reply.status == "553 5.7.1"
    assert counts(postfix, message) == {}


@pytest.mark.parametrize("port", ["plain", "bare"])
def test_another_domain(postfix: Postfix, new_message: MessageFactory, port: str) -> None:
    message = new_message([RCPT, "someone@elsewhere.example"])

    assert postfix.backend(port).send_messages([message]) == 1

    outcome = message.smtp_result.recipients["someone@elsewhere.example"]
    # Port bare announces no enhanced codes, yet Postfix writes them.
    assert (outcome.status, outcome.reply.status) == (Status.REFUSED, "554 5.7.1")
    assert counts(postfix, message) == {RCPT: 1}


def test_tls_is_demanded(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message(RCPT)

    with pytest.raises(SenderRefused) as caught:
        postfix.backend("encrypt_small", security="none").send_messages([message])

    assert isinstance(caught.value, smtplib.SMTPSenderRefused)
    assert (caught.value.stage, caught.value.reply.status) == ("MAIL", "530 5.7.0")
    assert counts(postfix, message) == {}


def test_a_message_larger_than_announced_is_not_even_offered(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    large, small = new_message(RCPT, "x" * 70 + "\n" * 120_000), new_message(RCPT)

    with pytest.raises(ContentRefused) as caught:
        postfix.backend("encrypt_small", postfix.alice).send_messages([large, small])

    error = caught.value
    assert (error.stage, error.reason, error.reply) == ("MAIL", "size", None)
    assert "100000" in str(error)
    assert large.smtp_result.recipients[RCPT].status is Status.REFUSED
    assert not any(event.text.startswith("MAIL") for event in error.transcript)
    assert [counts(postfix, m) for m in (large, small)] == [{}, {RCPT: 1}]


@pytest.mark.proves("SIZE", by=POSTFIX)
@pytest.mark.parametrize("pipelining", [True, False])
def test_a_message_that_the_server_finds_too_large(
    postfix: Postfix, new_message: MessageFactory, pipelining: bool
) -> None:
    """After a MAIL refused for its size Postfix refuses the next MAIL, too, until RSET."""
    large, small = new_message(RCPT, "x" * 70 + "\n" * 120_000), new_message(RCPT)
    backend = postfix.backend("encrypt_small", postfix.alice, pipelining=pipelining)

    with backend:
        assert backend.connection is not None
        # What the server said is forgotten, so that the engine does not see the limit.
        object.__setattr__(backend.connection.extensions, "size", None)
        with pytest.raises(SenderRefused) as caught:
            backend.send_messages([large, small])

    assert (caught.value.stage, caught.value.reply.status) == ("MAIL", "552 5.3.4")
    assert large.smtp_result.recipients[RCPT].status is Status.REFUSED
    assert [counts(postfix, m) for m in (large, small)] == [{}, {RCPT: 1}]


@pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])
def test_more_recipients_than_the_server_takes_go_in_several_transactions(
    postfix: Postfix, new_message: MessageFactory, bdat: str
) -> None:
    addresses = [f"rcpt{n}@example.test" for n in range(40, 65)]
    message, after = new_message(addresses), new_message(addresses)

    backend = postfix.backend("encrypt_small", postfix.alice, bdat=bdat)
    assert backend.send_messages([message, after]) == 2

    for sent in (message, after):
        assert sent.smtp_result.accepted == addresses
        assert counts(postfix, sent) == dict.fromkeys(addresses, 1)
    # The limit was learnt from the first message's second round on.
    said = [event.text for event in after.smtp_result.transcript if event.direction == "S"]
    assert sum(text.startswith("452") for text in said) <= 15


@pytest.mark.parametrize("name", REFUSED_RECIPIENTS)
def test_all_or_none(postfix: Postfix, new_message: MessageFactory, name: str) -> None:
    message, other = new_message([RCPT, f"{name}@example.test"]), new_message(OTHER)
    backend = postfix.backend("submission", postfix.alice, recipients="all")

    with pytest.raises(RecipientsRefused):
        backend.send_messages([message, other])

    assert message.smtp_result.recipients[RCPT].status is Status.NOT_SENT
    assert [counts(postfix, m) for m in (message, other)] == [{}, {OTHER: 1}]


def test_a_slow_recipient(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message(["slow@example.test", RCPT])

    assert postfix.backend("submission", postfix.alice).send_messages([message]) == 1

    assert message.smtp_result.attempts[0].seconds >= 3
    assert counts(postfix, message) == {"slow@example.test": 1, RCPT: 1}


def test_more_messages_than_the_server_takes_at_a_time(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    messages = [new_message(RCPT) for _ in range(6)]

    with postfix.alone(), pytest.raises(Refused) as caught:
        postfix.backend("rate").send_messages(messages)

    assert caught.value.transient
    # Three in ten seconds, less what an earlier run has used up.
    refused = [m for m in messages if m.smtp_result.error is not None]
    assert len(refused) >= 3
    for message in refused:
        error = message.smtp_result.error
        assert isinstance(error, SenderRefused)
        assert (error.stage, error.reply.status) == ("MAIL", "450 4.7.1")
        assert message.smtp_result.recipients[RCPT].status is Status.DEFERRED
    assert [counts(postfix, m) for m in messages] == [
        {} if m in refused else {RCPT: 1} for m in messages
    ]


def test_more_connections_than_the_server_takes(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    messages = [new_message(RCPT) for _ in range(3)]

    with postfix.alone(), ExitStack() as others:
        for _ in range(2):
            other = socket.create_connection(("127.0.0.1", postfix.port("rate")), timeout=20)
            others.enter_context(other)
            other.recv(512)
        with pytest.raises(ConnectError) as caught:
            postfix.backend("rate").send_messages(messages)

    error = caught.value
    assert isinstance(error, smtplib.SMTPConnectError)
    assert (error.stage, error.reply.status, error.transient) == ("GREETING", "421 4.7.0", True)
    assert {m.smtp_result.error for m in messages} == {error}, "met once for the whole batch"
    assert {m.smtp_result.recipients[RCPT].status for m in messages} == {Status.DEFERRED}
    assert counts(postfix, messages[0]) == {}


def test_nobody_listens(postfix: Postfix, new_message: MessageFactory) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        message = new_message(RCPT)

        with pytest.raises(ConnectError) as caught:
            postfix.backend("plain", port=unused.getsockname()[1]).send_messages([message])

    assert (caught.value.stage, caught.value.transient) == ("CONNECT", True)
    assert message.smtp_result.recipients[RCPT].status is Status.NOT_SENT


def test_starttls_is_demanded_where_there_is_none(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    message = new_message(RCPT)

    with pytest.raises(smtplib.SMTPNotSupportedError, match="STARTTLS") as caught:
        postfix.backend("plain", security="starttls").send_messages([message])

    assert not isinstance(caught.value, TLSError)
    assert message.smtp_result.recipients[RCPT].status is Status.NOT_SENT
    assert counts(postfix, message) == {}


def test_a_second_copy_would_be_seen(postfix: Postfix, new_message: MessageFactory) -> None:
    """What all the counts of these tests rely on."""
    message = new_message([RCPT, OTHER])
    backend = postfix.backend("plain")
    backend.send_messages([message])
    message.to = [RCPT]
    backend.send_messages([message])

    assert counts(postfix, message) == {RCPT: 2}, "the same Message-ID twice"
