"""What works today and deserves a look: each warning is a rule with a stable id.

A rule looks at what a check has seen when its stage has ended, and gives a finding or None. The
two about ports explain a failure, and are no warnings.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .. import presets
from ..certificates import CertificateFacts
from ..presets import Preset
from ..smtp.endpoint import Endpoint
from ..smtp.tls import Security
from .finding import Finding
from .seen import Seen
from .siblings import Knock

#: Days of a certificate's life that are few.
FEW_DAYS: Final = 21
#: Seconds that two clocks may differ.
SKEW: Final = 300
#: The part of the server's limit from which a message is near it.
NEAR: Final = 0.9

#: A date as servers put it into their greeting (RFC 5322 3.3).
_DATE: Final = re.compile(
    r"\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
)
_REVEALING: Final = frozenset({"PLAIN", "LOGIN"})


def warnings_of(stage: str, seen: Seen) -> tuple[Finding, ...]:
    """What to mind after a stage that did not fail."""
    found = (rule(seen) for name, rule in RULES if name == stage)
    return tuple(finding for finding in found if finding is not None)


def blocked_ports(knocks: Iterable[Knock], endpoint: Endpoint) -> Finding | None:
    """What it means that a port is silent, by what its siblings said."""
    known = [knock for knock in knocks if knock.allowed]
    answering = [knock for knock in known if knock.connected]
    if answering:
        return _other_port(answering, endpoint)
    if known and all(knock.silent for knock in known):
        return _finding(
            "connect.all-ports-silent",
            "CONNECT",
            _("No port of mail answers: the hosting company seems to block mail"),
            format_lazy(
                _(
                    "Neither port {own} of {host} nor any of {others} answered. A server that is "
                    "down refuses; silence on all ports comes from a firewall, mostly that of "
                    "the company that hosts this site."
                ),
                own=endpoint.address[1],
                host=endpoint.host,
                others=", ".join(str(knock.port) for knock in known),
            ),
            (
                _("Look up outgoing mail in the help of your hosting company."),
                _("Ask it to open port 587 or 465 for this machine."),
                _("If it does not, choose a delivery service that answers on another port."),
            ),
        )
    return None


def _other_port(answering: list[Knock], endpoint: Endpoint) -> Finding:
    best = next((knock for knock in answering if knock.security), answering[0])
    ports = ", ".join(f"{knock.port} ({_tls(knock.security)})" for knock in answering)
    return _finding(
        "connect.other-port-answers",
        "CONNECT",
        format_lazy(_("Port {port} of this server answers"), port=best.port),
        format_lazy(
            _("Port {own} of {host} is silent, but these answer: {ports}."),
            own=endpoint.address[1],
            host=endpoint.host,
            ports=ports,
        ),
        (
            format_lazy(
                _("Set the port to {port} and the security to {security}."),
                port=best.port,
                security=_tls(best.security),
            ),
        ),
        field="port",
        option="port",
    )


def _tls(security: Security | None) -> str:
    return security.value if security else "?"


def _certificate_ends(seen: Seen) -> Finding | None:
    ending: list[CertificateFacts] = [
        one for one in seen.certificates if 0 <= one.days_left(seen.now) < FEW_DAYS
    ]
    if not ending:
        return None
    first = min(ending, key=lambda one: one.not_after)
    return _finding(
        "tls.certificate-ends-soon",
        "TLS",
        format_lazy(
            _("The server's certificate ends in {days} days"), days=first.days_left(seen.now)
        ),
        format_lazy(
            _("The certificate of {subject} is valid until {end:%Y-%m-%d}. Then mail stops."),
            subject=first.subject or seen.endpoint.host,
            end=first.not_after,
        ),
        (_("Tell whoever runs the server to renew it, if that does not happen by itself."),),
    )


def _verification_off(seen: Seen) -> Finding | None:
    if seen.tls is None or seen.endpoint.tls.verify or seen.endpoint.tls.pins:
        return None
    return _finding(
        "tls.verification-off",
        "TLS",
        _("The server's certificate is not verified"),
        _("Anybody on the way can pose as the server, and get the password and the mail."),
        (
            _("Switch verification on."),
            _("If the server has an authority of its own, give its certificate; or pin its key."),
        ),
        field="verify",
        option="verify",
    )


def _no_tls(seen: Seen) -> Finding | None:
    if seen.tls is not None or seen.local:
        return None
    offered = seen.extensions is not None and seen.extensions.starttls
    step = (
        _("Choose STARTTLS: the server offers it.")
        if offered
        else _("Choose implicit TLS on port 465 or STARTTLS on port 587, if the server has them.")
    )
    return _finding(
        "tls.none",
        "TLS",
        _("There is no TLS"),
        _("Everything that is sent can be read and changed on the way, a password included."),
        (step,),
        field="security",
        option="security",
    )


def _auth_in_clear(seen: Seen) -> Finding | None:
    """A server that takes passwords before TLS; this client does not send any there."""
    if seen.before_tls is None or not _REVEALING.intersection(seen.before_tls.auth):
        return None
    return _finding(
        "ehlo.auth-in-clear",
        "EHLO",
        _("The server takes passwords without TLS"),
        format_lazy(
            _(
                "It offers {mechanisms} before STARTTLS. This site waits for TLS, but a client "
                "that is set up badly shows its password to the network."
            ),
            mechanisms=", ".join(sorted(_REVEALING.intersection(seen.before_tls.auth))),
        ),
        (_("Tell whoever runs the server to offer AUTH inside TLS only."),),
    )


def _no_pipelining(seen: Seen) -> Finding | None:
    if seen.extensions is None or seen.extensions.pipelining:
        return None
    return _finding(
        "ehlo.no-pipelining",
        "EHLO",
        _("The server does not offer PIPELINING"),
        _("Every command waits for its answer, so many recipients take much longer."),
        (_("Nothing needs to be changed for a few messages."),),
    )


def _passwords_end(seen: Seen) -> Finding | None:
    credentials = seen.endpoint.credentials
    preset = preset_of(seen)
    if preset is None or not preset.passwords_end or not credentials:
        return None
    if credentials.kind != "password":
        return None
    return _finding(
        "auth.passwords-end",
        "AUTH",
        format_lazy(_("{provider} is about to stop taking passwords"), provider=preset.name),
        format_lazy("{} " * len(preset.authentication), *preset.authentication),
        (_("Plan the change to an access token (OAuth 2.0) before that day."),),
        field="password",
        option="password",
        link=preset.source,
    )


def _near_size(seen: Seen) -> Finding | None:
    limit = seen.extensions.size if seen.extensions else None
    if not limit or not seen.size or seen.size < NEAR * limit:
        return None
    return _finding(
        "message.near-size",
        "DELIVERY",
        _("The message is near the largest that the server takes"),
        format_lazy(
            _("It has {size} octets, and the server takes {limit}."), size=seen.size, limit=limit
        ),
        (_("Send links in place of large attachments."),),
    )


def _clock(seen: Seen) -> Finding | None:
    skew = clock_skew(seen)
    if skew is None or abs(skew) < SKEW:
        return None
    return _finding(
        "greeting.clocks-differ",
        "GREETING",
        format_lazy(
            _("The clocks of this machine and of the server differ by {minutes} minutes"),
            minutes=round(abs(skew) / 60),
        ),
        _("With a wrong clock certificates seem expired, and tokens are refused."),
        (_("Compare the clock of this machine with a time server."),),
    )


def clock_skew(seen: Seen) -> int | None:
    """Seconds by which the server's clock is ahead, if its greeting tells the time."""
    found = _DATE.search(seen.greeting.text) if seen.greeting else None
    if found is None:
        return None
    try:
        said: datetime.datetime = parsedate_to_datetime(found[0])
    except ValueError:
        return None
    return round((said - seen.now).total_seconds())


