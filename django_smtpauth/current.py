"""The account that a block of code has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .models import SMTPAccount


class Choice(NamedTuple):
    """account: a slug, a row, or None: by the usual rules. only: nothing else will do."""

    account: str | SMTPAccount | None
    only: bool = False


_choice: ContextVar[Choice | None] = ContextVar("smtpauth_account", default=None)


@contextmanager
def smtp_account(account: str | SMTPAccount | None, *, only: bool = False) -> Iterator[None]:
    """Mail that is sent in this block goes through this account; also a decorator.

    account: a slug of the current scope, or an SMTPAccount, which is used as it is now, saved or
        not; None: the usual rules again.
    only: a mailer that was built with a server of its own is an error; else it keeps its server.

    What a message asks for itself wins. Each thread and each task of asyncio has its own block.
    """
    token = _choice.set(Choice(account, only))
    try:
        yield
    finally:
        _choice.reset(token)


def chosen_account() -> Choice:
    """What the innermost block has chosen."""
    return _choice.get() or Choice(None)
