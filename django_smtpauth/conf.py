"""The `SMTPAUTH` settings dict, read lazily and never written back.

`smtpauth_settings.NAME` looks the name up in `settings.SMTPAUTH` at the moment of use, so that
`override_settings` works and nothing is frozen at import. `mail_setting()` reads Django's own
`EMAIL_*` settings without the deprecation warning that Django 6.1 would blame on this package.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise
from django.utils.module_loading import import_string

#: Every key that `SMTPAUTH` may hold, with its default value.
DEFAULTS: dict[str, Any] = {
    # Options for every backend, below OPTIONS, keyword arguments and EMAIL_* in precedence.
    "DEFAULTS": {},
    # Ordered key sources; the first seals. None: no keys of our own.
    "KEYS": None,
    # The tenant whose accounts are used: a text, or a callable that returns one.
    "SCOPE": "",
    # Called with a message, returns the slug of its account or None: a callable or dotted path.
    "CHOOSER": None,
    # Called with an account, returns its Credentials or None: a callable or dotted path.
    "CREDENTIALS": None,
    # Seconds between two looks at the accounts in the database.
    "ACCOUNT_REFRESH": 5.0,
    # The address that gets every message in the place of its recipients; None: nobody.
    "REDIRECT_TO": None,
    # What a monitor has to know to see the accounts' state; empty: nobody sees it.
    "MONITORING_TOKEN": "",
    # Hosts and networks that are not public and that accounts may reach all the same.
    "ALLOWED_INTERNAL_HOSTS": (),
    # Ports that accounts may use: LMTP's, SMTP's, and those where providers and mail catchers
    # listen, too, because networks block the usual ones.
    "ALLOWED_PORTS": (24, 25, 26, 465, 587, 588, 1025, 2465, 2525, 2587),
}


class SMTPAuthSettings:
    """Attribute access to `settings.SMTPAUTH` with defaults. Raises ImproperlyConfigured."""

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULTS:
            raise AttributeError(name)
        return self.user_settings().get(name, DEFAULTS[name])

    def user_settings(self) -> dict[str, Any]:
        """The dict as the site wrote it."""
        value = getattr(settings, "SMTPAUTH", {})
        if not isinstance(value, dict):
            raise ImproperlyConfigured(f"SMTPAUTH must be a dict, not {type(value).__name__}.")
        return value

    @property
    def scope(self) -> str:
        """The current scope (tenant) as text; a callable in SMTPAUTH["SCOPE"] is called, in the
        thread and the context of who sends.

        None, as many a callable returns outside of a tenant, is the empty scope. Numbers and
        UUIDs, as keys of tenants are, become text. Raises ImproperlyConfigured for anything
        else, whose text would name no scope, and when the callable fails.
        """
        value = self.SCOPE
        if callable(value):
            try:
                value = value()
            except Exception as error:
                raise ImproperlyConfigured(
                    f'The callable in SMTPAUTH["SCOPE"] failed: {type(error).__name__}. Let it '
                    "return the scope whose accounts are meant; None outside of a tenant."
                ) from error
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, (str, Promise, int, UUID)):
            raise ImproperlyConfigured(
                f'SMTPAUTH["SCOPE"] gave {type(value).__name__} in place of a text.'
            )
        return str(value)

    @property
    def chooser(self) -> Callable[..., Any] | None:
        """What chooses the account of a message. Raises ImproperlyConfigured."""
        return self._callable("CHOOSER")

    @property
    def credentials(self) -> Callable[..., Any] | None:
        """What has the credentials of an account. Raises ImproperlyConfigured."""
        return self._callable("CREDENTIALS")

    def _callable(self, name: str) -> Callable[..., Any] | None:
        value = getattr(self, name)
        if isinstance(value, str) and value:
            try:
                value = import_string(value)
            except ImportError as error:
                raise ImproperlyConfigured(f'SMTPAUTH["{name}"]: {error}') from error
        if not value:
            return None
        if not callable(value):
            raise ImproperlyConfigured(
                f'SMTPAUTH["{name}"] must be a callable or its dotted path, not {value!r}.'
            )
        found: Callable[..., Any] = value
        return found

    @property
    def monitoring_token(self) -> str:
        """What a monitor has to know; empty: nobody sees anything. Raises ImproperlyConfigured."""
        value = self.MONITORING_TOKEN
        if value is None or isinstance(value, str):
            return value or ""
        raise ImproperlyConfigured(
            f'SMTPAUTH["MONITORING_TOKEN"] must be a text, not {type(value).__name__}.'
        )

    @property
    def account_refresh(self) -> float:
        """Seconds between two looks at the accounts. Raises ImproperlyConfigured."""
        value = self.ACCOUNT_REFRESH
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise ImproperlyConfigured(
                f'SMTPAUTH["ACCOUNT_REFRESH"] must be a number of seconds, not {value!r}.'
            )
        return value


smtpauth_settings = SMTPAuthSettings()


def mailers_configured() -> bool:
    """Whether the site defines MAILERS (Django 6.1), which hides the EMAIL_* settings."""
    return hasattr(settings, "MAILERS") and django.VERSION >= (6, 1)


def mail_setting(name: str) -> Any:
    """The value of one `EMAIL_*` setting, or None when MAILERS is defined."""
    if mailers_configured():
        return None
    # The proxy's own attribute access warns on Django 6.1; the wrapped object does not.
    return getattr(settings._wrapped, name, None)  # type: ignore[misc]


def is_explicit(name: str) -> bool:
    """Whether the site itself wrote this setting, instead of inheriting Django's default."""
    return bool(settings.is_overridden(name))  # type: ignore[misc]
