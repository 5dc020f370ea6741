"""The envelope of one round, as commands in groups: RSET, MAIL, RCPT, and what leads to content.

A round has the recipients that the server takes in one transaction (RFC 9422); the rest is left
for another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from . import commands
from .addresses import Mailbox
from .commands import Command, Verb
from .content import Content
from .session import Session
from .transaction import Recipient, Transaction

#: Bounds of one group, for the server's sake; reading while writing excludes deadlock anyway.
MAX_GROUP_COMMANDS: Final = 256
MAX_GROUP_OCTETS: Final = 16_384


class EnvelopeGroups:
    """The commands of one round's envelope, cut into groups.

    `next()` puts the next group in flight and returns its octets. A group holds one command
    without PIPELINING. MAIL is preceded by RSET unless the session is known to be clean. `data`:
    DATA is to follow, in the last group; in one of its own where every recipient must be accepted
    first, since who has heard 354 can only send a message.
    """

    def __init__(
        self, session: Session, transaction: Transaction, *, pipelining: bool, data: bool = True
    ) -> None:
        self._session = session
        self._transaction = transaction
        self._commands = deque(_envelope_commands(session, transaction, data=data))
        self._most = MAX_GROUP_COMMANDS if pipelining else 1

    @property
    def complete(self) -> bool:
        """Whether nothing is left that makes sense to send."""
        if not self._commands or self._transaction.sender_refused:
            return True
        only_data_left = self._commands[0].verb is Verb.DATA
        return only_data_left and not self._transaction.wanted

    @property
    def is_one_group(self) -> bool:
        """Whether all that is left fits into one group."""
        octets = sum(len(command.line) for command in self._commands)
        return len(self._commands) <= self._most and octets <= MAX_GROUP_OCTETS

    def next(self) -> bytes:
        """The octets of the next group."""
        group = bytearray()
        for _ in range(self._most):
            if not self._commands or (group and self._begins_a_group(self._commands[0], group)):
                break
            group += self._session.send(self._commands.popleft(), self._transaction)
        return bytes(group)

    def _begins_a_group(self, command: Command, group: bytearray) -> bool:
        judged_first = command.verb is Verb.DATA and self._transaction.envelope.all_or_none
        return judged_first or len(group) + len(command.line) > MAX_GROUP_OCTETS


def next_round(
    session: Session, transaction: Transaction, most: int | None = None
) -> tuple[Recipient, ...]:
    """The open recipients that this session takes in one transaction; perhaps none.

    most: recipients of one transaction, if the server's limit is known otherwise than by LIMITS.
    """
    limits, wanted = session.extensions.limits, transaction.open_recipients
    domains = set(session.domains)
    chosen: list[Recipient] = []
    for recipient in wanted:
        domain = Mailbox.parse(recipient.address).domain.lower()
        if limits.domains and len(domains | {domain}) > limits.domains:
            continue
        domains.add(domain)
        chosen.append(recipient)
    if transaction.envelope.all_or_none:
        return wanted if len(chosen) == len(wanted) else ()
    known = (limits.recipients, most, transaction.most_at_once)
    return tuple(chosen[: min(filter(None, known), default=None)])


def _envelope_commands(
    session: Session, transaction: Transaction, *, data: bool
) -> Iterator[Command]:
    envelope = transaction.envelope
    utf8 = envelope.needs_utf8
    if not session.fresh:
        yield commands.rset()
    parameters = [*_about_content(session, transaction.content), *envelope.options.words()]
    if utf8:
        parameters.append("SMTPUTF8")
    yield commands.mail(envelope.sender, parameters, utf8=utf8)
    for recipient in transaction.round:
        yield commands.rcpt(recipient.address, recipient.options.words(), utf8=utf8)
    if data:
        yield commands.data()


def _about_content(session: Session, content: Content) -> Iterator[str]:
    if content.size is not None and "SIZE" in session.extensions:
        yield f"SIZE={content.size}"
    if content.binary:
        yield "BODY=BINARYMIME"
    elif content.eight_bit:
        yield "BODY=8BITMIME"
