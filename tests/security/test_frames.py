"""Duty of errors: no frame of an exception that leaves us has a secret among its variables.

Searched as error trackers and Django's debug page show them, and deeper.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.core import serializers
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import OperationalError, connection, transaction

from django_smtpauth.forms import SMTPAccountForm
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets import keyring
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.sending.accounts import account_of
from django_smtpauth.sending.credentials import Credentials, credentials_of
from tests.leaks import all_within, found
from tests.security.channels import Channels
from tests.security.secretive import PASSWORD, USER, Site
from tests.security.test_secrecy import echo, nonsense
from tests.servers.scripted import CLOSE, RESET, SILENCE, Answer, Then

Drive = Callable[[Site], Any]

NO = b"535 5.7.8 Wrong\r\n"


def answers(**replies: Any) -> Drive:
    """A send to a server that answers so."""

    def drive(site: Site) -> None:
        site.answer(**replies)
        site.send()

    return drive


def options(**given: Any) -> Drive:
    """A send of a backend that was made with these options."""
    return lambda site: site.plain(**given).send_messages([site.message()])


def rows(**changes: Any) -> Drive:
    """A send through a row that was changed past the model."""

    def drive(site: Site) -> None:
        site.update(**changes)
        site.send()

    return drive


def typed(**changes: Any) -> Drive:
    """A send through an account with other secrets."""

    def drive(site: Site) -> None:
        SMTPAccount.objects.all().delete()
        site.new(**changes).save()
        site.send()

    return drive


def asked(source: Callable[[Any], Any]) -> Drive:
    """A send on a site that keeps its passwords elsewhere."""

    def drive(site: Site) -> None:
        site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "CREDENTIALS": source}
        site.send()

    return drive


def keys(sources: Any, act: Drive = lambda site: site.send()) -> Drive:
    """Something that needs a key, with these sources."""

    def drive(site: Site) -> None:
        given = sources(site) if callable(sources) else sources
        site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "KEYS": given}
        act(site)

    return drive


def without_database(act: Drive, words: str = "") -> Drive:
    """The same while each statement (that begins with these words) fails."""

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith(words):
            raise OperationalError("the server closed the connection")
        return execute(sql, *rest)

    def drive(site: Site) -> None:
        with connection.execute_wrapper(refuse):
            act(site)

    return drive


def command(*words: str, stdin: str = "") -> Drive:
    def drive(site: Site) -> None:
        site.environment.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        call_command(*words, stdout=io.StringIO(), stderr=io.StringIO())

    return drive


class Vault:
    """What a site's own code may do with a password."""

    @staticmethod
    def fails(account: Any) -> Any:
        password = PASSWORD
        raise LookupError(f"no entry beside {password}")

    @staticmethod
    def loses_its_connection(account: Any) -> Any:
        answer = {"password": PASSWORD}
        raise ConnectionError(answer)

    @staticmethod
    def answers_text(account: Any) -> Any:
        return PASSWORD

    @staticmethod
    def answers_octets(account: Any) -> Any:
        return Credentials(PASSWORD.encode(), account.destination)  # type: ignore[arg-type]

    @staticmethod
    def means_another_server(account: Any) -> Any:
        return Credentials(PASSWORD, Destination("mx.example.com", 587, "starttls", USER))

    @staticmethod
    def means_another_server_for_what_it_asks(account: Any) -> Any:
        return Credentials(lambda: PASSWORD, Destination("mx.example.com", 587, "starttls"))

    @staticmethod
    def asks_in_vain(account: Any) -> Any:
        def ask() -> str:
            password = PASSWORD
            raise LookupError(password)

        return Credentials(ask, account.destination)

    @staticmethod
    def asks_for_octets(account: Any) -> Any:
        return Credentials(PASSWORD.encode, account.destination)  # type: ignore[arg-type]


def looked_up(source: Callable[[Any], Any]) -> Drive:
    """The same without a server, as the engine asks for the secret."""

    def drive(site: Site) -> None:
        site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "CREDENTIALS": source}
        credentials = credentials_of(account_of(site.account()))
        assert credentials is not None
        credentials.secret()

    return drive


