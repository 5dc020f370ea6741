from __future__ import annotations

import json
from typing import Any

import pytest

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.content import Content
from django_smtpauth.smtp.errors import (
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    NotSupported,
    RecipientsRefused,
    SenderRefused,
    TimedOut,
)
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.transaction import (
    Envelope,
    Recipient,
    RecipientOutcome,
    Status,
    Transaction,
)

OK = Reply(250, ("2.1.5 ok",))
GO = Reply(354, ("go",))
NO = Reply(550, ("5.1.1 no such user",))
LATER = Reply(450, ("4.2.0 greylisted",))
BYE = Reply(421, ("4.3.2 bye",))
QUEUED = Reply(250, ("2.0.0 queued as 1",))


def answered(
    *recipients: Reply | None,
    mail: Reply | None = OK,
    data: Reply | None = None,
    content: Reply | None = None,
    transaction: Transaction | None = None,
) -> Transaction:
    """A transaction to a@x, b@x ... after these replies; None: not answered."""
    names = [f"{chr(97 + number)}@x" for number in range(len(recipients))]
    transaction = transaction or Transaction(Envelope.of("me@x", names), Content.of(b"text"))
    transaction.begin()
    for command, reply in [
        (commands.rset(), OK),
        (commands.mail("me@x"), mail),
        *((commands.rcpt(name), reply) for name, reply in zip(names, recipients, strict=True)),
        (commands.data(), data),
        (commands.content(4), content),
    ]:
        if reply is not None:
            transaction.take(command, reply)
    return transaction


def fates(transaction: Transaction) -> dict[str, str]:
    return {a[0]: outcome.status.value for a, outcome in transaction.outcomes.items()}


def test_an_envelope_from_plain_addresses() -> None:
    envelope = Envelope.of("me@x", ["a@x", "b@x", "a@x"])

    assert envelope == Envelope("me@x", (Recipient("a@x"), Recipient("b@x")))
    assert Envelope.of("", ["a@x"]).sender == ""


@pytest.mark.parametrize(
    ("sender", "recipients"),
    [
        ("me@x", []),
        ("me", ["<a@x>"]),
        ("<me@x>", ["a@x"]),
        ("me@x> SIZE=1", ["a@x"]),
        ("me@x", ["a@x", ""]),
        ("me@x", ["a@x\r\nDATA"]),
    ],
)
def test_what_is_no_envelope(sender: str, recipients: list[str]) -> None:
    with pytest.raises(ValueError, match=r"address|recipient"):
        Envelope.of(sender, recipients)


def test_who_needs_smtputf8() -> None:
    assert not Envelope.of("me@x", ["a@x"]).needs_utf8
    assert Envelope("me@x", (Recipient("a@x"),), utf8=True).needs_utf8
    assert Envelope("me@x", (Recipient("a@x"),), utf8=True).utf8_addresses == ()
    envelope = Envelope.of("mé@x", ["a@x", "ü@x"])
    assert envelope.needs_utf8
    assert envelope.utf8_addresses == ("mé@x", "ü@x")


def test_all_accepted() -> None:
    transaction = answered(OK, OK, data=GO, content=QUEUED)
    assert transaction.decided
    transaction.conclude()

    assert fates(transaction) == {"a": "accepted", "b": "accepted"}
    assert transaction.outcomes["a@x"] == RecipientOutcome(Status.ACCEPTED, QUEUED, 1)
    assert (transaction.sent, transaction.done, transaction.error) == (True, True, None)
    assert transaction.final is QUEUED


def test_some_refused() -> None:
    transaction = answered(OK, NO, LATER, data=GO, content=QUEUED)
    transaction.conclude()

    assert fates(transaction) == {"b": "refused", "c": "deferred", "a": "accepted"}
    assert transaction.outcomes["b@x"].reply is NO
    assert transaction.sent
    assert transaction.error is None


@pytest.mark.parametrize(
    ("replies", "transient", "message"),
    [
        ((NO,), False, ""),
        ((NO, NO), False, "every recipient was refused"),
        ((NO, LATER), True, "every recipient was refused"),
        ((LATER,), True, ""),
    ],
)
def test_all_recipients_refused(replies: tuple[Reply, ...], transient: bool, message: str) -> None:
    for data, content in ((Reply(503), None), (GO, Reply(250)), (GO, Reply(554))):
        transaction = answered(*replies, data=data, content=content)
        assert transaction.decided
        transaction.conclude()

        error = transaction.error
        assert isinstance(error, RecipientsRefused)
        assert (error.stage, error.reply, error.message) == ("RCPT", replies[0], message)
        assert error.transient is transient
        assert error.recipients["a@x"] == (replies[0].code, replies[0].lines[0].encode())
        assert len(error.recipients) == len(replies)
        assert not transaction.sent
        # What the server said to the lone dot is no verdict.
        assert transaction.final is None


@pytest.mark.parametrize(("reply", "fate"), [(NO, "refused"), (LATER, "deferred")])
def test_the_sender_refused(reply: Reply, fate: str) -> None:
    for data in (Reply(503), GO):
        transaction = answered(Reply(503), OK, mail=reply, data=data)
        assert transaction.sender_refused
        assert transaction.decided
        transaction.conclude()

        assert isinstance(transaction.error, SenderRefused)
        assert transaction.error.sender == "me@x"
        assert transaction.error.reply is reply
        assert fates(transaction) == {"a": fate, "b": fate}
        assert transaction.outcomes["a@x"].reply is reply


