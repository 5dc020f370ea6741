"""A batch of messages over the servers that its messages call for.

Every message is tried. Neighbours with the same route go through one connection as a stream. A
message that was not handed over when its connection was lost is sent once more over a new one;
one that is in doubt is never sent again. A server that can't be reached, or that loses
connection after connection, is met once per batch: the messages meant for it that are left fail
with the same error.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from smtplib import SMTPException

from django.core.mail import EmailMessage

from ..certificates import explain
from ..secrets.errors import SecretUnreadable
from ..smtp.connection import Connection, connect
from ..smtp.errors import NotSupported, SMTPError, TimedOut, TLSError
from ..smtp.transaction import RecipientOutcome, Status, Transaction
from ..smtp.transcript import Event
from .composition import compose
from .explaining import explain_failure, finding_of
from .log import warn
from .options import MessageOptions
from .results import Attempt, Result, attempt_of, queue_id
from .routing import Route
from .submission import Submission
from .ways import dial_of

#: Connections in a row that may be lost without a verdict on any message or recipient.
MOST_LOSSES = 3
#: Failed results that the raised error carries; each message has its own in any case.
MOST_FAILED_RESULTS = 1_000
#: The line that lets a password go without TLS to a server of the settings.
ALLOW_AUTH_WITHOUT_TLS = 'SMTPAUTH = {"DEFAULTS": {"allow_auth_without_tls": True}}'
#: The place of an error that is the caller's own: it is raised whatever else failed.
_BEFORE_ALL = -1

Router = Callable[[EmailMessage], Route]
#: Is told what became of each message that met a server, or should have. Must not raise.
Observer = Callable[[Route, Result], None]


class Lines:
    """Open connections by route: those of a backend that is open, or of one batch.

    A connection that carries messages is not here. So a message that is sent while another one
    is made (by the caller's generator, a `message()` method, a logging handler) has its own.
    """

    def __init__(self) -> None:
        self._connections: dict[Route, Connection] = {}

    def get(self, route: Route, began: float | None = None) -> Connection:
        """The usable connection of a route, opened if need be. Raises what `connect()` does."""
        connection = self._connections.get(route)
        if connection is None or not connection.usable:
            self._connections.pop(route, None)
            connection = self._connections[route] = _connect(route, began)
        return connection

    def take(self, route: Route, began: float | None = None) -> Connection:
        """As `get()`, for one use that ends with `put()`."""
        connection = self.get(route, began)
        del self._connections[route]
        return connection

    def put(self, route: Route, connection: Connection) -> None:
        """Keeps a connection for later; one that is spent, or one too many, is closed."""
        if connection.usable and route not in self._connections:
            self._connections[route] = connection
        else:
            connection.close()

    def find(self, route: Route) -> Connection | None:
        """The open connection of a route, if there is one."""
        connection = self._connections.get(route)
        return connection if connection is not None and connection.usable else None

    def close(self) -> None:
        """Closes them all; never raises."""
        while self._connections:
            self._connections.popitem()[1].close()

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())


@dataclass(eq=False)
class Job:
    """A composed message on its way."""

    index: int
    message: EmailMessage
    submission: Submission
    route: Route
    transaction: Transaction
    attempts: list[Attempt] = field(default_factory=list)
    #: The dialogue of each connection that it met.
    logs: list[Iterable[Event]] = field(default_factory=list)
    began: float = 0.0
    progress: int = 0
    refused: int = 0
    losses: int = 0
    #: The rounds of its transaction that `attempts` tells of.
    rounds: int = 0


class Batch:
    """The sending of one series of messages.

    After `send()`: `sent` counts the messages that at least one recipient's server took,
    `failed` has the results of the others. `first_error` is the error of the first of them;
    `first_mistake` the same among those that are no failures of mail, but of the program: text
    that is no address, a setting that is wrong, the caller's own exception.
    """

    def __init__(
        self, lines: Lines, route_of: Router, observe: Observer = lambda _route, _result: None
    ) -> None:
        self.sent = 0
        self.failed: list[Result] = []
        self._errors = _First()
        self._mistakes = _First()
        self._lines = lines
        self._route_of = route_of
        self._observe = observe
        self._down: dict[Route, Exception] = {}

    @property
    def first_error(self) -> Exception | None:
        """The error that is raised after the batch."""
        return self._errors.error

    @property
    def first_mistake(self) -> Exception | None:
        """The error that is raised even if failures of mail are not."""
        return self._mistakes.error

    def send(self, messages: Iterable[EmailMessage]) -> None:
        """Tries every message; raises nothing that concerns a message."""
        jobs = _Lookahead(self._compose_all(messages))
        while (head := jobs.peek()) is not None:
            route = head.route
            _Run(self, self._lines, route, jobs, self._down).send()

    def _compose_all(self, messages: Iterable[EmailMessage]) -> Iterator[Job]:
        """The messages that could be composed; the others are settled at once."""
        source = enumerate(messages)
        while True:
            try:
                index, message = next(source)
            except StopIteration:
                return
            except Exception as error:
                # The caller's generator failed: what it yielded before is still sent.
                self._note(_BEFORE_ALL, Result(error=error), error, mistake=True)
                return
            route = None
            try:
                if not message.recipients():
                    continue
                route = self._route_of(message)
                submission = compose(message, _options_of(message, route), route.account)
            except Exception as error:
                mistake = not isinstance(error, SMTPException)
                self._settle(index, message, Result(error=error), route, mistake=mistake)
                continue
            transaction = Transaction(submission.envelope, submission.content)
            yield Job(index, message, submission, route, transaction)

    def settle(self, job: Job, error: Exception | None) -> None:
        """The fate of a job is known: tells the message, the log and the count."""
        result = Result(
            message_id=job.submission.message_id,
            recipients=_in_order(job.transaction),
            attempts=job.attempts,
            error=error,
            logs=(*job.logs, job.transaction.events),
        )
        if isinstance(error, SMTPError):
            error.peer = error.peer or job.route.endpoint.name
            error.transcript = error.transcript or result.transcript
        self._settle(job.index, job.message, result, job.route)
        self._observe(job.route, result)

    def _settle(
        self,
        index: int,
        message: EmailMessage,
        result: Result,
        route: Route | None,
        *,
        mistake: bool = False,
    ) -> None:
        message.smtp_result = result  # type: ignore[attr-defined]
        if result.sent:
            self.sent += 1
            if len(result.accepted) < len(result.recipients):
                _log_partial(result)
        elif result.error is not None:
            explain_failure(result.error, route)
            _log_failure(result)
            self._note(index, result, result.error, mistake=mistake)

    def _note(self, index: int, result: Result, error: Exception, *, mistake: bool) -> None:
        self._errors.note(index, error)
        if mistake:
            self._mistakes.note(index, error)
        if len(self.failed) < MOST_FAILED_RESULTS:
            self.failed.append(result)


class _First:
    """Of the errors noted, the one with the lowest number."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._index = 0

    def note(self, index: int, error: Exception) -> None:
        """Adds an error; messages do not fail in their order."""
        if self.error is None or index < self._index:
            self.error, self._index = error, index


class _Run:
    """Neighbouring messages of a batch that have the same route."""

    def __init__(
        self,
        batch: Batch,
        lines: Lines,
        route: Route,
        jobs: _Lookahead,
        down: dict[Route, Exception],
    ) -> None:
        self._batch = batch
        self._lines = lines
        self._route = route
        self._jobs = jobs
        self._down = down
        self._open: deque[Job] = deque()
        self._by_transaction: dict[Transaction, Job] = {}
        self._verdicts = 0
        self._doubts = 0
        self._losses_in_a_row = 0

    def send(self) -> None:
        """Sends the messages over as many connections as it takes."""
        while self._more() and self._route not in self._down:
            began = self._open[0].began if self._open else time.monotonic()
            verdicts, doubts = self._verdicts, self._doubts
            try:
                connection = self._lines.take(self._route, began)
            except (SMTPError, SecretUnreadable, OSError) as error:
                self._down[self._route] = error
                break
            try:
                self._deliver(connection, began)
                self._note_unfinished(connection)
            except SMTPError as error:
                self._lost(
                    connection,
                    error,
                    progress=self._verdicts > verdicts,
                    settled=self._doubts > doubts,
                )
            finally:
                self._lines.put(self._route, connection)
        if self._route in self._down:
            self._fail_rest(self._down[self._route])

    def _more(self) -> bool:
        """Whether a message of this run is left."""
        head = None if self._open else self._jobs.peek()
        return bool(self._open) or (head is not None and head.route == self._route)

    def _deliver(self, connection: Connection, began: float) -> None:
        facts = attempt_of(connection, self._account, self._route.rule.value)
        connection.deliver(
            self._transactions(connection, began),
            lambda transaction: self._done(transaction, facts),
            began=began,
        )

    def _transactions(self, connection: Connection, began: float) -> Iterator[Transaction]:
        """What is to be sent: first what an earlier connection left, then the rest."""
        left = list(self._open)
        for job in left:
            job.began = began
            if self._fit(job, connection):
                yield job.transaction
        # The connection was opened for the first of them.
        opened_for = None if left else began
        for job in self._jobs.with_route(self._route):
            job.began = time.monotonic() if opened_for is None else opened_for
            opened_for = None
            self._open.append(job)
            self._by_transaction[job.transaction] = job
            if self._fit(job, connection):
                yield job.transaction

    def _fit(self, job: Job, connection: Connection) -> bool:
        """Gives the message the form that this server takes."""
        job.logs.append(connection.events)
        try:
            job.transaction.content = job.submission.content_for(
                eight_bit=connection.extensions.eight_bit
            )
        except NotSupported as error:
            job.transaction.reject(error)
            self._settle(job, error)
            return False
        return True

    def _done(self, transaction: Transaction, facts: Attempt) -> None:
        job = self._by_transaction[transaction]
        error = transaction.error
        in_doubt = error is not None and error.in_doubt
        self._verdicts += not in_doubt
        self._doubts += in_doubt
        job.attempts.append(
            replace(
                facts,
                reply=transaction.final,
                queue_id=queue_id(transaction.final),
                seconds=time.monotonic() - job.began,
                in_doubt=in_doubt,
                error=error.headline if error else "",
            )
        )
        self._settle(job, error)

    def _lost(
        self, connection: Connection, error: SMTPError, *, progress: bool, settled: bool
    ) -> None:
        """The connection is gone: decides what is tried again.

        settled: the message at which it was lost is in doubt, so the next one has no part in it.
        """
        head = next((job for job in self._open if job.transaction.attempt), None)
        progress = progress or (head is not None and self._more_refused(head))
        self._losses_in_a_row = 0 if progress else self._losses_in_a_row + 1
        if self._losses_in_a_row >= MOST_LOSSES:
            self._down[self._route] = error
        if head is None:
            return
        head.attempts.append(self._facts(head, connection, error.headline))
        head.rounds = head.transaction.attempt
        advanced = self._advanced(head)
        if settled or _content_flowed(head.transaction):
            # The time up to its content is counted anew: it was used well, or by another message.
            head.began = time.monotonic()
        if settled:
            return
        head.losses = 1 if advanced else head.losses + 1
        if head.losses > 1 or isinstance(error, TimedOut):
            head.transaction.conclude_unsent(error)
            self._settle(head, head.transaction.error)

    def _note_unfinished(self, connection: Connection) -> None:
        """A limit of the server ended this connection: what it did for the message under way."""
        for job in self._open:
            if job.transaction.attempt > job.rounds:
                job.rounds = job.transaction.attempt
                job.attempts.append(self._facts(job, connection))

    def _facts(self, job: Job, connection: Connection, error: str = "") -> Attempt:
        """One attempt of a message that goes on, or not, over another connection."""
        reply = job.transaction.final
        return replace(
            attempt_of(connection, self._account, self._route.rule.value),
            reply=reply,
            queue_id=queue_id(reply),
            seconds=time.monotonic() - job.began,
            error=error,
        )

    def _more_refused(self, job: Job) -> bool:
        """Whether this connection refused recipients of the message otherwise than by its end.

        Servers end a session after so many refusals; the message goes on without these.
        """
        replies = (outcome.reply for outcome in job.transaction.outcomes.values())
        before = job.refused
        job.refused = sum(reply is not None and reply.code != 421 for reply in replies)
        return job.refused > before

    def _advanced(self, job: Job) -> bool:
        """Whether this connection brought verdicts on recipients of the message."""
        before, job.progress = job.progress, job.transaction.progress
        return job.progress > before

    def _fail_rest(self, error: Exception) -> None:
        """The server is down: what is left fails with the same error."""
        for job in chain(list(self._open), self._jobs.with_route(self._route)):
            told: Exception | None = error
            if isinstance(error, SMTPError):
                job.transaction.conclude_unsent(error)
                told = job.transaction.error
            else:
                job.transaction.settle_open(Status.NOT_SENT, None)
            server = self._route.endpoint.server
            headline = getattr(error, "headline", str(error))
            if not job.attempts:
                job.attempts.append(
                    Attempt(self._account, self._route.rule.value, server, error=headline)
                )
                job.logs.append(getattr(error, "transcript", ()))
            self._batch.settle(job, None if job.transaction.sent else told)
        self._open.clear()

    def _settle(self, job: Job, error: Exception | None) -> None:
        self._open.remove(job)
        del self._by_transaction[job.transaction]
        self._batch.settle(job, error)

    @property
    def _account(self) -> str:
        return self._route.account.slug if self._route.account else ""


class _Lookahead:
    """The composed messages of a batch, of which the next one can be looked at."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self._next: Job | None = None

    def peek(self) -> Job | None:
        """The next job, which stays; None at the end."""
        if self._next is None:
            self._next = next(self._jobs, None)
        return self._next

    def with_route(self, route: Route) -> Iterator[Job]:
        """Takes jobs as long as they have this route."""
        while (job := self.peek()) is not None and job.route == route:
            self._next = None
            yield job


def _options_of(message: EmailMessage, route: Route) -> MessageOptions:
    """The message's own options, completed by those of account and mailer."""
    own: MessageOptions = getattr(message, "smtp_options", None) or MessageOptions()
    defaults = route.options
    return own.completed(defaults.dsn, defaults.require_tls, defaults.recipients)


def _content_flowed(transaction: Transaction) -> bool:
    reply = transaction.data_reply
    return reply is not None and reply.klass == 3


def _in_order(transaction: Transaction) -> dict[str, RecipientOutcome]:
    outcomes = transaction.outcomes
    addresses = (recipient.address for recipient in transaction.envelope.recipients)
    return {address: outcomes[address] for address in addresses if address in outcomes}


def _connect(route: Route, began: float | None) -> Connection:
    try:
        return connect(route.endpoint, dial=dial_of(route), began=began)
    except SMTPError as error:
        say_more(error, route)
        raise


def say_more(error: SMTPError, route: Route) -> None:
    """Adds to an error of connecting what only the application knows."""
    if error.reason == "auth-without-tls":
        error.cure = _switch_for_auth_without_tls(route)
    elif isinstance(error, TLSError):
        error.message = explain(error) or error.message


def _switch_for_auth_without_tls(route: Route) -> str:
    """The engine's advice in the words of the place where this site has to follow it."""
    switch = (
        f'tick "allow a password without TLS" on the account {route.account.slug}.'
        if route.account
        else ALLOW_AUTH_WITHOUT_TLS
    )
    return (
        "Use TLS. Only if the network between this site and the server is trusted (a mail "
        f"catcher in a container): {switch}"
    )


def _log_failure(result: Result) -> None:
    error = result.error
    # The headline tells stage, code and account. Other errors may quote what a visitor typed.
    why = error.headline if isinstance(error, SMTPError) else type(error).__name__
    fate = "may or may not have been sent" if result.in_doubt else "was not sent"
    finding = finding_of(error)
    rule = finding.rule if finding is not None else ""
    warn("Message %s %s: %s", result.message_id or "(not composed)", fate, why, rule=rule)


def _log_partial(result: Result) -> None:
    fates = Counter(
        f"refused with {outcome.reply.status}"
        if outcome.reply is not None
        else outcome.status.value.replace("_", " ")
        for outcome in result.recipients.values()
        if outcome.status is not Status.ACCEPTED
    )
    warn(
        "Message %s was accepted for %d of %d recipients; the others: %s",
        result.message_id,
        len(result.accepted),
        len(result.recipients),
        ", ".join(f"{fate} ({count})" for fate, count in fates.items()),
    )
