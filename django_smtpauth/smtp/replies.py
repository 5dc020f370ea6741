"""SMTP replies as values, and the parser that makes them from octets (RFC 5321 4.2, RFC 3463).

The parser is bounded: a reply line has at most 8,192 octets (12,288 for a 334 challenge, RFC 4954
section 4), a whole reply at most 65,536. It survives any split of the octets, accepts lines that
end in a bare LF and a code without text, and refuses everything else with ProtocolError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from .errors import ProtocolError

#: Octets in one reply line, its line end included.
MAX_LINE: Final = 8_192
#: Octets in one 334 line, its line end included (RFC 4954 section 4).
MAX_CHALLENGE_LINE: Final = 12_288
#: Octets in all lines of one reply.
MAX_REPLY: Final = 65_536

_CODE = re.compile(rb"[2-5][0-9]{2}")
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:[ \t]+|$)")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class EnhancedStatus(NamedTuple):
    """An enhanced status code such as 5.7.8 (RFC 3463 section 2)."""

    klass: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


@dataclass(frozen=True)
class Reply:
    """One complete reply: its three-digit code and the text of its lines, control characters gone.

    The text is shown to people and written to logs, so whatever could forge a line there was
    replaced by U+FFFD when the reply was parsed.
    """

    code: int
    lines: tuple[str, ...] = ("",)

    @property
    def klass(self) -> int:
        """First digit of the code: 2 done, 3 go on, 4 transient refusal, 5 permanent refusal."""
        return self.code // 100

    @property
    def enhanced(self) -> EnhancedStatus | None:
        """The enhanced status code that opens the text, if its class agrees with the code."""
        match = _ENHANCED.match(self.lines[0])
        if match is None or int(match[1]) != self.klass:
            return None
        return EnhancedStatus(int(match[1]), int(match[2]), int(match[3]))

    @property
    def text(self) -> str:
        """All lines joined by line feeds, each without its enhanced status code."""
        if self.enhanced is None:
            return "\n".join(self.lines)
        prefix = str(self.enhanced)
        return "\n".join(
            line[len(prefix) :].lstrip(" \t") if line.startswith(prefix) else line
            for line in self.lines
        )

    @property
    def status(self) -> str:
        """Code and enhanced code, for example `535 5.7.8`."""
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)

    @property
    def as_sent(self) -> str:
        """The lines as the server wrote them, joined by line feeds."""
        *first, last = self.lines
        return "\n".join([*(f"{self.code}-{line}" for line in first), f"{self.code} {last}"])

    def __str__(self) -> str:
        return " ".join(filter(None, [str(self.code), *self.lines]))

    def to_dict(self) -> dict[str, object]:
        """The reply as JSON-ready values."""
        return {
            "code": self.code,
            "enhanced": str(self.enhanced) if self.enhanced else None,
            "text": self.text,
        }


class ReplyParser:
    """Collects octets and hands out complete replies, in order.

    `feed()` takes octets as they come; `next()` returns a Reply, or None when more octets are
    needed, and raises ProtocolError for octets that are no SMTP reply or exceed a limit.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._lines: list[str] = []
        self._code = 0
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Adds octets received from the server."""
        self._buffer += data

    @property
    def empty(self) -> bool:
        """Whether no octet waits to become part of a reply."""
        return not self._buffer and not self._lines

    def next(self) -> Reply | None:
        """The next complete reply, or None. Raises ProtocolError."""
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end < 0:
                self._scanned = len(self._buffer)
                self._check_line_length(self._buffer)
                return None
            line = bytes(self._buffer[: end + 1])
            del self._buffer[: end + 1]
            self._scanned = 0
            self._check_line_length(line)
            if self._take_line(line):
                reply = Reply(self._code, tuple(self._lines))
                self._lines = []
                self._size = 0
                return reply

    def _take_line(self, line: bytes) -> bool:
        """Adds one line to the reply under way; whether it was the last one."""
        self._size += len(line)
        if self._size > MAX_REPLY:
            raise ProtocolError(f"The server's reply is longer than {MAX_REPLY} octets.")
        line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        code, separator, text = line[:3], line[3:4], line[4:]
        if not _CODE.fullmatch(code):
            raise ProtocolError(f"The server sent something that is no SMTP reply: {_shown(line)}")
        if separator not in (b"", b" ", b"-"):
            raise ProtocolError(f"The server sent a malformed reply line: {_shown(line)}")
        if self._lines and int(code) != self._code:
            raise ProtocolError(f"The code changed within one reply: {_shown(line)}")
        self._code = int(code)
        self._lines.append(_CONTROLS.sub("\ufffd", text.decode("utf-8", "replace")))
        return separator != b"-"

    @staticmethod
    def _check_line_length(line: bytes | bytearray) -> None:
        limit = MAX_CHALLENGE_LINE if line.startswith(b"334") else MAX_LINE
        if len(line) > limit:
            raise ProtocolError(f"The server sent a reply line of more than {limit} octets.")


def _shown(line: bytes) -> str:
    """The head of a line in a form that is safe to print."""
    return repr(line[:60])
