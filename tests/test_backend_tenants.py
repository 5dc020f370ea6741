"""Tenants whose accounts agree in uuid and slug share nothing that their contents do not share.

So it is with a schema for each tenant, where rows are copied or numbered alike. Here the rows
stand in one table one after the other, and the process is shown each as its tenant's account.
"""

import ssl
import threading
import uuid
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, replace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from django_smtpauth.backends import EmailBackend
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.sending.accounts import Account, load_accounts, source
from django_smtpauth.sending.mailer import MailerOptions
from django_smtpauth.sending.routing import Hint, account_options, choose
from django_smtpauth.smtp import AuthenticationRefused
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    default_backend,
    failure_of,
    mail_settings,
    make_account,
    message,
    senders,
)
from tests.servers.scripted import EXTENSIONS

USERS = {"club": "s3cret"}
CHUNKING = [*EXTENSIONS, "CHUNKING", "AUTH PLAIN"]
TAKEN = b"235 2.7.0 welcome\r\n"
IDENTITY = uuid.UUID(int=1)
OF_TENANT = ContextVar("tenant")

pytestmark = pytest.mark.django_db


@contextmanager
def tenant(name):
    token = OF_TENANT.set(name)
    try:
        yield
    finally:
        OF_TENANT.reset(token)


@pytest.fixture
def tenant_account(make_account, mail_settings, settings, monkeypatch):  # noqa: F811
    """Makes the account of a tenant at a server; its mail is sent within `tenant(name)`."""

    def make(name, server, password="s3cret", **given):
        row = make_account(
            "club",
            server,
            uuid=IDENTITY,
            username="club",
            password=password,
            is_default=True,
            **given,
        )
        (account,) = load_accounts("default", "")
        row.delete()
        found[name] = [account]
        mail_settings()
        settings.SMTPAUTH = {**settings.SMTPAUTH, "SCOPE": OF_TENANT.get}
        source.invalidate()
        return account

    found = {}
    monkeypatch.setattr(source, "_load", lambda database, schema, scope: found[scope])
    return make


def send(name):
    with tenant(name):
        assert message(name).send() == 1


def refusal(name):
    with tenant(name):
        return failure_of(default_backend(), [message(name)])


def test_each_sends_through_its_own_server(scripted_server, tenant_account):
    servers = {name: scripted_server(users={"club": name}) for name in ("north", "south")}
    for name, server in servers.items():
        tenant_account(name, server, password=name)
    for name in ("north", "south") * 2:
        send(name)
    assert {name: senders(server) for name, server in servers.items()} == {
        "north": ["north", "north"],
        "south": ["south", "south"],
    }


@pytest.mark.parametrize("password", ["s3cret", "other"])
def test_an_open_backend_has_a_connection_for_each(scripted_server, tenant_account, password):
    """Even at one server, as one user, with one password: it was sealed twice."""
    server = scripted_server(extensions=[*EXTENSIONS, "AUTH PLAIN"], replies={"AUTH": TAKEN})
    tenant_account("north", server)
    tenant_account("south", server, password=password)
    with tenant("north"), default_backend() as backend:
        for name in ("north", "south", "north", "south"):
            with tenant(name):
                assert backend.send_messages([message(name)]) == 1
    assert [[one.sender[:5] for one in c.messages] for c in server.connections] == [
        ["north", "north"],
        ["south", "south"],
    ]


def test_what_was_refused_to_one_is_not_refused_to_the_other(scripted_server, tenant_account):
    server = scripted_server(users={"club": "right"})
    tenant_account("north", server, password="wrong")
    tenant_account("south", server, password="right")
    assert isinstance(refusal("north"), AuthenticationRefused)
    connections = len(server.connections)
    send("south")
    assert len(server.connections) == connections + 1
    assert "not tried again" in str(refusal("north"))
    assert len(server.connections) == connections + 2
    assert senders(server) == ["south"]


def test_an_authority_of_one_is_none_of_the_other(scripted_server, tenant_account, certificates):
    server = scripted_server(users=USERS, ssl_context=certificates.server())
    tenant_account("north", server, security="starttls", ca_text=certificates.ca_pem)
    tenant_account("south", server, security="starttls", ca_text=certificates.other_ca_pem)
    send("north")
    assert isinstance(refusal("south"), ssl.SSLError)
    assert senders(server) == ["north"]


