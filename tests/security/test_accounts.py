"""Duty of stored secrets: who can write or restore the database gets no secret sent elsewhere."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.accounts import source
from tests.security.attacks import assert_nothing_secret, verbs
from tests.security.attacks_on_accounts import ATTACKS, GRANTED, ROWS, table
from tests.security.channels import Channels
from tests.security.secretive import PASSWORD, TABLE, USER, Site
from tests.servers.fixtures import ServerFactory

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

#: What an attacker writes into each column that is not bound: it must not lead a secret elsewhere.
#: `id` and the times are left out: they say nothing that a send reads.
UNBOUND: dict[str, list[Any]] = {
    "scope": ["other", ""],
    "slug": ["other"],
    "label": ["evil.example"],
    "notes": ["evil.example"],
    "enabled": [False],
    "preset": ["gmail", "nonsense"],
    "tls_minimum": ["1.2", "1.0", "nonsense"],
    "source_address": ["127.0.0.1", "nonsense"],
    "ehlo_name": ["evil.example"],
    "timeout": [1],
    "protocol": ["lmtp", "nonsense"],
    "bdat": ["eager", "nonsense"],
    "recipients": ["all", "nonsense"],
    "require_tls": [True],
    "dsn_notify": ["NEVER", "nonsense"],
    "dsn_ret": ["HDRS", "nonsense"],
    "authentication": ["none", "certificate", "nonsense"],
    "auth_mechanisms": ["LOGIN", "PLAIN,LOGIN", "nonsense"],
    "client_certificate": ["", "nonsense"],
    "from_email": ["evil@evil.example"],
    "from_name": ["Evil"],
    "may_send_as": ["evil.example"],
    "foreign_from": ["rewrite", "nonsense"],
    "default_slot": ["x"],
    "sender_slot": ["x"],
    "created_by": ["evil"],
    "changed_by": ["evil"],
    "secret_changed_by": ["evil"],
}
ROW = {"id", "created_at", "changed_at", "secret_changed_at", "uuid", "password", "client_key"}


def test_each_column_is_bound_or_known_not_to_be() -> None:
    bound = {field.name for field in dataclasses.fields(Destination)}
    columns = {field.column for field in SMTPAccount._meta.concrete_fields}
    assert columns == bound | UNBOUND.keys() | ROW
    assert not bound & UNBOUND.keys()


@pytest.mark.parametrize(
    ("column", "value"), [(name, value) for name, values in UNBOUND.items() for value in values]
)
def test_nothing_unbound_leads_the_password_elsewhere(
    site: Site, scripted_server: ServerFactory, column: str, value: Any
) -> None:
    away = scripted_server()
    if column != "authentication" or value != "certificate":
        site.update(**{column: value})
    with Channels() as channels:
        channels.catch(site.send)
    assert away.connections == []
    assert all(one.tls for one in site.server.connections if b"AUTH" in one.received)
    assert_nothing_secret(away, PASSWORD, USER)
    assert site.leaks(channels.text()) == []


@pytest.mark.parametrize("way", ["host", "port", "security"])
def test_edit_the_host_and_press_test(
    site: Site, scripted_server: ServerFactory, way: str
) -> None:
    """Who redirects a row and gets somebody to test it hears no log-in."""
    away = scripted_server(users={USER: PASSWORD}, ssl_context=site.certificates.server())
    site.update(**{"host": {"host": "localhost"}, "security": {"security": "none"}}.get(way, {}))
    site.update(port=away.port)
    with Channels() as channels:
        channels.run("smtptest", "--account", "club")
        channels.run("smtptest", "to@example.org", "--account", "club")
    assert not {"AUTH", "MAIL"} & {*verbs(away), *verbs(site.server)}
    assert "stored for" in " ".join(channels.text().split())
    assert site.leaks(channels.text()) == []


def test_a_dump_that_was_restored_elsewhere_sends_nothing(site: Site) -> None:
    """The rows with everything in them, and a key of this environment's own."""
    site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "KEYS": [generate_key()]}
    source.forget()
    with pytest.raises(SecretUnreadable, match="which this process does not have"):
        site.send()
    assert "AUTH" not in verbs(site.server)
    account = site.account()
    assert account.password is not None
    assert account.client_key is not None
    assert account.password.problem() is not None
    assert account.client_key.problem() is not None


