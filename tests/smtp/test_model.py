"""Random messages to a server that does as it likes, over a network that loses what it likes.

Whatever happens, what the engine says of each recipient agrees with the ledger of the server:

- accepted: the server is responsible for exactly one copy;
- refused, deferred: for none, and the reply that is named is one about this recipient;
- open, or not sent: for none;
- in doubt: perhaps; the last octet of the message was handed over, and no verdict was read.

The server judges every command by what the client knew when it wrote it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.content import BLOCK
from django_smtpauth.smtp.delivery import Delivery, Policy, ServerTraits
from django_smtpauth.smtp.envelope import MAX_GROUP_OCTETS
from django_smtpauth.smtp.errors import SMTPError
from django_smtpauth.smtp.session import Session
from django_smtpauth.smtp.timeouts import Patience, Timeouts
from django_smtpauth.smtp.transaction import RecipientOutcome, Status, Transaction
from django_smtpauth.smtp.wire import Wire
from tests.smtp.model.letters import BODIES, Letter, tail
from tests.smtp.model.server import MOST_UNANSWERED, Ledger, Manners, Server, Told
from tests.smtp.model.tape import Tape
from tests.smtp.model.transport import Cut, Transport
from tests.smtp.sansio import Clock

KLASS = {Status.ACCEPTED: 2, Status.DEFERRED: 4, Status.REFUSED: 5}
ABOUT_ALL = ("MAIL", "DATA", "BDAT", "LAST", "CONTENT")
#: Connections to a server without whims after which everything must be known.
MOST_CONNECTIONS = 60

letters = st.builds(
    Letter,
    domains=st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple),
    crowd=st.sampled_from([1] * 15 + [100]),
    body=st.integers(0, len(BODIES) - 1),
    large=st.sampled_from([False, False, False, True]),
    measured=st.sampled_from([True, True, False]),
    ended=st.booleans(),
    all_or_none=st.sampled_from([False, False, True]),
    dsn=st.sampled_from([False, False, True]),
)
manners = st.builds(
    Manners,
    lmtp=st.booleans(),
    streams=st.booleans(),
    swallows=st.sampled_from([True, True, True, False]),
    answers_empty_lines=st.booleans(),
    most_recipients=st.sampled_from([None, None, 1, 2]),
)
EVERYTHING = {"PIPELINING": "", "CHUNKING": "", "SIZE": "1000000", "8BITMIME": "", "DSN": ""}
extensions = st.just(EVERYTHING) | st.fixed_dictionaries(
    {},
    optional={
        "PIPELINING": st.just(""),
        "CHUNKING": st.just(""),
        "SIZE": st.just("1000000"),
        "8BITMIME": st.just(""),
        "DSN": st.just(""),
        "LIMITS": st.sampled_from(
            ["MAILMAX=2", "RCPTMAX=2", "RCPTDOMAINMAX=1", "MAILMAX=3 RCPTMAX=1", "RCPTMAX=0"]
        ),
    },
)
policies = st.builds(
    Policy,
    pipelining=st.sampled_from([True, True, True, False]),
    bdat=st.sampled_from(["never", "after_rcpt", "eager", "eager"]),
    max_unanswered=st.sampled_from([1, 2, 5]),
)
cuts = st.none() | st.builds(
    Cut, st.sampled_from(["handed", "arrived"]), st.integers(0, 1_500), st.booleans()
)
BOLDLY = Policy(bdat="eager", max_unanswered=3)


class Line:
    """One connection of the client: session, network and server."""

    def __init__(
        self,
        ledger: Ledger,
        manners: Manners,
        clock: Clock,
        *,
        extensions: dict[str, str] = EVERYTHING,
        policy: Policy = BOLDLY,
        replies: bytes = b"",
        portions: bytes = b"",
        cut: Cut | None = None,
        late: bool = False,
    ) -> None:
        self.policy = policy
        self.extensions = extensions
        self.transport = Transport(Tape(portions), cut, late=late)
        self.server = self.transport.server = Server(
            ledger,
            manners,
            extensions,
            Tape(replies),
            self.transport.knew,
            max_unanswered=policy.max_unanswered,
        )
        self.wire = Wire(Session(clock), Patience(Timeouts(), clock))
        self.open = False
        hello = commands.lhlo("me") if manners.lmtp else commands.ehlo("me")
        try:
            self.transport.run(self.wire.ask(commands.greeting()))
            self.transport.run(self.wire.ask(hello))
            self.open = True
        except SMTPError:
            pass

    @property
    def usable(self) -> bool:
        return self.open and self.wire.session.reusable

    def read(self, told: Told) -> bool:
        """Whether the client has read this reply; only of replies of this connection."""
        return told.end <= self.transport.delivered

    def handed_over(self, number: int) -> bool:
        """Whether the message is complete in what the transport took."""
        octets = bytes(self.transport.taken)
        end = tail(number) + b"\r\n"
        chunked = b"BDAT" in octets
        return end in octets if chunked else end + b".\r\n" in octets


class Mail(RuleBasedStateMachine):
    """A client with messages, and connections to one server."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.traits = ServerTraits()
        self.ledger = Ledger()
        self.manners = Manners()
        self.line: Line | None = None
        self.messages: dict[int, Transaction] = {}
        self.waiting: list[int] = []
        #: The connection on which a recipient's fate became known.
        self.settled: dict[tuple[int, str], Line] = {}
        self.failed = False

    @initialize(manners=manners)
    def begin(self, manners: Manners) -> None:
        self.manners = manners

    @rule(
        extensions=extensions,
        policy=policies,
        replies=st.binary(max_size=60),
        portions=st.binary(max_size=80),
        cut=cuts,
        late=st.booleans(),
    )
    def connect(self, **details: Any) -> None:
        self.line = Line(self.ledger, self.manners, self.clock, **details)

    @precondition(lambda self: self.line is not None and self.line.usable)
    @rule(batch=st.lists(letters, max_size=5))
    def deliver(self, batch: list[Letter]) -> None:
        for letter in batch:
            number = len(self.messages)
            self.ledger.letters[number] = letter
            self.messages[number] = letter.transaction(number)
            self.waiting.append(number)
        self.send()

    @rule(seconds=st.sampled_from([1, 6, 100]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def forget(self) -> None:
        """A process remembers so many servers only."""
        self.traits = ServerTraits()

    def send(self) -> None:
        """Everything that waits, over the line that is there."""
        line, self.failed = self.line, True
        assert line is not None
        batch = [self.messages[number] for number in self.waiting]
        done: list[Transaction] = []
        delivery = Delivery(line.wire, self.traits, line.policy, done.append)
        failed = False
        try:
            line.transport.run(delivery.run(self._watched(batch)))
        except SMTPError:
            failed = True
        line.transport.settle()
        assert [id(one) for one in done] == list(dict.fromkeys(id(one) for one in done))
        assert {id(one) for one in done} == {id(one) for one in batch if one.done}
        if not failed and not line.wire.session.spent and not line.wire.session.broken:
            assert len(done) == len(batch), "it returned early, and nobody knows why"
        if line.usable:
            assert line.transport.delivered == len(line.server.said), "a reply was left"
        assert line.transport.largest <= BLOCK + MAX_GROUP_OCTETS + 200
        self._judge(line)
        self.failed = False
        self.waiting = [number for number in self.waiting if not self.messages[number].done]

    def _watched(self, batch: list[Transaction]) -> Any:
        """The messages one by one; what is in flight stays bounded meanwhile."""
        assert self.line is not None
        most = MOST_UNANSWERED * self.line.policy.max_unanswered
        for one in batch:
            assert len(self.line.wire.session.in_flight) <= most
            yield one

    # -- judgement

    def _judge(self, line: Line) -> None:
        assert not self.ledger.complaints, self.ledger.complaints[:3]
        for number, transaction in self.messages.items():
            for recipient in transaction.envelope.recipients:
                address = recipient.address
                outcome = transaction.outcomes.get(address)
                if outcome is not None and (number, address) not in self.settled:
                    self.settled[number, address] = line
                    self._judge_fate(line, number, address, outcome)
                copies = self.ledger.copies[number, address]
                status = outcome.status if outcome is not None else None
                if status is Status.ACCEPTED:
                    assert copies == 1, (number, address)
                elif status is Status.IN_DOUBT:
                    assert copies <= 1, (number, address)
                else:
                    assert copies == 0, (number, address, status)
            self._judge_message(transaction)

    def _judge_fate(
        self, line: Line, number: int, address: str, outcome: RecipientOutcome
    ) -> None:
        """The evidence for what has just been said of this recipient."""
        if outcome.status is Status.IN_DOUBT:
            assert line.handed_over(number)
            assert line.server.refusal_of(number, address, line.transport.delivered) is None
            verdict = line.server.verdict_on(number, address)
            assert verdict is None or verdict.code == 354 or not line.read(verdict)
            return
        if outcome.reply is None:
            assert outcome.status in (Status.NOT_SENT, Status.REFUSED)
            if outcome.status is Status.NOT_SENT:
                assert self.ledger.letters[number].all_or_none
            else:
                assert not any(heard.letter == number for heard in line.server.history)
            return
        serial = re.search(r"#(\d+)$", outcome.reply.lines[-1])
        assert serial is not None
        told = self.ledger.told[int(serial[1])]
        heard = told.heard
        assert heard in line.server.history
        assert line.read(told)
        assert not told.hasty
        assert heard.letter == number
        assert told.code == outcome.reply.code
        assert outcome.reply.klass == KLASS[outcome.status]
        assert heard.verb != "BDAT" or told.code != 421, "the message was not complete"
        if heard.verb == "RCPT":
            assert heard.recipient == address
            assert outcome.status is not Status.ACCEPTED
        else:
            assert heard.verb in ABOUT_ALL
            assert told.recipient in ("", address)
            assert (heard.verb in ("LAST", "CONTENT")) or outcome.status is not Status.ACCEPTED

    @staticmethod
    def _judge_message(transaction: Transaction) -> None:
        known = [
            transaction.outcomes[recipient.address].status
            for recipient in transaction.envelope.recipients
            if recipient.address in transaction.outcomes
        ]
        assert transaction.done == (len(known) == len(transaction.envelope.recipients))
        if not transaction.done or Status.ACCEPTED in known:
            assert transaction.error is None
        else:
            assert transaction.error is not None
            assert transaction.error.in_doubt == (Status.IN_DOUBT in known)

    def teardown(self) -> None:
        """A server without whims gets what is left: everything has an end."""
        if self.failed:
            return
        self.manners = replace(self.manners, most_recipients=None)
        for _ in range(MOST_CONNECTIONS):
            if not self.waiting:
                return
            if self.line is None or not self.line.usable:
                self.line = Line(self.ledger, self.manners, self.clock)
            self.send()
        assert not self.waiting, "what was left can never be sent"


def test_every_fate_agrees_with_the_ledger() -> None:
    run_state_machine_as_test(Mail, settings=settings(max_examples=600, stateful_step_count=8))


@pytest.mark.slow
def test_every_fate_agrees_with_the_ledger_for_long() -> None:
    run_state_machine_as_test(Mail, settings=settings(max_examples=6_000, stateful_step_count=15))
