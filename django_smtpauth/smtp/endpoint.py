"""Everything that shapes one session, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

from .sasl.credentials import Credentials
from .timeouts import Timeouts
from .tls import Security, TLSOptions


@dataclass(frozen=True)
class Endpoint:
    """A server, how to reach it and how to behave there.

    host: name as A-label, or an IP address; port: None takes the one that goes with security.
    label: how errors call this server, for example `account club, smtp.example.com:587`.
    ehlo_name: the client's name; empty: the machine's own, or an address literal.
    auth_mechanisms: allowed SASL mechanisms, preferred first; None: the engine's order.
    allow_auth_without_tls: let a secret go to a peer that is not loopback without TLS.
    deadline: seconds for opening, and for each message; None: the time-outs alone.
    pipelining: False sends one command at a time whatever the server offers.
    max_unanswered: complete messages of one connection that may lack their reply at once.
    source_address: local IP address to connect from.
    ask_again: log in with credentials that this server refused a short time ago, too.
    """

    host: str
    port: int | None = None
    security: Security = Security.STARTTLS
    tls: TLSOptions = field(default_factory=TLSOptions)
    credentials: Credentials | None = None
    label: str = ""
    ehlo_name: str = ""
    auth_mechanisms: tuple[str, ...] | None = None
    allow_auth_without_tls: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    deadline: float | None = None
    pipelining: bool = True
    max_unanswered: int = 1
    source_address: str | None = None
    ask_again: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to dial."""
        return self.host, self.port or self.security.default_port

    @property
    def name(self) -> str:
        """The label, or host:port."""
        return self.label or "{}:{}".format(*self.address)
