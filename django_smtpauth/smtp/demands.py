"""What a message demands of a server, compared with what the server offers before it is sent."""

from __future__ import annotations

from collections.abc import Iterator

from .addresses import Mailbox
from .content import Content
from .errors import ContentRefused, NotSupported, SMTPError
from .extensions import Extensions
from .parameters import announced_as
from .transaction import Envelope, Transaction


def obstacle(
    transaction: Transaction, extensions: Extensions, *, verified: bool, authenticated: bool
) -> SMTPError | None:
    """Why the server would not, or must not, get this message; None: it may.

    verified: the connection has TLS, and the server's certificate was verified.
    authenticated: somebody has logged in.
    """
    envelope, content = transaction.envelope, transaction.content
    if content.size and extensions.size and content.size > extensions.size:
        return ContentRefused(
            f"the message has {content.size} octets, the server takes {extensions.size}",
            stage="MAIL",
            reason="size",
            transient=False,
        )
    return (
        _addresses(envelope, extensions)
        or _body(content, extensions)
        or _parameters(envelope, extensions, verified=verified, authenticated=authenticated)
        or _all_at_once(envelope, extensions)
    )


def _addresses(envelope: Envelope, extensions: Extensions) -> SMTPError | None:
    if not envelope.needs_utf8 or extensions.smtputf8:
        return None
    named = envelope.utf8_addresses
    return NotSupported(
        "an address needs SMTPUTF8, which the server lacks",
        stage="MAIL",
        reason="smtputf8",
        cure=f"This server can't deliver to or from: {', '.join(named)}." if named else "",
    )


def _body(content: Content, extensions: Extensions) -> SMTPError | None:
    if content.binary:
        if extensions.binary:
            return None
        return NotSupported(
            "the content is binary and the server lacks BINARYMIME or CHUNKING",
            stage="MAIL",
            reason="binary",
        )
    missing = ""
    if content.long_lines:
        missing = "a line is longer than 998 octets"
    elif content.eight_bit and not extensions.eight_bit:
        missing = "the content is 8-bit and the server lacks 8BITMIME"
    return NotSupported(missing, stage="MAIL", reason="not-7bit") if missing else None


def _parameters(
    envelope: Envelope, extensions: Extensions, *, verified: bool, authenticated: bool
) -> SMTPError | None:
    for word in _words(envelope):
        parameter, keyword = word.partition("=")[0], announced_as(word)
        if keyword not in extensions:
            return NotSupported(
                f"the server does not offer {keyword}, which {parameter} needs",
                stage="MAIL",
                reason="extension-missing",
                cure=f"Send without {parameter}, or through a server that offers {keyword}.",
            )
        if parameter == "REQUIRETLS" and not verified:
            return NotSupported(
                "REQUIRETLS needs a connection with TLS and a verified certificate",
                stage="MAIL",
                reason="requiretls",
                cure="Use TLS with verification, or send without require_tls.",
            )
        if parameter == "AUTH" and not authenticated:
            return NotSupported(
                "AUTH= is for sessions that have logged in",
                stage="MAIL",
                reason="not-authenticated",
            )
    return None


def _words(envelope: Envelope) -> Iterator[str]:
    yield from envelope.options.words()
    for recipient in envelope.recipients:
        yield from recipient.options.words()


def _all_at_once(envelope: Envelope, extensions: Extensions) -> SMTPError | None:
    """All or none means one transaction."""
    if not envelope.all_or_none:
        return None
    limits, recipients = extensions.limits, envelope.recipients
    domains = {Mailbox.parse(recipient.address).domain.lower() for recipient in recipients}
    if limits.recipients and len(recipients) > limits.recipients:
        exceeded = f"{limits.recipients} recipients"
    elif limits.domains and len(domains) > limits.domains:
        exceeded = f"{limits.domains} domains"
    else:
        return None
    return NotSupported(
        f"the server takes {exceeded} at once, and the message is for all recipients or none",
        stage="RCPT",
        reason="limits",
        cure="Send it to fewer recipients at once.",
    )
