"""The raw client that the tests of the test servers speak with."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from types import TracebackType


class RawClient:
    """Sends octets as told and reads whole replies; gives up after 5 seconds.

    `port` is a port of 127.0.0.1, or the path of a Unix socket.
    """

    def __init__(self, port: int | Path, context: ssl.SSLContext | None = None) -> None:
        if isinstance(port, Path):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(5)
            self._socket.connect(str(port))
        else:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._octets = b""
        if context is not None:
            self.start_tls(context)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(self._socket, server_hostname="localhost")

    def limit_wait(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def receive(self) -> bytes:
        """What the next recv() gives, b"" at the end."""
        octets, self._octets = self._octets, b""
        return octets or self._socket.recv(65536)

    def rest(self) -> bytes:
        """Everything up to the end of the stream."""
        octets = self._octets
        while more := self._socket.recv(65536):
            octets += more
        return octets

    def replies(self, count: int) -> list[bytes]:
        """The next replies, each with all its lines."""
        replies: list[bytes] = []
        reply = b""
        while len(replies) < count:
            line = self._line()
            reply += line
            if line[3:4] != b"-":
                replies.append(reply)
                reply = b""
        return replies

    def reply(self) -> bytes:
        return self.replies(1)[0]

    def ask(self, *lines: bytes) -> list[bytes]:
        """Send the lines in one write, read one reply for each."""
        self.send(b"".join(line + b"\r\n" for line in lines))
        return self.replies(len(lines))

    def _line(self) -> bytes:
        while b"\n" not in self._octets:
            more = self._socket.recv(65536)
            if not more:
                raise EOFError(f"the server closed after {self._octets!r}")
            self._octets += more
        line, _, self._octets = self._octets.partition(b"\n")
        return line + b"\n"
