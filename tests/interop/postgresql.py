"""PostgreSQL on loopback, from the folder of programs that SMTPAUTH_INTEROP_POSTGRESQL names.

No mail server of Debian offers SCRAM with -PLUS. PostgreSQL does, with the same SASL messages in
other frames, bound by tls-server-end-point as ours: so it can judge the mechanism.

    with postgresql.session() as session:
        session.offered                          ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        session.authenticate(mechanism, login)   True, or raises RefusedError
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from django_smtpauth.smtp.needs import Call
from django_smtpauth.smtp.sasl import Login, Mechanism
from tests.interop.daemons import (
    HOST,
    TLS_NAME,
    Daemon,
    Folder,
    free_ports,
    give,
    write_certificates,
)

#: Who runs it: not root.
USER = "nobody"
LOGIN, PASSWORD = "alice", "Grüße aus Köln"

_SSL_REQUEST, _PROTOCOL_3 = 80877103, 196608
#: What the number in an authentication message says.
_OK, _SASL, _CONTINUE, _FINAL = 0, 10, 11, 12


class RefusedError(Exception):
    """What the server said."""


class PostgreSQL:
    """One running instance; a context manager. Needs root, to become another user."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs

    def __enter__(self) -> PostgreSQL:
        with ExitStack() as stack:
            self._start(stack, stack.enter_context(Folder("postgresql-")))
            self._running = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def session(self) -> Session:
        return Session(self.port, self.ca_file)

    def _start(self, stack: ExitStack, folder: Path) -> None:
        files = write_certificates(folder, "client@example.test", USER)
        self.ca_file = str(files.ca_file)
        data, password, output = folder / "data", folder / "password", folder / "output"
        give(USER, data)
        password.write_text(PASSWORD)
        subprocess.run(
            [
                *(self._programs / "initdb", "-D", data, "-U", LOGIN, "--pwfile", password),
                *("--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8"),
            ],
            check=True,
            capture_output=True,
            user=USER,
        )
        [self.port] = free_ports(1)
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": files.certificate,
            "ssl_key_file": files.key,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        daemon = Daemon([self._programs / "postgres", "-D", data, *options], output, user=USER)
        stack.enter_context(daemon).wait_until(self._ready, f"{self.port}")

    def _ready(self) -> bool:
        """Before, it refuses connections, or takes them and says that it starts up."""
        try:
            self.session().close()
        except (ConnectionRefusedError, RefusedError):
            return False
        return True


class Session:
    """A connection inside TLS, up to the list of mechanisms; a context manager."""

    def __init__(self, port: int, ca_file: str) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=20)
        try:
            self._open(ssl.create_default_context(cafile=ca_file))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def authenticate(self, mechanism: Mechanism, login: Login) -> bool:
        """Whether the server says that the user is who he says. Raises RefusedError."""
        dialogue = mechanism.start(login)
        first = next(dialogue)
        assert isinstance(first, bytes)
        name = mechanism.name.encode() + b"\0"
        self._send(name + struct.pack("!I", len(first)) + first)
        kind, challenge = self._message()
        answer = dialogue.send(challenge)
        while isinstance(answer, Call):
            answer = dialogue.send(answer.function())
        assert kind == _CONTINUE
        assert isinstance(answer, bytes)
        self._send(answer)
        kind, signature = self._message()
        assert kind == _FINAL
        dialogue.send(signature)
        kind, _ = self._message()
        with contextlib.suppress(StopIteration):
            dialogue.send(None)
        return kind == _OK

    def _open(self, context: ssl.SSLContext) -> None:
        self._socket.sendall(struct.pack("!II", 8, _SSL_REQUEST))
        assert self._socket.recv(1) == b"S"
        tls = context.wrap_socket(self._socket, server_hostname=TLS_NAME)
        self._socket = tls
        certificate = tls.getpeercert(binary_form=True)
        assert certificate is not None
        self.certificate: bytes = certificate
        parameters = f"user\0{LOGIN}\0database\0postgres\0\0".encode()
        tls.sendall(struct.pack("!II", 8 + len(parameters), _PROTOCOL_3) + parameters)
        kind, names = self._message()
        assert kind == _SASL
        self.offered = [name.decode() for name in names.split(b"\0") if name]

    def _send(self, octets: bytes) -> None:
        self._socket.sendall(b"p" + struct.pack("!I", 4 + len(octets)) + octets)

    def _message(self) -> tuple[int, bytes]:
        """The next authentication message: its number, and what follows."""
        kind, size = struct.unpack("!cI", self._read(5))
        body = self._read(size - 4)
        if kind == b"E":
            fields = [field.decode() for field in body.split(b"\0") if field]
            raise RefusedError(next(field[1:] for field in fields if field.startswith("M")))
        assert kind == b"R"
        return int.from_bytes(body[:4], "big"), body[4:]

    def _read(self, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            more = self._socket.recv(size - len(octets))
            assert more, "the server closed"
            octets += more
        return octets
