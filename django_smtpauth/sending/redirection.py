"""SMTPAUTH["REDIRECT_TO"]: on a staging site every message goes to one address.

Nobody else gets the message, and nobody else gets an answer to it: every header that makes a mail
program write to somebody is taken out and stands as `X-Intended-...` for people to read. The name
`X-Original-To` is left to the mail servers that write it at delivery.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from ..conf import smtpauth_settings
from .addressing import envelope_address
from .log import inform
from .options import MessageOptions

#: Addresses that one header names; the others are counted.
MOST_NAMED = 50

_PREFIX = "X-Intended-"
#: Headers that are replaced (To, Reply-To) or told otherwise (Cc).
_REPLACED = frozenset({"to", "cc", "reply-to"})
#: Headers to which mail programs and servers write answers, receipts and reports.
_ANSWERED = frozenset(
    {
        "mail-reply-to",
        "mail-followup-to",
        "disposition-notification-to",
        "return-receipt-to",
        "errors-to",
        "list-post",
    }
)


def redirect_target() -> str:
    """The address that gets everything, as it stands in RCPT; empty when mail goes where it
    should. Raises ImproperlyConfigured for a setting that is no address.
    """
    value = smtpauth_settings.REDIRECT_TO
    if value is None or value == "":
        return ""
    try:
        address = envelope_address(value) if isinstance(value, str) else ""
    except ValueError:
        address = ""
    if "@" not in address:
        raise ImproperlyConfigured(
            f'SMTPAUTH["REDIRECT_TO"] must be one e-mail address, not {value!r}.'
        )
    return address


def redirected(message: EmailMessage, recipients: Sequence[str], target: str) -> EmailMessage:
    """A copy of a message that names nobody but the target.

    recipients: all of the original's, as they stand in RCPT.
    """
    _tell_once()
    to, cc = _bare(message.to), _bare(message.cc)
    letter = copy.copy(message)
    letter.to, letter.cc, letter.bcc, letter.reply_to = [target], [], [], [target]
    replies = message.extra_headers.get("Reply-To") or ", ".join(map(str, message.reply_to or ()))
    intended = {
        "To": _named(to),
        "Cc": _named(cc),
        "Bcc": _named(r for r in recipients if r not in {*to, *cc}),
        "Reply-To": str(replies),
    }
    letter.extra_headers = {
        _PREFIX + name if name.lower() in _ANSWERED else name: value
        for name, value in message.extra_headers.items()
        if name.lower() not in _REPLACED
    }
    letter.extra_headers.update({_PREFIX + name: text for name, text in intended.items() if text})
    return letter


def redirected_options(options: MessageOptions, recipients: Sequence[str]) -> MessageOptions:
    """The options for the target; what names an original recipient has no place there.

    Raises ValueError for a name that is no recipient, as without redirection.
    """
    options.envelope("", tuple(recipients), utf8=True)
    return replace(options, recipient_options={})


@lru_cache(maxsize=1)
def _tell_once() -> None:
    inform('Every message is redirected to the address in SMTPAUTH["REDIRECT_TO"].')


def _bare(texts: Iterable[object] | None) -> list[str]:
    return [envelope_address(str(text)) for text in texts or () if text]


def _named(addresses: Iterable[str]) -> str:
    each = list(dict.fromkeys(addresses))
    named, more = each[:MOST_NAMED], len(each) - MOST_NAMED
    return ", ".join([*named, f"and {more} more"] if more > 0 else named)
