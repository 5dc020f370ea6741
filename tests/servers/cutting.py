"""A TCP proxy on 127.0.0.1 that ends or stalls a connection after an exact octet.

    with CuttingProxy(server.port, CutAt("client", 120, "reset")) as proxy:
        ...                                    # talk to proxy.host, proxy.port
        proxy.settle()
        assert len(proxy.connections[0].from_client) == 120

`CutAt(direction, octet, how)`: as soon as `octet` octets have passed from the "client" to the
server, or from the "server" to the client (TCP payload: inside TLS these are TLS's octets), the
connection is cut. 0 cuts on arrival, before anything passes. A number never reached cuts nothing.

    "close"   both sides see a clean end of the stream
    "reset"   the client gets a RST, the server a clean end
    "stall"   nothing passes any more in either direction, and nobody is told; when the client
              closes, the server sees the end
    "half"    the stream ends in the direction of the cut only; the other one goes on

In every case the receiver of the direction that is cut gets exactly the octets before the cut: the
server always by a clean end behind them, the client of a "reset" because Linux lets it read what
arrived before the RST. Of the other direction any number may be under way at that moment.

Octets that come after the cut are read, recorded as discarded, and not forwarded.
`from_client + discarded_from_client` therefore is everything that the client handed to its
transport (for "reset": at least; it may have written while the RST was under way).

The first `connections` are cut, later ones pass (None: all are cut). `arm()` loads the proxy for
the next ones, so that one proxy serves a whole series of runs. One thread serves all connections.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from tests.servers.threads import Bell, wait_until_finished

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
AT_ONCE = 65536


@dataclass(frozen=True)
class CutAt:
    direction: Literal["client", "server"]  # whose octets are counted
    octet: int
    how: Literal["close", "reset", "stall", "half"] = "close"


@dataclass
class ProxiedConnection:
    """One connection's octets; final when `finished` is set (both sides have ended)."""

    number: int  # from 1, in order of acceptance
    cut: CutAt | None
    cut_done: bool = False
    from_client: bytearray = field(default_factory=bytearray)  # passed on to the server
    from_server: bytearray = field(default_factory=bytearray)  # passed on to the client
    discarded_from_client: bytearray = field(default_factory=bytearray)
    discarded_from_server: bytearray = field(default_factory=bytearray)
    finished: threading.Event = field(default_factory=threading.Event)


