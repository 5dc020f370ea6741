"""`manage.py smtptest`: what it tells, and when it fails."""

import os
import re
import signal
import socket
import subprocess
import sys
from email import message_from_bytes, policy
from io import StringIO
from pathlib import Path

import django
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.utils import OperationalError

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending import accounts
from django_smtpauth.smtp import Endpoint, TLSOptions, connect
from tests.servers.proxies import Socks5Proxy
from tests.servers.scripted import SILENCE, Answer, Then
from tests.smtptest_fixtures import (
    CONSOLE,
    OURS,
    USERS,
    Site,
    _account,  # noqa: F401
    _closed_port,  # noqa: F401
    _server,  # noqa: F401
    _site,  # noqa: F401
    failing,
    row,
    run,
    server_options,
    words,
)

ROOT = Path(__file__).resolve().parents[1]
ROOT = Path(__file__).resolve().parents[1]


class Subclass(EmailBackend):
    """A site's own backend on top of ours."""


# Success


@pytest.mark.django_db
def test_without_address_nothing_is_sent(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    text = run()
    assert row(text, "Server") == f"{server.host}:{server.port}"
    assert "connected to 127.0.0.1 (0." in row(text, "Connection")
    assert row(text, "TLS").startswith("TLSv1.3 (TLS_")
    assert re.search(
        r"Certificate for localhost, 127\.0\.0\.1, ::1; until [\d-]+, \d+ days left", words(text)
    )
    assert row(text, "Log-in").startswith("CRAM-MD5: 235 2.7.0")
    assert "Nothing was sent" in text
    assert server.messages == []


@pytest.mark.django_db
def test_the_way_through_a_proxy_is_told(site, server, certificates):
    with Socks5Proxy({"localhost": server.port}) as proxy:
        way = {"host": "localhost", "proxy": f"socks5://127.0.0.1:{proxy.port}"}
        site.use(OURS, **{**server_options(server, ca_file=certificates.ca_file), **way})
        text = run()
    assert f"to localhost:{server.port} through socks5://127.0.0.1:{proxy.port}" in words(text)
    text, _ = failing()
    assert "Check the option proxy" in words(text)


@pytest.mark.django_db
def test_a_unix_socket_is_told_by_its_path(site, scripted_server, tmp_path):
    host = str(tmp_path / "smtp")
    site.use(OURS, host=host)
    text, _ = failing()
    assert f"Check that a mail server listens at {host}" in words(text)
    scripted_server(address=host)
    assert f"connected to {host}" in words(run())


@pytest.mark.django_db
def test_a_test_message_is_sent_and_told(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    text = run("you@example.org", sender="club@example.com")
    assert row(text, "From") == "club@example.com"
    assert row(text, "Accepted") == "you@example.org"
    assert row(text, "Reply") == "250 2.0.0 Ok: queued as 4bXyZ1"
    assert row(text, "Queue id") == "4bXyZ1"
    assert row(text, "Time").endswith(" s")
    assert "The server took the message." in text
    assert "C: " not in text
    (message,) = server.messages
    assert message.sender == "club@example.com"
    assert message.recipients == ["you@example.org"]
    content = message_from_bytes(message.content, policy=policy.default)
    assert content["Auto-Submitted"] == "auto-generated"
    assert content["Subject"] == f"Test message from tests on {socket.gethostname()}"
    assert f"{server.host}:{server.port}" in content.get_content()


@pytest.mark.django_db
def test_verbose_shows_the_dialogue_without_secrets(site, server, certificates):
    site.use(
        OURS,
        **server_options(server, ca_file=certificates.ca_file, auth_mechanisms=["PLAIN"]),
    )
    text = run("you@example.org", verbosity=2)
    assert "C: AUTH PLAIN [redacted]" in text
    assert "C: RCPT TO:<you@example.org>" in text
    assert "s3cr3t-pass" not in text
    assert "AGNsdWJAZXhhbXBsZS5jb20A" not in text


@pytest.mark.django_db
def test_the_lines_fit_into_80_columns(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    text = run("a" * 50 + "@example.org", "you@example.org")
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.django_db
def test_verbosity_0_is_one_line(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    text = run("you@example.org", verbosity=0)
    assert f", {server.host}:{server.port}: ok" in text
    assert text.count("\n") == 1
    text, _ = failing("nobody@example.org", verbosity=0)
    assert f", {server.host}:{server.port}: FAILED RCPT" in text
    assert text.count("\n") == 1


@pytest.mark.django_db
def test_a_subclass_of_the_backend_is_ours(site, server, certificates):
    site.use(f"{__name__}.Subclass", **server_options(server, ca_file=certificates.ca_file))
    assert "does not send through" not in run()


@pytest.mark.django_db
def test_without_tls_and_log_in_that_is_said(site, scripted_server):
    server = scripted_server()
    site.use(OURS, host=server.host, port=server.port)
    text = run()
    assert row(text, "TLS").startswith("none: what is sent can be read on the way")
    assert row(text, "Log-in").startswith("none: no user name and password")


@pytest.mark.django_db
def test_a_certificate_that_was_not_verified_is_said(site, server):
    site.use(OURS, **server_options(server, verify=False))
    assert "NOT verified" in words(run())


# Accounts


def test_an_account_by_name(site, server, account):
    text = run("you@example.org", account="club")
    assert row(text, "Server") == f"account club, {server.host}:{server.port}"
    assert "(this account was asked for)" in text
    assert row(text, "From") == "office@example.com"
    assert server.messages[0].sender == "office@example.com"


def test_the_default_account_sends_as_the_site_does(site, server, account, settings):
    account.is_default = True
    account.save()
    settings.DEFAULT_FROM_EMAIL = "site@example.com"
    text = run("you@example.org")
    assert "(this is the default account)" in text
    assert server.messages[0].sender == "site@example.com"


def test_from_chooses_the_account_of_this_address(site, server, account):
    account.select_by_from = True
    account.save()
    assert "(From is this account's address)" in run(sender="office@example.com")


def test_an_unknown_account_names_the_known_ones(site, account):
    text, error = failing(account="clubb")
    assert "There is no enabled account 'clubb'. Enabled accounts: club." in words(text)
    assert error == "CONFIGURATION failed: there is no server to try."


def test_a_password_that_does_not_open_is_told(site, account):
    SMTPAccount.objects.update(timeout=3, username="other@example.com")
    text, error = failing(account="club")
    assert row(text, "FAILED").startswith("AUTH: ")
    assert error == "AUTH failed: nothing was sent."


@pytest.fixture
def local_mailboxes(scripted_server, tmp_path, db):
    """A delivery agent on a Unix socket, with its account."""
    server = scripted_server(
        address=str(tmp_path / "lmtp"),
        replies={
            "EHLO": b"502 5.5.1 LHLO, please\r\n",
            "HELO": b"502 5.5.1 LHLO, please\r\n",
            "RCPT:nobody@example.org": b"550 5.1.1 No such user here\r\n",
            "CONTENT:full@example.org": b"452 4.2.2 Mailbox full\r\n",
        },
    )
    where = {"host": server.host, "port": 587, "internal_host": True}
    SMTPAccount.objects.create(slug="local", security="none", protocol="lmtp", **where)
    return server


def test_an_account_that_may_not_reach_its_server(site, server, account):
    account.internal_host = False
    account.save()
    site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "ALLOWED_PORTS": [server.port]}
    text, message = failing(account="club")
    assert message == "CONNECT failed: nothing was sent."
    assert "127.0.0.1 is not public" in words(text)
    assert 'ticks "internal host" on the account club' in words(text)
    assert '\n    SMTPAUTH["ALLOWED_INTERNAL_HOSTS"] = ["127.0.0.1"]\n' in text
    assert server.connections == []


def test_an_account_for_local_mailboxes(site, local_mailboxes):
    text = run("you@example.org", account="local", verbosity=2)
    # Without white space: a long path is broken.
    assert f"accountlocal,{local_mailboxes.host},byLMTP(" in "".join(text.split())
    assert f"connectedto{local_mailboxes.host}(" in "".join(text.split())
    assert row(text, "TLS").startswith("none: what is sent does not leave this machine")
    assert "C: LHLO" in text
    assert "in LMTP it answers for each mailbox" in words(text)
    assert local_mailboxes.messages[0].recipients == ["you@example.org"]
    assert "Connection and log-in work." in run(account="local")


def test_local_mailboxes_that_do_not_take_it(site, local_mailboxes):
    text, error = failing("you@example.org", "full@example.org", account="local")
    assert row(text, "Accepted") == "you@example.org"
    assert row(text, "Deferred") == "full@example.org: 452 4.2.2 Mailbox full"
    assert error == "LMTP failed: 1 of 2 recipients refused."
    text, error = failing("nobody@example.org", account="local")
    assert "check that it has one for the recipient" in words(text)
    assert error == "RCPT failed: no message was sent."


@pytest.mark.django_db
def test_from_as_the_account_sends_it(site, scripted_server):
    server = scripted_server()
    fields = {"host": server.host, "port": server.port, "security": "none", "slug": "shop"}
    fields["internal_host"] = True
    account = SMTPAccount(**fields, from_email="shop@example.com", from_name="Shop")
    account.foreign_from = "rewrite"
    account.save()
    text = run("you@example.org", account="shop", sender="jane@example.org")
    assert row(text, "From") == "Shop <shop@example.com>"
    account.foreign_from = "refuse"
    account.save()
    text, error = failing("you@example.org", account="shop", sender="jane@example.org")
    assert row(text, "From") == "jane@example.org"
    assert "Add jane@example.org" in words(text)
    assert error == "MAIL failed: no message was sent."
    assert len(server.messages) == 1


@pytest.mark.django_db
def test_a_redirected_message(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "REDIRECT_TO": "staging@example.net"}
    text = run("nobody@example.org")
    assert "to staging@example.net" in row(text, "Redirected")
    assert row(text, "Accepted") == "staging@example.net"
    assert "Redirected" not in run()
    site.settings.SMTPAUTH = {**site.settings.SMTPAUTH, "REDIRECT_TO": "nobody"}
    text, error = failing("nobody@example.org")
    assert "must be one e-mail address" in words(text)
    assert error.startswith("CONFIGURATION failed")


def test_the_wrong_protocol_is_told(site, local_mailboxes, scripted_server):
    account = SMTPAccount.objects.get()
    account.protocol = "smtp"
    account.save()
    text, error = failing(account="local")
    assert 'choose LMTP in "protocol" of the account local' in words(text)
    assert error == "EHLO failed: nothing was sent."
    server = scripted_server(replies={"LHLO": b"500 5.5.2 What?\r\n"})
    account.protocol, account.host, account.port = "lmtp", server.host, server.port
    account.save()
    text, _ = failing(account="local")
    assert 'Choose SMTP in "protocol" of the account local' in words(text)


@pytest.fixture
def accounts_fail(monkeypatch):
    """Makes every look at the accounts end like this."""

    def fail_with(error):
        def load(database, schema, scope):
            raise error

        monkeypatch.setattr(accounts, "source", accounts.AccountSource(load))

    return fail_with


@pytest.mark.django_db
def test_without_the_database_the_settings_are_used(site, scripted_server, accounts_fail):
    accounts_fail(OperationalError("connection refused"))
    server = scripted_server()
    site.use(OURS, host=server.host, port=server.port)
    text = words(run())
    assert "Connection and log-in work." in text
    # With a host in OPTIONS the accounts are not even asked for.
    told = "The accounts in the database can't be read (OperationalError: connection refused)."
    assert (told in text) is not site.mailers
    site.use(OURS, **({} if site.mailers else {"host": ""}))
    assert told in words(failing()[0])


@pytest.mark.django_db
def test_without_the_table_the_settings_are_used(site, scripted_server, accounts_fail):
    cure = "Accounts need their table: run `manage.py migrate`."
    accounts_fail(accounts.NoAccounts(cure))
    server = scripted_server()
    site.use(OURS, host=server.host, port=server.port)
    text = words(run())
    assert "Connection and log-in work." in text
    assert "ccounts" not in text
    assert cure in words(failing(account="club")[0])
    site.use(OURS, **({} if site.mailers else {"host": ""}))
    assert cure in words(failing()[0])


# Failures


@pytest.mark.django_db
def test_nobody_listens_where_django_looks(site, closed_port):
    site.use(OURS, host="localhost", port=closed_port)
    text, error = failing("you@example.org")
    assert row(text, "FAILED").startswith(f"CONNECT: could not connect to port {closed_port}")
    assert "No mail server listens on this machine" in words(text)
    assert '"smtp.example.com"' in text
    assert 'os.environ["SMTP_PASSWORD"]' in text
    assert ("MAILERS = {" in text) == site.mailers
    assert error == "CONNECT failed: nothing was sent."
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.django_db
def test_no_server_at_all(site):
    site.use(OURS, **({} if site.mailers else {"host": ""}))
    text, error = failing()
    assert row(text, "FAILED").startswith("CONFIGURATION: ")
    assert "There is no server to send through." in words(text)
    assert '"smtp.example.com"' in text
    assert error == "CONFIGURATION failed: there is no server to try."


@pytest.mark.django_db
def test_a_wrong_password(site, server, certificates):
    options = server_options(server, ca_file=certificates.ca_file, password="wr0ng-pass")
    site.use(OURS, **options)
    text, error = failing("you@example.org", verbosity=2)
    assert "TLSv1.3" in row(text, "TLS")
    assert "AUTH: the server said: 535 5.7.8" in row(text, "FAILED")
    assert "app password" in text
    assert "wr0ng-pass" not in text
    assert error == "AUTH failed: nothing was sent."
    assert server.messages == []


@pytest.mark.django_db
def test_a_certificate_of_an_unknown_authority(site, server):
    site.use(OURS, **server_options(server))
    text, error = failing()
    assert "does not verify" in words(text)
    assert "in the option ca_file" in words(text)
    assert error == "TLS failed: nothing was sent."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "told", "cure"),
    [
        ("wrong_host", "it is for elsewhere.example", "put one of its certificate's names"),
        ("expired", "it expired on 20", "has to renew its certificate"),
        ("self_signed", "it is self-signed (CN=localhost)", "in the option ca_file"),
        ("other_ca", "its issuer OU=", "ca_file"),
    ],
)
def test_what_is_wrong_with_a_certificate(site, scripted_server, certificates, kind, told, cure):
    server = scripted_server(ssl_context=getattr(certificates, kind)())
    site.use(OURS, **server_options(server, host="localhost", ca_file=certificates.ca_file))
    text, _ = failing()
    assert f"TLS: the certificate of localhost does not verify: {told}" in words(text)
    assert cure in words(text)


@pytest.mark.django_db
def test_a_key_that_is_not_the_pinned_one(site, server, certificates):
    pin = f"sha256//{'A' * 43}="
    site.use(OURS, **server_options(server, verify=False, tls_pin=pin))
    text, error = failing()
    assert re.search(r"its pin is sha256//[A-Za-z0-9+/]{43}=", words(text))
    assert "whether its key was replaced" in words(text)
    assert error == "TLS failed: nothing was sent."


@pytest.mark.django_db
def test_a_pinned_key_without_verification(site, scripted_server, certificates):
    server = scripted_server(ssl_context=certificates.expired(), users=USERS)
    with connect(
        Endpoint(server.host, server.port, tls=TLSOptions(verify=False), ehlo_name="me.example")
    ) as connection:
        pin = connection.tls.pin
    site.use(OURS, **server_options(server, verify=False, tls_pin=pin))
    text = run()
    assert "the certificate is NOT verified, but its key is the pinned one" in words(text)
    assert "expired on 20" in row(text, "Certificate")


@pytest.mark.django_db
@pytest.mark.parametrize("offered", [True, False])
def test_opportunistic_says_whether_there_is_tls(site, scripted_server, certificates, offered):
    server = scripted_server(**({"ssl_context": certificates.server()} if offered else {}))
    options = {"security": "opportunistic", "ca_file": certificates.ca_file}
    site.use(OURS, **server_options(server, username="", password="", **options))
    shown = row(run(), "TLS")
    assert shown.startswith("TLSv1.3" if offered else "none: what is sent can be read on the way")


@pytest.mark.django_db
def test_a_password_does_not_leave_without_tls(site, scripted_server, account, monkeypatch):
    monkeypatch.setattr("django_smtpauth.smtp.channel.Channel.is_local", False)
    server = scripted_server(users=USERS, mechanisms=["PLAIN"])
    site.use(OURS, **server_options(server, security="none"))
    text, _ = failing()
    # On one line, to be pasted.
    assert '    SMTPAUTH = {"DEFAULTS": {"allow_auth_without_tls": True}}\n' in text
    account.security, account.password = "none", "s3cr3t-pass"
    account.port, account.username = server.port, "club@example.com"
    account.save()
    text, _ = failing(account="club")
    assert 'tick "allow a password without TLS" of the account club' in words(text)


@pytest.mark.django_db
def test_every_recipient_refused(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    text, error = failing("nobody@example.org")
    assert row(text, "Refused") == "nobody@example.org: 550 5.1.1 No such user here"
    assert "the server said: 550 5.1.1 No such user here" in words(text)
    assert error == "RCPT failed: no message was sent."


@pytest.mark.django_db
def test_one_recipient_refused_is_a_failure_too(site, server, certificates):
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    text, error = failing("nobody@example.org", "you@example.org")
    assert row(text, "Accepted") == "you@example.org"
    assert row(text, "Refused") == "nobody@example.org: 550 5.1.1 No such user here"
    assert error == "RCPT failed: 1 of 2 recipients refused."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("replies", "stage", "advice"),
    [
        ({"MAIL": b"530 5.7.0 Log in first\r\n"}, "MAIL", "Give user name and password"),
        ({"MAIL": b"550 5.7.1 Not you\r\n"}, "MAIL", "DEFAULT_FROM_EMAIL"),
        ({"RCPT": b"550 5.7.1 Relaying denied\r\n"}, "RCPT", "give user name and password"),
        ({"CONTENT": Answer(b"", Then.CLOSE)}, "CONTENT", "before you send again"),
    ],
)
def test_advice(site, scripted_server, replies, stage, advice):
    server = scripted_server(replies=replies)
    site.use(OURS, host=server.host, port=server.port)
    text, error = failing("you@example.org")
    assert row(text, "FAILED").startswith(f"{stage}: ")
    assert advice in words(text)
    assert error.startswith(f"{stage} failed: ")
    assert ("nobody knows" in error) == (stage == "CONTENT")


@pytest.mark.django_db
def test_the_log_does_not_repeat_it(site, scripted_server, caplog):
    server = scripted_server(replies={"MAIL": b"550 5.7.1 Not you\r\n"})
    site.use(OURS, host=server.host, port=server.port)
    failing("you@example.org")
    assert caplog.records == []


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", ["you@", "you@example.org\r\nRCPT TO:<x@example.org>", "a b@c"])
def test_what_is_no_address_is_refused(site, wrong):
    with pytest.raises(CommandError, match="ADDRESS"):
        run(wrong)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("at", "fate"),
    [("AUTH", " Nothing was sent."), ("CONTENT", " Perhaps the message was sent.")],
)
def test_ctrl_c_leaves_what_was_learnt(site, scripted_server, certificates, at, fate):
    def press(*_):
        os.kill(os.getpid(), signal.SIGINT)
        return SILENCE

    server = scripted_server(users=USERS, ssl_context=certificates.server(), replies={at: press})
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("smtptest", "you@example.org", stdout=out, verbosity=2, no_color=True)
    assert str(caught.value) == f"Interrupted.{fate}"
    assert caught.value.returncode == 130
    assert row(out.getvalue(), "TLS").startswith("TLSv1.3")
    assert "C: STARTTLS" in out.getvalue()


