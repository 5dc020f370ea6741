"""Handing a message's content over: behind DATA, in chunks, or in one write with its envelope.

Where the content ends the envelope of the next message may follow (RFC 2920 3.1). `behind()` gives
its octets, and is called when everything before them is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from . import commands
from .content import BLOCK
from .errors import Disconnected
from .needs import Conversation
from .transaction import Transaction
from .wire import Wire

#: Commands in flight at most, so that memory stays bounded whatever the server does.
MAX_IN_FLIGHT: Final = 256

Behind = Callable[[], bytes]


class Handover:
    """Hands contents over on one session; each transaction learns where its own is complete.

    pipelining: chunks need not wait for one another.
    """

    def __init__(self, wire: Wire, *, pipelining: bool) -> None:
        self._wire = wire
        self._session = wire.session
        self._pipelining = pipelining

    def data(self, current: Transaction, behind: Behind) -> Conversation[None]:
        """The content behind a 354, or a lone dot if nobody is to get it; awaits the verdict."""
        wire, session = self._wire, self._session
        wanted = current.wanted
        if not wanted and session.lmtp:
            # One reply for each recipient: none, or one all the same? Nobody can tell.
            session.spent = True
            return
        session.send(commands.content(current.content.size if wanted else 0), current)
        wire.patience.flow()
        tail = b".\r\n"
        if wanted:
            tail = yield from self._all_but_the_tail(current)
        tail = session.content(tail, complete=True)
        if wanted:
            current.content_end = session.queued
        yield from self._write(tail + behind())
        yield from self._answered(current)

    def _all_but_the_tail(self, current: Transaction) -> Conversation[bytes]:
        """Sends the content in blocks; returns the last octets, which complete it."""
        kept = b""
        for piece in current.content.encoded():
            if len(kept) + len(piece) > BLOCK:
                yield from self._write(self._session.content(kept, complete=False))
                self.stop_if_refused_early()
                kept = b""
            kept += piece
        return kept

    def chunks(self, current: Transaction, behind: Behind) -> Conversation[None]:
        """The content as chunks, until one is refused; awaits the verdict."""
        self._wire.patience.flow()
        for octets, last in current.content.chunks():
            out = self._chunk(current, octets, last=last)
            yield from self._write(out + behind() if last else out)
            yield from self._wire.until(self._has_room)
            self.stop_if_refused_early()
            if not self._pipelining:
                yield from self._answered(current)
            if current.content_refused:
                break
        yield from self._answered(current)

    def eagerly(self, current: Transaction, envelope: bytes) -> Conversation[None]:
        """The whole message in one write, envelope first; no reply is waited for."""
        out = bytearray(envelope)
        for octets, last in current.content.chunks():
            out += self._chunk(current, octets, last=last)
        yield from self._write(bytes(out))

    def _chunk(self, current: Transaction, octets: bytes, *, last: bool) -> bytes:
        session = self._session
        out = session.send(commands.bdat(len(octets), last=last), current)
        out += session.content(octets, complete=last)
        if last:
            current.content_end = session.queued
        return out

    def _write(self, out: bytes) -> Conversation[None]:
        patience = self._wire.patience
        patience.expect(patience.timeouts.content)
        yield from self._wire.write(out)

    def _answered(self, current: Transaction) -> Conversation[None]:
        """Waits for every reply to this message."""
        self._wire.expect_reply()
        yield from self._wire.until(lambda: not self.awaited(current))
        self.stop_if_refused_early()

    def awaited(self, transaction: Transaction) -> bool:
        """Whether the next reply is this transaction's; replies come in order."""
        flight = self._session.in_flight
        return bool(flight) and flight[0].owner is transaction

    def _has_room(self) -> bool:
        return len(self._session.in_flight) < MAX_IN_FLIGHT

    def stop_if_refused_early(self) -> None:
        """A refusal that came before the end of the content leaves the rest of it in the way.

        Raises Disconnected.
        """
        if self._session.broken:
            raise Disconnected("the server refused the content before its end", stage="CONTENT")
