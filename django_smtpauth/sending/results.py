"""What became of one message, as `message.smtp_result`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..smtp.connection import Connection
from ..smtp.errors import SMTPError
from ..smtp.replies import Reply
from ..smtp.tls import PeerFacts
from ..smtp.transaction import RecipientOutcome, Status
from ..smtp.transcript import Event, merged, render

# How servers tell the name under which they keep a message: Postfix and many others; Exim;
# sendmail; Google; Amazon SES and similar, which answer with the name alone.
_QUEUE_IDS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"queued as:? <?([A-Za-z0-9._@-]+)",
        r"\bid=([A-Za-z0-9-]+)",
        r"^([A-Za-z0-9]{8,}) message accepted for delivery",
        r"^ok:?\s+(?:\d+ )?([A-Za-z0-9._-]{8,})",
    )
]


def queue_id(reply: Reply | None) -> str:
    """The server's name for the accepted message, or an empty text if it tells none."""
    if reply is None or reply.klass != 2:
        return ""
    found = (pattern.search(reply.text) for pattern in _QUEUE_IDS)
    return next((match[1] for match in found if match), "")


@dataclass(frozen=True)
class Attempt:
    """One connection that carried, or should have carried, the message.

    account: slug, or an empty text for a server from settings or options.
    rule: by which rule the server was chosen, one sentence.
    server: host:port, or the path of a Unix socket.
    peer: the IP address reached (a proxy's, if there is one), "" if none was.
    tls: facts of the handshake, None without TLS; mechanism: of SASL, "" without log-in.
    queue_id: the server's name for the message. seconds: from its first step to its last.
    in_doubt: the connection was lost between the end of the content and its reply.
    error: why this attempt failed, one line.
    """

    account: str
    rule: str
    server: str
    peer: str = ""
    tls: PeerFacts | None = None
    mechanism: str = ""
    reply: Reply | None = None
    queue_id: str = ""
    seconds: float = 0.0
    in_doubt: bool = False
    error: str = ""

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {
            "account": self.account,
            "rule": self.rule,
            "server": self.server,
            "peer": self.peer,
            "tls": self.tls.to_dict() if self.tls else None,
            "mechanism": self.mechanism,
            "reply": self.reply.to_dict() if self.reply else None,
            "queue_id": self.queue_id,
            "seconds": round(self.seconds, 3),
            "in_doubt": self.in_doubt,
            "error": self.error,
        }


@dataclass
class Result:
    """The truth about one message.

    message_id: as in its header; "" when it could not be composed.
    recipients: the outcome for each address of the envelope.
    attempts: the connections, in order. error: why it failed; None when it was sent.
    """

    message_id: str = ""
    recipients: dict[str, RecipientOutcome] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    error: Exception | None = None
    #: The logs that the transcript is made of: of the connections, and of the message.
    logs: tuple[Iterable[Event], ...] = field(default=(), repr=False)

    @property
    def transcript(self) -> tuple[Event, ...]:
        """The redacted dialogue, opening of the connections included."""
        return merged(*self.logs)

    @property
    def sent(self) -> bool:
        """Whether the server took responsibility for at least one recipient."""
        return bool(self.accepted)

    @property
    def in_doubt(self) -> bool:
        """Whether the message may have been accepted although nobody said so."""
        return any(self._with(Status.IN_DOUBT))

    @property
    def accepted(self) -> list[str]:
        """The addresses that the server took."""
        return list(self._with(Status.ACCEPTED))

    @property
    def refused(self) -> list[str]:
        """The addresses that were refused, for now or for good."""
        return [*self._with(Status.REFUSED), *self._with(Status.DEFERRED)]

    @property
    def queue_id(self) -> str:
        """The server's name for the message, or an empty text."""
        return self.attempts[-1].queue_id if self.attempts else ""

    def dialogue(self) -> str:
        """The redacted dialogue as text."""
        return render(self.transcript)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values: no secret, no content."""
        return {
            "message_id": self.message_id,
            "sent": self.sent,
            "in_doubt": self.in_doubt,
            "queue_id": self.queue_id,
            "recipients": {a: outcome.to_dict() for a, outcome in self.recipients.items()},
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "error": _error_dict(self.error),
        }

    def _with(self, status: Status) -> Iterator[str]:
        return (a for a, outcome in self.recipients.items() if outcome.status is status)


def attempt_of(connection: Connection, account: str, rule: str) -> Attempt:
    """The facts of a connection, for the messages that it carries."""
    return Attempt(
        account=account,
        rule=rule,
        server=connection.endpoint.server,
        peer=connection.peer,
        tls=connection.tls,
        mechanism=connection.mechanism,
    )


def _error_dict(error: Exception | None) -> dict[str, object] | None:
    if error is None or isinstance(error, SMTPError):
        return error.to_dict() if error else None
    return {"error": type(error).__name__, "text": str(error)}