# Which backend


@pytest.mark.django_db
def test_another_backend_is_named_and_ours_is_tried(site, scripted_server):
    server = scripted_server()
    if site.mailers:
        site.use(CONSOLE)
        site.settings.SMTPAUTH = {"DEFAULTS": {"host": server.host, "port": server.port}}
    else:
        site.use(CONSOLE, host=server.host, port=server.port)
    text = words(run())
    setting = 'MAILERS["default"]["BACKEND"]' if site.mailers else "EMAIL_BACKEND"
    assert f"does not send through this package itself: {setting} is {CONSOLE}" in text
    assert f'set it to "{OURS}"' in text
    assert "Connection and log-in work." in text


def test_using_without_mailers(settings):
    Site(settings, mailers=False)
    _, error = failing(using="billing")
    assert "--using names an entry of the setting MAILERS" in error


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1")
class TestUsing:
    @pytest.fixture
    def site(self, settings):
        return Site(settings, mailers=True)

    @pytest.mark.django_db
    def test_a_mailer_by_its_name(self, site, scripted_server):
        server = scripted_server()
        options = {"host": server.host, "port": server.port}
        site.settings.MAILERS = {
            "default": {"BACKEND": CONSOLE},
            "billing": {"BACKEND": OURS, "OPTIONS": options},
        }
        text = run(using="billing")
        assert row(text, "Server") == f"{server.host}:{server.port}"
        assert "does not send through" not in text

    def test_an_unknown_mailer(self, site):
        _, error = failing(using="billing")
        assert error == "There is no mailer 'billing' in MAILERS. Known are: default."

    def test_a_mailer_of_another_package(self, site):
        site.settings.MAILERS["billing"] = {}
        _, error = failing(using="billing")
        assert 'Set MAILERS["billing"]["BACKEND"] = "django_smtpauth' in error

    def test_options_that_are_wrong(self, site):
        site.use(OURS, host="localhost", prot=25)
        text, _ = failing()
        assert "MAILERS['default']: Unknown options 'prot'" in words(text)


