"""Content in chunks (BDAT, RFC 3030): after the envelope's replies, and eagerly with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pytest

from django_smtpauth.smtp.content import BLOCK, Chunking, Content
from django_smtpauth.smtp.delivery import SILENCE, ServerTraits
from django_smtpauth.smtp.errors import (
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    NotSupported,
    ProtocolError,
    RecipientsRefused,
    SenderRefused,
    TimedOut,
)
from django_smtpauth.smtp.handover import MAX_IN_FLIGHT
from django_smtpauth.smtp.needs import Arrival, Exchange
from django_smtpauth.smtp.session import State
from django_smtpauth.smtp.transaction import Envelope, Transaction
from tests.smtp.deliveries import CHUNKING, PIPELINING, Run, bent, fates, message
from tests.smtp.sansio import Driver, Entry, Server, answers

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])
SLOW = CHUNKING.replace("250-PIPELINING\r\n", "")
BINARY = CHUNKING.replace("250 CHUNKING", "250-CHUNKING\r\n250 BINARYMIME")


def lines(octets: int) -> bytes:
    """Text of exactly so many octets, line ends included."""
    return (b"x" * 62 + b"\r\n") * (octets // 64) + (b"y" * (octets % 64 - 2) + b"\r\n")[
        : octets % 64
    ]


def chunking(**replies: Entry) -> Server:
    return bent(**{"EHLO": CHUNKING, **replies})


def proven() -> ServerTraits:
    return ServerTraits(discards_chunks=True)


# After the replies to the envelope.


def test_a_message_takes_two_flights_and_no_dot_is_doubled() -> None:
    run = Run(chunking(), [message("a", "b", text=b".one\n.\n")], bdat="after_rcpt")

    assert run.flights == [
        b"MAIL FROM:<me@x> SIZE=9\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\n",
        b"BDAT 9 LAST\r\n.one\r\n.\r\n",
    ]
    assert run.server.messages == [b".one\r\n.\r\n"]
    assert fates(run.done[0]) == {"a": "accepted", "b": "accepted"}


@pytest.mark.parametrize("number", [1, 2, 100])
def test_n_messages_take_n_plus_one_flights(number: int) -> None:
    run = Run(chunking(), (message("a") for _ in range(number)), bdat="after_rcpt")

    assert len(run.flights) == number + 1
    assert run.flights[1].startswith(b"BDAT 6 LAST\r\ntext\r\n")
    assert len(run.server.messages) == len(run.done) == number


@pytest.mark.parametrize("ehlo", [PIPELINING, CHUNKING])
def test_data_where_chunks_are_not_offered_or_not_wanted(ehlo: str) -> None:
    offered = "CHUNKING" in ehlo
    run = Run(bent(EHLO=ehlo), [message("a")], bdat="never" if offered else "after_rcpt")

    assert run.lines == ["MAIL FROM:<me@x> SIZE=6", "RCPT TO:<a@x>", "DATA", "."]


@both_ways
@pytest.mark.parametrize("ehlo", [CHUNKING, SLOW], ids=["pipelined", "one by one"])
def test_large_content_in_chunks_of_a_block(ehlo: str, trickle: bool) -> None:
    text = b"".join(b"%d ..\n" % number for number in range(3 * BLOCK // 10))
    run = Run(
        bent(EHLO=ehlo),
        [message("a", text=text), message("b")],
        bdat="after_rcpt",
        trickle=trickle,
    )

    sizes = [int(line.split()[1]) for line in run.lines if line.startswith("BDAT")]
    assert sizes[:-2] == [BLOCK] * (len(sizes) - 2)
    assert run.server.messages == [text.replace(b"\n", b"\r\n"), b"text\r\n"]
    assert [line for line in run.lines if "LAST" in line] == [
        f"BDAT {sizes[-2]} LAST",
        "BDAT 6 LAST",
    ]


@pytest.mark.parametrize("size", [2, 63, BLOCK - 2, BLOCK, BLOCK + 2, 2 * BLOCK])
def test_the_last_chunk_is_never_empty(size: int) -> None:
    run = Run(chunking(), [message("a", text=lines(size))], bdat="after_rcpt")

    last = next(line for line in run.lines if line.endswith("LAST"))
    assert int(last.split()[1]) > 0
    assert run.server.messages == [lines(size)]


@pytest.mark.parametrize("text", [b"", b"x", b"x\r"])
def test_a_line_end_is_added_where_it_is_missing(text: bytes) -> None:
    run = Run(chunking(), [message("a", text=text)], bdat="after_rcpt")

    assert run.server.messages == [text.rstrip() + b"\r\n"]


def test_memory_and_commands_in_flight_stay_bounded() -> None:
    blocks = MAX_IN_FLIGHT + 20
    most = 0

    def source() -> Iterator[bytes]:
        nonlocal most
        for _ in range(blocks):
            most = max(most, len(run_holder[0].session.in_flight) if run_holder else 0)
            yield b"x" * BLOCK

    class Deaf(Server):
        """Answers chunks only when so many were heard that it must."""

        waiting = b""

        def hear(self, octets: bytes) -> bytes:
            self.waiting += super().hear(octets)
            said = b""
            if b"BDAT" not in octets[:8] or self.waiting.count(b"\r\n") >= MAX_IN_FLIGHT:
                said, self.waiting = self.waiting, b""
            return said

    run_holder: list[Run] = []

    class Watched(Run):
        def deliver(self, transactions: object) -> None:
            run_holder.append(self)
            super().deliver(transactions)  # type: ignore[arg-type]

    content = Content(source, eight_bit=False)
    run = Watched(
        Deaf(answers(EHLO=CHUNKING)),
        [Transaction(Envelope.of("me@x", ["a@x"]), content)],
        bdat="after_rcpt",
    )

    assert run.driver.largest <= BLOCK + 100
    assert MAX_IN_FLIGHT // 2 < most <= MAX_IN_FLIGHT


def test_a_refused_chunk_ends_the_message_and_not_the_session() -> None:
    replies = {f"BDAT {BLOCK}": ["250 ok", "552 5.3.4 too much"]}
    text = lines(5 * BLOCK)
    run = Run(
        bent(EHLO=SLOW, **replies), [message("a", text=text), message("b")], bdat="after_rcpt"
    )

    assert [fates(done) for done in run.done] == [{"a": "refused"}, {"b": "accepted"}]
    error = run.done[0].error
    assert isinstance(error, ContentRefused)
    assert (error.stage, error.command) == ("CONTENT", f"BDAT {BLOCK} [content]")
    assert [line for line in run.lines if not line.startswith("RCPT")][:5] == [
        "MAIL FROM:<me@x> SIZE=327680",
        f"BDAT {BLOCK}",
        f"BDAT {BLOCK}",
        "RSET",
        "MAIL FROM:<me@x> SIZE=6",
    ]


def test_what_was_under_way_behind_a_refused_chunk_is_refused_too() -> None:
    refused = False

    def answer(line: str) -> str | None:
        nonlocal refused
        if line.startswith("BDAT") and refused:
            return "503 5.5.1 no transaction"
        if line == f"BDAT {BLOCK}":
            refused = True
            return "451 4.3.0 disk"
        return polite(line)

    class Late(Server):
        """Answers when the client has nothing more to say."""

        waiting = b""

        def hear(self, octets: bytes) -> bytes:
            self.waiting += super().hear(octets)
            if not octets or octets.endswith(b"\r\n"):
                said, self.waiting = self.waiting, b""
                return said
            return b""

    polite = answers(EHLO=CHUNKING)
    run = Run(Late(answer), [message("a", text=lines(2 * BLOCK + 2))], bdat="after_rcpt")

    assert fates(run.done[0]) == {"a": "deferred"}
    assert run.done[0].final is not None
    assert run.done[0].final.status == "451 4.3.0"
    assert run.session.state is State.FAILED
    assert run.session.reusable


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_no_chunk_when_nobody_is_to_get_it(bdat: str) -> None:
    run = Run(chunking(RCPT="550 5.1.1 no"), [message("a", "b")], bdat="after_rcpt")

    assert run.lines == ["MAIL FROM:<me@x> SIZE=6", "RCPT TO:<a@x>", "RCPT TO:<b@x>"]
    assert isinstance(run.done[0].error, RecipientsRefused)


def test_a_refusal_of_the_whole_content() -> None:
    run = Run(chunking(BDAT="554 5.6.0 spam"), [message("a")], bdat="after_rcpt")

    assert isinstance(run.done[0].error, ContentRefused)
    assert run.done[0].error.command == "BDAT 6 LAST [content]"


def test_a_server_that_refuses_what_comes_behind_the_last_chunk() -> None:
    replies: dict[str, Entry] = {
        "MAIL FROM:<me@x> SIZE=7": ["503 5.5.1 too early", "250 ok"],
    }
    traits = ServerTraits()
    run = Run(
        chunking(**replies),
        [message("a"), message("b", text=b"text2")],
        bdat="after_rcpt",
        traits=traits,
    )

    assert [fates(done) for done in run.done] == [{"a": "accepted"}, {"b": "accepted"}]
    assert not traits.streams
    assert run.server.messages == [b"text\r\n", b"text2\r\n"]


# Binary content.


def test_binary_content_goes_as_it_is() -> None:
    octets = bytes(range(256)) * 3 + b"\r\n.\r\n\n\r"
    content = Content.of_binary(octets)
    run = Run(bent(EHLO=BINARY), [Transaction(Envelope.of("me@x", ["a@x"]), content)])

    assert run.lines[0] == f"MAIL FROM:<me@x> SIZE={len(octets)} BODY=BINARYMIME"
    assert run.server.messages == [octets]


@pytest.mark.parametrize("ehlo", [CHUNKING, BINARY.replace("250-CHUNKING\r\n", "")])
def test_binary_content_needs_a_server_for_it(ehlo: str) -> None:
    content = Content.of_binary(b"\0\n")
    run = Run(bent(EHLO=ehlo), [Transaction(Envelope.of("me@x", ["a@x"]), content)])

    error = run.done[0].error
    assert isinstance(error, NotSupported)
    assert error.reason == "binary"
    assert run.lines == []


# Eagerly.


def test_a_server_proves_itself_and_a_message_takes_one_flight() -> None:
    traits = ServerTraits()
    run = Run(chunking(), [message("a"), message("b", "c")], bdat="eager", traits=traits)

    assert traits.discards_chunks is True
    assert run.flights == [
        b"BDAT 2 LAST\r\n\r\n",
        b"BDAT 3 LAST\r\nX\r\n",
        b"RSET\r\n",
        b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<a@x>\r\nBDAT 6 LAST\r\ntext\r\n",
        b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<b@x>\r\nRCPT TO:<c@x>\r\nBDAT 6 LAST\r\ntext\r\n",
    ]
    assert [fates(done) for done in run.done] == [
        {"a": "accepted"},
        {"b": "accepted", "c": "accepted"},
    ]
    assert run.server.messages == [b"text\r\n"] * 2


@pytest.mark.parametrize("probe", ["503 5.5.1 no", "554 5.5.1 no", "501 5.5.4 no"])
def test_the_proof_is_asked_for_once(probe: str) -> None:
    traits = ServerTraits()
    server = Server(answers(EHLO=CHUNKING, **{"BDAT 3 LAST": probe}))
    run = Run(server, [message("a")], bdat="eager", traits=traits)
    run.deliver([message("b")])

    assert run.lines.count("BDAT 3 LAST") == 1


@both_ways
@pytest.mark.parametrize("unknown", ["500 5.5.2 what?", "250 ok"])
@pytest.mark.parametrize("empty", ["500 5.5.2 what?", "250 ok", "passed over"])
def test_a_server_that_runs_chunks_as_commands_gets_them_later(
    trickle: bool, empty: str, unknown: str
) -> None:
    """Its replies are out of step after the proof, so that connection is not used any more."""

    class Runs(Server):
        def _take(self) -> str | None:
            line = super()._take()
            while line == "" and empty == "passed over":
                line = super()._take()
            return line

    traits = ServerTraits()
    polite = answers(EHLO=CHUNKING)

    def answer(line: str) -> str | None:
        return empty if not line else unknown if line == "X" else polite(line)

    first = Run(
        Runs(answer, swallows=False),
        [message("a")],
        bdat="eager",
        traits=traits,
        trickle=trickle,
    )
    assert isinstance(first.error, ProtocolError)
    assert first.done == []
    assert not first.session.reusable
    assert traits.discards_chunks is False

    again = Run(Runs(answer, swallows=False), [message("a")], bdat="eager", traits=traits)
    assert again.error is None
    assert again.flights == [
        b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<a@x>\r\n",
        b"BDAT 6 LAST\r\ntext\r\n",
    ]
    assert again.server.messages == [b"text\r\n"]


def test_the_time_of_the_proof_is_counted_from_its_beginning() -> None:
    """A connection may have waited for long before its first message."""

    class Idle(Run):
        def deliver(self, transactions: Iterable[Transaction]) -> None:
            self.clock.advance(1_000)
            super().deliver(transactions)

    run = Idle(chunking(), [message("a")], bdat="eager")

    assert run.lines[0] == "BDAT 2 LAST"
    assert min(run.driver.waits) > 0


def test_no_proof_amid_a_transaction() -> None:
    """What was learnt may have been forgotten since the last message."""
    traits = ServerTraits()
    run = Run(chunking(RCPT=["550 no", "250 ok"]), [message("a")], bdat="eager", traits=traits)
    assert run.session.state is State.SENDER
    run.forget()
    traits.discards_chunks = None
    run.deliver([message("b")])

    assert fates(run.done[1]) == {"b": "accepted"}
    assert run.lines[0] == "RSET"


def test_a_refusal_for_now_proves_nothing() -> None:
    traits = ServerTraits()
    polite = answers(EHLO=CHUNKING)
    server = Server(lambda line: "451 4.3.0 busy" if line == "BDAT 3 LAST" else polite(line))
    run = Run(server, [message("a")], bdat="eager", traits=traits)

    assert traits.discards_chunks is False
    assert fates(run.done[0]) == {"a": "accepted"}


def test_a_server_that_hangs_up_at_the_proof_is_not_asked_again() -> None:
    traits = ServerTraits()
    polite = answers(EHLO=CHUNKING)
    server = Server(lambda line: None if line == "BDAT 3 LAST" else polite(line))
    run = Run(server, [message("a")], bdat="eager", traits=traits)

    assert isinstance(run.error, Disconnected)
    assert run.done == []
    assert traits.discards_chunks is False


@pytest.mark.parametrize(
    ("ehlo", "text", "facts"),
    [
        (CHUNKING, lines(BLOCK + 2), {}),
        (CHUNKING, b"x\r\n", {"size": None}),
        (SLOW, b"x\r\n", {}),
    ],
    ids=["large", "of unknown size", "no pipelining"],
)
def test_what_waits_for_the_replies_to_its_envelope(
    ehlo: str, text: bytes, facts: dict[str, object]
) -> None:
    run = Run(bent(EHLO=ehlo), [message("a", text=text, **facts)], bdat="eager", traits=proven())

    assert not any(b"RCPT" in flight and b"BDAT" in flight for flight in run.flights)
    assert run.server.messages == [text]


def test_an_envelope_of_several_groups_waits() -> None:
    many = [f"r{number}" for number in range(300)]
    run = Run(chunking(), [message(*many)], bdat="eager", traits=proven())

    assert not any(b"RCPT" in flight and b"BDAT" in flight for flight in run.flights)
    assert set(fates(run.done[0]).values()) == {"accepted"}


def test_after_silence_the_envelope_is_a_flight_of_its_own() -> None:
    """A connection that died unnoticed would swallow the message, and nobody would know."""
    run = Run(chunking(), [message("a")], bdat="eager", traits=proven())
    run.forget()
    run.clock.advance(SILENCE)
    run.deliver([message("b"), message("c")])

    assert run.flights == [
        b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<b@x>\r\n",
        b"BDAT 6 LAST\r\ntext\r\nRSET\r\nMAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<c@x>\r\n",
        b"BDAT 6 LAST\r\ntext\r\n",
    ]


@both_ways
def test_refusals_of_eager_messages(trickle: bool) -> None:
    replies: dict[str, Entry] = {
        "RCPT TO:<no@x>": "550 5.1.1 no",
        "MAIL FROM:<bad@x> SIZE=6": "553 5.7.1 not yours",
        "BDAT 7 LAST": "554 5.6.0 spam",
    }
    run = Run(
        chunking(**replies),
        [
            message("a", "no"),
            message("a", sender="bad@x"),
            message("no"),
            message("a", text=b"three"),
            message("b"),
        ],
        bdat="eager",
        traits=proven(),
        trickle=trickle,
    )

    assert [fates(done) for done in run.done] == [
        {"no": "refused", "a": "accepted"},
        {"a": "refused"},
        {"no": "refused"},
        {"a": "refused"},
        {"b": "accepted"},
    ]
    assert [type(done.error) for done in run.done[1:4]] == [
        SenderRefused,
        RecipientsRefused,
        ContentRefused,
    ]
    assert run.server.messages[0] == run.server.messages[-1] == b"text\r\n"


def test_several_messages_may_wait_for_their_replies() -> None:
    class Late(Server):
        """Answers when five messages have come."""

        waiting = b""

        def hear(self, octets: bytes) -> bytes:
            self.waiting += super().hear(octets)
            if len(self.messages) % 5 == 0:
                said, self.waiting = self.waiting, b""
                return said
            return b""

    run = Run(
        Late(answers(EHLO=CHUNKING)),
        (message(f"r{number}") for number in range(20)),
        bdat="eager",
        max_unanswered=5,
        traits=proven(),
    )

    assert run.error is None
    assert len(run.server.messages) == 20
    assert [next(iter(fates(done))) for done in run.done] == [f"r{n}" for n in range(20)]
    assert {status for done in run.done for status in fates(done).values()} == {"accepted"}
    assert len(run.flights) <= 5


def test_a_message_that_waits_lets_the_eager_ones_land_first() -> None:
    run = Run(
        chunking(),
        [message("a"), message("b"), message("c", text=lines(BLOCK + 2)), message("d")],
        bdat="eager",
        max_unanswered=5,
        traits=proven(),
    )

    assert [next(iter(fates(done))) for done in run.done] == ["a", "b", "c", "d"]
    assert len(run.server.messages) == 4


# Losses.


def lost_at(lose_after: int, max_unanswered: int = 1, **replies: Entry) -> Run:
    return Run(
        chunking(**replies),
        [message("a"), message("b")],
        bdat="eager",
        max_unanswered=max_unanswered,
        traits=proven(),
        lose_after=lose_after,
    )


ENVELOPE = b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<a@x>\r\n"
MESSAGE = ENVELOPE + b"BDAT 6 LAST\r\ntext\r\n"


def test_before_the_last_octet_nothing_is_in_doubt() -> None:
    class Mute(Server):
        def hear(self, octets: bytes) -> bytes:
            said = super().hear(octets)
            return said if b"EHLO" in octets or b"mx ESMTP" in said else b""

    for octets in range(len(MESSAGE) + 1):
        run = Run(
            Mute(answers(EHLO=CHUNKING)),
            [message("a")],
            bdat="eager",
            traits=proven(),
            lose_after=octets,
        )
        assert isinstance(run.error, Disconnected)
        whole = octets == len(MESSAGE)
        assert len(run.done) == whole, octets
        if whole:
            assert isinstance(run.done[0].error, DeliveryInDoubt)
            assert fates(run.done[0]) == {"a": "in_doubt"}


@pytest.mark.parametrize("entry", ["MAIL", "RCPT"])
def test_goodbye_to_the_envelope_means_that_the_content_was_not_read(entry: str) -> None:
    run = Run(
        chunking(**{entry: "421 4.3.2 bye"}),
        [message("a")],
        bdat="eager",
        traits=proven(),
    )

    assert isinstance(run.error, Disconnected)
    assert run.done == []


def test_what_one_connection_proved_another_may_not_offer() -> None:
    run = Run(bent(EHLO=PIPELINING), [message("a")], bdat="eager", traits=proven())

    assert "DATA" in run.lines
    assert fates(run.done[0]) == {"a": "accepted"}


class Impatient(Server):
    """Refuses the first chunk as soon as its first octets arrive."""

    refusal = b"552 5.3.4 too big\r\n"

    def hear(self, octets: bytes) -> bytes:
        said = super().hear(octets)
        if self._chunk and self._buffer:
            said += self.refusal
            self.refusal = b""
        return said


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_a_chunk_that_is_refused_before_its_end(bdat: Chunking) -> None:
    """The rest of it is in the way of whatever would follow on this connection."""
    first, second = message("a", text=lines(256)), message("b")
    run = Run(
        Impatient(answers(EHLO=CHUNKING)),
        [first, second],
        bdat=bdat,
        traits=proven(),
        trickle=True,
    )

    assert isinstance(run.error, Disconnected)
    assert run.done == [first]
    assert fates(first) == {"a": "refused"}
    assert not second.done
    assert not run.session.reusable
    assert run.server.messages == []


def test_a_server_that_refuses_what_comes_behind_an_eager_message() -> None:
    """503 is no verdict there: the message goes out once more, when nothing is in flight."""

    class Late(Server):
        """Answers the first three together."""

        waiting = b""

        def hear(self, octets: bytes) -> bytes:
            self.waiting += super().hear(octets)
            if sum(line.endswith("LAST") for line in self.lines) in (1, 2):
                return b""
            said, self.waiting = self.waiting, b""
            return said

    traits = proven()
    early = "503 5.5.1 early"
    run = Run(
        Late(answers(EHLO=CHUNKING, MAIL=["250 ok", early, early, *["250 ok"] * 3])),
        [message("a"), message("b"), message("c"), message("d")],
        bdat="eager",
        max_unanswered=3,
        traits=traits,
    )

    assert run.error is None
    assert sorted(str(fates(done)) for done in run.done) == [
        str({name: "accepted"}) for name in "abcd"
    ]
    assert len(run.server.messages) == 4
    assert not traits.streams
    assert sum(line.startswith("MAIL") for line in run.lines) == 6


def test_goodbye_to_the_last_chunk_is_its_verdict() -> None:
    run = Run(
        chunking(BDAT="421 4.3.2 bye"),
        [message("a"), message("b")],
        bdat="eager",
        max_unanswered=2,
        traits=proven(),
    )

    assert [fates(done) for done in run.done] == [{"a": "deferred"}]


@both_ways
def test_goodbye_to_an_earlier_chunk_is_no_verdict(trickle: bool) -> None:
    """The message was not complete: it can be sent over another connection."""
    text = lines(BLOCK + 64)
    transaction = message("a", text=text)
    replies: dict[str, Entry] = {f"BDAT {BLOCK}": "421 4.3.2 bye"}
    run = Run(chunking(**replies), [transaction], bdat="after_rcpt", trickle=trickle)

    assert isinstance(run.error, Disconnected)
    assert run.done == []
    assert fates(transaction) == {}
    assert Run(chunking(), [transaction], bdat="after_rcpt").server.messages == [text]
    assert fates(transaction) == {"a": "accepted"}


def test_of_several_unanswered_all_are_in_doubt() -> None:
    class Mute(Server):
        def hear(self, octets: bytes) -> bytes:
            said = super().hear(octets)
            self.gone = len(self.messages) == 3
            return b"" if self.messages else said

    run = Run(
        Mute(answers(EHLO=CHUNKING)),
        [message("a"), message("b"), message("c"), message("d")],
        bdat="eager",
        max_unanswered=3,
        traits=proven(),
    )

    assert [fates(done) for done in run.done] == [
        {"a": "in_doubt"},
        {"b": "in_doubt"},
        {"c": "in_doubt"},
    ]


def test_a_refused_envelope_is_a_verdict_though_the_connection_is_lost() -> None:
    polite = answers(EHLO=CHUNKING)

    def answer(line: str) -> str | None:
        if line.startswith("RCPT"):
            return "550 5.1.1 no"
        return None if line.startswith("BDAT") else polite(line)

    run = Run(Server(answer), [message("a")], bdat="eager", traits=proven())

    assert fates(run.done[0]) == {"a": "refused"}


def test_a_server_that_refuses_rset_behind_an_eager_message() -> None:
    run = Run(
        chunking(RSET="500 what", RCPT="550 no"),
        [message("a"), message("b")],
        bdat="eager",
        traits=proven(),
    )

    assert isinstance(run.error, Disconnected)
    assert run.error.stage == "RSET"
    assert [fates(done) for done in run.done] == [{"a": "refused"}, {"b": "in_doubt"}]


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_a_chunk_that_is_refused_before_its_octets_came(bdat: Chunking) -> None:
    """The verdict stands; but the octets that are still to come would be run as commands."""

    class Hasty(Server):
        def _take_chunk(self) -> str | None:
            line, self._chunk = self._chunk, ""
            return line

    hasty = Hasty(answers(EHLO=CHUNKING, BDAT="552 5.3.4 too much"))
    text = lines(640)
    run = Run(
        hasty, [message("a", text=text), message("b")], bdat=bdat, traits=proven(), trickle=True
    )

    assert isinstance(run.error, Disconnected)
    assert [fates(done) for done in run.done] == [{"a": "refused"}]
    assert not run.session.reusable


def test_the_envelope_s_replies_have_their_time_also_when_the_content_is_under_way() -> None:
    """A server that drips them can't make them last: until_content bounds them all."""

    class Slow(Driver):
        """A line of the replies every nine seconds."""

        later = b""

        def exchange(self, need: Exchange) -> Arrival:
            if need.timeout <= 0:
                return Arrival(b"", self.handed, TimedOut("the server did not answer in time"))
            self.later = self.later or super().exchange(need).data
            line, end, self.later = self.later.partition(b"\n")
            run.clock.advance(9 if end else 0)
            return Arrival(line + end, self.handed)

    run = Run(chunking(), [], bdat="eager", traits=proven())
    run.driver.__class__ = Slow
    run.deliver([message(*(f"r{number}" for number in range(40)))])

    assert isinstance(run.error, TimedOut)
    assert set(fates(run.done[0]).values()) == {"in_doubt"}


def test_time_runs_to_the_verdict_and_not_to_the_envelopes_replies() -> None:
    """The verdict may take long, and the envelope's replies come right before it."""
    run = Run(chunking(), [message("a")], bdat="eager", traits=proven(), trickle=True)

    assert max(run.driver.waits) == 120.0
    assert re.fullmatch(rb"(?s)MAIL.*LAST.*", b"".join(run.flights))
