"""What the engine speaks, with the documents that define it.

A register and no switch: nothing is looked up here at run time. docs/protocol.md is made from it,
and tests hold it against the code: each SASL mechanism that can be named, and each EHLO keyword
that is looked at, has one row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Spoken:
    """One thing that is spoken.

    name: an EHLO keyword or a SASL mechanism, as servers write it.
    title: what it is for, in a few words.
    documents: RFCs ("RFC 2920"), or where there is none what defines it.
    """

    name: str
    title: str
    documents: tuple[str, ...]


#: The sessions that can be opened.
SESSIONS: Final = (
    Spoken("SMTP", "EHLO, or HELO where EHLO is refused", ("RFC 5321", "RFC 6409")),
    Spoken("LMTP", "LHLO, and a verdict for each recipient", ("RFC 2033",)),
    Spoken("implicit TLS", "TLS from the first octet", ("RFC 8314",)),
)

#: EHLO keywords that the engine acts upon.
EXTENSIONS: Final = (
    Spoken("8BITMIME", "content with octets above 127", ("RFC 6152",)),
    Spoken("AUTH", "log-in", ("RFC 4954", "RFC 4422")),
    Spoken("BINARYMIME", "content that is no text, octet by octet", ("RFC 3030",)),
    Spoken("CHUNKING", "content in chunks with their length", ("RFC 3030",)),
    Spoken("DSN", "delivery reports, per message and recipient", ("RFC 3461", "RFC 6533")),
    Spoken(
        "ENHANCEDSTATUSCODES",
        "codes like 5.1.1 in replies; read wherever they stand, announced or not",
        ("RFC 2034", "RFC 3463"),
    ),
    Spoken("LIMITS", "messages, recipients and domains at most", ("RFC 9422",)),
    Spoken("PIPELINING", "an envelope in one write, messages as a stream", ("RFC 2920",)),
    Spoken("REQUIRETLS", "verified TLS all the way, or no delivery", ("RFC 8689",)),
    Spoken("SIZE", "a message's size declared, the server's limit obeyed", ("RFC 1870",)),
    Spoken("SMTPUTF8", "addresses and headers in UTF-8", ("RFC 6531",)),
    Spoken("STARTTLS", "TLS inside the session", ("RFC 3207",)),
)

_SCRAM: Final = "proof by salted hash, from both sides"
_BOUND: Final = "proof by salted hash, from both sides, bound to the server's certificate"

#: SASL mechanisms, strongest first.
MECHANISMS: Final = (
    Spoken("SCRAM-SHA-512-PLUS", _BOUND, ("draft-melnikov-scram-sha-512", "RFC 5929")),
    Spoken("SCRAM-SHA-256-PLUS", _BOUND, ("RFC 7677", "RFC 5929")),
    Spoken("SCRAM-SHA-1-PLUS", _BOUND, ("RFC 5802", "RFC 5929")),
    Spoken("SCRAM-SHA-512", _SCRAM, ("draft-melnikov-scram-sha-512",)),
    Spoken("SCRAM-SHA-256", _SCRAM, ("RFC 7677",)),
    Spoken("SCRAM-SHA-1", _SCRAM, ("RFC 5802",)),
    Spoken("CRAM-MD5", "proof by hash, from the client only", ("RFC 2195",)),
    Spoken("PLAIN", "the password itself", ("RFC 4616",)),
    Spoken("LOGIN", "the password itself, prompt by prompt", ("draft-murchison-sasl-login",)),
    Spoken("OAUTHBEARER", "an access token", ("RFC 7628",)),
    Spoken(
        "XOAUTH2", "an access token, for servers older than the RFC", ("Google's documentation",)
    ),
    Spoken("EXTERNAL", "the client's TLS certificate", ("RFC 4422",)),
)
