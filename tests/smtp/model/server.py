"""A server in memory that does as it likes, keeps a ledger, and judges its client.

It answers by choices made beforehand, and what it really took stands in the `Ledger`. Every
command is judged by what the client had read when it wrote it (RFC 5321, 2920, 3030, 2033, 9422):
with replies under way a client may be wrong, but never against its knowledge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.smtp.model.letters import Letter
from tests.smtp.model.tape import Tape

MAX_LINE = 12_288
MAX_CHUNK = 65_536
#: One group of commands, and as many chunks.
MOST_UNANSWERED = 256 + 256

VALUE = rb"((?: [A-Z0-9][A-Z0-9-]*(?:=[!-<>-~]+)?)*)"
MAIL = re.compile(rb"MAIL FROM:<m(\d+)@x\.test>" + VALUE)
RCPT = re.compile(rb"RCPT TO:<(r\d+@(d\d)\.test)>" + VALUE)
BDAT = re.compile(rb"BDAT (0|[1-9]\d*)( LAST)?")
STUFFED = re.compile(rb"(\A|\r\n)\.")
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
NEEDS = {"SIZE": "SIZE", "BODY": "8BITMIME", "ENVID": "DSN", "NOTIFY": "DSN"}

CLOSE, MUTE, GARBAGE = "close", "mute", "garbage"
#: What may stand in place of the ordinary reply. "early": before the octets have come.
BENT: dict[str, tuple[str, ...]] = {
    "MAIL": ("450 4.3.2", "550 5.7.1", "503 5.5.1", "421 4.3.2", "354", MUTE, CLOSE, GARBAGE),
    "RCPT": (
        *("450 4.2.0", "550 5.1.1", "452 4.5.3", "452", "552 5.5.3", "251 2.1.5"),
        *("421 4.3.2", "354", MUTE, CLOSE, GARBAGE),
    ),
    "DATA": ("451 4.3.0", "554 5.5.1", "421 4.3.2", "250", MUTE, CLOSE, GARBAGE, "early"),
    "CONTENT": ("451 4.3.0", "554 5.6.0", "421 4.3.2", "354", MUTE, CLOSE, GARBAGE),
    "BDAT": ("451 4.3.0", "552 5.3.4", "421 4.3.2", "354", MUTE, CLOSE, GARBAGE, "early"),
    "PROBE": ("451 4.3.0", "250", "421 4.3.2", MUTE, CLOSE, GARBAGE),
    "RSET": ("451 4.3.0", "500 5.5.2", "421 4.3.2", MUTE, CLOSE, GARBAGE),
}
EARLY = ("552 5.3.4", "451 4.3.0", "421 4.3.2")
#: Choices below this are the ordinary reply.
ORDINARY = 205


@dataclass
class Told:
    """A reply: what it said, to what, and where it ended in the server's octets."""

    code: int
    heard: Heard
    end: int
    recipient: str = ""
    #: Said only because the command came too early for this server: no verdict on anything.
    hasty: bool = False


@dataclass
class Heard:
    """A command: the client had read `known` octets when it wrote the first one of it."""

    verb: str
    known: int
    letter: int | None = None
    recipient: str = ""
    told: list[Told] = field(default_factory=list)
    owed: int = 1


@dataclass
class Open:
    """The transaction under way."""

    mail: Heard
    letter: int
    rcpts: list[Heard] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    content: bytes = b""
    chunks: list[Heard] = field(default_factory=list)
    failed: bool = False


@dataclass
class Manners:
    """What stays the same over all connections of one server.

    streams: whether it takes commands that came with the end of a message.
    swallows: whether it discards a chunk outside of a transaction; else it runs it as commands.
    answers_empty_lines: whether it says anything to them.
    most_recipients: in one transaction, silently.
    """

    lmtp: bool = False
    streams: bool = True
    swallows: bool = True
    answers_empty_lines: bool = True
    most_recipients: int | None = None


@dataclass
class Ledger:
    """What the server knows for certain, over all its connections."""

    letters: dict[int, Letter] = field(default_factory=dict)
    #: (message, recipient) -> how many copies the server is responsible for
    copies: Counter[tuple[int, str]] = field(default_factory=Counter)
    #: Every reply, by the serial number in its text.
    told: dict[int, Told] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    proven: bool = False


