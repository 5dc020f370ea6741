"""Drives conversations without any I/O: a peer in memory, a clock that only tests move.

A peer is anything with `hear(octets) -> octets`. Two are ready:

    Script((b"EHLO me\\r\\n", b"250 hello\\r\\n"), ...)    flight after flight, octet for octet
    Server(answer)                                        a server: `answer(line)` per command

`Driver(peer).run(conversation)` plays the whole. With `trickle=True` the server's octets arrive
one at a time and the client's leave one at a time, so that nothing depends on packets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, Union, cast

from django_smtpauth.smtp.commands import Command
from django_smtpauth.smtp.errors import Disconnected, SMTPError, TimedOut
from django_smtpauth.smtp.needs import (
    Arrival,
    Call,
    Conversation,
    Exchange,
    Handshake,
    Need,
    StartTLS,
)
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.session import Session
from django_smtpauth.smtp.timeouts import Patience, Timeouts
from django_smtpauth.smtp.tls import PeerFacts
from django_smtpauth.smtp.transcript import Event
from django_smtpauth.smtp.wire import Wire

T = TypeVar("T")

FACTS = PeerFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", b"DER")


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Someone:
    """An owner of commands, who is told nothing."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.events: deque[Event] = deque()

    def take(self, command: Command, reply: Reply) -> None:
        raise AssertionError("the session hands answers out and tells nobody itself")


class Peer(Protocol):
    gone: bool

    def hear(self, octets: bytes) -> bytes: ...


class Script:
    """A whole dialogue: pairs of what the client must have said and what it is answered.

    None as an answer is a server that closes the connection without a word.
    """

    def __init__(self, *turns: tuple[bytes, bytes | None]) -> None:
        self.turns = list(turns)
        self.heard = b""
        self.gone = False

    def hear(self, octets: bytes) -> bytes:
        self.heard += octets
        said = b""
        while self.turns and not self.gone:
            expected, answer = self.turns[0]
            if self.heard != expected:
                break
            self.turns.pop(0)
            self.heard = b""
            self.gone = answer is None
            said += answer or b""
        expected = self.turns[0][0] if self.turns else b""
        assert expected.startswith(self.heard), f"{self.heard!r} instead of {expected!r}"
        return said

    @property
    def finished(self) -> bool:
        return not self.turns and not self.heard


Answers = Callable[[str], "str | None"]
#: One reply for ever, or replies one by one.
Entry = Union[str, "list[str | None]", None]


class Server:
    """Answers command by command, knows content from commands, and remembers both.

    `answer(line)` gives the reply's lines without the last line end, "" for silence from then on,
    None to close the connection. "GREETING" is asked first, "." stands for the end of content
    and, after the last of its octets, `BDAT n [LAST]` for a chunk. After LHLO the end of content
    is asked about once for each recipient that was accepted.

    swallows: whether the octets of a chunk outside of a transaction are discarded.
    """

    def __init__(self, answer: Answers, *, swallows: bool = True) -> None:
        self._answer = answer
        self._swallows = swallows
        self._buffer = b""
        self._chunk = ""
        self._chunks = b""
        self._lmtp = False
        self._accepted = 0
        self._in_content = False
        self._greeted = False
        self._mute = False
        self.gone = False
        self.lines: list[str] = []
        self.messages: list[bytes] = []

    def hear(self, octets: bytes) -> bytes:
        self._buffer += octets
        said = b"" if self._greeted else self._reply("GREETING")
        self._greeted = True
        while not (self.gone or self._mute) and (line := self._take()) is not None:
            said += self._reply(line)
        return said

    def _take(self) -> str | None:
        if self._chunk:
            return self._take_chunk()
        if self._in_content:
            framed = b"\r\n" + self._buffer
            end = framed.find(b"\r\n.\r\n")
            if end < 0:
                return None
            self._in_content = False
            self.messages.append(self._buffer[:end])
            self._buffer = self._buffer[end + 3 :]
            return "."
        line, separator, rest = self._buffer.partition(b"\r\n")
        if not separator:
            return None
        self._buffer = rest
        if line.startswith(b"BDAT") and (self._swallows or self._accepted):
            self._chunk = line.decode()
            return self._take_chunk()
        return line.decode()

    def _take_chunk(self) -> str | None:
        line = self._chunk
        size = int(line.split(" ")[1])
        if len(self._buffer) < size:
            return None
        self._chunk = ""
        self._chunks += self._buffer[:size]
        self._buffer = self._buffer[size:]
        if line.endswith(" LAST"):
            if self._accepted:
                self.messages.append(self._chunks)
            self._chunks = b""
        return line

    def _reply(self, line: str) -> bytes:
        if line != "GREETING":
            self.lines.append(line)
        completes = line == "." or line.endswith(" LAST")
        verdicts = max(1, self._accepted) if self._lmtp and completes else 1
        return b"".join(self._single_reply(line) for _ in range(verdicts) if not self.gone)

    def _single_reply(self, line: str) -> bytes:
        reply = self._answer(line)
        if reply is None:
            self.gone = True
            return b""
        self._count(line, reply)
        self.gone = reply.startswith("421")
        self._mute = not reply
        self._in_content = line == "DATA" and reply.startswith("354")
        return reply.encode() + b"\r\n" if reply else b""

    def _count(self, line: str, reply: str) -> None:
        """Keeps what the end of content and chunks depend on."""
        self._lmtp = self._lmtp or line.startswith("LHLO")
        if line.startswith(("MAIL", "RSET")):
            self._accepted = 0
        elif line.startswith("RCPT") and reply.startswith("2"):
            self._accepted += 1


