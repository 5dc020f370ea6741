"""Which server a message goes to, and by which rule."""

import uuid
from dataclasses import replace

import django
import pytest
import trustme
from django.core.exceptions import ImproperlyConfigured

from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.sending import routing
from django_smtpauth.sending.accounts import Account, Snapshot
from django_smtpauth.sending.addressing import normalized_address
from django_smtpauth.sending.mailer import MailerOptions, backend_options
from django_smtpauth.sending.option_values import InvalidOption, Password
from django_smtpauth.sending.options import DSN
from django_smtpauth.sending.proxies import Proxy
from django_smtpauth.sending.routing import (
    AccountNotFound,
    Hint,
    NoServer,
    Route,
    Rule,
    account_endpoint,
    account_options,
    choose,
    find_route,
    needs_accounts,
)
from django_smtpauth.smtp.timeouts import Timeouts
from django_smtpauth.smtp.tls import Security

PLAIN = MailerOptions(host="plain.example", username="plain", password=Password("p"))
NOTHING = MailerOptions()


def account(slug: str, **fields: object) -> Account:
    fields.setdefault("host", f"{slug}.example")
    return Account(uuid=uuid.uuid5(uuid.NAMESPACE_DNS, slug), slug=slug, **fields)


CLUB = account("club", from_email="club@example.org", select_by_from=True)
NEWS = account("news", from_email="news@example.org", is_default=True)
ACCOUNTS = (CLUB, NEWS)


def route(
    accounts=ACCOUNTS, plain=PLAIN, message=None, from_email="", problem="", alias=None, **options
) -> Route:
    hint = Hint(backend_options(options), message, from_email, alias=alias)
    return choose(hint, accounts, plain, problem=problem)


# The rules, in their order


def test_an_explicit_host_is_used_whatever_else_is_there():
    chosen = route(host="given.example", from_email="club@example.org")
    assert (chosen.rule, chosen.account) == (Rule.EXPLICIT_HOST, None)
    assert chosen.endpoint.address == ("given.example", 25)


@pytest.mark.parametrize(
    "option", [{"username": "u"}, {"password": "p"}, {"port": 2525}, {"use_tls": False}]
)
def test_other_server_options_without_host_mean_the_settings_server(option):
    chosen = route(**option)
    assert (chosen.rule, chosen.account) == (Rule.EXPLICIT_OPTIONS, None)
    assert chosen.endpoint.host == "plain.example"


def test_explicit_options_need_no_accounts():
    assert not needs_accounts(Hint(backend_options({"host": "given.example"})))
    assert not needs_accounts(Hint(backend_options({"username": ""})))
    assert needs_accounts(Hint(backend_options({"account": "club"})))
    assert needs_accounts(Hint(backend_options({"timeout": 3, "ehlo_name": "me"})))
    assert needs_accounts(Hint())


def test_the_account_that_was_asked_for():
    chosen = route(account="club", from_email="news@example.org")
    assert (chosen.rule, chosen.account) == (Rule.ACCOUNT, CLUB)


def test_the_message_wins_over_the_mailer_and_the_mailer_over_the_defaults():
    plain = MailerOptions(account="nobody")
    assert route(account="club", message="news", plain=plain).account == NEWS
    assert route(account="club", message="news", plain=plain) == route(account="news")
    assert route(account="club", plain=plain).account == CLUB
    assert route(plain=MailerOptions(account="club")).account == CLUB


def test_from_chooses_an_account_that_allows_it():
    chosen = route(from_email="The Club <Club@EXAMPLE.org>")
    assert (chosen.rule, chosen.account) == (Rule.FROM, CLUB)


def test_from_does_not_choose_an_account_that_does_not_allow_it():
    accounts = (CLUB, account("other", from_email="other@example.org"), NEWS)
    chosen = route(accounts, from_email="other@example.org")
    assert (chosen.rule, chosen.account) == (Rule.DEFAULT, NEWS)


def test_no_from_matches_no_account_without_an_address():
    chosen = route((account("blank", select_by_from=True),), from_email="")
    assert chosen.rule is Rule.SETTINGS


def test_the_default_account():
    chosen = route(from_email="someone@example.org")
    assert (chosen.rule, chosen.account) == (Rule.DEFAULT, NEWS)


def test_the_settings():
    chosen = route((CLUB,))
    assert (chosen.rule, chosen.account) == (Rule.SETTINGS, None)
    assert chosen.endpoint.credentials.secret() == "p"


