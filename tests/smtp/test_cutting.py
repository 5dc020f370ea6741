"""The connection ends or stalls after any octet: the outcome is what the definition of doubt says.

Doubt begins when the octet that completes a message was handed to the transport, and ends with
the reply to it. So for every message, whatever is cut and wherever:

- its verdict arrived: the verdict stands;
- else, its last octet was handed over: in doubt;
- else: not handed over, so it stays open for another connection.

What the transport took is recorded at the socket, what arrived by the proxy, and what the server
has is the server's own record: none of it is the engine's word.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import pytest

from django_smtpauth.smtp import (
    Connection,
    DeliveryInDoubt,
    Security,
    SMTPError,
    TimedOut,
    Timeouts,
    TLSOptions,
    Transaction,
    connect,
)
from django_smtpauth.smtp import connection as connection_module
from tests.servers.certificates import Certificates
from tests.servers.cutting import CutAt, CuttingProxy, ProxiedConnection
from tests.servers.fixtures import ProxyFactory, ServerFactory
from tests.servers.records import Connection as ServerRecord
from tests.servers.scripted import ScriptedServer
from tests.smtp.network import BOUND, CREDENTIALS, PASSWORD, USER, Dialler, endpoint, transaction

Direction = Literal["client", "server"]
How = Literal["close", "reset", "stall", "half"]

#: A stalled session is left at the first look at `StallClock` behind the stall.
STALLED = Timeouts(dial=5, reply=0.004, until_content=0.5, content=0.004, verdict=0.004)

SessionsWith = Callable[..., "Sessions"]

REPLY = re.compile(rb"(?:\d{3}-.*\r\n)*\d{3} .*\r\n")
DOT = b"\r\n.\r\n"


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

    def __init__(self, server: ScriptedServer, proxy: CuttingProxy, **options: Any) -> None:
        self._server = server
        self._proxy = proxy
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
        messages = batch() if messages is None else messages
        began = time.monotonic()
        error = self._deliver(messages, dialler, cut)
        assert time.monotonic() - began < BOUND
        assert all(sock.fileno() < 0 for sock in dialler.sockets)
        self._proxy.settle(number)
        self._server.settle(number)
        proxied, served = self._proxy.connections[-1], self._server.connections[-1]
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
            assert told == [message for message in messages if message.done]
            if connection is not None:
                connection.close()
        return None


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


class Reference:
    """The session without a cut: where messages end, where verdicts and refusals end."""

    def __init__(self, sessions: Sessions) -> None:
        run = sessions.run(None)
        assert run.error is None
        assert [known(message) for message in run.messages] == FINAL
        self.client = run.taken
        self.server = bytes(run.proxied.from_server)
        self.dots = [match.end() for match in re.finditer(re.escape(DOT), self.client)]
        replies = list(REPLY.finditer(self.server))
        self.verdicts = [
            verdict.end() for go_on, verdict in pairwise(replies) if go_on[0].startswith(b"354")
        ]
        self.refusal = next(r.end() for r in replies if r[0].startswith(b"550"))
        assert len(self.dots) == len(self.verdicts) == len(FINAL)

    def expected(self, index: int, taken: int, arrived: int) -> list[str]:
        """Each recipient's fate when so many octets were taken, and so many arrived."""
        if arrived >= self.verdicts[index]:
            return FINAL[index]
        fate = "in_doubt" if taken >= self.dots[index] else "open"
        refused = "refused" if arrived >= self.refusal else "open"
        return [fate, refused] if index == 0 else [fate]


def known(message: Transaction) -> list[str]:
    outcomes = message.outcomes
    return [
        outcomes[r.address].status.value if r.address in outcomes else "open"
        for r in message.envelope.recipients
    ]


def plain_length(octets: bytes) -> int:
    """How much plain text the complete records hold: TLS 1.2 with AES-GCM (RFC 5288)."""
    length = 0
    while len(octets) >= 5:
        kind, size = octets[0], int.from_bytes(octets[3:5], "big")
        if len(octets) < 5 + size:
            break
        length += size - 8 - 16 if kind == 23 else 0
        octets = octets[5 + size :]
    return length


def check(run: Run, reference: Reference, measure: Callable[[bytes], int] = len) -> None:
    """Everything that the definition demands of one run."""
    taken, arrived = measure(run.taken), measure(run.arrived)
    complete = {message.sender for message in run.served.messages}
    for index, message in enumerate(run.messages):
        fate = known(message)
        assert fate == reference.expected(index, taken, arrived)
        assert message.done == ("open" not in fate)
        in_doubt = "in_doubt" in fate
        assert in_doubt == isinstance(message.error, DeliveryInDoubt)
        assert message.error is None or message.error.in_doubt == in_doubt
        if message.envelope.sender in complete:
            assert message.done, "the server has it, the engine says it was not handed over"
            if arrived < reference.verdicts[index]:
                assert in_doubt
    whole = arrived >= reference.verdicts[-1]
    assert (run.error is None) == whole
    if run.error is not None:
        assert run.error.transcript or run.error.stage == "CONNECT"
        assert PASSWORD not in repr(run.error.transcript)
        stalled = run.proxied.cut is not None and run.proxied.cut.how == "stall"
        assert isinstance(run.error, TimedOut) == stalled


pytestmark = pytest.mark.usefixtures("nothing_leaks")

