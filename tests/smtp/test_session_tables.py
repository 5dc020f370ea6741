from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.commands import Command, Verb
from django_smtpauth.smtp.errors import ProtocolError
from django_smtpauth.smtp.session import AFTER, MAY_SEND, Session, State
from tests.smtp.sansio import Clock, Someone, pieces

# Typed by hand from RFC 5321 (3.1-3.3, 4.1.1, 4.1.4, 4.3.2), RFC 2920 (3.1), RFC 3030 (2),
# RFC 3207 (4, 4.2), RFC 4954 (4) and RFC 2033 (4.1), and not from the code. A dot: may not be.
#
# What may be written in each state, and the state that the client presumes from then on.
WRITTEN = """
                GREETING EHLO  HELO  LHLO  STARTTLS AUTH           RESPONSE       MAIL   RCPT       DATA    CONTENT BDAT   LAST  PROBE RSET  QUIT
GREETING        HELLO    .     .     .     .        .              .              .      .          .       .       .      .     .     .     .
HELLO           .        READY READY READY .        .              .              .      .          .       .       .      .     .     .     CLOSED
READY           .        .     .     .     SECURING AUTHENTICATING .              SENDER .          .       .       .      .     READY READY CLOSED
SECURING        .        .     .     .     .        .              .              .      .          .       .       .      .     .     .     .
AUTHENTICATING  .        .     .     .     .        .              AUTHENTICATING .      .          .       .       .      .     .     .     .
SENDER          .        .     .     .     .        .              .              .      RECIPIENTS .       .       .      .     .     READY CLOSED
RECIPIENTS      .        .     .     .     .        .              .              .      RECIPIENTS CONTENT .       CHUNKS READY .     READY CLOSED
CONTENT         .        .     .     .     .        .              .              .      .          .       READY   .      .     .     .     .
CHUNKS          .        .     .     .     .        .              .              .      .          .       .       CHUNKS READY .     READY CLOSED
FAILED          .        .     .     .     .        .              .              .      .          .       .       .      .     .     READY CLOSED
CLOSED          .        .     .     .     .        .              .              .      .          .       .       .      .     .     .     .
"""  # noqa: E501 - a table

# What really follows from the class of the reply.
ANSWERED = """
state           command   2xx         3xx             4xx         5xx
GREETING        GREETING  HELLO       .               CLOSED      CLOSED
HELLO           EHLO      READY       .               HELLO       HELLO
HELLO           HELO      READY       .               HELLO       HELLO
HELLO           LHLO      READY       .               HELLO       HELLO
HELLO           QUIT      CLOSED      .               CLOSED      CLOSED
READY           STARTTLS  SECURING    .               READY       READY
READY           AUTH      READY       AUTHENTICATING  READY       READY
AUTHENTICATING  RESPONSE  READY       AUTHENTICATING  READY       READY
READY           MAIL      SENDER      .               READY       READY
READY           RCPT      .           .               READY       READY
READY           DATA      .           CONTENT         READY       READY
READY           BDAT      .           .               READY       READY
READY           LAST      .           .               READY       READY
READY           PROBE     .           .               READY       READY
READY           RSET      READY       .               READY       READY
READY           QUIT      CLOSED      .               CLOSED      CLOSED
SENDER          RCPT      RECIPIENTS  .               SENDER      SENDER
SENDER          DATA      .           CONTENT         SENDER      SENDER
SENDER          BDAT      .           .               SENDER      SENDER
SENDER          LAST      .           .               SENDER      SENDER
SENDER          RSET      READY       .               CLOSED      CLOSED
SENDER          QUIT      CLOSED      .               CLOSED      CLOSED
RECIPIENTS      RCPT      RECIPIENTS  .               RECIPIENTS  RECIPIENTS
RECIPIENTS      DATA      .           CONTENT         RECIPIENTS  RECIPIENTS
RECIPIENTS      BDAT      CHUNKS      .               FAILED      FAILED
RECIPIENTS      LAST      READY       .               FAILED      FAILED
RECIPIENTS      RSET      READY       .               CLOSED      CLOSED
RECIPIENTS      QUIT      CLOSED      .               CLOSED      CLOSED
CONTENT         CONTENT   READY       .               READY       READY
CHUNKS          BDAT      CHUNKS      .               FAILED      FAILED
CHUNKS          LAST      READY       .               FAILED      FAILED
CHUNKS          RSET      READY       .               CLOSED      CLOSED
CHUNKS          QUIT      CLOSED      .               CLOSED      CLOSED
FAILED          BDAT      .           .               FAILED      FAILED
FAILED          LAST      .           .               FAILED      FAILED
FAILED          RSET      READY       .               CLOSED      CLOSED
FAILED          QUIT      CLOSED      .               CLOSED      CLOSED
"""

