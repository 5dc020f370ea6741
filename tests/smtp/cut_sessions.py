"""Sessions that end or stall after an exact octet, and what the definition of doubt says of them.

Doubt begins when the octet that completes a message was handed to the transport, and ends with
the reply to it. So for every recipient, whatever is cut and wherever:

- a refusal or the verdict arrived: it stands;
- else, the last octet of the message was handed over: in doubt;
- else: not handed over, so it stays open for another connection.

`fates()` derives that from two records that are not the engine's: what its transport took, and
what came back.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from django_smtpauth.smtp import (
    Connection,
    DeliveryInDoubt,
    SMTPError,
    TimedOut,
    Timeouts,
    Transaction,
    connect,
)
from django_smtpauth.smtp import connection as connection_module
from tests.servers.cutting import CutAt, CuttingProxy, ProxiedConnection
from tests.servers.records import Connection as ServerRecord
from tests.servers.scripted import ScriptedServer
from tests.smtp.network import (
    BOUND,
    CREDENTIALS,
    PASSWORD,
    Dialler,
    endpoint,
    statuses,
    transaction,
)

Direction = Literal["client", "server"]
How = Literal["close", "reset", "stall", "half"]

#: A stalled session is left at the first look at `StallClock` behind the stall.
STALLED = Timeouts(dial=5, reply=0.004, until_content=0.5, content=0.004, verdict=0.004)

REPLY = re.compile(rb"(?:\d{3}-.*\r\n)*(\d{3}) .*\r\n")
ADDRESS = re.compile(rb"<(.*)>")
BDAT = re.compile(rb"BDAT (\d+)( LAST)?")


class StallClock:
    """Stands still until the proxy has stalled and everything it let through was read; from then
    on every look at it takes a second. So no machine is too slow for the tiny time-outs.
    """

    def __init__(self, proxy: CuttingProxy, dialler: Dialler) -> None:
        self._proxy = proxy
        self._dialler = dialler
        self._first = len(proxy.connections)
        self._now = 0.0

    def __call__(self) -> float:
        stalled = any(record.cut_done for record in self._proxy.connections[self._first :])
        if stalled and self._dialler.sockets and self._dialler.sockets[-1].silent:
            self._now += 1
        return self._now


@dataclass
class Run:
    """One session and all that was observed of it."""

    messages: list[Transaction]
    error: SMTPError | None
    taken: bytes  # by the client's transport
    proxied: ProxiedConnection
    served: ServerRecord
    given: bytes | None = None  # by the client's transport, if that was what failed

    @property
    def arrived(self) -> bytes:
        """What the client could read."""
        return bytes(self.proxied.from_server) if self.given is None else self.given


class Sessions:
    """Runs the same session again and again through a proxy."""

    def __init__(
        self,
        server: ScriptedServer,
        proxy: CuttingProxy,
        batch: Callable[[], list[Transaction]],
        **options: Any,
    ) -> None:
        self.server = server
        self._proxy = proxy
        self._batch = batch
        self._options = options

    def run(
        self,
        cut: CutAt | None,
        messages: list[Transaction] | None = None,
        takes: int | None = None,
    ) -> Run:
        connection_module._traits.clear()
        number = len(self._proxy.connections) + 1
        self._proxy.arm(cut)
        dialler = Dialler(takes=takes)
        messages = self._batch() if messages is None else messages
        began = time.monotonic()
        error = self._deliver(messages, dialler, cut)
        assert time.monotonic() - began < BOUND
        assert all(sock.fileno() < 0 for sock in dialler.sockets)
        self._proxy.settle(number)
        self.server.settle(number)
        proxied, served = self._proxy.connections[-1], self.server.connections[-1]
        given = bytes(dialler.sockets[-1].given) if takes is not None else None
        return Run(messages, error, dialler.taken, proxied, served, given)

    def _deliver(
        self, messages: list[Transaction], dialler: Dialler, cut: CutAt | None
    ) -> SMTPError | None:
        details: dict[str, Any] = {"dial": dialler}
        options = {"credentials": CREDENTIALS, **self._options}
        if cut is not None and cut.how == "stall":
            details["clock"] = StallClock(self._proxy, dialler)
            options["timeouts"] = STALLED
        connection: Connection | None = None
        told: list[Transaction] = []
        try:
            connection = connect(endpoint(self._proxy.port, **options), **details)
            connection.deliver(messages, told.append)
        except SMTPError as error:
            return error
        finally:
            done = [message for message in messages if message.done]
            assert sorted(map(id, told)) == sorted(map(id, done))
            if connection is not None:
                connection.close()
        return None


# -- what the definition says


@dataclass
class Round:
    """One MAIL and what followed it, as far as it was taken and answered; 0: no reply yet."""

    sender: str
    reply: int
    lmtp: bool
    recipients: dict[str, int] = field(default_factory=dict)
    complete: bool = False
    verdicts: list[int] = field(default_factory=list)

    def fate(self, recipient: str) -> str:
        """What it makes of this recipient, who is one of the round."""
        unknown = "in_doubt" if self.complete else "open"
        if self.reply == 503:
            return "open"  # it came too early, and comes again
        if self.reply >= 400:
            return refusal(self.reply)
        reply = self.recipients[recipient]
        if reply == 452:
            return "open"  # it comes in another round
        if reply >= 400:
            return refusal(reply)
        accepted = [one for one, code in self.recipients.items() if 200 <= code < 300]
        if reply == 0 or recipient not in accepted or not self.verdicts:
            return unknown
        place = accepted.index(recipient) if self.lmtp else 0
        if place >= len(self.verdicts):
            return unknown
        code = self.verdicts[place]
        return "accepted" if code < 300 else refusal(code)


def refusal(code: int) -> str:
    return "deferred" if code < 500 else "refused"


class Walk:
    """The rounds in what a client's transport took, with the replies that arrived."""

    def __init__(self, taken: bytes, arrived: bytes) -> None:
        self.rounds: list[Round] = []
        self._octets = taken
        self._codes: Iterator[int] = (int(match[1]) for match in REPLY.finditer(arrived))
        self._lmtp = False
        self._reply()  # the greeting
        while (line := self._line()) is not None:
            self._command(line)

    def _reply(self) -> int:
        return next(self._codes, 0)

    def _line(self) -> bytes | None:
        line, end, rest = self._octets.partition(b"\r\n")
        if not end:
            return None
        self._octets = rest
        return line

    def _command(self, line: bytes) -> None:
        verb = line.split(b" ")[0].partition(b":")[0]
        if verb == b"BDAT":
            self._chunk(line)
            return
        code = self._reply()
        address = (ADDRESS.findall(line) or [b""])[0].decode()
        if verb == b"MAIL":
            self.rounds.append(Round(address, code, self._lmtp))
        elif verb == b"RCPT":
            self.rounds[-1].recipients[address] = code
        elif verb == b"LHLO":
            self._lmtp = True
        elif verb == b"DATA" and code == 354:
            # The line end of the command stands in front of a dot that is the whole content.
            _, dot, self._octets = (b"\r\n" + self._octets).partition(b"\r\n.\r\n")
            if dot:
                self._completed(self.rounds[-1])

    def _chunk(self, line: bytes) -> None:
        match = BDAT.fullmatch(line)
        assert match is not None
        size = int(match[1])
        whole = len(self._octets) >= size
        self._octets = self._octets[size:]
        if match[2] is None or not self.rounds:
            self._reply()  # a chunk that more will follow, or the proof
        elif whole:
            self._completed(self.rounds[-1])

    def _completed(self, one: Round) -> None:
        one.complete = True
        accepted = sum(200 <= code < 300 for code in one.recipients.values())
        for _ in range(max(1, accepted) if self._lmtp else 1):
            if code := self._reply():
                one.verdicts.append(code)


