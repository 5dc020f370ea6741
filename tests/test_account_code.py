"""Accounts as code uses them: `account.send()`, `smtp_account()`, the chooser, vaults."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from django_smtpauth import smtp_account
from django_smtpauth.backends import EmailBackend
from django_smtpauth.current import chosen_account
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.references import secret_from
from django_smtpauth.sending.credentials import Credentials
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.sending.routing import AccountNotFound
from django_smtpauth.smtp.errors import SMTPError
from tests.backend_fixtures import (  # noqa: F401
    MAILERS_MODE,
    PASSWORD,
    USER,
    _fresh_process,
    backend_for,
    default_backend,
    failure_of,
    mail_settings,
    make_account,
    message,
    parsed,
)
from tests.leaks import shown_by_trackers

pytestmark = pytest.mark.django_db


def by_slug(one: EmailMessage) -> str | None:
    """A chooser: the part of the subject before a colon."""
    slug, colon, _ = str(one.subject).partition(":")
    return slug if colon else None


def backend_without_server() -> EmailBackend:
    """A mailer whose OPTIONS leave the server to the accounts and the settings."""
    return EmailBackend(**({"alias": "default"} if MAILERS_MODE else {}))


def carrier(backend: Any, **fields: Any) -> str:
    """The account whose server takes a message."""
    account = backend.route(message(**fields)).account
    return account.slug if account else ""


# Sending through an account


def test_an_account_sends(mail_settings, scripted_server, make_account):  # noqa: F811
    own, site = scripted_server(), scripted_server()
    mail_settings()
    make_account("site", site, is_default=True)
    account = make_account(
        "club", own, from_email="club@example.org", from_name="Der “Club”, e.V."
    )
    account.send(message())
    account.send_mail("Subject", "Text", None, ["to@example.org"])
    assert [m.sender for m in own.accepted] == ["a@example.com", "club@example.org"]
    assert parsed(own.accepted[1])["From"].addresses[0].display_name == "Der “Club”, e.V."
    assert site.accepted == []


def test_in_tests_its_mail_is_in_the_outbox():
    account = SMTPAccount(slug="club", host="smtp.example.com", from_email="club@example.org")
    account.send_mail("Subject", "Text", None, ["to@example.org"])
    assert [one.from_email for one in mail.outbox] == ["club@example.org"]


def test_an_unsaved_account_sends(scripted_server, mail_settings):  # noqa: F811
    own = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])
    mail_settings()
    row = SMTPAccount(slug="new", host=own.host, port=own.port, security="none")
    row.username, row.password, row.internal_host = USER, PASSWORD, True
    row.send(message())
    assert len(own.accepted) == 1


def test_an_account_that_is_switched_off_sends_nothing(
    mail_settings,  # noqa: F811
    scripted_server,
    make_account,  # noqa: F811
):
    mail_settings()
    account = make_account("club", scripted_server(), enabled=False)
    with pytest.raises(AccountNotFound, match="club is switched off"):
        account.send(message())


def test_an_account_is_not_passed_over_by_a_mailer_with_a_server(
    scripted_server,
    make_account,  # noqa: F811
):
    server = scripted_server()
    account = make_account("club", server)
    with smtp_account(account, only=True):
        error = failure_of(backend_for(server), [message()], ImproperlyConfigured)
    assert "asks for account 'club', but the backend was built with host" in str(error)


# Blocks of code


def test_a_block_chooses_for_the_mail_in_it(scripted_server, make_account):  # noqa: F811
    server = scripted_server()
    make_account("post", server, is_default=True)
    for slug in ("club", "news"):
        make_account(slug, server)
    backend = backend_without_server()
    with smtp_account("club"):
        assert carrier(backend) == "club"
        with smtp_account("news"):
            assert carrier(backend) == "news"
        with smtp_account(None):
            assert carrier(backend) == "post"
        assert carrier(backend) == "club"
    assert carrier(backend) == "post"

    @smtp_account("news")
    def decorated() -> str:
        return carrier(backend)

    assert decorated() == "news"


def test_a_block_ends_with_an_exception():
    with pytest.raises(KeyError), smtp_account("club"):
        raise KeyError
    assert chosen_account().account is None


def test_a_message_wins_over_the_block_and_the_block_over_the_backend(
    scripted_server,
    make_account,  # noqa: F811
):
    server = scripted_server()
    for slug in ("club", "news", "shop"):
        make_account(slug, server)
    backend = EmailBackend(account="shop")
    own = message()
    own.smtp_options = MessageOptions(account="news")
    with smtp_account("club"):
        assert backend.route(own).account.slug == "news"
        assert carrier(backend) == "club"
        assert backend_for(server).route(message()).account is None
    assert carrier(backend) == "shop"


def test_each_thread_and_task_has_its_own_block():
    seen: dict[str, object] = {}

    def other() -> None:
        seen["thread"] = chosen_account().account

    async def task(slug: str) -> None:
        with smtp_account(slug):
            await asyncio.sleep(0)
            seen[slug] = chosen_account().account

    async def both() -> None:
        await asyncio.gather(task("club"), task("news"))

    with smtp_account("outer"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        asyncio.run(both())
    assert seen == {"thread": None, "club": "club", "news": "news"}


# The chooser


@pytest.mark.parametrize("chooser", [by_slug, "tests.test_account_code.by_slug"])
def test_a_chooser_decides_by_the_message(scripted_server, make_account, settings, chooser):  # noqa: F811
    server = scripted_server()
    make_account("club", server)
    make_account("news", server, is_default=True)
    settings.SMTPAUTH = {**settings.SMTPAUTH, "CHOOSER": chooser}
    backend = backend_without_server()
    assert carrier(backend, subject="club: today") == "club"
    assert carrier(backend, subject="today") == "news"
    assert backend.route(message(subject="club: x")).rule.value.startswith('SMTPAUTH["CHOOSER"]')
    with pytest.raises(AccountNotFound, match="no enabled account 'lost'"):
        backend.route(message(subject="lost: x"))


def test_a_chooser_that_is_not_there(settings):
    settings.SMTPAUTH = {"CHOOSER": "nowhere.chooser"}
    with pytest.raises(ImproperlyConfigured, match=r'SMTPAUTH\["CHOOSER"\]: .*nowhere'):
        EmailBackend(host="smtp.example.com").route(message())


# Passwords that stay outside


@pytest.fixture
def guarded(scripted_server):
    return scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])


def test_a_password_comes_from_a_callable_at_each_log_in(guarded):
    asked = []

    def password() -> str:
        asked.append(1)
        return PASSWORD

    backend = backend_for(guarded, username=USER, password=password)
    assert asked == []
    assert backend.send_messages([message(), message()]) == 2
    assert backend.send_messages([message()]) == 1
    assert len(asked) == 2


def test_a_password_stays_in_the_environment_or_in_a_file(guarded, monkeypatch, tmp_path):
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    for reference in ("env:SMTP_PASSWORD", f"file:{file}"):
        backend = backend_for(guarded, username=USER, password=secret_from(reference))
        assert backend.send_messages([message()]) == 1
        assert secret_from(reference) == secret_from(reference)


def test_the_settings_may_name_the_place(guarded, mail_settings, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    server = {"host": guarded.host, "port": guarded.port}
    mail_settings(**server, username=USER, password=secret_from("env:SMTP_PASSWORD"))
    assert default_backend().send_messages([message()]) == 1


def test_defaults_may_name_the_place(guarded, settings, monkeypatch):
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    settings.SMTPAUTH = {"DEFAULTS": {"username": USER, "password": "env:SMTP_PASSWORD"}}
    backend = EmailBackend(host=guarded.host, port=guarded.port, ehlo_name="client.test")
    assert backend.send_messages([message()]) == 1


def test_a_text_that_reaches_a_backend_names_no_place(guarded, monkeypatch):
    """It may be somebody's password out of a table, and the host somebody's server."""
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    failure_of(backend_for(guarded, username=USER, password="env:SMTP_PASSWORD"), [message()])
    (attempt,) = [one for c in guarded.connections for one in c.auth]
    assert not attempt.accepted


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("env:SMTP_ABSENT", "env:SMTP_ABSENT: this environment variable is not set."),
        ("env:SMTP_EMPTY", "env:SMTP_EMPTY: it is empty."),
        ("file:/absent/password", "file:/absent/password: the file can't be read"),
    ],
)
def test_a_place_without_a_password_is_told(guarded, monkeypatch, reference, fault):
    monkeypatch.setenv("SMTP_EMPTY", "")
    backend = backend_for(guarded, username=USER, password=secret_from(reference))
    error = failure_of(backend, [message()], SMTPError)
    assert (error.stage, error.reason) == ("AUTH", "secret-missing")
    assert fault in str(error)
    assert guarded.accepted == []


def test_only_places_are_references():
    with pytest.raises(ValueError, match="begins with 'env:' or 'file:'"):
        secret_from("Geheim")


# A vault


class Vault:
    """What SMTPAUTH["CREDENTIALS"] names in these tests."""

    answer: Any = None
    asked: list[str] = []

    @classmethod
    def lookup(cls, account: Any) -> Any:
        cls.asked.append(account.slug)
        if isinstance(cls.answer, Exception):
            raise cls.answer
        return cls.answer


@pytest.fixture
def vault(settings):
    Vault.answer, Vault.asked = None, []
    settings.SMTPAUTH = {"CREDENTIALS": Vault.lookup}
    return Vault


def destination(server, **fields) -> Destination:
    values = {"host": server.host, "port": server.port, "security": "none", "username": USER}
    return Destination(**{**values, "internal_host": True, **fields})


def account_at(server, **fields) -> SMTPAccount:
    values = {"host": server.host, "port": server.port, "security": "none", "username": USER}
    return SMTPAccount(slug="club", internal_host=True, **{**values, **fields})


def send(account: SMTPAccount) -> None:
    with smtp_account(account):
        EmailBackend(ehlo_name="client.test").send_messages([message()])


@pytest.mark.parametrize("password", [PASSWORD, lambda: PASSWORD], ids=["text", "callable"])
def test_a_vault_has_the_password(guarded, vault, password):
    vault.answer = Credentials(password, destination(guarded))
    send(account_at(guarded))
    assert len(guarded.accepted) == 1
    assert vault.asked == ["club"]


def test_what_a_vault_does_not_have_the_account_may_have(guarded, vault):
    send(account_at(guarded, password=PASSWORD))
    assert len(guarded.accepted) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"host": "localhost"},
        {"username": "somebody"},
        {"verify": False},
        {"allow_auth_without_tls": True},
    ],
)
def test_a_password_of_the_vault_goes_nowhere_else(guarded, vault, changed):
    vault.answer = Credentials(PASSWORD, destination(guarded))
    with pytest.raises(SMTPError, match="points now") as caught:
        send(account_at(guarded, **changed))
    assert caught.value.stage == "AUTH"
    assert next(iter(changed)) in str(caught.value)
    assert not any(one for c in guarded.connections for one in c.auth)


def test_a_vault_that_fails_tells_the_place_and_nothing_else(guarded, vault):
    vault.answer = KeyError(f"no entry for {PASSWORD}")
    with pytest.raises(
        SMTPError, match=r'callable of SMTPAUTH\["CREDENTIALS"\] failed: KeyError'
    ) as e:
        send(account_at(guarded))
    assert PASSWORD not in shown_by_trackers(e.value)


def test_a_vault_that_answers_something_else(guarded, vault):
    vault.answer = PASSWORD
    with pytest.raises(SMTPError, match="returned str in place of Credentials") as caught:
        send(account_at(guarded))
    assert PASSWORD not in shown_by_trackers(caught.value)


def test_its_answer_does_not_show_the_password(guarded):
    assert PASSWORD not in repr(Credentials(PASSWORD, destination(guarded)))


def test_no_password_at_all_is_told(guarded):
    with pytest.raises(SecretUnreadable, match="account club has no password"):
        send(account_at(guarded))
