"""The blocking driver: conversations over one Channel, and what most callers want of them."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar, cast

from .channel import Channel
from .client import Client
from .content import Content
from .delivery import ServerTraits
from .dialling import Dialled, dial, is_address, local_name
from .endpoint import Endpoint
from .errors import Disconnected, SMTPError, TimedOut, TLSError
from .extensions import Extensions
from .needs import Arrival, Call, Conversation, Exchange, Handshake, Need, StartTLS
from .refusals import Refusals
from .timeouts import Clock
from .tls import PeerFacts
from .transaction import Envelope, Transaction
from .transcript import Event
from .wire import Wire

T = TypeVar("T")
#: Called with host, port, seconds and source address; gives a connected socket, with or without
#: how it came about.
Dial = Callable[[str, int, float, "str | None"], "socket.socket | Dialled"]

#: What this process has learnt about servers; the oldest entries go first.
_traits: dict[tuple[str, int], ServerTraits] = {}
_MAX_TRAITS = 1_024
#: The credentials that servers refused to this process in the last minutes.
refusals = Refusals(time.monotonic)


class Connection:
    """An open, authenticated session with one server. Not for several threads at once.

    `connect()` makes one. It is usable until an error leaves `deliver()`, or `close()`.

    peer: the IP address that was reached; a proxy's, when there is one in between.
    began: when the operation began by the clock, dialling included.
    story: how the server was reached, for the transcript; empty: what the channel shows.
    until: when all that waits must end by the clock, besides what the endpoint says. It may be
        set anew at any time; None: the endpoint's limits alone.
    """

    until: float | None = None

    def __init__(
        self,
        endpoint: Endpoint,
        channel: Channel,
        clock: Clock,
        began: float | None = None,
        story: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.peer = channel.peer
        self._story = story or f"connected to {channel.peer or endpoint.host}"
        self._channel = channel
        self._clock = clock
        self._client = Client(
            endpoint, clock, began=began, traits=_traits_of(endpoint), refusals=refusals
        )
        self._closed = False

    @property
    def tls(self) -> PeerFacts | None:
        """Facts of the TLS handshake, or None without TLS."""
        return self._client.tls

    @property
    def mechanism(self) -> str:
        """The SASL mechanism that was used, or an empty text."""
        return self._client.mechanism

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine: loopback, or a Unix socket."""
        return self._channel.is_local

    @property
    def extensions(self) -> Extensions:
        """What the server offers, as told after TLS."""
        return self._client.extensions

    @property
    def usable(self) -> bool:
        """Whether another message may be sent over this connection."""
        return not self._closed and self._client.usable

    @property
    def events(self) -> deque[Event]:
        """The redacted dialogue of the session itself; transactions have their own."""
        return self._client.events

    def transcript(self, *transactions: Transaction) -> tuple[Event, ...]:
        """The dialogue of the session itself, and about these transactions, redacted."""
        return self._client.transcript(*transactions)

    def open(self) -> None:
        """Greeting, TLS, EHLO and AUTH as the endpoint says. Raises SMTPError."""
        for _ in self.opening():
            pass

    def opening(self) -> Iterator[str]:
        """As `open()`, in steps: tells the stage of each one that is over. Raises SMTPError.

        Whoever does not go on has a connection on which nothing but `close()` makes sense.
        """
        name = self.endpoint.ehlo_name or local_name() or _literal(self._channel.local_address)
        steps = self._client.opening(name, loopback=self.is_local, story=self._story)
        for stage, step in steps:
            self._run(step)
            yield stage

    def talk(self, dialogue: Callable[[Wire], Conversation[T]]) -> T:
        """A dialogue that is no message, see `probing`. Raises SMTPError."""
        return self._run(self._client.talk(dialogue))

    def deliver(
        self,
        transactions: Iterable[Transaction],
        on_done: Callable[[Transaction], None] | None = None,
        *,
        began: float | None = None,
    ) -> None:
        """Sends messages in order, as `Client.deliver()` says. Raises SMTPError."""
        self._run(self._client.deliver(transactions, on_done, began=began))

    def send(self, sender: str, recipients: Iterable[str], content: bytes) -> Transaction:
        """One message. Raises SMTPError when no recipient was accepted, or in doubt.

        sender, recipients: plain addresses; content: the message with its header.
        Returns the transaction: `outcomes` tells each recipient's fate, `final` the reply.
        """
        transaction = Transaction(Envelope.of(sender, recipients), Content.of(content))
        try:
            self.deliver([transaction])
        except SMTPError as error:
            if not transaction.done:
                transaction.conclude_unsent(error)
        if not transaction.done:
            transaction.conclude_unsent(_limit_reached())
        if transaction.error is not None:
            raise self._client.located(transaction.error, transaction)
        return transaction

    def close(self) -> None:
        """QUIT, if the session allows it, without waiting for the answer. Never raises."""
        if self._closed:
            return
        self._closed = True
        farewell = self._client.quit()
        if farewell:
            self._channel.queue(farewell)
            self._channel.close()
        else:
            self._channel.abandon()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, conversation: Conversation[T]) -> T:
        """Drives a conversation to its end. Any exception closes the connection."""
        failure: SMTPError
        try:
            return _drive(conversation, self._channel, self.endpoint, self._clock, self.until)
        except SMTPError as error:
            failure = error
        except BaseException:
            self._give_up()
            raise
        self._give_up()
        # Raised anew from here: the frames below have seen secrets.
        raise self._client.located(failure).with_traceback(None) from None

    def _give_up(self) -> None:
        self._client.give_up()
        self.close()


