"""From a host name to a socket: dead addresses, mute ones, DNS that fails or never answers."""

from __future__ import annotations

import errno
import pickle
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from django_smtpauth.smtp import (
    ConnectError,
    Dialled,
    Security,
    SMTPError,
    TimedOut,
    Timeouts,
    connect,
    dialling,
)
from django_smtpauth.smtp.dialling import (
    ATTEMPT_DELAY,
    Tried,
    dial,
    interleaved,
    is_address,
    local_name,
    resolve,
)
from tests.servers.fixtures import MuteFactory, ServerFactory
from tests.smtp.network import (
    BOUND,
    CREDENTIALS,
    PASSWORD,
    USER,
    endpoint,
    failure_of,
    statuses,
    transaction,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")

V4, V6 = socket.AF_INET, socket.AF_INET6


def info(host: str, port: int) -> tuple[Any, ...]:
    family = V6 if ":" in host else V4
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


def resolving(*infos: tuple[Any, ...]) -> Callable[..., Dialled]:
    """A `dial` for which every name has these addresses."""
    return partial(dial, resolve=lambda host, port, timeout: list(infos))


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def mute_port(mute: MuteFactory) -> int:
    port: int = mute(("127.0.0.1", 0)).address[1]
    return port


# -- connecting


def test_refused(closed_port: int) -> None:
    error = failure_of(closed_port)
    assert isinstance(error, ConnectError)
    assert isinstance(error, ConnectionError)
    assert error.stage == "CONNECT"
    assert error.transient
    assert str(error) == (
        f"CONNECT failed: could not connect to port {closed_port} "
        "(127.0.0.1: Connection refused) (the test server)"
    )
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.peer) == (ConnectError, str(error), error.peer)


def test_packets_swallowed(mute_port: int) -> None:
    began = time.monotonic()
    error = failure_of(mute_port, timeouts=Timeouts(dial=0.1))
    assert isinstance(error, TimedOut)
    assert "(127.0.0.1: no answer)" in str(error)
    assert time.monotonic() - began < BOUND


def test_deadline_bounds_dialling(mute_port: int) -> None:
    began = time.monotonic()
    error = failure_of(mute_port, timeouts=Timeouts(dial=60), deadline=0.1)
    assert isinstance(error, TimedOut)
    assert time.monotonic() - began < BOUND


def test_the_system_gives_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own time-out is one, too."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ETIMEDOUT)
    began = time.monotonic()
    with pytest.raises(TimedOut, match="timed out"):
        resolving(info("127.0.0.1", 25))("mail.example", 25, 60)
    assert time.monotonic() - began < BOUND


def test_a_name_without_addresses() -> None:
    with pytest.raises(ConnectError, match="no address"):
        resolving()("mail.example", 25, 5)


def test_the_socket_does_not_block(scripted_server: ServerFactory) -> None:
    dialled = dial("127.0.0.1", scripted_server().port, 5)
    with dialled.sock as sock:
        assert (sock.getblocking(), dialled.failed, dialled.via) == (False, (), "")


# -- several addresses: the first connection wins


def test_the_second_address_answers(scripted_server: ServerFactory, closed_port: int) -> None:
    server = scripted_server()
    name = resolving(info("127.0.0.1", closed_port), info("127.0.0.1", server.port))
    message = transaction()
    with connect(endpoint(server.port, host="mail.example"), dial=name) as connection:
        assert connection.peer == "127.0.0.1"
        connection.deliver([message])
    assert statuses(message) == ["accepted"]


def test_who_watches_hears_of_every_address(
    scripted_server: ServerFactory, closed_port: int, mute_port: int
) -> None:
    server = scripted_server()
    ports = [closed_port, mute_port, server.port, 9]
    infos = [info("127.0.0.1", port) for port in ports]
    tried: list[Tried] = []
    dial("mail.example", 25, 10, resolve=lambda *_: infos, watch=tried.append).sock.close()
    assert [one.fault for one in tried] == [
        "Connection refused",
        "slower than another address",
        "",
        "not tried",
    ]
    assert {one.address for one in tried} == {"127.0.0.1"}
    assert tried[1].seconds >= ATTEMPT_DELAY
    assert tried[3].seconds == 0


