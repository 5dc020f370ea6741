"""What an account may reach: the public internet, on the ports that mail uses.

Whoever may edit accounts types a host, and this site connects to it from inside its own network.
So an account reaches no address that is not public, unless SMTPAUTH["ALLOWED_INTERNAL_HOSTS"]
lists the host, its address or its network, or the account is marked as internal. The server of
the settings is not guarded: who writes settings runs code here anyway.

What is checked is what is dialled. The name is looked up once, addresses that are not allowed are
dropped, the others are connected to as they are, and the peer of the connection is looked at
again. A refusal tells what the administrator typed, and never which address a name leads to: that
would be a way to ask the site's internal DNS.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured, ValidationError

from ..conf import smtpauth_settings
from ..secrets.destination import normalise_host
from ..smtp.dialling import AddressInfo, Dialled, Resolve, dial, is_address, resolve
from ..smtp.endpoint import is_path
from ..smtp.errors import ConnectError, SMTPError
from ..validators import validate_host
from .accounts import Account
from .public import Network, forms, is_public

#: Connects to host and port within seconds, from a source address if one is given.
Reach = Callable[[str, int, float, "str | None"], Dialled]

logger = logging.getLogger("django_smtpauth")

HOSTS: Final = "ALLOWED_INTERNAL_HOSTS"
PORTS: Final = "ALLOWED_PORTS"
#: Ports at which an account's own proxy may be, besides those of mail.
PROXY_PORTS: Final = frozenset({1080, 3128, 8080})
#: Seconds that a look-up may take which only makes a refusal possible.
PATIENCE: Final = 1.0
#: The ends of names that no public DNS has (RFC 6761, 6762, 8375; ICANN for .internal).
_INTERNAL_ZONES: Final = (".localhost", ".localdomain", ".local", ".internal", ".home.arpa")

_NO_WILDCARD: Final = (
    "allows everything, and then nothing guards this site's network. Name the hosts or networks "
    'that accounts need, such as "mail.internal" or "10.0.0.0/8".'
)


class NotAllowed(ConnectError):
    """The site does not let this account connect there. Nothing was dialled, or nothing was said.

    reason: "internal-host" or "port". settings: the line that would allow it.
    """

    def __init__(self, message: str = "", *, settings: str = "", **details: Any) -> None:
        super().__init__(message, stage="CONNECT", transient=False, **details)
        self.settings = settings


@dataclass(frozen=True)
class AllowedHosts:
    """What ALLOWED_INTERNAL_HOSTS lists. names: A-labels in small letters, or paths of sockets."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def lists(self, host: str) -> bool:
        """Whether the host stands there as it was typed."""
        return _canonical(host) in self.names

    def covers(self, address: str) -> bool:
        """Whether an IP address is in a network that stands there."""
        return any(form in network for form in forms(address) for network in self.networks)


@dataclass(frozen=True)
class Guard:
    """The limits of one account. account: its slug, for the refusals."""

    account: str
    hosts: AllowedHosts
    ports: frozenset[int]

    def dial(
        self,
        host: str,
        port: int,
        timeout: float,
        source_address: str | None = None,
        *,
        resolve: Resolve = resolve,
        dial: Callable[..., Dialled] = dial,
    ) -> Dialled:
        """As the engine's `dial()`, within the limits. Raises NotAllowed, too."""
        if is_path(host):
            self._check_path(host)
            return dial(host, port, timeout, source_address)
        self._check_port(port)
        if self.hosts.lists(host):
            return dial(host, port, timeout, source_address, resolve=resolve)
        admitted = partial(self._admitted, resolve)
        dialled = dial(host, port, timeout, source_address, resolve=admitted)
        self._check_peer(dialled.sock, host)
        return dialled

    def check_relayed(
        self, host: str, port: int, timeout: float, *, resolve: Resolve = resolve
    ) -> None:
        """What can be known of a server that a proxy looks up and connects to.

        What shows at sight, and the name's addresses if this machine knows them, too. Raises
        NotAllowed.
        """
        self.check_at_sight(host, port)
        if self.hosts.lists(host) or _literal(host):
            return
        try:
            found = resolve(host, port, timeout)
        except SMTPError:
            # Only the proxy can look it up.
            return
        if not all(self._admits(info[4], host) for info in found):
            raise self._internal(host)

    def check_at_sight(self, host: str, port: int) -> None:
        """What shows without a look at the DNS: the port, a socket of this machine, an address
        in place of a name, a name that says that it is internal. Raises NotAllowed.
        """
        if is_path(host):
            self._check_path(host)
            return
        self._check_port(port)
        if self.hosts.lists(host):
            return
        if literal := _literal(host):
            if not self._admits((literal,), host):
                raise self._internal(host)
        elif says_internal(host):
            raise self._internal(host, f"{host} is a name of an internal network")

    def for_proxy(self) -> Guard:
        """The limits for the proxy that the account itself names."""
        return replace(self, ports=self.ports | PROXY_PORTS)

    def _check_path(self, path: str) -> None:
        if not self.hosts.lists(path):
            raise self._internal(path, f"{path} is a socket of this machine")

    def _check_port(self, port: int) -> None:
        if port not in self.ports:
            message = f"port {port} is none that accounts of this site may use"
            raise self._refusal("port", message, _settings_line(PORTS, port))

    def _admitted(
        self, resolve: Resolve, host: str, port: int, timeout: float
    ) -> list[AddressInfo]:
        found = resolve(host, port, timeout)
        admitted = [info for info in found if self._admits(info[4], host)]
        if found and not admitted:
            raise self._internal(host)
        return admitted

    def _admits(self, sockaddr: tuple[Any, ...], host: str) -> bool:
        """Whether a socket's address may be reached; the fourth part of IPv6's is its zone."""
        address, zone = str(sockaddr[0]), len(sockaddr) > 3 and sockaddr[3]
        if self.hosts.covers(address) or (is_public(address) and not zone):
            return True
        logger.debug(
            "Account %s: %s leads to %s, which is not allowed", self.account, host, address
        )
        return False

    def _check_peer(self, sock: socket.socket, host: str) -> None:
        """Looks at whom the connection really leads to."""
        try:
            peer = sock.getpeername()
        except OSError as error:
            sock.close()
            raise ConnectError(
                f"the connection was lost at once ({error.strerror})", stage="CONNECT"
            ) from None
        if not self._admits(peer, host):
            sock.close()
            raise self._internal(host)

    def _internal(self, host: str, what: str = "") -> NotAllowed:
        literal = _literal(host)
        told = "is" if literal else "leads to an address that is"
        what = what or f"{host} {told} not public"
        message = f"{what}, and accounts of this site reach public servers only"
        entry = str(forms(literal)[-1]) if literal else _canonical(host)
        return self._refusal("internal-host", message, _settings_line(HOSTS, entry))

    def _refusal(self, reason: str, message: str, line: str) -> NotAllowed:
        cure = (
            "If it is meant to: somebody with the permission use_internal_host ticks "
            f'"internal host" on the account {self.account}, or settings.py says: {line}'
        )
        return NotAllowed(message, reason=reason, cure=cure, settings=line)


