"""One message on its way: envelope, content, and what became of it, recipient by recipient."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

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
from .parameters import RecipientOptions, SenderOptions
from .replies import Reply
from .transcript import Event, new_log

NO_SENDER_OPTIONS: Final = SenderOptions()
NO_RECIPIENT_OPTIONS: Final = RecipientOptions()


@dataclass(frozen=True)
class Recipient:
    """One recipient of the envelope; the domain is an A-label (or UTF-8 with SMTPUTF8)."""

    address: str
    options: RecipientOptions = NO_RECIPIENT_OPTIONS


@dataclass(frozen=True)
class Envelope:
    """Who sends (empty: the null reverse-path) and who receives, at least one.

    recipients: a repeated one counts once.
    utf8: an address in the header can be written only with SMTPUTF8 (RFC 6531).
    all_or_none: unless the server accepts every recipient, none shall get the message.
    Raises ValueError for an address that is none.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    options: SenderOptions = NO_SENDER_OPTIONS
    utf8: bool = False
    all_or_none: bool = False

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("An envelope needs at least one recipient.")
        unique: dict[str, Recipient] = {}
        for recipient in self.recipients:
            unique.setdefault(recipient.address, recipient)
        object.__setattr__(self, "recipients", tuple(unique.values()))
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
        """An envelope from plain addresses."""
        return cls(sender, tuple(Recipient(address) for address in recipients))


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

    A message with more recipients than a server takes at once goes out in several rounds, each
    with a MAIL of its own; so does what a lost connection left. `attempt` counts them. `outcomes`
    has a final entry for each recipient that needs no further round; `done` says that all have.
    `error` says why the message as a whole failed; `final` is the reply to the content.
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

    # The round under way.
    accepted: dict[str, Reply] = field(default_factory=dict)
    sender_reply: Reply | None = None
    data_reply: Reply | None = None
    #: Octets written when the content was complete; None: it is not.
    content_end: int | None = None
    round: tuple[Recipient, ...] = ()
    #: How many recipients a round may have, after one of which some were put off.
    most_at_once: int | None = None
    # Recipients that the server wants in another round.
    _postponed: dict[str, Reply] = field(default_factory=dict)
    # Replies to the content, by recipient; in LMTP each recipient has its own.
    _verdicts: dict[str, Reply] = field(default_factory=dict)
    _by_recipient: bool = False
    # The first command of each kind that was refused, as the transcript shows it.
    _refused: dict[Verb, str] = field(default_factory=dict)
    # Recipients of an earlier round may have the message, and may not.
    _doubt: DeliveryInDoubt | None = None
    # Recipients at whom the server ended the session once already.
    _ended_by: set[str] = field(default_factory=set)

    def begin(self, recipients: tuple[Recipient, ...] = (), *, by_recipient: bool = False) -> None:
        """Starts a round with these recipients; none named: with all that are open.

        by_recipient: the content is answered once for each accepted recipient (LMTP).
        """
        self.attempt += 1
        self.accepted = {}
        self.sender_reply = self.data_reply = self.final = self.content_end = None
        self.round = recipients or self.open_recipients
        self._postponed = {}
        self._verdicts = {}
        self._by_recipient = by_recipient

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
            # 421 before the last chunk is no verdict, but the end of the session.
            case Verb.BDAT if reply.klass in (4, 5) and reply.code != 421:
                self._take_verdict(reply, len(self.accepted))
            # What is said to a content that nobody is to get says nothing.
            case Verb.CONTENT | Verb.LAST:
                self._take_verdict(reply, 1 if self._by_recipient else len(self.accepted))

    def _take_recipient(self, address: str, reply: Reply) -> None:
        if self.sender_refused:
            return
        if reply.klass == 2:
            self.accepted[address] = reply
        elif self.accepted and not self.envelope.all_or_none and _is_too_many(reply):
            self._postponed[address] = reply
        elif reply.code != 421 or address in self._ended_by:
            self.settle(address, reply)
        else:
            # The server went away, perhaps because of this recipient: it gets one more try.
            self._ended_by.add(address)

    def _take_verdict(self, reply: Reply, count: int) -> None:
        """A reply to the content, for so many of those who still wait for theirs."""
        waiting = [address for address in self.accepted if address not in self._verdicts]
        for address in waiting[:count]:
            self._verdicts[address] = self.final = reply

    @property
    def sender_refused(self) -> bool:
        """Whether MAIL was refused in this round."""
        return self.sender_reply is not None and self.sender_reply.klass != 2

    @property
    def content_refused(self) -> bool:
        """Whether the content, or a part of it, was refused already."""
        return self.final is not None and self.final.klass != 2

    @property
    def wanted(self) -> bool:
        """Whether the content is to follow: who has to accept the envelope has accepted it."""
        if self.sender_refused or not self.accepted:
            return False
        return not self.envelope.all_or_none or len(self.accepted) == len(self.round)

    @property
    def limit(self) -> int | None:
        """How many recipients the server takes at once, if it said so in this round (x.5.3)."""
        told = any(reply.enhanced for reply in self._postponed.values())
        return len(self.accepted) if told else None

    @property
    def decided(self) -> bool:
        """Whether the replies so far say what became of this round, without doubt."""
        refusals = (self.sender_reply, self.data_reply)
        refused = any(r is not None and r.klass in (4, 5) and r.code != 421 for r in refusals)
        answered = bool(self._verdicts) and len(self._verdicts) == len(self.accepted)
        spoilt = self.envelope.all_or_none and bool(self.outcomes)
        return refused or answered or spoilt or not self.open_recipients

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
        """All replies of this round are in: derives outcomes and error. RFC 5321 3.3.

        Not `done` after it: recipients are left for another round.
        """
        sender, data, final = self.sender_reply, self.data_reply, self.final
        if self._postponed:
            self.most_at_once = len(self.accepted)
        if sender is not None and sender.klass != 2:
            self.conclude_unsent(
                SenderRefused(sender=self.envelope.sender, **self._at(Verb.MAIL, sender))
            )
        elif not self.wanted:
            if self.envelope.all_or_none or not self.open_recipients:
                self._refuse_recipients(Verb.RCPT)
        elif final is None and data is not None and data.klass != 3:
            self.conclude_unsent(ContentRefused(**self._at(Verb.DATA, data)))
        elif final is not None and final.klass != 2 and not self._by_recipient:
            self.conclude_unsent(ContentRefused(**self._at(self._content_verb, final)))
        else:
            self._settle_verdicts()
            if self.open_recipients:
                return
            self.done = True
            if not self.sent:
                self._refuse_recipients(self._content_verb)

    @property
    def _content_verb(self) -> Verb:
        """At what the content was refused."""
        return next(v for v in (Verb.BDAT, Verb.LAST, Verb.CONTENT) if v in self._refused)

    def _settle_verdicts(self) -> None:
        accepting = (reply for reply in self._verdicts.values() if reply.klass == 2)
        self.final = next(accepting, self.final)
        for address, reply in self._verdicts.items():
            status = Status.ACCEPTED if reply.klass == 2 else _refusal(reply)
            self.outcomes[address] = RecipientOutcome(status, reply, self.attempt)

    def conclude_lost(self, error: SMTPError) -> None:
        """The connection is gone after the content was complete: nobody knows (in doubt).

        Not `done` after it: recipients are left that this round did not reach.
        """
        self._settle_verdicts()
        for recipient in self.round:
            if recipient.address not in self._postponed:
                outcome = RecipientOutcome(Status.IN_DOUBT, None, self.attempt)
                self.outcomes.setdefault(recipient.address, outcome)
        doubt = DeliveryInDoubt(
            f"the connection was lost before the reply to the content ({error.message})",
            stage=error.stage or "CONTENT",
        )
        self._doubt = self._doubt or doubt
        if not self.open_recipients:
            self._finish(doubt)

    def conclude_unsent(self, error: SMTPError) -> None:
        """No further attempt: what the error tells is the fate of the open recipients."""
        reply = error.reply
        self.settle_open(Status.NOT_SENT if reply is None else _refusal(reply), reply)
        self._finish(error)

    def reject(self, error: SMTPError) -> None:
        """The engine itself will not send this message to this server."""
        self.settle_open(Status.REFUSED, None)
        self._finish(error)

    def _finish(self, error: SMTPError) -> None:
        """The message has failed, unless a recipient has it already.

        A doubt that an earlier round left is what matters most: sending again may send twice.
        """
        self.done = True
        self.error = None if self.sent else self._doubt or error

    @property
    def sent(self) -> bool:
        """Whether the server took responsibility for at least one recipient."""
        return any(outcome.status is Status.ACCEPTED for outcome in self.outcomes.values())

    def _at(self, verb: Verb, reply: Reply | None) -> dict[str, Any]:
        """What an error says of the command that was refused."""
        return {"stage": verb.stage, "command": self._refused.get(verb, ""), "reply": reply}

    def _refuse_recipients(self, verb: Verb) -> None:
        """Nobody gets the message: `verb` is what the recipients were refused at."""
        replies = {a: o.reply for a, o in self.outcomes.items() if o.reply is not None}
        every = "every recipient was refused" if len(replies) > 1 else ""
        some = f"{len(self.accepted)} recipients were accepted, and it is for all or for none"
        self.settle_open(Status.NOT_SENT, None)
        self._finish(
            RecipientsRefused(
                some if self.accepted and verb is Verb.RCPT else every,
                **self._at(verb, next(iter(replies.values()), None)),
                transient=any(reply.klass == 4 for reply in replies.values()),
                recipients={a: (r.code, "\n".join(r.lines).encode()) for a, r in replies.items()},
            )
        )


def _refusal(reply: Reply) -> Status:
    return Status.DEFERRED if reply.klass == 4 else Status.REFUSED


def _is_too_many(reply: Reply) -> bool:
    """Whether the server wants this recipient in another transaction (RFC 5321 4.5.3.1.10)."""
    if reply.enhanced is None:
        return reply.code == 452
    return (reply.enhanced.subject, reply.enhanced.detail) == (5, 3)
