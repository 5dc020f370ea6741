"""One non-blocking socket, with or without TLS. It moves octets and judges nothing.

Nothing here blocks: `step()` does what can be done at once, `wants` says what to wait for. A
loss is kept in `fault` and reported after the octets that came before it, since a server that
refuses often says so and then hangs up.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
from collections import deque
from typing import Any

from .errors import Disconnected, SMTPError, TLSError
from .tls import PeerFacts

_READ_SIZE = 65_536
#: Reads in one step: a server that floods must not keep us from looking at what it sent.
_READS = 4
#: Octets of plain text in one TLS record (RFC 8446 5.1).
_RECORD = 16_384


class Channel:
    """A connected socket that is taken over; `close()` closes it.

    relayed: the peer passes everything on to another machine, as a proxy does.
    handed: octets of plain text handed to the transport since the beginning. With TLS an octet
        counts when the whole record that holds it was handed over.
    fault: why nothing more can be sent or received, once that is so.
    """

    def __init__(self, sock: socket.socket, relayed: bool = False) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._relayed = relayed
        self._plain: deque[memoryview] = deque()
        self._received = bytearray()
        self._tls: _TLS | None = None
        self._write_failed = False
        self.handed = 0
        self.fault: SMTPError | None = None

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._sock.fileno()

    @property
    def peer(self) -> str:
        """The peer's IP address, or an empty text for a socket without one."""
        try:
            address = self._sock.getpeername()
        except OSError:
            return ""
        return str(address[0]) if isinstance(address, tuple) else ""

    @property
    def local_address(self) -> str:
        """Our own IP address, or an empty text."""
        address = self._sock.getsockname()
        return str(address[0]) if isinstance(address, tuple) else ""

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine: loopback, or a Unix socket."""
        if self._relayed:
            return False
        if self._sock.family not in (socket.AF_INET, socket.AF_INET6):
            return True
        peer = self.peer.removeprefix("::ffff:")
        return peer == "::1" or peer.startswith("127.")

    @property
    def unsent(self) -> bool:
        """Whether octets wait to be sent."""
        return bool(self._plain or (self._tls and self._tls.unsent)) and not self._write_failed

    @property
    def wants(self) -> int:
        """What to wait for: always to read, to write as long as octets wait."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)

    def queue(self, octets: bytes) -> None:
        """Adds octets to be sent."""
        if octets:
            self._plain.append(memoryview(octets))

    def take(self) -> bytes:
        """What was received since the last call."""
        data = bytes(self._received)
        self._received.clear()
        return data

    def flush(self) -> None:
        """Sends what can be sent at once."""
        try:
            if self._tls is None:
                self._flush_plain()
            else:
                self._flush_tls(self._tls)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            # What the server said before it went away may still be read.
            self._write_failed = True
            self._plain.clear()
            self._read()
            self._fail(_lost(error))

    def step(self) -> None:
        """Sends and receives what can be at once."""
        if self.unsent:
            self.flush()
        if self.fault is None:
            self._read()

    def begin_tls(self, context: ssl.SSLContext, host: str) -> None:
        """TLS from here on, as a client that expects `host` in the certificate."""
        self._tls = _TLS(context, host)

    def handshake(self) -> PeerFacts | None:
        """As much of the handshake as can be done at once: the facts when it is complete, None
        when it must wait. Raises TLSError or Disconnected."""
        assert self._tls is not None  # noqa: S101 - begin_tls() comes first
        try:
            while (facts := self._tls.handshake()) is None:
                self._flush_tls(self._tls)
                if not self._feed_tls(self._tls):
                    return None
            self._flush_tls(self._tls)
        except (BlockingIOError, InterruptedError):
            return None
        except ssl.SSLError as error:
            self._last_words(self._tls)
            raise _tls_error(error, self._tls) from None
        except SMTPError:
            raise
        except (OSError, ValueError) as error:
            raise _lost(error, stage="TLS") from None
        # The server's first words may have come together with the end of its handshake.
        self._take_in(b"")
        return facts

    def close(self) -> None:
        """Sends what can be sent at once, says goodbye in TLS, closes. Never raises."""
        if self.fault is None and not self._write_failed:
            self.flush()
            if self._tls is not None and not self.unsent:
                self._tls.say_goodbye()
                self._last_words(self._tls)
        self._sock.close()

    def abandon(self) -> None:
        """Closes without a word."""
        self._sock.close()

    def _flush_plain(self) -> None:
        while self._plain:
            sent = self._sock.send(self._plain[0])
            self.handed += sent
            self._plain[0] = self._plain[0][sent:]
            if not self._plain[0]:
                self._plain.popleft()

    def _flush_tls(self, tls: _TLS) -> None:
        while True:
            while tls.unsent:
                self.handed += tls.sent(self._sock.send(tls.unsent))
            if not self._plain:
                return
            tls.encrypt(self._plain)

    def _read(self) -> None:
        try:
            for _ in range(_READS):
                data = self._sock.recv(_READ_SIZE)
                if not data:
                    self._fail(Disconnected("the server closed the connection"))
                elif self._tls is None:
                    self._received += data
                else:
                    self._take_in(data)
                if len(data) < _READ_SIZE:
                    return
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._fail(_lost(error))

    def _take_in(self, data: bytes) -> None:
        """Decrypts what came from the network."""
        assert self._tls is not None  # noqa: S101 - callers checked
        try:
            if not self._tls.decrypt(data, self._received):
                self._fail(Disconnected("the server closed the connection"))
        except ssl.SSLError as error:
            self._fail(Disconnected(f"TLS broke ({error.reason or error.strerror})"))

    def _feed_tls(self, tls: _TLS) -> bool:
        """Reads once for the handshake; whether anything was there."""
        try:
            data = self._sock.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        if not data:
            raise Disconnected("the server hung up in the TLS handshake", stage="TLS")
        tls.feed(data)
        return True

    def _last_words(self, tls: _TLS) -> None:
        """Sends an alert, if it can be sent at once."""
        try:
            while tls.unsent:
                tls.sent(self._sock.send(tls.unsent))
        except OSError:
            pass

    def _fail(self, fault: SMTPError) -> None:
        self.fault = self.fault or fault


