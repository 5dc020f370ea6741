"""`manage.py smtptest`: which servers it tries, and where a password comes from."""

import io
import json
import re
import sys

import django
import pytest
from django.core.management.base import CommandError

from django_smtpauth.models import SMTPAccount
from tests.leaks import shown_by_trackers
from tests.smtptest_fixtures import (
    CONSOLE,
    OURS,
    _account,  # noqa: F401
    _closed_port,  # noqa: F401
    _server,  # noqa: F401
    _site,  # noqa: F401
    ending,
    failing,
    row,
    run,
    server_options,
    words,
)

SECRET = "s3cr3t-pass"


def ad_hoc(server, certificates, *more):
    return ("--host", server.host, "--port", str(server.port), "--ca", certificates.ca_file, *more)


# A server that is not the site's


def test_a_server_without_a_log_in(site, server, certificates):
    text = run(*ad_hoc(server, certificates))
    assert row(text, "Server") == f"{server.host}:{server.port}"
    assert "(this server was asked for)" in text
    assert row(text, "Log-in") == "none: no user name and password"


@pytest.mark.parametrize("username", [(), ("--username", "club@example.com")])
def test_the_site_s_own_password_does_not_go_there(site, server, certificates, username):
    """It belongs to another server."""
    site.use(OURS, host="smtp.example.com", username="club@example.com", password=SECRET)
    if not username:
        run(*ad_hoc(server, certificates))
    else:
        _, error = failing(*ad_hoc(server, certificates, *username))
        assert error.startswith("There is no terminal to ask for the password on")
    assert not any(connection.auth for connection in server.connections)


@pytest.mark.parametrize("source", ["stdin", "file", "env", "netrc", "prompt"])
def test_where_the_password_comes_from(site, server, certificates, tmp_path, monkeypatch, source):
    path = tmp_path / "secret"
    path.write_text(
        f"machine {server.host} login club@example.com password {SECRET}\n"
        if source == "netrc"
        else f"{SECRET}\n"
    )
    path.chmod(0o600)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{SECRET}\n".encode())))
    monkeypatch.setenv("SMTP_PASSWORD", SECRET)
    if source == "prompt":
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("getpass.getpass", lambda prompt: SECRET)
    told = {
        "stdin": ("--password-stdin",),
        "file": ("--password-file", str(path)),
        "env": ("--password-env", "SMTP_PASSWORD"),
        "netrc": ("--password-netrc", str(path)),
        "prompt": (),
    }[source]
    text = run(*ad_hoc(server, certificates, "--username", "club@example.com", *told, "-v3"))
    assert row(text, "Log-in").startswith("CRAM-MD5: 235")
    assert SECRET not in text
    assert [attempt.accepted for attempt in server.connections[-1].auth] == [True]


@pytest.mark.parametrize("key", [KeyboardInterrupt, EOFError])
def test_ctrl_c_at_the_question_for_the_password(site, monkeypatch, key):
    def press(prompt):
        assert prompt == "Password of me: "
        raise key

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", press)
    assert ending("--host", "127.0.0.1", "--username", "me") == ("", "Interrupted.", 130)


@pytest.mark.parametrize(
    ("kind", "place", "content", "told"),
    [
        ("file", "missing", "", "--password-file: file:{}: the file can't be read"),
        ("file", "empty", "\n", "--password-file: file:{}: is empty."),
        ("netrc", "other", "machine smtp.example.net login a password b\n", "has no entry for"),
        ("netrc", "user", "machine 127.0.0.1 login jo password " + SECRET, "not for this user"),
        ("netrc", "broken", f"machine 127.0.0.1 {SECRET}", "is no netrc file: see line 1."),
        ("netrc", "missing", "", "can't be read"),
    ],
)
def test_a_password_that_is_not_there(site, tmp_path, kind, place, content, told):
    path = tmp_path / place
    if content:
        path.write_text(content)
        path.chmod(0o600)
    with pytest.raises(CommandError) as caught:
        run("--host", "127.0.0.1", "--username", "me", f"--password-{kind}", str(path))
    assert told.format(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert SECRET not in shown_by_trackers(caught.value)


def test_there_is_no_option_for_the_password_itself(site):
    with pytest.raises(CommandError, match="ambiguous option: --password could match"):
        run("--host", "127.0.0.1", "--username", "me", "--password", SECRET)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--port", "465"), "--port describes a server of its own: give --host, too."),
        (("--username", "me"), "--username describes a server of its own"),
        (("--host", "h", "--password-env", "A"), "--password-env needs --username"),
        (("--host", "h", "--key", "k"), "--key needs --cert"),
        (
            ("--host", "h", "--username", "u", "--password-env", "A", "--password-netrc", "f"),
            "exclude each other",
        ),
        (("--eml", "f", "--subject", "s", "a@example.org"), "can't stand with --eml"),
        (("--subject", "s"), "--subject is for a message, and none is sent"),
        (("--check", "--size", "9", "a@example.org"), "--size is for a message"),
        (("--count", "2"), "--count is for messages, and none is sent"),
        (("--stop-after", "delivery"), "needs an ADDRESS to send to"),
        (("--stop-after", "HELO"), "invalid choice"),
        (("--host", "h", "--tls-min", "1.0"), "--tls-min: must be '1.2' or '1.3'"),
        (("--host", "h", "--source", "nowhere"), "--source: must be an IP address"),
        (("--header", "no colon", "a@example.org"), "--header: write 'Name: text'"),
        (("--body", "@/nowhere", "a@example.org"), "--body: /nowhere can't be read"),
    ],
)
def test_what_does_not_go_together(site, given, told):
    _, error = failing(*given)
    assert told in error


