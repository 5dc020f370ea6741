"""SMTP commands as values: their octets, how they are shown, and whether they end a group.

Every line passes one choke point, `_line()`, after encoding: no CR, LF, NUL or other control
character gets into a command, whatever it was made of.
"""

from __future__ import annotations

import base64
import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .addresses import Mailbox

#: Octets of one command line, its line end included (RFC 4954 section 4, for AUTH).
MAX_COMMAND: Final = 12_288
#: Stands in the transcript wherever a secret could have stood.
REDACTED: Final = "[redacted]"

_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")


class Verb(str, enum.Enum):
    """What is sent. GREETING and CONTENT are no commands, but they are owed a reply too.

    BDAT is a chunk that more will follow, LAST the one that completes the message; PROBE is a
    chunk outside of any transaction, which only a server that discards it survives unharmed.
    """

    GREETING = "GREETING"
    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RESPONSE = "RESPONSE"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "CONTENT"
    BDAT = "BDAT"
    LAST = "LAST"
    PROBE = "PROBE"
    RSET = "RSET"
    QUIT = "QUIT"

    @property
    def stage(self) -> str:
        """The name of the stage in errors and transcripts."""
        return _STAGES.get(self.value, self.value)

    @property
    def completes(self) -> bool:
        """Whether a message is complete with it, and its reply the verdict (RFC 5321 4.1.1.4)."""
        return self in (Verb.CONTENT, Verb.LAST)


_STAGES: Final = {
    "HELO": "EHLO",
    "LHLO": "EHLO",
    "RESPONSE": "AUTH",
    "STARTTLS": "TLS",
    "BDAT": "CONTENT",
    "LAST": "CONTENT",
}

#: RFC 2920 3.1 (with 3207 section 4 and 4954 section 4): what may stand anywhere in a group.
#: Message content may open one, and RFC 3030 2 lets chunks stand anywhere; everything else must
#: be the last.
ANYWHERE: Final = frozenset({Verb.MAIL, Verb.RCPT, Verb.RSET, Verb.CONTENT, Verb.BDAT, Verb.LAST})


@dataclass(frozen=True)
class Command:
    """One command: `line` is what is sent, `shown` what the transcript says, redacted.

    argument: the address of MAIL and RCPT, as it was given.
    payload: octets that follow the line and belong to the command (BDAT).
    """

    verb: Verb
    line: bytes = field(repr=False)
    shown: str
    argument: str = ""
    payload: int = 0

    @property
    def ends_group(self) -> bool:
        """Whether nothing may be sent behind it before its reply is read."""
        return self.verb not in ANYWHERE


def greeting() -> Command:
    """Nothing to send: the server speaks first."""
    return Command(Verb.GREETING, b"", "")


def ehlo(name: str) -> Command:
    """EHLO with the client's name (RFC 5321 4.1.1.1)."""
    return _command(Verb.EHLO, "EHLO", name)


def helo(name: str) -> Command:
    """HELO, for servers that refuse EHLO."""
    return _command(Verb.HELO, "HELO", name)


def lhlo(name: str) -> Command:
    """LHLO, which takes the place of EHLO in LMTP (RFC 2033 4.1)."""
    return _command(Verb.LHLO, "LHLO", name)


def starttls() -> Command:
    """STARTTLS (RFC 3207)."""
    return _command(Verb.STARTTLS, "STARTTLS")


def auth(mechanism: str, initial: bytes | None) -> Command:
    """AUTH with the initial response, if the mechanism has one (RFC 4954 section 4)."""
    words = ["AUTH", mechanism]
    if initial is not None:
        words.append(base64.b64encode(initial).decode() or "=")
    shown = f"AUTH {mechanism}" + (f" {REDACTED}" if initial is not None else "")
    return Command(Verb.AUTH, _line(words), shown)


def response(octets: bytes) -> Command:
    """The answer to one 334 challenge, in base64."""
    encoded = base64.b64encode(octets) + b"\r\n"
    if len(encoded) > MAX_COMMAND:
        raise ValueError(f"The answer to the challenge would exceed {MAX_COMMAND} octets.")
    return Command(Verb.RESPONSE, encoded, REDACTED)


def cancel() -> Command:
    """Gives an AUTH exchange up (RFC 4954 section 4)."""
    return Command(Verb.RESPONSE, b"*\r\n", "*")


def mail(sender: str, parameters: Iterable[str] = (), *, utf8: bool = False) -> Command:
    """MAIL with its parameters (RFC 5321 4.1.1.2). Raises ValueError for a bad address."""
    path = f"FROM:<{Mailbox.parse(sender) if sender else ''}>"
    return _command(Verb.MAIL, "MAIL", path, *parameters, utf8=utf8, argument=sender)


def rcpt(recipient: str, parameters: Iterable[str] = (), *, utf8: bool = False) -> Command:
    """RCPT with its parameters (RFC 5321 4.1.1.3). Raises ValueError for a bad address."""
    path = f"TO:<{Mailbox.parse(recipient)}>"
    return _command(Verb.RCPT, "RCPT", path, *parameters, utf8=utf8, argument=recipient)


def data() -> Command:
    """DATA (RFC 5321 4.1.1.4)."""
    return _command(Verb.DATA, "DATA")


def content(size: int | None) -> Command:
    """The message content that follows a 354; sent by itself, in blocks."""
    octets = "" if size is None else f", {size} octets"
    return Command(Verb.CONTENT, b"", f"[content{octets}]")


def bdat(size: int, *, last: bool) -> Command:
    """One chunk of the message, `size` octets that follow at once (RFC 3030 section 2)."""
    words = ("BDAT", str(size), "LAST") if last else ("BDAT", str(size))
    verb = Verb.LAST if last else Verb.BDAT
    return Command(verb, _line(words), f"{' '.join(words)} [content]", payload=size)


def probe(octets: bytes) -> Command:
    """A chunk outside of any transaction: refused, and discarded (RFC 3030 section 2)."""
    line = _line(("BDAT", str(len(octets)), "LAST"))
    return Command(Verb.PROBE, line + octets, line.decode().strip())


def rset() -> Command:
    """RSET (RFC 5321 4.1.1.5)."""
    return _command(Verb.RSET, "RSET")


def quit_() -> Command:
    """QUIT (RFC 5321 4.1.1.10)."""
    return _command(Verb.QUIT, "QUIT")


def _command(verb: Verb, *words: str, utf8: bool = False, argument: str = "") -> Command:
    return Command(verb, _line(words, utf8=utf8), " ".join(words), argument)


def _line(words: Iterable[str], *, utf8: bool = False) -> bytes:
    """The octets of one command line. Raises ValueError for what must not get into one."""
    text = " ".join(words)
    try:
        line = text.encode("utf-8" if utf8 else "ascii")
    except UnicodeEncodeError:
        line = b""
    if text and not line:
        raise ValueError(f"The {text.split(' ')[0]} command would contain a non-ASCII character.")
    if _CONTROLS.search(line):
        raise ValueError(f"The {text.split(' ')[0]} command would contain a control character.")
    if len(line) + 2 > MAX_COMMAND:
        raise ValueError(f"The {text.split(' ')[0]} command would exceed {MAX_COMMAND} octets.")
    return line + b"\r\n"