class _Stream:
    """One direction: octets from `source` to `sink`, at most `limit` of them."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        passed: bytearray,
        discarded: bytearray,
        limit: int | None,
    ) -> None:
        self.source = source
        self.sink = sink
        self.limit = limit
        self.unsent = b""
        self.source_ended = False
        self.discards = False
        self._passed = passed
        self._discarded = discarded

    @property
    def reads(self) -> bool:
        return not self.source_ended and not self.unsent

    @property
    def at_limit(self) -> bool:
        return not self.unsent and len(self._passed) == self.limit

    def read(self) -> None:
        """Take what has come, as far as the limit, and send it on or throw it away."""
        size = AT_ONCE
        if self.limit is not None and not self.discards:
            size = min(size, self.limit - len(self._passed))
        try:
            octets = self.source.recv(size)
        except BlockingIOError:
            return
        except ConnectionError:
            octets = b""
        if not octets:
            self.source_ended = True
        elif self.discards:
            self._discarded += octets
        else:
            self._passed += octets
            self.unsent = octets
            self.write()

    def write(self) -> None:
        try:
            self.unsent = self.unsent[self.sink.send(self.unsent) :]
        except BlockingIOError:
            pass
        except ConnectionError:  # the sink has gone: nobody is left to pass anything to
            self.discard()

    def discard(self) -> None:
        self.discards = True
        self.unsent = b""

    def end_sink(self) -> None:
        with contextlib.suppress(OSError):  # it has gone already
            self.sink.shutdown(socket.SHUT_WR)


class _Pair:
    """Both directions of one connection."""

    def __init__(
        self, client: socket.socket, server: socket.socket, record: ProxiedConnection
    ) -> None:
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cut = record.cut
        limits = {cut.direction: cut.octet} if cut is not None else {}
        self.client = client
        self.server = server
        self.record = record
        self._to_server = _Stream(
            client, server, record.from_client, record.discarded_from_client, limits.get("client")
        )
        self._to_client = _Stream(
            server, client, record.from_server, record.discarded_from_server, limits.get("server")
        )
        self._cut_if_due()

    @property
    def finished(self) -> bool:
        return self._to_server.source_ended and self._to_client.source_ended

    def interest(self, sock: socket.socket) -> int:
        """The selector events that this side waits for."""
        inward, outward = self._streams_of(sock)
        events = selectors.EVENT_READ if inward.reads else 0
        return events | (selectors.EVENT_WRITE if outward.unsent else 0)

    def handle(self, sock: socket.socket, events: int) -> None:
        inward, outward = self._streams_of(sock)
        if events & selectors.EVENT_WRITE:
            outward.write()
            self._cut_if_due()
        if events & selectors.EVENT_READ and inward.reads:
            inward.read()
            self._cut_if_due()
            if inward.source_ended and (not inward.discards or inward.source is self.client):
                inward.end_sink()

    def _streams_of(self, sock: socket.socket) -> tuple[_Stream, _Stream]:
        """The stream that this side feeds, and the one that it receives."""
        if sock is self.client:
            return self._to_server, self._to_client
        return self._to_client, self._to_server

    def _cut_if_due(self) -> None:
        cut = self.record.cut
        if cut is None or self.record.cut_done:
            return
        stream = self._to_server if cut.direction == "client" else self._to_client
        if not stream.at_limit:
            return
        self.record.cut_done = True
        if cut.how == "half":
            stream.discard()
            stream.end_sink()
            return
        self._to_server.discard()
        self._to_client.discard()
        if cut.how == "close":
            self._to_client.end_sink()
            self._to_server.end_sink()
        elif cut.how == "reset":
            self._to_server.read()
            self._to_server.source_ended = True
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.client.close()
            self._to_server.end_sink()


class CuttingProxy:
    """Listens from construction on; a context manager. See the module's docstring."""

    def __init__(
        self, target_port: int, cut: CutAt | None = None, connections: int | None = 1
    ) -> None:
        self.connections: list[ProxiedConnection] = []
        self._target_port = target_port
        self._lock = threading.Lock()
        self._finished = threading.Condition()
        self._error: BaseException | None = None
        self._bell = Bell()
        self._pairs: set[_Pair] = set()
        self._watched: dict[socket.socket, int] = {}  # events, as the selector knows them
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.host, self.port = self._listener.getsockname()
        self.arm(cut, connections)
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}")
        self._thread.start()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and self._error is not None:
            raise self._error

    def arm(self, cut: CutAt | None, connections: int | None = 1) -> None:
        """Cut the next so many connections (None: all) in this way."""
        with self._lock:
            self._cut, self._left = cut, connections

    def settle(self, connections: int = 0, timeout: float = 5.0) -> None:
        """Wait until at least so many connections have come and all have ended on both sides."""
        wait_until_finished(self._finished, self.connections, connections, timeout)

    def close(self) -> None:
        """Drop all connections; may be called again."""
        if self._listener.fileno() < 0:
            return
        self._bell.ring()
        self._thread.join()
        self._listener.close()
        self._bell.close()

    def _run(self) -> None:
        try:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(self._bell, selectors.EVENT_READ)
            self._serve()
        except BaseException as error:  # shown when the proxy is left
            self._error = error
        finally:
            for pair in list(self._pairs):
                self._finish(pair)
            self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, events in self._selector.select():
                if key.fileobj is self._bell:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                    continue
                pair, sock = key.data
                if pair in self._pairs and sock.fileno() >= 0:
                    pair.handle(sock, events)
                    self._watch(pair)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # the client has left already
            return
        record = ProxiedConnection(len(self.connections) + 1, self._next_cut())
        self.connections.append(record)
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except ConnectionRefusedError:
            client.close()
            self._mark_finished(record)
            return
        pair = _Pair(client, server, record)
        self._pairs.add(pair)
        self._watch(pair)

    def _next_cut(self) -> CutAt | None:
        with self._lock:
            if self._left == 0:
                return None
            if self._left is not None:
                self._left -= 1
            return self._cut

    def _watch(self, pair: _Pair) -> None:
        """Tell the selector what the pair waits for now."""
        if pair.finished:
            self._finish(pair)
            return
        for sock in (pair.client, pair.server):
            events = pair.interest(sock) if sock.fileno() >= 0 else 0
            before = self._watched.get(sock, 0)
            if events == before:
                continue
            if not before:
                self._selector.register(sock, events, (pair, sock))
            elif events:
                self._selector.modify(sock, events, (pair, sock))
            else:
                self._selector.unregister(sock)
            self._watched[sock] = events

    def _finish(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        for sock in (pair.client, pair.server):
            if self._watched.pop(sock, 0):
                self._selector.unregister(sock)
            sock.close()
        self._mark_finished(pair.record)

    def _mark_finished(self, record: ProxiedConnection) -> None:
        with self._finished:
            record.finished.set()
            self._finished.notify_all()