def fates(taken: bytes, arrived: bytes, message: Transaction) -> list[str]:
    """Each recipient's fate when these octets were taken, and those arrived."""
    known = dict.fromkeys((r.address for r in message.envelope.recipients), "open")
    for one in Walk(taken, arrived).rounds:
        if one.sender != message.envelope.sender:
            continue
        for recipient in one.recipients:
            if known[recipient] == "open":
                known[recipient] = one.fate(recipient)
    return list(known.values())


def check(run: Run, taken: bytes | None = None, arrived: bytes | None = None) -> None:
    """Everything that the definition demands of one run.

    taken, arrived: the clear text, where the run's own octets are TLS's.
    """
    taken = run.taken if taken is None else taken
    arrived = run.arrived if arrived is None else arrived
    known = {message.envelope.sender: statuses(message) for message in run.messages}
    for message in run.messages:
        fate = known[message.envelope.sender]
        assert fate == fates(taken, arrived, message)
        assert message.done == ("open" not in fate)
        in_doubt = message.done and "in_doubt" in fate and "accepted" not in fate
        assert in_doubt == isinstance(message.error, DeliveryInDoubt)
        assert message.error is None or message.error.in_doubt == in_doubt
    for received in run.served.messages:
        for message in run.messages:
            if message.envelope.sender == received.sender:
                outcomes = message.outcomes
                assert all(recipient in outcomes for recipient in received.recipients), (
                    "the server has it, the engine says it was not handed over"
                )
    everything = [status for fate in known.values() for status in fate]
    known_for_all = {"open", "in_doubt"}.isdisjoint(everything)
    # The end of the session may come together with the last verdict.
    assert (run.error is None) == known_for_all or (known_for_all and run.served.ended == "server")
    if run.error is not None:
        assert run.error.transcript or run.error.stage == "CONNECT"
        assert PASSWORD not in repr(run.error.transcript)
        stalled = run.proxied.cut is not None and run.proxied.cut.how == "stall"
        assert isinstance(run.error, TimedOut) == stalled


