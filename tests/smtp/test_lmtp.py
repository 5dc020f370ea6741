"""LMTP (RFC 2033): LHLO, and one reply to the content for each recipient that was accepted."""

from __future__ import annotations

import pytest

from django_smtpauth.smtp.delivery import ServerTraits
from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import (
    DeliveryInDoubt,
    Disconnected,
    HelloRefused,
    NotSupported,
    RecipientsRefused,
)
from django_smtpauth.smtp.tls import Security
from tests.smtp.deliveries import Run, bent, fates, message
from tests.smtp.openings import GREETING, Opening
from tests.smtp.sansio import Entry, Server, answers

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])
every_way = pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])

FULL = "452 4.2.2 mailbox full"
NO = "550 5.7.1 spam"
OK = "250 2.0.0 delivered"


def verdicts(*replies: str | None, **others: Entry) -> Server:
    """Answers to the end of content, one after the other, however it comes."""
    polite = answers(**others)
    left = list(replies)

    def answer(line: str) -> str | None:
        completes = line == "." or line.endswith(" LAST")
        if completes and server._accepted:
            return left.pop(0)
        return polite(line)

    server = Server(answer)
    return server


@every_way
@both_ways
def test_each_recipient_has_its_own_verdict(bdat: str, trickle: bool) -> None:
    run = Run(
        verdicts(OK, FULL, NO, OK, **{"RCPT TO:<nobody@x>": "550 5.1.1 nobody"}),
        [message("a", "nobody", "b", "c"), message("d")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
        trickle=trickle,
    )

    assert run.error is None
    assert fates(run.done[0]) == {
        "nobody": "refused",
        "a": "accepted",
        "b": "deferred",
        "c": "refused",
    }
    assert run.done[0].error is None
    assert run.done[0].final is not None
    assert run.done[0].final.code == 250
    assert fates(run.done[1]) == {"d": "accepted"}
    assert run.session.reusable


@pytest.mark.parametrize("max_unanswered", [1, 3])
@every_way
def test_nothing_follows_before_several_verdicts(bdat: str, max_unanswered: int) -> None:
    """Of a server that gives fewer, the answer to RSET or MAIL would be taken for one of them."""
    run = Run(
        verdicts(NO, None),
        [one := message("a", "b"), behind := message("c")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
        max_unanswered=max_unanswered,
        traits=ServerTraits(discards_chunks=True),
    )

    assert run.error is not None
    assert fates(one) == {"a": "refused", "b": "in_doubt"}
    assert not behind.done
    assert "RCPT TO:<c@x>" not in run.lines


@every_way
def test_a_stream_where_one_verdict_is_due(bdat: str) -> None:
    run = Run(
        verdicts(OK, NO, OK),
        [message("a"), message("b"), message("c")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
        traits=ServerTraits(discards_chunks=True),
    )

    assert [*map(fates, run.done)] == [{"a": "accepted"}, {"b": "refused"}, {"c": "accepted"}]
    assert len(run.flights) == (3 if bdat == "eager" else 4)


@every_way
def test_all_of_them_refuse(bdat: str) -> None:
    run = Run(
        verdicts(FULL, NO),
        [message("a", "b")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
    )

    error = run.done[0].error
    assert isinstance(error, RecipientsRefused)
    assert error.stage == "CONTENT"
    assert error.transient
    assert {a: code for a, (code, _) in error.recipients.items()} == {"a@x": 452, "b@x": 550}


@every_way
@both_ways
def test_nobody_was_accepted(bdat: str, trickle: bool) -> None:
    run = Run(
        verdicts(OK, **{"RCPT TO:<no@x>": "550 5.1.1 nobody", "DATA": ["503 5.5.1 no", "354 go"]}),
        [message("no"), message("a")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
        trickle=trickle,
        traits=ServerTraits(discards_chunks=True),
    )

    assert run.error is None
    assert [fates(done) for done in run.done] == [{"no": "refused"}, {"a": "accepted"}]


def test_a_server_that_wants_content_for_nobody_is_left() -> None:
    """How many replies would follow a lone dot? None by the RFC, one by others."""
    run = Run(
        bent(RCPT="550 5.1.1 nobody"),
        [message("a"), waiting := message("b")],
        hello="LHLO",
    )

    assert run.error is None
    assert [fates(done) for done in run.done] == [{"a": "refused"}]
    assert not waiting.done
    assert run.lines == ["MAIL FROM:<me@x>", "RCPT TO:<a@x>", "DATA"]
    assert run.session.spent
    assert not run.session.quiet


def test_a_stream_that_is_refused_with_354_is_left_too() -> None:
    run = Run(
        bent(MAIL=["250 ok", "503 too early"]),
        [message("a"), waiting := message("b")],
        hello="LHLO",
    )

    assert run.error is None
    assert [fates(done) for done in run.done] == [{"a": "accepted"}]
    assert not waiting.done
    assert run.session.spent


@every_way
@pytest.mark.parametrize("known", [0, 1, 2])
def test_a_loss_between_the_verdicts(bdat: str, known: int) -> None:
    run = Run(
        verdicts(*[OK, FULL][:known], None),
        [message("a", "b", "c")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
        traits=ServerTraits(discards_chunks=True),
    )

    assert isinstance(run.error, Disconnected)
    expected = ["accepted", "deferred"][:known] + ["in_doubt"] * (3 - known)
    assert [fates(run.done[0])[name] for name in "abc"] == expected
    # Somebody has the message, so it is no failure as a whole.
    assert isinstance(run.done[0].error, DeliveryInDoubt) is (known == 0)


@every_way
def test_goodbye_as_one_of_the_verdicts_leaves_the_later_ones_in_doubt(bdat: str) -> None:
    run = Run(
        verdicts(OK, "421 4.3.2 bye"),
        [message("a", "b", "c")],
        hello="LHLO",
        bdat=bdat,  # type: ignore[arg-type]
        traits=ServerTraits(discards_chunks=True),
    )

    assert isinstance(run.error, Disconnected)
    assert fates(run.done[0]) == {"a": "accepted", "b": "deferred", "c": "in_doubt"}


def test_a_refused_chunk_is_answered_once() -> None:
    text = (b"x" * 62 + b"\r\n") * 1_025
    run = Run(
        bent(**{"BDAT 65536": "552 5.3.4 too much", "BDAT 64 LAST": "503 5.5.1 no"}),
        [message("a", "b", text=text), message("c")],
        hello="LHLO",
        bdat="after_rcpt",
    )

    assert fates(run.done[0]) == {"a": "refused", "b": "refused"}
    assert fates(run.done[1]) == {"c": "accepted"}


# Opening.


def endpoint(**changes: object) -> Endpoint:
    return Endpoint("mx", security=Security.NONE, protocol="lmtp", **changes)  # type: ignore[arg-type]


def test_lhlo_takes_the_place_of_ehlo() -> None:
    opening = Opening(
        endpoint(), GREETING, (b"LHLO me.example\r\n", b"250-mx\r\n250 PIPELINING\r\n")
    )

    assert opening.opened is not None
    assert opening.wire.session.lmtp
    assert opening.wire.session.extensions.pipelining


def test_a_server_that_does_not_know_lhlo() -> None:
    error = Opening(endpoint(), GREETING, (b"LHLO me.example\r\n", b"500 5.5.2 what?\r\n")).error

    assert isinstance(error, HelloRefused)
    assert "Use protocol 'smtp'." in str(error)


def test_a_server_that_does_not_want_to_say_lhlo_now() -> None:
    error = Opening(endpoint(), GREETING, (b"LHLO me.example\r\n", b"450 4.3.2 later\r\n")).error

    assert isinstance(error, HelloRefused)
    assert error.transient


def test_a_server_for_lmtp_that_is_greeted_with_ehlo() -> None:
    """Dovecot's answer; HELO is no more to its taste."""
    opening = Opening(
        Endpoint("mx", security=Security.NONE),
        GREETING,
        (b"EHLO me.example\r\n", b"502 5.5.1 Unknown command\r\n"),
        (b"HELO me.example\r\n", b"502 5.5.1 Unknown command\r\n"),
    )

    assert isinstance(opening.error, HelloRefused)
    assert not isinstance(opening.error, NotSupported)
