"""Messages that show whether every octet arrives, and what is compared when encodings differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMessage

from django.core.mail import EmailMultiAlternatives

MessageFactory = Callable[..., EmailMultiAlternatives]

BODIES = {
    "text": "Two lines,\nplain.\n",
    "no line end at the end": "the last line",
    "empty": "",
    "blank lines": "\n\n\nthree blank lines before and after\n\n\n",
    "8-bit": "Grüße aus Köln, 密码 50 €\n",
    "dots": ".\n..\n.hidden\n...\nnot. here\n.",
    "a long line": "x" * 5_000 + "\n" + "ü" * 2_000 + "\n",
    "lines of 998": "y" * 998 + "\n" + "z" * 998 + "\n",
    "lone CR and LF": "one\rtwo\nthree\r\nfour\n",
    "words of the protocol": "QUIT\nDATA\nRSET\n354 go\n",
    "From at a line start": "From here on\n>From there\n",
    "several blocks": "".join(f"{number} {'.' * (number % 70)}\n" for number in range(6_000)),
}


def rich(new_message: MessageFactory, address: str) -> EmailMultiAlternatives:
    """Text that is not ASCII, HTML, and attachments of several kinds."""
    message = new_message(
        f'"Köln, Empfänger" <{address}>',
        "Grüße\n.\n.und ein Punkt\n",
        subject="Grüße, 密码, and a subject that is long enough to be folded by the library 50 €",
        reply_to=["alice@example.test"],
        headers={"X-Umlaut": "größer"},
    )
    message.attach_alternative("<p>Grüße</p>\n.\n", "text/html")
    message.attach("Übersicht.csv", "eins;zwei\r\n.\r\ndrei;vier\r\n", "text/csv")
    message.attach("octets.bin", bytes(range(256)) * 300, "application/octet-stream")
    inner = EmailMultiAlternatives("Inner", ".inner\n", "bob@example.test", [address])
    message.attach("inner.eml", inner.message().as_bytes(), "message/rfc822")
    return message


def meaning(octets: bytes) -> list[tuple[str, str | bytes]]:
    """Header and decoded content, independent of the encoding in transit."""
    parsed = message_from_bytes(octets, _class=ParsedMessage, policy=policy.default)
    texts = [(name, re.sub(r"\s+", " ", value)) for name, value in parsed.items()]
    kept = [(name, value) for name, value in texts if not name.startswith("Content-")]
    return [*kept, *contents(parsed)]


def contents(parsed: ParsedMessage) -> list[tuple[str, str | bytes]]:
    found: list[tuple[str, str | bytes]] = []
    for part in parsed.walk():
        if not part.is_multipart():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            found.append((part.get_content_type(), data))
    return found
