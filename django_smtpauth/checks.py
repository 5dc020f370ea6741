"""System checks of the settings. They touch neither the network nor the database."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .conf import DEFAULTS, mailers_configured, smtpauth_settings
from .sending.guard import allowed_hosts, allowed_ports
from .sending.mailer import (
    MailerOptions,
    backend_options,
    default_options,
    email_settings,
    plain_settings,
)
from .sending.option_values import READERS, hidden
from .sending.redirection import redirect_target
from .smtp.tls import Security

UNKNOWN_KEY = "smtpauth.E001"
BAD_VALUE = "smtpauth.E002"
BAD_DEFAULTS = "smtpauth.E003"
BAD_EMAIL_SETTING = "smtpauth.E004"
BAD_MAILER = "smtpauth.E005"
STARTTLS_ON_465 = "smtpauth.W001"
IMPLICIT_TLS_ON_587 = "smtpauth.W002"
REDIRECTED = "smtpauth.W003"

BACKEND = "django_smtpauth.backends.EmailBackend"

_STARTTLS_HINT = (
    "Use EMAIL_USE_SSL (use_ssl, security='implicit_tls') instead of EMAIL_USE_TLS, or port "
    "587. If an e-mail URL gave these settings: smtps:// means STARTTLS to django-environ and "
    "dj-email-url; write smtp+ssl:// for django-environ, smtp://...?ssl=True for dj-email-url."
)
_IMPLICIT_TLS_HINT = (
    "Use EMAIL_USE_TLS (use_tls, security='starttls') instead of EMAIL_USE_SSL, or port 465."
)


#: Values of SMTPAUTH that complain when they are read, and what to do then.
_READ_AT_USE = {
    "chooser": "Leave it out to do without.",
    "credentials": "Leave it out to do without.",
    "account_refresh": "The default is 5 seconds.",
    "monitoring_token": "Leave it out to show nothing.",
}


def check_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """E001: an unknown key in SMTPAUTH. E002: an unusable value. E003: unusable DEFAULTS."""
    try:
        unknown = sorted(map(str, smtpauth_settings.user_settings().keys() - DEFAULTS.keys()))
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="Write SMTPAUTH = {...}.", id=BAD_VALUE)]
    known = f"Known keys are: {', '.join(DEFAULTS)}."
    messages: list[CheckMessage] = [
        Error(f"SMTPAUTH has an unknown key {key!r}.", hint=known, id=UNKNOWN_KEY)
        for key in unknown
    ]
    return [*messages, *_bad_values()]


def check_email_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """E004: unusable EMAIL_* settings. W001, W002: port and kind of TLS do not go together."""
    if mailers_configured():
        return []
    try:
        email_settings()
    except ImproperlyConfigured as error:
        return [Error(str(error), id=BAD_EMAIL_SETTING)]
    try:
        return list(_port_and_tls(plain_settings(), "The e-mail settings"))
    except ImproperlyConfigured as error:
        return [] if _defaults_are_bad() else [Error(str(error), id=BAD_EMAIL_SETTING)]


def check_mailers(*_: Any, **__: Any) -> list[CheckMessage]:
    """E005: unusable OPTIONS of a mailer of ours. W001, W002: as for the EMAIL_* settings."""
    if not mailers_configured():
        return []
    return [
        message
        for alias, config in settings.MAILERS.items()
        if isinstance(config, Mapping)
        for message in _mailer_messages(alias, config)
    ]


def check_redirection_for_deployment(*_: Any, **__: Any) -> list[CheckMessage]:
    """W003: no message reaches its recipients."""
    try:
        if not redirect_target():
            return []
    except ImproperlyConfigured:
        # check_settings tells.
        return []
    return [
        Warning(
            'SMTPAUTH["REDIRECT_TO"] is set: no message of this site reaches its recipients.',
            hint="Remove it in production. On a staging site, silence this check.",
            id=REDIRECTED,
        )
    ]


def _bad_values() -> Iterator[CheckMessage]:
    for name, hint in _READ_AT_USE.items():
        try:
            getattr(smtpauth_settings, name)
        except ImproperlyConfigured as error:
            yield Error(str(error), hint=hint, id=BAD_VALUE)
    for read in (allowed_hosts, allowed_ports):
        try:
            read()
        except ImproperlyConfigured as error:
            yield Error(str(error), hint="See docs/internal-hosts.md.", id=BAD_VALUE)
    scope = smtpauth_settings.SCOPE
    if not (isinstance(scope, str) or callable(scope)):
        yield Error(
            f'SMTPAUTH["SCOPE"] must be text or a callable, not {scope!r}.',
            hint="Leave it out when the site has no tenants.",
            id=BAD_VALUE,
        )
    try:
        redirect_target()
    except ImproperlyConfigured as error:
        yield Error(str(error), hint="Leave it out to send to the recipients.", id=BAD_VALUE)
    try:
        default_options()
    except ImproperlyConfigured as error:
        yield Error(str(error), id=BAD_DEFAULTS)


def _defaults_are_bad() -> bool:
    try:
        default_options()
    except ImproperlyConfigured:
        return True
    return False


def _mailer_messages(alias: str, config: Mapping[str, Any]) -> Iterator[CheckMessage]:
    path = config.get("BACKEND", "")
    if not _is_ours(path):
        return
    given = hidden(
        {k: v for k, v in (config.get("OPTIONS") or {}).items() if k != "fail_silently"}
    )
    if path != BACKEND:
        # A subclass may have options of its own.
        given = {name: value for name, value in given.items() if name in READERS}
    try:
        options = backend_options(given, alias)
        if not _defaults_are_bad():
            options = options.over(plain_settings())
    except ImproperlyConfigured as error:
        yield Error(str(error), id=BAD_MAILER)
        return
    yield from _port_and_tls(options, f"MAILERS[{alias!r}]")


def _is_ours(path: Any) -> bool:
    if path == BACKEND:
        return True
    try:
        backend, ours = import_string(path), import_string(BACKEND)
    except Exception:
        # Whatever stops the import of someone's module is for Django to report.
        return False
    return isinstance(backend, type) and issubclass(backend, ours)


def _port_and_tls(options: MailerOptions, whose: str) -> Iterator[CheckMessage]:
    security = options.effective_security
    if security in (Security.STARTTLS, Security.OPPORTUNISTIC) and options.port == 465:
        yield Warning(
            f"{whose} ask for STARTTLS on port 465, where servers expect TLS from the first "
            "octet: the connection will wait until it times out.",
            hint=_STARTTLS_HINT,
            id=STARTTLS_ON_465,
        )
    if security is Security.IMPLICIT_TLS and options.port == 587:
        yield Warning(
            f"{whose} ask for implicit TLS on port 587, where servers expect STARTTLS: the TLS "
            "handshake will fail.",
            hint=_IMPLICIT_TLS_HINT,
            id=IMPLICIT_TLS_ON_587,
        )