def test_the_reason_is_a_line_for_people():
    assert route(account="club").reason == (
        "account club, club.example:587: this account was asked for"
    )
    assert route(()).reason == (
        "plain.example:25: no account applies, so the settings' server is used"
    )


# What can't be


def test_a_message_can_not_ask_for_an_account_on_an_explicit_host():
    with pytest.raises(InvalidOption, match=r"account 'club'.*built with host"):
        route(message="club", host="given.example")


def test_an_unknown_account_is_named_with_those_that_exist_and_the_cure():
    with pytest.raises(AccountNotFound) as caught:
        route(account="clib")
    assert isinstance(caught.value, ImproperlyConfigured)
    assert str(caught.value) == (
        "There is no enabled account 'clib'. Enabled accounts: club, news. "
        "Correct the name, or add and enable the account in the admin."
    )


def test_an_unknown_account_of_a_tenant():
    with pytest.raises(AccountNotFound, match=r"'club' of scope 'north'\. Enabled accounts: none"):
        choose(Hint(account="club", scope="north"), (), PLAIN)


def test_when_the_accounts_are_not_known_the_error_says_why():
    with pytest.raises(AccountNotFound, match="The database is down"):
        route((), account="club", problem="The database is down.")
    with pytest.raises(NoServer, match="The database is down"):
        route((), NOTHING, problem="The database is down.")


def test_without_any_server_both_cures_are_named():
    with pytest.raises(NoServer, match=r"'host' in EMAIL_HOST.*an account in the admin"):
        route((), NOTHING)


def test_server_options_without_any_host():
    with pytest.raises(NoServer, match="username, password given without a host"):
        route(ACCOUNTS, NOTHING, username="u", password="p")


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1")
def test_under_mailers_the_error_is_djangos():
    from django.core.mail import InvalidMailer

    with pytest.raises(InvalidMailer, match=r"MAILERS\['bulk'\]: .*'host' in OPTIONS, or add an"):
        route((), NOTHING, alias="bulk")


# Addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a@Example.ORG", "a@example.org"),
        ('"Doe, A" <A@example.org>', "a@example.org"),
        ("ä@Bücher.example", "ä@xn--bcher-kva.example"),
        ("", ""),
        ("a@example.org, b@example.org", ""),
        ("a@example.org <b@example.org", ""),
        ("@example.org", ""),
        ("a@★.example", ""),
    ],
)
def test_addresses_are_compared_in_one_form(text, address):
    assert normalized_address(text) == address


# What an account gives the engine


def test_an_accounts_endpoint():
    built = account_endpoint(
        account(
            "club",
            host="Smtp.Bücher.example",
            port=2525,
            security="implicit_tls",
            verify=False,
            ca_text="PEM",
            username="u",
            password=Password("s3cret"),
            timeout=4,
            allow_auth_without_tls=True,
        )
    )
    assert built.address == ("smtp.xn--bcher-kva.example", 2525)
    assert built.label == "account club, smtp.xn--bcher-kva.example:2525"
    assert (built.security, built.allow_auth_without_tls) == (Security.IMPLICIT_TLS, True)
    assert (built.tls.verify, built.tls.ca_text) == (False, "PEM")
    assert (built.credentials.username, built.credentials.secret()) == ("u", "s3cret")
    assert built.timeouts == Timeouts.of(4)


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587)])
def test_the_port_may_go_with_security(security, port):
    assert account_endpoint(account("club", security=security)).address[1] == port


def test_an_account_at_a_unix_socket():
    club = account("club", host="/run/Mail/smtp", port=587, security="none")
    built = account_endpoint(club)
    assert (built.address, built.name) == (("/run/Mail/smtp", 0), "account club, /run/Mail/smtp")


def test_an_account_takes_the_proxy_of_the_options_then_the_defaults():
    given, defaults = (MailerOptions(proxy=Proxy("http", name, 80)) for name in "ab")
    assert account_options(CLUB, given, defaults).proxy == given.proxy
    assert account_options(CLUB, NOTHING, defaults).proxy == defaults.proxy


def test_a_proxy_alone_describes_no_server():
    assert route(proxy="http://proxy.example:80").rule is Rule.DEFAULT


class Sealed(Password):
    """A password that notes when it is opened."""

    opened = 0

    def reveal(self) -> str:
        self.opened += 1
        return super().reveal()


