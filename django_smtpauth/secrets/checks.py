"""System checks of the keys. They read the sources, except callables, and touch no network."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004

from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.secrets.keyring import DERIVE, SETTINGS_LINE, source_problems

_HINT = f"Run `manage.py smtpkeys generate`, keep what it prints safe, and set: {SETTINGS_LINE}"


def check_keys(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """E101: a key source is unusable. W101: secrets are sealed with a key from SECRET_KEY."""
    messages: list[CheckMessage] = [
        Error(problem, hint=_HINT, id="smtpauth.E101") for problem in source_problems()
    ]
    if smtpauth_settings.KEYS in (DERIVE, [DERIVE], (DERIVE,)):
        messages.append(
            Warning(
                "The passwords of SMTP accounts are sealed with a key derived from SECRET_KEY. "
                "Once SECRET_KEY is replaced, they open only while the old one stands in "
                "SECRET_KEY_FALLBACKS.",
                hint=_HINT,
                id="smtpauth.W101",
            )
        )
    return messages


def check_keys_for_deployment(
    app_configs: Sequence[Any] | None,  # noqa: ARG001
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    """W102 (`check --deploy`): no keys, so that no account can store a password."""
    if smtpauth_settings.KEYS or settings.DEBUG:
        return []
    return [
        Warning(
            'SMTPAUTH["KEYS"] is not set: SMTP accounts can\'t store passwords.',
            hint=_HINT,
            id="smtpauth.W102",
        )
    ]
