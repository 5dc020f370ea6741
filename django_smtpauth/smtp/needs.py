"""What a conversation asks of its driver.

A conversation is a generator. It yields one of these values and is resumed with the answer:

- Exchange: resumed with an Arrival.
- StartTLS: resumed with a Handshake.
- Call: resumed with what the function returns, or with its exception thrown in.

Drivers do the I/O and nothing else; a loss or a time-out comes back as a value in `fault`,
together with the octets that arrived before it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

from .errors import SMTPError
from .tls import PeerFacts


@dataclass(frozen=True)
class Exchange:
    """Send `out`; resume when octets arrive, or when all is sent unless a reply is wanted.

    timeout: seconds for this step.
    """

    out: bytes = field(repr=False)
    want_reply: bool
    timeout: float


@dataclass(frozen=True)
class Arrival:
    """What came of an Exchange.

    data: octets received, perhaps none.
    handed: octets handed to the transport since the connection began. An octet inside an
        incomplete TLS record does not count: the peer can't read it.
    fault: why nothing more can be had, if so; `data` came before it.
    """

    data: bytes = field(repr=False)
    handed: int
    fault: SMTPError | None = None


@dataclass(frozen=True)
class StartTLS:
    """Do the TLS handshake now, within `timeout` seconds."""

    timeout: float


@dataclass(frozen=True)
class Handshake:
    """What came of a StartTLS: the facts, or the fault."""

    facts: PeerFacts | None
    fault: SMTPError | None = None


@dataclass(frozen=True)
class Call:
    """Call a function that may take its time: a token, a vault."""

    function: Callable[[], Any]


Need = Union[Exchange, StartTLS, Call]  # noqa: UP007 - evaluated at run time on 3.10
T = TypeVar("T")
Conversation = Generator[Need, Any, T]
