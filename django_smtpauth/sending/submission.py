"""A message ready to leave: envelope and octets, the latter in 8-bit or 7-bit form."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import Compat32
from functools import cached_property
from typing import Any

from ..smtp.content import Content, has_long_lines
from ..smtp.errors import NotSupported
from ..smtp.transaction import Envelope

#: A change inside these breaks a signature, or what was encrypted (RFC 1847, RFC 8551).
SEALED_TYPES = frozenset(
    {
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
    }
)


@dataclass(frozen=True, eq=False)
class Submission:
    """One message for the engine.

    message_id: as in the header, angle brackets included.
    envelope: bare addresses, domains as A-labels.
    content: the rendered octets, CRLF only, 8-bit where Django renders 8-bit.
    needs_utf8: a local part, in the envelope or in the header, is not ASCII (RFC 6531).
    """

    message_id: str
    envelope: Envelope = field(repr=False)
    content: Content
    needs_utf8: bool = False

    def content_for(self, *, eight_bit: bool) -> Content:
        """The content in a form that a server with or without 8BITMIME (`eight_bit`) takes.

        Raises NotSupported when the message would have to be re-encoded and is signed or
        encrypted, or can't be re-encoded.
        """
        if self.content.long_lines or (self.content.eight_bit and not eight_bit):
            return self._seven_bit
        return self.content

    @cached_property
    def _seven_bit(self) -> Content:
        return Content.of(seven_bit(self._octets, utf8_header=self.needs_utf8))

    @property
    def _octets(self) -> bytes:
        return b"".join(self.content.source())

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values, without the content."""
        return {
            "message_id": self.message_id,
            "sender": self.envelope.sender,
            "recipients": [recipient.address for recipient in self.envelope.recipients],
            "size": self.content.size,
            "eight_bit": self.content.eight_bit,
            "needs_utf8": self.needs_utf8,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.message_id, self.envelope, self._octets, self.needs_utf8)


def _rebuild(message_id: str, envelope: Envelope, octets: bytes, needs_utf8: bool) -> Submission:
    return Submission(message_id, envelope, Content.of(octets), needs_utf8)


class _Verbatim(Compat32):
    """Writes each header as it was read, line breaks and raw octets included."""

    def fold_binary(self, name: str, value: str) -> bytes:
        return f"{name}: {value}{self.linesep}".encode("ascii", "surrogateescape")


_VERBATIM = _Verbatim(linesep="\r\n")


def seven_bit(octets: bytes, *, utf8_header: bool = False) -> bytes:
    """The same message with ASCII octets and lines of at most 998 octets (RFC 6152, RFC 2045 6).

    Only parts that need it are re-encoded. `utf8_header`: the header of the message itself may
    keep its UTF-8. Raises NotSupported.
    """
    message = message_from_bytes(octets, policy=_VERBATIM)
    try:
        _make_seven_bit(message)
        result = message.as_bytes(policy=_VERBATIM)
    except UnicodeEncodeError:
        # Python's generator on a multipart without parts whose text is not ASCII.
        raise _refusal("a damaged part can't be re-encoded", "not-7bit") from None
    if has_long_lines(result) or not _is_seven_bit(_body(result) if utf8_header else result):
        raise _refusal("the message can't be written in 7-bit form", "not-7bit")
    return result


def _make_seven_bit(part: Message) -> None:
    if part.get_content_type() in SEALED_TYPES or "DKIM-Signature" in part:
        if not _is_seven_bit(part.as_bytes(policy=_VERBATIM)):
            raise _refusal(
                "the message is signed or encrypted, so it can't be re-encoded", "sealed"
            )
    elif part.is_multipart():
        children: Any = part.get_payload()
        for child in children:
            _make_seven_bit(child)
        if str(part["Content-Transfer-Encoding"]).strip().lower() in ("8bit", "binary"):
            part.replace_header("Content-Transfer-Encoding", "7bit")
    elif not _is_seven_bit(_body(part.as_bytes(policy=_VERBATIM))):
        _encode(part)


def _encode(part: Message) -> None:
    """Gives a part without parts the shorter of quoted-printable and base64."""
    if part.get_content_maintype() in ("multipart", "message"):
        raise _refusal("a damaged part can't be re-encoded", "not-7bit")
    data: Any = part.get_payload(decode=True)
    encoding, payload = "base64", base64.encodebytes(data)
    if part.get_content_maintype() == "text":
        quoted = binascii.b2a_qp(data, istext=True)
        if len(quoted) <= len(payload):
            encoding, payload = "quoted-printable", quoted
    part.set_payload(payload.decode("ascii"))
    if "Content-Transfer-Encoding" in part:
        part.replace_header("Content-Transfer-Encoding", encoding)
    else:
        part["Content-Transfer-Encoding"] = encoding


def _body(octets: bytes) -> bytes:
    return octets.partition(b"\r\n\r\n")[2]


def _is_seven_bit(octets: bytes) -> bool:
    return octets.isascii() and not has_long_lines(octets)


def _refusal(message: str, reason: str) -> NotSupported:
    return NotSupported(message, stage="CONTENT", reason=reason)
