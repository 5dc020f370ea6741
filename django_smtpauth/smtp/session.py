"""The client's side of an SMTP session, without any I/O.

Theory. Two tables state the protocol, and the code only walks them.

`MAY_SEND` says which command may be written in which state, and what state the client then
*presumes*: it moves the cursor of what was written. `AFTER` says what state really follows from
the class of a reply: it moves the cursor of what was answered. While commands are in flight the
two cursors stand apart; pipelining is that distance and not a mode. When nothing is in flight
the written cursor snaps to the truth.

Commands in flight wait in a FIFO, each with its owner (a transaction, or None for the session's
own business), and a reply belongs to the one that has waited longest. Each is owed one reply; only
in LMTP what completes a message is owed one for each recipient that was accepted. A reply that
nobody waits for, a reply to a command that was not handed over yet, and a class that AFTER does
not know are protocol errors: after any of them the session is broken and its connection must be
closed.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from .commands import REDACTED, Command, Verb
from .errors import ProtocolError
from .extensions import Extensions
from .replies import Reply, ReplyParser
from .timeouts import Clock
from .transcript import Event, new_log


class State(enum.Enum):
    """Where a session stands."""

    GREETING = enum.auto()  #: connected, the server has to speak
    HELLO = enum.auto()  #: greeted; EHLO comes first, and again after TLS
    READY = enum.auto()  #: between transactions
    SECURING = enum.auto()  #: 220 to STARTTLS: the handshake is next
    AUTHENTICATING = enum.auto()  #: 334: a response is next
    SENDER = enum.auto()  #: MAIL accepted
    RECIPIENTS = enum.auto()  #: at least one RCPT accepted
    CONTENT = enum.auto()  #: 354: the content is next
    CHUNKS = enum.auto()  #: at least one chunk accepted, more are to come
    FAILED = enum.auto()  #: a chunk was refused: RSET is next (RFC 3030 2)
    CLOSED = enum.auto()  #: QUIT, 421, or state unknown: nothing more is to be said


#: The stages in which nothing may be awaited, since the next octets are ours.
_OUR_TURN = {State.SECURING: "TLS", State.AUTHENTICATING: "AUTH"}

#: state -> {what may be written: the state presumed from then on}
MAY_SEND: dict[State, dict[Verb, State]] = {
    State.GREETING: {Verb.GREETING: State.HELLO},
    State.HELLO: {
        Verb.EHLO: State.READY,
        Verb.HELO: State.READY,
        Verb.LHLO: State.READY,
        Verb.QUIT: State.CLOSED,
    },
    State.READY: {
        Verb.STARTTLS: State.SECURING,
        Verb.AUTH: State.AUTHENTICATING,
        Verb.MAIL: State.SENDER,
        Verb.PROBE: State.READY,
        Verb.RSET: State.READY,
        Verb.QUIT: State.CLOSED,
    },
    State.SECURING: {},
    State.AUTHENTICATING: {Verb.RESPONSE: State.AUTHENTICATING},
    State.SENDER: {
        Verb.RCPT: State.RECIPIENTS,
        Verb.RSET: State.READY,
        Verb.QUIT: State.CLOSED,
    },
    State.RECIPIENTS: {
        Verb.RCPT: State.RECIPIENTS,
        Verb.DATA: State.CONTENT,
        Verb.BDAT: State.CHUNKS,
        Verb.LAST: State.READY,
        Verb.RSET: State.READY,
        Verb.QUIT: State.CLOSED,
    },
    State.CONTENT: {Verb.CONTENT: State.READY},
    State.CHUNKS: {
        Verb.BDAT: State.CHUNKS,
        Verb.LAST: State.READY,
        Verb.RSET: State.READY,
        Verb.QUIT: State.CLOSED,
    },
    State.FAILED: {Verb.RSET: State.READY, Verb.QUIT: State.CLOSED},
    State.CLOSED: {},
}

#: (state, what was answered, class of the reply) -> the state that follows
AFTER: dict[tuple[State, Verb, int], State] = {
    (State.GREETING, Verb.GREETING, 2): State.HELLO,
    (State.GREETING, Verb.GREETING, 4): State.CLOSED,
    (State.GREETING, Verb.GREETING, 5): State.CLOSED,
    **{
        (State.HELLO, verb, klass): State.READY if klass == 2 else State.HELLO
        for verb in (Verb.EHLO, Verb.HELO, Verb.LHLO)
        for klass in (2, 4, 5)
    },
    (State.READY, Verb.STARTTLS, 2): State.SECURING,
    (State.READY, Verb.STARTTLS, 4): State.READY,
    (State.READY, Verb.STARTTLS, 5): State.READY,
    (State.READY, Verb.AUTH, 2): State.READY,
    (State.READY, Verb.AUTH, 3): State.AUTHENTICATING,
    (State.READY, Verb.AUTH, 4): State.READY,
    (State.READY, Verb.AUTH, 5): State.READY,
    (State.AUTHENTICATING, Verb.RESPONSE, 2): State.READY,
    (State.AUTHENTICATING, Verb.RESPONSE, 3): State.AUTHENTICATING,
    (State.AUTHENTICATING, Verb.RESPONSE, 4): State.READY,
    (State.AUTHENTICATING, Verb.RESPONSE, 5): State.READY,
    (State.READY, Verb.MAIL, 2): State.SENDER,
    (State.READY, Verb.MAIL, 4): State.READY,
    (State.READY, Verb.MAIL, 5): State.READY,
    (State.READY, Verb.PROBE, 4): State.READY,
    (State.READY, Verb.PROBE, 5): State.READY,
    # What was pipelined behind a MAIL that the server refused.
    (State.READY, Verb.DATA, 3): State.CONTENT,
    **{
        (State.READY, verb, klass): State.READY
        for verb in (Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.LAST)
        for klass in (4, 5)
    },
    (State.SENDER, Verb.RCPT, 2): State.RECIPIENTS,
    # What was pipelined behind recipients of whom none was accepted.
    (State.SENDER, Verb.DATA, 3): State.CONTENT,
    **{
        (State.SENDER, verb, klass): State.SENDER
        for verb in (Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.LAST)
        for klass in (4, 5)
    },
    (State.RECIPIENTS, Verb.DATA, 3): State.CONTENT,
    **{
        (State.RECIPIENTS, verb, klass): State.RECIPIENTS
        for verb in (Verb.RCPT, Verb.DATA)
        for klass in (2, 4, 5)
        if (verb, klass) != (Verb.DATA, 2)
    },
    (State.CONTENT, Verb.CONTENT, 2): State.READY,
    (State.CONTENT, Verb.CONTENT, 4): State.READY,
    (State.CONTENT, Verb.CONTENT, 5): State.READY,
    **{
        (state, verb, klass): accepted if klass == 2 else State.FAILED
        for state in (State.RECIPIENTS, State.CHUNKS)
        for verb, accepted in ((Verb.BDAT, State.CHUNKS), (Verb.LAST, State.READY))
        for klass in (2, 4, 5)
    },
    # What was pipelined behind the chunk that was refused.
    **{
        (State.FAILED, verb, klass): State.FAILED
        for verb in (Verb.BDAT, Verb.LAST)
        for klass in (4, 5)
    },
    (State.READY, Verb.RSET, 2): State.READY,
    (State.READY, Verb.RSET, 4): State.READY,
    (State.READY, Verb.RSET, 5): State.READY,
    # RSET can't fail (RFC 5321 4.1.1.5): where it does, nobody knows what the server holds.
    **{
        (state, Verb.RSET, klass): State.READY if klass == 2 else State.CLOSED
        for state in (State.SENDER, State.RECIPIENTS, State.CHUNKS, State.FAILED)
        for klass in (2, 4, 5)
    },
    **{
        (state, Verb.QUIT, klass): State.CLOSED
        for state in (
            State.HELLO,
            State.READY,
            State.SENDER,
            State.RECIPIENTS,
            State.CHUNKS,
            State.FAILED,
        )
        for klass in (2, 4, 5)
    },
}


class Owner(Protocol):
    """Whoever is told the replies to its commands."""

    @property
    def events(self) -> deque[Event]:
        """The log of what concerns this owner."""

    def take(self, command: Command, reply: Reply) -> None:
        """One command of this owner was answered."""


class Pending(NamedTuple):
    """A command in flight; `end` is how many octets had been written with its last one, None for
    content that is not complete yet."""

    command: Command
    owner: Owner | None
    end: int | None


class Answer(NamedTuple):
    """A reply together with the command that it answers and the command's owner."""

    command: Command
    owner: Owner | None
    reply: Reply


