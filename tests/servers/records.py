"""What a `ScriptedServer` remembers. A fact is recorded before the reply that tells of it."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

PATH = re.compile(rb'<((?:"(?:\\.|[^"\\])*"|[^<>"])*)>')


def address_in(line: bytes) -> str:
    """The address between the angle brackets of a MAIL or RCPT line."""
    match = PATH.search(line)
    return match[1].decode() if match else ""


@dataclass
class Message:
    """One transaction; in `Connection.messages` once its content is complete.

    wire     the content as sent, without the terminating dot line; for BDAT all chunks together
    content  the same after removal of the stuffed dots (RFC 5321 4.5.2)
    chunks   sizes of the BDAT chunks, octets; empty after DATA
    reply    the answer to the content, as scripted
    verdicts the answers in LMTP: recipient -> reply
    """

    sender_line: bytes
    recipient_lines: list[bytes] = field(default_factory=list)  # the accepted ones
    wire: bytes = b""
    content: bytes = b""
    chunks: list[int] = field(default_factory=list)
    reply: bytes = b""
    verdicts: dict[str, bytes] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        return address_in(self.sender_line)

    @property
    def recipients(self) -> list[str]:
        return [address_in(line) for line in self.recipient_lines]

    @property
    def accepted(self) -> bool:
        """Whether the server has answered for this message with 2xx (in LMTP: once at least)."""
        return any(reply.startswith(b"2") for reply in (self.reply, *self.verdicts.values()))


@dataclass(frozen=True)
class TLSFacts:
    version: str
    cipher: str
    client_certificate: bytes | None  # DER
    unique: bytes | None = None  # the channel binding tls-unique, before TLS 1.3


@dataclass(frozen=True)
class AuthAttempt:
    mechanism: str
    username: str | None  # None: the exchange broke off before it was known
    accepted: bool


@dataclass
class Connection:
    """One client's connection.

    received    all octets of SMTP (inside TLS: after decryption), in order
    commands    every command line and AUTH response, without the line end
    flights     with `count_flights`: per round trip the verbs that came in it, for instance
                ("CONTENT", "RSET", "MAIL", "RCPT", "DATA"); responses are "AUTH-RESPONSE"
    violations  breaches of the protocol by the client, in words
    ended       "client" (it closed), "server" (it was told to end), "lost" (reset, TLS failure:
                see `error`), "stopped" (the test ended first); "" while it lasts
    finished    set when all of the above is final
    """

    number: int  # from 1, in order of acceptance
    received: bytearray = field(default_factory=bytearray)
    commands: list[bytes] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    open_message: Message | None = None
    flights: list[tuple[str, ...]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    announced: dict[str, str] = field(default_factory=dict)  # keyword -> parameters, upper case
    tls: TLSFacts | None = None
    auth: list[AuthAttempt] = field(default_factory=list)
    ended: str = ""
    error: Exception | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def authenticated(self) -> bool:
        return any(attempt.accepted for attempt in self.auth)

    @property
    def verbs(self) -> list[str]:
        """The first word of every command line, upper case."""
        return [line.split(b" ")[0].decode("latin-1").upper() for line in self.commands]
