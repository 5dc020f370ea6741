"""Settings that let every mailer of the site use a backend for tests."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.test.utils import override_settings

from ..conf import mailers_configured, smtpauth_settings

RECORDING = "django_smtpauth.testing.RecordingBackend"
SENDING = "django_smtpauth.backends.EmailBackend"


class _Override(override_settings):
    """Overriding is no use of a setting that Django 6.1 should warn of."""

    def enable(self) -> None:
        with _without_warning():
            super().enable()

    def disable(self) -> None:
        with _without_warning():
            super().disable()


def recording_mail() -> override_settings:
    """A context manager and decorator: every mailer uses the `RecordingBackend`.

    Needed inside each test, since Django's test set-up puts locmem in place of every mailer. The
    OPTIONS of MAILERS are lost then; accounts of the database and EMAIL_* settings are used.
    """
    return _Override(**_with_backend(RECORDING))


def mail_through(
    *, host: str, port: int, username: str, password: str, ca_file: str
) -> override_settings:
    """A context manager: every mailer sends for real, to this server with STARTTLS and log-in."""
    if mailers_configured():
        options = {
            "host": host,
            "port": port,
            "username": username,
            "password": password,
            "security": "starttls",
            "ca_file": ca_file,
        }
        return _Override(**_with_backend(SENDING, OPTIONS=options))
    defaults = {**smtpauth_settings.DEFAULTS, "ca_file": ca_file, "verify": True}
    return _Override(
        **_with_backend(SENDING),
        EMAIL_HOST=host,
        EMAIL_PORT=port,
        EMAIL_HOST_USER=username,
        EMAIL_HOST_PASSWORD=password,
        EMAIL_USE_TLS=True,
        EMAIL_USE_SSL=False,
        SMTPAUTH={**smtpauth_settings.user_settings(), "DEFAULTS": defaults},
    )


def _with_backend(path: str, **more: Any) -> dict[str, Any]:
    if mailers_configured():
        return {"MAILERS": {alias: {"BACKEND": path, **more} for alias in settings.MAILERS}}
    return {"EMAIL_BACKEND": path}


@contextlib.contextmanager
def _without_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The EMAIL_", PendingDeprecationWarning)
        yield