def answers(**replies: Entry) -> Answers:
    """A polite server, bent: verb or line (DOT: the end of the content) -> reply, or replies."""
    polite: dict[str, Entry] = {
        "GREETING": "220 mx ESMTP",
        "EHLO": "250-mx\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME",
        "DATA": "354 go on",
        "DOT": "250 2.0.0 queued",
        "LHLO": "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME",
    }
    polite |= {
        key: list(value) if isinstance(value, list) else value for key, value in replies.items()
    }

    refused, recipients = True, 0

    def answer(line: str) -> str | None:
        nonlocal refused, recipients
        verb = "DOT" if line == "." else line.split(" ")[0]
        if verb == "RCPT" and refused:
            return "503 5.5.1 MAIL first"
        if verb == "BDAT" and not recipients:
            return "503 5.5.1 RCPT first"
        reply = polite.get(line, polite.get(verb, "250 ok"))
        reply = reply.pop(0) if isinstance(reply, list) else reply
        good = reply is not None and reply.startswith("2")
        if verb in ("MAIL", "RSET"):
            refused, recipients = verb == "RSET" or not good, 0
        elif verb == "RCPT":
            recipients += good
        return reply

    return answer


class Driver:
    """Gives every need what it asks for.

    lose_after: the transport takes so many octets of the client and then fails.
    handshake: what comes of StartTLS.
    waits: the time-outs that were asked for. flights: what was written before each wait.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        trickle: bool = False,
        lose_after: int | None = None,
        handshake: Handshake | None = None,
    ) -> None:
        self.peer = peer
        self.trickle = trickle
        self.lose_after = lose_after
        self.result_of_handshake = handshake or Handshake(FACTS)
        self.handed = 0
        self.waits: list[float] = []
        self.flights: list[bytes] = []
        self.largest = 0
        self._outgoing = b""
        self._incoming = b""
        self._flight = b""

    def run(self, conversation: Conversation[T]) -> T:
        """To the end of the conversation; its error is the caller's."""
        try:
            need = next(conversation)
            while True:
                if isinstance(need, Exchange):
                    need = conversation.send(self.exchange(need))
                elif isinstance(need, StartTLS):
                    need = conversation.send(self._start_tls(need))
                else:
                    need = self._call(conversation, need)
        except StopIteration as end:
            return cast("T", end.value)

    def exchange(self, need: Exchange) -> Arrival:
        self.waits.append(need.timeout)
        self.largest = max(self.largest, len(need.out))
        self._outgoing += need.out
        while True:
            fault = self._hand_over()
            arrived = self._incoming[:1] if self.trickle else self._incoming
            self._incoming = self._incoming[len(arrived) :]
            if arrived or not (need.want_reply or self._outgoing) or fault is not None:
                return Arrival(arrived, self.handed, None if arrived else fault)
            if not self._outgoing:
                return Arrival(b"", self.handed, self._silence())

    def _hand_over(self) -> SMTPError | None:
        """Moves octets to the peer: one when trickling, else all that the transport takes."""
        share = self._outgoing[:1] if self.trickle else self._outgoing
        if self.lose_after is not None:
            share = share[: self.lose_after - self.handed]
        lost = self.lose_after is not None and self._outgoing and not share
        self._outgoing = self._outgoing[len(share) :]
        self.handed += len(share)
        self._flight += share
        if not self.peer.gone:
            self._incoming += self.peer.hear(share)
        if self._incoming and self._flight and not self._outgoing:
            self.flights.append(self._flight)
            self._flight = b""
        return Disconnected("the connection was lost") if lost else None

    def _silence(self) -> SMTPError:
        if self.peer.gone:
            return Disconnected("the server closed the connection")
        if self.lose_after is not None and self.handed >= self.lose_after:
            return Disconnected("the connection was lost")
        return TimedOut("the server did not answer in time")

    def _start_tls(self, need: StartTLS) -> Handshake:
        self.waits.append(need.timeout)
        return self.result_of_handshake

    @staticmethod
    def _call(conversation: Conversation[T], need: Call) -> Need:
        try:
            value = need.function()
        except Exception as error:
            return conversation.throw(error)
        return conversation.send(value)


def new_wire(
    clock: Clock | None = None, timeouts: Timeouts | None = None, deadline: float | None = None
) -> Wire:
    """A wire over a fresh session."""
    clock = clock or Clock()
    return Wire(Session(clock), Patience(timeouts or Timeouts(), clock, deadline))


def pieces(octets: bytes, sizes: Iterable[int]) -> list[bytes]:
    """The octets cut into pieces of these sizes; the rest is the last piece."""
    cut = []
    for size in sizes:
        cut.append(octets[:size])
        octets = octets[size:]
    return [*cut, octets]
