"""An envelope as commands, and what a dialogue shows that is over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ..smtp import commands
from ..smtp.needs import Conversation
from ..smtp.replies import Reply
from ..smtp.transaction import Envelope
from ..smtp.transcript import Event
from ..smtp.wire import Wire

_SENDER: Final = re.compile(r"MAIL FROM:<(.*?)>(?: |$)")
#: Codes that speak of a mailbox where no enhanced code says more (RFC 5321 4.2.2).
_OF_MAILBOXES: Final = frozenset({550, 551, 552})
_DECLARED_SIZE: Final = re.compile(r" SIZE=(\d+)")


def mail(envelope: Envelope) -> commands.Command:
    utf8 = envelope.needs_utf8
    return commands.mail(envelope.sender, ["SMTPUTF8"] if utf8 else (), utf8=utf8)


def rcpts(envelope: Envelope) -> list[commands.Command]:
    utf8 = envelope.needs_utf8
    return [commands.rcpt(recipient.address, utf8=utf8) for recipient in envelope.recipients]


def together(
    wire: Wire, group: Iterable[commands.Command], replies: list[Reply]
) -> Conversation[None]:
    return wire.ask_together(group, replies)


def last_said(events: Iterable[Event]) -> Reply | None:
    """The last reply of a dialogue, as far as the transcript shows it."""
    said = [event.text for event in events if event.direction == "S"]
    if not said:
        return None
    return Reply(int(said[-1][:3]), tuple(line[4:] for line in said[-1].split("\n")))


def mailed_from(events: Iterable[Event]) -> str:
    """The sender's address, as MAIL told it."""
    found = (_SENDER.match(event.text) for event in events if event.direction == "C")
    return next((match[1] for match in found if match), "")


def concerns_mailbox(reply: Reply) -> bool:
    """Whether a refusal of RCPT speaks of the recipient's mailbox (RFC 3463 3.2, 3.3), or is for
    now only; not of who may send."""
    if reply.klass == 4:
        return True
    if reply.enhanced is None:
        return reply.code in _OF_MAILBOXES
    about_sender = reply.enhanced.subject == 1 and reply.enhanced.detail in (7, 8)
    return reply.enhanced.subject in (1, 2) and not about_sender


def declared_size(events: Iterable[Event]) -> int | None:
    """The octets of a message, which MAIL tells to servers that want to know."""
    found = (_DECLARED_SIZE.search(event.text) for event in events if event.stage == "MAIL")
    return next((int(match[1]) for match in found if match), None)