def test_a_swapped_provider_leads_nowhere(site: Site) -> None:
    site.update(preset="gmail")
    site.send()
    account = site.account()
    account.save()
    assert account.destination().host == site.server.host
    account.host = ""
    account.save()
    account = site.account()
    assert account.host == "smtp.gmail.com"
    assert account.password is not None
    with pytest.raises(SecretUnreadable):
        account.password.reveal()


def test_an_older_ciphertext_of_the_same_row_opens(site: Site) -> None:
    """What stays possible: the page says so. It goes to the server that it was stored for."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT password FROM {TABLE}")
        (older,) = cursor.fetchone()
    account = site.account()
    account.password = "the new one"
    account.save()
    site.update(password=older)
    password = site.account().password
    assert password is not None
    assert password.reveal() == PASSWORD
    assert "roll" in PAGE.partition("## What stays possible")[2]


TAMPERED = {
    "uuid": "0" * 32,
    "id": "77",
    "pk": "77",
    "default_slot": "x",
    "sender_slot": "x",
    "created_by": "nobody",
    "changed_by": "nobody",
    "secret_changed_by": "nobody",
    "secret_changed_at": "2001-01-01",
    "actor": "nobody",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_no_field_of_the_form_is_ignored(site: Site, name: str) -> None:
    user = User.objects.create(username="editor", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="change_smtpaccount"))
    client = Client()
    client.force_login(user)
    before = site.account()
    path = reverse("admin:smtpauth_smtpaccount_change", args=[before.pk])
    kept = {"timeout": 1, "client_certificate": before.client_certificate, "label": "New"}
    response = client.post(path, {**site.posted(**kept), name: TAMPERED[name]})
    assert response.status_code == 302
    after = site.account()
    assert (after.label, after.changed_by) == ("New", "editor")
    for field in ("pk", "uuid", "default_slot", "sender_slot", "created_by", "secret_changed_by"):
        assert getattr(after, field) == getattr(before, field)
    assert after.secret_changed_at == before.secret_changed_at
    assert after.password is not None
    assert after.password.reveal() == PASSWORD


# -- the table


def existing(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_attacks_name_tests_that_exist() -> None:
    for attack in ATTACKS:
        assert attack.tests
        for path, names in attack.tests:
            assert sorted(set(names) - existing(path)) == []


def test_the_page_tells_the_attacks() -> None:
    """What `python -m tests.security.attacks_on_accounts` prints."""
    assert table() in PAGE


def test_everybody_on_the_page_attacks() -> None:
    """Who is told there not to gain something tries it here."""
    having = PAGE.partition("## By what the attacker has")[2].partition("## ")[0]
    _head, _line, *rows = re.findall(r"^\| (.*?) \|", having, re.M)
    assert {*rows} == ROWS.keys() | GRANTED
    assert {*ROWS.values()} <= {attack.who for attack in ATTACKS}


def test_the_page_names_what_is_bound_and_what_is_not() -> None:
    told = PAGE.partition("## What is bound")[2].partition("## What stays possible")[0]
    words = " ".join(told.split())
    labels = {field.column: str(field.verbose_name) for field in SMTPAccount._meta.concrete_fields}
    named = set(re.findall(r"`(\w+)`", words))
    assert {field.name for field in dataclasses.fields(Destination)} <= named, labels
    assert {*UNBOUND} - {"default_slot", "sender_slot", "created_by", "changed_by"} - {
        "secret_changed_by"
    } <= named
