"""What a check has learnt so far, and the same as facts that are JSON-ready."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..certificates import CertificateFacts, names_of
from ..sending.routing import Route
from ..smtp.dialling import Tried
from ..smtp.endpoint import Endpoint, is_path
from ..smtp.extensions import Extensions
from ..smtp.replies import Reply
from ..smtp.tls import PeerFacts, Security


@dataclass
class Seen:
    """What the stages have shown; what was not reached is None or empty.

    local: the server is this machine. before_tls: what was offered before STARTTLS.
    size: octets of the message, as it was announced. now: aware.
    """

    route: Route
    now: datetime.datetime
    local: bool = False
    greeting: Reply | None = None
    tls: PeerFacts | None = None
    certificates: tuple[CertificateFacts, ...] = ()
    before_tls: Extensions | None = None
    extensions: Extensions | None = None
    mechanism: str = ""
    size: int | None = None
    tried: list[Tried] = field(default_factory=list)

    @property
    def endpoint(self) -> Endpoint:
        return self.route.endpoint

    @property
    def path(self) -> bool:
        """Whether the server is a Unix socket."""
        return is_path(self.endpoint.host)

    @property
    def wants_tls(self) -> bool:
        """Whether STARTTLS is next, once EHLO was answered."""
        if self.tls is not None or self.extensions is None:
            return False
        if self.endpoint.security is Security.OPPORTUNISTIC:
            return self.extensions.starttls
        return self.endpoint.security is Security.STARTTLS


def configuration_facts(route: Route) -> dict[str, Any]:
    """What is in force, secrets aside."""
    endpoint, options = route.endpoint, route.options
    credentials = endpoint.credentials
    return {
        "host": endpoint.host,
        "port": endpoint.address[1] or None,
        "security": endpoint.security.value,
        "protocol": endpoint.protocol,
        "log_in": credentials.kind if credentials else "none",
        "username": credentials.username if credentials else "",
        "mechanisms": list(endpoint.auth_mechanisms or ()),
        "allow_auth_without_tls": endpoint.allow_auth_without_tls,
        "verify": endpoint.tls.verify,
        "tls_minimum": endpoint.tls.minimum,
        "pins": list(endpoint.tls.pins),
        "client_certificate": endpoint.tls.has_client_certificate,
        "proxy": str(options.proxy) if options.proxy else "",
        "source_address": endpoint.source_address or "",
        "ehlo_name": endpoint.ehlo_name,
        "timeout": endpoint.timeouts.reply,
    }


def connect_facts(tried: Sequence[Tried], peer: str = "", via: str = "") -> dict[str, Any]:
    """Which addresses were tried, and which one won."""
    return {
        "peer": peer,
        "via": via,
        "tried": [
            {"address": one.address, "seconds": round(one.seconds, 3), "fault": one.fault}
            for one in tried
        ],
    }


def tls_facts(seen: Seen, verification: str) -> dict[str, Any]:
    """What the handshake showed, or as much as a failed one did."""
    chain = seen.certificates
    return {
        "security": seen.endpoint.security.value,
        "version": seen.tls.version if seen.tls else "",
        "cipher": seen.tls.cipher if seen.tls else "",
        "verification": verification,
        "pin": chain[0].pin if chain else "",
        "names": names_of(chain[0]) if chain else "",
        "certificate": chain[0].to_dict(seen.now) if chain else None,
        "chain": [
            {"subject": one.subject, "issuer": one.issuer, "not_after": one.not_after.isoformat()}
            for one in chain
        ],
    }


def verification_of(seen: Seen) -> str:
    """How far the certificate can be trusted, in words, after a handshake that succeeded."""
    options, host = seen.endpoint.tls, seen.endpoint.host
    pinned = "its key is the pinned one"
    if options.verify:
        also = f", and {pinned}" if options.pins else ""
        return f"verified: it is for {host}, and its authority is trusted here{also}"
    return f"NOT verified{f', but {pinned}' if options.pins else ': verification is switched off'}"


def ehlo_facts(seen: Seen) -> dict[str, Any]:
    """What the server offers, before and after TLS."""
    offered = seen.extensions or Extensions()
    limits = offered.limits
    return {
        "before_tls": seen.before_tls.to_dict() if seen.before_tls else None,
        "keywords": offered.to_dict(),
        "auth": list(offered.auth),
        "size": offered.size,
        "pipelining": offered.pipelining,
        "limits": {
            "mails": limits.mails,
            "recipients": limits.recipients,
            "domains": limits.domains,
        },
    }
