"""One message on its way: envelope, content, and what became of it, recipient by recipient."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .addresses import Mailbox
from .commands import Command, Verb
from .content import Content
from .errors import (
    ContentRefused,
    DeliveryInDoubt,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
)
from .replies import Reply
from .transcript import Event, new_log


@dataclass(frozen=True)
class Recipient:
    """One recipient of the envelope; the domain is an A-label (or UTF-8 with SMTPUTF8)."""

    address: str


@dataclass(frozen=True)
class Envelope:
    """Who sends (empty: the null reverse-path) and who receives, at least one.

    utf8: an address in the header can be written only with SMTPUTF8 (RFC 6531).
    Raises ValueError for an address that is none.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    utf8: bool = False

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("An envelope needs at least one recipient.")
        for address in self._addresses[0 if self.sender else 1 :]:
            Mailbox.parse(address)

    @property
    def _addresses(self) -> tuple[str, ...]:
        return (self.sender, *(recipient.address for recipient in self.recipients))

    @property
    def utf8_addresses(self) -> tuple[str, ...]:
        """The addresses that are not ASCII."""
        return tuple(address for address in self._addresses if not address.isascii())

    @property
    def needs_utf8(self) -> bool:
        """Whether the transaction needs SMTPUTF8."""
        return self.utf8 or not all(address.isascii() for address in self._addresses)

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

    #: What was said about this message, redacted.
    events: deque[Event] = field(default_factory=new_log, repr=False)

    # The attempt under way.
    accepted: dict[str, Reply] = field(default_factory=dict)
    sender_reply: Reply | None = None
    data_reply: Reply | None = None
    #: Octets written when the content was complete; None: it is not.
    content_end: int | None = None
    # The first command of each kind that was refused, as the transcript shows it.
    _refused: dict[Verb, str] = field(default_factory=dict)
    # Recipients at whom the server ended the session once already.
    _ended_by: set[str] = field(default_factory=set)

    def begin(self) -> tuple[Recipient, ...]:
        """Starts an attempt; returns the recipients that still want one."""
        self.attempt += 1
        self.accepted = {}
        self.sender_reply = self.data_reply = self.final = self.content_end = None
        return self.open_recipients

    def take(self, command: Command, reply: Reply) -> None:
        """A command of this transaction was answered."""
        if reply.klass in (4, 5):
            self._refused.setdefault(command.verb, command.shown)
        match command.verb:
            case Verb.MAIL:
                self.sender_reply = reply
            case Verb.RCPT:
                self._take_recipient(command.argument, reply)
            case Verb.DATA:
                self.data_reply = reply
            # The reply to a lone dot, which closes a DATA that nobody is to get, says nothing.
            case Verb.CONTENT if self.accepted:
                self.final = reply

    def _take_recipient(self, address: str, reply: Reply) -> None:
        if self.sender_refused:
            return
        if reply.klass == 2:
            self.accepted[address] = reply
        elif reply.code != 421 or address in self._ended_by:
            self.settle(address, reply)
        else:
            # The server went away, perhaps because of this recipient: it gets one more try.
            self._ended_by.add(address)

    @property
    def sender_refused(self) -> bool:
        """Whether MAIL was refused in this attempt."""
        return self.sender_reply is not None and self.sender_reply.klass != 2

    @property
    def decided(self) -> bool:
        """Whether the replies so far say what became of the message, without doubt."""
        refusals = (self.sender_reply, self.data_reply)
        refused = any(r is not None and r.klass in (4, 5) and r.code != 421 for r in refusals)
        return refused or self.final is not None or not self.open_recipients

    @property
    def progress(self) -> int:
        """Grows with every verdict; a further connection is worth it while it does."""
        return len(self.outcomes) + len(self._ended_by)

    @property
    def open_recipients(self) -> tuple[Recipient, ...]:
        """The recipients whose fate is open."""
        return tuple(r for r in self.envelope.recipients if r.address not in self.outcomes)

    def settle(self, address: str, reply: Reply) -> None:
        """A refusal of one recipient: final for this message."""
        self.outcomes[address] = RecipientOutcome(_refusal(reply), reply, self.attempt)

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
            self.conclude_unsent(
                SenderRefused(sender=self.envelope.sender, **self._at(Verb.MAIL, sender))
            )
        elif not self.accepted:
            self._refuse_recipients()
        elif final is None and data is not None and data.klass != 3:
            self.conclude_unsent(ContentRefused(**self._at(Verb.DATA, data)))
        elif final is not None and final.klass != 2:
            self.conclude_unsent(ContentRefused(**self._at(Verb.CONTENT, final)))
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
        """No further attempt: what the error tells is the fate of the open recipients."""
        self.done = True
        reply = error.reply
        self.settle_open(Status.NOT_SENT if reply is None else _refusal(reply), reply)
        self.error = error

    def reject(self, error: SMTPError) -> None:
        """The engine itself will not send this message to this server."""
        self.done = True
        self.settle_open(Status.REFUSED, None)
        self.error = error

    @property
    def sent(self) -> bool:
        """Whether the server took responsibility for at least one recipient."""
        return any(outcome.status is Status.ACCEPTED for outcome in self.outcomes.values())

    def _at(self, verb: Verb, reply: Reply | None) -> dict[str, Any]:
        """What an error says of the command that was refused."""
        return {"stage": verb.stage, "command": self._refused.get(verb, ""), "reply": reply}

    def _refuse_recipients(self) -> None:
        replies = {a: o.reply for a, o in self.outcomes.items() if o.reply is not None}
        self.error = RecipientsRefused(
            "every recipient was refused" if len(replies) > 1 else "",
            **self._at(Verb.RCPT, next(iter(replies.values()), None)),
            transient=any(reply.klass == 4 for reply in replies.values()),
            recipients={a: (r.code, "\n".join(r.lines).encode()) for a, r in replies.items()},
        )


def _refusal(reply: Reply) -> Status:
    return Status.DEFERRED if reply.klass == 4 else Status.REFUSED
