"""One try of a route, step by step: it is opened up to AUTH; then a message is sent, if any."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from django.core.mail import EmailMessage

from ..certificates import CertificateFacts, names_of, read_chain
from ..secrets.errors import SecretUnreadable
from ..sending.delivery import Batch, Lines
from ..sending.results import Result
from ..sending.routing import Route
from ..smtp.endpoint import is_path
from ..smtp.errors import SMTPError
from ..smtp.tls import Security, TLSOptions
from ..smtp.transcript import Event


class Step(NamedTuple):
    """One step that was taken. seconds: since the check began, at the step's end."""

    name: str
    text: str
    seconds: float


@dataclass
class Check:
    """What a check showed.

    route: the server that was tried. steps: those that succeeded, in order.
    result: of the message, None when none was to be sent or the log-in failed.
    error: why the check failed, None when it succeeded. transcript: the redacted dialogue.
    certificates: what the server showed, its own first, whether they verified or not.
    seconds: the whole check.
    """

    route: Route
    steps: list[Step] = field(default_factory=list)
    result: Result | None = None
    error: Exception | None = None
    transcript: tuple[Event, ...] = ()
    certificates: tuple[CertificateFacts, ...] = ()
    seconds: float = 0.0

    @property
    def stage(self) -> str:
        """The stage that failed, as the engine calls it; an empty text when none did."""
        return stage_of(self.error) if self.error is not None else ""


def check(route: Route, message: EmailMessage | None = None) -> Check:
    """Tries a route. What goes wrong with server, log-in or message is in `Check.error`.

    The server itself is asked, whatever it answered before.
    """
    began = time.monotonic()
    route = replace(route, endpoint=replace(route.endpoint, ask_again=True))
    lines, done = Lines(), Check(route)
    try:
        connection = lines.take(route, began)
        done.transcript = connection.transcript()
        done.certificates = read_chain(connection.tls.chain) if connection.tls else ()
        lines.put(route, connection)
        if message is not None:
            done.result = _send(lines, route, message)
            done.error = done.result.error
            done.transcript = done.result.transcript or done.transcript
    except (SMTPError, SecretUnreadable, OSError) as error:
        done.error = error
        done.transcript = getattr(error, "transcript", ())
        done.certificates = done.certificates or read_chain(getattr(error, "chain", ()))
    finally:
        lines.close()
    done.seconds = time.monotonic() - began
    done.steps = list(steps(route, done.transcript, began, done.certificates))
    return done


def stage_of(error: Exception) -> str:
    """Where an error happened. What has no stage of its own concerns settings or message."""
    if isinstance(error, SMTPError):
        return error.stage or "SMTP"
    if isinstance(error, SecretUnreadable):
        return "AUTH"
    if isinstance(error, OSError):
        return "CONNECT"
    return "MESSAGE"


def steps(
    route: Route,
    events: Iterable[Event],
    began: float,
    certificates: Sequence[CertificateFacts],
) -> Iterable[Step]:
    """What a dialogue shows of connection, TLS and log-in."""
    events = list(events)
    for event in events:
        if event.direction == "*" and event.stage == "CONNECT":
            yield Step("Connection", event.text, event.time - began)
        elif event.direction == "*" and event.stage == "TLS":
            yield Step("TLS", event.text + _verified(route.endpoint.tls), event.time - began)
            for own in certificates[:1]:
                yield Step("Certificate", _in_words(own), event.time - began)
    opened = [event for event in events if event.direction == "S" and event.stage == "EHLO"]
    if opened and not _has_tls(route, events):
        yield Step("TLS", _without_tls(route), opened[-1].time - began)
    if opened and route.endpoint.credentials is None:
        yield Step("Log-in", "none: no user name and password", opened[-1].time - began)
    yield from _log_in(events, began)


def _in_words(certificate: CertificateFacts) -> str:
    left = certificate.days_left()
    end = f"until {certificate.not_after:%Y-%m-%d}, {left} {'day' if left == 1 else 'days'} left"
    if left < 0:
        end = f"expired on {certificate.not_after:%Y-%m-%d}"
    return f"for {names_of(certificate) or 'no host'}; {end}"


def _verified(tls: TLSOptions) -> str:
    if tls.verify:
        return ""
    pinned = ", but its key is the pinned one" if tls.pins else ""
    return f"; the certificate is NOT verified{pinned}"


def _has_tls(route: Route, events: list[Event]) -> bool:
    """Whether there is TLS, or would have been."""
    if route.endpoint.security is Security.OPPORTUNISTIC:
        return any(event.stage == "TLS" for event in events)
    return route.endpoint.security is not Security.NONE


def _without_tls(route: Route) -> str:
    if is_path(route.endpoint.host):
        return "none: what is sent does not leave this machine"
    return "none: what is sent can be read on the way"


def _log_in(events: list[Event], began: float) -> Iterable[Step]:
    auth = [event for event in events if event.stage == "AUTH"]
    said = next((event.text for event in auth if event.direction == "C"), "")
    if said and auth[-1].text.startswith("2"):
        mechanism = said.split(" ")[1]
        yield Step("Log-in", f"{mechanism}: {auth[-1].text}", auth[-1].time - began)


def _send(lines: Lines, route: Route, message: EmailMessage) -> Result:
    Batch(lines, lambda _: route).send([message])
    result: Result = message.smtp_result  # type: ignore[attr-defined]
    return result
