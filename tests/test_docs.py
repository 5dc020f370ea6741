"""The documentation says what the code does: tables, names, links, snippets."""

from __future__ import annotations

import ast
import importlib
import re
import uuid
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage

from django_smtpauth import backends, conf, smtp
from django_smtpauth.presets import PRESETS
from django_smtpauth.sending import guard
from django_smtpauth.sending.accounts import Account
from django_smtpauth.sending.credentials import credentials_of
from django_smtpauth.sending.mailer import MailerOptions
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.sending.routing import Rule, account_options
from django_smtpauth.smtp import Timeouts, replies
from django_smtpauth.smtp.sasl import DEFAULT_ORDER, MECHANISMS
from tests.backend_fixtures import (  # noqa: F401
    AccountFactory,
    MailSettings,
    _fresh_process,
    default_backend,
    mail_settings,
    make_account,
)
from tests.presets.dns_server import DNSServer
from tests.servers.fixtures import ServerFactory
from tests.servers.proxies import Socks5Proxy

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def snippets(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(), re.M | re.S)
    return [re.sub(rf"^{indent}", "", code, flags=re.M) for indent, code in found]


def first_column(page: Path, heading: str) -> list[str]:
    section = f"\n{page.read_text()}".split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [re.findall(r"`([^`]+)`", row.split("|")[1])[0] for row in rows]


def test_the_options_table_names_every_option() -> None:
    listed = first_column(ROOT / "docs/options.md", "# Options")
    assert listed == [field.name for field in fields(MailerOptions)]


#: Account field -> a value that is not the usual one. Password and authority go another way.
NOT_USUAL: dict[str, Any] = {
    "host": "other.example.com",
    "port": 465,
    "username": "name",
    "security": "implicit_tls",
    "timeout": 9.0,
    "verify": False,
    "tls_minimum": "1.3",
    "auth_mechanisms": "PLAIN",
    "authentication": "certificate",
    "allow_auth_without_tls": True,
    "ehlo_name": "www.example.com",
    "source_address": "192.0.2.1",
    "protocol": "lmtp",
    "bdat": "eager",
    "recipients": "all",
    "dsn_notify": "DELAY",
    "dsn_ret": "FULL",
    "require_tls": True,
    "proxy": "socks5://proxy.example.com:1080",
    "tls_pin": f"sha256//{'A' * 43}=",
}


def test_the_options_table_tells_the_fields_of_an_account() -> None:
    table = (ROOT / "docs/options.md").read_text().split("The first that says something wins")[0]
    rows = re.findall(r"^\| `(\w+)` .* \| ([^|]*)\|$", table, re.M)
    told = {(name, field) for name, cell in rows for field in re.findall("`(.+?)`", cell)}
    plain = Account(uuid.uuid4(), "club", "smtp.example.com")
    usual = account_options(plain)
    found = {
        (option.name, field)
        for field, value in NOT_USUAL.items()
        for option in fields(MailerOptions)
        if getattr(account_options(replace(plain, **{field: value})), option.name)
        != getattr(usual, option.name)
    }
    assert {field for _, field in found} == NOT_USUAL.keys()
    assert found <= told
    others = {option for option, field in told - found if field in NOT_USUAL}
    assert others == {"use_tls", "use_ssl"}
    kept_apart = {field for _, field in told} - NOT_USUAL.keys()
    assert kept_apart == {"password", "ca_text", "client_certificate", "client_key"}


def test_the_options_table_tells_the_order_of_the_mechanisms() -> None:
    (row,) = re.findall(r"^\| `auth_mechanisms` .*$", (ROOT / "docs/options.md").read_text(), re.M)
    assert re.findall(r'"([A-Z0-9-]+)"', row) == list(DEFAULT_ORDER)


def test_the_table_of_mechanisms_tells_all_of_them_in_order() -> None:
    text = (ROOT / "docs/engine.md").read_text()
    rows = re.findall(r"^\| ([A-Z][^|]*) \| (\w+) \|", text, re.M)
    told = [(name, kind) for names, kind in rows for name in names_in(names)]
    assert told == [(name, MECHANISMS[name].needs) for name in DEFAULT_ORDER]


def names_in(cell: str) -> list[str]:
    """The mechanisms of a cell like `SCRAM-SHA-256, -1 with -PLUS`."""
    text, _, suffix = cell.partition(" with ")
    names = text.split(", ")
    stem = names[0].rpartition("-")[0]
    return [(stem + name if name.startswith("-") else name) + suffix for name in names]


def test_the_table_of_a_message_s_options_names_every_one() -> None:
    listed = first_column(ROOT / "docs/options.md", "## What one message asks for")
    assert listed == [field.name for field in fields(MessageOptions)]


def test_the_settings_table_names_every_key() -> None:
    assert first_column(ROOT / "docs/options.md", "## `SMTPAUTH`") == list(conf.DEFAULTS)


def test_the_options_page_tells_the_ports_of_accounts() -> None:
    text = (ROOT / "docs/options.md").read_text()
    assert f"`{conf.DEFAULTS['ALLOWED_PORTS']}`" in text
    rows = re.findall(r"^\| ([\d, ]+) \|", (ROOT / "docs/internal-hosts.md").read_text(), re.M)
    told = [int(port) for row in rows for port in row.split(", ")]
    assert sorted(told) == list(conf.DEFAULTS["ALLOWED_PORTS"])


def test_the_settings_in_the_page_on_internal_hosts(settings: Any) -> None:
    hosts, ports = snippets(ROOT / "docs/internal-hosts.md", "python")
    names: dict[str, Any] = {}
    exec(hosts, names)
    settings.SMTPAUTH = names["SMTPAUTH"]
    limits = guard.allowed_hosts()
    assert limits.lists("/run/dovecot/lmtp")
    assert limits.covers("10.20.30.40")
    exec(ports, names)
    settings.SMTPAUTH = names["SMTPAUTH"]
    assert 10025 in guard.allowed_ports()