def fresh_save(**changes: Any) -> Drive:
    return lambda site: site.new(**changes).save()


def full_clean(**changes: Any) -> Drive:
    return lambda site: site.new(**changes).full_clean()


def created(**changes: Any) -> Drive:
    return lambda site: SMTPAccount.objects.create(**site.fields(**changes))


def validated(**changes: Any) -> Drive:
    return lambda site: SMTPAccountForm(site.posted(**changes)).is_valid()


def saved_form(site: Site) -> None:
    SMTPAccountForm(site.posted(slug="other", is_default="")).save()


def assigned(value: Callable[[str], Any]) -> Drive:
    def drive(site: Site) -> None:
        site.account().password = value(PASSWORD)

    return drive


def with_typed(account: SMTPAccount) -> SMTPAccount:
    account.password = PASSWORD
    return account


def loaded(**changes: Any) -> Drive:
    """A fixture of the account, with changes."""

    def drive(site: Site) -> None:
        (row,) = json.loads(serializers.serialize("json", [site.account()]))
        row["fields"] |= changes
        path = site.directory / "accounts.json"
        path.write_text(json.dumps([row]))
        SMTPAccount.objects.all().delete()
        call_command("loaddata", path, verbosity=0)

    return drive


def another_server(site: Site, *words: str, **more: Any) -> None:
    """smtptest of a server that is not the site's."""
    where = ("--host", site.server.host, "--port", str(site.server.port), "--no-verify")
    command("smtptest", *where, "--username", "club", *words, **more)(site)


