"""How an account logs in: with its own secret, or with one from `SMTPAUTH["CREDENTIALS"]`.

The site's callable is asked at each log-in and gets the `Account`. What it answers is bound as a
stored password is: it names the destination, and goes nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.utils.functional import Promise

from ..conf import smtpauth_settings
from ..secrets.destination import Destination
from ..secrets.errors import SecretUnreadable
from ..smtp.errors import SMTPError
from ..smtp.sasl.credentials import Credentials as EngineCredentials
from .accounts import Account
from .passwords import SECRET_MISSING, Password, call

_SETTING = 'SMTPAUTH["CREDENTIALS"]'


@dataclass(frozen=True)
class Credentials:
    """What the callable of `SMTPAUTH["CREDENTIALS"]` returns.

    password: text, or a callable that returns it.
    destination: where it may go, `Destination(host=..., port=..., security=..., username=...)`;
        everything that is not named has its safe value. An account that says anything else does
        not get the password.
    """

    password: str | Callable[[], str] = field(repr=False)
    destination: Destination


def credentials_of(account: Account) -> EngineCredentials | None:
    """What the engine logs in with; None for an account that does not log in with a password.

    Nothing is opened or asked before the server has offered a mechanism.
    """
    if account.authentication != "password" or not account.username:
        return None
    return EngineCredentials(account.username, partial(_password, account))


def _password(account: Account) -> str:
    """Raises SMTPError of stage AUTH, or SecretUnreadable."""
    if smtpauth_settings.credentials is not None:
        found = _asked(partial(smtpauth_settings.credentials, account), account)
        if found is not None:
            return found.reveal()
    if account.password is None:
        raise SecretUnreadable(
            f"The account {account.slug} has no password. Enter it, or choose a log-in without "
            "one.",
            reason="missing",
        )
    return account.password.reveal()


def _asked(source: Callable[[], object], account: Account) -> Password | None:
    """What the site's callable has for the account; None: nothing."""
    found = call(source, _SETTING)
    if found is None:
        return None
    if not isinstance(found, Credentials):
        kind = type(found).__name__
        # It may be the password itself.
        del found
        raise _wrong(f"returned {kind} in place of Credentials or None")
    password, destination = Password(found.password), found.destination
    del found
    if not (password.is_callable or issubclass(password.kind, (str, Promise))):
        raise _wrong(f"has a password that is {password.kind.__name__} in place of text")
    changed = destination.changes_from(account.destination)
    if changed:
        raise _wrong(
            f"has a password of account {account.slug} for {destination} and not for "
            f"{account.destination}, where the account points now (different: "
            f"{', '.join(changed)})"
        )
    return password


def _wrong(what: str) -> SMTPError:
    return SMTPError(
        f"{_SETTING} {what}",
        stage="AUTH",
        reason=SECRET_MISSING,
        cure="Correct the account, or what the callable returns.",
    )
