"""What Exim refuses, puts off or breaks off: the truth in error and result, no copy twice."""

from __future__ import annotations

import smtplib
import uuid

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.smtp import (
    ContentRefused,
    Disconnected,
    RecipientsRefused,
    SenderRefused,
    Status,
)
from tests.interop.conftest import MessageFactory
from tests.interop.exim import Exim
from tests.interop.server import wait_for

pytestmark = pytest.mark.interop

RCPT = "rcpt6@example.test"
OTHER = "rcpt7@example.test"
PORTS = ["starttls", "bare"]

#: Recipient -> code and enhanced status at RCPT.
REFUSED_RECIPIENTS = {
    "nobody": "550 5.1.1",
    "tempfail": "450 4.2.0",
    "full": "452 4.2.2",
    "refused": "554 5.7.1",
}


def counts(exim: Exim, message: EmailMessage) -> dict[str, int]:
    """Copies per address that has any."""
    return {address: len(copies) for address, copies in exim.delivered(message).items()}


def status_of(reply_status: str) -> Status:
    return Status.DEFERRED if reply_status.startswith("4") else Status.REFUSED


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(("name", "reply"), REFUSED_RECIPIENTS.items())
def test_the_only_recipient_is_refused(
    exim: Exim, new_message: MessageFactory, name: str, reply: str, port: str
) -> None:
    address = f"{name}@example.test"
    before, refused, after = new_message(RCPT), new_message(address), new_message(RCPT)

    with pytest.raises(RecipientsRefused) as caught:
        exim.backend(port).send_messages([before, refused, after])

    assert isinstance(caught.value, smtplib.SMTPRecipientsRefused)
    outcome = refused.smtp_result.recipients[address]
    assert (outcome.status, outcome.reply.status) == (status_of(reply), reply)
    assert [counts(exim, m) for m in (before, refused, after)] == [{RCPT: 1}, {}, {RCPT: 1}]


@pytest.mark.parametrize("port", PORTS)
def test_some_recipients_are_refused(exim: Exim, new_message: MessageFactory, port: str) -> None:
    refused = {f"{name}@example.test": reply for name, reply in REFUSED_RECIPIENTS.items()}
    message = new_message([RCPT, *refused, "away@elsewhere.example", OTHER])

    assert exim.backend(port).send_messages([message]) == 1

    result = message.smtp_result
    assert result.accepted == [RCPT, OTHER]
    assert {a: result.recipients[a].reply.status for a in refused} == refused
    assert result.recipients["away@elsewhere.example"].reply.status == "550 5.7.1"
    assert counts(exim, message) == {RCPT: 1, OTHER: 1}


def test_greylisted_then_accepted(exim: Exim, new_message: MessageFactory) -> None:
    address = "greylist@example.test"
    message = new_message(address, from_email=f"{uuid.uuid4().hex}@elsewhere.example")
    backend = exim.backend("plain")

    with pytest.raises(RecipientsRefused) as caught:
        backend.send_messages([message])

    assert caught.value.transient
    outcome = message.smtp_result.recipients[address]
    assert (outcome.status, outcome.reply.status) == (Status.DEFERRED, "451 4.7.1")
    backend.fail_silently = True
    wait_for(lambda: backend.send_messages([message]) == 1, "the end of greylisting")
    assert counts(exim, message) == {address: 1}


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    ("sender", "reply"),
    [("refused-sender", "550 5.7.1"), ("deferred-sender", "451 4.3.0")],
)
def test_a_refused_sender(
    exim: Exim, new_message: MessageFactory, sender: str, reply: str, port: str
) -> None:
    refused = new_message(RCPT, from_email=f"{sender}@example.test")
    before, after = new_message(RCPT), new_message(RCPT)

    with pytest.raises(SenderRefused) as caught:
        exim.backend(port).send_messages([before, refused, after])

    assert (caught.value.stage, caught.value.reply.status) == ("MAIL", reply)
    assert refused.smtp_result.recipients[RCPT].status is status_of(reply)
    assert [counts(exim, m) for m in (before, refused, after)] == [{RCPT: 1}, {}, {RCPT: 1}]