def test_who_watches_hears_of_failures(mute_port: int, closed_port: int) -> None:
    infos = [info("127.0.0.1", mute_port), info("127.0.0.1", closed_port)]
    tried: list[Tried] = []
    with pytest.raises(TimedOut):
        dial("mail.example", 25, 0.1, resolve=lambda *_: infos, watch=tried.append)
    assert [one.fault for one in tried] == ["no answer", "not tried"]


def test_the_transcript_tells_what_failed_before(
    scripted_server: ServerFactory, closed_port: int
) -> None:
    server = scripted_server()
    name = resolving(info("127.0.0.2", closed_port), info("127.0.0.1", server.port))
    with connect(endpoint(server.port, host="mail.example"), dial=name) as connection:
        assert connection.events[0].text == (
            "connected to 127.0.0.1 (no luck with 127.0.0.2: Connection refused)"
        )


def test_an_address_that_fails_holds_up_nobody(
    scripted_server: ServerFactory, closed_port: int
) -> None:
    """By this clock no time passes, so nothing was waited for."""
    server = scripted_server()
    name = resolving(info("127.0.0.1", closed_port), info("127.0.0.1", server.port))
    name("mail.example", server.port, 60, clock=lambda: 0.0).sock.close()


def test_the_next_address_waits_a_little(
    scripted_server: ServerFactory, mute: MuteFactory
) -> None:
    """RFC 8305 5: not at once, and not until the time of the first one is over."""
    server = scripted_server()
    name = resolving(info(*mute(("::1", 0)).address[:2]), info("127.0.0.1", server.port))
    began = time.monotonic()
    with connect(endpoint(server.port, timeouts=Timeouts(dial=60)), dial=name) as connection:
        assert connection.peer == "127.0.0.1"
        assert connection.usable
    assert ATTEMPT_DELAY <= time.monotonic() - began < BOUND


def test_an_address_that_answers_is_the_only_one_asked(scripted_server: ServerFactory) -> None:
    first, second = scripted_server(address="::1"), scripted_server()
    name = resolving(info("::1", first.port), info("127.0.0.1", second.port))
    with connect(endpoint(first.port), dial=name) as connection:
        assert connection.peer == "::1"
    second.close()
    assert second.connections == []


def test_a_slow_address_may_still_win(mute: MuteFactory) -> None:
    """The first one answers while the second is asked, which never will."""
    slow, dead = mute(("127.0.0.2", 0)), mute(("127.0.0.1", 0))
    looks: list[float] = []

    def clock() -> float:
        looks.append(time.monotonic())
        if looks[-1] - looks[0] > ATTEMPT_DELAY and slow.taken == 0:
            slow.take_one()
            slow.take_one()
        return looks[-1]

    name = resolving(info(*slow.address), info(*dead.address))
    dialled = name("mail.example", 25, BOUND, clock=clock)
    with dialled.sock as sock:
        assert sock.getpeername() == slow.address
    assert dialled.failed == ()


def test_every_address_is_named(closed_port: int, mute: MuteFactory) -> None:
    name = resolving(info(*mute(("127.0.0.1", 0)).address), info("127.0.0.2", closed_port))
    with pytest.raises(ConnectError) as caught:
        name("mail.example", 25, ATTEMPT_DELAY * 2)
    assert "(127.0.0.1: no answer; 127.0.0.2: Connection refused)" in str(caught.value)


def test_addresses_for_which_there_was_no_time(mute: MuteFactory) -> None:
    first, second = mute(("127.0.0.1", 0)), mute(("127.0.0.2", 0))
    with pytest.raises(TimedOut) as caught:
        resolving(info(*first.address), info(*second.address))("mail.example", 25, 0.05)
    assert "(127.0.0.1: no answer; 127.0.0.2: not tried)" in str(caught.value)


