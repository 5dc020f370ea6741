"""From a host name to a socket: dead addresses, mute ones, DNS that fails or never answers."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_smtpauth.smtp import ConnectError, SMTPError, TimedOut, Timeouts, connect, dialling
from django_smtpauth.smtp.dialling import dial, is_address, local_name, resolve
from tests.servers.fixtures import ServerFactory
from tests.smtp.network import BOUND, endpoint, failure_of, statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")


def info(host: str, port: int) -> tuple[Any, ...]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that swallows packets: its queue of connections is full and stays so."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        while True:
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
            if filler.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or not connected(filler):
                break
        yield address[1]


def connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def answers_with(monkeypatch: pytest.MonkeyPatch, *infos: tuple[Any, ...]) -> None:
    monkeypatch.setattr(dialling, "resolve", lambda host, port, timeout: list(infos))


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
    assert "no answer" in str(error)
    assert time.monotonic() - began < BOUND


def test_the_second_address_answers(
    scripted_server: ServerFactory, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server()
    answers_with(monkeypatch, info("127.0.0.1", closed_port), info("127.0.0.1", server.port))
    message = transaction()
    with connect(endpoint(server.port, host="mail.example")) as connection:
        assert connection.peer == "127.0.0.1"
        connection.deliver([message])
    assert statuses(message) == ["accepted"]


def test_a_mute_address_leaves_time_for_the_others(
    scripted_server: ServerFactory, mute_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server()
    answers_with(monkeypatch, info("127.0.0.1", mute_port), info("127.0.0.1", server.port))
    with connect(endpoint(server.port, timeouts=Timeouts(dial=1, reply=10))) as connection:
        assert connection.usable


def test_every_address_is_named(
    closed_port: int, mute_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_with(monkeypatch, info("127.0.0.1", mute_port), info("127.0.0.1", closed_port))
    with pytest.raises(ConnectError) as caught:
        dial("mail.example", 25, 0.2)
    assert "127.0.0.1: no answer; 127.0.0.1: Connection refused" in str(caught.value)


def test_an_address_family_that_is_missing(
    scripted_server: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server()
    unknown = (-1, socket.SOCK_STREAM, 0, "", ("nowhere", 0))
    answers_with(monkeypatch, unknown, info("127.0.0.1", server.port))
    dial("mail.example", server.port, 5).close()


def test_source_address(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with dial("127.0.0.1", server.port, 5, "127.0.0.2") as sock:
        assert sock.getsockname()[0] == "127.0.0.2"


def test_source_address_that_is_not_ours(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    error = failure_of(server.port, source_address="192.0.2.1")
    assert isinstance(error, ConnectError)
    assert "assign requested address" in str(error)


def test_deadline_bounds_dialling(mute_port: int) -> None:
    began = time.monotonic()
    error = failure_of(mute_port, timeouts=Timeouts(dial=60), deadline=0.1)
    assert isinstance(error, TimedOut)
    assert time.monotonic() - began < BOUND


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
    dial("127.0.0.1", server.port, 5).close()


# -- our own name


@pytest.fixture
def _unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "_local_name", None)


@pytest.mark.usefixtures("_unknown_name")
@pytest.mark.parametrize(
    ("found", "used"),
    [
        ("web1.example.org", "web1.example.org"),
        ("localhost", ""),
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