def test_a_sender_at_whom_the_server_hangs_up(exim: Exim, new_message: MessageFactory) -> None:
    dropped = new_message(RCPT, from_email="drop-sender@example.test")
    before, after = new_message(RCPT), new_message(RCPT)

    with pytest.raises(Disconnected) as caught:
        exim.backend("starttls").send_messages([before, dropped, after])

    assert caught.value.reply.code == 421
    assert dropped.smtp_result.recipients[RCPT].status is not Status.ACCEPTED
    assert [counts(exim, m) for m in (before, dropped, after)] == [{RCPT: 1}, {}, {RCPT: 1}]


def test_a_recipient_at_whom_the_server_hangs_up(exim: Exim, new_message: MessageFactory) -> None:
    dropped = new_message([RCPT, "drop@example.test", OTHER])
    before, after = new_message(RCPT), new_message(RCPT)

    assert exim.backend("starttls").send_messages([before, dropped, after]) == 3

    assert dropped.smtp_result.accepted == [RCPT, OTHER]
    assert [counts(exim, m) for m in (before, dropped, after)] == [
        {RCPT: 1},
        {RCPT: 1, OTHER: 1},
        {RCPT: 1},
    ]


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    ("name", "reply"),
    [("eodreject", "554 5.6.0"), ("eodtemp", "451 4.3.0"), ("eoddrop", "421 4.3.2")],
)
def test_the_content_is_refused(
    exim: Exim, new_message: MessageFactory, name: str, reply: str, port: str
) -> None:
    refused = new_message([RCPT, f"{name}@example.test"])
    before, after = new_message(RCPT), new_message(RCPT)

    with pytest.raises(ContentRefused) as caught:
        exim.backend(port).send_messages([before, refused, after])

    assert (caught.value.stage, caught.value.reply.status) == ("CONTENT", reply)
    assert refused.smtp_result.recipients[RCPT].status is status_of(reply)
    assert [counts(exim, m) for m in (before, refused, after)] == [{RCPT: 1}, {}, {RCPT: 1}]


def test_a_header_that_the_server_refuses(exim: Exim, new_message: MessageFactory) -> None:
    refused = new_message(RCPT, headers={"X-Test-Reject": "yes"})

    with pytest.raises(ContentRefused) as caught:
        exim.backend("starttls").send_messages([refused])

    assert caught.value.reply.status == "550 5.7.1"
    assert counts(exim, refused) == {}


def test_a_message_that_is_too_large_is_not_sent(exim: Exim, new_message: MessageFactory) -> None:
    large, small = new_message(RCPT, "x" * 70 + "\n" * 120_000), new_message(RCPT)

    with pytest.raises(ContentRefused) as caught:
        exim.backend("small", exim.alice).send_messages([large, small])

    assert (caught.value.stage, caught.value.reason, caught.value.reply) == ("MAIL", "size", None)
    assert [counts(exim, m) for m in (large, small)] == [{}, {RCPT: 1}]


def test_a_message_that_the_server_finds_too_large(
    exim: Exim, new_message: MessageFactory
) -> None:
    large, small = new_message(RCPT, "x" * 70 + "\n" * 120_000), new_message(RCPT)

    with exim.backend("small") as backend:
        assert backend.connection is not None
        # What the server said is forgotten, so that the engine does not see the limit.
        object.__setattr__(backend.connection.extensions, "size", None)
        with pytest.raises(SenderRefused) as caught:
            backend.send_messages([large, small])

    assert (caught.value.stage, caught.value.reply.code) == ("MAIL", 552)
    assert [counts(exim, m) for m in (large, small)] == [{}, {RCPT: 1}]


def test_more_messages_than_a_connection_may_carry(
    exim: Exim, new_message: MessageFactory
) -> None:
    """421 to the sixth MAIL: the rest goes over new connections, and nothing twice."""
    messages = [new_message(RCPT) for _ in range(12)]

    assert exim.backend("small").send_messages(messages) == 12

    assert [counts(exim, message) for message in messages] == [{RCPT: 1}] * 12