FAILURES: dict[str, Drive] = {
    # Sending
    "log-in refused": answers(AUTH=NO, AUTH_RESPONSE=NO),
    "log-in for later": answers(AUTH=b"454 4.7.0 later\r\n"),
    "closed at the log-in": answers(AUTH=CLOSE),
    "reset at the log-in": answers(AUTH=RESET),
    "silence at the log-in": answers(AUTH=SILENCE),
    "goodbye at the log-in": answers(AUTH=Answer(b"421 bye\r\n", Then.CLOSE)),
    "not understood at the log-in": answers(AUTH=b"what?\r\n"),
    "no log-in offered": answers(EHLO=b"250 hello\r\n"),
    "no TLS": answers(STARTTLS=b"454 not now\r\n"),
    "TLS broken off": answers(STARTTLS=Answer(b"220 go\r\n", Then.CLOSE)),
    "nobody greets": answers(GREETING=Answer(b"554 no\r\n", Then.CLOSE)),
    "the password echoed": answers(AUTH=echo(b"535")),
    "the password echoed in a goodbye": answers(AUTH=echo(b"421")),
    "the password echoed in no reply": answers(AUTH=nonsense),
    "sender refused": answers(MAIL=b"550 5.7.1 no\r\n"),
    "recipient refused": answers(RCPT=b"550 5.1.1 no\r\n"),
    "content refused": answers(CONTENT=b"554 5.6.0 no\r\n"),
    "closed after the content": answers(CONTENT=CLOSE),
    "silence after the content": answers(CONTENT=SILENCE),
    "a header with a line end": lambda site: site.send(
        EmailMessage("S\nT", "B", "from@example.com", ["to@example.org"])
    ),
    "opened ahead": lambda site: [site.answer(AUTH=NO), site.plain().open()],
    "an account's own send": lambda site: [
        site.answer(AUTH=NO),
        site.account().send(site.message()),
    ],
    # Options
    "unknown authority": options(ca_file=None),
    "refused name": options(host="localhost.example", verify=True, timeout=1),
    "mechanism that is not offered": options(auth_mechanisms=["XOAUTH2"]),
    "callable that fails": options(password=lambda: Vault.fails(None)),
    "callable of octets": options(password=PASSWORD.encode),
    "password in octets": options(password=PASSWORD.encode()),
    "password that is no text": options(password=[PASSWORD]),
    "password with half a character": options(password=f"{PASSWORD}\ud800"),
    "password with NUL": options(password=f"{PASSWORD}\0"),
    "token beside a password": options(access_token=PASSWORD),
    "an option that is wrong": options(bdat="red"),
    "proxy with a password": options(proxy=f"socks5://u:{PASSWORD.replace('/', '')}@127.0.0.1:1"),
    # Rows
    "another port": rows(port=2525),
    "another pin": rows(tls_pin="sha256//" + "A" * 43 + "="),
    "no truth value": rows(verify=7),
    "damaged password": rows(password="sa1.k.damaged"),
    "damaged key": rows(client_key="sa1.k.damaged"),
    "swapped columns": rows(client_key="sa1.k1.x." + "A" * 60),
    "no certificate": rows(client_certificate="nonsense"),
    "key that is none": typed(client_key=f"-----BEGIN PRIVATE KEY-----\n{PASSWORD}\n"),
    "key that is a password": typed(client_key=PASSWORD),
    "typed half a character": typed(password=f"{PASSWORD}\ud800"),
    "typed NUL": typed(password=f"{PASSWORD}\0"),
    # Keys
    "no source": keys([]),
    "missing variable": keys(["env:SMTPAUTH_ABSENT"]),
    "another key": keys(["k1:" + "A" * 43]),
    "key of a wrong length": keys(lambda site: [f"{site.secrets()['key that seals'][:-8]}"]),
    "key with a wrong id": keys(lambda site: [f"!:{site.secrets()['key that seals']}"]),
    "key that is no base64": keys(lambda site: [f"k:*{site.secrets()['key that seals']}"]),
    "key of a wrong type": keys(lambda site: [site.secrets()["key that seals"].encode()]),
    "keys in a dictionary": keys(lambda site: {"k": site.secrets()["key that seals"]}),
    "one id twice": keys(
        lambda site: [f"kx:{site.secrets()['key that seals']}", "kx:" + "A" * 43]
    ),
    "a source that is none": keys(lambda site: ["env:SMTPAUTH_TEST_KEYS", 1]),
    "sealing without a key": keys([], fresh_save(slug="other")),
    "looking for the key that seals": keys(lambda site: [b"x"], lambda site: keyring.get_sealer()),
    "revealing": keys([], lambda site: site.account().password.reveal()),  # type: ignore[union-attr]
    "resealing": keys([], lambda site: site.account().password.reseal()),  # type: ignore[union-attr]
    # Vaults
    **{
        f"a vault that {name.replace('_', ' ')}": asked(getattr(Vault, name))
        for name in vars(Vault)
        if not name.startswith("_")
    },
    **{
        f"looked up in a vault that {name.replace('_', ' ')}": looked_up(getattr(Vault, name))
        for name in vars(Vault)
        if not name.startswith("_")
    },
    # The model
    "short name that is taken": fresh_save(),
    "checked twice": full_clean(port=0, host="no host", from_email="x"),
    "stars": full_clean(slug="other", password="\u2022" * 8),
    "saved without a database": without_database(fresh_save(slug="other")),
    "checked without a database": without_database(full_clean(slug="other")),
    "changed without a database": without_database(lambda site: site.account().save(), "UPDATE"),
    "assigned octets": assigned(str.encode),
    "assigned a list": assigned(lambda text: [text]),
    "saved half a character": fresh_save(slug="other", password=f"{PASSWORD}\ud800"),
    "created twice": created(),
    "created without a key": keys([], created(slug="other")),
    "created without a database": without_database(created(slug="other")),
    "got or created": lambda site: SMTPAccount.objects.get_or_create(
        slug="other", defaults=site.fields(slug="other", port=0)
    ),
    "updated or created": lambda site: SMTPAccount.objects.update_or_create(
        slug="club", defaults=site.fields(port=0)
    ),
    "updated": lambda site: SMTPAccount.objects.filter(slug="club").update(password=PASSWORD),
    "updated by the manager": lambda site: SMTPAccount.objects.update(client_key=PASSWORD),
    "updated in bulk": lambda site: SMTPAccount.objects.bulk_update(
        [with_typed(site.account())], ["password"]
    ),
    "created in bulk": keys([], lambda site: SMTPAccount.objects.bulk_create([site.new()])),
    "an unknown field": lambda site: site.new(colour="red"),
    "octets for a new one": lambda site: site.new(client_key=PASSWORD.encode()),
    "loaded in plaintext": loaded(password=PASSWORD),
    "loaded in vain": without_database(loaded(), "INSERT"),
    # The form
    "form without a database": without_database(validated()),
    "form saved without a database": without_database(saved_form, "INSERT"),
    # Commands
    "set": command(
        "smtpaccounts", "set", "club", "--password-env", "SMTPAUTH_TEST_PASSWORD", "port=0"
    ),
    "set without a database": without_database(
        command(
            "smtpaccounts", "set", "club", "--password-env", "SMTPAUTH_TEST_PASSWORD", "label=New"
        ),
        "UPDATE",
    ),
    "set without a key": keys(
        [], command("smtpaccounts", "set", "club", "--password-env", "SMTPAUTH_TEST_PASSWORD")
    ),
    "set from a pipe": command(
        "smtpaccounts", "set-password", "absent", "--password-stdin", stdin=PASSWORD
    ),
    "set from lines": command("smtpaccounts", "set", "-", stdin='{"slug": "x", "password": [1]}'),
    "move": command("smtpaccounts", "move", "club", "port=0", "--noinput"),
    "move without a database": without_database(
        command("smtpaccounts", "move", "club", "port=26", "--noinput"), "UPDATE"
    ),
    "move without a key": keys(
        [], command("smtpaccounts", "move", "club", "port=26", "--noinput")
    ),
    "rotate without a database": without_database(
        keys(
            lambda site: ["k9:" + "A" * 43, "env:SMTPAUTH_TEST_KEYS"],
            command("smtpkeys", "rotate"),
        ),
        "UPDATE",
    ),
    "rotate without a key": keys([], command("smtpkeys", "rotate")),
    "verify": keys(["k9:" + "A" * 43], command("smtpkeys", "verify")),
    "smtptest": lambda site: [
        site.answer(AUTH=NO, AUTH_RESPONSE=NO),
        command("smtptest", "to@example.org", "--account", "club")(site),
    ],
    "smtptest after an edit": lambda site: [
        site.update(port=site.server.port + 1),
        command("smtptest", "--account", "club")(site),
    ],
    "smtptest of another server": lambda site: [
        site.answer(AUTH=NO, AUTH_RESPONSE=NO),
        another_server(site, "--password-env", "SMTPAUTH_TEST_PASSWORD"),
    ],
    "smtptest of a wrong option": lambda site: another_server(
        site, "--password-stdin", "--tls-min", "1.0", stdin=PASSWORD
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_no_frame_shows_a_secret(site: Site, name: str, settings: Any) -> None:
    with Channels() as channels, pytest.raises(Exception) as caught, transaction.atomic():
        FAILURES[name](site)
    settings.DEBUG = True
    channels.raised(caught.value)
    assert {"exceptions", "debug pages"} <= channels.names()
    assert site.leaks(channels.text()) == []


def test_a_secret_in_a_frame_would_be_found() -> None:
    """As it is, in a container, in an attribute of an attribute."""

    class Holder:
        def __init__(self, held: Any) -> None:
            self.held = held

    def fail(value: Any) -> None:
        raise LookupError

    with ExitStack() as stack:
        for value in (PASSWORD, [PASSWORD], {"a": {"b": PASSWORD}}, Holder(Holder(PASSWORD))):
            namespace: dict[str, Any] = {"__name__": "elsewhere"}
            exec("def fail(value):\n    raise LookupError", namespace)
            caught = stack.enter_context(pytest.raises(LookupError))
            namespace["fail"](value)
            stack.close()
            assert found(PASSWORD, all_within(caught.value), USER)
