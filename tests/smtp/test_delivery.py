from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from django_smtpauth.smtp.content import BLOCK, Content
from django_smtpauth.smtp.delivery import ServerTraits
from django_smtpauth.smtp.envelope import MAX_GROUP_COMMANDS, MAX_GROUP_OCTETS
from django_smtpauth.smtp.errors import (
    ContentRefused,
    Disconnected,
    NotSupported,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
)
from django_smtpauth.smtp.session import State
from django_smtpauth.smtp.transaction import Envelope, Transaction
from tests.smtp.deliveries import NO_PIPELINING, PIPELINING, Run, bent, fates, message
from tests.smtp.sansio import Answers, Entry, Server, answers

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])

# What the server may offer, and what the policy may allow; only both together are a pipeline.
every_pace = pytest.mark.parametrize(
    ("ehlo", "pipelining"),
    [(None, True), (NO_PIPELINING, True), (None, False)],
    ids=["pipelined", "not offered", "not allowed"],
)


def paced(ehlo: str | None, **replies: Entry) -> Server:
    return bent(EHLO=ehlo or PIPELINING, **replies)


# Flights.


def test_a_message_takes_two_flights() -> None:
    run = Run(bent(), [message("a", "b")])

    assert run.flights == [
        b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n",
        b"text\r\n.\r\n",
    ]
    assert run.done[0].sent


def test_the_next_envelope_leaves_behind_the_content() -> None:
    run = Run(bent(), [message("a", text=b"one"), message("b", text=b"two"), message("c")])

    assert run.flights == [
        b"MAIL FROM:<me@x> SIZE=5\r\nRCPT TO:<a@x>\r\nDATA\r\n",
        b"one\r\n.\r\nRSET\r\nMAIL FROM:<me@x> SIZE=5\r\nRCPT TO:<b@x>\r\nDATA\r\n",
        b"two\r\n.\r\nRSET\r\nMAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<c@x>\r\nDATA\r\n",
        b"text\r\n.\r\n",
    ]
    assert [fates(transaction) for transaction in run.done] == [
        {"a": "accepted"},
        {"b": "accepted"},
        {"c": "accepted"},
    ]
    assert run.server.messages == [b"one\r\n", b"two\r\n", b"text\r\n"]


@pytest.mark.parametrize("number", [1, 2, 100])
def test_n_messages_take_n_plus_one_flights(number: int) -> None:
    run = Run(bent(), (message("a") for _ in range(number)))

    assert len(run.flights) == number + 1
    assert len(run.done) == number


@pytest.mark.parametrize(("ehlo", "pipelining"), [(NO_PIPELINING, True), (None, False)])
def test_one_command_at_a_time_without_pipelining(ehlo: str | None, pipelining: bool) -> None:
    run = Run(paced(ehlo), [message("a", "b"), message("c")], pipelining=pipelining)

    assert run.flights == [
        b"MAIL FROM:<me@x> SIZE=6\r\n",
        b"RCPT TO:<a@x>\r\n",
        b"RCPT TO:<b@x>\r\n",
        b"DATA\r\n",
        b"text\r\n.\r\n",
        # The content was accepted, so nothing is left to be reset.
        b"MAIL FROM:<me@x> SIZE=6\r\n",
        b"RCPT TO:<c@x>\r\n",
        b"DATA\r\n",
        b"text\r\n.\r\n",
    ]


@every_pace
@both_ways
def test_the_outcome_does_not_depend_on_the_pace(
    ehlo: str | None, pipelining: bool, trickle: bool
) -> None:
    replies: dict[str, Entry] = {
        "RCPT TO:<no@x>": "550 5.1.1 no",
        "RCPT TO:<later@x>": "450 4.2.0 later",
        "MAIL FROM:<bad@x> SIZE=6": "553 5.7.1 not yours",
    }
    polite = answers(EHLO=ehlo or PIPELINING, **replies)

    def answer(line: str) -> str | None:
        if line == ".":
            last = server.messages[-1]
            return "554 5.6.0 spam" if last == b"two\r\n" else "250 2.0.0 queued as 1"
        return polite(line)

    server = Server(answer)
    run = Run(
        server,
        [
            message("a", "no", "b", "later", text=b".one"),
            message("a", text=b"two"),
            message("a", sender="bad@x"),
            message("no"),
            message("c", text=b"three\n\n"),
        ],
        pipelining=pipelining,
        trickle=trickle,
    )

    assert [fates(transaction) for transaction in run.done] == [
        {"no": "refused", "later": "deferred", "a": "accepted", "b": "accepted"},
        {"a": "refused"},
        {"a": "refused"},
        {"no": "refused"},
        {"c": "accepted"},
    ]
    assert [type(transaction.error) for transaction in run.done] == [
        type(None),
        ContentRefused,
        SenderRefused,
        RecipientsRefused,
        type(None),
    ]
    assert run.done[0].final is not None
    assert run.done[0].final.text == "queued as 1"
    assert [text for text in run.server.messages if text] == [
        b"..one\r\n",
        b"two\r\n",
        b"three\r\n\r\n",
    ]
    assert run.error is None
    assert run.session.reusable