def test_data_refused() -> None:
    transaction = answered(OK, NO, data=LATER)
    assert transaction.decided
    transaction.conclude()

    assert isinstance(transaction.error, ContentRefused)
    assert (transaction.error.stage, transaction.error.reply) == ("DATA", LATER)
    assert fates(transaction) == {"b": "refused", "a": "deferred"}


@pytest.mark.parametrize(
    ("reply", "fate"), [(NO, "refused"), (LATER, "deferred"), (BYE, "deferred")]
)
def test_content_refused(reply: Reply, fate: str) -> None:
    transaction = answered(OK, data=GO, content=reply)
    assert transaction.decided
    transaction.conclude()

    assert isinstance(transaction.error, ContentRefused)
    assert (transaction.error.stage, transaction.error.reply) == ("CONTENT", reply)
    assert fates(transaction) == {"a": fate}


@pytest.mark.parametrize(
    "transaction",
    [
        answered(None, mail=None),
        answered(None),
        answered(OK),
        answered(OK, NO),
        answered(OK, data=GO),
        answered(None, mail=BYE),
        answered(OK, BYE),
        answered(OK, data=BYE),
    ],
)
def test_what_decides_nothing(transaction: Transaction) -> None:
    assert not transaction.decided


def test_a_lost_connection_after_the_content_is_a_doubt() -> None:
    transaction = answered(OK, NO, data=GO)
    transaction.conclude_lost(TimedOut("no answer", stage="CONTENT"))

    assert fates(transaction) == {"a": "in_doubt", "b": "refused"}
    assert isinstance(transaction.error, DeliveryInDoubt)
    assert transaction.error.in_doubt
    assert str(transaction.error) == (
        "CONTENT in doubt: the connection was lost before the reply to the content (no answer)"
    )
    assert not transaction.sent
    assert transaction.done


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (Disconnected("gone"), "not_sent"),
        (Disconnected("bye", reply=BYE), "deferred"),
        (Disconnected("no", reply=NO), "refused"),
    ],
)
def test_given_up_before_it_was_handed_over(error: Disconnected, fate: str) -> None:
    transaction = answered(OK, NO)
    transaction.conclude_unsent(error)

    assert fates(transaction) == {"a": fate, "b": "refused"}
    assert transaction.error is error
    assert transaction.done


def test_rejected_by_the_engine_itself() -> None:
    transaction = Transaction(Envelope.of("me@x", ["a@x"]), Content.of(b""))
    transaction.reject(NotSupported("8-bit"))

    assert transaction.outcomes == {"a@x": RecipientOutcome(Status.REFUSED, None, 0)}
    assert isinstance(transaction.error, NotSupported)
    assert transaction.done


def test_a_further_attempt_leaves_the_refused_out() -> None:
    transaction = answered(OK, NO, OK)
    progress = transaction.progress

    transaction.begin()
    assert transaction.round == (Recipient("a@x"), Recipient("c@x"))
    assert transaction.attempt == 2
    assert (transaction.accepted, transaction.sender_reply, transaction.final) == ({}, None, None)
    transaction.take(commands.mail("me@x"), OK)
    transaction.take(commands.rcpt("a@x"), OK)
    transaction.take(commands.rcpt("c@x"), NO)
    transaction.take(commands.data(), GO)
    transaction.take(commands.content(4), QUEUED)
    transaction.conclude()
    assert transaction.outcomes == {
        "b@x": RecipientOutcome(Status.REFUSED, NO, 1),
        "c@x": RecipientOutcome(Status.REFUSED, NO, 2),
        "a@x": RecipientOutcome(Status.ACCEPTED, QUEUED, 2),
    }
    assert transaction.progress > progress


def test_a_recipient_at_whom_the_server_left_gets_one_more_try() -> None:
    transaction = answered(BYE)
    assert transaction.open_recipients
    assert transaction.progress == 1

    answered(BYE, transaction=transaction)
    assert transaction.outcomes["a@x"] == RecipientOutcome(Status.DEFERRED, BYE, 2)
    assert transaction.decided
    assert transaction.progress == 2


def test_outcomes_as_data() -> None:
    outcome = RecipientOutcome(Status.REFUSED, NO, 2)

    assert json.loads(json.dumps(outcome.to_dict())) == {
        "status": "refused",
        "reply": {"code": 550, "enhanced": "5.1.1", "text": "no such user"},
        "attempt": 2,
    }
    assert RecipientOutcome(Status.NOT_SENT).to_dict()["reply"] is None


def test_no_content_in_the_repr() -> None:
    assert "text" not in repr(answered(OK).content)


@pytest.mark.parametrize(
    ("replies", "command"),
    [
        ({"mail": NO}, "MAIL FROM:<me@x>"),
        ({"data": NO}, "DATA"),
        ({"data": GO, "content": NO}, "[content, 4 octets]"),
    ],
)
def test_the_error_names_the_command_that_was_refused(
    replies: dict[str, Any], command: str
) -> None:
    transaction = answered(OK, **replies)
    transaction.conclude()
    assert transaction.error is not None
    assert transaction.error.command == command


def test_the_error_names_the_first_recipient_that_was_refused() -> None:
    transaction = answered(NO, LATER)
    transaction.conclude()
    assert transaction.error is not None
    assert transaction.error.command == "RCPT TO:<a@x>"
