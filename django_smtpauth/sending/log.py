"""The logger, and how to use it from inside a send.

A site may send its log by e-mail (AdminEmailHandler on the root logger). A message that fails
because the server is down is logged, the handler mails the record through the same backend, and
that would fail and be logged again. So while a record of ours is being handled, the sends that
the handler makes are not logged.
"""

from __future__ import annotations

import contextlib
import logging
from contextvars import ContextVar

logger = logging.getLogger("django_smtpauth")

_handling: ContextVar[bool] = ContextVar("django_smtpauth_handling", default=False)


def warn(message: str, *arguments: object, rule: str = "") -> None:
    """One WARNING, unless this send was made by the handler of another record.

    rule: the id of the rule that explains it; the record has it as `smtp_rule`.
    """
    _say(logging.WARNING, message, *arguments, rule=rule)


def inform(message: str, *arguments: object) -> None:
    """The same as INFO."""
    _say(logging.INFO, message, *arguments)


def _say(level: int, message: str, *arguments: object, rule: str = "") -> None:
    if _handling.get():
        return
    token = _handling.set(True)
    try:
        # A handler that itself fails to send must not change what is said of this message.
        with contextlib.suppress(Exception):
            logger.log(level, message, *arguments, extra={"smtp_rule": rule})
    finally:
        _handling.reset(token)
