"""The client's side of one connection, without any I/O: what every driver drives.

    client = Client(endpoint, time.monotonic)
    drive(client.open("client.example"))          # greeting, TLS, EHLO, AUTH
    drive(client.deliver(transactions))           # messages
    transport.write(client.quit())

`open()` and `deliver()` are conversations (see `needs`): how they are answered is the driver's
business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from . import commands
from .delivery import Delivery, Policy, ServerTraits
from .endpoint import Endpoint
from .errors import SMTPError
from .extensions import Extensions
from .needs import Conversation
from .opening import Opened, Step, opening_steps
from .refusals import Refusals
from .session import Session
from .timeouts import Clock, Patience
from .tls import PeerFacts
from .transaction import Transaction
from .transcript import Event, merged
from .wire import Wire

T = TypeVar("T")


class Client:
    """One session with the server of an endpoint.

    clock: seconds; its origin is arbitrary. began: when the operation began by it, dialling
        included; None: now.
    traits: what is known of the server. refusals: what is known of refused credentials. Both are
        added to; None: nothing is known, and what is learnt is forgotten with the client.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        began: float | None = None,
        traits: ServerTraits | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._traits = ServerTraits() if traits is None else traits
        self._refusals = Refusals(clock) if refusals is None else refusals
        self._session = Session(clock)
        self._wire = Wire(
            self._session, Patience(endpoint.timeouts, clock, endpoint.deadline, began)
        )
        self._opened = Opened()

    @property
    def tls(self) -> PeerFacts | None:
        """Facts of the TLS handshake, or None without TLS."""
        return self._opened.tls

    @property
    def mechanism(self) -> str:
        """The SASL mechanism that was used, or an empty text."""
        return self._opened.mechanism

    @property
    def extensions(self) -> Extensions:
        """What the server offers, as told after TLS."""
        return self._session.extensions

    @property
    def usable(self) -> bool:
        """Whether another message may be sent."""
        return self._session.reusable

    @property
    def events(self) -> deque[Event]:
        """The redacted dialogue of the session itself; transactions have their own."""
        return self._session.events

    def transcript(self, *transactions: Transaction) -> tuple[Event, ...]:
        """The dialogue of the session itself, and about these transactions, redacted."""
        return merged(self.events, *(transaction.events for transaction in transactions))

    def open(
        self, ehlo_name: str, *, loopback: bool = False, story: str = ""
    ) -> Conversation[None]:
        """Greeting, TLS, EHLO and AUTH as the endpoint says. Raises SMTPError.

        ehlo_name: the client's name. loopback: the peer is this machine, so a secret may go to
        it in clear. story: how the server was reached, for the transcript.
        """
        for _, step in self.opening(ehlo_name, loopback=loopback, story=story):
            yield from step

    def opening(
        self, ehlo_name: str, *, loopback: bool = False, story: str = ""
    ) -> Iterator[Step]:
        """As `open()`, in steps: the stage of each (GREETING, TLS, EHLO, AUTH), and the step.

        Each step has to be over before the next one is asked for. With STARTTLS there are two
        steps of EHLO.
        """
        self._session.log("*", "CONNECT", story or f"connected to {self.endpoint.server}")
        yield from opening_steps(
            self._opened,
            self._wire,
            self.endpoint,
            ehlo_name=ehlo_name,
            loopback=loopback,
            refusals=self._refusals,
        )

    def talk(self, dialogue: Callable[[Wire], Conversation[T]]) -> Conversation[T]:
        """A dialogue that is no message, as an operation of its own. Raises SMTPError."""
        self._wire.patience.start()
        return dialogue(self._wire)

    def deliver(
        self,
        transactions: Iterable[Transaction],
        on_done: Callable[[Transaction], None] | None = None,
        *,
        began: float | None = None,
    ) -> Conversation[None]:
        """Sends messages in order; each one's fate is in its transaction.

        `on_done` is called with each transaction whose fate is known. `began` is when the
        operation that includes the first message began, by the clock (dialling, for a connection
        opened on its behalf); None: now. Raises SMTPError when the connection is lost:
        transactions that are not `done` then were not handed over. Returns early, with the rest
        not `done`, when a limit of the server is reached (RFC 9422): then the client is not
        `usable` any more.
        """
        policy = Policy(
            pipelining=self.endpoint.pipelining,
            bdat=self.endpoint.bdat,
            max_unanswered=self.endpoint.max_unanswered,
            verified=self.tls is not None and self.endpoint.tls.verify,
            authenticated=bool(self.mechanism),
        )
        delivery = Delivery(self._wire, self._traits, policy, on_done or _ignore)
        return delivery.run(iter(transactions), began)

    def quit(self) -> bytes:
        """QUIT, if the session allows it, else nothing. Its answer need not be waited for."""
        return self._session.send(commands.quit_()) if self._session.quiet else b""

    def give_up(self) -> None:
        """The connection is lost, or not to be trusted any more."""
        self._session.broken = True

    def located(self, error: SMTPError, *transactions: Transaction) -> SMTPError:
        """The error with what it needs to be understood alone: which server, what was said."""
        error.peer = error.peer or self.endpoint.name
        error.transcript = self.transcript(*transactions)
        error.__context__ = None
        return error


def _ignore(_: Transaction) -> None: ...
