"""How the tests reach our backend: Django's test set-up swaps every mailer for locmem.

    mail_settings(**options)    our backend, with these options, is what `send_mail()` uses from
                                here on: EMAIL_BACKEND and EMAIL_*, or MAILERS, as the test
                                settings have it
    smtp_server(**behaviour)    a scripted server that is the site's server as well
    make_account(slug, server)  a saved account at a scripted server, which is an internal host
    run_site(code)              a process of its own, with one default account, `club`, at
                                `run_site.server`, and a database in the file
                                `run_site.database`
    dials                       (host, port) of every connection that a batch tries

A module imports the fixtures that it uses, `_fresh_process` among them: it is used by itself.
"""

from __future__ import annotations

import email
import email.policy
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable
from email.message import EmailMessage as ParsedMessage
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail import EmailMessage

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending import delivery
from django_smtpauth.sending.accounts import source
from django_smtpauth.sending.mailer import EMAIL_SETTINGS
from django_smtpauth.smtp import Endpoint, connection
from tests.servers.fixtures import ServerFactory
from tests.servers.records import Message
from tests.servers.scripted import ScriptedServer

BACKEND = "django_smtpauth.backends.EmailBackend"
USER, PASSWORD = "club", "Geheim-42-Wort"

#: Whether the test settings are in the form that Django 6.1 brought.
MAILERS_MODE = hasattr(django_settings, "MAILERS") and django.VERSION >= (6, 1)

needs_mailers = pytest.mark.skipif(not MAILERS_MODE, reason="for settings with MAILERS")
needs_legacy = pytest.mark.skipif(MAILERS_MODE, reason="for settings without MAILERS")

ROOT = Path(__file__).parents[1]

MailSettings = Callable[..., None]
AccountFactory = Callable[..., SMTPAccount]


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process has learnt of accounts and servers is not true of the next test."""
    source.forget()
    monkeypatch.setattr(source, "_warned", None)
    monkeypatch.setattr(connection, "_traits", {})


@pytest.fixture
def mail_settings(settings: Any) -> MailSettings:
    def use(**options: Any) -> None:
        # Its own name, so that nobody asks DNS.
        options = {"ehlo_name": "client.test", **options}
        smtpauth = dict(getattr(settings, "SMTPAUTH", {}))
        if MAILERS_MODE:
            settings.MAILERS = {"default": {"BACKEND": BACKEND, "OPTIONS": options}}
            return
        for option, name in EMAIL_SETTINGS.items():
            if option in options:
                setattr(settings, name, options.pop(option))
        settings.EMAIL_BACKEND = BACKEND
        settings.SMTPAUTH = {**smtpauth, "DEFAULTS": options}

    return use


@pytest.fixture
def smtp_server(
    scripted_server: ServerFactory, mail_settings: MailSettings
) -> Callable[..., ScriptedServer]:
    def start(**behaviour: Any) -> ScriptedServer:
        server = scripted_server(**behaviour)
        mail_settings(host=server.host, port=server.port)
        return server

    return start


@pytest.fixture
def make_account(settings: Any) -> AccountFactory:
    settings.SMTPAUTH = {**getattr(settings, "SMTPAUTH", {}), "KEYS": [generate_key()]}

    def make(slug: str, server: ScriptedServer, **fields: Any) -> SMTPAccount:
        where = {"host": server.host, "port": server.port, "internal_host": True}
        fields = {**where, "security": "none", **fields}
        account = SMTPAccount(slug=slug, **fields)
        account.save()
        return account

    return make


@pytest.fixture
def run_site(tmp_path: Path, scripted_server: ServerFactory) -> Any:
    """Runs code on a site with one default account, whose server the test gets to see."""
    server = scripted_server(users={"club": "secret"})
    database = str(tmp_path / "site.sqlite3")
    prelude = f"""
        import django
        django.setup()
        from django.conf import settings
        from django.core.mail import send_mail
        from django.core.management import call_command
        from django.db import connection, transaction
        from django.test.utils import CaptureQueriesContext
        from django_smtpauth.models import SMTPAccount

        def account(**fields):
            where = dict(host="127.0.0.1", port={server.port}, internal_host=True)
            fields = where | dict(security="none") | fields
            return SMTPAccount(username="club", password="secret", **fields)

        def send(name="a"):
            return send_mail("S", "B", name + "@example.com", ["to@example.org"])

        call_command("migrate", verbosity=0)
        account(slug="club", is_default=True).save()
    """

    def run(code: str) -> Any:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.file_database_settings",
            "TEST_DATABASE": database,
            "TEST_KEY": generate_key(),
            "PYTHONPATH": str(ROOT),
        }
        script = textwrap.dedent(prelude) + textwrap.dedent(code)
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done

    run.database = database  # type: ignore[attr-defined]
    run.server = server  # type: ignore[attr-defined]
    return run


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    made: list[tuple[str, int]] = []
    connect = delivery.connect

    def counted(endpoint: Endpoint, **details: Any) -> connection.Connection:
        made.append(endpoint.address)
        return connect(endpoint, **details)

    monkeypatch.setattr(delivery, "connect", counted)
    return made


def default_backend() -> Any:
    """The backend that `send_mail()` makes without further arguments."""
    return mail.mailers.default if django.VERSION >= (6, 1) else mail.get_connection()


def backend_for(server: ScriptedServer, **options: Any) -> EmailBackend:
    """Our backend for a scripted server, made by hand as many sites do."""
    options = {"host": server.host, "port": server.port, "ehlo_name": "client.test", **options}
    return EmailBackend(**options)


def people(*addresses: str) -> list[Any]:
    """ADMINS and MANAGERS as this Django wants them: 6.0 deprecated the pairs."""
    return list(addresses) if django.VERSION >= (6, 0) else [("Name", a) for a in addresses]


def message(name: str = "a", **fields: Any) -> EmailMessage:
    """A message from `name@example.com` to `to@example.org`."""
    values = {"subject": "Subject", "body": "Content\n", "from_email": f"{name}@example.com"}
    return EmailMessage(**{**values, "to": ["to@example.org"], **fields})


def batch(names: str) -> list[EmailMessage]:
    """A message from each of these names of one letter."""
    return [message(name) for name in names]


def failure_of(
    backend: EmailBackend, messages: Iterable[EmailMessage], kind: type[Exception] = Exception
) -> Any:
    """The exception with which a batch ends."""
    with pytest.raises(kind) as caught:
        backend.send_messages(messages)
    return caught.value


def fates(messages: Iterable[Any]) -> list[str]:
    """What became of each message: sent, in doubt, or failed."""
    results = [one.smtp_result for one in messages]
    return ["sent" if r.sent else "in doubt" if r.in_doubt else "failed" for r in results]


def parsed(received: Message) -> ParsedMessage:
    """A message as a server got it, with LF for its line ends."""
    octets = received.content.replace(b"\r\n", b"\n")
    return email.message_from_bytes(octets, policy=email.policy.default)


def only(server: ScriptedServer) -> ParsedMessage:
    """The one message that a server accepted."""
    (received,) = server.accepted
    return parsed(received)


def senders(server: ScriptedServer) -> list[str]:
    """From whom the accepted messages are, by their names, in order."""
    return [received.sender.partition("@")[0] for received in server.accepted]
