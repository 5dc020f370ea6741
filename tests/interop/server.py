"""What the tests want of every real server: our backend and engine on its ports, and raw octets.

server.backend("submission", server.alice)     our backend
server.connect("submission", server.alice)     the engine alone
server.raw("submission")                       a raw client behind TLS and EHLO
server.announced("submission")                 {"PIPELINING": "", "SIZE": "100000", ...}
"""

from __future__ import annotations

import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import Connection, Credentials, Endpoint, Security, TLSOptions, connect
from tests.servers.client import RawClient

#: Seconds to wait for what a server does after its reply.
PATIENCE = 20.0


@dataclass(frozen=True)
class User:
    """A login and the one address that it may send from."""

    login: str
    password: str
    address: str


@dataclass(frozen=True)
class Listener:
    """One port of 127.0.0.1, or the path of a Unix socket, and the kind of TLS it is made for.

    hello: the command that opens a session, LHLO for LMTP.
    """

    port: int | Path
    security: Security
    hello: str = "EHLO"


class RealServer(ABC):
    """One running instance. Subclasses say what it listens on and whom it knows."""

    #: The name in the server's certificate.
    host: str
    ca_file: str

    @abstractmethod
    def listener(self, name: str) -> Listener:
        """The port or socket of that name."""

    def port(self, name: str) -> int:
        port = self.listener(name).port
        assert isinstance(port, int), f"{name} is a Unix socket"
        return port

    def security(self, name: str) -> Security:
        return self.listener(name).security

    def backend(self, port: str, user: User | None = None, /, **options: Any) -> EmailBackend:
        """Our backend with explicit options, as kind of TLS the one that the port is made for."""
        given = {
            "host": self.host,
            "port": self.port(port),
            "security": self.security(port).value,
            "ca_file": self.ca_file,
            "username": user.login if user else "",
            "password": user.password if user else "",
        }
        return EmailBackend(**{**given, **options})

    def connect(self, port: str, user: User | None = None, /, **options: Any) -> Connection:
        """The engine alone."""
        given = {
            "host": self.host,
            "port": self.port(port),
            "security": self.security(port),
            "tls": TLSOptions(ca_file=self.ca_file),
            "credentials": Credentials(user.login, lambda: user.password) if user else None,
        }
        return connect(Endpoint(**{**given, **options}))

    def raw(self, name: str, certificate: tuple[Path, Path] | None = None) -> RawClient:
        """A raw client behind greeting, TLS and EHLO; `certificate` is the client's, with key."""
        return self._opened(name, certificate)[0]

    def announced(self, name: str, certificate: tuple[Path, Path] | None = None) -> dict[str, str]:
        """Each extension of the last EHLO reply with its parameters."""
        client, reply = self._opened(name, certificate)
        with client:
            lines = [line[4:].strip() for line in reply.decode().splitlines()[1:]]
        return {keyword: rest for keyword, _, rest in (line.partition(" ") for line in lines)}

    def _opened(self, name: str, certificate: tuple[Path, Path] | None) -> tuple[RawClient, bytes]:
        listener = self.listener(name)
        context = ssl.create_default_context(cafile=self.ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        hello = f"{listener.hello} client.example".encode()
        implicit = listener.security is Security.IMPLICIT_TLS
        client = RawClient(listener.port, context if implicit else None)
        client.limit_wait(PATIENCE)
        client.reply()
        [reply] = client.ask(hello)
        if listener.security is Security.STARTTLS:
            client.ask(b"STARTTLS")
            client.start_tls(context)
            [reply] = client.ask(hello)
        return client, reply


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Waits until the condition is met; fails after PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come in {PATIENCE} seconds"
        time.sleep(0.01)