def test_nothing_to_send() -> None:
    run = Run(bent(), [])

    assert (run.flights, run.done, run.error) == ([], [], None)


def test_a_session_is_used_again() -> None:
    run = Run(bent(), [message("a")])
    run.forget()
    run.deliver([message("b")])

    assert run.flights[0].startswith(b"MAIL")
    assert [fates(transaction) for transaction in run.done] == [
        {"a": "accepted"},
        {"b": "accepted"},
    ]


def test_transactions_are_pulled_one_ahead() -> None:
    pulled = []
    progress: list[tuple[int, int]] = []
    polite = answers()

    def generate() -> Iterator[Transaction]:
        for number in range(5):
            pulled.append(number)
            yield message(f"r{number}")

    def answer(line: str) -> str | None:
        if line == ".":
            progress.append((len(pulled), len(server.messages)))
        return polite(line)

    server = Server(answer)
    run = Run(server, generate())

    assert len(run.done) == 5
    # While message n is answered, n + 1 is made and n + 2 is not.
    assert progress == [(2, 1), (3, 2), (4, 3), (5, 4), (5, 5)]


# What MAIL says.


def test_mail_says_what_the_server_wants_to_know() -> None:
    text = "é".encode()
    utf8 = "250-mx\r\n250-SMTPUTF8\r\n250-8BITMIME\r\n250 SIZE"
    run = Run(bent(EHLO=utf8), [message("ü", text=text), message("a", size=None)])

    assert run.lines[0] == "MAIL FROM:<me@x> SIZE=4 BODY=8BITMIME SMTPUTF8"
    assert run.lines[1] == "RCPT TO:<ü@x>"
    assert run.lines[4] == "MAIL FROM:<me@x>"
    assert all(transaction.sent for transaction in run.done)


def test_mail_says_nothing_that_was_not_offered() -> None:
    run = Run(bent(EHLO="250 mx"), [message("a", sender="")])

    assert run.lines[0] == "MAIL FROM:<>"


@pytest.mark.parametrize(
    ("keywords", "transaction", "kind", "reason"),
    [
        ("250-8BITMIME\r\n250 SIZE 5", message("a"), ContentRefused, "size"),
        ("250 SIZE 99", message("a", text=b"\xff"), NotSupported, "not-7bit"),
        ("250 8BITMIME", message("a", text=b"x" * 999), NotSupported, "not-7bit"),
        ("250 8BITMIME", message("ü"), NotSupported, "smtputf8"),
    ],
)
def test_what_a_server_can_not_take_is_not_sent(
    keywords: str, transaction: Transaction, kind: type[SMTPError], reason: str
) -> None:
    fine = message("b", text=b"ok")
    run = Run(bent(EHLO=f"250-mx\r\n{keywords}"), [transaction, fine])

    assert isinstance(transaction.error, kind)
    assert transaction.error.reason == reason
    assert transaction.error.stage == "MAIL"
    assert not transaction.error.transient
    assert set(fates(transaction).values()) == {"refused"}
    # The others of the batch are not affected.
    assert run.done == [transaction, fine]
    assert fine.sent
    assert run.lines[:2] == [run.lines[0], "RCPT TO:<b@x>"]


def test_a_size_that_fits_or_is_not_known() -> None:
    server = bent(EHLO="250-mx\r\n250 SIZE 6")
    run = Run(server, [message("a"), message("b", size=None)])

    assert all(transaction.sent for transaction in run.done)


def test_the_error_names_the_address_that_needs_smtputf8() -> None:
    run = Run(bent(), [message("ü", "a", "é")])
    (transaction,) = run.done

    assert transaction.error is not None
    assert transaction.error.cure == "This server can't deliver to or from: ü@x, é@x."
    assert transaction.error.cure in str(transaction.error)
    assert "@" not in transaction.error.headline


