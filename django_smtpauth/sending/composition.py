"""From Django's EmailMessage to what the engine sends.

The octets are Django's own rendering, with four differences: no Bcc header, domains as IDNA 2008
A-labels, local parts that are not ASCII as UTF-8, and a Message-ID that stays with the message.
The user's message object is only read; rendering works on a shallow copy of it.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from email import policy
from email.message import Message
from email.utils import make_msgid
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.utils import DNS_NAME
from django.utils.functional import Promise

from ..smtp.addresses import Mailbox
from ..smtp.content import Content
from ..smtp.errors import NotSupported
from ..smtp.transaction import Envelope, Recipient
from .addressing import (
    HeaderAddresses,
    envelope_address,
    envelope_sender,
    refuse_control_characters,
)
from .submission import Submission

__all__ = ["Submission", "compose"]

# What Python's header classes take for a line end, the other controls but TAB, and halves of
# surrogate pairs, which are no text.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_ADDRESS_HEADERS = frozenset(
    prefix + name
    for prefix in ("", "resent-")
    for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
_RENDERED_LISTS = ("to", "cc", "reply_to")
_MESSAGE_ID = "_smtpauth_message_id"


def compose(message: EmailMessage) -> Submission:
    """Envelope and octets of a message that has at least one recipient.

    The Message-ID is chosen at the first call and kept on the message object for the next ones.
    Raises ValueError for an invalid address and for a control character in any header text
    (header injection), NotSupported for a signed message whose addresses would have to be
    changed after signing, and whatever a subclass's own `message()` raises.
    """
    _refuse_injection(message)
    sender = envelope_sender(_from_email(message))
    recipients = [envelope_address(address) for address in message.recipients()]
    addresses = HeaderAddresses()
    rendered = _rendered(_draft(message, addresses))
    message_id = _only_message_id(rendered)
    if addresses.need_utf8 and "DKIM-Signature" in rendered:
        raise NotSupported(
            "the message was signed before its UTF-8 addresses were written",
            stage="CONTENT",
            reason="sealed",
        )
    content = Content.of(_complete(addresses.restore(_octets(rendered))))
    utf8 = addresses.need_utf8 or any(
        Mailbox.parse(address).needs_utf8 for address in (sender, *recipients) if address
    )
    unique = tuple(Recipient(address) for address in dict.fromkeys(recipients))
    return Submission(message_id, Envelope(sender, unique, utf8), content, utf8)


def _from_email(message: EmailMessage) -> str:
    return str(message.from_email or settings.DEFAULT_FROM_EMAIL)


def _refuse_injection(message: EmailMessage) -> None:
    refuse_control_characters(_from_email(message))
    for name in (*_RENDERED_LISTS, "bcc"):
        for address in getattr(message, name):
            refuse_control_characters(str(address))
    for where, text in _header_texts(message):
        if _CONTROL.search(text):
            raise ValueError(f"{where} contains a line end or a control character: {text!r}.")


def _header_texts(message: EmailMessage) -> Iterator[tuple[str, str]]:
    """Every text of the message that Django puts into a header, and what it is."""
    yield "The subject", str(message.subject)
    yield "The content subtype", str(message.content_subtype)
    for name, value in message.extra_headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"Not a header name: {name!r}.")
        yield f"The header {name}", str(value)
    for attachment in message.attachments:
        if isinstance(attachment, tuple):
            filename, _, mimetype = attachment
            yield "The name of an attachment", str(filename)
            yield "The type of an attachment", str(mimetype)
    for _, mimetype in getattr(message, "alternatives", ()):
        yield "The type of an alternative", str(mimetype)


def _draft(message: EmailMessage, addresses: HeaderAddresses) -> EmailMessage:
    """A copy whose addresses Django can render, with the Message-ID in its headers."""
    draft = copy.copy(message)
    draft.from_email = addresses.ascii(_from_email(message))
    for name in _RENDERED_LISTS:
        setattr(draft, name, [addresses.ascii(str(text)) for text in getattr(message, name)])
    headers = {
        name: addresses.ascii(str(value))
        if name.lower() in _ADDRESS_HEADERS and isinstance(value, (str, Promise))
        else value
        for name, value in message.extra_headers.items()
    }
    if not any(name.lower() == "message-id" for name in headers):
        # In front, where Django puts the one that it makes.
        headers = {"Message-ID": _kept_message_id(message), **headers}
    draft.extra_headers = headers
    return draft


def _kept_message_id(message: EmailMessage) -> str:
    kept: str | None = getattr(message, _MESSAGE_ID, None)
    if kept is None:
        kept = make_msgid(domain=str(DNS_NAME))
        setattr(message, _MESSAGE_ID, kept)
    return kept


def _rendered(draft: EmailMessage) -> Message:
    """What `message()` makes of it; a subclass may have the form of any Django version."""
    if _takes(EmailMessage.message, "policy") and _takes(draft.message, "policy"):
        rendered = draft.message(policy=policy.SMTP)
    else:
        rendered = draft.message()
    for name in ("Bcc", "Resent-Bcc"):
        del rendered[name]
    return rendered


def _only_message_id(rendered: Message) -> str:
    found = rendered.get_all("Message-ID", [])
    if len(found) != 1:
        raise ValueError(f"The message has {len(found)} Message-ID headers; one is needed.")
    return str(found[0]).strip()


def _octets(rendered: Message) -> bytes:
    """The rendered octets; line ends that are not CRLF yet are left to Content."""
    if _takes(rendered.as_bytes, "linesep"):
        as_bytes: Callable[..., bytes] = rendered.as_bytes
        return as_bytes(linesep="\r\n")
    return rendered.as_bytes()


def _complete(octets: bytes) -> bytes:
    return octets if octets.endswith((b"\n", b"\r")) else octets + b"\r\n"


def _takes(function: Callable[..., Any], keyword: str) -> bool:
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
