"""How long the engine waits, in seconds, and the clock-keeping of one operation.

Nothing here is infinite: a server that is silent, or that drips one octet at a time, is left
when the limit of the stage is over, because a limit bounds the whole reply and not one read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds.

    dial: name resolution and connecting, all addresses together.
    reply: one complete reply (or the TLS handshake).
    until_content: everything from the first step to the first octet of content. Below 30, so
        that a web worker gets an error before it is killed.
    content: each block of 64 KiB of content.
    verdict: the reply after the content. Long, since leaving earlier creates doubt, not safety.
    """

    dial: float = 10.0
    reply: float = 15.0
    until_content: float = 25.0
    content: float = 60.0
    verdict: float = 120.0

    #: The limits that RFC 5321 4.5.3.2 asks of a relay: for bulk senders outside web requests.
    BULK: ClassVar[Timeouts]

    @classmethod
    def of(cls, seconds: float | None) -> Timeouts:
        """Every limit replaced by `seconds`; None keeps the defaults.

        `until_content` bounds many replies together and is never shortened. Raises ValueError
        unless seconds > 0.
        """
        if seconds is None:
            return cls()
        if not 0 < seconds < float("inf"):
            raise ValueError(f"timeout must be a positive number of seconds, not {seconds!r}.")
        return cls(seconds, seconds, max(seconds, cls.until_content), seconds, seconds)


Timeouts.BULK = Timeouts(dial=60, reply=300, until_content=900, content=180, verdict=600)


class Patience:
    """Tells how many seconds are left, for the reply that is awaited and the whole operation.

    An operation is opening a connection, or one message. `start()` begins one; `flow()` says
    that content flows, so `until_content` no longer counts; `expect()` begins the wait for
    one reply. `left()` is the smallest of what remains, never negative.
    """

    def __init__(
        self,
        timeouts: Timeouts,
        clock: Clock,
        deadline: float | None = None,
        began: float | None = None,
    ) -> None:
        self.timeouts = timeouts
        self.clock = clock
        self._deadline = deadline
        self._envelope_end: float | None = None
        self._end: float | None = None
        self.start(began)
        if began is not None and deadline is not None:
            self._end = began + deadline

    def start(self, began: float | None = None) -> None:
        """Begins an operation: the deadline counts from now, `until_content` from `began`.

        began: None for now; earlier for the first message after opening, since both together
            must not take longer.
        """
        now = self.clock()
        start = now if began is None else began
        self._envelope_end = start + self.timeouts.until_content
        self._end = None if self._deadline is None else now + self._deadline
        self.expect(self.timeouts.reply)

    def flow(self) -> None:
        """Content flows from now on."""
        self._envelope_end = None

    def expect(self, seconds: float) -> None:
        """Begins the wait for one reply, or for one block of content to be taken."""
        self._reply_end = self.clock() + seconds

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """What the caller does meanwhile takes time that no limit counts."""
        began = self.clock()
        yield
        spent = self.clock() - began
        self._reply_end += spent
        self._envelope_end = None if self._envelope_end is None else self._envelope_end + spent
        self._end = None if self._end is None else self._end + spent

    def left(self) -> float:
        """Seconds until the first of all limits is over; 0.0 when one is."""
        ends = [self._reply_end, self._envelope_end, self._end]
        return max(0.0, min(end for end in ends if end is not None) - self.clock())