class Session:
    """Cursors, commands in flight, extensions and the redacted log of one connection.

    `send()` turns a command into octets; `receive()` turns octets into answers. `queued` counts
    the octets written so far, content included. `mails` counts the MAIL commands, and `domains`
    holds those of the recipients if the server limits them (RFC 9422).
    """

    def __init__(self, clock: Clock) -> None:
        self.state = State.GREETING
        self.written = State.GREETING
        self.extensions = Extensions()
        self.in_flight: deque[Pending] = deque()
        self.queued = 0
        self.broken = False
        #: Nothing more may be sent, though nothing went wrong.
        self.spent = False
        #: LHLO was accepted: the session is LMTP (RFC 2033).
        self.lmtp = False
        self.mails = 0
        self.domains: set[str] = set()
        #: No transaction since the last known clean point: a MAIL needs no RSET before it.
        self.fresh = True
        self.events = new_log()
        self._clock = clock
        self._parser = ReplyParser()
        self._hidden: list[str] = []
        # Recipients accepted in this transaction, and verdicts that came for them so far.
        self._accepted = self._verdicts = 0

    def send(self, command: Command, owner: Owner | None = None) -> bytes:
        """The octets of a command, which is in flight from now on. Raises RuntimeError for a
        command that may not be sent here: that is a mistake of the caller, not of the server."""
        presumed = MAY_SEND[self.written].get(command.verb)
        if presumed is None or self._must_wait or self.broken:
            raise RuntimeError(f"{command.verb.value} may not be sent in {self.written.name}.")
        self.written = presumed
        self.queued += len(command.line)
        end = None if command.verb is Verb.CONTENT else self.queued + command.payload
        self.in_flight.append(Pending(command, owner, end))
        if command.verb is Verb.MAIL:
            self.fresh = False
            self.mails += 1
        elif command.verb is Verb.RCPT and self.extensions.limits.domains:
            self.domains.add(command.argument.rpartition("@")[2].lower())
        if command.shown:
            self.log("C", command.verb.stage, command.shown, owner)
        return command.line

    def content(self, octets: bytes, *, complete: bool) -> bytes:
        """Octets of the content, or of the chunk, that is in flight.

        complete: the content of DATA ends here; until then no reply to it is believed.
        """
        self.queued += len(octets)
        if complete:
            self.in_flight.append(self.in_flight.pop()._replace(end=self.queued))
        return octets

    def receive(self, data: bytes, handed: int) -> Iterator[Answer]:
        """Octets from the server, as answers. Raises ProtocolError.

        handed: octets handed to the transport so far; only commands within them have answers.
        """
        self._parser.feed(data)
        try:
            # Whatever a server says behind its last word, nobody listens any more.
            while self.state is not State.CLOSED and (reply := self._next_reply()) is not None:
                yield self._match(reply, handed)
                if self.state is State.SECURING and not self._parser.empty:
                    raise ProtocolError(
                        "The server sent octets behind its answer to STARTTLS, outside TLS.",
                        stage="TLS",
                        reason="starttls-injection",
                    )
        except ProtocolError as error:
            self.broken = True
            error.stage = error.stage or self.stage
            raise

    @property
    def stage(self) -> str:
        """The stage that the session waits in."""
        if self.in_flight:
            return self.in_flight[0].command.verb.stage
        return _OUR_TURN.get(self.state, "")

    @property
    def quiet(self) -> bool:
        """Whether nothing is awaited and a command, QUIT at least, may be sent."""
        quiet = not self.in_flight and self._parser.empty
        return quiet and not self.broken and self.state in _OPEN

    @property
    def reusable(self) -> bool:
        """Whether another message may be sent over this session."""
        return self.quiet and not self.spent

    def secured(self, protocol: str) -> None:
        """TLS is established: all that was learnt without it is forgotten (RFC 3207 4.2)."""
        self.log("*", "TLS", f"{protocol} established")
        self.extensions = Extensions()
        self._parser = ReplyParser()
        if self.state is State.SECURING:
            self.state = self.written = State.HELLO

    def hide(self, *forms: str) -> None:
        """Text that no reply may show while AUTH goes on; none: AUTH is over, forget."""
        self._hidden = [*self._hidden, *filter(None, forms)] if forms else []

    def log(self, direction: str, stage: str, text: str, owner: Owner | None = None) -> None:
        """Adds one event to the owner's log, or to the session's own."""
        log = self.events if owner is None else owner.events
        log.append(Event(self._clock(), direction, stage, text))

    @property
    def _must_wait(self) -> bool:
        """Whether the last command ends its group, or lacks octets of its content."""
        if not self.in_flight:
            return False
        command, _, end = self.in_flight[-1]
        return command.ends_group or end is None or end > self.queued

    def _next_reply(self) -> Reply | None:
        """The parser's, redacted: in the AUTH exchange a server may repeat what it heard."""
        try:
            return self._redacted(self._parser.next())
        except ProtocolError:
            if not self._hidden:
                raise
        raise ProtocolError("The server broke the protocol in the AUTH exchange.")

    def _match(self, reply: Reply, handed: int) -> Answer:
        """Pairs a reply with the command that waited longest, and moves the cursors."""
        shown = f"334 {REDACTED}" if reply.code == 334 else reply.as_sent
        if not self.in_flight:
            self.log("S", "", shown)
            if reply.code == 421:
                return self._goodbye(reply)
            raise ProtocolError(f"The server spoke without being asked: {reply.status}.")
        command, owner, end = self.in_flight[0]
        self.log("S", command.verb.stage, shown, owner)
        early = end is None or handed < end
        refusal = command.verb.stage == "CONTENT" and reply.klass in (4, 5)
        if early and not refusal and reply.code != 421:
            raise ProtocolError(f"The server answered {command.verb.value} before it was sent.")
        if reply.code == 421:
            # To content that is not handed over it is no verdict, but the end of the session.
            return self._goodbye(reply, command, None if early else owner)
        state = AFTER.get((self.state, command.verb, reply.klass))
        if state is None:
            raise ProtocolError(
                f"{reply.status} is no answer to {command.verb.value} in {self.state.name}."
            )
        if early:
            # The rest of the content is still on its way and would be read as commands.
            self.broken = True
        self._count(command, reply)
        if not self._owes_more(command):
            self.in_flight.popleft()
            self._move(command, reply, state)
        return Answer(command, owner, reply)

    def _move(self, command: Command, reply: Reply, state: State) -> None:
        """A command has had all its replies: the state that follows, and what was learnt."""
        self.state = state
        if state is State.CLOSED:
            self.in_flight.clear()
        if not self.in_flight:
            self.written = state
        if command.verb is Verb.RSET or (command.verb.completes and reply.klass == 2):
            self.fresh = reply.klass == 2 and not self._mail_in_flight
        if command.verb in _HELLOS and reply.klass == 2:
            self.lmtp = command.verb is Verb.LHLO
            if command.verb is not Verb.HELO:
                self.extensions = Extensions.parse(reply)

    def _count(self, command: Command, reply: Reply) -> None:
        """Keeps the number of replies that the end of this transaction is owed."""
        if command.verb is Verb.MAIL:
            self._accepted = self._verdicts = 0
        elif command.verb is Verb.RCPT:
            self._accepted += reply.klass == 2
        elif command.verb.completes:
            self._verdicts += 1

    def _owes_more(self, command: Command) -> bool:
        """Whether further replies to this command are to come (RFC 2033 4.2, 4.3)."""
        for_each = self.lmtp and command.verb.completes and self.state is not State.FAILED
        return for_each and self._verdicts < self._accepted

    @property
    def _mail_in_flight(self) -> bool:
        return any(pending.command.verb is Verb.MAIL for pending in self.in_flight)

    def _goodbye(
        self, reply: Reply, command: Command | None = None, owner: Owner | None = None
    ) -> Answer:
        """421: the server ends the session; nothing else in flight will be answered."""
        self.state = self.written = State.CLOSED
        self.in_flight.clear()
        return Answer(command or Command(Verb.QUIT, b"", ""), owner, reply)

    def _redacted(self, reply: Reply | None) -> Reply | None:
        """The reply without what is hidden; challenges are needed whole and never logged."""
        if reply is None or reply.code == 334 or not self._hidden:
            return reply
        # In one pass, the longest first: a short form must not break a longer one that holds it.
        forms = sorted(self._hidden, key=len, reverse=True)
        hidden = re.compile("|".join(map(re.escape, forms)))
        return Reply(reply.code, tuple(hidden.sub(REDACTED, line) for line in reply.lines))


_HELLOS = frozenset({Verb.EHLO, Verb.HELO, Verb.LHLO})
_OPEN = frozenset({State.READY, State.SENDER, State.RECIPIENTS, State.CHUNKS, State.FAILED})
