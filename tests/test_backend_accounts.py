"""Which account carries a message, and what happens when it can't."""

import pytest

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.options import DSN, MessageOptions
from django_smtpauth.sending.routing import AccountNotFound
from django_smtpauth.smtp import NotSupported, RecipientsRefused
from tests.backend_fixtures import (  # noqa: F401
    PASSWORD,
    USER,
    _fresh_process,
    backend_for,
    default_backend,
    failure_of,
    mail_settings,
    make_account,
    message,
    needs_legacy,
    needs_mailers,
    smtp_server,
)
from tests.servers.scripted import EXTENSIONS

pytestmark = pytest.mark.django_db


def send(name="a", **fields):
    return message(name, **fields).send()


def send_over(backend, name):
    return backend.send_messages([message(name)])


@pytest.fixture
def accounts(scripted_server, make_account, mail_settings):  # noqa: F811
    """Servers by slug, each with its account: `default`, `billing` and `sales` (by From)."""
    servers = {slug: scripted_server(users={USER: PASSWORD}) for slug in SLUGS}
    for slug, server in servers.items():
        make_account(
            slug,
            server,
            username=USER,
            password=PASSWORD,
            from_email=f"{slug}@example.com",
            is_default=slug == "default",
            select_by_from=slug == "sales",
        )
    mail_settings()
    return servers


SLUGS = ("default", "billing", "sales")


def used(servers):
    return [slug for slug, server in servers.items() if server.accepted]


def test_the_default_account_is_used(accounts):
    one = message()
    assert one.send() == 1
    assert used(accounts) == ["default"]
    assert accounts["default"].connections[0].authenticated
    (attempt,) = one.smtp_result.attempts
    assert (attempt.account, attempt.rule) == ("default", "this is the default account")


def test_an_account_by_its_name(accounts, mail_settings):  # noqa: F811
    assert EmailBackend(account="billing", ehlo_name="c.test").send_messages([message()]) == 1
    assert used(accounts) == ["billing"]
    mail_settings(account="sales")
    assert send() == 1
    assert used(accounts) == ["billing", "sales"]


def test_an_account_by_from(accounts):
    assert send(from_email="Sales Team <SALES@example.com>") == 1
    assert used(accounts) == ["sales"]


def test_a_from_that_selects_nothing(accounts):
    """Only an account that says so is chosen by From: a visitor may have typed it."""
    assert send(from_email="billing@example.com") == 1
    assert used(accounts) == ["default"]


def test_a_message_names_its_account(accounts):
    one = message(from_email="sales@example.com")
    one.smtp_options = MessageOptions(account="billing")
    assert one.send() == 1
    assert used(accounts) == ["billing"]


def test_options_of_a_message_are_message_options(accounts):
    one = message()
    one.smtp_options = {"account": "billing"}
    with pytest.raises(ValueError, match=r"smtp_options must be MessageOptions.*not dict"):
        one.send()
    assert used(accounts) == []


def test_a_host_asks_no_database(accounts, scripted_server, django_assert_num_queries):
    server = scripted_server()
    with django_assert_num_queries(0):
        assert backend_for(server).send_messages([message(from_email="sales@example.com")]) == 1
    assert used(accounts) == []
    assert len(server.accepted) == 1


def test_a_host_needs_no_database(scripted_server, monkeypatch):
    from django_smtpauth.sending import routing

    def refuse(scope):
        raise AssertionError("the accounts were asked for")

    monkeypatch.setattr(routing, "current_accounts", refuse)
    assert backend_for(scripted_server()).send_messages([message()]) == 1


def test_an_unknown_account_is_named(accounts):
    one = message()
    with pytest.raises(AccountNotFound, match=r"'nobody'.*billing, default, sales"):
        EmailBackend(account="nobody", fail_silently=True).send_messages([one])
    assert isinstance(one.smtp_result.error, AccountNotFound)


