"""SOCKS5 and HTTP CONNECT proxies on 127.0.0.1, one thread per connection.

    with Socks5Proxy(ways={"smtp.example.test": server.port}) as proxy:
        ...                                    # dial through proxy.host, proxy.port
    assert proxy.requests == [("smtp.example.test", 587)]

`ways` leads names (and addresses) to ports of 127.0.0.1: the proxy resolves, not its client.

    users            user name -> password; then a log-in is wanted
    answer           octets in place of the answer to the request; b"" is none. The connection
                     is then closed
    silent           nothing is ever answered
    drip             how the proxy's own octets leave
    holds_back       the answer waits for the server's first octets, and leaves with them in one
                     write
"""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from ipaddress import ip_address
from types import TracebackType

from tests.servers.behaviour import Drip
from tests.servers.threads import Bell, StoppedError
from tests.servers.transport import Transport

AT_ONCE = 65536
#: SOCKS5's address types: IPv4, name, IPv6.
LENGTHS = {1: 4, 4: 16}


class ProxyServer(ABC):
    """Listens from construction on; leaving the block ends all connections and threads.

    requests: (host, port) of every request that was understood, in the client's words.
    log_ins: (user name, password) of every log-in.
    """

    def __init__(
        self,
        ways: Mapping[str, int] | None = None,
        *,
        users: Mapping[str, str] | None = None,
        answer: bytes | None = None,
        silent: bool = False,
        drip: Drip | None = None,
        holds_back: bool = False,
    ) -> None:
        self.requests: list[tuple[str, int]] = []
        self.log_ins: list[tuple[str, str]] = []
        self.users = users
        self.answer = answer
        self._ways = ways or {}
        self._silent = silent
        self._drip = drip
        self._holds_back = holds_back
        self._errors: list[BaseException] = []
        self._bell = Bell()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.host, self.port = self._listener.getsockname()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> ProxyServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bell.ring()
        self._threads[0].join()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self._bell.close()
        if error is None and self._errors:
            raise self._errors[0]

    @abstractmethod
    def negotiate(self, client: Client) -> tuple[str, int] | None:
        """Reads the request; None when the client was turned away."""

    @abstractmethod
    def success(self) -> bytes:
        """The answer to a request that was granted."""

    @abstractmethod
    def unreachable(self) -> bytes:
        """The answer when the server does not listen."""

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while all(key.fileobj is not self._bell for key, _ in selector.select()):
                with contextlib.suppress(BlockingIOError):
                    thread = threading.Thread(target=self._serve, args=self._listener.accept()[:1])
                    self._threads.append(thread)
                    thread.start()

    def _serve(self, sock: socket.socket) -> None:
        transport = Transport(sock, self._bell)
        try:
            self._speak(Client(transport, self._drip), sock)
            transport.finish()
        except (StoppedError, ConnectionError, EOFError):
            pass
        except BaseException as error:  # shown when the proxy is left
            self._errors.append(error)
        finally:
            transport.close()

    def _speak(self, client: Client, sock: socket.socket) -> None:
        if self._silent:
            while client.transport.receive():
                pass
            return
        request = self.negotiate(client)
        if request is None:
            return
        self.requests.append(request)
        if self.answer is not None:
            client.say(self.answer)
            return
        host, port = request
        try:
            server = socket.create_connection(("127.0.0.1", self._ways.get(host, port)), 5)
        except ConnectionError:
            client.say(self.unreachable())
            return
        with server:
            answer = self.success()
            if self._holds_back:
                answer += server.recv(AT_ONCE)
            client.say(answer)
            self._relay(sock, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """Until one side ends; the tests' dialogues need no half-closed connections."""
        client.settimeout(5)
        server.settimeout(5)
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            selector.register(self._bell, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        raise StoppedError
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    octets = source.recv(AT_ONCE)
                    if not octets:
                        client.setblocking(False)
                        return
                    key.data.sendall(octets)


class Client:
    """The client's octets, by count or up to a marker. Raises EOFError at their end."""

    def __init__(self, transport: Transport, drip: Drip | None) -> None:
        self.transport = transport
        self._drip = drip
        self._heard = b""

    def say(self, octets: bytes) -> None:
        self.transport.send(octets, self._drip)

    def take(self, count: int) -> bytes:
        while len(self._heard) < count:
            self._hear()
        taken, self._heard = self._heard[:count], self._heard[count:]
        return taken

    def take_until(self, marker: bytes) -> bytes:
        while marker not in self._heard:
            self._hear()
        return self.take(self._heard.index(marker) + len(marker))

    def take_counted(self) -> bytes:
        """As many octets as the first one says."""
        return self.take(self.take(1)[0])

    def _hear(self) -> None:
        octets = self.transport.receive()
        if not octets:
            raise EOFError
        self._heard += octets


class Socks5Proxy(ProxyServer):
    def negotiate(self, client: Client) -> tuple[str, int] | None:
        assert client.take(1) == b"\5"
        methods = client.take_counted()
        wanted = 0 if self.users is None else 2
        if wanted not in methods:
            client.say(b"\5\xff")
            return None
        client.say(bytes([5, wanted]))
        if self.users is not None:
            assert client.take(1) == b"\1"
            name, password = client.take_counted().decode(), client.take_counted().decode()
            self.log_ins.append((name, password))
            known = self.users.get(name) == password
            client.say(b"\1\0" if known else b"\1\1")
            if not known:
                return None
        assert client.take(3) == b"\5\1\0"
        kind = client.take(1)[0]
        if kind == 3:
            host = client.take_counted().decode("ascii")
        else:
            host = str(ip_address(client.take(LENGTHS[kind])))
        return host, int.from_bytes(client.take(2), "big")

    def success(self) -> bytes:
        # Bound to a name, the form of a reply whose length must be read first.
        return b"\5\0\0\3\4here\0\0"

    def unreachable(self) -> bytes:
        return b"\5\5\0\1\0\0\0\0\0\0"


class HTTPProxy(ProxyServer):
    def negotiate(self, client: Client) -> tuple[str, int] | None:
        first, *lines = client.take_until(b"\r\n\r\n").decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        if self.users is not None:
            _, _, token = headers.get("Proxy-Authorization", "").partition("Basic ")
            name, _, password = base64.b64decode(token).decode().partition(":")
            self.log_ins.append((name, password))
            if not token or self.users.get(name) != password:
                client.say(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                    b'Proxy-Authenticate: Basic realm="x"\r\nContent-Length: 4\r\n\r\nNo.\n'
                )
                return None
        verb, target, version = first.split(" ")
        assert (verb, version, headers["Host"]) == ("CONNECT", "HTTP/1.1", target)
        host, _, port = target.rpartition(":")
        return host, int(port)

    def success(self) -> bytes:
        return b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy.test\r\n\r\n"

    def unreachable(self) -> bytes:
        return b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
