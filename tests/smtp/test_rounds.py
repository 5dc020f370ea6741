"""More recipients than a server takes at once, more messages than it takes on one connection."""

from __future__ import annotations

import pytest

from django_smtpauth.smtp.delivery import ServerTraits
from django_smtpauth.smtp.errors import (
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    NotSupported,
    RecipientsRefused,
    SMTPError,
)
from django_smtpauth.smtp.transaction import Envelope, Recipient, Transaction
from tests.smtp.deliveries import CHUNKING, PIPELINING, Run, bent, fates, message
from tests.smtp.sansio import Entry, Server, answers

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])
every_way = pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])

TOO_MANY = "452 4.5.3 too many recipients"


def at_most(
    recipients: int, refusal: str = TOO_MANY, ehlo: str = CHUNKING, **replies: Entry
) -> Server:
    """Takes so many recipients in one transaction."""
    polite = answers(**{"EHLO": ehlo, **replies})
    accepted = 0

    def answer(line: str) -> str | None:
        nonlocal accepted
        if line.startswith(("MAIL", "RSET")):
            accepted = 0
        if line.startswith("RCPT") and accepted >= recipients:
            return refusal
        reply = polite(line)
        accepted += line.startswith("RCPT") and reply is not None and reply.startswith("2")
        return reply

    return Server(answer)


def limited(limits: str, **replies: Entry) -> Server:
    return bent(**{"EHLO": PIPELINING.replace("250 ", f"250-LIMITS {limits}\r\n250 "), **replies})


def mails(run: Run) -> int:
    return sum(line.startswith("MAIL") for line in run.lines)


def recipients_of(run: Run) -> list[list[str]]:
    """The recipients of each transaction, refused ones included."""
    rounds: list[list[str]] = []
    for line in run.lines:
        if line.startswith("MAIL"):
            rounds.append([])
        elif line.startswith("RCPT"):
            rounds[-1].append(line[9:-3])
    return rounds


# 452 on the k-th recipient.


@every_way
@both_ways
@pytest.mark.parametrize(
    "refusal", [TOO_MANY, "452 too many", "550 5.5.3 too many", "552 5.5.3 too many"]
)
def test_too_many_recipients_go_in_another_transaction(
    bdat: str, trickle: bool, refusal: str
) -> None:
    names = ["a", "b", "c", "d", "e"]
    transactions = [message(*names), message("z")]
    run = Run(
        at_most(2, refusal),
        transactions,
        bdat=bdat,  # type: ignore[arg-type]
        trickle=trickle,
    )

    assert fates(transactions[0]) == dict.fromkeys(names, "accepted")
    assert fates(transactions[1]) == {"z": "accepted"}
    assert len(run.done) == 2
    assert len(run.server.messages) == 4
    assert run.error is None


@pytest.mark.parametrize(
    "refusal",
    ["452 4.2.2 mailbox full", "452 4.3.1 disk full", "450 4.2.1 greylisted", "552 full"],
)
def test_other_refusals_are_verdicts(refusal: str) -> None:
    run = Run(at_most(2, refusal), [message("a", "b", "c")])

    assert fates(run.done[0])["c"] in ("deferred", "refused")
    assert len(run.server.messages) == 1


def test_452_to_the_first_recipient_is_a_verdict() -> None:
    run = Run(at_most(0), [message("a", "b")])

    assert fates(run.done[0]) == {"a": "deferred", "b": "deferred"}
    assert isinstance(run.done[0].error, RecipientsRefused)
    assert mails(run) == 1


def test_what_the_server_said_is_remembered() -> None:
    traits = ServerTraits()
    run = Run(at_most(2), [message("a", "b", "c"), message("d", "e", "f")], traits=traits)

    assert traits.most_recipients == 2
    assert recipients_of(run) == [["a", "b", "c"], ["d", "e", "f"], ["c"], ["f"]]
    run.forget()
    run.deliver([message("g", "h", "i")])
    assert recipients_of(run) == [["g", "h"], ["i"]]


def test_452_without_more_words_is_not_remembered() -> None:
    traits = ServerTraits()
    Run(at_most(2, "452 insufficient storage"), [message("a", "b", "c")], traits=traits)

    assert traits.most_recipients is None


