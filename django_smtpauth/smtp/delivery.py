"""Messages over an open session, streamed: the dialogue of MAIL, RCPT and content.

With PIPELINING an envelope and its DATA leave in one write, and the envelope of the next message
leaves behind the content of this one (RFC 2920 3.1: content may open a group). So N messages
take N + 1 flights. Without it, one command at a time. The code is the same: a group is as long
as the server allows.

Content goes behind DATA or, if the policy says so, in chunks (BDAT, RFC 3030): after the replies
to the envelope, or *eagerly*, in one write with it, which saves a flight. A server that refuses
a chunk without discarding its octets would run them as commands, so eager is for servers that
have proven not to.

What a server can't take is noted in ServerTraits and done the slower way, once and correctly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from .content import BLOCK, Chunking
from .demands import obstacle
from .envelope import EnvelopeGroups, next_round
from .errors import Disconnected, ProtocolError, SMTPError
from .handover import Handover
from .needs import Conversation
from .probing import discards_chunks
from .session import State
from .transaction import Transaction
from .wire import Wire

#: Seconds of silence after which a connection may have died unnoticed: content then waits for
#: the replies to its envelope, since what is handed over to nobody is in doubt.
SILENCE: Final = 5.0


@dataclass
class ServerTraits:
    """What a process has learnt about one server.

    streams: whether it takes the next envelope behind the end of a message.
    discards_chunks: whether it has proven to discard chunks that it refuses; None: not asked yet.
    most_recipients: how many it takes in one transaction, where it refused more.
    """

    streams: bool = True
    discards_chunks: bool | None = None
    most_recipients: int | None = None


@dataclass(frozen=True)
class Policy:
    """How a session may be used.

    pipelining: send groups if the server offers it.
    bdat: send content in chunks if the server offers it; what is binary goes in chunks anyway.
    max_unanswered: complete messages that may lack their reply at once.
    verified: the connection has TLS with a verified certificate. authenticated: somebody has
        logged in.
    """

    pipelining: bool = True
    bdat: Chunking = "never"
    max_unanswered: int = 1
    verified: bool = False
    authenticated: bool = False


class Delivery:
    """The dialogue for a series of transactions, in order.

    `on_done` is called with each transaction as soon as its fate is known on this connection.
    When the connection is lost, transactions with a verdict or in doubt are concluded, all
    others stay open (not handed over), and the error is raised. When a limit of the server is
    reached the rest stays open, too, and the session is `spent`.
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
        self._policy = policy
        self._pipelining = policy.pipelining and wire.session.extensions.pipelining
        self._handover = Handover(wire, pipelining=self._pipelining)
        self._on_done = on_done
        self._under_way: list[Transaction] = []
        # Those that were sent eagerly, in the order of their replies.
        self._flying: deque[Transaction] = deque()
        # Those that have recipients left for another round.
        self._again: deque[Transaction] = deque()
        # The envelope that left behind the end of the message under way.
        self._behind: EnvelopeGroups | None = None
        # Those whose envelope left behind a message's end and may still be refused for that.
        self._streamed: set[Transaction] = set()

    def run(
        self, transactions: Iterator[Transaction], began: float | None = None
    ) -> Conversation[None]:
        """Sends them all; raises SMTPError when the connection is lost.

        began: when the operation that includes the first message began, by the driver's clock.
        """
        try:
            self._wire.patience.start(began)
            yield from self._prove_chunks()
            yield from self._stream(transactions, began)
        except SMTPError as error:
            if self._traits.discards_chunks and isinstance(error, ProtocolError):
                # Perhaps the proof itself was out of step.
                self._traits.discards_chunks = False
            for transaction in list(self._under_way):
                self._resolve(transaction, error)
            raise

    def _prove_chunks(self) -> Conversation[None]:
        """Once per server, before the first chunk that does not wait for the envelope."""
        wanted = self._policy.bdat == "eager" and self._traits.discards_chunks is None
        offered = self._pipelining and self._session.extensions.chunking
        if wanted and offered and self._session.state is State.READY:
            # If this connection does not survive it, that is the answer for the next one.
            self._traits.discards_chunks = False
            self._traits.discards_chunks = yield from discards_chunks(self._wire)

    def _stream(
        self, transactions: Iterator[Transaction], began: float | None
    ) -> Conversation[None]:
        following: Transaction | None = None
        groups: EnvelopeGroups | None = None
        while (current := following or (yield from self._upcoming(transactions))) is not None:
            following = None
            if groups is None and not self._fits(current):
                break
            self._wire.patience.start(began)
            began = None
            if groups is None:
                groups = self._begin(current)
                if self._may_be_eager(current, groups):
                    yield from self._send_eagerly(current, groups)
                    groups = None
                    continue
                yield from self._land(0)
                yield from self._wire.write(groups.next())
            # The next message is made while the server thinks about this one.
            with self._wire.patience.suspended():
                following = self._next(transactions)
            yield from self._finish(groups)
            if self._refused_for_streaming(current):
                self._traits.streams = False
                yield from self._dismiss_data(current)
                if self._session.spent:
                    break
                groups = self._begin(current)
                yield from self._finish(groups)
            groups = yield from self._send_content(current, following)
            self._conclude(current)
        yield from self._land(0)

    def _begin(self, transaction: Transaction) -> EnvelopeGroups:
        session = self._session
        transaction.begin(
            next_round(session, transaction, self._traits.most_recipients),
            by_recipient=session.lmtp,
        )
        if transaction not in self._under_way:
            self._under_way.append(transaction)
        self._streamed.discard(transaction)
        data = not self._in_chunks(transaction)
        return EnvelopeGroups(session, transaction, pipelining=self._pipelining, data=data)

    def _in_chunks(self, transaction: Transaction) -> bool:
        wanted = self._policy.bdat != "never" or transaction.content.binary
        return wanted and self._session.extensions.chunking

    def _finish(self, groups: EnvelopeGroups) -> Conversation[None]:
        """Reads the replies to the group under way, and sends the groups that are left."""
        yield from self._settle()
        while not groups.complete:
            yield from self._wire.write(groups.next())
            yield from self._settle()

    def _settle(self) -> Conversation[None]:
        yield from self._wire.until(self._wire.settled)
        self._stop_if_closed()

    def _stop_if_closed(self) -> None:
        if self._session.state is State.CLOSED:
            raise Disconnected("the server refused RSET", stage="RSET", transient=True)

    # Content

    def _send_content(
        self, current: Transaction, following: Transaction | None
    ) -> Conversation[EnvelopeGroups | None]:
        """What follows the envelope of this round, with the next envelope behind it."""
        self._behind = None
        behind = partial(self._envelope_behind, current, following)
        if self._session.state is State.CONTENT:
            yield from self._handover.data(current, behind)
        elif current.wanted and self._in_chunks(current):
            yield from self._handover.chunks(current, behind)
        return self._behind

    def _dismiss_data(self, transaction: Transaction) -> Conversation[None]:
        """Answers a 354 that came although MAIL was refused, with nothing to send."""
        if self._session.state is State.CONTENT:
            yield from self._handover.data(transaction, bytes)

    def _envelope_behind(self, current: Transaction, following: Transaction | None) -> bytes:
        """The first group of the next envelope, if it may leave with the end of this message."""
        if following is None or not self._streams_behind(current) or not self._fits(following):
            return b""
        self._behind = self._begin(following)
        self._streamed.add(following)
        return self._behind.next()

    def _streams_behind(self, transaction: Transaction) -> bool:
        """Whether the next message may follow before the verdicts on this one.

        Not in LMTP where several are due: of a server that gives fewer, the answer to the next
        command would be taken for one of them.
        """
        several = self._session.lmtp and len(transaction.round) > 1
        return self._pipelining and self._traits.streams and not several

    # Eager chunks

    def _may_be_eager(self, transaction: Transaction, groups: EnvelopeGroups) -> bool:
        """Whether envelope and content may leave in one write, before any reply."""
        size = transaction.content.size
        return (
            self._policy.bdat == "eager"
            and self._traits.discards_chunks is True
            and self._in_chunks(transaction)
            and self._pipelining
            and not transaction.envelope.all_or_none
            # A larger one is not sent before the server has agreed to its envelope.
            and size is not None
            and size <= BLOCK
            and groups.is_one_group
            and (bool(self._flying) or not self._wire.silent_for(SILENCE))
        )

    def _send_eagerly(
        self, transaction: Transaction, groups: EnvelopeGroups
    ) -> Conversation[None]:
        """The whole message in one write; its replies are waited for as late as allowed."""
        if self._flying:
            self._streamed.add(transaction)
        yield from self._handover.eagerly(transaction, groups.next())
        self._flying.append(transaction)
        streams = self._streams_behind(transaction)
        yield from self._land(self._policy.max_unanswered - 1 if streams else 0)

    def _land(self, left: int) -> Conversation[None]:
        """Waits until at most so many eager messages lack a reply; concludes the others."""
        self._wire.expect_reply()
        while self._flying:
            self._stop_if_closed()
            self._handover.stop_if_refused_early()
            if not self._handover.awaited(self._flying[0]):
                self._conclude_flight(self._flying.popleft())
            elif len(self._flying) > left:
                yield from self._wire.until(lambda: not self._handover.awaited(self._flying[0]))
            else:
                break
        self._handover.stop_if_refused_early()

    def _conclude_flight(self, transaction: Transaction) -> None:
        if not self._refused_for_streaming(transaction):
            self._conclude(transaction)
            return
        self._traits.streams = False
        self._under_way.remove(transaction)
        self._again.append(transaction)

    # Messages

    def _upcoming(self, transactions: Iterator[Transaction]) -> Conversation[Transaction | None]:
        """The next message; one that is in flight may turn out to need another round."""
        upcoming = self._next(transactions)
        if upcoming is None and self._flying:
            yield from self._land(0)
            upcoming = self._next(transactions)
        return upcoming

    def _next(self, transactions: Iterator[Transaction]) -> Transaction | None:
        """The next message that may be sent to this server; others are concluded at once."""
        if self._again:
            return self._again.popleft()
        for transaction in transactions:
            obstacle = self._obstacle(transaction)
            if obstacle is None:
                return transaction
            transaction.reject(obstacle)
            self._on_done(transaction)
        return None

    def _obstacle(self, transaction: Transaction) -> SMTPError | None:
        policy = self._policy
        return obstacle(
            transaction,
            self._session.extensions,
            verified=policy.verified,
            authenticated=policy.authenticated,
        )

    def _fits(self, transaction: Transaction) -> bool:
        """Whether this session takes one more round of the message; if not it is spent."""
        session, most = self._session, self._session.extensions.limits.mails
        exhausted = most is not None and session.mails >= most
        if exhausted or not next_round(session, transaction):
            session.spent = True
        return not session.spent

    def _conclude(self, transaction: Transaction) -> None:
        self._under_way.remove(transaction)
        self._streamed.discard(transaction)
        self._note_limit(transaction)
        transaction.conclude()
        if transaction.done:
            self._on_done(transaction)
        else:
            self._again.append(transaction)

    def _note_limit(self, transaction: Transaction) -> None:
        if transaction.limit is not None:
            self._traits.most_recipients = transaction.limit

    def _refused_for_streaming(self, transaction: Transaction) -> bool:
        """Whether the server could not take this envelope because it came with a message's end."""
        reply = transaction.sender_reply
        return transaction in self._streamed and reply is not None and reply.code == 503

    def _resolve(self, transaction: Transaction, error: SMTPError) -> None:
        """The connection is lost: what is known of this transaction?"""
        if self._refused_for_streaming(transaction):
            return
        if transaction.decided:
            self._conclude(transaction)
        elif self._is_in_doubt(transaction, error):
            self._under_way.remove(transaction)
            transaction.conclude_lost(error)
            if transaction.done:
                self._on_done(transaction)

    def _is_in_doubt(self, transaction: Transaction, error: SMTPError) -> bool:
        """Whether the server had the whole message and may have accepted it."""
        end = transaction.content_end
        if end is None or self._wire.handed < end:
            return False
        # What stands behind the command that was answered with 421 was never looked at; but in
        # LMTP that may be the verdict for one recipient of several.
        goodbye = error.reply is not None and error.reply.code == 421
        return transaction.final is not None or not (goodbye or transaction.sender_refused)
