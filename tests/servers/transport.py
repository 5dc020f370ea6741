"""The server's end of one TCP connection, with or without TLS; every wait ends when a bell rings.

TLS runs over memory buffers, so that the octets of the handshake can be paced like any others.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct

from tests.servers.behaviour import Drip, PlainCut
from tests.servers.records import TLSFacts
from tests.servers.threads import Bell, StoppedError

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds


class CutShortError(Exception):
    """So many octets have passed that the server is to end the session here."""


class Transport:
    """A non-blocking socket with blocking calls; they raise StoppedError when the bell rings.

    `receive()` and `send()` raise CutShortError where `cut` says so.
    """

    def __init__(self, sock: socket.socket, bell: Bell) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._bell = bell
        self._selector = selectors.DefaultSelector()
        self._selector.register(bell, selectors.EVENT_READ)
        self._selector.register(sock, selectors.EVENT_READ)
        self._tls: ssl.SSLObject | None = None
        self.cut: PlainCut | None = None
        self._passed = {"client": 0, "server": 0}
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def start_tls(self, context: ssl.SSLContext, drip: Drip | None) -> TLSFacts:
        """Shake hands as the server."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        complete = False
        while not complete:
            try:
                tls.do_handshake()
                complete = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self._send_raw(self._outgoing.read(), drip)  # the alert
                raise
            self._send_raw(self._outgoing.read(), drip)
            if not complete:
                octets = self._receive_raw(None)
                if not octets:
                    raise ConnectionAbortedError("the client closed in the TLS handshake")
                self._incoming.write(octets)
        self._tls = tls
        cipher, version = tls.cipher(), tls.version() or ""
        unique = tls.get_channel_binding("tls-unique") if version != "TLSv1.3" else None
        return TLSFacts(version, cipher[0] if cipher else "", tls.getpeercert(True), unique)

    def receive(self, timeout: float | None = None) -> bytes | None:
        """The next octets, b"" at the end of the stream, None after `timeout` seconds."""
        if self._left("client") == 0:
            raise CutShortError
        octets = self._receive(timeout)
        return octets and self._pass("client", octets)

    def _left(self, direction: str) -> int | None:
        """How many octets may still pass in this direction; None: any number."""
        if self.cut is None or self.cut.direction != direction:
            return None
        return self.cut.octet - self._passed[direction]

    def _pass(self, direction: str, octets: bytes) -> bytes:
        """As many of these octets as may pass."""
        left = self._left(direction)
        octets = octets if left is None else octets[:left]
        self._passed[direction] += len(octets)
        return octets

    def _receive(self, timeout: float | None) -> bytes | None:
        if self._tls is None:
            return self._receive_raw(timeout)
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                octets = self._receive_raw(timeout)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            if octets is None:
                return None
            if octets:
                self._incoming.write(octets)
            else:
                self._incoming.write_eof()

    def send(self, data: bytes, drip: Drip | None = None) -> None:
        self._send(self._pass("server", data), drip)
        if self._left("server") == 0:
            raise CutShortError

    def _send(self, data: bytes, drip: Drip | None) -> None:
        if self._tls is None:
            self._send_raw(data, drip)
            return
        for piece in drip.pieces(data) if drip else [data]:
            self._wait_for_turn(drip)
            self._tls.write(piece)
            self._send_raw(self._outgoing.read())

    def finish(self, *, notify: bool = True) -> None:
        """Say the end, then throw away what still comes until the client closes as well.

        notify: inside TLS with close_notify.

        A plain close() with input left unread would reset the connection, and the client might
        lose replies that it hasn't read yet.
        """
        with contextlib.suppress(OSError):  # the client has gone already
            if self._tls is not None and notify:
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                self._send_raw(self._outgoing.read())
            self._sock.shutdown(socket.SHUT_WR)
            while self._receive_raw(None):
                pass

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    def wait_for_stop(self) -> None:
        """Neither read nor write until the bell rings."""
        self._selector.unregister(self._sock)
        self._selector.select()
        raise StoppedError

    def close(self) -> None:
        self._selector.close()
        self._sock.close()

    def _receive_raw(self, timeout: float | None) -> bytes | None:
        while True:
            try:
                return self._sock.recv(65536)
            except BlockingIOError:
                if not self._wait(selectors.EVENT_READ, timeout):
                    return None

    def _send_raw(self, data: bytes, drip: Drip | None = None) -> None:
        for piece in drip.pieces(data) if drip else [data]:
            self._wait_for_turn(drip)
            view = memoryview(piece)
            while view:
                try:
                    view = view[self._sock.send(view) :]
                except BlockingIOError:
                    self._wait(selectors.EVENT_WRITE, None)

    def _wait(self, events: int, timeout: float | None) -> bool:
        self._selector.modify(self._sock, events)
        ready = self._selector.select(timeout)
        if any(key.fileobj is self._bell for key, _ in ready):
            raise StoppedError
        return bool(ready)

    def _wait_for_turn(self, drip: Drip | None) -> None:
        if drip is None:
            return
        if drip.pace is not None:
            while not drip.pace.acquire(timeout=0.02):
                self._check_bell(0)
        elif drip.interval:
            self._check_bell(drip.interval)

    def _check_bell(self, seconds: float) -> None:
        """Let the seconds pass, unless the bell rings."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            if selector.select(seconds):
                raise StoppedError
