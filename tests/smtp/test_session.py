from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.commands import REDACTED, Command, Verb
from django_smtpauth.smtp.errors import ProtocolError
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.session import AFTER, MAY_SEND, Session, State
from django_smtpauth.smtp.transcript import Event
from tests.smtp.sansio import Clock, pieces

# Typed by hand from RFC 5321 (3.1-3.3, 4.1.1, 4.1.4, 4.3.2), RFC 2920 (3.1), RFC 3207 (4, 4.2)
# and RFC 4954 (4), and not from the code. A dot: may not be.
#
# What may be written in each state, and the state that the client presumes from then on.
WRITTEN = """
                GREETING EHLO   HELO   STARTTLS AUTH           RESPONSE       MAIL   RCPT       DATA    CONTENT RSET  QUIT
GREETING        HELLO    .      .      .        .              .              .      .          .       .       .     .
HELLO           .        READY  READY  .        .              .              .      .          .       .       .     CLOSED
READY           .        .      .      SECURING AUTHENTICATING .              SENDER .          .       .       READY CLOSED
SECURING        .        .      .      .        .              .              .      .          .       .       .     .
AUTHENTICATING  .        .      .      .        .              AUTHENTICATING .      .          .       .       .     .
SENDER          .        .      .      .        .              .              .      RECIPIENTS .       .       READY CLOSED
RECIPIENTS      .        .      .      .        .              .              .      RECIPIENTS CONTENT .       READY CLOSED
CONTENT         .        .      .      .        .              .              .      .          .       READY   .     .
CLOSED          .        .      .      .        .              .              .      .          .       .       .     .
"""  # noqa: E501 - a table

# What really follows from the class of the reply.
ANSWERED = """
state           command   2xx         3xx             4xx         5xx
GREETING        GREETING  HELLO       .               CLOSED      CLOSED
HELLO           EHLO      READY       .               HELLO       HELLO
HELLO           HELO      READY       .               HELLO       HELLO
HELLO           QUIT      CLOSED      .               CLOSED      CLOSED
READY           STARTTLS  SECURING    .               READY       READY
READY           AUTH      READY       AUTHENTICATING  READY       READY
AUTHENTICATING  RESPONSE  READY       AUTHENTICATING  READY       READY
READY           MAIL      SENDER      .               READY       READY
READY           RCPT      .           .               READY       READY
READY           DATA      .           CONTENT         READY       READY
READY           RSET      READY       .               READY       READY
READY           QUIT      CLOSED      .               CLOSED      CLOSED
SENDER          RCPT      RECIPIENTS  .               SENDER      SENDER
SENDER          DATA      .           CONTENT         SENDER      SENDER
SENDER          RSET      READY       .               CLOSED      CLOSED
SENDER          QUIT      CLOSED      .               CLOSED      CLOSED
RECIPIENTS      RCPT      RECIPIENTS  .               RECIPIENTS  RECIPIENTS
RECIPIENTS      DATA      .           CONTENT         RECIPIENTS  RECIPIENTS
RECIPIENTS      RSET      READY       .               CLOSED      CLOSED
RECIPIENTS      QUIT      CLOSED      .               CLOSED      CLOSED
CONTENT         CONTENT   READY       .               READY       READY
"""

# RFC 2920 3.1, RFC 3207 4, RFC 4954 4: nothing may follow these before they are answered.
LAST_OF_A_GROUP = {"GREETING", "EHLO", "HELO", "STARTTLS", "AUTH", "RESPONSE", "DATA", "QUIT"}


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
    Verb.STARTTLS: commands.starttls(),
    Verb.AUTH: commands.auth("LOGIN", None),
    Verb.RESPONSE: commands.response(b"x"),
    Verb.MAIL: commands.mail("a@b"),
    Verb.RCPT: commands.rcpt("c@d"),
    Verb.DATA: commands.data(),
    Verb.CONTENT: commands.content(3),
    Verb.RSET: commands.rset(),
    Verb.QUIT: commands.quit_(),
}


