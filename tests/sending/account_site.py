"""A site with one account, whose mail is counted by the test's own clock.

site            its server, its account, its mail, and what is known of it
file_site       the same with a database whose data every thread sees
ledger          in which the mail is counted; clock, timers: its own
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_smtpauth.models import SMTPAccountHealth
from django_smtpauth.sending import health
from django_smtpauth.sending.durable import writer
from django_smtpauth.sending.health import Ledger
from django_smtpauth.sending.options import MessageOptions
from tests.backend_fixtures import mail_settings, make_account, message  # noqa: F401
from tests.file_database import file_database  # noqa: F401
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import ScriptedServer

OWN = "club@example.com"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Timers(list[Any]):
    """Timers that go off when the test says."""

    def __call__(self, seconds: float, function: Callable[[], None]) -> Any:
        self.append((seconds, function))
        return self

    def start(self) -> None:
        """They do not run by themselves."""

    def go_off(self) -> None:
        _seconds, function = self.pop(0)
        function()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def ledger(clock: Clock, timers: Timers, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The ledger that real mail is counted in, with the test's clock and timers."""
    ledger = Ledger(writer, clock, timers)
    monkeypatch.setattr(health, "ledger", ledger)
    return ledger


class Site:
    """A default account at a server, and the mail that goes through it."""

    def __init__(self, start: ServerFactory, make: Any) -> None:
        self._start, self._make = start, make
        self.messages: list[Any] = []

    def serve(self, server: dict[str, Any] | None = None, **fields: Any) -> ScriptedServer:
        running = self._start(**(server or {}))
        fields = {"slug": "club", "from_email": OWN, "is_default": True, **fields}
        self.account = self._make(fields.pop("slug"), running, **fields)
        return running

    def send(
        self, sender: str = OWN, options: MessageOptions | None = None, **fields: Any
    ) -> bool:
        """Whether the message was sent."""
        one: Any = message(from_email=sender, **fields)
        one.smtp_options = options
        self.messages.append(one)
        try:
            return one.send() == 1
        except Exception:
            return False

    @property
    def state(self) -> SMTPAccountHealth | None:
        return SMTPAccountHealth.objects.filter(account__uuid=self.account.uuid).first()

    @property
    def counts(self) -> tuple[int, int]:
        """Successes and failures."""
        state = self.state
        assert state is not None
        return state.successes, state.failures


@pytest.fixture
def site(scripted_server, make_account, mail_settings, ledger) -> Site:  # type: ignore[no-untyped-def] # noqa: F811
    mail_settings()
    return Site(scripted_server, make_account)


@pytest.fixture
def file_site(file_database: str, site: Site) -> Site:  # noqa: F811
    """The same with a database whose data every thread sees."""
    return site