def test_the_readme_counts_the_providers() -> None:
    assert f"for {len(PRESETS)} providers" in (ROOT / "README.md").read_text().replace("\n ", "")


def test_the_time_out_table_tells_the_real_limits() -> None:
    text = (ROOT / "docs/options.md").read_text().split("## Time-outs")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[2:5]] for line in text.splitlines()]
    numbers = [row for row in rows if len(row) == 3 and row[0].isdigit()]
    limits = [field.name for field in fields(Timeouts)]
    assert [float(row[0]) for row in numbers] == [getattr(Timeouts(), name) for name in limits]
    assert [float(row[2]) for row in numbers] == [getattr(Timeouts.BULK, n) for n in limits]


def test_the_limits_table_tells_the_real_limits() -> None:
    text = (ROOT / "docs/engine.md").read_text()
    for limit in (replies.MAX_LINE, replies.MAX_CHALLENGE_LINE, replies.MAX_REPLY):
        assert f"| {limit:,} |" in text


def test_the_table_of_errors_names_them_all_with_their_twins() -> None:
    text = (ROOT / "docs/results.md").read_text()
    for name, twins in re.findall(r"^\| `(\w+)` \| ([^|]*)\|", text, re.M):
        error = getattr(smtp, name)
        bases = {base.__name__ for base in error.__mro__}
        for twin in re.findall(r"`(?:ssl\.)?(\w+)`", twins):
            assert twin in bases
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    errors = {n for n in smtp.__all__ if n[0].isupper() and _is_error(getattr(smtp, n))}
    assert errors - listed == {"SMTPError", "Refused"}


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, smtp.SMTPError)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = re.findall(r"^#+ (.*)$", text, re.M)
        assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_snippets_parse_and_import_what_exists(page: Path) -> None:
    for code in snippets(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("django_smtpauth"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_the_tests_in_the_page_on_testing_pass() -> None:
    names: dict[str, object] = {}
    exec(snippets(ROOT / "docs/testing.md", "python")[0], names)
    tests = [thing for name, thing in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        assert callable(test)
        test()


@pytest.mark.django_db
def test_code_in_the_page_on_accounts(
    scripted_server: ServerFactory,
    settings: Any,
    make_account: AccountFactory,  # noqa: F811
    mail_settings: MailSettings,  # noqa: F811
) -> None:
    server, names = scripted_server(), dict[str, Any]()
    code, chooser, vault = (
        next(c for c in snippets(ROOT / "docs/accounts.md", "python") if word in c)
        for word in ("smtp_account", "CHOOSER", "CREDENTIALS")
    )
    mail_settings()
    make_account("billing", server, from_email="billing@example.com")
    make_account("news", server)
    exec(code, names)
    names["examples"](EmailMessage("Subject", "Text", "me@example.com", ["you@example.org"]))
    senders = [m.sender.partition("@")[0] for m in server.accepted]
    assert senders == ["me", "billing", "billing", "me"]

    exec(chooser, names)
    settings.SMTPAUTH = {**settings.SMTPAUTH, **names["SMTPAUTH"]}
    bulk = EmailMessage("S", "T", "me@example.com", ["a@example.org"])
    bulk.extra_headers["Precedence"] = "bulk"
    route = default_backend().route(bulk)
    assert (route.account.slug, route.rule) == ("news", Rule.CHOOSER)

    exec(vault, names)
    names["read_from_vault"] = lambda path: f"secret of {path}"
    account = Account(uuid.uuid4(), "billing", "SMTP.example.com", username="billing@example.com")
    settings.SMTPAUTH = names["SMTPAUTH"]
    ours = credentials_of(replace(account, port=587))
    assert ours is not None
    assert ours.secret() == "secret of smtp/billing"


def test_the_snippets_in_the_page_on_providers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill, look_up = snippets(ROOT / "docs/presets.md", "python")
    names: dict[str, Any] = {}
    exec(fill, names)
    assert names["account"]["host"] == "smtp.gmail.com"
    assert names["account"]["username"] == "name@gmail.com"
    assert "2-Step Verification" in capsys.readouterr().out

    zone = {"_submissions._tcp.example.com SRV": ["0 1 465 mail.example.com."]}
    with DNSServer(zone) as server:
        resolver = server.resolver()
        monkeypatch.setattr("dns.resolver.Resolver", lambda: resolver)
        exec(look_up, names)
    assert capsys.readouterr().out == ("mail.example.com 465 implicit_tls _submissions._tcp SRV\n")


def test_the_ways_in_the_page_on_reaching_the_server(
    scripted_server: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    unix, defaults, tunnel = snippets(ROOT / "docs/reach.md", "python")
    path, server = scripted_server(address=str(tmp_path / "smtp")), scripted_server()
    names: dict[str, Any] = {}
    exec(unix.replace("/run/mail/smtp", path.host), names)
    with backends.EmailBackend(**names["OPTIONS"]) as backend:
        assert backend.connection is not None
        assert backend.connection.endpoint.server == path.host

    with Socks5Proxy({"smtp.example.com": server.port}) as proxy:
        monkeypatch.setenv("SMTP_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        exec(defaults, names)
        settings.SMTPAUTH = names["SMTPAUTH"]
        with backends.EmailBackend(host="smtp.example.com"):
            pass
        assert proxy.requests == [("smtp.example.com", 25)]

    names["TUNNEL_PORT"] = server.port
    names["endpoint"] = smtp.Endpoint("smtp.example.com", security=smtp.Security.NONE)
    exec(tunnel, names)
    assert len(server.accepted) == 1