def guard_of(account: Account | None) -> Guard | None:
    """The limits of an account; None for the settings' server, and where the account is trusted.

    Raises ImproperlyConfigured.
    """
    if account is None or account.internal_host:
        return None
    return Guard(account.slug, allowed_hosts(), allowed_ports())


def allowed_hosts() -> AllowedHosts:
    """SMTPAUTH["ALLOWED_INTERNAL_HOSTS"]. Raises ImproperlyConfigured."""
    return _read_hosts(_entries(HOSTS, str, "names and networks"))


def allowed_ports() -> frozenset[int]:
    """SMTPAUTH["ALLOWED_PORTS"]. Raises ImproperlyConfigured."""
    ports: tuple[int, ...] = _entries(PORTS, int, "port numbers")
    for port in ports:
        if isinstance(port, bool) or not 1 <= port <= 65535:
            raise _unusable(PORTS, f"{port!r} is no port: ports go from 1 to 65535.")
    return frozenset(ports)


def _entries(key: str, kind: type, what: str) -> tuple[Any, ...]:
    value = getattr(smtpauth_settings, key)
    if not isinstance(value, (list, tuple)):
        raise _unusable(key, f"must be a list of {what}, not {value!r}.")
    for entry in value:
        if not isinstance(entry, kind):
            raise _unusable(key, f"must be a list of {what}; {entry!r} is none.")
    return tuple(value)


@lru_cache(maxsize=16)
def _read_hosts(entries: tuple[str, ...]) -> AllowedHosts:
    names, networks = set(), []
    for entry in entries:
        try:
            read = _read_host(entry)
        except ValueError as error:
            raise _unusable(HOSTS, str(error)) from None
        if isinstance(read, str):
            names.add(read)
        else:
            networks.append(read)
    return AllowedHosts(frozenset(names), tuple(networks))


def _read_host(entry: str) -> str | Network:
    """A name, a path, or a network. Raises ValueError with the cure."""
    if "*" in entry:
        raise ValueError(f"{entry!r} {_NO_WILDCARD}")
    if "%" in entry:
        raise ValueError(f"{entry!r}: leave out the zone behind the address.")
    if is_address(entry) or ("/" in entry and not is_path(entry)):
        network = ipaddress.ip_network(entry)
        if not network.prefixlen:
            raise ValueError(f"{entry!r} {_NO_WILDCARD}")
        return network
    try:
        validate_host(entry)
    except ValidationError as error:
        raise ValueError(f"{entry!r}: {error.messages[0]}") from None
    return _canonical(entry)


def _unusable(key: str, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f'SMTPAUTH["{key}"]: {why}')


def _settings_line(key: str, entry: str | int) -> str:
    """What adds an entry, written below what the settings say now. It repeats none of that: the
    administrator who reads it need not know the site's networks."""
    said = smtpauth_settings.user_settings()
    if isinstance(said.get(key), tuple):
        return f'SMTPAUTH["{key}"] += ({_quoted(entry)},)'
    if key in said:
        return f'SMTPAUTH["{key}"] += [{_quoted(entry)}]'
    entries = [*getattr(smtpauth_settings, key), entry]
    value = f"[{', '.join(map(_quoted, entries))}]"
    return f'SMTPAUTH["{key}"] = {value}' if said else f'SMTPAUTH = {{"{key}": {value}}}'


def _quoted(entry: str | int) -> str:
    return json.dumps(entry, ensure_ascii=False)


def _literal(host: str) -> str:
    """The IP address that the host is, in full where it is one for the system's resolver only
    ("127.1", "2130706433"); empty for a name."""
    if is_address(host):
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return ""


def _canonical(host: str) -> str:
    return host if is_path(host) else normalise_host(host).removesuffix(".")


def says_internal(host: str) -> bool:
    """Whether no public DNS can have this name."""
    name = _canonical(host)
    return "." not in name or f".{name}".endswith(_INTERNAL_ZONES)