# RFC 2920 3.1, RFC 3207 4, RFC 4954 4: nothing may follow these before they are answered.
LAST_OF_A_GROUP = {
    "GREETING",
    "EHLO",
    "HELO",
    "LHLO",
    "STARTTLS",
    "AUTH",
    "RESPONSE",
    "DATA",
    "PROBE",
    "QUIT",
}


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def written_by_hand() -> dict[tuple[State, Verb], State]:
    verbs, *rows = table(WRITTEN)
    return {
        (State[state], Verb[verb]): State[presumed]
        for state, *cells in rows
        for verb, presumed in zip(verbs, cells, strict=True)
        if presumed != "."
    }


def answered_by_hand() -> dict[tuple[State, Verb, int], State]:
    _, *rows = table(ANSWERED)
    return {
        (State[state], Verb[verb], klass): State[after]
        for state, verb, *cells in rows
        for klass, after in zip((2, 3, 4, 5), cells, strict=True)
        if after != "."
    }


def test_what_may_be_sent_is_what_the_documents_say() -> None:
    verbs, *rows = table(WRITTEN)
    assert set(verbs) == {verb.name for verb in Verb}
    assert (
        {row[0] for row in rows} == {state.name for state in State} == {s.name for s in MAY_SEND}
    )

    assert {
        (state, verb): presumed
        for state, row in MAY_SEND.items()
        for verb, presumed in row.items()
    } == written_by_hand()


def test_what_follows_is_what_the_documents_say() -> None:
    assert answered_by_hand() == AFTER


LINES: dict[Verb, Command] = {
    Verb.GREETING: commands.greeting(),
    Verb.EHLO: commands.ehlo("me"),
    Verb.HELO: commands.helo("me"),
    Verb.LHLO: commands.lhlo("me"),
    Verb.STARTTLS: commands.starttls(),
    Verb.AUTH: commands.auth("LOGIN", None),
    Verb.RESPONSE: commands.response(b"x"),
    Verb.MAIL: commands.mail("a@b"),
    Verb.RCPT: commands.rcpt("c@d"),
    Verb.DATA: commands.data(),
    Verb.CONTENT: commands.content(3),
    Verb.BDAT: commands.bdat(3, last=False),
    Verb.LAST: commands.bdat(3, last=True),
    Verb.PROBE: commands.probe(b"X\r\n"),
    Verb.RSET: commands.rset(),
    Verb.QUIT: commands.quit_(),
}