class Someone:
    """An owner with a name."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.events: deque[Event] = deque()

    def take(self, command: Command, reply: Reply) -> None:
        raise AssertionError("the session hands answers out and tells nobody itself")


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

    @rule(recipients=st.integers(1, 4), reset=st.booleans())
    def write_an_envelope(self, recipients: int, reset: bool) -> None:
        for verb in [Verb.RSET] * reset + [Verb.MAIL] + [Verb.RCPT] * recipients + [Verb.DATA]:
            self.write(verb, 1)

    @precondition(lambda self: self.flying and not self.broken)
    @rule(data=st.data(), count=st.integers(1, 6), sizes=st.lists(st.integers(0, 6), max_size=12))
    def answer(self, data: st.DataObject, count: int, sizes: list[int]) -> None:
        expected = []
        said = b""
        while self.flying and count and self.truth is not State.CLOSED:
            count -= 1
            verb, owner = self.flying.pop(0)
            classes = [k for k in (2, 3, 4, 5) if (self.truth, verb, k) in self.after]
            klass = data.draw(st.sampled_from(classes), label=f"class of the reply to {verb.name}")
            self.truth = self.after[self.truth, verb, klass]
            if self.truth is State.CLOSED:
                # Nobody waits for what a closed session would have said.
                self.flying.clear()
            if not self.flying:
                self.presumed = self.truth
            said += b"%d0-one\r\n%d0 two\r\n" % (klass * 10 + 5, klass * 10 + 5)
            expected.append((verb, owner, klass))
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
            assert self.truth in (State.READY, State.SENDER, State.RECIPIENTS)


PlayedSession.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPlayedSession = PlayedSession.TestCase


# Single things.


def at(*turns: tuple[Command, bytes]) -> Session:
    """A session after this dialogue, each turn waited for."""
    session = Session(Clock())
    for command, reply in turns:
        session.send(command)
        list(session.receive(reply, session.queued))
    return session


GREETED = (commands.greeting(), b"220 mx\r\n")
HELLO = (commands.ehlo("me"), b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
MAIL = (commands.mail("a@b"), b"250 ok\r\n")
RCPT = (commands.rcpt("c@d"), b"250 ok\r\n")
DATA = (commands.data(), b"354 go\r\n")


def texts(session: Session) -> list[str]:
    return [f"{event.direction} {event.stage} {event.text}".strip() for event in session.events]


def test_a_whole_session_in_the_log() -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(3))
    assert session.content(b"x\r\n.\r\n", complete=True) == b"x\r\n.\r\n"
    list(session.receive(b"250 queued\r\n", session.queued))

    assert texts(session) == [
        "S GREETING 220 mx",
        "C EHLO EHLO me",
        "S EHLO 250-mx\n250-PIPELINING\n250 STARTTLS",
        "C MAIL MAIL FROM:<a@b>",
        "S MAIL 250 ok",
        "C RCPT RCPT TO:<c@d>",
        "S RCPT 250 ok",
        "C DATA DATA",
        "S DATA 354 go",
        "C CONTENT [content, 3 octets]",
        "S CONTENT 250 queued",
    ]
    assert session.reusable


def test_each_owner_has_a_log_of_its_own() -> None:
    session, owner = at(GREETED, HELLO), Someone()
    session.events.clear()
    session.send(MAIL[0], owner)
    list(session.receive(b"250 ok\r\n", session.queued))

    assert not session.events
    assert [event.text for event in owner.events] == ["MAIL FROM:<a@b>", "250 ok"]


def test_extensions_come_from_ehlo_and_are_forgotten_by_helo_and_tls() -> None:
    session = at(GREETED, HELLO)
    assert session.extensions.pipelining

    session.send(commands.starttls())
    assert session.stage == "TLS"
    list(session.receive(b"220 go\r\n", session.queued))
    assert session.stage == "TLS"
    assert not session.reusable
    session.secured("TLSv1.3")
    assert not session.extensions.keywords
    assert (session.state, session.written, session.stage) == (State.HELLO, State.HELLO, "")

    helo = (commands.helo("me"), b"250-mx\r\n250 STARTTLS\r\n")
    assert not at(GREETED, helo).extensions.keywords
    assert texts(session)[-1] == "* TLS TLSv1.3 established"


def test_implicit_tls_comes_before_the_greeting() -> None:
    session = Session(Clock())
    session.secured("TLSv1.3")

    assert session.state is State.GREETING


@pytest.mark.parametrize(
    "behind", [b"2", b"250", b"250 evil\r\n", b"\x16\x03", b"250-evil\r\n250 AUTH PLAIN\r\n"]
)
def test_octets_behind_the_answer_to_starttls(behind: bytes) -> None:
    session = at(GREETED, HELLO)
    session.send(commands.starttls())
    received = session.receive(b"220 go\r\n" + behind, session.queued)

    assert next(received).reply.code == 220
    with pytest.raises(ProtocolError) as caught:
        next(received)
    assert (caught.value.reason, caught.value.stage) == ("starttls-injection", "TLS")
    assert session.broken


@pytest.mark.parametrize("cut", range(1, 20))
def test_octets_behind_the_answer_to_starttls_in_two_packets(cut: int) -> None:
    session = at(GREETED, HELLO)
    session.send(commands.starttls())
    octets = b"220 go\r\n250 evil\r\n"

    def receive_in_two() -> None:
        for piece in (octets[:cut], octets[cut:]):
            list(session.receive(piece, session.queued))

    with pytest.raises(ProtocolError) as caught:
        receive_in_two()
    assert caught.value.stage == "TLS"
    assert session.broken


def test_a_refused_starttls_leaves_the_session_as_it_was() -> None:
    session = at(GREETED, HELLO, (commands.starttls(), b"454 not now\r\n"))

    assert session.state is State.READY
    assert session.extensions.starttls


def test_a_reply_before_its_command_was_handed_over() -> None:
    session = at(GREETED, HELLO)
    line = session.send(commands.mail("a@b"))

    with pytest.raises(ProtocolError, match="answered MAIL before it was sent") as caught:
        list(session.receive(b"250 ok\r\n", session.queued - len(line) + 3))
    assert caught.value.stage == "MAIL"
    assert session.broken
    with pytest.raises(RuntimeError):
        session.send(commands.rcpt("c@d"))


@pytest.mark.parametrize("code", [b"450", b"552"])
def test_a_refusal_may_come_before_the_content_is_complete(code: bytes) -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(6))
    session.content(b"xxxxxx\r\n.\r\n", complete=True)

    (answer,) = session.receive(code + b" too much\r\n", session.queued - 1)
    assert answer.command.verb is Verb.CONTENT
    # But the rest of the content would be read as commands.
    assert session.broken
    assert not session.reusable


@pytest.mark.parametrize("code", [b"250", b"552"])
def test_content_is_not_complete_because_all_of_it_so_far_was_handed_over(code: bytes) -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(6))
    session.content(b"xxx", complete=False)

    if code == b"250":
        with pytest.raises(ProtocolError, match="before it was sent"):
            list(session.receive(b"250 ok\r\n", session.queued))
    else:
        assert len(list(session.receive(b"552 no\r\n", session.queued))) == 1
    assert session.broken


@pytest.mark.parametrize("code", [b"250", b"354"])
def test_an_acceptance_may_not_come_before_the_content_is_complete(code: bytes) -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(6))
    session.content(b"xxxxxx\r\n.\r\n", complete=True)

    with pytest.raises(ProtocolError, match="before it was sent"):
        list(session.receive(code + b" ok\r\n", session.queued - 1))


def test_goodbye_without_being_asked() -> None:
    session = at(GREETED, HELLO)

    (answer,) = session.receive(b"421 idle\r\n", session.queued)
    assert (answer.command.verb, answer.owner, answer.reply.code) == (Verb.QUIT, None, 421)
    assert session.state is State.CLOSED
    assert not session.reusable
    assert texts(session)[-1] == "S  421 idle"


def test_goodbye_ends_all_that_is_in_flight() -> None:
    session = at(GREETED, HELLO)
    owners = [Someone(), Someone()]
    session.send(MAIL[0], owners[0])
    session.send(RCPT[0], owners[1])

    (answer,) = session.receive(b"421 bye\r\n550 no\r\nnonsense\r\n", session.queued)
    assert answer.owner is owners[0]
    assert not session.in_flight
    assert (session.state, session.written) == (State.CLOSED, State.CLOSED)


def test_octets_that_are_no_reply_break_the_session() -> None:
    session = at(GREETED, HELLO)
    session.send(MAIL[0])

    with pytest.raises(ProtocolError) as caught:
        list(session.receive(b"HTTP/1.1 400\r\n", session.queued))
    assert caught.value.stage == "MAIL"
    assert session.broken


def test_replies_before_the_broken_one_are_answers() -> None:
    session = at(GREETED, HELLO)
    session.send(MAIL[0])
    session.send(RCPT[0])
    received = session.receive(b"250 ok\r\n999 no\r\n", session.queued)

    assert next(received).command.verb is Verb.MAIL
    with pytest.raises(ProtocolError):
        next(received)


def test_half_a_reply_makes_a_session_unfit_for_reuse() -> None:
    session = at(GREETED, HELLO)
    assert session.reusable

    list(session.receive(b"4", session.queued))
    assert not session.reusable


# When RSET must stand in front of the next MAIL.


def test_a_new_session_needs_no_reset() -> None:
    session = at(GREETED, HELLO)
    assert session.fresh

    session.send(MAIL[0])
    assert not session.fresh


def test_accepted_content_and_reset_leave_nothing_behind() -> None:
    for code, fresh in ((b"250", True), (b"550", False)):
        session = at(GREETED, HELLO, MAIL, RCPT, DATA)
        session.send(commands.content(0))
        session.content(b".\r\n", complete=True)
        list(session.receive(code + b" x\r\n", session.queued))
        assert session.fresh is fresh

    assert at(GREETED, HELLO, MAIL, (commands.rset(), b"250 ok\r\n")).fresh
    assert not at(GREETED, HELLO, (MAIL[0], b"550 no\r\n"), (commands.rset(), b"502 no\r\n")).fresh


def test_a_mail_that_is_under_way_already_counts() -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(0))
    session.content(b".\r\n", complete=True)
    session.send(MAIL[0])
    list(session.receive(b"250 ok\r\n", session.queued))

    assert not session.fresh
    assert session.stage == "MAIL"


def test_a_reset_that_fails_in_a_transaction_closes() -> None:
    session = at(GREETED, HELLO, MAIL, (commands.rset(), b"500 what?\r\n"))

    assert session.state is State.CLOSED
    assert not session.reusable
    # What else was in flight when it failed is answered to nobody.
    session = at(GREETED, HELLO, MAIL)
    session.send(commands.rset())
    session.send(MAIL[0])
    assert len(list(session.receive(b"500 what?\r\n250 ok\r\n", session.queued))) == 1
    assert not session.in_flight


# Redaction.


def authenticating(*hidden: str) -> Session:
    session = at(GREETED, (commands.ehlo("me"), b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n"))
    session.hide(*hidden)
    return session


def test_challenges_never_get_into_the_log() -> None:
    session = authenticating()
    session.send(commands.auth("LOGIN", None))
    (answer,) = session.receive(b"334 VXNlcm5hbWU6\r\n", session.queued)
    session.send(commands.response(b"hunter2"))

    assert answer.reply == Reply(334, ("VXNlcm5hbWU6",))
    assert texts(session)[-3:] == [
        "C AUTH AUTH LOGIN",
        f"S AUTH 334 {REDACTED}",
        f"C AUTH {REDACTED}",
    ]


def test_what_the_server_echoes_of_the_exchange_is_hidden_from_log_and_reply() -> None:
    session = authenticating("hunter2", "", "aHVudGVyMg==")
    session.send(commands.auth("PLAIN", b"x"))
    (answer,) = session.receive(
        b"535-no user has hunter2\r\n535 nor aHVudGVyMg==!\r\n", session.queued
    )

    assert answer.reply == Reply(535, (f"no user has {REDACTED}", f"nor {REDACTED}!"))
    assert texts(session)[-1] == f"S AUTH 535-no user has {REDACTED}\n535 nor {REDACTED}!"


def test_a_short_form_does_not_uncover_the_rest_of_a_longer_one() -> None:
    # A password that is the head of what the client sent, and a letter of what stands for it.
    session = authenticating("AHVz", "e", "AHVzAEFIVno=")
    session.send(commands.auth("PLAIN", b"x"))
    (answer,) = session.receive(b"535 no: AHVzAEFIVno=\r\n", session.queued)

    assert answer.reply.text == f"no: {REDACTED}"


def test_what_is_hidden_is_forgotten_with_the_exchange() -> None:
    session = authenticating("a")
    session.send(commands.auth("PLAIN", b"x"))
    list(session.receive(b"235 a\r\n", session.queued))
    assert texts(session)[-1] == f"S AUTH 235 {REDACTED}"

    session.hide()
    session.send(commands.rset())
    (answer,) = session.receive(b"250 a\r\n", session.queued)
    assert answer.reply.text == "a"
    assert texts(session)[-1] == "S RSET 250 a"


@pytest.mark.parametrize(
    "octets",
    [
        b"999 hunter2\r\n",
        b"hunter2\r\n",
        b"535hunter2\r\n",
        b"535-x\r\n334 hunter2\r\n",
        b"235 ok\r\n250 hunter2\r\n",
        b"235 ok\r\n334 hunter2\r\n",
        b"235 ok\r\nhunter2\r\n",
    ],
)
def test_no_broken_answer_shows_what_is_hidden(octets: bytes) -> None:
    session = authenticating("hunter2")
    session.send(commands.auth("PLAIN", b"x"))

    with pytest.raises(ProtocolError) as caught:
        list(session.receive(octets, session.queued))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(texts(session))
    assert caught.value.__context__ is None
    assert session.broken