class Server:
    """One connection. `hear()` what arrives; `said` is everything that was ever answered.

    knew: where a command began in the client's octets -> the octets that the client had read
    when it wrote it. max_unanswered: the client's promise.
    """

    def __init__(
        self,
        ledger: Ledger,
        manners: Manners,
        extensions: dict[str, str],
        tape: Tape,
        knew: Callable[[int], int],
        *,
        max_unanswered: int = 1,
    ) -> None:
        self.said = bytearray()
        self.gone = False
        self.history: list[Heard] = []
        self._ledger = ledger
        self._manners = manners
        self._extensions = extensions
        self._tape = tape
        self._knew = knew
        self._max_unanswered = max_unanswered
        self._buffer = bytearray()
        self._position = 0  # of the buffer in the client's octets
        self._mute = False
        self._greeted = False
        self._open: Open | None = None
        self._content: Heard | None = None
        self._chunk: tuple[Heard, int, bool] | None = None
        self._early = ""
        self._refuse_up_to = 0
        self._mails = 0
        self._domains: set[str] = set()
        self._probe: Heard | None = None
        self._tell(Heard("GREETING", 0), "220")

    def verdict_on(self, letter: int, recipient: str) -> Told | None:
        """The reply to the content of the latest round in which this recipient was accepted."""
        accepted, found = False, None
        for heard in self.history:
            if heard.letter != letter:
                continue
            if heard.verb == "RCPT" and heard.recipient == recipient:
                accepted = any(told.code // 100 == 2 for told in heard.told)
                found = None
            elif heard.verb in ("LAST", "CONTENT") and accepted and found is None:
                told = [one for one in heard.told if one.recipient in ("", recipient)]
                found = told[0] if told else None
        return found

    def refusal_of(self, letter: int, recipient: str, read: int) -> Told | None:
        """The reply to the latest RCPT for this recipient, if it was a refusal and was read."""
        latest = [
            told
            for heard in self.history
            if (heard.letter, heard.verb, heard.recipient) == (letter, "RCPT", recipient)
            for told in heard.told
        ][-1:]
        refused = [told for told in latest if told.code >= 400 and told.end <= read]
        return refused[0] if refused else None

    # -- input

    def hear(self, octets: bytes) -> None:
        """The client's octets, as the network brings them."""
        self._buffer += octets
        while not (self.gone or self._mute) and self._take_unit():
            pass

    def _take_unit(self) -> bool:
        if self._content is not None:
            return self._take_content(self._content)
        if self._chunk is not None:
            return self._take_chunk(*self._chunk)
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        start = self._position
        line = self._take(end + 1)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or len(line) > MAX_LINE:
            self._complain(f"malformed line {line[:80]!r}")
        self._command(line.rstrip(b"\r\n"), start)
        return True

    def _take(self, size: int) -> bytes:
        octets = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._position += size
        return octets

    def _command(self, line: bytes, start: int) -> None:
        verb = line.split(b" ")[0].decode("latin-1")
        heard = Heard(verb, self._knew(start))
        self._check_group(heard)
        self.history.append(heard)
        if start < self._refuse_up_to and verb != "BDAT":
            match = MAIL.fullmatch(line)
            heard.letter = int(match[1]) if match else None
            self._tell(heard, "503 5.5.1")
            heard.told[-1].hasty = True
            return
        handlers = {
            "EHLO": self._hello,
            "LHLO": self._hello,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "RSET": self._rset,
        }
        handlers.get(verb, self._unknown)(heard, line)

    # -- judgement

    def _complain(self, what: str) -> None:
        self._ledger.complaints.append(what)

    def _unanswered(self, known: int) -> list[Heard]:
        """The commands whose replies the client had not read whole at that point."""
        return [
            heard
            for heard in self.history
            if len(heard.told) < heard.owed or heard.told[-1].end > known
        ]

    def _knows(self, earlier: Heard, at: Heard) -> int:
        """The code of the reply to an earlier command if the client had read it, else 0."""
        told = [one for one in earlier.told if one.end <= at.known]
        return told[-1].code if told else 0

    def _check_group(self, heard: Heard) -> None:
        """RFC 2920 3.1."""
        waiting = self._unanswered(heard.known)
        if not self._manners.swallows and waiting and waiting[-1].verb == "PROBE":
            return
        if waiting and "PIPELINING" not in self._extensions:
            self._complain(f"{heard.verb} behind {waiting[-1].verb} without PIPELINING")
        if waiting and waiting[-1].verb in ("EHLO", "LHLO", "DATA", "PROBE"):
            self._complain(f"{heard.verb} behind {waiting[-1].verb}")
        if len(waiting) > MOST_UNANSWERED * self._max_unanswered:
            self._complain(f"{len(waiting)} commands unanswered")

    def _check_unanswered_messages(self, known: int) -> None:
        complete = [one for one in self._unanswered(known) if one.verb in ("CONTENT", "LAST")]
        if len(complete) >= self._max_unanswered:
            self._complain(f"{len(complete) + 1} complete messages without a verdict")

    def _check_parameters(self, words: bytes, allowed: tuple[str, ...], letter: Letter) -> None:
        for word in words.decode().split():
            keyword = word.partition("=")[0]
            if keyword not in allowed or NEEDS[keyword] not in self._extensions:
                self._complain(f"{word} is not for this server")
            if keyword == "SIZE" and not letter.measured:
                self._complain(f"{word} without being measured")

    # -- answers

    def _choose(self, verb: str) -> str:
        """The bent reply to this, or an empty text."""
        choice = self._tape.next()
        return BENT[verb][choice % len(BENT[verb])] if choice >= ORDINARY else ""

    def _tell(self, heard: Heard, words: str, recipient: str = "") -> int:
        """Says the reply, with a number by which it is found again; its code."""
        if words == MUTE:
            self._mute = True
            return 0
        if words == CLOSE:
            self.gone = True
            return 0
        if words == GARBAGE:
            self.said += b"what?\r\n"
            self._mute = True
            return 0
        serial = len(self._ledger.told)
        self.said += f"{words} #{serial}\r\n".encode()
        code = int(words[:3])
        told = Told(code, heard, len(self.said), recipient)
        heard.told.append(told)
        self._ledger.told[serial] = told
        self.gone = self.gone or code == 421
        # Behind what makes no sense nobody listens any more.
        self._mute = self._mute or (code == 354 and heard.verb != "DATA")
        return code

    def _hello(self, heard: Heard, line: bytes) -> None:
        if (heard.verb == "LHLO") != self._manners.lmtp:
            self._tell(heard, "500 5.5.2")
            return
        self.said += b"250-mx\r\n"
        for keyword, value in self._extensions.items():
            self.said += f"250-{keyword} {value}\r\n".encode()
        self._tell(heard, "250")
        self._greeted = True

    def _mail(self, heard: Heard, line: bytes) -> None:
        match = MAIL.fullmatch(line)
        if match is None or not self._greeted:
            self._complain(f"wrong: {line!r}")
            self._tell(heard, "501 5.5.4")
            return
        heard.letter = int(match[1])
        letter = self._ledger.letters[heard.letter]
        self._check_parameters(match[2], ("SIZE", "BODY", "ENVID"), letter)
        size = len(letter.arrives_as(heard.letter))
        if b" SIZE=" in match[2] and b" SIZE=%d" % size not in match[2]:
            self._complain(f"a wrong size: {line!r}")
        if letter.eight_bit != (b"BODY=8BITMIME" in match[2]):
            self._complain(f"a wrong body: {line!r}")
        if self._open is not None:
            # Only a client that can't know how its RSET was answered may be here.
            reset = next((one for one in reversed(self.history) if one.verb == "RSET"), None)
            behind = reset is not None and self.history.index(reset) > self.history.index(
                self._open.mail
            )
            if not behind or (reset is not None and self._knows(reset, heard)):
                self._complain(f"nested {line!r}")
            self._tell(heard, "503 5.5.1")
            return
        if self._tell(heard, self._choose("MAIL") or "250 2.1.0") // 100 == 2:
            self._open = Open(heard, heard.letter)
            self._mails += 1
            most = self._limit("MAILMAX")
            if most is not None and self._mails > most:
                self._complain(f"{self._mails} messages, {most} are allowed")

    def _limit(self, name: str) -> int | None:
        # A limit of nothing is none (RFC 9422 section 3).
        match = re.search(rf"{name}=([1-9]\d*)", self._extensions.get("LIMITS", ""))
        return int(match[1]) if match else None

    def _rcpt(self, heard: Heard, line: bytes) -> None:
        match = RCPT.fullmatch(line)
        if match is None:
            self._complain(f"wrong: {line!r}")
            self._tell(heard, "501 5.5.4")
            return
        heard.recipient = match[1].decode()
        mail = self._last("MAIL")
        heard.letter = mail.letter
        if heard.letter is not None:
            letter = self._ledger.letters[heard.letter]
            self._check_parameters(match[3], ("NOTIFY",), letter)
            if letter.dsn != (b"NOTIFY=FAILURE" in match[3]):
                self._complain(f"without its parameters: {line!r}")
        if self._open is None or self._open.failed:
            if self._knows(mail, heard):
                self._complain(f"{line!r} though the sender was refused")
            self._tell(heard, "503 5.5.1")
            return
        self._open.rcpts.append(heard)
        self._check_recipient_limits(match[2].decode())
        most = self._manners.most_recipients
        full = most is not None and len(self._open.accepted) >= most
        words = "452 4.5.3" if full else self._choose("RCPT") or "250 2.1.5"
        if self._tell(heard, words) // 100 == 2:
            self._open.accepted.append(heard.recipient)

    def _check_recipient_limits(self, domain: str) -> None:
        assert self._open is not None
        self._domains.add(domain)
        for name, count in (
            ("RCPTMAX", len(self._open.rcpts)),
            ("RCPTDOMAINMAX", len(self._domains)),
        ):
            most = self._limit(name)
            if most is not None and count > most:
                self._complain(f"{count}, and {name} is {most}")

    def _last(self, verb: str) -> Heard:
        found = next((one for one in reversed(self.history) if one.verb == verb), None)
        if found is None:
            self._complain(f"no {verb} before")
        return found or Heard(verb, 0)

    def _may_complete(self, heard: Heard, *, blindly: bool) -> None:
        """Whether content may follow, by what the client knew. blindly: before the replies."""
        mail = self._last("MAIL")
        ours = self.history[self.history.index(mail) + 1 :] if mail in self.history else []
        rcpts = [one for one in ours if one.verb == "RCPT"]
        codes = [self._knows(one, heard) for one in rcpts]
        if self._knows(mail, heard) // 100 in (4, 5):
            self._complain(f"{heard.verb} though the sender was refused")
        if all(code // 100 in (3, 4, 5) for code in codes):
            self._complain(f"{heard.verb} though every recipient was refused")
        if not blindly and (not self._knows(mail, heard) or not all(codes)):
            self._complain(f"{heard.verb} before the envelope was accepted")
        letter = self._ledger.letters.get(mail.letter if mail.letter is not None else -1)
        if letter is not None and letter.all_or_none:
            accepted = [code // 100 == 2 for code in codes]
            if not all(accepted) or len(accepted) < len(letter.domains) * letter.crowd:
                self._complain(f"{heard.verb} though it is for all or none: {codes}")

    # -- content behind DATA

    def _data(self, heard: Heard, line: bytes) -> None:
        heard.letter = self._last("MAIL").letter
        self._may_complete(heard, blindly=True)
        if self._open is not None and self._open.chunks:
            self._complain("DATA behind BDAT")
        words = "503 5.5.1"
        if self._open is not None:
            words = "354" if self._open.accepted else "554 5.5.1"
            words = self._choose("DATA") or words
        elif self._tape.next() >= ORDINARY:
            words = "354"  # some do, whatever was refused before
        if words == "early":
            self._early = EARLY[self._tape.next() % len(EARLY)]
            words = "354"
        if self._tell(heard, words) == 354:
            self._content = Heard("CONTENT", heard.told[-1].end, heard.letter)
            self.history.append(self._content)

    def _take_content(self, heard: Heard) -> bool:
        if self._early and self._buffer and not self._buffer.startswith(b"."):
            # It hears no more of this: what follows is no command.
            self._tell_all(heard, self._early)
            self._mute = True
            return False
        framed = b"\r\n" + bytes(self._buffer)
        end = framed.find(b"\r\n.\r\n")
        if end < 0:
            return False
        self._early = ""
        self._content = None
        if self._knew(self._position) < heard.known:
            self._complain("content before 354")
        wire = self._take(end)
        self._take(3)
        self._refuse_behind()
        known = self._knew(self._position - 1)
        self.history.remove(heard)
        self._check_unanswered_messages(known)
        self.history.append(heard)
        transaction, self._open = self._open, None
        if transaction is None or not transaction.accepted:
            if wire:
                self._complain("a content for nobody")
            self._tell(heard, "554 5.5.1")
            return True
        self._complete(heard, transaction, STUFFED.sub(rb"\1", wire))
        if BARE.search(wire):
            self._complain("a bare line end")
        return True

    def _refuse_behind(self) -> None:
        if not self._manners.streams:
            self._refuse_up_to = self._position + len(self._buffer)

    def _complete(self, heard: Heard, transaction: Open, content: bytes) -> None:
        """The verdict, one for each recipient in LMTP."""
        letter = self._ledger.letters[transaction.letter]
        if content != letter.arrives_as(transaction.letter):
            self._complain(f"another content: {content[:60]!r}")
        if not self._manners.lmtp:
            self._judge(heard, transaction.letter, transaction.accepted)
            return
        heard.owed = len(transaction.accepted)
        for recipient in transaction.accepted:
            if not (self.gone or self._mute):
                self._judge(heard, transaction.letter, [recipient])

    def _judge(self, heard: Heard, letter: int, recipients: list[str]) -> None:
        words = self._choose("CONTENT") or "250 2.0.0"
        silent = words in (MUTE, CLOSE, GARBAGE)
        takes = words.startswith("250") or (silent and self._tape.next() % 2 == 1)
        if takes:
            self._ledger.copies.update((letter, recipient) for recipient in recipients)
        self._tell(heard, words, recipients[0] if self._manners.lmtp else "")

    def _tell_all(self, heard: Heard, words: str) -> None:
        """A verdict for everybody; in LMTP everybody has their own."""
        accepted = self._open.accepted if self._open is not None else []
        heard.owed = len(accepted) if self._manners.lmtp else 1
        for recipient in accepted if self._manners.lmtp else [""]:
            if not self.gone:
                self._tell(heard, words, recipient)

    # -- chunks

    def _bdat(self, heard: Heard, line: bytes) -> None:
        match = BDAT.fullmatch(line)
        if match is None or "CHUNKING" not in self._extensions:
            self._complain(f"wrong: {line!r}")
            self._tell(heard, "501 5.5.4")
            return
        size, last = int(match[1]), match[2] is not None
        heard.verb = "LAST" if last else "BDAT"
        if not 0 < size <= MAX_CHUNK:
            self._complain(f"a chunk of {size} octets")
        if self._open is None and len(self._unanswered(heard.known)) == 1:
            # Outside of a transaction, and with nothing in flight.
            heard.verb = "PROBE"
            self._probe = heard
            self._tell(heard, self._choose("PROBE") or "503 5.5.1")
            if self._manners.swallows:
                self._chunk = heard, size, False
            return
        heard.letter = self._last("MAIL").letter
        self._may_complete(heard, blindly=self._ledger.proven)
        if self._open is None and not self._manners.swallows:
            self._tell(heard, "503 5.5.1")
            return
        chunks = self._open.chunks if self._open is not None else []
        if any(self._knows(one, heard) // 100 in (4, 5) for one in chunks):
            self._complain("a chunk behind one that was refused")
        self._chunk = heard, size, last

    def _take_chunk(self, heard: Heard, size: int, last: bool) -> bool:
        if heard.verb != "PROBE" and self._open is not None and not heard.told:
            self._tell_early(heard, last=last)
        if len(self._buffer) < size:
            return False
        octets = self._take(size)
        self._chunk = None
        if heard.verb == "PROBE" or heard.told:
            return True
        if last:
            self._refuse_behind()
            self.history.remove(heard)
            self._check_unanswered_messages(self._knew(self._position - 1))
            self.history.append(heard)
        transaction = self._open
        if transaction is None or not transaction.accepted or transaction.failed:
            self._tell(heard, "503 5.5.1")
            return True
        transaction.chunks.append(heard)
        transaction.content += octets
        words = self._choose("BDAT") if not last else ""
        if last:
            self._open = None
            self._complete(heard, transaction, transaction.content)
            transaction.failed = heard.told[-1:] == [] or heard.told[-1].code >= 400
            self._open = transaction if transaction.failed and not self._manners.lmtp else None
        elif self._tell(heard, "250 2.0.0" if words in ("", "early") else words) >= 300:
            transaction.failed = True
        return True

    def _tell_early(self, heard: Heard, *, last: bool) -> None:
        """Refuses a chunk by its size, and discards it (RFC 3030 section 2)."""
        assert self._open is not None
        ready = self._open.accepted and not self._open.failed
        if ready and self._choose("BDAT") == "early":
            self._open.failed = True
            self._open.chunks.append(heard)
            words = EARLY[self._tape.next() % 2]
            if last:
                self._tell_all(heard, words)
            else:
                self._tell(heard, words)

    # -- the rest

    def _rset(self, heard: Heard, line: bytes) -> None:
        words = self._choose("RSET") or "250 2.0.0"
        if self._tell(heard, words) != 250:
            if self._open is not None:
                self._open.failed = True
        else:
            self._open = None
            if self._probe is not None and self._probe.told[0].code // 100 == 5:
                self._ledger.proven = True

    def _unknown(self, heard: Heard, line: bytes) -> None:
        if not line and not self._manners.answers_empty_lines:
            self.history.pop()
            return
        behind = self.history[-2].verb if len(self.history) > 1 else ""
        if behind != "PROBE" or self._manners.swallows:
            self._complain(f"no command: {line!r}")
        self._tell(heard, "500 5.5.2")