def test_the_password_is_opened_only_when_the_engine_asks():
    secret = Sealed("s3cret")
    chosen = choose(Hint(account="club"), (account("club", username="u", password=secret),), PLAIN)
    assert secret.opened == 0
    assert chosen.endpoint.credentials.secret() == "s3cret"
    assert secret.opened == 1


def test_an_account_without_a_server_is_named_with_what_it_needs():
    with pytest.raises(InvalidOption, match=r"account club, host: it is empty\. Type the name"):
        account_endpoint(account("club", host=""))


def test_a_password_without_a_user_is_no_credential():
    assert account_endpoint(account("club", password=Password("p"))).credentials is None


def test_a_user_without_a_password_does_not_go_in_unannounced():
    credentials = account_endpoint(account("club", username="u")).credentials
    with pytest.raises(SecretUnreadable, match="account club has no password"):
        credentials.secret()


@pytest.mark.parametrize(
    ("message", "block", "option", "expected"),
    [
        ("news", "club", "shop", ("news", Rule.ACCOUNT)),
        (None, "club", "shop", ("club", Rule.BLOCK)),
        (None, None, "shop", ("shop", Rule.ACCOUNT)),
        (None, None, None, ("post", Rule.CHOOSER)),
    ],
)
def test_who_may_name_the_account(message, block, option, expected):
    accounts = [account(slug) for slug in ("club", "news", "post", "shop")]
    options = backend_options({"account": option})
    hint = Hint(options, message, block=block, chooser=lambda: "post")
    chosen = choose(hint, accounts, PLAIN)
    assert (chosen.account.slug, chosen.rule) == expected


def test_the_chooser_may_leave_it_to_the_other_rules():
    accounts = [account("club", is_default=True)]
    assert choose(Hint(chooser=lambda: None), accounts, PLAIN).rule is Rule.DEFAULT


def test_the_chooser_names_an_account():
    with pytest.raises(ImproperlyConfigured, match=r'SMTPAUTH\["CHOOSER"\] must return the slug'):
        choose(Hint(chooser=lambda: 7), (), PLAIN)
    with pytest.raises(AccountNotFound, match="no enabled account 'lost'"):
        choose(Hint(chooser=lambda: "lost"), (), PLAIN)


def test_the_chooser_is_not_asked_when_something_else_names_an_account():
    def never():
        raise AssertionError

    choose(Hint(account="club", chooser=never), (account("club"),), PLAIN)
    choose(Hint(backend_options({"host": "smtp.example"}), chooser=never), (), PLAIN)


def test_a_backend_with_a_server_does_not_heed_the_block():
    hint = Hint(backend_options({"host": "smtp.example"}), block="club")
    assert choose(hint, (account("club"),), PLAIN).rule is Rule.EXPLICIT_HOST


def test_a_certificate_logs_in_alone_and_nothing_does_without_a_log_in():
    own = trustme.CA().issue_cert("client.example")
    certificate = own.cert_chain_pems[0].bytes().decode()
    key = Password(own.private_key_pem.bytes().decode())
    account_ = account(
        "club",
        authentication="certificate",
        client_certificate=certificate,
        client_key=key,
        password=Password("p"),
        username="u",
    )
    endpoint = account_endpoint(account_)
    assert endpoint.auth_mechanisms == ("EXTERNAL",)
    assert endpoint.credentials.kind == "certificate"
    none = account_endpoint(replace(account_, authentication="none"))
    assert none.credentials is None
    assert none.tls.has_client_certificate


def test_what_an_account_does_not_say_comes_from_options_then_defaults():
    given = backend_options({"ehlo_name": "given.example"})
    defaults = MailerOptions(
        ehlo_name="default.example", deadline=9, ca_file="ca.pem", auth_mechanisms=("LOGIN",)
    )
    options = account_options(CLUB, given, defaults)
    assert (options.ehlo_name, options.deadline) == ("given.example", 9)
    assert (options.ca_file, options.auth_mechanisms) == ("ca.pem", ("LOGIN",))


def test_what_describes_another_server_never_reaches_an_account():
    defaults = MailerOptions(
        host="d.example",
        port=26,
        username="d",
        password=Password("d"),
        use_ssl=True,
        verify=False,
        allow_auth_without_tls=True,
    )
    built = account_endpoint(CLUB, account_options(CLUB, NOTHING, defaults))
    assert built.address == ("club.example", 587)
    assert (built.security, built.tls.verify) == (Security.STARTTLS, True)
    assert (built.credentials, built.allow_auth_without_tls) == (None, False)


