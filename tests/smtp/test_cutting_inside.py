"""Cuts inside TLS, of its records and of the clear text in them, and inside AUTH.

What the outcome must be stands in `cut_sessions`. Inside TLS an octet was handed over when its
whole record was: with TLS 1.2 and AES-GCM that can be measured without the key.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Literal

import pytest

from django_smtpauth.smtp import (
    Credentials,
    Disconnected,
    Security,
    SMTPError,
    TimedOut,
    TLSOptions,
)
from django_smtpauth.smtp.sasl import MECHANISMS
from tests.servers import sasl
from tests.servers.certificates import Certificates
from tests.servers.cutting import CutAt
from tests.servers.fixtures import ProxyFactory, ServerFactory
from tests.servers.scripted import PlainCut
from tests.smtp.cut_sessions import (
    FINAL,
    REPLIES,
    Direction,
    How,
    Reference,
    Run,
    Sessions,
    batch,
    check,
)
from tests.smtp.network import PASSWORD, USER, statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")

Start = Callable[..., Sessions]

every_direction = pytest.mark.parametrize("direction", ["client", "server"])


@pytest.fixture
def start(scripted_server: ServerFactory, cutting_proxy: ProxyFactory) -> Start:
    def sessions(behaviour: dict[str, Any], **options: Any) -> Sessions:
        behaviour = {
            "extensions": ["PIPELINING", "CHUNKING", "AUTH PLAIN"],
            "users": {USER: PASSWORD},
            "replies": REPLIES,
            **behaviour,
        }
        server = scripted_server(**behaviour)
        return Sessions(server, cutting_proxy(server.port), batch, **options)

    return sessions


# -- TLS


class Inside:
    """A session inside TLS, and the same one in clear: its octets are those of the records."""

    def __init__(self, start: Start, certificates: Certificates, **options: Any) -> None:
        context = certificates.server()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AESGCM")
        self.sessions = start(
            {"ssl_context": context, "implicit_tls": True},
            security=Security.IMPLICIT_TLS,
            tls=TLSOptions(ca_file=certificates.ca_file),
            **options,
        )
        self._clear = Reference(start({}, **options), FINAL)
        self.whole = self.sessions.run(None)
        self.check(self.whole)
        assert plain_length(self.whole.taken) == len(self._clear.client)

    def check(self, run: Run) -> None:
        taken = self._clear.client[: plain_length(run.taken)]
        check(run, taken, self._clear.server[: plain_length(run.arrived)])

    def clear(self, direction: Direction) -> bytes:
        return self._clear.octets(direction)


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


def last(tail: int, octets: bytes) -> range:
    return range(max(0, len(octets) - tail), len(octets))


every_tail = pytest.mark.parametrize("tail", [120, pytest.param(10_000, marks=pytest.mark.slow)])
every_bdat = pytest.mark.parametrize(
    "bdat", ["never", pytest.param("after_rcpt", marks=pytest.mark.slow), "eager"]
)


@every_tail
@pytest.mark.parametrize("bdat", ["never", pytest.param("eager", marks=pytest.mark.slow)])
def test_every_octet_of_tls_that_the_transport_takes(
    start: Start, certificates: Certificates, bdat: str, tail: int
) -> None:
    """An octet in a record that is incomplete was not handed over: nobody can read it."""
    inside = Inside(start, certificates, bdat=bdat)
    for octet in last(tail, inside.whole.taken):
        run = inside.sessions.run(None, takes=octet)
        assert len(run.taken) == octet
        inside.check(run)


@every_tail
@every_direction
@pytest.mark.parametrize("how", ["close", pytest.param("reset", marks=pytest.mark.slow), "stall"])
def test_octets_of_tls(
    start: Start, certificates: Certificates, direction: Direction, how: How, tail: int
) -> None:
    """The last octets of a session; both directions end in verdicts."""
    inside = Inside(start, certificates)
    proxied = inside.whole.proxied
    passed = proxied.from_client if direction == "client" else proxied.from_server
    for octet in last(tail, bytes(passed)):
        inside.check(inside.sessions.run(CutAt(direction, octet, how)))


@every_bdat
@every_direction
@pytest.mark.parametrize(
    "how", ["truncate", "reset", pytest.param("close", marks=pytest.mark.slow)]
)
def test_every_octet_of_the_clear_text(
    start: Start,
    certificates: Certificates,
    direction: Direction,
    how: Literal["close", "truncate", "reset"],
    bdat: str,
) -> None:
    """The server ends the session amid its words or ours, with close_notify or without: an end
    that nobody signed ends no reply, and no message."""
    inside = Inside(start, certificates, bdat=bdat)
    step = 1 if how == "truncate" else 3
    clear = inside.clear(direction)
    for octet in range(clear.index(b"AUTH"), len(clear), step):
        end(inside.sessions, PlainCut(direction, octet, how))
        inside.check(inside.sessions.run(None))


def end(sessions: Sessions, cut: PlainCut) -> None:
    """From the next session on the server ends it there."""
    sessions.server.behaviour = dataclasses.replace(sessions.server.behaviour, plain_cut=cut)


# -- AUTH


TOKEN = "ya29.a-token"
#: Longer forms of what is swept anyway.
LONG = ("SCRAM-SHA-1", "SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-512-PLUS")
WITH_TLS = [m.name for m in MECHANISMS.values() if m.binding or m.needs == "certificate"]


def each_of(names: Iterable[str]) -> pytest.MarkDecorator:
    slow = pytest.mark.slow
    known = [name for name in names if name in sasl.MECHANISMS]
    marked = [pytest.param(name, marks=[slow] if name in LONG else []) for name in known]
    return pytest.mark.parametrize("mechanism", marked)


def credentials(mechanism: str) -> Credentials:
    kind = MECHANISMS[mechanism].needs
    if kind == "certificate":
        return Credentials(USER, kind=kind)
    return Credentials(USER, lambda: TOKEN if kind == "token" else PASSWORD, kind=kind)


@pytest.fixture
def logins(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory, certificates: Certificates
) -> Callable[[str], Sessions]:
    def sessions(mechanism: str) -> Sessions:
        options: dict[str, Any] = {"auth_mechanisms": (mechanism,)}
        behaviour: dict[str, Any] = {"extensions": ["PIPELINING", f"AUTH {mechanism}"]}
        if mechanism in WITH_TLS:
            context = certificates.server()
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(certificates.ca_file)
            behaviour |= {"ssl_context": context, "certificate": certificates.server_pem}
            behaviour["implicit_tls"] = True
            options["security"] = Security.IMPLICIT_TLS
            options["tls"] = TLSOptions(
                ca_file=certificates.ca_file,
                certificate_file=certificates.client_file,
                key_file=certificates.client_key_file,
            )
        server = scripted_server(users={USER: PASSWORD}, tokens={USER: TOKEN}, **behaviour)
        return Sessions(
            server,
            cutting_proxy(server.port),
            lambda: [transaction("a", 1, b"")],
            credentials=credentials(mechanism),
            **options,
        )

    return sessions


def exchange(whole: Run, direction: Direction) -> range:
    """The octets of AUTH in a whole session, behind the first one of it."""
    if direction == "client":
        octets, end = bytes(whole.served.received), b"MAIL FROM"
        start = octets.index(b"AUTH ")
    else:
        octets, end = whole.arrived, b"\r\n250 2.1.0"
        start = octets.index(b"\r\n", octets.index(b"250 AUTH")) + 2
    return range(start + 1, octets.index(end))


def check_broken_off(run: Run, kind: type[SMTPError]) -> None:
    """No verdict on the credentials, and no message, came of an exchange that broke off."""
    assert isinstance(run.error, kind)
    assert run.error.stage == "AUTH"
    assert run.error.transient
    assert [statuses(message) for message in run.messages] == [["open"]]
    assert run.served.messages == []
    assert b"MAIL" not in run.served.received


@each_of(name for name in MECHANISMS if name not in WITH_TLS)
@every_direction
@pytest.mark.parametrize("how", ["close", "stall", pytest.param("reset", marks=pytest.mark.slow)])
def test_every_octet_of_an_exchange(
    logins: Callable[[str], Sessions], mechanism: str, direction: Direction, how: How
) -> None:
    sessions = logins(mechanism)
    whole = sessions.run(None)
    assert whole.error is None
    assert whole.served.auth[0].accepted
    for octet in exchange(whole, direction):
        run = sessions.run(CutAt(direction, octet, how))
        check(run)
        check_broken_off(run, TimedOut if how == "stall" else Disconnected)


@each_of(WITH_TLS)
@pytest.mark.parametrize("how", ["truncate", pytest.param("close", marks=pytest.mark.slow)])
def test_every_octet_of_an_exchange_inside_tls(
    logins: Callable[[str], Sessions], mechanism: str, how: Literal["close", "truncate"]
) -> None:
    sessions = logins(mechanism)
    whole = sessions.run(None)
    assert whole.error is None
    assert whole.served.auth[0].accepted
    for octet in exchange(whole, "client"):
        end(sessions, PlainCut("client", octet, how))
        check_broken_off(sessions.run(None), Disconnected)


@each_of(WITH_TLS)
def test_every_octet_of_the_servers_words_in_an_exchange_inside_tls(
    logins: Callable[[str], Sessions], mechanism: str
) -> None:
    """The octets of a session from its first one on, until the log-in is through."""
    sessions = logins(mechanism)
    stages: list[str] = []
    for octet in count():
        end(sessions, PlainCut("server", octet, "truncate"))
        run = sessions.run(None)
        assert [statuses(message) for message in run.messages] == [["open"]]
        assert run.error is not None
        stages.append(run.error.stage)
        if run.error.stage == "MAIL":
            break
    assert list(dict.fromkeys(stages)) == ["GREETING", "EHLO", "AUTH", "MAIL"]


def test_the_test_server_knows_every_mechanism() -> None:
    assert set(MECHANISMS) <= set(sasl.MECHANISMS)
