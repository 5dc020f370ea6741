from __future__ import annotations

import socket
import struct
from typing import Literal

import pytest

from tests.servers.client import RawClient
from tests.servers.cutting import CutAt, CuttingProxy
from tests.servers.fixtures import ProxyFactory, ServerFactory
from tests.servers.scripted import ScriptedServer

SESSION = (
    b"EHLO client.test\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    b"Subject: hello\r\n\r\nbody\r\n.\r\nQUIT\r\n"
)
STEPS = [line + b"\r\n" for line in SESSION.split(b"\r\n")[:4]]
STEPS += [b"Subject: hello\r\n\r\nbody\r\n.\r\n", b"QUIT\r\n"]
How = Literal["close", "reset", "stall", "half"]


def session(proxy: CuttingProxy, timeout: float = 5.0) -> str:
    """One whole session in lockstep; says how it ended."""
    try:
        with RawClient(proxy.port) as client:
            client.limit_wait(timeout)
            client.reply()
            for step in STEPS:
                client.send(step)
                client.reply()
            return "done"
    except EOFError:
        return "end of stream"
    except ConnectionError:
        return "reset"
    except TimeoutError:
        return "time-out"


def uncut(proxy: CuttingProxy) -> tuple[bytes, bytes]:
    """What passes in either direction in a session that isn't cut."""
    assert session(proxy) == "done"
    proxy.settle(connections=1)
    record = proxy.connections[0]
    return bytes(record.from_client), bytes(record.from_server)


def test_passes_everything_without_a_cut(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory
) -> None:
    server = scripted_server()
    from_client, from_server = uncut(cutting_proxy(server.port))
    server.settle()
    assert from_client == SESSION == bytes(server.connections[0].received)
    assert from_server.startswith(b"220 ")
    assert from_server.endswith(b"221 2.0.0 Bye\r\n")


def check_received(server: ScriptedServer, proxy: CuttingProxy, cut: CutAt) -> None:
    """The record after one session that was cut."""
    proxy.settle()
    server.settle(connections=len(proxy.connections))
    record = proxy.connections[-1]
    assert record.cut_done
    passed = record.from_client if cut.direction == "client" else record.from_server
    assert len(passed) == cut.octet
    assert server.connections[-1].received == record.from_client


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_cuts_after_every_octet_of_the_client(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory, how: How
) -> None:
    server = scripted_server()
    proxy = cutting_proxy(server.port)
    dot = SESSION.index(b"\r\n.\r\n") + 5
    for octet in range(len(SESSION)):
        cut = CutAt("client", octet, how)
        proxy.arm(cut)
        assert session(proxy) == ("reset" if how == "reset" else "end of stream")
        check_received(server, proxy, cut)
        assert len(server.connections[-1].messages) == (octet >= dot)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_cuts_after_every_octet_of_the_server(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory, how: How
) -> None:
    server = scripted_server()
    proxy = cutting_proxy(server.port)
    _, from_server = uncut(proxy)
    for octet in range(len(from_server)):
        cut = CutAt("server", octet, how)
        proxy.arm(cut)
        assert session(proxy) == ("reset" if how == "reset" else "end of stream")
        check_received(server, proxy, cut)
        queue_id = f"{len(proxy.connections):05}-00001".encode()
        whole = from_server.replace(b"00001-00001", queue_id)
        assert proxy.connections[-1].from_server == whole[:octet]


@pytest.mark.parametrize("direction", ["client", "server"])
def test_a_stall_keeps_both_sides_open(
    scripted_server: ServerFactory,
    cutting_proxy: ProxyFactory,
    direction: Literal["client", "server"],
) -> None:
    server = scripted_server()
    cut = CutAt(direction, 60, "stall")
    proxy = cutting_proxy(server.port, cut)
    client = RawClient(proxy.port)
    with client:
        client.limit_wait(0.05)
        client.send(b"EHLO client.test\r\n" + b"NOOP\r\n" * 20)
        with pytest.raises(TimeoutError):
            client.rest()
        assert server.connections[0].ended == ""
    check_received(server, proxy, cut)
    assert server.connections[0].ended == "client"


