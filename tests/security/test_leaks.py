"""Duty of the accounts: whatever is done with them, and whatever fails, no secret comes out.

Everything that the product can do is done, everything that leaves the process is collected, and
searched for each form of each secret.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core import checks, serializers
from django.core.cache import cache
from django.core.management import BaseCommand, call_command
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.views.debug import SafeExceptionReporterFilter

from django_smtpauth import migrations
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.accounts import account_of
from tests.security.channels import Channels
from tests.security.secretive import PASSWORD, SERVED, USER, Site
from tests.servers.scripted import CLOSE


@pytest.fixture(autouse=True)
def _in_bounded_time() -> None:
    """Not here: a hundred pages take the time, and no server does."""


LIST = "/admin/smtpauth/smtpaccount/"
MODEL = ("view_smtpaccount", "add_smtpaccount", "change_smtpaccount", "delete_smtpaccount")
#: Who looks at the pages, and what they may do; None: everything.
VISITORS: dict[str, tuple[str, ...] | None] = {
    "superuser": None,
    "viewer": MODEL[:1],
    "editor": MODEL,
    "editor of secrets": (*MODEL, "change_secret_smtpaccount", "test_smtpaccount"),
}


def visitor(who: str) -> Client:
    permissions = VISITORS[who]
    user = User.objects.create(username=who, is_staff=True, is_superuser=permissions is None)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions or ()))
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def paths(account: SMTPAccount) -> list[str]:
    own = [reverse(f"admin:smtpauth_smtpaccount_{page}", args=[account.pk]) for page in PAGES]
    completion = "?app_label=smtpauth&model_name=smtpaccounthealth&field_name=account&term="
    return [
        *own,
        *(LIST, f"{LIST}add/", f"{LIST}?q=club", f"{LIST}?mail_from=a@example.com"),
        *(f"{LIST}?password={PASSWORD}", f"{LIST}?q={PASSWORD[:4]}&o=1", f"{LIST}?enabled=1"),
        f"{LIST}proposal/?address={USER}&preset=gmail",
        *(f"/admin/autocomplete/{completion}club", "/admin/"),
    ]


PAGES = ("change", "history", "delete")


def forms(site: Site) -> list[dict[str, Any]]:
    """What is sent to the page of an account: right and wrong, always with the secrets in it."""
    return [
        site.posted(label="New"),
        site.posted(host="mx.example.com", port=0),
        site.posted(slug="", from_email="nobody"),
        site.posted(client_certificate="nonsense"),
        site.posted(client_certificate=""),
        site.posted(**{"password-clear": "on", "client_key-clear": "on"}),
        site.posted(client_key=PASSWORD, username=""),
        site.posted(username="other", password=""),
        site.posted(security="none", authentication="certificate"),
        site.posted(_popup="1", _to_field="password"),
        site.posted(look_up="1", host=""),
    ]


@pytest.mark.parametrize("who", VISITORS)
def test_leaks_of_the_admin(site: Site, who: str) -> None:
    client = visitor(who)
    account = site.account()
    change = reverse("admin:smtpauth_smtpaccount_change", args=[account.pk])
    with Channels() as channels:
        site.environment.setattr("django_smtpauth.forms.account.look_up", _no_look_up)
        for path in paths(account):
            channels.page(client.get(path))
        for data in forms(site):
            channels.page(client.post(change, data))
            channels.page(client.post(f"{LIST}add/", {**data, "slug": f"n{len(data)}"}))
        for action in ("enable", "disable", "delete_selected"):
            chosen = {"action": action, "_selected_action": [account.pk]}
            channels.page(client.post(LIST, chosen, follow=True))
        site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "KEYS": [generate_key()]}
        for path in paths(account):
            channels.page(client.get(path))
        site.update(password="sa1.k.damaged")
        for path in paths(account):
            channels.page(client.get(path))
        deleted = reverse("admin:smtpauth_smtpaccount_delete", args=[account.pk])
        channels.page(client.post(deleted, {"post": "yes"}))
    assert {"pages", "log", "queries", "tables", "sessions"} <= channels.names()
    assert site.leaks(_without_the_address(channels.text())) == []


def _no_look_up(address: str) -> Any:
    from django_smtpauth.forms.proposals import Proposal

    return Proposal(username=address)


def _without_the_address(text: str) -> str:
    """What a visitor wrote into the address bar, and gets to see there, is no secret of ours."""
    return "\n".join(line for line in text.splitlines() if "?password=" not in line)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("words", [("UPDATE",), ("SELECT 1", "SELECT %s"), ("INSERT",)])
def test_leaks_of_pages_that_fail(site: Site, debug: bool, words: tuple[str, ...]) -> None:
    """Neither the page with the error nor the mail about it shows what was typed."""

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith(words) and "django_session" not in sql:
            raise OperationalError("the server closed the connection")
        return execute(sql, *rest)

    client = visitor("superuser")
    change = reverse("admin:smtpauth_smtpaccount_change", args=[site.account().pk])
    data = site.posted(label="New")
    site.settings.DEBUG = debug
    with Channels() as channels, connection.execute_wrapper(refuse):
        target = f"{LIST}add/" if "INSERT" in words else change
        response = channels.page(client.post(target, {**data, "slug": "new", "is_default": ""}))
    assert response.status_code == 500
    assert {"pages", "log", "mails"} <= channels.names()
    assert site.leaks(channels.text()) == []


def test_leaks_of_sends(site: Site) -> None:
    """Sends that succeed; those that fail are in `test_frames.py`."""
    with Channels() as channels:
        one = site.send()
        assert one.smtp_result.sent  # type: ignore[attr-defined]
        account = site.account()
        for value in (one.smtp_result, account, account_of(account), account.destination()):  # type: ignore[attr-defined]
            channels.value(value)
        backend = site.plain()
        channels.value(backend)
        channels.value(backend.route())
        assert backend.send_messages([site.message()]) == 1
        account.send(site.message())
        account.send_mail("S", "B", None, ["to@example.org"])
        for name in ("health", "smtp_result"):
            channels.value(getattr(site.account(), name, None))
    assert len(site.server.accepted) == 4
    assert {"log", "queries", "tables", "values"} <= channels.names()
    assert site.leaks(channels.text()) == []


@pytest.mark.parametrize("fails", [False, True])
def test_leaks_of_smtptest(site: Site, fails: bool) -> None:
    if fails:
        site.answer(AUTH=CLOSE)
    with Channels() as channels:
        for words in ([], ["to@example.org"], ["--from", "a@example.com"], ["-v", "2"]):
            channels.run("smtptest", *words, "--account", "club", no_color=True)
            channels.run("smtptest", *words)
        pasted = site.directory / "pasted.txt"
        for text in (site.dialogue(), f"{site.dialogue()}535 5.7.8 {PASSWORD}\n"):
            pasted.write_text(text)
            channels.run("smtptest", "--explain", str(pasted))
    assert "club" in channels.text()
    assert site.leaks(channels.text()) == []


def _lines(site: Site) -> str:
    entry = {"slug": "lines", "host": "mx.example.com", "username": USER, "password": PASSWORD}
    return json.dumps(entry) + "\n" + json.dumps({**entry, "port": 0}) + "\n{" + PASSWORD


COMMANDS: dict[str, list[list[str]]] = {
    "smtpaccounts": [
        *(["list"], ["list", "--json"], ["show", "club"], ["show", "club", "--json"]),
        ["set", "club", "--password-env", "SMTPAUTH_TEST_PASSWORD", "label=L"],
        ["set", "new", "--password-stdin", "host=mx.example.com", f"username={USER}"],
        ["set", "new", "--client-key-env", "SMTPAUTH_TEST_PASSWORD"],
        ["set", "club", "port=26"],
        *(["set", "-"], ["set", "-", "--keep-going"], ["set", "--stdin", "--json"]),
        *(["set-password", "club", "--password-stdin"], ["set-password", "club"]),
        *(["move", "club", "port=26", "--dry-run", "--json"], ["move", "club", "port=26"]),
        *(["move", "club", "port=26", "--noinput"], ["move", "club", "notes=x", "--noinput"]),
        *(["enable", "club", "absent"], ["disable", "club"], ["enable", "club"]),
        *(["import-settings", "--dry-run"], ["import-settings", "--slug", "imported"]),
        *(["export-mailers"], ["export-mailers", "--json"], ["delete", "new", "--noinput"]),
    ],
    "smtpkeys": [
        *(["status"], ["status", "--json"], ["verify"], ["rotate", "--dry-run"], ["rotate"]),
    ],
    "dumpdata": [["smtpauth"], ["smtpauth", "--format", "xml"], ["--format", "jsonl"]],
    "makemigrations": [["--check", "--dry-run", "-v", "3"]],
    "check": [["--deploy"], ["--database", "default"]],
    "inspectdb": [["smtpauth_smtpaccount"]],
}


@pytest.mark.parametrize("key", ["right", "wrong", "missing"])
@pytest.mark.parametrize("name", COMMANDS)
def test_leaks_of_commands(site: Site, name: str, key: str, settings: Any) -> None:
    where = {"host": site.server.host, "username": USER, "password": PASSWORD}
    if hasattr(settings, "MAILERS"):
        settings.MAILERS["default"]["OPTIONS"] = where
    else:
        for option, setting in zip(where, ("HOST", "HOST_USER", "HOST_PASSWORD"), strict=True):
            setattr(settings, f"EMAIL_{setting}", where[option])
    keys = {
        "right": [generate_key(), "env:SMTPAUTH_TEST_KEYS"],
        "wrong": [generate_key()],
        "missing": ["env:SMTPAUTH_ABSENT"],
    }[key]
    settings.SMTPAUTH = {**settings.SMTPAUTH, "KEYS": keys}
    typed = (_lines(site) if name == "smtpaccounts" else PASSWORD).encode()
    with Channels() as channels:
        for words in COMMANDS[name]:
            sys_in = io.TextIOWrapper(io.BytesIO(PASSWORD.encode() if "-" not in words else typed))
            site.environment.setattr(sys, "stdin", sys_in)
            channels.run(name, *words)
    assert key != "right" or "commands" in channels.names()
    assert site.leaks(channels.text()) == []


def test_leaks_of_texts(site: Site, tmp_path: Path) -> None:
    """Fixtures, migrations, checks, pickles, forms that were filled in."""
    with Channels() as channels:
        fixture = tmp_path / "accounts.json"
        call_command("dumpdata", "smtpauth", output=str(fixture), verbosity=0)
        channels.add("fixtures", fixture.read_text())
        channels.run("loaddata", str(fixture))
        for style in ("json", "jsonl", "xml", "python"):
            channels.add("fixtures", str(serializers.serialize(style, SMTPAccount.objects.all())))
        for path in Path(migrations.__path__[0]).glob("*.py"):
            channels.add("migrations", path.read_text())
        for message in checks.run_checks(databases=["default"], include_deployment_checks=True):
            channels.value(message)
        for account in (site.account(), site.new(), pickle.loads(pickle.dumps(site.account()))):
            channels.value(account)
            channels.value(vars(account))
        channels.value(list(SMTPAccount.objects.values()))
    assert {"fixtures", "migrations", "values", "tables"} <= channels.names()
    assert site.leaks(channels.text()) == []


def test_leaks_of_settings(site: Site, settings: Any) -> None:
    """Django's debug page hides settings by their names; ours are hidden as a whole."""
    secrets = site.secrets()
    inline = {
        "KEYS": [f"k1:{secrets['key that seals']}"],
        "DEFAULTS": {"password": PASSWORD, "proxy": f"socks5://u:{PASSWORD}@127.0.0.1:1080"},
    }
    settings.SMTPAUTH = {**settings.SMTPAUTH, **inline}
    options = {"username": USER, "password": PASSWORD, "access_token": PASSWORD}
    if hasattr(settings, "MAILERS"):
        settings.MAILERS = {"default": {"BACKEND": "x", "OPTIONS": options}}
    else:
        settings.EMAIL_HOST_PASSWORD = PASSWORD
    settings.DEBUG = True
    shown = SafeExceptionReporterFilter().get_safe_settings()
    with Channels() as channels:
        channels.raised(LookupError())
    assert "MAILERS" in shown or "EMAIL_HOST_PASSWORD" in shown
    assert "SMTPAUTH" in shown
    assert site.leaks(channels.text() + repr(shown)) == []


