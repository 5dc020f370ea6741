"""A client's octets cut into command lines, contents and chunks; strict about CR LF."""

from __future__ import annotations

import re
from collections.abc import Callable

BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
STUFFED = re.compile(rb"(\A|\r\n)\.")
LONE_DOT = re.compile(rb"(?:\A|\r\n)\.(?!\.)")


def unstuffed(wire: bytes) -> bytes:
    """The content without the dots that the client doubled (RFC 5321 4.5.2)."""
    return STUFFED.sub(rb"\1", wire)


class Wire:
    """The octets that have arrived and are not yet understood.

    Each method takes one unit off the front, or returns None while it is incomplete. `complain`
    is called with a sentence for every breach of the line discipline (RFC 5321 2.3.8).
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._octets = bytearray()
        self._searched = 0

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        self._octets += octets

    def clear(self) -> None:
        self._octets.clear()

    def line(self) -> bytes | None:
        """A command line without its end; a bare LF ends it too, or the client would hang."""
        end = self._octets.find(b"\n")
        if end < 0:
            return None
        line = self.take(end + 1) or b""
        if line.endswith(b"\r\n"):
            line = line[:-2]
        else:
            line = line[:-1]
            self._complain(f"bare LF ends the command line {line!r}")
        if b"\r" in line:
            self._complain(f"bare CR in the command line {line!r}")
        return line

    def content(self) -> bytes | None:
        """What DATA announced, up to and without the line with the final dot."""
        if self._octets.startswith(b".\r\n"):
            del self._octets[:3]
            return b""
        end = self._octets.find(b"\r\n.\r\n", max(0, self._searched - 4))
        if end < 0:
            self._searched = len(self._octets)
            return None
        self._searched = 0
        wire = self.take(end + 2) or b""
        del self._octets[:3]
        self._check_text(wire)
        return wire

    def take(self, size: int) -> bytes | None:
        """Exactly so many octets."""
        if len(self._octets) < size:
            return None
        octets = bytes(self._octets[:size])
        del self._octets[:size]
        return octets

    def _check_text(self, wire: bytes) -> None:
        for match in BARE.finditer(wire):
            name = "LF" if match[0] == b"\n" else "CR"
            self._complain(f"bare {name} at octet {match.start()} of the content")
        if LONE_DOT.search(wire):
            self._complain("a line of the content begins with a dot that was not doubled")
