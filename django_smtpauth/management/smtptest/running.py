"""Tries one server after the options of `manage.py smtptest`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.report import Report, StageReport
from django_smtpauth.sending.redirection import redirect_target
from django_smtpauth.sending.routing import Route

from .arguments import sends_message
from .letters import Letters, author_of
from .repeating import Count, send_more
from .targets import Way, unroutable

#: Seconds for all of a check, a slow verdict included.
PATIENCE: Final = 180.0


@dataclass(frozen=True)
class Attempt:
    """A server that was tried, and what it showed.

    message: that was to be sent. redirect: where it went instead, empty if to its recipients.
    count: of --count.
    """

    way: Way
    report: Report
    message: EmailMessage | None = None
    redirect: str = ""
    count: Count | None = None


class Watcher(Protocol):
    """Who is told while a server is tried."""

    def begin(self, way: Way, message: EmailMessage | None, redirect: str) -> None: ...
    def stage(self, way: Way, stage: StageReport) -> None: ...
    def messages(self, number: int, count: int) -> None: ...


def attempt(way: Way, letters: Letters, options: Mapping[str, Any], watcher: Watcher) -> Attempt:
    """Tries a server. Raises Interrupted as `probe()` does."""
    message, redirect = None, ""
    if way.route is not None and sends_message(options):
        try:
            message, redirect = letters.message(way.route), redirect_target()
        except ImproperlyConfigured as error:
            way = replace(way, route=None, error=error)
    watcher.begin(way, message, redirect)
    route = way.route
    if route is None:
        return Attempt(way, unroutable(way))
    plan = _plan(way, route, message, letters, options)
    report = probe(route, plan, lambda stage: watcher.stage(way, stage))
    told, count = Attempt(way, report, message, redirect), options["count"]
    if not report.ok or count == 1:
        return told
    more = send_more(
        route, count, _maker(letters, route), lambda number: watcher.messages(number, count)
    )
    return replace(told, count=more)


def _maker(letters: Letters, route: Route) -> Callable[[], EmailMessage]:
    return lambda: letters.message(route)


def _plan(
    way: Way,
    route: Route,
    message: EmailMessage | None,
    letters: Letters,
    options: Mapping[str, Any],
) -> Plan:
    """How far it goes: the table in --help, as a plan."""
    stop_after = options["stop_after"] or ""
    rehearses = options["check"] or bool(stop_after)
    sender = options["sender"]
    if sender is None and message is None and options["recipients"]:
        sender = author_of(EmailMessage(from_email=letters.sender(route)), route)
    return Plan(
        stop_after=stop_after or ("" if message or rehearses else "AUTH"),
        message=message,
        sender=sender,
        recipients=options["recipients"] if message is None else (),
        reuse=stop_after == "REUSE",
        data_probe=stop_after == "DATA",
        family=options["family"],
        total_seconds=PATIENCE,
        mailer=way.name if way.kind == "mailer" else "",
    )
