"""Which other ports of a server answer, where the one that was asked is silent."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

from ..sending.guard import NotAllowed
from ..sending.routing import Route
from ..sending.ways import dial_of
from ..smtp.connection import reach
from ..smtp.dialling import Resolve, resolve
from ..smtp.errors import SMTPError, TimedOut
from ..smtp.tls import Security

#: The ports of mail, in the order in which they are recommended.
PORTS: Final = (465, 587, 2525, 25)
#: Those at which TLS comes first (RFC 8314 3.3).
IMPLICIT: Final = frozenset({465})
#: Seconds for all of them together.
PATIENCE: Final = 5.0


@dataclass(frozen=True)
class Knock:
    """What came of one port.

    connected: somebody listens there. allowed: this site lets the account knock there.
    security: what it speaks; None: that could not be found out. fault: why, or why nobody answers.
    silent: nobody answered in time, neither yes nor no.
    """

    port: int
    connected: bool = False
    allowed: bool = True
    security: Security | None = None
    silent: bool = False
    fault: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "port": self.port,
            "connected": self.connected,
            "allowed": self.allowed,
            "security": self.security.value if self.security else None,
            "fault": self.fault,
        }


def knock(
    route: Route,
    ports: Iterable[int] = PORTS,
    seconds: float = PATIENCE,
    *,
    resolve: Resolve = resolve,
) -> tuple[Knock, ...]:
    """Knocks at other ports of the route's host, at all of them at once, without credentials.

    They are reached as the route's own port is: an account's limits hold.
    """
    own = route.endpoint.address[1]
    others = [port for port in ports if port != own]
    if not others:
        return ()
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(len(others), "smtp-knock") as pool:
        return tuple(pool.map(lambda port: _knock(route, port, end, resolve), others))


def _knock(route: Route, port: int, end: float, resolve: Resolve) -> Knock:
    """With implicit TLS where that is the rule; elsewhere the server speaks first."""
    implicit = port in IMPLICIT
    seconds = max(end - time.monotonic(), 0.001)
    endpoint = replace(
        route.endpoint,
        port=port,
        security=Security.IMPLICIT_TLS if implicit else Security.NONE,
        tls=replace(route.endpoint.tls, pins=()),
        credentials=None,
        deadline=seconds,
        timeouts=replace(route.endpoint.timeouts, dial=seconds),
    )
    try:
        connection = reach(endpoint, dial=dial_of(route, resolve=resolve))
    except NotAllowed as error:
        return Knock(port, allowed=False, fault=error.message)
    except SMTPError as error:
        return Knock(port, silent=isinstance(error, TimedOut), fault=error.message)
    connection.until = end
    with connection:
        try:
            for _ in connection.opening():
                pass
        except SMTPError as error:
            # A certificate that does not verify comes from somebody who speaks TLS.
            speaks_tls = implicit and error.reason == "certificate"
            security = Security.IMPLICIT_TLS if speaks_tls else None
            return Knock(port, connected=True, security=security, fault=error.message)
        found = Security.STARTTLS if connection.extensions.starttls else endpoint.security
        return Knock(port, connected=True, security=found)