def test_a_disabled_account_is_not_used(accounts):
    account = SMTPAccount.objects.get(slug="billing")
    account.enabled = False
    account.save()
    with pytest.raises(AccountNotFound, match="'billing'"):
        EmailBackend(account="billing").send_messages([message()])
    assert used(accounts) == []


def test_a_change_of_an_account_counts_at_once(accounts):
    assert send() == 1
    account = SMTPAccount.objects.get(slug="default")
    account.is_default = False
    account.save()
    account = SMTPAccount.objects.get(slug="billing")
    account.is_default = True
    account.save()
    assert send() == 1
    assert used(accounts) == ["default", "billing"]


def change_destination(accounts):
    """Points the default account to another server behind the form's back."""
    from django_smtpauth.sending.accounts import source

    other = accounts["billing"]
    SMTPAccount.objects.filter(slug="default").update(port=other.port)
    source.invalidate()


def test_a_secret_for_another_server_stays_shut(accounts):
    change_destination(accounts)
    messages = [message("a"), message("b")]
    with pytest.raises(SecretUnreadable) as caught:
        default_backend().send_messages(messages)
    assert f"127.0.0.1:{accounts['default'].port}" in str(caught.value)
    assert used(accounts) == []
    assert b"AUTH" not in b"".join(bytes(c.received) for c in accounts["billing"].connections)
    assert all(one.smtp_result.error is caught.value for one in messages)


def test_fail_silently_hides_an_unreadable_secret(accounts):
    change_destination(accounts)
    backend = EmailBackend(fail_silently=True, ehlo_name="c.test")
    assert backend.send_messages([message()]) == 0
    assert backend.open() is None


def test_a_lost_key_is_a_named_error(accounts, settings):
    settings.SMTPAUTH = {**settings.SMTPAUTH, "KEYS": [generate_key()]}
    with pytest.raises(SecretUnreadable, match="key"):
        send()
    assert used(accounts) == []


@needs_legacy
def test_without_accounts_the_settings_are_used(smtp_server):  # noqa: F811
    server = smtp_server()
    one = message()
    assert one.send() == 1
    assert len(server.accepted) == 1
    assert one.smtp_result.attempts[0].rule.startswith("no account applies")


def test_open_connects_to_the_default_account(accounts):
    with default_backend() as backend:
        assert backend.connection.endpoint.address[1] == accounts["default"].port
        assert send_over(backend, "a") == 1
    assert len(accounts["default"].connections) == 1


def test_open_without_a_server_leaves_the_choice_to_messages(accounts, mail_settings):  # noqa: F811
    mail_settings(host="")
    SMTPAccount.objects.get(slug="default").delete()
    backend = default_backend()
    assert backend.open() is False
    assert backend.send_messages([message(from_email="sales@example.com")]) == 1
    backend.close()


def test_an_open_backend_keeps_the_connections_of_its_routes(accounts):
    with default_backend() as backend:
        for _ in range(2):
            assert backend.send_messages([message(), message(from_email="sales@example.com")]) == 2
    assert [len(accounts[slug].connections) for slug in SLUGS] == [1, 0, 1]


def test_the_route_tells_the_server_and_the_rule(accounts):
    route = default_backend().route(message(from_email="sales@example.com"))
    assert route.account.slug == "sales"
    assert route.reason.startswith("account sales, 127.0.0.1")


# What an account asks of the delivery

TO = ["a@example.org", "b@example.org", "c@example.org"]
REFUSES_B = {"RCPT:b@example.org": b"550 5.1.1 no\r\n"}


@pytest.fixture
def asking(scripted_server, make_account, mail_settings):  # noqa: F811
    """Makes a server with the default account, which asks for something; settings ask for more."""

    def start(behaviour, fields, **options):
        server = scripted_server(**behaviour)
        make_account("club", server, is_default=True, **fields)
        mail_settings(**options)
        return server

    return start


def rcpt_lines(server):
    return [[line.decode() for line in one.recipient_lines] for one in server.accepted]