def test_a_header_that_needs_smtputf8() -> None:
    envelope = Envelope("me@x", Envelope.of("me@x", ["a@x"]).recipients, utf8=True)
    run = Run(bent(), [Transaction(envelope, Content.of(b""))])

    assert isinstance(run.done[0].error, NotSupported)
    assert run.done[0].error.cure == ""


# Refusals.


@every_pace
def test_some_recipients_refused(ehlo: str | None, pipelining: bool) -> None:
    server = paced(ehlo, **{"RCPT TO:<no@x>": "550 no"})
    run = Run(server, [message("a", "no")], pipelining=pipelining)

    assert fates(run.done[0]) == {"no": "refused", "a": "accepted"}
    assert run.done[0].error is None
    assert run.server.messages == [b"text\r\n"]


def test_all_recipients_refused_and_a_354_ends_with_a_lone_dot() -> None:
    run = Run(bent(RCPT="550 no", DOT="250 empty"), [message("a", "b")])

    assert run.flights[1] == b".\r\n"
    assert fates(run.done[0]) == {"a": "refused", "b": "refused"}
    assert isinstance(run.done[0].error, RecipientsRefused)
    assert run.done[0].final is None
    assert run.session.reusable
    assert "[content, 0 octets]" in [event.text for event in run.done[0].events]


def test_all_recipients_refused_and_no_354() -> None:
    run = Run(bent(RCPT="550 no", DATA=["554 no valid recipients", "354 go"]), [message("a")])

    assert len(run.flights) == 1
    assert isinstance(run.done[0].error, RecipientsRefused)
    assert run.session.reusable


@pytest.mark.parametrize(("ehlo", "pipelining"), [(NO_PIPELINING, True), (None, False)])
def test_all_recipients_refused_and_data_never_asked(ehlo: str | None, pipelining: bool) -> None:
    run = Run(paced(ehlo, RCPT="550 no"), [message("a", "b")], pipelining=pipelining)

    assert run.lines == ["MAIL FROM:<me@x> SIZE=6", "RCPT TO:<a@x>", "RCPT TO:<b@x>"]
    assert isinstance(run.done[0].error, RecipientsRefused)


@both_ways
def test_the_sender_refused_and_a_354_ends_with_a_lone_dot(trickle: bool) -> None:
    first, second = message("a", "b", sender="bad@x"), message("c")
    replies: dict[str, Entry] = {"MAIL FROM:<bad@x> SIZE=6": "550 no"}
    run = Run(bent(**replies), [first, second], trickle=trickle)

    assert run.server.messages == [b"", b"text\r\n"]
    assert isinstance(run.done[0].error, SenderRefused)
    assert fates(run.done[0]) == {"a": "refused", "b": "refused"}
    assert run.done[1].sent


def test_the_sender_refused_without_pipelining() -> None:
    run = Run(bent(EHLO=NO_PIPELINING, MAIL="450 later"), [message("a", "b")])

    assert run.lines == ["MAIL FROM:<me@x> SIZE=6"]
    assert fates(run.done[0]) == {"a": "deferred", "b": "deferred"}


@every_pace
def test_data_refused(ehlo: str | None, pipelining: bool) -> None:
    server = paced(ehlo, DATA=["451 4.3.0 no", "354 go"])
    run = Run(server, [message("a"), message("b")], pipelining=pipelining)

    assert isinstance(run.done[0].error, ContentRefused)
    assert run.done[0].error.stage == "DATA"
    assert run.done[1].sent


@every_pace
@both_ways
def test_content_refused(ehlo: str | None, pipelining: bool, trickle: bool) -> None:
    server = paced(ehlo, DOT=["554 5.7.1 spam", "250 ok"])
    run = Run(server, [message("a"), message("b")], pipelining=pipelining, trickle=trickle)

    assert isinstance(run.done[0].error, ContentRefused)
    assert run.done[0].error.stage == "CONTENT"
    assert run.done[1].sent


# RSET.


@pytest.mark.parametrize(
    "replies",
    [
        {"RCPT": ["550 no", "250 ok"]},
        {"MAIL": ["550 no", "250 ok"]},
        {"DATA": ["451 no", "354 go"]},
        {"DOT": ["554 no", "250 ok"]},
    ],
)
@every_pace
def test_a_failed_transaction_is_reset_before_the_next(
    replies: dict[str, list[str | None]], ehlo: str | None, pipelining: bool
) -> None:
    run = Run(paced(ehlo, **replies), [message("a"), message("b")], pipelining=pipelining)
    second = run.lines.index("MAIL FROM:<me@x> SIZE=6", 1)

    assert run.lines[second - 1] == "RSET"
    assert run.lines.count("RSET") == 1
    assert run.done[1].sent


