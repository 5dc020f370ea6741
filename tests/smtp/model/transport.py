"""The network between a conversation and a server in memory: every octet may be late or lost."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from django_smtpauth.smtp.errors import Disconnected, SMTPError, TimedOut
from django_smtpauth.smtp.needs import Arrival, Conversation, Exchange
from tests.smtp.model.server import Server
from tests.smtp.model.tape import Tape

T = TypeVar("T")

#: How many octets move at once, by choice; 0: all there are.
PORTIONS = (0, 0, 0, 1, 2, 7, 40, 1_000)
#: Exchanges after which a conversation is held to go on for ever.
MOST_EXCHANGES = 20_000


@dataclass(frozen=True)
class Cut:
    """The connection is lost when so many octets were handed over, or have arrived.

    arrives: whether the server gets what was under way at that moment.
    """

    where: Literal["handed", "arrived"]
    octets: int
    arrives: bool = False


class Transport:
    """Answers every Exchange; the server hears what passes.

    late: the client gets replies only when it waits for them.
    taken: what was handed over. delivered: octets of the server that the client has read.
    """

    def __init__(self, tape: Tape, cut: Cut | None = None, *, late: bool = False) -> None:
        self.server: Server
        self.taken = bytearray()
        self.delivered = 0
        self.lost = False
        self.largest = 0
        self._tape = tape
        self._cut = cut
        self._late = late
        self._outgoing = bytearray()
        self._under_way = bytearray()
        self._written = 0
        # Where each write began, and what the client had read by then.
        self._starts = [0]
        self._known = [0]

    def knew(self, position: int) -> int:
        """Octets of the server that the client had read when it wrote this one."""
        return self._known[bisect_right(self._starts, position) - 1]

    def run(self, conversation: Conversation[T]) -> T:
        """To the end of the conversation; its error is the caller's."""
        try:
            need = next(conversation)
            for _ in range(MOST_EXCHANGES):
                assert isinstance(need, Exchange)
                need = conversation.send(self._exchange(need))
        except StopIteration as end:
            return cast("T", end.value)
        raise AssertionError("the conversation has no end")

    def settle(self) -> None:
        """What is under way arrives."""
        if not self.lost:
            self._arrive(len(self._under_way))

    def _exchange(self, need: Exchange) -> Arrival:
        self.largest = max(self.largest, len(need.out))
        if need.out:
            self._starts.append(self._written)
            self._known.append(self.delivered)
            self._written += len(need.out)
            self._outgoing += need.out
        while True:
            busy = self._outgoing or self._under_way or not need.want_reply
            data = b"" if self._late and busy else self._read()
            if data or self.lost:
                return self._arrival(data, _lost() if self.lost else None)
            if not self._outgoing and not need.want_reply:
                return self._arrival(b"")
            if not self._move():
                return self._arrival(b"", self._silence())

    def _arrival(self, data: bytes, fault: SMTPError | None = None) -> Arrival:
        return Arrival(data, len(self.taken), None if data else fault)

    def _move(self) -> bool:
        """Moves some octets towards the server; False when nothing is left that could move."""
        if self._outgoing:
            self._hand_over(self._portion(len(self._outgoing)))
            # Perhaps they stay under way for a while.
            self._arrive(self._portion(len(self._under_way)) if self._tape.next() % 2 == 0 else 0)
            return True
        if self._under_way:
            self._arrive(self._portion(len(self._under_way)))
            return True
        return self.delivered < len(self.server.said)

    def _hand_over(self, count: int) -> None:
        if self._cut is not None and self._cut.where == "handed":
            left = self._cut.octets - len(self.taken)
            count, self.lost = min(count, left), count >= left
        self.taken += self._outgoing[:count]
        self._under_way += self._outgoing[:count]
        del self._outgoing[:count]
        self._lose()

    def _arrive(self, count: int) -> None:
        if not self.server.gone:
            self.server.hear(bytes(self._under_way[:count]))
        del self._under_way[:count]

    def _read(self) -> bytes:
        """Some of what the server said."""
        left = len(self.server.said) - self.delivered
        count = self._portion(left) if left else 0
        if self._cut is not None and self._cut.where == "arrived":
            most = self._cut.octets - self.delivered
            count, self.lost = min(count, most), self.lost or left >= most
        data = bytes(self.server.said[self.delivered : self.delivered + count])
        self.delivered += count
        self._lose()
        return data

    def _lose(self) -> None:
        """After a loss: what was under way arrives at last, or never."""
        if self.lost and self._cut is not None and self._cut.arrives:
            self._arrive(len(self._under_way))
        if self.lost:
            self._under_way.clear()

    def _portion(self, most: int) -> int:
        return min(most, PORTIONS[self._tape.next() % len(PORTIONS)] or most)

    def _silence(self) -> SMTPError:
        if self.server.gone:
            return Disconnected("the server closed the connection")
        return TimedOut("the server did not answer in time")


def _lost() -> SMTPError:
    return Disconnected("the connection was lost")