def connect(
    endpoint: Endpoint,
    *,
    dial: Dial = dial,
    clock: Clock = time.monotonic,
    began: float | None = None,
) -> Connection:
    """Dials, opens and authenticates. Raises SMTPError; then no connection is left open.

    dial: called with host, port, seconds and source address; returns a connected socket, or a
        `Dialled` that tells more about it.
    began: when the operation began by the clock, if an earlier try is part of it; None: now.
    """
    connection = reach(endpoint, dial=dial, clock=clock, began=began)
    connection.open()
    return connection


def reach(
    endpoint: Endpoint,
    *,
    dial: Dial = dial,
    clock: Clock = time.monotonic,
    began: float | None = None,
) -> Connection:
    """As `connect()`, without a word said: `Connection.open()` is next. Raises SMTPError."""
    began = clock() if began is None else began
    limit = min(endpoint.timeouts.dial, began + endpoint.timeouts.until_content - clock())
    if endpoint.deadline is not None:
        limit = min(limit, began + endpoint.deadline - clock())
    failure: SMTPError
    try:
        reached = dial(*endpoint.address, max(limit, 0.001), endpoint.source_address)
    except SMTPError as error:
        failure = error
    else:
        dialled = reached if isinstance(reached, Dialled) else Dialled(reached)
        channel = Channel(dialled.sock, relayed=bool(dialled.via))
        # Behind a proxy the peer's address says nothing about the server.
        story = dialled.story(endpoint.server if dialled.via else channel.peer or endpoint.host)
        return Connection(endpoint, channel, clock, began, story)
    failure.peer = endpoint.name
    raise failure.with_traceback(None) from None


def _drive(
    conversation: Conversation[T],
    channel: Channel,
    endpoint: Endpoint,
    clock: Clock,
    until: float | None,
) -> T:
    """The loop: gives each need what it asks for, until the conversation returns."""
    with selectors.DefaultSelector() as selector:
        selector.register(channel, channel.wants)
        waiter = _Waiter(selector, channel, clock, until)
        try:
            need = next(conversation)
            while True:
                if isinstance(need, Exchange):
                    need = conversation.send(waiter.exchange(need))
                elif isinstance(need, StartTLS):
                    need = conversation.send(waiter.start_tls(need, endpoint))
                else:
                    need = _call(conversation, need)
        except StopIteration as end:
            return cast("T", end.value)


def _call(conversation: Conversation[T], need: Call) -> Need:
    # What the function returns may be a secret: it never stands in a local variable.
    answer: list[object] = []
    try:
        answer.append(need.function())
    except Exception as error:
        return conversation.throw(error)
    return conversation.send(answer.pop())


class _Waiter:
    """Waits for one channel, with an end."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        channel: Channel,
        clock: Clock,
        until: float | None,
    ) -> None:
        self._selector = selector
        self._channel = channel
        self._clock = clock
        self._until = until
        self._mask = channel.wants

    def exchange(self, need: Exchange) -> Arrival:
        """Sends and receives until the need is met, or its time is over."""
        channel = self._channel
        end = self._end_of(need.timeout)
        # What was said before is no answer to what is sent now, and it is heard even if its time
        # passed while we were busy. Nothing is handed to a connection that has ended, and
        # nothing when nobody would wait for the answer.
        channel.step()
        channel.queue(need.out)
        data = channel.take()
        if data or channel.fault is not None:
            return Arrival(data, channel.handed, channel.fault)
        if need.out and end <= self._clock():
            return Arrival(b"", channel.handed, _too_late())
        channel.flush()
        while True:
            data = channel.take()
            waits = need.want_reply or channel.unsent
            if data or channel.fault is not None or not waits:
                return Arrival(data, channel.handed, channel.fault)
            if not self._wait(end):
                return Arrival(b"", channel.handed, _too_late())
            channel.step()

    def start_tls(self, need: StartTLS, endpoint: Endpoint) -> Handshake:
        """Does the handshake."""
        end = self._end_of(need.timeout)
        try:
            self._channel.begin_tls(endpoint.tls.context(), endpoint.host)
            while (facts := self._channel.handshake()) is None:
                if not self._wait(end):
                    return Handshake(None, TimedOut("no end of the TLS handshake", stage="TLS"))
        except SMTPError as error:
            return Handshake(None, error)
        except (OSError, ValueError) as error:
            fault = TLSError(f"TLS can't be set up: {error}", stage="TLS", reason="tls-setup")
            return Handshake(None, fault)
        return Handshake(facts)

    def _end_of(self, seconds: float) -> float:
        """When a need that has so many seconds must be met."""
        end = self._clock() + seconds
        return end if self._until is None else min(end, self._until)

    def _wait(self, end: float) -> bool:
        """Waits until something can be done; False when the time is over."""
        left = end - self._clock()
        if left <= 0:
            return False
        if self._mask != self._channel.wants:
            self._mask = self._channel.wants
            self._selector.modify(self._channel, self._mask)
        self._selector.select(left)
        return True


def _too_late() -> TimedOut:
    return TimedOut("the server did not answer in time")


def _limit_reached() -> SMTPError:
    return Disconnected(
        "the server takes no more over this connection", stage="MAIL", reason="limits"
    )


def _traits_of(endpoint: Endpoint) -> ServerTraits:
    while len(_traits) >= _MAX_TRAITS:
        _traits.pop(next(iter(_traits)), None)
    return _traits.setdefault(endpoint.address, ServerTraits())


def _literal(address: str) -> str:
    """An address literal for EHLO (RFC 5321 4.1.3)."""
    if not is_address(address):
        return "localhost"
    return f"[IPv6:{address.partition('%')[0]}]" if ":" in address else f"[{address}]"