def test_an_account_asks_for_delivery_reports(asking):
    server = asking(
        {"extensions": [*EXTENSIONS, "DSN"]}, {"dsn_notify": "FAILURE,DELAY", "dsn_ret": "HDRS"}
    )
    own = message()
    own.smtp_options = MessageOptions(dsn=DSN(notify=("NEVER",)))
    assert default_backend().send_messages([message(), own]) == 2
    assert [b" RET=HDRS" in one.sender_line for one in server.accepted] == [True, False]
    assert rcpt_lines(server) == [
        ["RCPT TO:<to@example.org> NOTIFY=FAILURE,DELAY"],
        ["RCPT TO:<to@example.org> NOTIFY=NEVER"],
    ]
    mailer = EmailBackend(account="club", dsn={"notify": ["SUCCESS"]}, ehlo_name="c.test")
    assert mailer.send_messages([message()]) == 1
    assert rcpt_lines(server)[2] == ["RCPT TO:<to@example.org> NOTIFY=SUCCESS"]


def test_an_account_for_all_or_nobody(asking):
    server = asking({"replies": REFUSES_B}, {"recipients": "all"})
    together, apart = message(to=TO), message(to=TO)
    apart.smtp_options = MessageOptions(recipients="any")
    error = failure_of(default_backend(), [together, apart], RecipientsRefused)
    assert error is together.smtp_result.error
    assert [one.recipients for one in server.accepted] == [[TO[0], TO[2]]]


@needs_legacy
def test_what_the_account_says_wins_over_the_defaults(asking):
    server = asking({"replies": REFUSES_B}, {"recipients": "any"}, recipients="all")
    assert send(to=TO) == 1
    assert server.accepted[0].recipients == [TO[0], TO[2]]


@needs_mailers
def test_what_the_mailer_says_wins_over_the_account(asking):
    server = asking({"replies": REFUSES_B}, {"recipients": "any"}, recipients="all")
    failure_of(default_backend(), [message(to=TO)], RecipientsRefused)
    assert server.accepted == []


def test_an_account_that_demands_tls_all_the_way(asking, certificates):
    behaviour = {
        "ssl_context": certificates.server(),
        "extensions": [*EXTENSIONS, "STARTTLS"],
        "extensions_after_tls": [*EXTENSIONS, "REQUIRETLS"],
    }
    fields = {"security": "starttls", "ca_text": certificates.ca_pem, "require_tls": True}
    server = asking(behaviour, fields)
    assert send() == 1
    assert server.accepted[0].sender_line.endswith(b" REQUIRETLS")


def test_a_server_that_lacks_what_the_account_demands_gets_nothing(asking):
    server = asking({}, {"dsn_notify": "NEVER"})
    error = failure_of(default_backend(), [message()], NotSupported)
    assert "does not offer DSN, which NOTIFY needs" in str(error)
    assert "MAIL" not in server.connections[0].verbs


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_an_account_that_sends_chunks(asking, bdat):
    behaviour = {"extensions": [*EXTENSIONS, "CHUNKING"], "count_flights": True}
    server = asking(behaviour, {"bdat": bdat})
    assert send() == 1
    assert server.accepted[0].chunks
    together = any("MAIL" in flight and "BDAT" in flight for flight in server.flights)
    assert together == (bdat == "eager")
    assert server.violations == []


def test_an_account_at_a_delivery_agent_on_a_unix_socket(asking, tmp_path):
    behaviour = {
        "address": str(tmp_path / "lmtp"),
        "replies": {
            "CONTENT:b@example.org": b"452 4.2.2 full\r\n",
            "EHLO": b"502 5.5.1 LHLO, please\r\n",
        },
    }
    # The port is not asked for: the field keeps what it had.
    server = asking(behaviour, {"protocol": "lmtp", "port": 587})
    one = message(to=TO)
    assert one.send() == 1
    result = one.smtp_result
    assert result.accepted == [TO[0], TO[2]]
    assert result.recipients[TO[1]].reply.code == 452
    assert (result.attempts[0].account, result.attempts[0].server) == ("club", server.host)
    assert server.connections[0].verbs[0] == "LHLO"
    assert server.violations == []
