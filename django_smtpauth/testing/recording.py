"""A backend that does all that the real one does, except that nothing leaves the process."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from ..backends import EmailBackend
from ..sending.delivery import Lines
from ..sending.mailer import MailerOptions
from ..sending.results import Result
from ..sending.routing import NoServer, Route, Rule
from ..smtp import commands
from ..smtp.connection import Connection
from ..smtp.endpoint import Endpoint
from ..smtp.errors import Disconnected
from ..smtp.extensions import Extensions
from ..smtp.replies import Reply
from ..smtp.transaction import Transaction
from ..smtp.transcript import Event
from .outcomes import current_outcomes

_OK = Reply(250, ("2.0.0 OK",))
_GO_ON = Reply(354, ("Go on",))
_numbers = itertools.count(1)

#: Where messages go for which neither an account nor the settings name a server.
NOWHERE = Route(None, MailerOptions(), Rule.SETTINGS, Endpoint("recording.invalid"))


class RecordingBackend(EmailBackend):
    """For tests: composes and routes for real, and puts accepted messages into `mail.outbox`.

    Takes the options of the real backend, fills `message.smtp_result`, raises the same errors:
    for bad addresses, headers, options and accounts, and whatever `smtp_outcomes()` asks for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines = _RecordingLines()
        if not hasattr(mail, "outbox"):
            mail.outbox = []

    def route(self, message: EmailMessage | None = None) -> Route:
        """As the real backend's, but a test need not configure a server."""
        try:
            return super().route(message)
        except ImproperlyConfigured as error:
            # Under MAILERS the error is Django's InvalidMailer.
            if isinstance(error, NoServer) or isinstance(error.__context__, NoServer):
                return NOWHERE
            raise

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Tries every message; the errors are those of the real backend."""
        messages: list[EmailMessage] = []

        def noted() -> Iterator[EmailMessage]:
            for message in email_messages:
                messages.append(message)
                yield message

        try:
            return super().send_messages(noted()) if email_messages else 0
        finally:
            mail.outbox.extend(
                self._copy(message)
                for message in messages
                if message.recipients() and _was_sent(message)
            )

    def _copy(self, message: EmailMessage) -> EmailMessage:
        """The message as it is now; like locmem's, with the mailer's name."""
        copied = copy.copy(message)
        # A backend has locks, which can't be copied. Django 6.1 keeps it under another name.
        for name in {"connection", "_connection"} & vars(copied).keys():
            vars(copied)[name] = None
        copied = copy.deepcopy(copied)
        copied.sent_using = self._alias  # type: ignore[attr-defined]
        return copied


def _was_sent(message: EmailMessage) -> bool:
    result: Result | None = getattr(message, "smtp_result", None)
    return result is not None and result.sent


class _RecordingLines(Lines):
    def get(self, route: Route, began: float | None = None) -> Connection:  # noqa: ARG002
        """A connection that is always there."""
        known = self._connections.get(route)
        if known is None:
            known = self._connections[route] = cast("Connection", _Recorder(route.endpoint))
        return known


class _Recorder:
    """What the delivery needs of a connection, with a server that does as it was told."""

    usable = True
    peer = ""
    tls = None
    mechanism = ""
    extensions = Extensions({"8BITMIME": "", "SMTPUTF8": ""})
    events: tuple[Event, ...] = ()

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def deliver(
        self,
        transactions: Iterable[Transaction],
        on_done: Callable[[Transaction], None],
        *,
        began: float | None = None,  # noqa: ARG002
    ) -> None:
        for transaction in transactions:
            while not transaction.done:
                _decide(transaction)
            on_done(transaction)

    def close(self) -> None: ...


def _decide(transaction: Transaction) -> None:
    """Gives the transaction the replies that lead to the outcome of one round."""
    outcomes = current_outcomes()
    transaction.begin()
    transaction.take(commands.mail(transaction.envelope.sender, utf8=True), _OK)
    for recipient in transaction.round:
        reply = outcomes.reply_to(recipient.address) or _OK
        transaction.take(commands.rcpt(recipient.address, utf8=True), reply)
    if not transaction.wanted:
        transaction.conclude()
        return
    transaction.take(commands.data(), _GO_ON)
    if outcomes.in_doubt:
        transaction.conclude_lost(Disconnected("smtp_outcomes(in_doubt=True)", stage="CONTENT"))
        return
    queued = Reply(250, (f"2.0.0 OK: queued as recorded-{next(_numbers)}",))
    transaction.take(commands.content(transaction.content.size), outcomes.content or queued)
    transaction.conclude()