def test_what_one_server_showed_the_other_has_to_show(scripted_server, tenant_account):
    """Chunks go with the envelope where a chunk out of place was refused in whole."""
    chunks = {"users": USERS, "extensions": CHUNKING, "count_flights": True}
    fast = scripted_server(**chunks)
    slow = scripted_server(**chunks, replies={"BDAT": [b"250 2.0.0 taken\r\n"]})
    for name, server in (("north", fast), ("south", slow)):
        tenant_account(name, server, bdat="eager")
        send(name)
    assert (eager(fast), eager(slow)) == (True, False)


def eager(server):
    return any("MAIL" in flight and "BDAT" in flight for flight in server.flights)


# Whose mail it is


def test_the_scope_is_asked_where_and_when_each_message_is_sent(
    scripted_server, tenant_account, settings
):
    def scope():
        asked.append(threading.get_ident())
        return OF_TENANT.get()

    def messages():
        for name in ("north", "south"):
            with tenant(name):
                yield message(name)

    asked = []
    servers = {name: scripted_server(users=USERS) for name in ("north", "south")}
    for name, server in servers.items():
        tenant_account(name, server)
    settings.SMTPAUTH = {**settings.SMTPAUTH, "SCOPE": scope}
    assert default_backend().send_messages(messages()) == 2
    assert [senders(server) for server in servers.values()] == [["north"], ["south"]]
    assert asked == [threading.get_ident()] * 2


@pytest.mark.parametrize("fail_silently", [True, False])
def test_mail_of_nobody_knows_whom_is_not_sent(scripted_server, tenant_account, fail_silently):
    """The site's mistake is told even if failures of mail are not."""
    server = scripted_server(users=USERS)
    tenant_account("north", server)
    one = message()
    with pytest.raises(ImproperlyConfigured, match=r'SMTPAUTH\["SCOPE"\] failed: LookupError'):
        EmailBackend(fail_silently=fail_silently).send_messages([one])
    assert isinstance(one.smtp_result.error, ImproperlyConfigured)
    assert server.accepted == []


def test_a_scope_that_can_not_be_told_does_not_stop_the_checks(settings):
    settings.SMTPAUTH = {"SCOPE": OF_TENANT.get}
    call_command("check")


def test_smtptest_says_that_the_scope_can_not_be_told(mail_settings, settings, capsys):  # noqa: F811
    settings.SMTPAUTH = {"SCOPE": OF_TENANT.get}
    mail_settings()
    with pytest.raises(CommandError, match="CONFIGURATION failed"):
        call_command("smtptest")
    assert 'SMTPAUTH["SCOPE"]' in " ".join(capsys.readouterr().out.split())


# The values that caches go by


@pytest.mark.parametrize("name", [field.name for field in fields(Account)])
def test_accounts_that_differ_in_anything_are_different_accounts(name):
    account = Account(uuid=IDENTITY, slug="club", host="smtp.example.com")
    other = replace(account, **{name: object()})
    assert account != other
    assert account == replace(account)


@pytest.mark.parametrize(
    "content",
    [
        {"host": "other.example.com"},
        {"port": 465},
        {"username": "other"},
        {"ca_text": "other"},
        {"scope": "other"},
        {"schema": "other"},
        {"verify": False},
        {"timeout": 4.0},
    ],
)
def test_an_account_with_another_content_has_a_connection_of_its_own(content):
    """Connections are kept by route."""
    account = Account(uuid=IDENTITY, slug="club", host="smtp.example.com", is_default=True)
    accounts = account, replace(account, **content), replace(account)
    one, other, again = (choose(Hint(), [account], MailerOptions()) for account in accounts)
    assert one == again
    assert len({one, other, again}) == 2


def test_an_account_holds_all_that_its_password_is_bound_to():
    """So equal accounts open the same secret."""
    bound = {field.name for field in fields(Destination)} | {"uuid", "password"}
    assert bound <= {field.name for field in fields(Account)}


def test_one_text_sealed_twice_makes_two_accounts(scripted_server, tenant_account):
    server = scripted_server()
    north, south = (tenant_account(name, server) for name in ("north", "south"))
    assert north.password.reveal() == south.password.reveal()
    assert north.password != south.password
    assert replace(north, password=None) == replace(south, password=None)
    assert len({north, south}) == 2


def test_options_are_remembered_by_content():
    accounts = [
        Account(uuid=IDENTITY, slug="club", host=f"{name}.example.com")
        for name in ("north", "south", "north")
    ]
    hosts = [account_options(account).host for account in accounts]
    assert hosts == ["north.example.com", "south.example.com", "north.example.com"]
