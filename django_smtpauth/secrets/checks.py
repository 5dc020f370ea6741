"""System checks of the keys. They read the sources, except callables, and touch no network.

`check_stored_secrets` alone asks the database, and the callables too: it runs with `migrate` and
`check --database` only.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.db import DatabaseError

from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.secrets.errors import KeySourceError
from django_smtpauth.secrets.keyring import DERIVE, SETTINGS_LINE, find_key, source_problems
from django_smtpauth.secrets.rotation import Column, find_columns

#: Stored secrets that are looked at in each column.
MOST_SECRETS: Final = 1_000

_HINT = f"Run `manage.py smtpkeys generate`, keep what it prints safe, and set: {SETTINGS_LINE}"

_STORED_HINT = (
    'See `manage.py smtpkeys status`. Add the key to SMTPAUTH["KEYS"], or enter the passwords '
    "again. In a copy of another environment this is as it should be."
)


def check_keys(*_: Any, **__: Any) -> list[CheckMessage]:
    """E101: a key source is unusable.

    W101: secrets are sealed with a key from SECRET_KEY, and DEBUG is off.
    """
    messages: list[CheckMessage] = [
        Error(problem, hint=_HINT, id="smtpauth.E101") for problem in source_problems()
    ]
    if _seals_with_derived_key(smtpauth_settings.KEYS) and not settings.DEBUG:
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


def check_keys_for_deployment(*_: Any, **__: Any) -> list[CheckMessage]:
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


def check_stored_secrets(
    *_: Any,
    databases: Sequence[str] | None = None,
    **__: Any,
) -> list[CheckMessage]:
    """W103: stored secrets are sealed with keys that this process does not have, or damaged.

    Looks at the key ids of the first 1,000 secrets of each column and opens none: that is what a
    lost key and a foreign dump show, at a small and fixed price. What only opening would show, a
    changed destination, is for `smtpkeys verify`. A warning, since `migrate` stops at errors, and
    a dump that must not send is meant to look like this. A column that is not there yet, or a
    database that can't be asked, is no problem of this check.
    """
    messages: list[CheckMessage] = []
    for database in databases or ():
        try:
            for column in find_columns(database):
                messages += _unreadable(column)
        except (DatabaseError, KeySourceError):
            # Django's own checks, and E101, tell of them.
            continue
    return messages


def _unreadable(column: Column) -> Iterator[CheckMessage]:
    tokens = islice(column.tokens(MOST_SECRETS), MOST_SECRETS)
    found = Counter(token.key_id if token.valid else "" for token in tokens)
    for key_id, count in sorted(found.items()):
        if key_id and find_key(key_id) is not None:
            continue
        why = (
            f"sealed with key {key_id}, which this process does not have"
            if key_id
            else "damaged, or were written past Django"
        )
        yield Warning(
            f"{count} of the first {found.total()} secrets in {column} (database "
            f"{column.database!r}) are {why}.",
            hint=_STORED_HINT,
            id="smtpauth.W103",
        )


def _seals_with_derived_key(sources: Any) -> bool:
    if isinstance(sources, (list, tuple)):
        return bool(sources) and sources[0] == DERIVE
    return bool(sources == DERIVE)
