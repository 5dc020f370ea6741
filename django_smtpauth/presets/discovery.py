"""Which server a domain names for sending mail: a question to the DNS, and to nobody else.

Asked are, in this order and until one answers: the SRV records `_submissions._tcp` (RFC 8314 5.1,
TLS from the first octet) and `_submission._tcp` (RFC 6186 3.1, STARTTLS), then the MX records,
whose names tell where a domain is hosted. No connection is made to a mail server, and what stands
before the @ leaves the process in no question.

The DNS is not authentic unless every zone is signed. So an answer is a proposal: whoever shows it
asks before a password goes to a server outside of the domain (RFC 6186 6). Ask
`presets.for_address()` first: a provider that is known needs no question.

Needs dnspython: pip install 'django-smtpauth[discovery]'.
"""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django_smtpauth.smtp.tls import Security

from . import PRESETS
from .domains import domain_of, is_within
from .preset import Preset, Server

if TYPE_CHECKING:
    from dns.resolver import Resolver

#: Servers that are taken from one answer; what stands behind them is ignored.
MAX_SERVERS: Final = 8
#: Texts of one name that are read: domains prove with them whose customers they are.
MAX_TEXTS: Final = 100

_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)+(?!\d+$){_LABEL}")

_MX_SUFFIXES: Final = {
    suffix: preset for preset in PRESETS.values() for suffix in preset.mx_suffixes
}


class DiscoveryError(Exception):
    """The DNS could not be asked."""


class DiscoveryUnavailable(DiscoveryError):
    """dnspython is not installed."""


class DiscoveryFailed(DiscoveryError):
    """No answer in time, or none that says whether the record exists."""


class Record(enum.Enum):
    """What in the DNS named a server."""

    SUBMISSIONS = "_submissions._tcp SRV"
    SUBMISSION = "_submission._tcp SRV"
    MX = "MX"

    @property
    def security(self) -> Security:
        """What a server under this SRV record speaks."""
        return Security.IMPLICIT_TLS if self is Record.SUBMISSIONS else Security.STARTTLS


@dataclass(frozen=True)
class Discovered:
    """A server that a domain names.

    record: what named it. preset: the provider whose server it is, if it is known.
    outside: the server's name does not lie within the domain; ask before a password goes there.
    """

    server: Server
    record: Record
    outside: bool
    preset: Preset | None = None


def discover(
    address: str, *, seconds: float = 5.0, resolver: Resolver | None = None
) -> tuple[Discovered, ...]:
    """The servers that the domain of an e-mail address names, the one to try first in front.

    Servers of equal priority come in an order drawn by their weights (RFC 2782). Empty: the domain
    names none, or says with the target "." that there is none.

    seconds: for all questions together. resolver: whom to ask; None: as the system is set up.

    Raises ValueError if it is no address, DiscoveryUnavailable, and DiscoveryFailed.
    """
    domain = domain_of(address)
    if not domain:
        raise ValueError("This is no e-mail address. Type name@example.com.")
    questions = _Questions(resolver, seconds)
    refused = False
    for record in (Record.SUBMISSIONS, Record.SUBMISSION):
        answer = questions.ask(f"{record.value.split()[0]}.{domain}.", "SRV")
        found = tuple(_servers(answer, record, domain))
        if found:
            return found
        refused = refused or any(_text(entry.target) == "" for entry in answer)
    if refused:
        return ()
    return tuple(_hosted(questions.ask(f"{domain}.", "MX"), domain))


def texts(name: str, *, seconds: float = 5.0, resolver: Resolver | None = None) -> tuple[str, ...]:
    """The TXT records of a name, each in one piece; empty: there are none.

    What is not ASCII in them is replaced. Raises DiscoveryUnavailable and DiscoveryFailed.
    """
    answer = _Questions(resolver, seconds).ask(f"{name}.", "TXT", MAX_TEXTS)
    return tuple(b"".join(one.strings).decode("ascii", "replace") for one in answer)


def _servers(answer: Iterable[Any], record: Record, domain: str) -> Iterator[Discovered]:
    for entry in answer:
        host = _text(entry.target)
        if entry.port and _HOST.fullmatch(host):
            server = Server(host, entry.port, record.security)
            yield Discovered(server, record, not is_within(host, domain), _preset_of(server))


def _preset_of(server: Server) -> Preset | None:
    for preset in PRESETS.values():
        if server in (preset.server, *preset.alternatives):
            return preset
    return None


def _hosted(answer: Iterable[Any], domain: str) -> Iterator[Discovered]:
    """The provider below whose names the first mail exchanger lies that any table knows."""
    for entry in answer:
        preset = _hosting(_text(entry.exchange))
        if preset is not None:
            outside = not is_within(preset.host, domain)
            yield Discovered(preset.server, Record.MX, outside, preset)
            return


def _hosting(exchanger: str) -> Preset | None:
    """By the longest suffix: a provider may have names below those of another one."""
    known = [suffix for suffix in _MX_SUFFIXES if is_within(exchanger, suffix)]
    return _MX_SUFFIXES[max(known, key=len)] if known else None


def _text(name: Any) -> str:
    """A name from the DNS in lower case without the final dot; empty for the root."""
    return str(name.to_text(omit_final_dot=True)).lower() if len(name) > 1 else ""


class _Questions:
    """Questions to the DNS that share one stretch of time."""

    def __init__(self, resolver: Resolver | None, seconds: float) -> None:
        try:
            import dns.exception
            import dns.resolver
        except ImportError:
            raise DiscoveryUnavailable(
                "Looking up a domain needs the package dnspython: "
                "pip install 'django-smtpauth[discovery]'"
            ) from None
        self._end = time.monotonic() + seconds
        self._errors = dns.exception.DNSException
        self._absent = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)
        try:
            self._resolver = resolver or dns.resolver.Resolver()
        except dns.exception.DNSException as error:
            raise DiscoveryFailed(f"The system names no DNS server: {error}") from None

    def ask(self, name: str, kind: str, most: int = MAX_SERVERS) -> list[Any]:
        """The records in the order in which they are to be used; none if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise DiscoveryFailed(f"The DNS did not answer in time; {name[:-1]} was not asked.")
        try:
            answer = self._resolver.resolve(name, kind, lifetime=left, search=False)
        except self._absent:
            return []
        except self._errors as error:
            raise DiscoveryFailed(f"The DNS did not answer about {name[:-1]}: {error}") from None
        return list(answer.rrset.processing_order())[:most] if answer.rrset else []