# -- that the search finds


def _fails() -> None:
    namespace: dict[str, Any] = {"__name__": "elsewhere"}
    exec("def fail(value):\n    raise LookupError", namespace)
    namespace["fail"](PASSWORD)


def _logs_its_failure() -> None:
    try:
        _fails()
    except LookupError:
        logging.getLogger("django.request").exception("no")


PLANTED: dict[str, Callable[[Channels], Any]] = {
    "pages": lambda c: c.page(HttpResponse(f"<input value='{PASSWORD}'>")),
    "cookies": lambda c: c.page(_with_cookie()),
    "log": lambda c: logging.getLogger("site").debug("%s", {"a": PASSWORD}),
    "log, beside the text": lambda c: logging.getLogger("site").info("x", extra={"a": PASSWORD}),
    "log, of an exception": lambda c: _logs_its_failure(),
    "mails": lambda c: _logs_its_failure(),
    "queries": lambda c: connection.cursor().execute("SELECT %s", [PASSWORD]),
    "warnings": lambda c: warnings.warn(PASSWORD, stacklevel=1),
    "exceptions": lambda c: c.catch(_fails),
    "debug pages": lambda c: c.catch(_fails),
    "commands": lambda c: c.run(_Echo()),
    "values": lambda c: c.value({"a": [PASSWORD]}),
    "tables": lambda c: SMTPAccount.objects.update(notes=f"its password: {PASSWORD}"),
    "tables, in the history": lambda c: LogEntry.objects.create(
        user=User.objects.create(username="x"), action_flag=2, object_repr=PASSWORD
    ),
    "sessions": lambda c: _in_session(),
    "caches": lambda c: cache.set("a", {"b": PASSWORD}),
}


class _Echo(BaseCommand):
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        self.stdout.write(f"It is {PASSWORD}.")


def _with_cookie() -> HttpResponse:
    response = HttpResponse()
    response.set_cookie("a", json.dumps(PASSWORD))
    return response


def _in_session() -> None:
    client = visitor("viewer")
    session = client.session
    session["typed"] = PASSWORD
    session.save()


@pytest.mark.parametrize("planted", PLANTED)
def test_leaks_would_be_found(site: Site, planted: str) -> None:
    """In each channel, and in that channel itself."""
    with Channels() as channels:
        PLANTED[planted](channels)
    cache.clear()
    name = planted.partition(",")[0]
    assert name in channels.names()
    assert site.leaks("\n".join(channels._shown[name])) != []


@pytest.mark.parametrize("name", ["password", "client key", "key that seals"])
def test_leaks_of_each_secret_would_be_found(site: Site, name: str) -> None:
    with Channels() as channels:
        channels.value(site.secrets()[name].encode())
    assert any(name in leak for leak in site.leaks(channels.text()))
    assert SERVED == {USER: PASSWORD}