def test_no_reset_before_the_first_message() -> None:
    assert "RSET" not in Run(bent(), [message("a")]).lines


@every_pace
@both_ways
@pytest.mark.parametrize("reply", ["502 what?", "451 no"])
def test_a_reset_that_fails_ends_the_session(
    ehlo: str | None, pipelining: bool, trickle: bool, reply: str
) -> None:
    # After a refused DATA the transaction is still open: what it holds now, nobody knows.
    server = paced(ehlo, DATA=["451 no", "354 go"], RSET=reply)
    first, second = message("a"), message("b")
    run = Run(server, [first, second], pipelining=pipelining, trickle=trickle)

    assert isinstance(run.error, Disconnected)
    assert (run.error.stage, run.error.transient) == ("RSET", True)
    assert run.done == [first]
    assert not second.done
    assert not run.session.reusable


@both_ways
def test_a_reset_that_fails_between_transactions_means_nothing(trickle: bool) -> None:
    server = bent(RSET="502 what?", DOT=["554 no", "250 ok"])
    run = Run(server, [message("a"), message("b")], trickle=trickle)

    assert run.done[1].sent


# Groups are bounded.


def groups_of(flight: bytes) -> list[str]:
    return [line.split()[0].decode() for line in flight.splitlines()]


def test_a_group_has_at_most_256_commands() -> None:
    names = [f"r{number}" for number in range(600)]
    run = Run(bent(), [message(*names)])

    assert [len(groups_of(flight)) for flight in run.flights[:-1]] == [256, 256, 90]
    assert MAX_GROUP_COMMANDS == 256
    assert run.lines[1:-2] == [f"RCPT TO:<{name}@x>" for name in names]
    assert set(fates(run.done[0]).values()) == {"accepted"}


def test_a_group_has_at_most_16_kib() -> None:
    names = [f"{number:0>500}" for number in range(100)]
    run = Run(bent(), [message(*names)])

    assert len(run.flights) == 5
    assert all(len(flight) <= MAX_GROUP_OCTETS for flight in run.flights)
    assert len(run.flights[1]) > MAX_GROUP_OCTETS - 600
    assert MAX_GROUP_OCTETS == 16 * 1024


def test_only_the_first_group_leaves_behind_a_content() -> None:
    names = [f"r{number}" for number in range(300)]
    run = Run(bent(), [message("a"), message(*names)])

    assert run.flights[1].count(b"RCPT") == 254
    assert run.flights[2].count(b"RCPT") == 46
    assert run.flights[2].endswith(b"DATA\r\n")
    assert run.done[1].sent


def test_a_refused_sender_ends_the_groups() -> None:
    names = [f"r{number}" for number in range(600)]
    run = Run(bent(MAIL="550 no", RCPT="503 no"), [message(*names)])

    assert len(run.flights) == 1
    assert isinstance(run.done[0].error, SenderRefused)
    assert len(run.done[0].outcomes) == 600


def test_a_last_group_of_data_alone_needs_a_recipient() -> None:
    names = [f"r{number}" for number in range(255)]
    run = Run(bent(RCPT="550 no"), [message(*names), message("a")])

    assert "DATA" not in run.lines[:256]
    assert isinstance(run.done[0].error, RecipientsRefused)


# A server that can't take an envelope behind a final dot.


class Unready(Server):
    """Answers 503 to all that comes in one packet with a final dot.

    takes_data: but 354 to DATA all the same.
    """

    def __init__(self, answer: Answers, *, takes_data: bool = False) -> None:
        super().__init__(answer)
        self._behind_a_dot = False
        self._takes_data = takes_data

    def hear(self, octets: bytes) -> bytes:
        self._behind_a_dot = False
        return super().hear(octets)

    def _reply(self, line: str) -> bytes:
        if self._behind_a_dot and not (self._takes_data and line == "DATA"):
            self.lines.append(f"({line})")
            return b"503 5.5.1 what?\r\n"
        self._behind_a_dot = line == "." or (self._behind_a_dot and line != "DATA")
        return super()._reply(line)