def test_the_other_direction_goes_on_after_a_half_close(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory
) -> None:
    server = scripted_server()
    cut = CutAt("server", len(b"220 scripted.test ESMTP\r\n"), "half")
    proxy = cutting_proxy(server.port, cut)
    with RawClient(proxy.port) as client:
        assert client.rest() == b"220 scripted.test ESMTP\r\n"
        client.send(b"NOOP\r\nNOOP\r\n")
    check_received(server, proxy, cut)
    assert server.connections[0].commands == [b"NOOP", b"NOOP"]


def test_the_octets_before_a_reset_reach_the_client(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory
) -> None:
    # In the second reply: a reset in the first one may come before connect() has returned.
    greeting = b"220 scripted.test ESMTP\r\n"
    server = scripted_server()
    proxy = cutting_proxy(server.port, CutAt("server", len(greeting) + 5, "reset"))
    with RawClient(proxy.port) as client:
        assert client.reply() == greeting
        client.send(b"NOOP\r\n")
        proxy.settle(connections=1)
        assert client.receive() == b"250 2"
        with pytest.raises(ConnectionResetError):
            client.receive()


def test_what_the_client_handed_over_is_recorded(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory
) -> None:
    proxy = cutting_proxy(scripted_server().port, CutAt("client", 5))
    with RawClient(proxy.port) as client:
        client.send(b"NOOP\r\nRSET\r\n")
        client.rest()
    proxy.settle(connections=1)
    (record,) = proxy.connections
    assert record.from_client == b"NOOP\r"
    assert record.discarded_from_client == b"\nRSET\r\n"


@pytest.mark.parametrize(("connections", "cut"), [(1, 1), (2, 2), (None, 3)])
def test_so_many_connections_are_cut(
    scripted_server: ServerFactory,
    cutting_proxy: ProxyFactory,
    connections: int | None,
    cut: int,
) -> None:
    proxy = cutting_proxy(scripted_server().port, CutAt("server", 3), connections)
    ends = [session(proxy) for _ in range(3)]
    assert ends == ["end of stream"] * cut + ["done"] * (3 - cut)


def test_octets_are_kept_while_the_receiver_does_not_read(cutting_proxy: ProxyFactory) -> None:
    """As many octets as all buffers hold, in both directions, before anybody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = cutting_proxy(listener.getsockname()[1])
        with socket.create_connection((proxy.host, proxy.port)) as client:
            server, _ = listener.accept()
            with server:
                for sender, receiver in [(client, server), (server, client)]:
                    sent = filled(sender)
                    receiver.settimeout(5)
                    received = bytearray()
                    while len(received) < sent:
                        received += receiver.recv(65536)
                    assert received == (PATTERN * (sent // len(PATTERN) + 1))[:sent]


PATTERN = bytes(range(251)) * 261


def filled(sender: socket.socket) -> int:
    """Send until nothing moves any more; how many octets went."""
    sender.settimeout(0.1)
    sent = 0
    with pytest.raises(TimeoutError):  # noqa: PT012
        while True:
            sent += sender.send(PATTERN[sent % len(PATTERN) :])
    return sent


def test_a_client_that_resets_ends_the_servers_side(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory
) -> None:
    server = scripted_server()
    proxy = cutting_proxy(server.port)
    with socket.create_connection((proxy.host, proxy.port)) as client:
        client.recv(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    proxy.settle(connections=1)
    server.settle()
    assert server.connections[0].ended == "client"


def test_leaving_the_proxy_drops_what_is_open(scripted_server: ServerFactory) -> None:
    with CuttingProxy(scripted_server().port) as proxy:
        client = RawClient(proxy.port)
        client.reply()
    with client:
        assert client.receive() == b""
    assert proxy.connections[0].finished.is_set()


def test_an_absent_target_ends_the_connection(cutting_proxy: ProxyFactory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    proxy = cutting_proxy(port)
    with RawClient(proxy.port) as client:
        assert client.receive() == b""
    proxy.settle(connections=1)