class Reference:
    """The session without a cut, which must end as it should."""

    def __init__(self, sessions: Sessions, final: list[list[str]]) -> None:
        run = sessions.run(None)
        assert run.error is None
        assert [statuses(message) for message in run.messages] == final
        assert run.served.violations == []
        check_whole(run)
        self.client = run.taken
        self.server = bytes(run.proxied.from_server)

    def octets(self, direction: Direction) -> bytes:
        return self.client if direction == "client" else self.server


def check_whole(run: Run) -> None:
    """A whole session in clear is understood by the walk as well."""
    for message in run.messages:
        assert fates(run.taken, run.arrived, message) == statuses(message)


def sweep(
    sessions: Sessions,
    final: list[list[str]],
    direction: Direction,
    how: How,
    part: Callable[[bytes], range] = lambda whole: range(len(whole)),
) -> None:
    """One session for each octet that a whole session has in this direction, or a part of them."""
    reference = Reference(sessions, final)
    octets = part(reference.octets(direction))
    assert octets
    for octet in octets:
        check(sessions.run(CutAt(direction, octet, how)))


# -- the batch that most sweeps send


def batch() -> list[Transaction]:
    """Partly refused; streamed behind it; streamed again, and its content refused."""
    return [
        transaction("a", ["ok@x.test", "no@x.test"], b"a"),
        transaction("b", ["ok@x.test"], b".b\r\n..\r\n"),
        transaction("c", ["ok@x.test"], b""),
    ]


REPLIES = {
    "RCPT:no@x.test": b"550 5.1.1 no\r\n",
    "RCPT:ok@x.test": b"250 ok\r\n",
    "MAIL": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    "GREETING": b"220 hi\r\n",
    "CONTENT:c@example.org": b"554 5.6.0 no\r\n",
}
FINAL = [["accepted", "refused"], ["accepted"], ["refused"]]
