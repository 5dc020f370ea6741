"""Which servers `manage.py smtptest` tries: from its options to routes."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from django_smtpauth.backends import EmailBackend
from django_smtpauth.conf import (
    is_explicit,
    mail_setting,
    mailers_configured,
    smtpauth_settings,
)
from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.report import STAGES, Report, StageReport, Target, TargetKind
from django_smtpauth.diagnosis.rules.site import BACKEND
from django_smtpauth.management.secret_options import READ, typed
from django_smtpauth.provisioning import secret_sources
from django_smtpauth.secrets.secret import FreshSecret
from django_smtpauth.sending.accounts import current_accounts
from django_smtpauth.sending.mailer import MailerOptions, default_options, parse
from django_smtpauth.sending.option_values import InvalidOption, hidden
from django_smtpauth.sending.routing import (
    Hint,
    Route,
    Rule,
    find_route,
    overridden,
    says_no_server,
)
from django_smtpauth.smtp.endpoint import is_path

from .arguments import MAILER_OPTIONS


@dataclass(frozen=True)
class Way:
    """A server to try, or why there is none.

    kind, name: who named it, as in a report's target. notes: what to know before.
    """

    kind: TargetKind
    name: str
    route: Route | None
    error: ImproperlyConfigured | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        """What a table calls it."""
        return f"{self.kind} {self.name}".strip()


def ways(options: Mapping[str, Any], draft: EmailMessage) -> list[Way]:
    """The servers that the options mean. Raises CommandError."""
    over = _overrides(options)
    if options["host"]:
        return [_ad_hoc(over)]
    if options["every"]:
        return list(_every(draft, over))
    return [_way(options["account"], options["using"], draft, over)]


def unroutable(way: Way) -> Report:
    """The report on a server that there is not."""
    error = cast("ImproperlyConfigured", way.error)
    finding = explain(Failure.of(error))
    skipped = (StageReport(name, "skipped", facts={"why": "not reached"}) for name in STAGES[1:])
    return Report(
        Target(way.kind, way.name, "", ""),
        (StageReport(STAGES[0], "failed", findings=(finding,)), *skipped),
        None,
        (),
        0.0,
        datetime.datetime.now(datetime.timezone.utc),
        error,
    )


# Options over a route


def _overrides(options: Mapping[str, Any]) -> MailerOptions:
    """What the command line says of a server, read as a mailer's options are."""
    given = {
        "auth_mechanisms": options["mechanism"],
        "pipelining": options["pipelining"],
        "bdat": {True: "after_rcpt", False: "never"}.get(options["bdat"]),
        "ehlo_name": options["ehlo"],
        "source_address": options["source"],
        "protocol": "lmtp" if options["lmtp"] else None,
        "tls_minimum": options["tls_min"],
        "ca_file": options["ca"],
        "verify": False if options["no_verify"] else None,
        "ssl_certfile": options["cert"],
        "ssl_keyfile": options["key"],
    }
    if options["host"]:
        given |= _server(options)
    try:
        return parse(hidden(given), lambda name: MAILER_OPTIONS.get(name, name))
    except InvalidOption as error:
        raise CommandError(str(error)) from None


def _server(options: Mapping[str, Any]) -> dict[str, Any]:
    """An ad hoc server. The site's own user name and password do not go there."""
    host, port = options["host"], options["port"]
    usual = "implicit_tls" if port == 465 else "starttls"
    if options["lmtp"] or is_path(host):
        usual = "none"
    secret = _password(options)
    return {
        "host": host,
        "port": port,
        "security": options["security"] or usual,
        "username": options["username"] or "",
        "password": secret.reveal if secret is not None else "",
    }


def _password(options: Mapping[str, Any]) -> FreshSecret | None:
    username = options["username"]
    if not username or (options["mechanism"] and set(options["mechanism"]) == {"EXTERNAL"}):
        return None
    source, (secret, problem) = _found(options)
    if secret is None:
        raise CommandError(f"{source}: {problem}")
    return secret


def _found(options: Mapping[str, Any]) -> tuple[str, secret_sources.Found]:
    """The name of the place, and what was found there."""
    for kind, read in READ.items():
        if place := options[f"password_{kind}"]:
            return f"--password-{kind}", read("password", place)
    if path := options["password_netrc"]:
        place = str(Path(path).expanduser())
        found = secret_sources.from_netrc(place, options["host"], options["username"])
        return "--password-netrc", found
    if not sys.stdin.isatty():
        raise CommandError(
            "There is no terminal to ask for the password on: give --password-stdin, "
            "--password-file FILE, --password-env NAME or --password-netrc."
        )
    return "The password", typed(f"Password of {options['username']}: ")


def _ad_hoc(over: MailerOptions) -> Way:
    try:
        return Way("ad hoc", "", find_route(Hint(options=over)))
    except ImproperlyConfigured as error:
        return Way("ad hoc", "", None, error)