def test_rounds_of_the_last_message_that_flies() -> None:
    """That it needs another round is known only when all others have been sent."""

    class Late(Server):
        """Answers messages when the client waits for it."""

        waiting = b""

        def hear(self, octets: bytes) -> bytes:
            self.waiting += super().hear(octets)
            if octets and self.lines[-1].endswith("LAST"):
                return b""
            said, self.waiting = self.waiting, b""
            return said

    run = Run(
        Late(at_most(2)._answer),
        [message("z"), message("a", "b", "c", "d")],
        bdat="eager",
        max_unanswered=3,
        traits=ServerTraits(discards_chunks=True),
    )

    assert run.error is None
    assert [fates(done) for done in run.done] == [
        {"z": "accepted"},
        dict.fromkeys("abcd", "accepted"),
    ]


@every_way
def test_a_refused_content_is_refused_for_those_that_waited_too(bdat: str) -> None:
    run = Run(
        at_most(2, DOT="554 5.6.0 spam", BDAT="554 5.6.0 spam"),
        [message("a", "b", "c")],
        bdat=bdat,  # type: ignore[arg-type]
        traits=ServerTraits(discards_chunks=True),
    )

    assert set(fates(run.done[0]).values()) == {"refused"}
    assert isinstance(run.done[0].error, ContentRefused)
    assert mails(run) == 1


def test_a_later_round_that_fails_does_not_take_back_what_was_delivered() -> None:
    run = Run(
        at_most(2, MAIL=["250 ok", "450 4.7.1 not so fast"]),
        [message("a", "b", "c")],
    )

    assert fates(run.done[0]) == {"a": "accepted", "b": "accepted", "c": "deferred"}
    assert run.done[0].error is None
    assert run.done[0].sent


def test_a_connection_lost_between_two_rounds_leaves_the_rest_open() -> None:
    polite = at_most(2)._answer
    rounds = 0

    def answer(line: str) -> str | None:
        nonlocal rounds
        rounds += line.startswith("MAIL")
        return None if rounds == 2 else polite(line)

    transaction = message("a", "b", "c")
    run = Run(Server(answer), [transaction])

    assert isinstance(run.error, Disconnected)
    assert run.done == []
    assert fates(transaction) == {"a": "accepted", "b": "accepted"}
    again = Run(at_most(2), [transaction])
    assert recipients_of(again) == [["c"]]
    assert fates(transaction) == {"a": "accepted", "b": "accepted", "c": "accepted"}
    assert transaction.outcomes["c@x"].attempt == 3


def test_doubt_about_one_round_keeps_the_others_out_of_it() -> None:
    """Who was to be in another round was not handed over, and may be sent to again."""
    polite = at_most(2)._answer
    transaction = message("a", "b", "c")
    run = Run(Server(lambda line: None if line == "." else polite(line)), [transaction])

    assert isinstance(run.error, Disconnected)
    assert fates(transaction) == {"a": "in_doubt", "b": "in_doubt"}
    assert not transaction.done
    Run(at_most(2), [transaction])
    assert fates(transaction) == {"a": "in_doubt", "b": "in_doubt", "c": "accepted"}
    assert transaction.error is None


def test_doubt_about_one_round_is_not_hidden_by_a_refusal_in_the_next() -> None:
    """Who would send such a message again might send it twice."""
    polite = at_most(2)._answer
    transaction = message("a", "b", "c")
    Run(Server(lambda line: None if line == "." else polite(line)), [transaction])
    Run(bent(RCPT="550 5.1.1 no"), [transaction])

    assert fates(transaction) == {"a": "in_doubt", "b": "in_doubt", "c": "refused"}
    assert isinstance(transaction.error, DeliveryInDoubt)
    assert not transaction.error.transient


# LIMITS (RFC 9422).


@pytest.mark.parametrize("pipelining", [True, False])
def test_no_more_recipients_than_the_server_takes(pipelining: bool) -> None:
    run = Run(
        limited("RCPTMAX=2 MAILMAX=50"), [message(*"abcde"), message("z")], pipelining=pipelining
    )

    assert sorted(map(len, recipients_of(run))) == [1, 1, 2, 2]
    assert [fates(done) for done in sorted(run.done, key=lambda done: len(done.outcomes))] == [
        {"z": "accepted"},
        dict.fromkeys("abcde", "accepted"),
    ]