class PlayedSession(RuleBasedStateMachine):
    """A model server against a Session: it answers in order, and its truth is the hand's table."""

    may_send = written_by_hand()
    after = answered_by_hand()

    @initialize()
    def connect(self) -> None:
        self.session = Session(Clock())
        self.truth = self.presumed = State.GREETING
        self.flying: list[tuple[Verb, Someone]] = []
        self.broken = False
        # Only LMTP owes more than one reply: for each RCPT that it accepted (RFC 2033 4.2, 4.3).
        self.lmtp = False
        self.accepted = self.verdicts = 0

    def handed(self) -> int:
        return self.session.queued

    @rule(verb=st.sampled_from(list(Verb)), times=st.integers(1, 3))
    def write(self, verb: Verb, times: int) -> None:
        for _ in range(times):
            owner = Someone(f"owner {len(self.flying)}")
            presumed = self.may_send.get((self.presumed, verb))
            waits = bool(self.flying) and self.flying[-1][0].name in LAST_OF_A_GROUP
            if presumed is None or waits or self.broken:
                with pytest.raises(RuntimeError):
                    self.session.send(LINES[verb], owner)
            else:
                assert self.session.send(LINES[verb], owner) == LINES[verb].line
                self.presumed = presumed
                self.flying.append((verb, owner))
                if verb in (Verb.CONTENT, Verb.BDAT, Verb.LAST):
                    with pytest.raises(RuntimeError):
                        self.session.send(LINES[Verb.RSET], owner)
                    self.session.content(b".\r\n", complete=True)

    @rule(
        recipients=st.integers(1, 4),
        reset=st.booleans(),
        content=st.sampled_from([[Verb.DATA], [Verb.LAST], [Verb.BDAT, Verb.BDAT, Verb.LAST]]),
    )
    def write_an_envelope(self, recipients: int, reset: bool, content: list[Verb]) -> None:
        for verb in [Verb.RSET] * reset + [Verb.MAIL] + [Verb.RCPT] * recipients + content:
            self.write(verb, 1)

    def is_owed_more(self, verb: Verb, klass: int) -> bool:
        """Whether the command that was answered so waits for another reply."""
        if verb is Verb.MAIL:
            self.accepted = self.verdicts = 0
        elif verb is Verb.RCPT and klass == 2:
            self.accepted += 1
        elif verb is Verb.LHLO and klass == 2:
            self.lmtp = True
        elif verb in (Verb.EHLO, Verb.HELO) and klass == 2:
            self.lmtp = False
        elif verb in (Verb.CONTENT, Verb.LAST) and self.truth is not State.FAILED:
            self.verdicts += 1
            return self.lmtp and self.verdicts < self.accepted
        return False

    @precondition(lambda self: self.flying and not self.broken)
    @rule(data=st.data(), count=st.integers(1, 6), sizes=st.lists(st.integers(0, 6), max_size=12))
    def answer(self, data: st.DataObject, count: int, sizes: list[int]) -> None:
        expected = []
        said = b""
        while self.flying and count and self.truth is not State.CLOSED:
            count -= 1
            verb, owner = self.flying[0]
            classes = [k for k in (2, 3, 4, 5) if (self.truth, verb, k) in self.after]
            klass = data.draw(st.sampled_from(classes), label=f"class of the reply to {verb.name}")
            said += b"%d0-one\r\n%d0 two\r\n" % (klass * 10 + 5, klass * 10 + 5)
            expected.append((verb, owner, klass))
            if self.is_owed_more(verb, klass):
                continue
            self.flying.pop(0)
            self.truth = self.after[self.truth, verb, klass]
            if self.truth is State.CLOSED:
                # Nobody waits for what a closed session would have said.
                self.flying.clear()
            if not self.flying:
                self.presumed = self.truth
            if self.truth is State.SECURING:
                break
        answers = [
            (answer.command.verb, answer.owner, answer.reply.klass)
            for piece in pieces(said, sizes)
            for answer in self.session.receive(piece, self.handed())
        ]
        assert answers == expected

    @precondition(lambda self: self.truth is State.SECURING and not self.flying)
    @rule()
    def shake_hands(self) -> None:
        self.session.secured("TLSv1.3")
        self.truth = self.presumed = State.HELLO
        assert not self.session.extensions.keywords

    @precondition(lambda self: self.flying and not self.broken)
    @rule(data=st.data())
    def answer_against_the_rules(self, data: st.DataObject) -> None:
        verb, _ = self.flying[0]
        wrong = [k for k in (2, 3, 4, 5) if (self.truth, verb, k) not in self.after]
        if not wrong:
            return
        klass = data.draw(st.sampled_from(wrong))
        with pytest.raises(ProtocolError):
            list(self.session.receive(b"%d50 no\r\n" % klass, self.handed()))
        self.broken = True

    @precondition(lambda self: not self.flying and not self.broken)
    @rule()
    def speak_without_being_asked(self) -> None:
        if self.truth is State.CLOSED:
            assert not list(self.session.receive(b"250 ok\r\n", self.handed()))
            return
        with pytest.raises(ProtocolError):
            list(self.session.receive(b"250 ok\r\n", self.handed()))
        self.broken = True

    @precondition(lambda self: not self.broken and self.truth is not State.CLOSED)
    @rule()
    def end_the_session(self) -> None:
        (answer,) = self.session.receive(b"421 bye\r\n250 more\r\n", self.handed())
        if self.flying:
            assert (answer.command.verb, answer.owner) == self.flying[0]
        self.flying.clear()
        self.truth = self.presumed = State.CLOSED

    @invariant()
    def the_cursors_are_where_the_documents_put_them(self) -> None:
        if self.broken:
            assert self.session.broken
            return
        assert self.session.state is self.truth
        assert self.session.written is self.presumed
        if not self.session.in_flight:
            assert self.session.written is self.session.state

    @invariant()
    def nothing_follows_a_command_that_ends_a_group(self) -> None:
        flying = [pending.command.verb.name for pending in self.session.in_flight]
        assert not LAST_OF_A_GROUP.intersection(flying[:-1])
        if not self.broken:
            assert flying == [verb.name for verb, _ in self.flying]

    @invariant()
    def only_a_quiet_session_is_used_again(self) -> None:
        if self.session.reusable:
            assert not self.flying
            assert not self.broken
            assert self.truth in (
                State.READY,
                State.SENDER,
                State.RECIPIENTS,
                State.CHUNKS,
                State.FAILED,
            )


PlayedSession.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPlayedSession = PlayedSession.TestCase
