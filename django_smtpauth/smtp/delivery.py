"""Messages over an open session, streamed: the dialogue of MAIL, RCPT, DATA and content.

With PIPELINING an envelope and its DATA leave in one write, and the envelope of the next message
leaves behind the content of this one (RFC 2920 3.1: content may open a group). So N messages
take N + 1 flights. Without it, one command at a time. The code is the same: a group is as long
as the server allows.

What a server can't take is noted in ServerTraits and done the slower way, once and correctly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from . import commands
from .commands import Command, Verb
from .content import BLOCK
from .errors import ContentRefused, Disconnected, NotSupported, SMTPError
from .needs import Conversation
from .session import Session, State
from .transaction import Transaction
from .wire import Wire

#: Bounds of one group, for the server's sake; reading while writing excludes deadlock anyway.
MAX_GROUP_COMMANDS: Final = 256
MAX_GROUP_OCTETS: Final = 16_384


@dataclass
class ServerTraits:
    """What a process has learnt about one server.

    streams: whether it takes the next envelope behind the final dot of a message.
    """

    streams: bool = True


@dataclass(frozen=True)
class Policy:
    """pipelining: send groups if the server offers it."""

    pipelining: bool = True


class Delivery:
    """The dialogue for a series of transactions, in order.

    `on_done` is called with each transaction as soon as its fate is known on this connection.
    When the connection is lost, transactions with a verdict or in doubt are concluded, all
    others stay open (not handed over), and the error is raised.
    """

    def __init__(
        self,
        wire: Wire,
        traits: ServerTraits,
        policy: Policy,
        on_done: Callable[[Transaction], None],
    ) -> None:
        self._wire = wire
        self._session = wire.session
        self._traits = traits
        self._pipelining = policy.pipelining and wire.session.extensions.pipelining
        self._on_done = on_done
        self._under_way: list[Transaction] = []
        # The one whose envelope left behind a final dot and may still be refused for that.
        self._streamed: Transaction | None = None

    def run(
        self, transactions: Iterator[Transaction], began: float | None = None
    ) -> Conversation[None]:
        """Sends them all; raises SMTPError when the connection is lost.

        began: when the operation that includes the first message began, by the driver's clock.
        """
        try:
            yield from self._stream(transactions, began)
        except SMTPError as error:
            for transaction in list(self._under_way):
                self._resolve(transaction, error)
            raise

    def _stream(
        self, transactions: Iterator[Transaction], began: float | None
    ) -> Conversation[None]:
        current = self._next(transactions)
        groups: EnvelopeGroups | None = None
        while current is not None:
            self._wire.patience.start(began)
            began = None
            if groups is None:
                groups = self._begin(current)
                yield from self._wire.write(groups.next())
            # The next message is made while the server thinks about this one.
            with self._wire.patience.suspended():
                following = self._next(transactions)
            yield from self._finish(groups)
            if self._refused_for_streaming(current):
                self._traits.streams = False
                yield from self._dismiss_data(current)
                groups = self._begin(current)
                yield from self._finish(groups)
            groups = None
            if self._session.state is State.CONTENT:
                groups = yield from self._content(current, following)
            self._conclude(current)
            current = following

    def _begin(self, transaction: Transaction) -> EnvelopeGroups:
        if transaction not in self._under_way:
            self._under_way.append(transaction)
        self._streamed = None
        return EnvelopeGroups(self._session, transaction, pipelining=self._pipelining)

    def _finish(self, groups: EnvelopeGroups) -> Conversation[None]:
        """Reads the replies to the group under way, and sends the groups that are left."""
        yield from self._settle()
        while not groups.complete:
            yield from self._wire.write(groups.next())
            yield from self._settle()

    def _settle(self) -> Conversation[None]:
        yield from self._wire.until(self._wire.settled)
        if self._session.state is State.CLOSED:
            raise Disconnected("the server refused RSET", stage="RSET", transient=True)

    def _dismiss_data(self, transaction: Transaction) -> Conversation[None]:
        """Answers a 354 that came although MAIL was refused, with nothing to send."""
        if self._session.state is State.CONTENT:
            yield from self._content(transaction, None)

    def _content(
        self, current: Transaction, following: Transaction | None
    ) -> Conversation[EnvelopeGroups | None]:
        """The content, or a lone dot if nobody is to get it, with the next envelope behind it."""
        wire, session, patience = self._wire, self._session, self._wire.patience
        wanted = bool(current.accepted) and not current.sender_refused
        session.send(commands.content(current.content.size if wanted else 0), current)
        patience.flow()
        tail = b".\r\n"
        if wanted:
            tail = yield from self._all_but_the_tail(current)
        groups = None
        tail = session.content(tail, complete=True)
        if wanted:
            current.content_end = session.queued
        if following is not None and self._pipelining and self._traits.streams:
            groups = self._begin(following)
            self._streamed = following
            tail += groups.next()
        patience.expect(patience.timeouts.content)
        yield from wire.write(tail)
        patience.expect(patience.timeouts.verdict)
        yield from wire.until(self._content_is_answered)
        self._stop_if_refused_early()
        return groups

    def _all_but_the_tail(self, current: Transaction) -> Conversation[bytes]:
        """Sends the content in blocks; returns the last octets, which complete it."""
        wire, patience = self._wire, self._wire.patience
        kept = b""
        for piece in current.content.encoded():
            if len(kept) + len(piece) > BLOCK:
                patience.expect(patience.timeouts.content)
                yield from wire.write(self._session.content(kept, complete=False))
                self._stop_if_refused_early()
                kept = b""
            kept += piece
        return kept

    def _content_is_answered(self) -> bool:
        flight = self._session.in_flight
        return not flight or flight[0].command.verb is not Verb.CONTENT

    def _stop_if_refused_early(self) -> None:
        """A refusal that came before the end of the content leaves the rest of it in the way."""
        if self._session.broken:
            raise Disconnected("the server refused the content before its end", stage="CONTENT")

    def _next(self, transactions: Iterator[Transaction]) -> Transaction | None:
        """The next message that may be sent to this server; others are concluded at once."""
        for transaction in transactions:
            obstacle = self._obstacle(transaction)
            if obstacle is None:
                return transaction
            transaction.reject(obstacle)
            self._on_done(transaction)
        return None

    def _obstacle(self, transaction: Transaction) -> SMTPError | None:
        """Why the server would not, or must not, get this message; found before it is sent."""
        content, extensions = transaction.content, self._session.extensions
        if content.size and extensions.size and content.size > extensions.size:
            return ContentRefused(
                f"the message has {content.size} octets, the server takes {extensions.size}",
                stage="MAIL",
                reason="size",
                transient=False,
            )
        if transaction.envelope.needs_utf8 and not extensions.smtputf8:
            named = transaction.envelope.utf8_addresses
            return NotSupported(
                "an address needs SMTPUTF8, which the server lacks",
                stage="MAIL",
                reason="smtputf8",
                cure=f"This server can't deliver to or from: {', '.join(named)}." if named else "",
            )
        missing = ""
        if content.long_lines:
            missing = "a line is longer than 998 octets"
        elif content.eight_bit and not extensions.eight_bit:
            missing = "the content is 8-bit and the server lacks 8BITMIME"
        if missing:
            return NotSupported(missing, stage="MAIL", reason="not-7bit")
        return None

    def _conclude(self, transaction: Transaction) -> None:
        self._under_way.remove(transaction)
        transaction.conclude()
        self._on_done(transaction)

    def _refused_for_streaming(self, transaction: Transaction) -> bool:
        """Whether the server could not take this envelope because it came with a final dot."""
        reply = transaction.sender_reply
        return transaction is self._streamed and reply is not None and reply.code == 503

    def _resolve(self, transaction: Transaction, error: SMTPError) -> None:
        """The connection is lost: what is known of this transaction?"""
        end = transaction.content_end
        if self._refused_for_streaming(transaction):
            return
        if transaction.decided:
            self._conclude(transaction)
        elif end is not None and self._wire.handed >= end:
            self._under_way.remove(transaction)
            transaction.conclude_lost(error)
            self._on_done(transaction)


class EnvelopeGroups:
    """The commands of one transaction's envelope, cut into groups.

    `next()` puts the next group in flight and returns its octets. A group holds one command
    without PIPELINING. MAIL is preceded by RSET unless the session is known to be clean.
    """

    def __init__(self, session: Session, transaction: Transaction, *, pipelining: bool) -> None:
        self._session = session
        self._transaction = transaction
        self._commands = deque(_envelope_commands(session, transaction))
        self._most = MAX_GROUP_COMMANDS if pipelining else 1

    @property
    def complete(self) -> bool:
        """Whether nothing is left that makes sense to send."""
        if not self._commands or self._transaction.sender_refused:
            return True
        only_data_left = self._commands[0].verb is Verb.DATA
        return only_data_left and not self._transaction.accepted

    def next(self) -> bytes:
        """The octets of the next group."""
        group = bytearray()
        for _ in range(self._most):
            if not self._commands or len(group) + len(self._commands[0].line) > MAX_GROUP_OCTETS:
                break
            group += self._session.send(self._commands.popleft(), self._transaction)
        return bytes(group)


def _envelope_commands(session: Session, transaction: Transaction) -> Iterator[Command]:
    recipients = transaction.begin()
    envelope, content = transaction.envelope, transaction.content
    utf8 = envelope.needs_utf8
    if not session.fresh:
        yield commands.rset()
    parameters = []
    if content.size is not None and "SIZE" in session.extensions:
        parameters.append(f"SIZE={content.size}")
    if content.eight_bit:
        parameters.append("BODY=8BITMIME")
    if utf8:
        parameters.append("SMTPUTF8")
    yield commands.mail(envelope.sender, parameters, utf8=utf8)
    for recipient in recipients:
        yield commands.rcpt(recipient.address, utf8=utf8)
    yield commands.data()
