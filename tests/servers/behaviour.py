"""How a `ScriptedServer` behaves: values only, no I/O (see `scripted` for the recipes)."""

from __future__ import annotations

import enum
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.servers.records import Connection

EXTENSIONS: tuple[str, ...] = (
    "PIPELINING",
    "SIZE 10240000",
    "8BITMIME",
    "SMTPUTF8",
    "ENHANCEDSTATUSCODES",
)


class Then(enum.Enum):
    """What follows an answer."""

    GO_ON = "go on"
    CLOSE = "close"  # end of stream; later input is read and thrown away until the client closes
    RESET = "reset"  # RST: the client's next read or write fails
    SILENCE = "silence"  # the connection stays open, input is read, nothing is answered any more
    STOP_READING = "stop reading"  # the connection stays open and nothing is read any more


@dataclass(frozen=True)
class Drip:
    """Octets that leave one `send()` at a time (TCP_NODELAY), or one line at a time.

    Before each piece the server takes one permit of `pace` (the test gives them:
    `pace.release(5)` lets five pieces go), or waits `interval` seconds. `Drip()` only splits.
    """

    interval: float = 0.0
    pace: threading.Semaphore | None = None
    by: Literal["octet", "line"] = "octet"

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self.by == "line":
            yield from data.splitlines(keepends=True)
        else:
            for octet in data:
                yield bytes([octet])


@dataclass(frozen=True)
class Answer:
    """One answer: its octets as sent (None: the ordinary reply), how they leave, what follows."""

    text: bytes | None = None
    then: Then = Then.GO_ON
    drip: Drip | None = None


@dataclass(frozen=True)
class PlainCut:
    """Where the server ends a session by itself, counted in octets of SMTP: inside TLS, those
    of the clear text.

    direction  whose octets are counted: those it has read of the "client", or its own, "server"
    how        "close" (inside TLS with close_notify), "truncate" (the end of TCP's stream alone)
               or "reset"
    """

    direction: Literal["client", "server"]
    octet: int
    how: Literal["close", "truncate", "reset"] = "close"


ORDINARY = Answer()
CLOSE = Answer(b"", Then.CLOSE)
RESET = Answer(b"", Then.RESET)
SILENCE = Answer(b"", Then.SILENCE)
STOP_READING = Answer(b"", Then.STOP_READING)

Reply = bytes | Answer
Callback = Callable[[Connection, bytes], Reply | None]
ScriptEntry = Reply | Callback
Replies = Mapping[str, ScriptEntry | list[ScriptEntry]]


@dataclass(frozen=True)
class Behaviour:
    """Everything a `ScriptedServer` can be told; the defaults give a correct ESMTP server.

    extensions            EHLO lines after the first. None: `EXTENSIONS`, AUTH when there are
                          `users` or `tokens`, STARTTLS when there is an `ssl_context` and no TLS
                          yet. CHUNKING must be asked for.
    extensions_after_tls  the same inside TLS. None: `extensions` without STARTTLS.
    users                 user name -> password
    tokens                user name -> access token
    mechanisms            what the AUTH line of the default `extensions` offers
    ssl_context           a server context; allows STARTTLS, or is used at once: `implicit_tls`
    certificate           the server's (PEM), as SCRAM-...-PLUS binds itself to it
    replies               see `scripted`: key -> entry, or list of entries used up one by one
    line_ending           of every reply; b"\\n" is a server that never sends CR
    bare_codes            ordinary one-line replies are `250` without text
    drip                  how every reply leaves; None: the replies of a flight in one write
    handshake_drip        how the server's octets of the TLS handshake leave
    count_flights         hold replies back until the client waits, and record each flight
    quiet                 seconds without input after which the client is held to be waiting
    refuse_behind_dot     503 for all commands that came together with a message's final dot
    runs_refused_chunks   a chunk that is refused is not discarded: its octets are read as commands
    refusals_before_421   after so many refused recipients the next command gets 421 and the end
    address               where to listen: 127.0.0.1, another address of this machine, or the
                          absolute path of a Unix socket
    receive_buffer        octets, SO_RCVBUF: small together with STOP_READING blocks a writer soon
    send_buffer           octets, SO_SNDBUF
    plain_cut             where the server ends the session, see `PlainCut`
    """

    extensions: Sequence[str] | None = None
    extensions_after_tls: Sequence[str] | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    mechanisms: Sequence[str] = ("PLAIN", "LOGIN", "CRAM-MD5")
    ssl_context: ssl.SSLContext | None = None
    implicit_tls: bool = False
    certificate: str = ""
    replies: Replies = field(default_factory=dict)
    line_ending: bytes = b"\r\n"
    bare_codes: bool = False
    drip: Drip | None = None
    handshake_drip: Drip | None = None
    count_flights: bool = False
    quiet: float = 0.02
    refuse_behind_dot: bool = False
    runs_refused_chunks: bool = False
    refusals_before_421: int | None = None
    receive_buffer: int | None = None
    address: str = "127.0.0.1"
    send_buffer: int | None = None
    plain_cut: PlainCut | None = None

    def announced(self, inside_tls: bool) -> list[str]:
        """The EHLO lines after the first."""
        if inside_tls and self.extensions_after_tls is not None:
            return list(self.extensions_after_tls)
        lines = list(EXTENSIONS if self.extensions is None else self.extensions)
        if self.extensions is None:
            if self.users or self.tokens:
                lines.append(" ".join(["AUTH", *self.mechanisms]))
            if self.ssl_context is not None:
                lines.append("STARTTLS")
        return [line for line in lines if not (inside_tls and line.upper() == "STARTTLS")]


class Script:
    """The `replies` of one server. Lists are used up across all its connections."""

    def __init__(self, replies: Replies) -> None:
        self._lock = threading.Lock()
        self._replies = {
            key: list(entry) if isinstance(entry, list) else entry
            for key, entry in replies.items()
        }

    def answer(self, keys: Sequence[str], connection: Connection, line: bytes) -> Answer:
        """The answer of the first of the keys that has one left, else `ORDINARY`."""
        for key in keys:
            entry = self._next(key)
            if entry is None:
                continue
            reply = entry(connection, line) if callable(entry) else entry
            if reply is None:
                return CLOSE
            return Answer(reply) if isinstance(reply, bytes) else reply
        return ORDINARY

    def _next(self, key: str) -> ScriptEntry | None:
        entry = self._replies.get(key)
        if not isinstance(entry, list):
            return entry
        with self._lock:
            return entry.pop(0) if entry else None