class _TLS:
    """OpenSSL between two memory buffers, and which octets are in a record that went out."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.host = host
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._cipher = memoryview(b"")
        # Of each record under way: where it ends in the cipher text, how much plain text it holds.
        self._records: deque[tuple[int, int]] = deque()
        self._sent = 0
        self._made = 0

    def handshake(self) -> PeerFacts | None:
        """One step; the facts when it is done."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return None
        cipher = self._object.cipher()
        certificate = self._object.getpeercert(binary_form=True)
        version = self._object.version() or ""
        unique = self._object.get_channel_binding("tls-unique") if version == "TLSv1.2" else None
        return PeerFacts(
            version=version,
            cipher=cipher[0] if cipher else "",
            certificate=certificate,
            chain=self.chain or ((certificate,) if certificate else ()),
            tls_unique=unique,
        )

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates that the server sent (DER), also those that did not verify."""
        return chain_of(self._object)

    def feed(self, data: bytes) -> None:
        """Octets from the network, for the handshake."""
        self._incoming.write(data)

    def decrypt(self, data: bytes, into: bytearray) -> bool:
        """Octets from the network, as plain text added to `into`; False when the peer ended
        TLS (close_notify). Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            while chunk := self._object.read(_READ_SIZE):
                into += chunk
        except ssl.SSLWantReadError:
            return True
        return False

    def encrypt(self, plain: deque[memoryview]) -> None:
        """Up to four records from the head of the queue, so that memory stays bounded."""
        for _ in range(4):
            if not plain:
                break
            view = plain.popleft()
            record, rest = view[:_RECORD], view[_RECORD:]
            if rest:
                plain.appendleft(rest)
            self._object.write(record)
            self._records.append((self._made + self._outgoing.pending, len(record)))

    @property
    def unsent(self) -> memoryview:
        """Cipher text that waits to be sent."""
        if not self._cipher and self._outgoing.pending:
            data = self._outgoing.read()
            self._made += len(data)
            self._cipher = memoryview(data)
        return self._cipher

    def sent(self, count: int) -> int:
        """So many octets of cipher text went out; returns how much plain text they complete."""
        self._cipher = self._cipher[count:]
        self._sent += count
        complete = 0
        while self._records and self._records[0][0] <= self._sent:
            complete += self._records.popleft()[1]
        return complete

    def say_goodbye(self) -> None:
        """Makes a close_notify alert, without waiting for the peer's."""
        with contextlib.suppress(ssl.SSLError, OSError):
            self._object.unwrap()


def chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the peer sent (DER), its own first, whether they verify or not.

    Empty when none came, or where this Python can't tell.
    """
    # Public since Python 3.13. The versions before have it in the object beneath, which gives
    # objects that know their PEM.
    source = tls if hasattr(tls, "get_unverified_chain") else getattr(tls, "_sslobj", None)
    try:
        chain: list[Any] = getattr(source, "get_unverified_chain", list)() or []
        return tuple(
            one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes())
            for one in chain
        )
    except (AttributeError, TypeError, ValueError):
        return ()


def _lost(error: OSError | ValueError, stage: str = "") -> Disconnected:
    why = getattr(error, "strerror", None) or str(error)
    return Disconnected(f"the connection was lost ({why})", stage=stage)


def _tls_error(error: ssl.SSLError, tls: _TLS) -> TLSError:
    if isinstance(error, ssl.SSLCertVerificationError):
        # A context that asks the operating system may leave out what OpenSSL always tells.
        why = getattr(error, "verify_message", "") or " ".join(map(str, error.args))
        return TLSError(
            f"the certificate of {tls.host} does not verify: {why}",
            stage="TLS",
            reason="certificate",
            transient=False,
            host=tls.host,
            chain=tls.chain,
            verify_code=getattr(error, "verify_code", 0),
        )
    cause = (error.reason or str(error)).replace("_", " ").lower()
    cure = ""
    if error.reason == "WRONG_VERSION_NUMBER":
        cure = "The port does not speak TLS at once: use security 'starttls' (usually port 587)."
    return TLSError(
        f"the TLS handshake failed: {cause}",
        stage="TLS",
        reason="handshake",
        cure=cure,
        transient=False,
        host=tls.host,
    )
