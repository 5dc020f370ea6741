"""How far a check goes, for how long, and in whose name."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage

from ..sending.addressing import envelope_sender
from ..sending.routing import Route
from . import siblings
from .report import STAGES

FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


@dataclass(frozen=True)
class Plan:
    """How far a check goes, and how long it may take.

    stop_after: the last stage, one of `STAGES`; empty: all of them.
    sender: of the envelope that is tried and taken back; None: the account's own address; empty:
        the null reverse-path. recipients: none: the sender is the recipient.
    message: is sent, unless the check ends before that; then its own envelope is what is tried.
    reuse: try an envelope twice in one group, and how the server takes chunks.
    data_probe: ask for a 354, over a connection of its own that is closed without a message.
        Servers log that as a connection that was lost.
    stage_seconds, total_seconds: what a stage, and all of them, may take at most. A message may
        take what is left of the total. A callable of the site's own (a vault) is waited for.
    family: 4 or 6: addresses of that kind only.
    sender_dns: look up SPF and DMARC of the sender's domain.
    siblings: the ports that are knocked at when the server's own is silent.
    mailer: the alias of MAILERS that the route came from, for the report.

    Raises ValueError for a stage or family that there is not, and a message for nobody.
    """

    stop_after: str = ""
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    message: EmailMessage | None = None
    reuse: bool = False
    data_probe: bool = False
    stage_seconds: float = 15.0
    total_seconds: float = 60.0
    family: int | None = None
    sender_dns: bool = False
    siblings: tuple[int, ...] = siblings.PORTS
    mailer: str = ""

    def __post_init__(self) -> None:
        if self.stop_after and self.stop_after not in STAGES:
            raise ValueError(f"stop_after must be one of {', '.join(STAGES)}.")
        if self.family not in (None, *FAMILIES):
            raise ValueError(f"family must be 4 or 6, not {self.family!r}.")
        if self.message is not None and not self.message.recipients():
            raise ValueError("The message has no recipients.")

    @property
    def delivers(self) -> bool:
        """Whether a message is sent."""
        last = STAGES.index(self.stop_after or STAGES[-1])
        return self.message is not None and last >= STAGES.index("DELIVERY")


#: All stages, and nothing is mailed.
USUAL: Final = Plan()


def sender_of(route: Route) -> str:
    """The address that a route's own mail comes from: the account's, the user name, or the site's.

    Raises ValueError if the site's is none.
    """
    account, credentials = route.account, route.endpoint.credentials
    named = credentials.username if credentials else ""
    own = account.address if account else (named if "@" in named else "")
    return envelope_sender(own or settings.DEFAULT_FROM_EMAIL)


def limited(route: Route, plan: Plan) -> Route:
    """The route within the plan's limits; its server is asked, whatever it refused before."""
    endpoint = route.endpoint
    given = (endpoint.deadline, plan.total_seconds)
    timeouts = endpoint.timeouts
    return replace(
        route,
        endpoint=replace(
            endpoint,
            ask_again=True,
            deadline=min(limit for limit in given if limit is not None),
            timeouts=replace(timeouts, dial=min(timeouts.dial, plan.stage_seconds)),
        ),
    )
