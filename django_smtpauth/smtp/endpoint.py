"""Everything that shapes one session, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from .content import Chunking
from .sasl.credentials import Credentials
from .timeouts import Timeouts
from .tls import Security, TLSOptions

#: RFC 2033 reserves no port, and forbids 25; this is the one in use.
LMTP_PORT: Final = 24
TLS_NEEDS_A_NAME = (
    "{} is a Unix socket, which has no name that a certificate could be checked against: "
    "use security 'none'. What is sent there does not leave this machine."
)

#: Octets of a Unix socket's path at most (struct sockaddr_un of Linux, less the final NUL).
MAX_PATH = 107


def is_path(host: str) -> bool:
    """Whether a host is the absolute path of a Unix socket."""
    return host.startswith("/")


@dataclass(frozen=True)
class Endpoint:
    """A server, how to reach it and how to behave there.

    host: name as A-label, an IP address, or the absolute path of a Unix socket, which goes with
        security none only: a path is no name that a certificate could be checked against.
    port: None takes the one that goes with security and protocol; a Unix socket has none.
    label: how errors call this server, for example `account club, smtp.example.com:587`.
    ehlo_name: the client's name; empty: the machine's own, or an address literal.
    auth_mechanisms: allowed SASL mechanisms, preferred first; None: the engine's order.
    allow_auth_without_tls: let a secret go to a peer that is not loopback without TLS.
    deadline: seconds for opening, and for each message; None: the time-outs alone.
    pipelining: False sends one command at a time whatever the server offers.
    max_unanswered: complete messages of one connection that may lack their reply at once.
    source_address: local IP address to connect from; not for a Unix socket.
    protocol: "lmtp" for a local delivery agent, which answers for each recipient (RFC 2033).
    bdat: whether content goes in chunks (RFC 3030), see `delivery`.
    ask_again: log in with credentials that this server refused a short time ago, too.

    Raises ValueError for a Unix socket with TLS, and for a pin where TLS is not certain.
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
    protocol: Literal["smtp", "lmtp"] = "smtp"
    bdat: Chunking = "never"
    ask_again: bool = False

    def __post_init__(self) -> None:
        if is_path(self.host) and self.security is not Security.NONE:
            raise ValueError(TLS_NEEDS_A_NAME.format(self.host))
        if self.tls.pins and not self.security.ensures_tls:
            raise ValueError(f"A pin needs TLS, but security is {self.security.value!r}.")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to dial; port 0 for a Unix socket."""
        if is_path(self.host):
            return self.host, 0
        usual = LMTP_PORT if self.protocol == "lmtp" else self.security.default_port
        return self.host, self.port or usual

    @property
    def server(self) -> str:
        """host:port, or the path of a Unix socket."""
        host, port = self.address
        if not port:
            return host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def name(self) -> str:
        """The label, or the server."""
        return self.label or self.server
