r"""An SMTP client engine on the standard library alone; usable without Django.

    from django_smtpauth.smtp import Credentials, Endpoint, connect

    endpoint = Endpoint("smtp.example.com", credentials=Credentials("me", lambda: "secret"))
    with connect(endpoint) as connection:
        connection.send("me@example.com", ["you@example.org"], b"Subject: Hello\r\n\r\nHello")

A mail session is a generator that says what it needs; whoever drives it does the I/O. See
`session` for the protocol's tables, `opening` and `delivery` for the dialogues, `client` for what
a driver needs of them, `connection` for the blocking driver.
"""

from .client import Client
from .connection import Connection, connect
from .content import Content
from .dialling import Dialled
from .endpoint import Endpoint
from .errors import (
    AuthenticationRefused,
    ConnectError,
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    HelloRefused,
    NotSupported,
    ProtocolError,
    RecipientsRefused,
    Refused,
    SenderRefused,
    SMTPError,
    TimedOut,
    TLSError,
)
from .parameters import RecipientOptions, SenderOptions
from .replies import EnhancedStatus, Reply
from .sasl import Credentials
from .timeouts import Timeouts
from .tls import PeerFacts, Security, TLSOptions
from .transaction import Envelope, Recipient, RecipientOutcome, Status, Transaction
from .transcript import Event

__all__ = [
    "AuthenticationRefused",
    "Client",
    "ConnectError",
    "Connection",
    "Content",
    "ContentRefused",
    "Credentials",
    "DeliveryInDoubt",
    "Dialled",
    "Disconnected",
    "Endpoint",
    "EnhancedStatus",
    "Envelope",
    "Event",
    "HelloRefused",
    "NotSupported",
    "PeerFacts",
    "ProtocolError",
    "Recipient",
    "RecipientOptions",
    "RecipientOutcome",
    "RecipientsRefused",
    "Refused",
    "Reply",
    "SMTPError",
    "Security",
    "SenderOptions",
    "SenderRefused",
    "Status",
    "TLSError",
    "TLSOptions",
    "TimedOut",
    "Timeouts",
    "Transaction",
    "connect",
]