# The site's own


def _way(account: str | None, using: str | None, draft: EmailMessage, over: MailerOptions) -> Way:
    """One account, one mailer, or the way of this site's mail."""
    kind: TargetKind = "account" if account else "mailer" if using else "settings"
    backend, note = _backend(account, using)
    notes = (note,) if note else ()
    try:
        route = overridden(backend().route(draft), over)
    except ImproperlyConfigured as error:
        return Way(kind, account or using or "", None, error, (*notes, *_unknown_accounts()))
    if route.rule is Rule.SETTINGS:
        notes = (*notes, *_unknown_accounts())
    elif route.account is not None:
        kind, account = "account", route.account.slug
    elif kind == "settings":
        kind, using = ("mailer", "default") if mailers_configured() else ("settings", None)
    return Way(kind, (account if kind == "account" else using) or "", route, notes=notes)


def _every(draft: EmailMessage, over: MailerOptions) -> Iterator[Way]:
    """Every enabled account, and what mailers reach besides."""
    try:
        known = current_accounts(smtpauth_settings.scope)
    except ImproperlyConfigured as error:
        yield Way("settings", "", None, error)
        return
    if known.problem:
        raise CommandError(f"The accounts in the database can't be read ({known.problem}).")
    found: list[Way] = [_way(one.slug, None, draft, over) for one in known.accounts]
    aliases = list(settings.MAILERS) if mailers_configured() else [None]
    for alias in aliases:
        path = _backend_path(alias or "default")
        if path is None or not _is_ours(path):
            continue
        way = _way(None, alias, draft, over)
        if found and _leaves_it_to_accounts(way):
            continue
        if way.route is None or all(way.route != one.route for one in found):
            found.append(way)
    if not found:
        raise CommandError(
            "There is nothing to try: no account is enabled, and no mailer uses this package."
        )
    yield from found


def _leaves_it_to_accounts(way: Way) -> bool:
    """Whether a mailer has no server of its own: then each message names its account."""
    if way.error is not None:
        return says_no_server(way.error)
    if mailers_configured() or way.kind != "settings" or is_explicit("EMAIL_HOST"):
        return False
    return default_options().host is None


def _backend(account: str | None, using: str | None) -> tuple[Any, str]:
    """What makes the backend that mail would go through, ours in any case; and a note."""
    if using is not None and not mailers_configured():
        raise CommandError(
            "--using names an entry of the setting MAILERS (Django 6.1), which this site does "
            "not have. Leave it out."
        )
    path = _backend_path(using or "default")
    if path is not None and _is_ours(path):
        if account:
            return lambda: EmailBackend(account=account), ""
        return lambda: _mailer(using or "default"), ""
    if using is not None:
        raise CommandError(
            f"The mailer {using!r} does not use this package: its BACKEND is {path}.\n"
            f'Set MAILERS["{using}"]["BACKEND"] = "{BACKEND}".'
        )
    alias: dict[str, Any] = {"alias": "default"} if mailers_configured() else {}
    return lambda: EmailBackend(account=account, **alias), _not_ours(path)


def _not_ours(path: str | None) -> str:
    setting = 'MAILERS["default"]["BACKEND"]' if mailers_configured() else "EMAIL_BACKEND"
    return (
        f"This site does not send through this package itself: {setting} is "
        f"{path or 'not set'}. If that does not hand the mail on to this package, set it to "
        f'"{BACKEND}". What follows shows how mail goes through it.'
    )


def _unknown_accounts() -> tuple[str, ...]:
    try:
        scope = smtpauth_settings.scope
    except ImproperlyConfigured:
        # Then there is no route either, and its error tells it.
        return ()
    problem = current_accounts(scope).problem
    return (f"The accounts in the database can't be read ({problem}).",) if problem else ()


def _backend_path(alias: str) -> str | None:
    """The backend that the site has configured, as a dotted path."""
    if not mailers_configured():
        return str(mail_setting("EMAIL_BACKEND"))
    if alias not in settings.MAILERS:
        if alias != "default":
            known = ", ".join(settings.MAILERS) or "none"
            raise CommandError(f"There is no mailer {alias!r} in MAILERS. Known are: {known}.")
        return None
    # Django's own default for an entry without BACKEND.
    default = "django.core.mail.backends.smtp.EmailBackend"
    return str(settings.MAILERS[alias].get("BACKEND", default))


def _is_ours(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False
    return isinstance(backend, type) and issubclass(backend, EmailBackend)


def _mailer(alias: str) -> EmailBackend:
    """The backend as Django would make it; its class was checked before."""
    backend: Any
    if mailers_configured():
        from django.core.mail import mailers

        backend = mailers[alias]
    else:
        backend = import_string(str(mail_setting("EMAIL_BACKEND")))()
    return cast("EmailBackend", backend)