def test_an_address_family_that_is_missing(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    unknown = (9_999, socket.SOCK_STREAM, 0, "", ("nowhere", 0))
    dialled = resolving(unknown, info("127.0.0.1", server.port))("mail.example", server.port, 5)
    dialled.sock.close()
    assert "not supported" in dialled.failed[0]


def test_an_interrupt_closes_what_is_under_way(
    mute_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`nothing_leaks` looks for the socket."""

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(selectors.DefaultSelector, "select", interrupt)
    with pytest.raises(KeyboardInterrupt):
        dial("127.0.0.1", mute_port, 5)


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ("4a 4b", "4a 4b"),
        ("6a 6b 4a 4b", "6a 4a 6b 4b"),
        ("4a 6a 6b 6c", "4a 6a 6b 6c"),
        ("6a 6b 6c 4a", "6a 4a 6b 6c"),
        ("4a 4b 4c 6a 6b", "4a 6a 4b 6b 4c"),
        ("", ""),
    ],
)
def test_families_take_turns(given: str, order: str) -> None:
    """RFC 8305 4, with one address of the family that the system prefers at the head."""
    families = {"4": V4, "6": V6}
    infos = [(families[name[0]], 0, 0, "", (name, 25)) for name in given.split()]
    assert [one[4][0] for one in interleaved(infos)] == order.split()


# -- the address to connect from


def test_source_address(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with dial("127.0.0.1", server.port, 5, "127.0.0.2").sock as sock:
        assert sock.getsockname()[0] == "127.0.0.2"


def test_source_address_that_is_not_ours(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    error = failure_of(server.port, source_address="192.0.2.1")
    assert isinstance(error, ConnectError)
    assert "127.0.0.1: from 192.0.2.1: Cannot assign requested address" in str(error)


@pytest.mark.parametrize(("source", "peer"), [("127.0.0.2", "127.0.0.1"), ("::1", "::1")])
def test_only_addresses_of_its_family_are_tried(
    scripted_server: ServerFactory, source: str, peer: str
) -> None:
    servers = [scripted_server(address=address) for address in ("::1", "127.0.0.1")]
    name = resolving(*(info(server.host, server.port) for server in servers))
    with connect(endpoint(25, source_address=source), dial=name) as connection:
        assert connection.peer == peer
        assert "no luck" not in connection.events[0].text


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("::1", "127.0.0.1 has no IPv6 address, which the source address ::1 needs"),
        ("eth0", "the source address eth0 is no IP address"),
    ],
)
def test_no_address_fits_the_source(source: str, why: str) -> None:
    error = failure_of(25, source_address=source)
    assert isinstance(error, ConnectError)
    assert (error.stage, error.reason, error.transient) == ("CONNECT", "source-address", False)
    assert why in str(error)


# -- Unix sockets


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "smtp")


def test_mail_through_a_unix_socket(scripted_server: ServerFactory, path: str) -> None:
    """A password may go there in clear: it does not leave this machine."""
    server = scripted_server(address=path, users={USER: PASSWORD}, mechanisms=["PLAIN"])
    message = transaction()
    plan = endpoint(2525, host=path, label="", credentials=CREDENTIALS, source_address="192.0.2.1")
    with connect(plan) as connection:
        connection.deliver([message])
        assert (connection.peer, connection.mechanism) == ("", "PLAIN")
        assert connection.events[0].text == f"connected to {path}"
    assert statuses(message) == ["accepted"]
    assert len(server.accepted) == 1


def test_nobody_listens_at_a_path(path: str) -> None:
    error = failure_of(25, host=path, label="")
    assert isinstance(error, ConnectError)
    assert str(error) == (
        f"CONNECT failed: could not connect to {path} (No such file or directory) ({path})"
    )


@pytest.mark.parametrize("bad", ["/a\0b", "/" + "x" * 200])
def test_what_is_no_path(bad: str) -> None:
    error = failure_of(25, host=bad)
    assert (type(error), error.stage) == (ConnectError, "CONNECT")


def test_a_full_unix_socket(mute: MuteFactory, path: str) -> None:
    mute(path)
    error = failure_of(25, host=path, timeouts=Timeouts(dial=0.1))
    assert isinstance(error, TimedOut)
    assert f"{path} (no answer)" in str(error)


def test_a_full_unix_socket_is_waited_for(mute: MuteFactory, path: str) -> None:
    busy = mute(path)
    looks: list[float] = []

    def clock() -> float:
        looks.append(time.monotonic())
        if len(looks) == 3:
            busy.take_one()
        return looks[-1]

    dial(path, 0, BOUND, clock=clock).sock.close()
    assert len(looks) >= 3


def test_an_interrupt_closes_a_unix_socket(
    path: str, mute: MuteFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute(path)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        dial(path, 0, 5)


def test_a_system_without_unix_sockets(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ConnectError, match="no Unix sockets on this system"):
        dial(path, 0, 5)


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.IMPLICIT_TLS])
def test_a_path_is_no_name_for_a_certificate(security: Security, path: str) -> None:
    with pytest.raises(ValueError, match="use security 'none'"):
        endpoint(25, host=path, security=security)


# -- names


def test_a_name_is_resolved() -> None:
    infos = resolve("localhost", 25, BOUND)
    assert {one[4][0] for one in infos} <= {"127.0.0.1", "::1"}
    assert infos


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "not known"),
        (OSError("resolver out of order"), "out of order"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
def test_dns_fails(monkeypatch: pytest.MonkeyPatch, failure: Exception, why: str) -> None:
    def fail(*arguments: Any, **details: Any) -> None:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = failure_of(25, host="mail.example")
    assert isinstance(error, ConnectError)
    assert error.reason == "dns"
    assert "mail.example" in str(error)
    assert why in str(error)
    pickle.loads(pickle.dumps(error))


def test_an_address_with_an_unknown_zone() -> None:
    """An address is not looked up, but it can be wrong."""
    error = failure_of(25, host="fe80::1%nosuch0")
    assert isinstance(error, ConnectError)
    assert error.stage == "CONNECT"


def test_dns_that_never_answers_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*arguments: Any, **details: Any) -> list[Any]:
        release.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    try:
        error = failure_of(25, host="mail.example", timeouts=Timeouts(dial=0.05))
        assert isinstance(error, TimedOut)
        assert "no answer from DNS for mail.example" in str(error)
        assert time.monotonic() - began < BOUND
        # It must not keep the process from ending.
        left = [thread for thread in threading.enumerate() if thread.name == "smtp-resolve"]
        assert left
        assert all(thread.daemon for thread in left)
    finally:
        release.set()


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("localhost", False),
        ("mail.example", False),
        ("", False),
    ],
)
def test_is_address(host: str, answer: bool) -> None:
    assert is_address(host) is answer


def test_an_address_needs_no_thread(
    scripted_server: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server()

    def aside(*arguments: Any) -> None:
        raise AssertionError("a thread for an address")

    monkeypatch.setattr(dialling, "_look_up_aside", aside)
    dial("127.0.0.1", server.port, 5).sock.close()


# -- our own name


@pytest.fixture
def _unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_local_name", None)


@pytest.mark.usefixtures("_unknown_name")
@pytest.mark.parametrize(
    ("found", "used"),
    [
        ("web1.example.org", "web1.example.org"),
        ("Web_1.example.org", "Web_1.example.org"),
        ("localhost", ""),
        ("localhost.localdomain", ""),
        ("localhost.example.org", ""),
        ("192.0.2.1", ""),
        ("web 1.example.org", ""),
        ("ä.example.org", ""),
        ("1.0.0.127.in-addr.arpa", ""),
    ],
)
def test_local_name(monkeypatch: pytest.MonkeyPatch, found: str, used: str) -> None:
    asked: list[str] = []

    def getfqdn() -> str:
        asked.append(found)
        return found

    monkeypatch.setattr(socket, "getfqdn", getfqdn)
    assert local_name(BOUND) == used
    assert local_name(BOUND) == used
    assert len(asked) == 1


@pytest.mark.usefixtures("_unknown_name")
def test_local_name_that_nobody_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang() -> str:
        release.wait(60)
        return "late.example.org"

    monkeypatch.setattr(socket, "getfqdn", hang)
    try:
        assert local_name(0.01) == ""
    finally:
        release.set()


def test_errors_of_dialling_are_smtp_errors(closed_port: int) -> None:
    with pytest.raises(SMTPError):
        dial("127.0.0.1", closed_port, 5)