def test_the_usual_security_goes_by_the_port(site, closed_port):
    """Nobody listens there; the findings tell what was tried."""
    text, error, code = ending("--host", "127.0.0.1", "--port", str(closed_port), "--json")
    told = json.loads(text)
    assert told["target"]["kind"] == "ad hoc"
    assert told["stages"][0]["facts"]["security"] == "starttls"
    assert (error, code) == ("CONNECT failed: nothing was sent.", 20)
    text, _ = failing("--host", "127.0.0.1", "--port", str(closed_port), "--lmtp", "--json")
    assert json.loads(text)["stages"][0]["facts"]["security"] == "none"


# All of the site's


@pytest.fixture
def accounts(account, closed_port):
    """A good one, one with a wrong password, one with a wrong port, one that is switched off."""
    for slug, changed in (
        ("wrong", {"password": "n0t-the-password"}),
        ("gone", {"port": closed_port, "password": SECRET}),
        ("off", {"enabled": False, "password": SECRET}),
    ):
        one = SMTPAccount.objects.get(slug="club")
        one.pk, one.slug = None, slug
        one._state.adding = True
        for name, value in changed.items():
            setattr(one, name, value)
        one.uuid = SMTPAccount().uuid
        one.save()


def test_all_sums_up_and_fails_if_one_does(site, accounts, server):
    site.use(OURS)
    text, error, code = ending("--all")
    lines = text.splitlines()
    assert lines[0].split() == ["target", "result", "what"]
    results = dict(re.split(r"\s{2,}", line)[:2] for line in lines[1:4])
    assert results["account gone"] == "FAILED CONNECT"
    assert results["account wrong"] == "FAILED AUTH"
    assert results["account club"].startswith("ok")
    assert "account off" not in text
    assert 'Enter "password" of the account wrong again' in words(text)
    assert max(map(len, lines)) < 80
    assert error == "2 of 3 failed."
    # The code is the first failure's; slugs are in order.
    assert code == 20
    assert server.messages == []


def test_all_in_json_is_one_line_each(site, accounts):
    site.use(OURS)
    text, _ = failing("--all", "--json")
    told = [json.loads(line) for line in text.splitlines()]
    assert {one["target"]["name"]: one["ok"] for one in told} == {
        "club": True,
        "gone": False,
        "wrong": False,
    }


def test_all_that_is_good_succeeds(site, account, server, certificates):
    """The mailer's own server is one more; a mailer that leads to the account is not."""
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    lines = run("--all").splitlines()
    own = "mailer default" if site.mailers else "settings"
    assert [line[:14].strip() for line in lines[1:]] == ["account club", own]


def test_all_sends_through_each_when_there_is_an_address(site, account, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    run("--all", "you@example.org", "--from", "office@example.com")
    assert len(server.messages) == 2


@pytest.mark.django_db
def test_all_of_nothing(site):
    site.use(CONSOLE)
    _, error = failing("--all")
    assert error.startswith("There is nothing to try")


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1")
@pytest.mark.django_db
def test_all_mailers_of_this_package(settings, scripted_server, closed_port):
    server = scripted_server()
    own = {"BACKEND": OURS, "OPTIONS": {"host": server.host, "port": server.port}}
    settings.MAILERS = {
        "default": own,
        "same": own,
        "gone": {"BACKEND": OURS, "OPTIONS": {"host": server.host, "port": closed_port}},
        "broken": {"BACKEND": OURS, "OPTIONS": {"host": server.host, "prot": 25}},
        "theirs": {"BACKEND": CONSOLE},
    }
    del settings.EMAIL_BACKEND
    text, error = failing("--all", "--json")
    told = {one["target"]["name"]: one for one in map(json.loads, text.splitlines())}
    assert {name: one["ok"] for name, one in told.items()} == {
        "default": True,
        "gone": False,
        "broken": False,
    }
    assert told["broken"]["stages"][0]["status"] == "failed"
    assert told["broken"]["target"]["kind"] == "mailer"
    assert error == "2 of 3 failed."