SERVER: dict[str, Any] = {
    "extensions": ["PIPELINING", "AUTH PLAIN"],
    "users": {USER: PASSWORD},
    "replies": REPLIES,
}


@pytest.fixture
def sessions_with(scripted_server: ServerFactory, cutting_proxy: ProxyFactory) -> SessionsWith:
    def start(behaviour: dict[str, Any], **options: Any) -> Sessions:
        server = scripted_server(**{**SERVER, **behaviour})
        return Sessions(server, cutting_proxy(server.port), **options)

    return start


def inside_tls(
    sessions_with: SessionsWith, certificates: Certificates
) -> tuple[Sessions, Reference]:
    """Sessions whose records can be measured without the key, and the same one in clear."""
    context = certificates.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM")
    sessions = sessions_with(
        {"ssl_context": context, "implicit_tls": True},
        security=Security.IMPLICIT_TLS,
        tls=TLSOptions(ca_file=certificates.ca_file),
    )
    return sessions, Reference(sessions_with({}))


def sweep(sessions: Sessions, direction: Direction, how: How) -> None:
    """One session for each octet that a whole session has in this direction."""
    reference = Reference(sessions)
    whole = reference.client if direction == "client" else reference.server
    for octet in range(len(whole)):
        check(sessions.run(CutAt(direction, octet, how)), reference)


@pytest.mark.parametrize("direction", ["client", "server"])
@pytest.mark.parametrize(
    "how", ["close", "reset", "stall", pytest.param("half", marks=pytest.mark.slow)]
)
def test_every_octet(sessions_with: SessionsWith, direction: Direction, how: How) -> None:
    sweep(sessions_with({}), direction, how)


def test_every_octet_that_the_transport_takes(sessions_with: SessionsWith) -> None:
    """The octet before the one that completes a message makes no doubt yet."""
    sessions = sessions_with({})
    reference = Reference(sessions)
    for octet in range(len(reference.client)):
        run = sessions.run(None, takes=octet)
        assert len(run.taken) == octet
        check(run, reference)


@pytest.mark.parametrize("tail", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_octet_of_tls_that_the_transport_takes(
    sessions_with: SessionsWith, certificates: Certificates, tail: int
) -> None:
    """An octet in a record that is incomplete was not handed over: nobody can read it."""
    sessions, reference = inside_tls(sessions_with, certificates)
    length = len(sessions.run(None).taken)
    for octet in range(max(0, length - tail), length):
        run = sessions.run(None, takes=octet)
        assert len(run.taken) == octet
        check(run, reference, plain_length)


@pytest.mark.parametrize("direction", ["client", "server"])
def test_what_stays_open_can_be_sent_again(
    sessions_with: SessionsWith, direction: Direction
) -> None:
    """After any loss, the rest over a new connection: every message is there once, or in doubt."""
    sessions = sessions_with({})
    reference = Reference(sessions)
    whole = reference.client if direction == "client" else reference.server
    for octet in range(0, len(whole), 5):
        cut = sessions.run(CutAt(direction, octet, "reset"))
        rest = [message for message in cut.messages if not message.done]
        again = sessions.run(None, rest) if rest else cut
        delivered = [
            m.sender
            for run in {id(cut): cut, id(again): again}.values()
            for m in run.served.messages
            if m.accepted
        ]
        for message, final in zip(cut.messages, FINAL, strict=True):
            copies = delivered.count(message.envelope.sender)
            if "in_doubt" in known(message):
                assert copies <= 1
            else:
                assert known(message) == final
                assert copies == ("accepted" in final)


@pytest.mark.parametrize("direction", ["client", "server"])
@pytest.mark.parametrize("how", ["close", pytest.param("stall", marks=pytest.mark.slow)])
def test_every_octet_without_pipelining(
    sessions_with: SessionsWith, direction: Direction, how: How
) -> None:
    sweep(sessions_with({"extensions": ["AUTH PLAIN"]}), direction, how)


@pytest.mark.parametrize("direction", [pytest.param("client", marks=pytest.mark.slow), "server"])
@pytest.mark.parametrize("how", ["close", pytest.param("stall", marks=pytest.mark.slow)])
def test_every_octet_with_a_server_that_refuses_streams(
    sessions_with: SessionsWith, direction: Direction, how: How
) -> None:
    """503 for what came behind a final dot is no verdict on that message."""
    sweep(sessions_with({"refuse_behind_dot": True, "quiet": 0.001}), direction, how)


@pytest.mark.parametrize("direction", ["client", "server"])
@pytest.mark.parametrize("how", ["close", pytest.param("reset", marks=pytest.mark.slow), "stall"])
@pytest.mark.parametrize("tail", [120, pytest.param(10_000, marks=pytest.mark.slow)])
def test_octets_of_tls(
    sessions_with: SessionsWith,
    certificates: Certificates,
    direction: Direction,
    how: How,
    tail: int,
) -> None:
    """The last `tail` octets of a session inside TLS; both directions end in verdicts."""
    sessions, reference = inside_tls(sessions_with, certificates)
    whole = sessions.run(None)
    check(whole, reference, plain_length)
    assert plain_length(whole.taken) == len(reference.client)
    passed = whole.proxied.from_client if direction == "client" else whole.proxied.from_server
    for octet in range(max(0, len(passed) - tail), len(passed)):
        check(sessions.run(CutAt(direction, octet, how)), reference, plain_length)