def test_an_own_authority_replaces_the_file_of_the_defaults():
    own = account("club", ca_text="PEM")
    built = account_endpoint(own, account_options(own, NOTHING, MailerOptions(ca_file="ca.pem")))
    assert (built.tls.ca_file, built.tls.ca_text) == (None, "PEM")


@pytest.mark.parametrize(
    ("given", "own", "default", "result"),
    [(1, 2, 3, 1), (None, 2, 3, 2), (None, None, 3, 3), ("bulk", 2, None, "bulk")],
)
def test_the_time_out_comes_from_the_nearest(given, own, default, result):
    options = account_options(
        account("club", timeout=own), MailerOptions(timeout=given), MailerOptions(timeout=default)
    )
    assert options.timeout == result


REPORTS = DSN(notify=("FAILURE", "DELAY"))


@pytest.mark.parametrize(
    ("option", "given", "said", "own", "default"),
    [
        ("bdat", "never", {"bdat": "eager"}, "eager", "after_rcpt"),
        ("recipients", "any", {"recipients": "all"}, "all", "any"),
        ("require_tls", True, {"require_tls": False}, False, True),
        ("dsn", DSN(ret="FULL"), {"dsn_notify": "FAILURE,DELAY"}, REPORTS, DSN(envid="1")),
        ("dsn", DSN(ret="FULL"), {"dsn_ret": "HDRS"}, DSN(ret="HDRS"), REPORTS),
    ],
)
def test_what_is_asked_of_the_delivery_comes_from_the_nearest(option, given, said, own, default):
    given, default = MailerOptions(**{option: given}), MailerOptions(**{option: default})

    def result(account, given):
        return getattr(account_options(account, given, default), option)

    assert result(account("club", **said), given) == getattr(given, option)
    assert result(account("club", **said), NOTHING) == own
    assert result(CLUB, NOTHING) == getattr(default, option)


def test_the_protocol_is_the_server_s_and_so_the_account_s():
    local = account("local", security="none", protocol="lmtp")
    built = account_endpoint(local, account_options(local, NOTHING, MailerOptions()))
    assert (built.protocol, built.address[1]) == ("lmtp", 24)
    assert account_options(CLUB, NOTHING, MailerOptions(protocol="lmtp")).protocol == "smtp"
    chosen = route((local,), protocol="lmtp")
    assert (chosen.rule, chosen.account) == (Rule.EXPLICIT_OPTIONS, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"security": "tls"},
        {"host": "a b"},
        {"timeout": -1.0},
        {"protocol": "uucp"},
        {"bdat": "always"},
        {"recipients": "most"},
        {"dsn_notify": "NEVER,DELAY"},
        {"dsn_ret": "BODY"},
    ],
)
def test_a_value_written_past_the_forms_is_an_error_of_that_account(wrong):
    option = next(iter(wrong)).partition("_")[0]
    with pytest.raises(InvalidOption, match=f"account club, {option}: "):
        account_options(account("club", **wrong))


# Which messages can share a session


def test_routes_are_equal_when_one_session_serves_both():
    one = route(from_email="club@example.org")
    assert one == route(account="club", from_email="x@example.org")
    assert hash(one) == hash(route(account="club"))
    assert one != route()
    assert one != route((account("club", username="changed"),), account="club")
    assert route(host="a.example") == route(host="a.example")
    assert route(host="a.example") != route(host="a.example", username="u")


# With this process's accounts and settings


@pytest.fixture
def known(monkeypatch):
    asked = []

    def current_accounts(scope: str) -> Snapshot:
        asked.append(scope)
        return Snapshot(ACCOUNTS)

    monkeypatch.setattr(routing, "current_accounts", current_accounts)
    return asked


def test_find_route_looks_for_the_accounts_of_the_scope(known):
    assert find_route(Hint(scope="north")).account == NEWS
    assert known == ["north"]


def test_find_route_does_not_look_for_accounts_when_none_is_needed(known):
    assert find_route(Hint(backend_options({"host": "given.example"}))).account is None
    assert known == []


def test_find_route_takes_defaults_from_the_settings(known, settings):
    settings.SMTPAUTH = {"DEFAULTS": {"deadline": 7}}
    assert find_route(Hint()).endpoint.deadline == 7


def test_find_route_reports_bad_settings(known, settings):
    settings.SMTPAUTH = {"DEFAULTS": {"deadline": "soon"}}
    with pytest.raises(InvalidOption, match='"deadline"'):
        find_route(Hint())