@every_way
@pytest.mark.parametrize("limits", ["RCPTMAX=1", "RCPTDOMAINMAX=1"])
@pytest.mark.parametrize("hello", ["EHLO", "LHLO"])
def test_a_round_in_which_nobody_was_accepted_is_not_the_last(
    bdat: str, limits: str, hello: str
) -> None:
    transaction = message("no@one", "a@two")
    ehlo = CHUNKING.replace("250 ", f"250-LIMITS {limits}\r\n250 ")
    replies: dict[str, Entry] = {
        "EHLO": ehlo,
        "LHLO": ehlo,
        "RCPT TO:<no@one>": "550 5.1.1 no",
        "DATA": ["503 5.5.1 no", "354 go"],
    }
    for _ in range(2):
        if not transaction.done:
            Run(bent(**replies), [transaction], hello=hello, bdat=bdat)  # type: ignore[arg-type]
            replies["DATA"] = "354 go"

    assert fates(transaction) == {"no": "refused", "a": "accepted"}
    assert transaction.error is None


def test_the_smaller_limit_counts() -> None:
    run = Run(limited("RCPTMAX=3"), [message(*"abcdef")], traits=ServerTraits(most_recipients=2))
    assert list(map(len, recipients_of(run))) == [2, 2, 2]


@every_way
def test_no_more_messages_than_the_server_takes(bdat: str) -> None:
    ehlo = CHUNKING.replace("250 ", "250-LIMITS MAILMAX=2\r\n250 ")
    messages = [message(name) for name in "abc"]
    run = Run(bent(EHLO=ehlo), messages, bdat=bdat)  # type: ignore[arg-type]

    assert run.error is None
    assert [fates(done) for done in run.done] == [{"a": "accepted"}, {"b": "accepted"}]
    assert not messages[2].done
    assert not run.session.reusable
    assert run.session.quiet
    run.forget()
    run.deliver([message("d")])
    assert run.lines == []


def test_rounds_count_as_messages() -> None:
    transaction = message(*"abcde")
    run = Run(limited("MAILMAX=2 RCPTMAX=2"), [transaction])

    assert list(fates(transaction)) == ["a", "b", "c", "d"]
    assert not transaction.done
    assert run.done == []
    assert run.session.spent


def test_no_more_domains_than_the_server_takes_in_a_session() -> None:
    first, second = message("a@one", "b@two", "c@ONE"), message("d@one")
    run = Run(limited("RCPTDOMAINMAX=1"), [first, second])

    assert fates(first) == {"a": "accepted", "c": "accepted"}
    assert not first.done
    assert fates(second) == {"d": "accepted"}
    assert run.session.spent
    Run(limited("RCPTDOMAINMAX=1"), [first])
    assert fates(first) == {"a": "accepted", "b": "accepted", "c": "accepted"}


def test_messages_to_the_same_domain_share_a_session() -> None:
    run = Run(limited("RCPTDOMAINMAX=1"), [message("a@one"), message("b@one")])

    assert len(run.done) == 2
    assert run.session.reusable


def test_a_session_that_cannot_take_the_first_message_is_spent() -> None:
    run = Run(limited("RCPTDOMAINMAX=1"), [message("a@one")])
    run.deliver([waiting := message("b@two")])

    assert not waiting.done
    assert waiting.attempt == 0
    assert run.session.spent


# All or none.


def all_or_none(*names: str) -> Transaction:
    recipients = tuple(Recipient(f"{name}@x" if "@" not in name else name) for name in names)
    return Transaction(Envelope("me@x", recipients, all_or_none=True), message("a").content)


@every_way
@pytest.mark.parametrize("pipelining", [True, False])
def test_all_were_accepted(bdat: str, pipelining: bool) -> None:
    run = Run(
        bent(EHLO=CHUNKING),
        [all_or_none("a", "b"), message("c")],
        bdat=bdat,  # type: ignore[arg-type]
        pipelining=pipelining,
        traits=ServerTraits(discards_chunks=True),
    )

    assert fates(run.done[0]) == {"a": "accepted", "b": "accepted"}
    assert fates(run.done[1]) == {"c": "accepted"}
    assert len(run.server.messages) == 2
    if pipelining:
        assert run.flights[0] == b"MAIL FROM:<me@x> SIZE=6\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\n"


