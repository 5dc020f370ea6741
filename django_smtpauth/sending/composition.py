"""From Django's EmailMessage to what the engine sends.

The octets are Django's own rendering, with four differences: no Bcc header, domains as IDNA 2008
A-labels, local parts that are not ASCII as UTF-8, and a Message-ID that stays with the message.
What is rendered is a letter: a shallow copy of the message, as the account may send it (`senders`)
and to whom the site lets it go (`redirection`). The message object itself only gets the Message-ID
to keep.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from email import policy
from email.errors import MessageError
from email.message import Message, MIMEPart
from email.utils import make_msgid
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.utils import DNS_NAME
from django.utils.functional import Promise

from ..smtp.content import Content
from ..smtp.errors import NotSupported
from .accounts import Account
from .addressing import (
    HeaderAddresses,
    envelope_address,
    envelope_sender,
    refuse_control_characters,
)
from .options import MessageOptions
from .redirection import redirect_target, redirected, redirected_options
from .senders import Senders, has_address, judged, refuse_other_senders
from .submission import Submission

__all__ = ["Submission", "author", "compose"]

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
_ENCODED_WORD = "=?"
_HIDDEN_LINE_END = "An encoded word in a header of the message hides a line end."
_MESSAGE_ID = "_smtpauth_message_id"


def compose(
    message: EmailMessage, options: MessageOptions | None = None, account: Account | None = None
) -> Submission:
    """Envelope and octets of a message that has at least one recipient.

    options: of the message, completed by those of account and mailer; None: its own alone.
    account: which carries it, and has a say in From; None: a server from the settings.
    The Message-ID is chosen at the first call and kept on the message object for the next ones.
    Raises ValueError for an invalid address and for a control character in any header text
    (header injection), NotSupported for a From that the account does not send as and for a signed
    message whose addresses would have to be changed after signing, ImproperlyConfigured for a
    REDIRECT_TO that is no address, and whatever a subclass's own `message()` raises.
    """
    options = options or getattr(message, "smtp_options", None) or MessageOptions()
    _refuse_injection(message)
    recipients = tuple(dict.fromkeys(envelope_address(a) for a in message.recipients()))
    letter = _sent_by(message, account)
    if target := redirect_target():
        letter = redirected(letter, recipients, target)
        options, recipients = redirected_options(options, recipients), (target,)
    if letter is not message:
        _refuse_injection(letter)
    sender = envelope_sender(_from_email(letter))
    addresses = HeaderAddresses()
    draft = _draft(message, letter, addresses)
    try:
        rendered = _rendered(draft)
        message_id = _settle_message_id(message, rendered)
        octets = _octets(rendered)
    except (IndexError, AttributeError):
        # Python's header parser fails so on some texts; anything else is a subclass's own error.
        _refuse_unparsable(draft)
        raise
    _refuse_other_headers(rendered, octets)
    if account is not None:
        refuse_other_senders(_header(octets, b"from"), _author(draft), account)
        refuse_other_senders(_header(octets, b"sender"), _sender(draft), account)
    if addresses.need_utf8 and "DKIM-Signature" in rendered:
        raise NotSupported(
            "the message was signed before its UTF-8 addresses were written",
            stage="CONTENT",
            reason="sealed",
        )
    content = Content.of(addresses.restore(octets))
    utf8 = addresses.need_utf8 or not all(a.isascii() for a in (sender, *recipients))
    envelope = options.envelope(sender, recipients, utf8=utf8)
    return Submission(message_id, envelope, content, utf8)


def author(message: EmailMessage, account: Account | None) -> str:
    """The header From of a message that goes through an account. Raises what `compose()` does."""
    return _author(_sent_by(message, account))


def _sent_by(message: EmailMessage, account: Account | None) -> EmailMessage:
    """The message as the account sends it: a copy with another From, or the message itself."""
    if account is None:
        return message
    headers = message.extra_headers
    # An account that has an address needs no default.
    from_email = _from_email(message) if not has_address(account) else message.from_email or ""
    replies = headers.get("Reply-To") or message.reply_to or ()
    said = Senders(
        envelope=str(from_email),
        author=str(headers.get("From", from_email)),
        sender=_sender(message),
        reply_to=tuple(replies) if isinstance(replies, (list, tuple)) else (str(replies),),
    )
    sent = judged(said, account)
    if sent == said:
        return message
    letter = copy.copy(message)
    letter.from_email = sent.envelope
    letter.extra_headers = _with_senders(headers, said, sent)
    if sent.reply_to != said.reply_to:
        letter.reply_to = list(sent.reply_to)
    return letter


def _with_senders(headers: dict[str, Any], said: Senders, sent: Senders) -> dict[str, Any]:
    """The headers that a message brings, with what is sent in place of what it said."""
    replaced = {"from"}
    if sent.sender != said.sender:
        replaced.add("sender")
    if sent.reply_to != said.reply_to:
        replaced.add("reply-to")
    kept = {name: text for name, text in headers.items() if name.lower() not in replaced}
    if sent.author != sent.envelope:
        kept["From"] = sent.author
    if "sender" in replaced and sent.sender:
        kept["Sender"] = sent.sender
    return kept


def _from_email(message: EmailMessage) -> str:
    return str(message.from_email or settings.DEFAULT_FROM_EMAIL)


def _author(message: EmailMessage) -> str:
    """The header From as Django writes it."""
    return str(message.extra_headers.get("From", _from_email(message)))


def _sender(message: EmailMessage) -> str:
    """The header Sender, in any case of its name."""
    headers = message.extra_headers.items()
    return ", ".join(str(text) for name, text in headers if name.lower() == "sender")


def _header(octets: bytes, name: bytes) -> str:
    """A header of the rendered message, unfolded; several ones with commas in between."""
    block = re.sub(rb"\r\n(?=[ \t])", b"", octets.partition(b"\r\n\r\n")[0])
    lines = (line.partition(b":") for line in block.split(b"\r\n"))
    return ", ".join(
        text.decode("utf-8", "replace").strip() for key, _, text in lines if key.lower() == name
    )


def _refuse_injection(message: EmailMessage) -> None:
    refuse_control_characters(_from_email(message))
    for name in (*_RENDERED_LISTS, "bcc"):
        for address in getattr(message, name) or ():
            refuse_control_characters(str(address))
    _refuse_control("The subject", str(message.subject))
    for name, value in message.extra_headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"Not a header name: {name!r}.")
        _refuse_control(f"The header {name}", str(value))
    for filename, _, media_type in _attachments(message):
        _refuse_file_name(str(filename))
        _refuse_media_type(str(media_type))
    for _, media_type in getattr(message, "alternatives", ()):
        _refuse_media_type(str(media_type))
    _refuse_media_type(message.content_subtype)


def _attachments(message: EmailMessage) -> list[Any]:
    """Name, content and type of those attachments that are no ready MIME parts."""
    return [item for item in message.attachments if not isinstance(item, Message)]


def _refuse_control(where: str, text: str) -> None:
    if _CONTROL.search(text):
        raise ValueError(f"{where} contains a line end or a control character: {text!r}.")


def _refuse_file_name(name: str) -> None:
    _refuse_control("The name of an attachment", name)
    if _ENCODED_WORD in name:
        part = MIMEPart(policy=policy.SMTP)
        part.add_header("Content-Disposition", "attachment", filename=name)
        _refuse_other_headers(part, _octets(part))


def _refuse_media_type(text: str) -> None:
    _refuse_control("A media type", text)
    if _ENCODED_WORD in text:
        raise ValueError(f"A media type contains an encoded word: {text!r}.")


def _draft(
    message: EmailMessage, letter: EmailMessage, addresses: HeaderAddresses
) -> EmailMessage:
    """A copy of the letter whose addresses Django can render, with the Message-ID in its headers.

    message: the object that keeps the Message-ID.
    """
    draft = copy.copy(letter)
    draft.from_email = addresses.ascii(_from_email(letter))
    for name in _RENDERED_LISTS:
        texts = getattr(letter, name) or ()
        setattr(draft, name, [addresses.ascii(str(text)) for text in texts])
    headers = {
        name: addresses.ascii(str(value))
        if name.lower() in _ADDRESS_HEADERS and isinstance(value, (str, Promise))
        else value
        for name, value in letter.extra_headers.items()
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


def _settle_message_id(message: EmailMessage, rendered: Message) -> str:
    """The one Message-ID of the header; a subclass may have left it out, or written its own."""
    if "Message-ID" not in rendered:
        rendered["Message-ID"] = _kept_message_id(message)
    first, *others = rendered.get_all("Message-ID", [])
    if others:
        raise ValueError("The message has more than one Message-ID header.")
    return str(first).strip()


def _octets(rendered: Message) -> bytes:
    """The rendered octets, CRLF only and with a line end at the end."""
    as_bytes: Callable[..., bytes] = rendered.as_bytes
    try:
        octets = as_bytes(linesep="\r\n") if _takes(as_bytes, "linesep") else as_bytes()
    except MessageError:
        raise ValueError(_HIDDEN_LINE_END) from None
    octets = b"".join(Content.of(octets).source())
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def _refuse_unparsable(draft: EmailMessage) -> None:
    """Raises ValueError if Python can't parse one of the headers of addresses."""
    texts = {name.replace("_", "-"): ", ".join(getattr(draft, name)) for name in _RENDERED_LISTS}
    texts["from"] = draft.from_email
    texts.update((name, str(value)) for name, value in draft.extra_headers.items())
    for name, text in texts.items():
        if name.lower() in _ADDRESS_HEADERS:
            try:
                policy.SMTP.fold(name, policy.SMTP.header_factory(name, text))
            except (IndexError, AttributeError, MessageError):
                raise ValueError(f"The header {name} is not understood: {text!r}.") from None


def _refuse_other_headers(rendered: Message, octets: bytes) -> None:
    """Raises ValueError unless the octets have exactly the headers of the message object.

    Some versions of Python decode an encoded word and write the line end that it hides.
    """
    lines = octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.partition(b":")[0] for line in lines if not line.startswith((b" ", b"\t"))]
    if names != [name.encode("ascii", "surrogateescape") for name in rendered.keys()]:  # noqa: SIM118
        raise ValueError(_HIDDEN_LINE_END)


def _takes(function: Callable[..., Any], keyword: str) -> bool:
    return _function_takes(getattr(function, "__func__", function), keyword)


@lru_cache(maxsize=64)
def _function_takes(function: Callable[..., Any], keyword: str) -> bool:
    parameters = inspect.signature(function).parameters
    return keyword in parameters or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()
    )