def test_account_and_using_exclude_each_other():
    with pytest.raises(CommandError, match="not allowed with"):
        run("--account=a", "--using=b")


# Explaining what was pasted

BOUNCE = "550 5.7.30 Basic authentication is not supported for Client Submission.\n"


def test_a_bounce_from_a_file_is_explained(tmp_path):
    path = tmp_path / "bounce.txt"
    path.write_text(BOUNCE)
    text = run(explain=str(path))
    assert "Microsoft does not take passwords here any more." in words(text)
    assert "1. Let this site log in with an access token" in words(text)
    assert "\nhttps://techcommunity.microsoft.com/" in text


def test_a_bounce_from_standard_input_is_explained(monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(BOUNCE))
    text = run(explain="-")
    assert "Microsoft does not take passwords" in words(text)
    assert max(len(line) for line in text.splitlines() if not line.startswith("http")) < 80


def test_a_file_that_can_not_be_read(tmp_path):
    _, error = failing(explain=str(tmp_path / "missing"))
    assert error.startswith("--explain: ")


# As a process


def test_a_fresh_site_gets_the_status_of_the_stage_and_an_explanation(tmp_path, closed_port):
    """The first run: no backend is set, and there is no database."""
    # Not port 25 of this machine, where a developer may well have a server.
    (tmp_path / "fresh.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['django_smtpauth']\n"
        f"SMTPAUTH = {{'DEFAULTS': {{'port': {closed_port}}}}}\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SMTPAUTH")},
        "DJANGO_SETTINGS_MODULE": "fresh",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "smtptest", "you@example.org"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 20
    assert "does not send through this package itself" in done.stdout
    assert "No mail server listens on this machine" in words(done.stdout)
    assert 'EMAIL_HOST_PASSWORD = os.environ["SMTP_PASSWORD"]' in done.stdout
    assert done.stderr == "CommandError: CONNECT failed: nothing was sent.\n"