def preset_of(seen: Seen) -> Preset | None:
    """The provider whose server this is, if it is known: by its host, whatever the form says."""
    host = seen.endpoint.host.lower()
    chosen = presets.get(seen.route.account.preset) if seen.route.account else None
    return next((preset for preset in _candidates(chosen) if host in _hosts(preset)), None)


def _candidates(chosen: Preset | None) -> Iterator[Preset]:
    if chosen is not None:
        yield chosen
    yield from presets.PRESETS.values()


def _hosts(preset: Preset) -> set[str]:
    return {server.host for server in (preset.server, *preset.alternatives)}


def _finding(rule: str, stage: str, title: Any, meaning: Any, steps: Any, **more: Any) -> Finding:
    return Finding(
        rule=rule,
        severity="error" if stage == "CONNECT" else "warning",
        stage=stage,
        title=title,
        meaning=meaning,
        steps=steps,
        **more,
    )


#: Stage and rule; a rule speaks when its stage has ended.
RULES: Final[tuple[tuple[str, Callable[[Seen], Finding | None]], ...]] = (
    ("GREETING", _clock),
    ("TLS", _certificate_ends),
    ("TLS", _verification_off),
    ("TLS", _no_tls),
    ("EHLO", _auth_in_clear),
    ("EHLO", _no_pipelining),
    ("AUTH", _passwords_end),
    ("DELIVERY", _near_size),
)
