"""The primitives that every dialogue is made of: write, wait for replies, keep the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .commands import Command, Verb
from .errors import Disconnected, SMTPError
from .needs import Call, Conversation, Exchange, Need, StartTLS
from .replies import Reply
from .session import Answer, Owner, Session
from .timeouts import Patience

__all__ = ["Call", "Conversation", "Need", "StartTLS", "Wire"]


class Wire:
    """A session together with the patience that goes with it.

    `handed` is how many octets the transport has taken, as the driver last told. Every method
    that talks is a conversation and raises SMTPError when the connection is lost, too slow,
    ended by the server (421) or broken; replies that came before are taken first.
    """

    def __init__(self, session: Session, patience: Patience) -> None:
        self.session = session
        self.patience = patience
        self.handed = 0
        self._heard = patience.clock()

    def ask(self, command: Command) -> Conversation[Reply]:
        """One command of the session's own, and its reply."""
        replies: list[Reply] = []
        yield from self.ask_together([command], replies)
        return replies[0]

    def ask_together(self, group: Iterable[Command], replies: list[Reply]) -> Conversation[None]:
        """Commands of the session's own in one write (RFC 2920), and their replies.

        The replies are added to `replies` as they come, so that those before a failure are known.
        """
        asker = _Asker(self.session, replies)
        out = b"".join([self.session.send(command, asker) for command in group])
        self.patience.expect(self.patience.timeouts.reply)
        yield from self._exchange(out, want_reply=True)
        yield from self.until(self.settled)

    def write(self, out: bytes) -> Conversation[None]:
        """Hands octets over; replies that come meanwhile are taken."""
        yield from self._exchange(out, want_reply=False)
        while self.handed < self.session.queued and not self.session.broken:
            yield from self._exchange(b"", want_reply=False)

    def until(self, condition: Callable[[], bool]) -> Conversation[None]:
        """Takes replies until the condition holds."""
        while not condition():
            yield from self._exchange(b"", want_reply=True)

    def expect_reply(self) -> None:
        """Begins the wait for the next reply; the verdict on a message may take longest.

        With it the time of the envelope is over, also where both were sent in one write.
        """
        flight, timeouts = self.session.in_flight, self.patience.timeouts
        verdict = bool(flight) and flight[0].command.verb.completes
        if verdict:
            self.patience.flow()
        self.patience.expect(timeouts.verdict if verdict else timeouts.reply)

    def silent_for(self, seconds: float) -> bool:
        """Whether the server said nothing for so long."""
        return self.patience.clock() - self._heard >= seconds

    def settled(self) -> bool:
        """Whether nothing is in flight."""
        return not self.session.in_flight

    def _exchange(self, out: bytes, *, want_reply: bool) -> Conversation[None]:
        arrival = yield Exchange(out, want_reply, self.patience.left())
        self.handed = arrival.handed
        if arrival.data:
            self._heard = self.patience.clock()
        goodbye: Answer | None = None
        for answer in self.session.receive(arrival.data, arrival.handed):
            if self.handed >= self.session.queued:
                self.expect_reply()
            if answer.owner is not None:
                answer.owner.take(answer.command, answer.reply)
            goodbye = answer if answer.reply.code == 421 else goodbye
        if goodbye is not None:
            raise _ended_by_server(goodbye)
        if arrival.fault is not None:
            raise self._located(arrival.fault)

    def _located(self, fault: SMTPError) -> SMTPError:
        self.session.broken = True
        fault.stage = fault.stage or self.session.stage
        if self.session.in_flight:
            fault.command = self.session.in_flight[0].command.shown
        return fault


class _Asker:
    """The owner of commands that a conversation itself waits for."""

    def __init__(self, session: Session, replies: list[Reply]) -> None:
        self.events = session.events
        self._replies = replies

    def take(self, command: Command, reply: Reply) -> None:  # noqa: ARG002 - Owner's shape
        self._replies.append(reply)


def _ended_by_server(goodbye: Answer) -> SMTPError:
    verb = goodbye.command.verb
    return Disconnected(
        "the server ended the session",
        stage=verb.stage if verb is not Verb.QUIT else "",
        command=goodbye.command.shown,
        reply=goodbye.reply,
        transient=True,
    )


_: type[Owner] = _Asker
