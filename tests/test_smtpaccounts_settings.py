"""`manage.py smtpaccounts`: accounts out of settings, MAILERS out of accounts, providers."""

import json

import django
import pytest
from django.core.mail import EmailMessage

from django_smtpauth import presets
from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from tests.backend_fixtures import BACKEND, _fresh_process, needs_legacy, needs_mailers  # noqa: F401
from tests.smtpaccounts_fixtures import (  # noqa: F401
    SECRET,
    _keys,
    _refused,
    _run,
    create,
    get,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(settings):
    """A site that has its server in the settings, in either form of them."""

    def site(alias="default", **options):
        if hasattr(settings, "MAILERS") and django.VERSION >= (6, 1):
            mailers = {} if alias != "default" else {"default": {"BACKEND": BACKEND}}
            mailers[alias] = {"BACKEND": BACKEND, "OPTIONS": options}
            settings.MAILERS = {**getattr(settings, "MAILERS", {}), **mailers}
            return
        names = {"username": "HOST_USER", "password": "HOST_PASSWORD"}
        for name in ("host", "port", "username", "password", "use_tls", "timeout"):
            if name in options:
                setattr(settings, f"EMAIL_{names.get(name, name.upper())}", options.pop(name))
        settings.SMTPAUTH = {"KEYS": settings.SMTPAUTH["KEYS"], "DEFAULTS": options}

    return site


def test_the_settings_become_an_account(run, site):
    site(
        host="smtp.example.com",
        port=2587,
        username="club",
        password=SECRET,
        use_tls=True,
        timeout=7,
        auth_mechanisms=["PLAIN", "LOGIN"],
        tls_minimum="1.3",
        deadline=20,
        dsn={"notify": ["FAILURE"], "ret": "HDRS"},
        proxy="http://proxy.example.com:3128",
    )
    out = run("import-settings", "--slug", "club", "--dry-run")
    assert "dry run" in out
    assert not SMTPAccount.objects.exists()
    out = run("import-settings", "--slug", "club")
    assert out.startswith("club: created\n")
    assert "Sealed in the database: password." in out
    assert "Not carried over: deadline: " in out
    account = get("club")
    assert (account.host, account.port, account.security) == ("smtp.example.com", 2587, "starttls")
    assert (account.username, account.password.reveal()) == ("club", SECRET)
    assert (account.timeout, account.auth_mechanisms) == (7, "PLAIN,LOGIN")
    assert (account.tls_minimum, account.dsn_notify, account.dsn_ret) == ("1.3", "FAILURE", "HDRS")
    assert account.proxy == "http://proxy.example.com:3128"
    assert run("import-settings", "--slug", "club").startswith("club: unchanged\n")


@needs_legacy
def test_what_the_settings_need_not_say_any_more(run, site):
    site(host="smtp.example.com", username="club", password=SECRET, use_tls=True, security=None)
    out = run("import-settings")
    for name in ("EMAIL_HOST", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS"):
        assert f"      {name}\n" in out
    assert "EMAIL_PORT\n" not in out
    assert SMTPAccount.objects.default().slug == "default"


@needs_legacy
def test_another_default_stays(run, site):
    create("first", is_default=True)
    site(host="smtp.example.com")
    assert "'first' is the default account already" in run("import-settings")
    assert SMTPAccount.objects.default().slug == "first"


@needs_legacy
def test_settings_without_a_server_are_nothing_to_import(run, refused):
    run("import-settings")
    assert "nothing to import" in run.err
    assert "does not have" in refused("import-settings", "--using", "default")


@needs_mailers
def test_every_mailer_of_ours(run, refused, site, settings):
    site(host="smtp.example.com", deadline=3)
    site("News letters", host="smtp.example.org", security="implicit_tls")
    site("done", account="done")
    settings.MAILERS["console"] = {"BACKEND": "django.core.mail.backends.console.EmailBackend"}
    out = run("import-settings", "--all")
    assert (
        'MAILERS["default"]["OPTIONS"] = {"account": "default"}  # and keep here: deadline' in out
    )
    assert 'MAILERS["News letters"]["OPTIONS"] = {"account": "news-letters"}\n' in out
    assert [a.slug for a in SMTPAccount.objects.all()] == ["default", "news-letters"]
    assert not SMTPAccount.objects.default()
    assert "does not use this package" in refused("import-settings", "--using", "console")
    assert "no mailer 'x' in MAILERS" in refused("import-settings", "--using", "x")
    assert "--slug names one account" in refused("import-settings", "--all", "--slug", "x")


def test_files_are_read_into_the_account(run, site, certificates, tmp_path):
    chain, key = certificates.client_file, certificates.client_key_file
    site(
        host="localhost",
        security="starttls",
        ca_file=str(certificates.ca_file),
        ssl_certfile=chain,
        ssl_keyfile=key,
        auth_mechanisms=["EXTERNAL"],
    )
    assert "Sealed in the database: client_key." in run("import-settings", "--slug", "club")
    account = get("club")
    assert account.authentication == "certificate"
    assert "BEGIN CERTIFICATE" in account.ca_text
    assert "PRIVATE KEY" in account.client_key.reveal()
    account.full_clean()


@needs_legacy
def test_a_password_that_stays_outside(run, refused, site, monkeypatch):
    site(host="smtp.example.com", username="club", password="env:CLUB_PASSWORD")
    said = refused("import-settings", "--slug", "club")
    assert "The password of the settings can't be had" in said
    monkeypatch.setenv("CLUB_PASSWORD", SECRET)
    assert "Sealed in the database: password." in run("import-settings", "--slug", "club")
    assert get("club").password.reveal() == SECRET
    site(host="smtp.example.com", username="club", password=lambda: SECRET)
    out = run("import-settings", "--slug", "vault")
    assert "Not carried over: password: it is asked for at each log-in" in out
    assert get("vault").password is None
    assert not get("vault").is_default


@pytest.mark.parametrize(
    ("host", "internal"),
    [
        ("localhost", True),
        ("10.1.2.3", True),
        ("mail", True),
        ("/run/x", True),
        ("9.9.9.9", False),
    ],
)
def test_a_server_inside_stays_within_reach(run, site, host, internal):
    site(host=host)
    assert ("Set internal_host" in run("import-settings", "--slug", "club")) == internal
    assert get("club").internal_host == internal


def test_what_cant_be_carried_over_is_told(run, site, tmp_path):
    (tmp_path / "empty.pem").write_text("")
    site(
        host="smtp.example.com",
        username="club",
        access_token=SECRET,
        ca_file=str(tmp_path / "absent.pem"),
        ssl_certfile=str(tmp_path / "empty.pem"),
        proxy=f"http://me:{SECRET}@proxy.example.com:3128",
        dsn={"envid": "x"},
        pipelining=False,
    )
    out = run("import-settings", "--slug", "club")
    for name in ("access_token", "ca_file", "ssl_certfile", "proxy", "dsn", "pipelining"):
        assert f"Not carried over: {name}: " in out


def test_the_exported_mailers_send(run, scripted_server, settings):
    server = scripted_server(users={"club": SECRET})
    for slug in ("billing", "news"):
        create(
            slug,
            host=server.host,
            port=server.port,
            security="none",
            username="club",
            allow_auth_without_tls=True,
            internal_host=True,
        )
    create("off", enabled=False)
    out = run("export-mailers")
    assert "Left out, since they are disabled: off." in run.err
    assert ("MAILERS needs Django 6.1" in run.err) == (django.VERSION < (6, 1))
    names = {}
    exec(out, names)
    assert list(names["MAILERS"]) == ["default", "billing", "news"]
    assert json.loads(run("export-mailers", "--json")) == names["MAILERS"]
    for alias in ("billing", "news"):
        message = EmailMessage("Subject", "Body", f"{alias}@example.com", ["to@example.org"])
        if django.VERSION >= (6, 1):
            from django.core.mail import mailers

            settings.MAILERS = names["MAILERS"]
            assert mailers[alias].send_messages([message]) == 1
        else:
            options = names["MAILERS"][alias]["OPTIONS"]
            assert EmailBackend(**options).send_messages([message]) == 1
        assert message.smtp_result.attempts[-1].account == alias
    assert len(server.accepted) == 2


def test_an_account_called_default_is_the_default_mailer(run):
    create("default")
    assert json.loads(run("export-mailers", "--json")) == {
        "default": {"BACKEND": BACKEND, "OPTIONS": {"account": "default"}}
    }
    run("export-mailers", "--scope", "north")
    assert "only while SMTPAUTH[\"SCOPE\"] is 'north'" in run.err


# Providers


def test_a_provider_fills_the_server_in(run):
    gmail = presets.PRESETS["gmail"]
    words = ["set", "club", "preset=gmail", "username=club@example.com"]
    assert run(*words) == "club: created\n"
    assert (get("club").host, get("club").port) == (gmail.host, gmail.port)
    assert run(*words) == "club: unchanged\n"
    assert run(*words, "port=2525") == "club: changed (port)\n"
    assert run(*words) == "club: changed (port)\n"


def test_a_provider_is_a_destination(run, refused):
    gmail = presets.PRESETS["gmail"]
    create()
    assert "this secret is stored for smtp.example.com" in refused(
        "set", "billing", "preset=gmail"
    )
    assert "password" in run("move", "billing", "preset=gmail", "--noinput")
    assert (get().host, get().password.reveal()) == (gmail.host, SECRET)


def test_a_provider_brings_the_user_name_of_an_address(run):
    words = ["set", "club", "preset=gmail", "from_email=club@gmail.com"]
    assert run(*words) == "club: created\n"
    assert get("club").username == "club@gmail.com"
    assert run(*words) == "club: unchanged\n"


def test_a_provider_is_known_by_its_host(run, site):
    gmail = presets.PRESETS["gmail"]
    site(host=gmail.host, security=str(gmail.security))
    run("import-settings", "--slug", "club")
    assert get("club").preset == "gmail"
