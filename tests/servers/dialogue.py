"""One client's SMTP session as the server sees it (RFC 5321, 2033, 2920, 3030, 3207, 4954).

Input is understood as it comes, the replies are held and leave together, in one write: at once,
or, with `count_flights`, when the client waits. A reply scripted by the test replaces the ordinary
one, and the state follows what was really answered: a MAIL answered 250 opens a transaction.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from tests.servers import sasl
from tests.servers.behaviour import Answer, Behaviour, Drip, Script, Then
from tests.servers.records import PATH, AuthAttempt, Connection, Message, address_in
from tests.servers.transport import CutShortError, Transport
from tests.servers.wire import Wire, unstuffed

# RFC 2920 3.1, RFC 3207 4, RFC 4954 4: nothing may follow these before their reply.
LAST_IN_GROUP = frozenset(
    {"EHLO", "HELO", "LHLO", "STARTTLS", "AUTH", "AUTH-RESPONSE"}
    | {"DATA", "VRFY", "EXPN", "NOOP", "QUIT"}
)
MAIL = re.compile(rb"MAIL FROM:" + PATH.pattern + rb"((?: \S+)*)", re.IGNORECASE)
RCPT = re.compile(rb"RCPT TO:" + PATH.pattern + rb"((?: \S+)*)", re.IGNORECASE)
BDAT = re.compile(rb"BDAT (\d+)( LAST)?", re.IGNORECASE)
# The extension that each parameter of MAIL and RCPT belongs to.
PARAMETERS = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",  # or BINARYMIME, see _judge_path()
    "SMTPUTF8": "SMTPUTF8",
    "AUTH": "AUTH",
    "RET": "DSN",
    "ENVID": "DSN",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
    "REQUIRETLS": "REQUIRETLS",
    "MT-PRIORITY": "MT-PRIORITY",
    "BY": "DELIVERBY",
    "HOLDFOR": "FUTURERELEASE",
    "HOLDUNTIL": "FUTURERELEASE",
}


def code_of(reply: bytes) -> int:
    """The code of the first line, 0 when there is none."""
    return int(reply[:3]) if reply[:3].isdigit() else 0


class Dialogue:
    """Speaks with one client until either side ends."""

    def __init__(
        self, connection: Connection, transport: Transport, behaviour: Behaviour, script: Script
    ) -> None:
        self.connection = connection
        self._transport = transport
        self._behaviour = behaviour
        self._script = script
        self._wire = Wire(connection.violations.append)
        self._held: list[tuple[bytes, Drip | None]] = []
        self._flight: list[str] = []
        self._then = Then.GO_ON
        self._greeted = False
        self._lmtp = False
        self._refused_recipients = 0
        self._starting_tls = False
        self._awaits_content = False
        self._chunk: tuple[int, bool] | None = None  # size, LAST
        self._mechanism = ""
        self._in_auth = False
        self._exchange: sasl.Exchange | None = None
        self._username: str | None = None
        self._commands: dict[str, Callable[[bytes], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "LHLO": self._lhlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "RSET": self._rset,
            "QUIT": self._quit,
        }

    def run(self) -> None:
        """Raises StoppedError, ConnectionError, ssl.SSLError, and what the test's callables do."""
        self._transport.cut = self._behaviour.plain_cut
        try:
            self._converse()
        except CutShortError:
            self._end_short()

    def _converse(self) -> None:
        if self._behaviour.implicit_tls:
            self._shake_hands()
        self._answer(["GREETING"], b"", self._ordinary(220, "scripted.test ESMTP"))
        self._flush()
        while self._then is Then.GO_ON and self._hear_flight():
            pass
        self._end()

    # -- input and output

    def _hear_flight(self) -> bool:
        """Read, understand and answer one flight; False when the client has closed."""
        octets = self._transport.receive()
        if not octets:
            return False
        self._understand(octets)
        if self._behaviour.count_flights or self._behaviour.refuse_behind_dot:
            self._hear_rest_of_flight()
        self._flush()
        return True

    def _hear_rest_of_flight(self) -> None:
        """Go on until the client is silent where it may expect a reply.

        This is a measurement, no synchronisation: inside a command or a content the wait has no
        limit, and a client that waits for a reply can't send. A pause longer than `quiet` between
        two writes of one flight makes the count too high, never too low, and harms nothing else.
        """
        while self._then is Then.GO_ON:
            inside = len(self._wire) > 0 or self._chunk is not None
            octets = self._transport.receive(None if inside else self._behaviour.quiet)
            if not octets:
                return
            self._understand(octets)

    def _understand(self, octets: bytes) -> None:
        self.connection.received += octets
        self._wire.feed(octets)
        while self._then is Then.GO_ON and self._take_unit():
            pass

    def _take_unit(self) -> bool:
        """Take one command, response, content or chunk off the input, if one is complete."""
        if self._starting_tls:
            if self._wire:
                self._complain("octets in clear behind STARTTLS")
                self._wire.clear()
            return False
        if self._awaits_content:
            wire = self._wire.content()
            if wire is not None:
                self._content(wire)
            return wire is not None
        if self._chunk is not None:
            octets = self._wire.take(self._chunk[0])
            if octets is not None:
                self._take_chunk(octets)
            return octets is not None
        line = self._wire.line()
        if line is not None:
            self._line(line)
        return line is not None

    def _answer(self, keys: list[str], line: bytes, ordinary: bytes) -> bytes:
        """Hold the scripted reply, or the ordinary one, for the next write; return it."""
        answer = self._script.answer(keys, self.connection, line)
        return self._hold(answer, ordinary)

    def _hold(self, answer: Answer, ordinary: bytes) -> bytes:
        text = ordinary if answer.text is None else answer.text
        sent = text.replace(b"\r\n", self._behaviour.line_ending)
        self._held.append((sent, answer.drip or self._behaviour.drip))
        self._then = answer.then
        return text

    def _ordinary(self, code: int, text: str) -> bytes:
        reply = f"{code}" if self._behaviour.bare_codes else f"{code} {text}"
        return reply.encode() + b"\r\n"

    def _flush(self) -> None:
        """Send what is held: one write for all, except what drips."""
        if self._flight and self._behaviour.count_flights:
            self.connection.flights.append(tuple(self._flight))
        self._flight.clear()
        held, self._held = self._held, []
        while held:
            drip = held[0][1]
            together = next((n for n, piece in enumerate(held) if piece[1] != drip), len(held))
            self._transport.send(b"".join(text for text, _ in held[:together]), drip)
            held = held[together:]
        if self._starting_tls and self._then is Then.GO_ON:
            self._shake_hands()

    def _shake_hands(self) -> None:
        context = self._behaviour.ssl_context
        if context is None:
            raise ValueError("TLS needs Behaviour.ssl_context")
        drip = self._behaviour.handshake_drip
        self.connection.tls = self._transport.start_tls(context, drip)
        self._starting_tls = False
        self._forget()

    def _forget(self) -> None:
        """Start anew (RFC 3207 4.2, RFC 5321 4.1.4)."""
        self._greeted = False
        self.connection.announced = {}
        self.connection.open_message = None

    def _end(self) -> None:
        self.connection.ended = "client" if self._then is Then.GO_ON else "server"
        if self._then is Then.RESET:
            self._transport.reset()
        elif self._then is Then.STOP_READING:
            self._transport.wait_for_stop()
        elif self._then is Then.SILENCE:
            while octets := self._transport.receive():
                self.connection.received += octets
        else:
            self._transport.finish()

    def _end_short(self) -> None:
        self.connection.ended = "server"
        how = self._behaviour.plain_cut.how if self._behaviour.plain_cut else ""
        if how == "reset":
            self._transport.reset()
        else:
            self._transport.finish(notify=how == "close")

    def _complain(self, violation: str) -> None:
        self.connection.violations.append(violation)

    def _note(self, verb: str) -> bool:
        """Add to the flight, check RFC 2920 3.1; whether the unit came behind a final dot."""
        if self._flight:
            before = self._flight[-1]
            if "PIPELINING" not in self.connection.announced:
                self._complain(f"{verb} behind {before} without PIPELINING")
            elif before in LAST_IN_GROUP:
                self._complain(f"{verb} behind {before}, which must end its group")
        behind_dot = "CONTENT" in self._flight
        self._flight.append(verb)
        return behind_dot and self._behaviour.refuse_behind_dot

    # -- commands

    def _line(self, line: bytes) -> None:
        self.connection.commands.append(line)
        if self._in_auth:
            self._note("AUTH-RESPONSE")
            self._auth_response(line)
            return
        verb = line.split(b" ")[0].decode("latin-1").upper()
        behind_dot = self._note(verb)
        limit = self._behaviour.refusals_before_421
        if limit is not None and self._refused_recipients >= limit:
            self._hold(Answer(then=Then.CLOSE), self._ordinary(421, "4.7.0 Too many errors"))
        elif behind_dot:
            self._hold(Answer(), self._ordinary(503, "5.5.1 Commands behind the final dot"))
        elif verb == "BDAT" and "CHUNKING" not in self.connection.announced:
            self._other(line)
        else:
            self._commands.get(verb, self._other)(line)

    def _other(self, line: bytes) -> None:
        known = {"NOOP": (250, "2.0.0 Ok"), "VRFY": (252, "2.0.0 Send some mail")}
        verb = line.split(b" ")[0].decode("latin-1").upper()
        code, text = known.get(verb, (500, "5.5.2 Command not recognised"))
        self._answer([verb], line, self._ordinary(code, text))

    def _lhlo(self, line: bytes) -> None:
        self._lmtp = True
        self._ehlo(line)

    def _ehlo(self, line: bytes) -> None:
        lines = ["scripted.test", *self._behaviour.announced(self.connection.tls is not None)]
        last = lines.pop()
        ordinary = "".join(f"250-{text}\r\n" for text in lines) + f"250 {last}\r\n"
        reply = self._answer(["LHLO" if self._lmtp else "EHLO"], line, ordinary.encode())
        if code_of(reply) == 250:
            self._forget()
            self._greeted = True
            for keyword_line in reply.decode("latin-1").upper().splitlines()[1:]:
                keyword, _, parameters = keyword_line[4:].replace("=", " ", 1).partition(" ")
                self.connection.announced[keyword] = parameters

    def _helo(self, line: bytes) -> None:
        if code_of(self._answer(["HELO"], line, self._ordinary(250, "scripted.test"))) == 250:
            self._forget()
            self._greeted = True

    def _starttls(self, line: bytes) -> None:
        if "STARTTLS" in self.connection.announced and self.connection.tls is None:
            ordinary = self._ordinary(220, "2.0.0 Go ahead")
        else:
            ordinary = self._ordinary(503, "5.5.1 STARTTLS not offered")
        self._starting_tls = code_of(self._answer(["STARTTLS"], line, ordinary)) == 220

    def _mail(self, line: bytes) -> None:
        match = MAIL.fullmatch(line)
        if not self._greeted:
            ordinary = self._ordinary(503, "5.5.1 EHLO first")
        elif self.connection.open_message is not None:
            ordinary = self._ordinary(503, "5.5.1 Nested MAIL")
        else:
            ordinary = self._judge_path(match, "2.1.0 Sender ok")
        reply = self._answer([f"MAIL:{address_in(line)}", "MAIL"], line, ordinary)
        if code_of(reply) // 100 == 2:
            self.connection.open_message = Message(line)

    def _rcpt(self, line: bytes) -> None:
        message = self.connection.open_message
        if message is None:
            ordinary = self._ordinary(503, "5.5.1 MAIL first")
        else:
            ordinary = self._judge_path(RCPT.fullmatch(line), "2.1.5 Recipient ok")
        code = code_of(self._answer([f"RCPT:{address_in(line)}", "RCPT"], line, ordinary))
        if code // 100 == 2 and message is not None:
            message.recipient_lines.append(line)
        elif code >= 400:
            self._refused_recipients += 1

    def _judge_path(self, match: re.Match[bytes] | None, welcome: str) -> bytes:
        if match is None:
            return self._ordinary(501, "5.5.4 Syntax error")
        for parameter in match[2].decode("latin-1").split():
            keyword = parameter.partition("=")[0].upper()
            needed = PARAMETERS.get(keyword, keyword)
            if parameter.upper() == "BODY=BINARYMIME":
                needed = "BINARYMIME"
            if needed not in self.connection.announced:
                return self._ordinary(555, f"5.5.4 Parameter not recognised: {keyword}")
        return self._ordinary(250, welcome)

    def _data(self, line: bytes) -> None:
        message = self.connection.open_message
        if message is None:
            ordinary = self._ordinary(503, "5.5.1 MAIL first")
        elif message.chunks:
            ordinary = self._ordinary(503, "5.5.1 DATA after BDAT")
        elif not message.recipient_lines:
            ordinary = self._ordinary(554, "5.5.1 No valid recipients")
        else:
            ordinary = self._ordinary(354, "End data with <CR><LF>.<CR><LF>")
        self._awaits_content = code_of(self._answer(["DATA"], line, ordinary)) == 354

    def _content(self, wire: bytes) -> None:
        self._note("CONTENT")
        self._awaits_content = False
        message = self.connection.open_message or Message(b"")
        message.wire, message.content = wire, unstuffed(wire)
        self._complete(message, [f"CONTENT:{message.sender}", "CONTENT"])

    def _bdat(self, line: bytes) -> None:
        match = BDAT.fullmatch(line)
        message = self.connection.open_message
        if match is None:
            self._answer(["BDAT"], line, self._ordinary(501, "5.5.4 Syntax error"))
        elif self._behaviour.runs_refused_chunks and not (message and message.recipient_lines):
            self._answer(["BDAT"], line, self._ordinary(503, "5.5.1 MAIL and RCPT first"))
        else:
            self._chunk = int(match[1]), match[2] is not None

    def _take_chunk(self, octets: bytes) -> None:
        """The octets belong to the command, also when it is refused (RFC 3030 2)."""
        _, last = self._chunk or (0, False)
        self._chunk = None
        message = self.connection.open_message
        if message is None or not message.recipient_lines:
            ordinary = self._ordinary(503, "5.5.1 MAIL and RCPT first")
            self._answer(["BDAT"], octets, ordinary)
            return
        message.chunks.append(len(octets))
        message.wire += octets
        message.content = message.wire
        if last:
            self._complete(message, ["BDAT", f"CONTENT:{message.sender}", "CONTENT"])
            return
        reply = self._answer(["BDAT"], octets, self._ordinary(250, f"2.0.0 {len(octets)} octets"))
        if code_of(reply) // 100 != 2:
            self.connection.open_message = None

    def _complete(self, message: Message, keys: list[str]) -> None:
        """Record before answering: who has read the reply may look at the record."""
        connection = self.connection
        connection.messages.append(message)
        connection.open_message = None
        # Of fixed width: the same session has the same length on every connection.
        queue_id = f"{connection.number:05}-{len(connection.messages):05}"
        if not message.recipient_lines:
            ordinary = self._ordinary(554, "5.5.1 No valid recipients")
            message.reply = self._answer(keys, message.content, ordinary)
            return
        ordinary = self._ordinary(250, f"2.0.0 Ok: queued as {queue_id}")
        if not self._lmtp:
            message.reply = self._answer(keys, message.content, ordinary)
            return
        for recipient in message.recipients:
            if self._then is Then.GO_ON:
                its_keys = [f"CONTENT:{recipient}", *keys]
                reply = self._answer(its_keys, message.content, ordinary)
                message.verdicts[recipient] = reply

    def _rset(self, line: bytes) -> None:
        if code_of(self._answer(["RSET"], line, self._ordinary(250, "2.0.0 Ok"))) == 250:
            self.connection.open_message = None

    def _quit(self, line: bytes) -> None:
        self._answer(["QUIT"], line, self._ordinary(221, "2.0.0 Bye"))
        if self._then is Then.GO_ON:
            self._then = Then.CLOSE

    # -- AUTH

    def _auth(self, line: bytes) -> None:
        words = line.decode("latin-1").split(" ")
        self._mechanism = words[1].upper() if len(words) > 1 else ""
        self._username = None
        ordinary = self._begin_exchange(words[2] if len(words) > 2 else None)
        self._judge_auth([f"AUTH:{self._mechanism}", "AUTH"], line, ordinary)

    def _begin_exchange(self, initial: str | None) -> bytes:
        mechanism = sasl.MECHANISMS.get(self._mechanism)
        offered = self.connection.announced.get("AUTH", "").split()
        if self.connection.authenticated or self.connection.open_message is not None:
            return self._ordinary(503, "5.5.1 AUTH not allowed now")
        if mechanism is None or self._mechanism not in offered:
            return self._ordinary(504, "5.5.4 Mechanism not offered")
        try:
            response = None if initial is None else sasl.decoded(initial)
            self._exchange = mechanism(self._site(), response)
            return self._challenge(next(self._exchange))
        except StopIteration as done:
            return self._verdict(*done.value)
        except ValueError:
            return self._ordinary(501, "5.5.2 Cannot decode")

    def _site(self) -> sasl.Site:
        known = self._behaviour
        return sasl.Site(known.users, known.tokens, self.connection.tls, known.certificate)

    def _auth_response(self, line: bytes) -> None:
        if line == b"*":
            ordinary = self._ordinary(501, "5.7.0 Authentication cancelled")
        else:
            ordinary = self._go_on(line.decode("latin-1"))
        self._judge_auth(["AUTH-RESPONSE"], line, ordinary)

    def _go_on(self, response: str) -> bytes:
        if self._exchange is None:  # only the script went on
            return self._verdict(self._username, False)
        try:
            return self._challenge(self._exchange.send(sasl.decoded(response)))
        except StopIteration as done:
            return self._verdict(*done.value)
        except ValueError:
            return self._ordinary(501, "5.5.2 Cannot decode")

    def _challenge(self, challenge: bytes) -> bytes:
        if self._behaviour.bare_codes and self._mechanism == "LOGIN":
            return b"334\r\n"
        return b"334 " + base64.b64encode(challenge) + b"\r\n"

    def _verdict(self, username: str | None, correct: bool) -> bytes:
        self._exchange = None
        self._username = username
        if correct:
            return self._ordinary(235, "2.7.0 Authentication successful")
        return self._ordinary(535, "5.7.8 Authentication credentials invalid")

    def _judge_auth(self, keys: list[str], line: bytes, ordinary: bytes) -> None:
        code = code_of(self._answer(keys, line, ordinary))
        self._in_auth = code == 334
        if not self._in_auth:
            self._exchange = None
            attempt = AuthAttempt(self._mechanism, self._username, code == 235)
            self.connection.auth.append(attempt)
