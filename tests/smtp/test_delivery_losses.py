"""What is known of each message when the session ends early: a verdict, a doubt, or nothing."""

from __future__ import annotations

import pytest

from django_smtpauth.smtp.content import BLOCK
from django_smtpauth.smtp.delivery import ServerTraits
from django_smtpauth.smtp.errors import (
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    ProtocolError,
    RecipientsRefused,
    SenderRefused,
    TimedOut,
)
from django_smtpauth.smtp.transaction import Transaction
from tests.smtp.deliveries import NO_PIPELINING, PIPELINING, Run, bent, fates, message
from tests.smtp.sansio import Entry, Server, answers

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])
every_pace = pytest.mark.parametrize("ehlo", [PIPELINING, NO_PIPELINING], ids=["pipelined", "not"])

BYE = "421 4.3.2 bye"


def kind(transaction: Transaction) -> str:
    """What the engine says of a message with one recipient."""
    return fates(transaction).get("a", "open")


# 421.


@every_pace
@both_ways
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
def test_goodbye_at_each_command_of_the_first_message(verb: str, ehlo: str, trickle: bool) -> None:
    replies: dict[str, Entry] = {verb: BYE}
    first, second = message("a"), message("a")
    run = Run(bent(EHLO=ehlo, **replies), [first, second], trickle=trickle)

    assert isinstance(run.error, Disconnected)
    assert run.error.reply is not None
    assert run.error.stage == {"DOT": "CONTENT"}.get(verb, verb)
    assert not run.session.reusable
    assert not second.done
    # At the dot it is the verdict on this message; before it nothing was handed over.
    assert run.done == ([first] if verb == "DOT" else [])
    assert kind(first) == ("deferred" if verb == "DOT" else "open")
    if verb == "DOT":
        assert isinstance(first.error, ContentRefused)


@both_ways
@pytest.mark.parametrize("verb", ["RSET", "MAIL", "RCPT", "DATA"])
def test_goodbye_to_an_envelope_that_left_behind_a_content(verb: str, trickle: bool) -> None:
    polite: list[str | None] = ["354 go" if verb == "DATA" else "250 ok", BYE]
    replies: dict[str, Entry] = {verb: BYE if verb == "RSET" else polite}
    first, second = message("a"), message("a")
    run = Run(bent(**replies), [first, second], trickle=trickle)

    assert isinstance(run.error, Disconnected)
    assert (kind(first), kind(second)) == ("accepted", "open")
    assert run.done == [first]


@every_pace
@both_ways
def test_verdicts_given_before_a_goodbye_stand(ehlo: str, trickle: bool) -> None:
    replies: dict[str, Entry] = {"RCPT TO:<no@x>": "550 no", "RCPT TO:<c@x>": BYE}
    transaction = message("a", "no", "c", "d")
    run = Run(bent(EHLO=ehlo, **replies), [transaction], trickle=trickle)

    assert run.done == []
    assert fates(transaction) == {"no": "refused"}
    again = Run(bent(), [transaction])
    assert again.lines[1:4] == ["RCPT TO:<a@x>", "RCPT TO:<c@x>", "RCPT TO:<d@x>"]
    assert fates(transaction) == {
        "no": "refused",
        "a": "accepted",
        "c": "accepted",
        "d": "accepted",
    }
    assert transaction.attempt == 2


# The connection is lost after a reply that decides.


@every_pace
@both_ways
@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ({"MAIL": "550 no", "RCPT": None}, SenderRefused),
        ({"RCPT": "550 no", "DATA": None}, RecipientsRefused),
        ({"DATA": "451 no"}, ContentRefused),
        ({"RCPT": "550 no", "DOT": None}, RecipientsRefused),
    ],
)
def test_a_refusal_wins_over_the_loss_behind_it(
    replies: dict[str, Entry], error: type[Exception], ehlo: str, trickle: bool
) -> None:
    transaction = message("a")
    run = Run(bent(EHLO=ehlo, **replies), [transaction], trickle=trickle)

    assert run.done == [transaction]
    assert isinstance(transaction.error, error)
    assert kind(transaction) in ("refused", "deferred")


# Doubt: from the octet that completes the message to its reply, and only there.

LINES = b"MAIL FROM:<me@x> SIZE=6\r\n", b"RCPT TO:<a@x>\r\n", b"DATA\r\n", b"text\r\n.\r\n"
WHOLE = sum(map(len, LINES))


