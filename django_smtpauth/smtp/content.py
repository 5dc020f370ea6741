"""Message content: what is known of it, and its form on the wire (RFC 5321 4.5.2, 2.3.8).

On the wire text has CRLF line ends only. Behind DATA a dot is doubled at every line start, and
the whole ends in `.CRLF`; in chunks (RFC 3030) it is as it is. The codec holds no more than one
block of the content at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

#: When content goes in chunks (RFC 3030) to a server that takes them.
Chunking = Literal["never", "after_rcpt", "eager"]
#: Octets of one block: what is encoded, and timed, at once.
BLOCK = 65_536
#: Octets of a text line without its line end (RFC 5321 4.5.3.1.6).
MAX_TEXT_LINE = 998


@dataclass(frozen=True)
class Content:
    """The octets of one message and what MAIL has to say about them.

    source: a callable that returns a fresh iterable of pieces; called once per attempt.
    size: octets before dot-stuffing, line ends counted as CRLF; None: unknown.
    eight_bit: whether an octet above 127 is among them.
    long_lines: whether a line exceeds 998 octets.
    binary: not text: the octets go as they are, in chunks (BINARYMIME, RFC 3030 section 3).
    """

    source: Callable[[], Iterable[bytes]] = field(repr=False)
    size: int | None = None
    eight_bit: bool = True
    long_lines: bool = False
    binary: bool = False

    @classmethod
    def of(cls, octets: bytes) -> Content:
        """Content held in memory, measured; lone CR and LF become CRLF."""
        octets = with_only_crlf(octets)
        size = len(octets) + (0 if octets.endswith(b"\r\n") or not octets else 2)
        return cls(lambda: (octets,), size, not octets.isascii(), has_long_lines(octets))

    @classmethod
    def of_binary(cls, octets: bytes) -> Content:
        """Any octets, held in memory: they reach the server unchanged."""
        return cls(lambda: (octets,), len(octets), binary=True)

    def blocks(self) -> Iterator[memoryview]:
        """The pieces of the source, none longer than one block."""
        for piece in self.source():
            view = memoryview(piece)
            for start in range(0, len(view), BLOCK):
                yield view[start : start + BLOCK]

    def encoded(self) -> Iterator[bytes]:
        """The octets as they follow DATA, block by block, the final dot included."""
        encoder = DotEncoder()
        for block in self.blocks():
            yield encoder.encode(block)
        yield encoder.end()

    def chunks(self) -> Iterator[tuple[bytes, bool]]:
        """The octets as they follow BDAT, and whether a chunk is the last one.

        None is empty, since some servers hang on `BDAT 0 LAST`; none is longer than one block.
        """
        kept = bytearray()
        for piece in self._pieces():
            kept += piece
            while len(kept) > BLOCK:
                yield bytes(kept[:BLOCK]), False
                del kept[:BLOCK]
        yield bytes(kept) or b"\r\n", True

    def _pieces(self) -> Iterator[bytes]:
        if self.binary:
            yield from map(bytes, self.blocks())
            return
        lines = LineEncoder()
        for block in self.blocks():
            yield lines.encode(block)
        if not lines.complete:
            yield b"\r\n"


class LineEncoder:
    """CRLF for every line end, across block borders."""

    def __init__(self) -> None:
        self._at_line_start = True
        self._held_cr = False

    def encode(self, block: bytes | memoryview) -> bytes:
        """The wire form of one block; a CR at its end is held back until the next."""
        data = bytes(block)
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        if data:
            data = with_only_crlf(data)
            self._at_line_start = data.endswith(b"\n")
        return data

    @property
    def complete(self) -> bool:
        """Whether the text so far ends in a line end, or is empty; a CR held back is none yet."""
        return self._at_line_start and not self._held_cr


class DotEncoder:
    """Line ends and dot-stuffing across block borders (RFC 5321 4.5.2)."""

    def __init__(self) -> None:
        self._lines = LineEncoder()
        self._at_line_start = True

    def encode(self, block: bytes | memoryview) -> bytes:
        """The wire form of one block; a CR at its end is held back until the next."""
        data = self._lines.encode(block)
        stuffed = data.replace(b"\n.", b"\n..")
        if self._at_line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        if data:
            self._at_line_start = data.endswith(b"\n")
        return stuffed

    def end(self) -> bytes:
        """What completes the content: a line end where one is missing, then the final dot."""
        return b".\r\n" if self._lines.complete else b"\r\n.\r\n"


def has_only_crlf(data: bytes) -> bool:
    """Whether every CR and every LF is part of a CRLF."""
    pairs = data.count(b"\r\n")
    return data.count(b"\n") == pairs == data.count(b"\r")


def with_only_crlf(data: bytes) -> bytes:
    """The data with every lone CR and LF made a CRLF; the same object if there was none."""
    if has_only_crlf(data):
        return data
    # Three passes in C: a substitution by pattern would hold an object for every line.
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def has_long_lines(data: bytes) -> bool:
    """Whether a line has more than 998 octets before its line end."""
    position, end = 0, len(data)
    while end - position > MAX_TEXT_LINE:
        # Leaps from line end to line end a thousand octets at a time, not line by line.
        found = data.rfind(b"\n", position, position + MAX_TEXT_LINE + 2)
        if found < 0:
            return True
        position = found + 1
    return False