@every_way
@both_ways
@pytest.mark.parametrize("refusal", ["550 5.1.1 no", "450 4.2.0 later", TOO_MANY])
def test_one_was_refused_so_nobody_gets_anything(bdat: str, trickle: bool, refusal: str) -> None:
    run = Run(
        bent(EHLO=CHUNKING, **{"RCPT TO:<b@x>": refusal}),
        [all_or_none("a", "b", "c"), message("d")],
        bdat=bdat,  # type: ignore[arg-type]
        trickle=trickle,
        traits=ServerTraits(discards_chunks=True),
    )

    assert fates(run.done[0]) == {
        "a": "not_sent",
        "b": "refused" if refusal[0] == "5" else "deferred",
        "c": "not_sent",
    }
    error = run.done[0].error
    assert isinstance(error, RecipientsRefused)
    assert error.stage == "RCPT"
    assert "2 recipients were accepted, and it is for all or for none" in str(error)
    assert error.transient is (refusal[0] == "4")
    assert list(error.recipients) == ["b@x"]
    assert fates(run.done[1]) == {"d": "accepted"}
    assert run.server.messages == [b"text\r\n"]


def test_the_fate_is_known_when_the_connection_is_lost_behind_a_refusal() -> None:
    polite = answers(**{"RCPT TO:<a@x>": "550 5.1.1 no"})
    run = Run(
        Server(lambda line: None if line == "RCPT TO:<b@x>" else polite(line)),
        [all_or_none("a", "b")],
    )

    assert fates(run.done[0]) == {"a": "refused", "b": "not_sent"}


@pytest.mark.parametrize(
    ("limits", "names", "exceeded"),
    [
        ("RCPTMAX=2", "a b c", "2 recipients"),
        ("RCPTDOMAINMAX=1", "a@one b@two", "1 domains"),
        ("RCPTMAX=2", "a b", ""),
        ("RCPTDOMAINMAX=2", "a@one b@two", ""),
    ],
)
def test_all_or_none_means_one_transaction(limits: str, names: str, exceeded: str) -> None:
    run = Run(limited(limits), [all_or_none(*names.split())])

    if not exceeded:
        assert run.done[0].sent
        return
    error = run.done[0].error
    assert isinstance(error, NotSupported)
    assert error.reason == "limits"
    assert exceeded in str(error)
    assert run.lines == []


def test_what_was_learnt_about_recipients_does_not_split_all_or_none() -> None:
    run = Run(at_most(2), [all_or_none(*"abc")], traits=ServerTraits(most_recipients=2))

    assert recipients_of(run) == [["a", "b", "c"]]
    assert fates(run.done[0]) == {"a": "not_sent", "b": "not_sent", "c": "deferred"}


def test_a_session_that_knows_other_domains_leaves_all_or_none_to_the_next() -> None:
    run = Run(
        limited("RCPTDOMAINMAX=2"), [message("a@one"), waiting := all_or_none("b@two", "c@three")]
    )

    assert not waiting.done
    assert run.session.spent
    assert isinstance(run.error, SMTPError) is False


def test_what_one_round_showed_counts_for_the_next_ones() -> None:
    """Also where the server did not say that there are too many: not every recipient again."""
    names = [f"r{number}" for number in range(20)]
    run = Run(at_most(2, "452 insufficient storage"), [message(*names)])

    assert fates(run.done[0]) == dict.fromkeys(names, "accepted")
    assert list(map(len, recipients_of(run))) == [20, *[2] * 9]


def test_a_repeated_recipient_counts_once() -> None:
    recipients = tuple(Recipient(f"{name}@x") for name in "aba")
    envelope = Envelope("me@x", recipients, all_or_none=True)
    run = Run(bent(), [Transaction(envelope, message("a").content)])

    assert recipients_of(run) == [["a", "b"]]
    assert fates(run.done[0]) == {"a": "accepted", "b": "accepted"}