@both_ways
@pytest.mark.parametrize("ehlo", [PIPELINING, NO_PIPELINING], ids=["pipelined", "not"])
@pytest.mark.parametrize("answered", [True, False])
def test_a_loss_after_each_octet(ehlo: str, answered: bool, trickle: bool) -> None:
    for octets in range(WHOLE + 1):
        transaction = message("a")
        run = Run(
            bent(EHLO=ehlo, DOT="250 ok" if answered else ""),
            [transaction],
            lose_after=octets,
            trickle=trickle,
        )

        if octets < WHOLE:
            assert run.server.messages == []
            assert isinstance(run.error, Disconnected)
            assert (kind(transaction), transaction.done) == ("open", False)
        elif answered:
            assert run.error is None
            assert kind(transaction) == "accepted"
        else:
            assert run.error is not None
            assert kind(transaction) == "in_doubt"
            assert isinstance(transaction.error, DeliveryInDoubt)
            assert transaction.error.stage == "CONTENT"


@both_ways
def test_a_loss_after_each_octet_of_two_messages(trickle: bool) -> None:
    second_envelope = b"RSET\r\nMAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<a@x>\r\nDATA\r\n"
    whole = WHOLE + len(second_envelope) + len(LINES[-1])
    for octets in range(whole + 1):
        transactions = [message("a"), message("a")]
        run = Run(bent(DOT=["250 ok", ""]), transactions, lose_after=octets, trickle=trickle)

        complete = [octets >= WHOLE, octets >= whole]
        assert [kind(transaction) for transaction in transactions] == [
            "accepted" if complete[0] else "open",
            "in_doubt" if complete[1] else "open",
        ]
        assert [transaction.done for transaction in transactions] == complete
        assert len(run.server.messages) == sum(complete)


@every_pace
@both_ways
@pytest.mark.parametrize(("reply", "cause"), [("", TimedOut), (None, Disconnected)])
def test_no_reply_to_the_content_is_a_doubt(
    reply: str | None, cause: type[Exception], ehlo: str, trickle: bool
) -> None:
    first, second = message("a"), message("a")
    run = Run(bent(EHLO=ehlo, DOT=reply), [first, second], trickle=trickle)

    assert isinstance(run.error, cause)
    assert run.done == [first]
    assert kind(first) == "in_doubt"
    assert not second.done


def test_nonsense_in_place_of_the_verdict_is_a_doubt() -> None:
    first, second = message("a"), message("a")
    run = Run(bent(DOT="what?"), [first, second])

    assert isinstance(run.error, ProtocolError)
    assert (kind(first), second.done) == ("in_doubt", False)


def test_recipients_already_refused_are_in_no_doubt() -> None:
    replies: dict[str, Entry] = {"RCPT TO:<no@x>": "550 no", "DOT": None}
    run = Run(bent(**replies), [message("a", "no")])

    assert fates(run.done[0]) == {"a": "in_doubt", "no": "refused"}


# A refusal in the middle of the content.


class Impatient(Server):
    """Refuses the content as soon as the first octets of it arrive."""

    refusal = b"552 5.3.4 too big\r\n"

    def hear(self, octets: bytes) -> bytes:
        refused = self._in_content
        said = super().hear(octets)
        if refused and self._in_content and self._buffer:
            said += self.refusal
            self.refusal = b""
        return said


@every_pace
@both_ways
def test_a_refusal_in_the_middle_of_the_content(ehlo: str, trickle: bool) -> None:
    # Octet by octet a few of them will do; whole, there must be more than one write.
    text = b"x" * 20 if trickle else b"x\r\n" * BLOCK
    first, second = message("a", text=text, size=None), message("a")
    run = Run(Impatient(answers(EHLO=ehlo)), [first, second], trickle=trickle)

    assert isinstance(run.error, Disconnected)
    assert run.error.stage == "CONTENT"
    assert run.done == [first]
    assert isinstance(first.error, ContentRefused)
    assert first.error.reply is not None
    assert first.error.reply.code == 552
    assert kind(first) == "refused"
    # The rest of the content would have been read as commands.
    assert run.server.messages == []
    assert run.session.broken
    assert not second.done


def test_an_acceptance_in_the_middle_of_the_content_is_nonsense() -> None:
    server = Impatient(answers())
    server.refusal = b"250 ok\r\n"
    transaction = message("a", text=b"x\r\n" * BLOCK)
    run = Run(server, [transaction])

    assert isinstance(run.error, ProtocolError)
    assert not transaction.done


# Losses in the slower way.


class LostBehindTheDot(Server):
    """503 to the first MAIL behind a final dot, and the end."""

    def _reply(self, line: str) -> bytes:
        if line.startswith("MAIL") and self.messages:
            self.gone = True
            return b"503 5.5.1 what?\r\n"
        return super()._reply(line)


def test_a_loss_behind_a_503_for_streaming_decides_nothing() -> None:
    first, second = message("a"), message("a")
    run = Run(LostBehindTheDot(answers()), [first, second], traits=ServerTraits())

    assert isinstance(run.error, Disconnected)
    assert run.done == [first]
    assert (kind(first), kind(second)) == ("accepted", "open")
