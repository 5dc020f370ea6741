"""One message on its way: envelope, content, and what became of it, recipient by recipient."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from .content import Content
from .errors import (
    ContentRefused,
    DeliveryInDoubt,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
)
from .replies import Reply


@dataclass(frozen=True)
class Recipient:
    """One recipient of the envelope; the domain is an A-label (or UTF-8 with SMTPUTF8)."""

    address: str


@dataclass(frozen=True)
class Envelope:
    """Who sends (empty: the null reverse-path) and who receives, at least one."""

    sender: str
    recipients: tuple[Recipient, ...]

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("An envelope needs at least one recipient.")

    @classmethod
    def of(cls, sender: str, recipients: Iterable[str]) -> Envelope:
        """An envelope from plain addresses; a repeated recipient counts once."""
        return cls(sender, tuple(Recipient(address) for address in dict.fromkeys(recipients)))


class Status(str, enum.Enum):
    """What is known of one recipient after an attempt."""

    ACCEPTED = "accepted"  #: the server took responsibility
    REFUSED = "refused"  #: 5xx, to the recipient or to the whole message
    DEFERRED = "deferred"  #: 4xx, to the recipient or to the whole message
    IN_DOUBT = "in_doubt"  #: handed over complete, but the reply never came
    NOT_SENT = "not_sent"  #: not handed over


@dataclass(frozen=True)
class RecipientOutcome:
    """The status of one recipient, the reply that decided it, and in which attempt (from 1)."""

    status: Status
    reply: Reply | None = None
    attempt: int = 1

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {
            "status": self.status.value,
            "reply": self.reply.to_dict() if self.reply else None,
            "attempt": self.attempt,
        }


@dataclass(eq=False)
class Transaction:
    """A message in the hands of the engine, over one or more connections.

    `attempt` counts the connections on which its MAIL was sent. `outcomes` has a final entry
    for each recipient that needs no further attempt; `error` says why the message as a whole
    failed; `final` is the reply to the content.
    """

    envelope: Envelope
    content: Content
    attempt: int = 0
    outcomes: dict[str, RecipientOutcome] = field(default_factory=dict)
    final: Reply | None = None
    error: SMTPError | None = None
    done: bool = False

    # The attempt under way.
    accepted: dict[str, Reply] = field(default_factory=dict)
    sender_reply: Reply | None = None
    data_reply: Reply | None = None
    content_end: int | None = None

    def begin(self) -> tuple[Recipient, ...]:
        """Starts an attempt; returns the recipients that still want one."""
        self.attempt += 1
        self.accepted = {}
        self.sender_reply = self.data_reply = self.content_end = None
        return self.open_recipients

    @property
    def open_recipients(self) -> tuple[Recipient, ...]:
        """The recipients whose fate is open."""
        return tuple(r for r in self.envelope.recipients if r.address not in self.outcomes)

    def settle(self, address: str, reply: Reply) -> None:
        """A refusal of one recipient: final for this message."""
        status = Status.DEFERRED if reply.klass == 4 else Status.REFUSED
        self.outcomes[address] = RecipientOutcome(status, reply, self.attempt)

    def settle_open(self, status: Status, reply: Reply | None) -> None:
        """The same fate for every recipient whose fate is open."""
        outcome = RecipientOutcome(status, reply, self.attempt)
        for recipient in self.open_recipients:
            self.outcomes[recipient.address] = outcome

    def conclude(self) -> None:
        """All replies of this attempt are in: derives outcomes and error. RFC 5321 3.3."""
        self.done = True
        sender, data, final = self.sender_reply, self.data_reply, self.final
        if sender is not None and sender.klass != 2:
            self._refuse(SenderRefused(sender=self.envelope.sender, stage="MAIL", reply=sender))
        elif not self.accepted:
            self._refuse_recipients(data)
        elif final is None and data is not None and data.klass != 3:
            self._refuse(ContentRefused(stage="DATA", reply=data))
        elif final is not None and final.klass != 2:
            self._refuse(ContentRefused(stage="CONTENT", reply=final))
        else:
            self.settle_open(Status.ACCEPTED, final)

    def conclude_lost(self, error: SMTPError) -> None:
        """The connection is gone after the content was complete: nobody knows (in doubt)."""
        self.done = True
        self.settle_open(Status.IN_DOUBT, None)
        self.error = DeliveryInDoubt(
            f"the connection was lost before the reply to the content ({error.message})",
            stage=error.stage or "CONTENT",
        )

    def conclude_unsent(self, error: SMTPError) -> None:
        """No further attempt: the open recipients were never handed over."""
        self.done = True
        reply = error.reply
        refused = reply is not None and reply.klass in (4, 5)
        status = Status.NOT_SENT
        if refused and reply is not None:
            status = Status.DEFERRED if reply.klass == 4 else Status.REFUSED
        self.settle_open(status, reply)
        self.error = error

    @property
    def sent(self) -> bool:
        """Whether the server took responsibility for at least one recipient."""
        return any(outcome.status is Status.ACCEPTED for outcome in self.outcomes.values())

    def _refuse(self, error: SMTPError) -> None:
        assert error.reply is not None
        klass = error.reply.klass
        self.settle_open(Status.DEFERRED if klass == 4 else Status.REFUSED, error.reply)
        self.error = error

    def _refuse_recipients(self, data: Reply | None) -> None:
        if data is not None and data.klass in (4, 5):
            self.settle_open(Status.DEFERRED if data.klass == 4 else Status.REFUSED, data)
        replies = {a: o.reply for a, o in self.outcomes.items() if o.reply is not None}
        first = next(iter(replies.values()), data)
        self.error = RecipientsRefused(
            "every recipient was refused" if len(replies) > 1 else "",
            stage="RCPT",
            reply=first,
            transient=any(reply.klass == 4 for reply in replies.values()),
            recipients={a: (r.code, "\n".join(r.lines).encode()) for a, r in replies.items()},
        )
