"""What the tests of the blocking driver share: endpoints, messages, watched sockets."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from django_smtpauth.smtp import (
    Connection,
    Content,
    Credentials,
    Endpoint,
    Envelope,
    Security,
    SMTPError,
    Timeouts,
    Transaction,
    connect,
)
from django_smtpauth.smtp.dialling import dial

#: Long enough for a busy machine, short enough to end a test that hangs.
PATIENT = Timeouts(dial=10, reply=10, until_content=20, content=10, verdict=10)
#: For servers that will never answer: the limit is what is tested.
BRIEF = Timeouts(dial=5, reply=0.1, until_content=5, content=0.1, verdict=0.1)
#: Seconds within which every outcome must be known, whatever the server does.
BOUND = 15.0

USER, PASSWORD = "club", "Geheim-42-Wort"
CREDENTIALS = Credentials(USER, lambda: PASSWORD)


def endpoint(port: int, **changes: Any) -> Endpoint:
    """Plain SMTP on 127.0.0.1, with its own name so that nobody asks DNS."""
    plain = Endpoint(
        "127.0.0.1",
        port,
        security=Security.NONE,
        ehlo_name="client.test",
        label="the test server",
        timeouts=PATIENT,
    )
    return replace(plain, **changes)


def transaction(
    name: str = "a",
    recipients: int | Iterable[str] = 1,
    content: bytes | Content = b"Subject: hello\r\n\r\nbody\r\n",
) -> Transaction:
    """A message from `name@example.org`."""
    if isinstance(recipients, int):
        recipients = [f"to{number}@example.org" for number in range(recipients)]
    content = content if isinstance(content, Content) else Content.of(content)
    return Transaction(Envelope.of(f"{name}@example.org", recipients), content)


def statuses(message: Transaction) -> list[str]:
    """The outcome of each recipient in the envelope's order; "open" where there is none."""
    outcomes = message.outcomes
    known = {address: outcome.status.value for address, outcome in outcomes.items()}
    return [known.get(r.address, "open") for r in message.envelope.recipients]


def failure_of(port: int, **changes: Any) -> SMTPError:
    """The error with which a connection can't be opened."""
    with pytest.raises(SMTPError) as caught:
        connect(endpoint(port, **changes)).close()
    return caught.value


def loss_of(connection: Connection, *messages: Transaction) -> SMTPError:
    """The error with which a delivery ends."""
    with connection, pytest.raises(SMTPError) as caught:
        connection.deliver(messages)
    assert not connection.usable
    return caught.value


class WatchedSocket(socket.socket):
    """Remembers every octet that the transport took and gave.

    takes: octets that it takes in all; then the connection is lost.
    """

    def __init__(self, *arguments: Any, takes: int | None = None, **details: Any) -> None:
        super().__init__(*arguments, **details)
        self.taken = bytearray()
        self.given = bytearray()
        self._takes = takes

    def send(self, data: Any, flags: int = 0) -> int:
        if self._takes is not None:
            data = data[: self._takes - len(self.taken)]
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        count = super().send(data, flags)
        self.taken += bytes(data[:count])
        return count

    def recv(self, size: int, flags: int = 0) -> bytes:
        octets = super().recv(size, flags)
        self.given += octets
        return octets

    @property
    def silent(self) -> bool:
        """Whether nothing can be read now, not even an end."""
        return self.fileno() >= 0 and not select.select([self], [], [], 0)[0]


class Dialler:
    """A `dial` for `connect()` that keeps the sockets it made.

    send_buffer, receive_buffer: octets of SO_SNDBUF and SO_RCVBUF; small ones block soon.
    takes: octets that each transport takes in all.
    """

    def __init__(
        self,
        send_buffer: int | None = None,
        receive_buffer: int | None = None,
        takes: int | None = None,
    ) -> None:
        self.sockets: list[WatchedSocket] = []
        self._buffers = {socket.SO_SNDBUF: send_buffer, socket.SO_RCVBUF: receive_buffer}
        self._takes = takes

    def __call__(
        self, host: str, port: int, timeout: float, source_address: str | None
    ) -> socket.socket:
        dialled = dial(host, port, timeout, source_address).sock
        sock = WatchedSocket(
            dialled.family, dialled.type, fileno=dialled.detach(), takes=self._takes
        )
        for option, size in self._buffers.items():
            if size is not None:
                sock.setsockopt(socket.SOL_SOCKET, option, size)
        self.sockets.append(sock)
        return sock

    @property
    def taken(self) -> bytes:
        """What the transport of the latest connection took."""
        return bytes(self.sockets[-1].taken) if self.sockets else b""


Serve = Callable[["Peer"], None]


class Peer:
    """The server's side of one connection, octet by octet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._heard = bytearray()

    def say(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def hear(self, marker: bytes) -> bytes:
        """Everything up to the marker, which must come."""
        while marker not in self._heard:
            octets = self.sock.recv(65_536)
            assert octets, f"the client left before {marker!r}: {bytes(self._heard)!r}"
            self._heard += octets
        end = self._heard.index(marker) + len(marker)
        heard = bytes(self._heard[:end])
        del self._heard[:end]
        return heard

    def take(self, size: int) -> bytes:
        """Exactly so many octets."""
        while len(self._heard) < size:
            octets = self.sock.recv(65_536)
            assert octets, f"the client left before {size} octets had come"
            self._heard += octets
        taken = bytes(self._heard[:size])
        del self._heard[:size]
        return taken

    def hear_the_end(self) -> None:
        """Read until the client has gone."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65_536):
                pass

    def flood(self, octets: bytes) -> None:
        """Say the same again and again until the client has gone."""
        with contextlib.suppress(ConnectionError):
            while True:
                self.sock.sendall(octets)

    def open(self, extensions: str = "PIPELINING") -> None:
        """Greeting and EHLO."""
        self.say(b"220 raw.test ESMTP\r\n")
        self.hear(b"EHLO client.test\r\n")
        lines = ["raw.test", *extensions.split()]
        last = lines.pop()
        self.say("".join([*(f"250-{line}\r\n" for line in lines), f"250 {last}\r\n"]).encode())

    def take_envelope(self) -> None:
        """MAIL, one RCPT and DATA in one group, all accepted."""
        self.hear(b"DATA\r\n")
        self.say(b"250 ok\r\n250 ok\r\n354 go\r\n")


class RawServer:
    """Serves one connection by a function of the test, in a thread."""

    def __init__(self, serve: Serve, buffers: int | None = None) -> None:
        self._serve = serve
        self._listener = socket.socket()
        if buffers is not None:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._listener.setsockopt(socket.SOL_SOCKET, option, buffers)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._listener.settimeout(BOUND)
        self.port = self._listener.getsockname()[1]
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._thread.join(BOUND)
        self._listener.close()
        assert not self._thread.is_alive()
        if error is None and self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            sock, _ = self._listener.accept()
            with sock:
                sock.settimeout(BOUND)
                self._serve(Peer(sock))
        except BaseException as error:  # shown when the server is left
            self.error = error