@pytest.mark.parametrize("takes_data", [False, True])
def test_an_unready_server_is_served_the_slower_way(takes_data: bool) -> None:
    traits = ServerTraits()
    texts = [b"one", b"two", b"three"]
    server = Unready(answers(), takes_data=takes_data)
    run = Run(server, [message("a", "b", text=text) for text in texts], traits=traits)

    # Once, and correctly.
    assert [transaction.sent for transaction in run.done] == [True, True, True]
    assert [text for text in run.server.messages if text] == [text + b"\r\n" for text in texts]
    assert not traits.streams
    assert [line for line in run.lines if line.startswith("(MAIL")] == [
        "(MAIL FROM:<me@x> SIZE=5)"
    ]
    assert run.session.reusable
    assert run.done[1].error is None


def test_what_was_learnt_is_kept() -> None:
    run = Run(Unready(answers()), [message("a"), message("b")], traits=ServerTraits(streams=False))

    assert run.flights[1] == b"text\r\n.\r\n"
    assert all(transaction.sent for transaction in run.done)
    assert not any(line.startswith("(") for line in run.lines)


def test_a_503_to_an_envelope_on_its_own_is_a_refusal() -> None:
    traits = ServerTraits()
    run = Run(bent(MAIL="503 5.5.1 say hello"), [message("a")], traits=traits)

    assert isinstance(run.done[0].error, SenderRefused)
    assert traits.streams


def test_a_503_that_stays_is_a_refusal() -> None:
    replies: list[str | None] = ["250 ok", "503 no", "503 no"]
    server = bent(
        MAIL=replies, RCPT=["250 ok", "503 no", "503 no"], DATA=["354 go", "503 no", "503 no"]
    )
    run = Run(server, [message("a"), message("b")])

    assert run.done[0].sent
    assert isinstance(run.done[1].error, SenderRefused)


def test_another_refusal_behind_a_dot_is_the_envelope_s_own() -> None:
    traits = ServerTraits()
    server = bent(
        MAIL=["250 ok", "550 not yours"], RCPT=["250 ok", "503 no"], DATA=["354 go", "503 no"]
    )
    run = Run(server, [message("a"), message("b")], traits=traits)

    assert isinstance(run.done[1].error, SenderRefused)
    assert traits.streams
    assert run.lines.count("MAIL FROM:<me@x> SIZE=6") == 2


# Content.


def test_content_leaves_in_blocks() -> None:
    text = (b"." + b"x" * 70 + b"\r\n") * 5_000
    run = Run(bent(), [message("a", text=text), message("b")])

    assert run.server.messages[0] == text.replace(b"\r\n.", b"\r\n..").replace(b".", b"..", 1)
    assert run.driver.largest <= 2 * BLOCK + MAX_GROUP_OCTETS
    assert run.done[0].sent


def test_small_pieces_are_gathered() -> None:
    pieces = [b"line\r\n"] * 20_000
    content = Content(lambda: pieces, 120_000, eight_bit=False)
    run = Run(bent(), [Transaction(Envelope.of("me@x", ["a@x"]), content)])

    assert run.server.messages == [b"line\r\n" * 20_000]
    assert len(run.driver.waits) < 10


def test_a_source_that_fails_sends_no_final_dot() -> None:
    def source() -> Iterator[bytes]:
        yield b"x" * BLOCK * 2
        raise OSError("the file is gone")

    transaction = Transaction(Envelope.of("me@x", ["a@x"]), Content(source))
    server = bent()

    with pytest.raises(OSError, match="the file is gone"):
        Run(server, [transaction])
    assert server.messages == []
    assert not transaction.done


def test_how_long_each_thing_may_take() -> None:
    run = Run(bent(DOT=""), [message("a", text=b"x\r\n" * 50_000)])
    waits = run.driver.waits
    envelope, content = waits.index(60), waits.index(120)

    # Replies to the envelope, then every block of content with a time of its own, the verdict.
    assert set(waits[:envelope]) == {15}
    assert set(waits[envelope:content]) == {60}
    assert content - envelope >= 3
    assert set(waits[content:]) == {120}
    assert run.session.state is State.CONTENT


def test_a_message_s_dialogue_is_its_own() -> None:
    run = Run(bent(), [message("a"), message("b")])

    for transaction, name in zip(run.done, "ab", strict=True):
        said = "\n".join(event.text for event in transaction.events)
        assert f"RCPT TO:<{name}@x>" in said
        assert "text" not in said
        assert re.search(r"\[content, 6 octets\]\n.*250 2.0.0 queued", said, re.DOTALL)
    assert not any("RCPT" in event.text for event in run.session.events)
