"""Plays the delivery of messages to a server in memory, over a session that is already open."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.content import Chunking, Content
from django_smtpauth.smtp.delivery import Delivery, Policy, ServerTraits
from django_smtpauth.smtp.errors import SMTPError
from django_smtpauth.smtp.session import Session
from django_smtpauth.smtp.timeouts import Timeouts
from django_smtpauth.smtp.transaction import Envelope, Transaction
from django_smtpauth.smtp.wire import Wire
from tests.smtp.sansio import Clock, Driver, Entry, Server, answers, new_wire

PIPELINING = "250-mx\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME"
CHUNKING = f"{PIPELINING.removesuffix('250 8BITMIME')}250-8BITMIME\r\n250 CHUNKING"
NO_PIPELINING = "250-mx\r\n250-SIZE 1000000\r\n250 8BITMIME"


def message(
    *recipients: str, text: bytes = b"text", sender: str = "me@x", **facts: Any
) -> Transaction:
    """A message to these mailboxes at x."""
    names = [name if "@" in name else f"{name}@x" for name in recipients or ("a",)]
    content = dataclasses.replace(Content.of(text), **facts)
    return Transaction(Envelope.of(sender, names), content)


def bent(**replies: Entry) -> Server:
    """A polite server with some other answers; see `answers`."""
    return Server(answers(**replies))


def fates(transaction: Transaction) -> dict[str, str]:
    """Name of the recipient -> status."""
    return {
        address.partition("@")[0]: outcome.status.value
        for address, outcome in transaction.outcomes.items()
    }


class Run:
    """Delivers the transactions; what happened is in the attributes.

    lose_after: octets after EHLO that the transport takes before it fails.
    """

    def __init__(
        self,
        server: Server,
        transactions: Iterable[Transaction],
        *,
        hello: str = "EHLO",
        pipelining: bool = True,
        bdat: Chunking = "never",
        max_unanswered: int = 1,
        verified: bool = False,
        authenticated: bool = False,
        traits: ServerTraits | None = None,
        trickle: bool = False,
        lose_after: int | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.server = server
        self.clock = Clock()
        self.traits = traits or ServerTraits()
        self.done: list[Transaction] = []
        self.error: SMTPError | None = None
        self.wire: Wire = new_wire(self.clock, timeouts)
        self.driver = Driver(server, trickle=trickle)
        self._policy = Policy(pipelining, bdat, max_unanswered, verified, authenticated)
        self.driver.run(self.wire.ask(commands.greeting()))
        greet = {"EHLO": commands.ehlo, "HELO": commands.helo, "LHLO": commands.lhlo}[hello]
        self.driver.run(self.wire.ask(greet("me")))
        self.forget()
        if lose_after is not None:
            self.driver.lose_after = self.driver.handed + lose_after
        self.deliver(transactions)

    @property
    def session(self) -> Session:
        return self.wire.session

    def deliver(self, transactions: Iterable[Transaction]) -> None:
        pulled: Iterator[Transaction] = iter(transactions)
        delivery = Delivery(self.wire, self.traits, self._policy, self.done.append)
        try:
            self.driver.run(delivery.run(pulled))
        except SMTPError as error:
            self.error = error

    def forget(self) -> None:
        """Only what follows is asked about."""
        self.server.lines.clear()
        self.driver.flights.clear()
        self.driver.waits.clear()

    @property
    def lines(self) -> list[str]:
        return self.server.lines

    @property
    def flights(self) -> list[bytes]:
        return self.driver.flights
