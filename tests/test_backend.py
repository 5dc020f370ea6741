"""The backend as a site meets it: its options in every form, opening, accounts, no secrets."""

import base64
import smtplib

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.utils.translation import gettext_lazy

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.sending.routing import AccountNotFound
from django_smtpauth.smtp import AuthenticationRefused, ConnectError, RecipientsRefused, TLSError
from tests.backend_fixtures import (  # noqa: F401
    BACKEND,
    MAILERS_MODE,
    PASSWORD,
    USER,
    _fresh_process,
    backend_for,
    default_backend,
    mail_settings,
    make_account,
    message,
    needs_legacy,
    needs_mailers,
    only,
    parsed,
    senders,
    smtp_server,
)
from tests.leaks import shown_by_trackers
from tests.servers.scripted import Answer, Then


def send(name="a", **fields):
    return message(name, **fields).send()


# The class under test, in each form of the settings


def test_the_class_under_test(smtp_server):  # noqa: F811
    assert type(mail_of_the_site()) is EmailBackend
    server = smtp_server()
    assert type(default_backend()) is EmailBackend
    assert send_mail("S", "B", "a@example.com", ["to@example.org"]) == 1
    assert senders(server) == ["a"]


def mail_of_the_site():
    """The backend that the test settings name, before Django's test set-up swapped it."""
    from django.utils.module_loading import import_string

    from tests import settings as written

    if MAILERS_MODE:
        return import_string(written.MAILERS["default"]["BACKEND"])()
    return import_string(written.EMAIL_BACKEND)()


def test_django_s_test_set_up_swaps_it():
    from django.conf import settings

    backend = default_backend()
    assert type(backend).__module__ == "django.core.mail.backends.locmem"
    if not MAILERS_MODE:
        assert settings._wrapped.EMAIL_BACKEND != BACKEND


def test_every_option_reaches_the_connection(scripted_server, mail_settings, certificates):  # noqa: F811
    server = scripted_server(ssl_context=certificates.server(), users={USER: PASSWORD})
    mail_settings(
        host="localhost",
        port=server.port,
        username=USER,
        password=PASSWORD,
        security="starttls",
        ca_file=certificates.ca_file,
        tls_minimum="1.3",
        auth_mechanisms=["LOGIN"],
        ehlo_name="office.example",
        source_address="127.0.0.1",
        timeout=7,
        deadline=20,
        pipelining=False,
        max_unanswered=1,
    )
    one = message()
    assert default_backend().send_messages([one]) == 1
    (attempt,) = one.smtp_result.attempts
    assert (attempt.tls.version, attempt.mechanism) == ("TLSv1.3", "LOGIN")
    (session,) = server.connections
    assert b"EHLO office.example" in session.commands
    with default_backend() as backend:
        endpoint = backend.connection.endpoint
    assert (endpoint.timeouts.reply, endpoint.deadline, endpoint.pipelining) == (7, 20, False)


@pytest.mark.parametrize(
    ("options", "attribute"), [({"use_tls": True}, "use_tls"), ({"use_ssl": True}, "use_ssl")]
)
def test_both_kinds_of_tls(scripted_server, mail_settings, certificates, options, attribute):  # noqa: F811
    implicit = attribute == "use_ssl"
    server = scripted_server(ssl_context=certificates.server(), implicit_tls=implicit)
    mail_settings(host="localhost", port=server.port, ca_file=certificates.ca_file, **options)
    backend = default_backend()
    assert getattr(backend, attribute) is True
    assert backend.send_messages([message()]) == 1
    assert server.connections[0].tls is not None


def test_an_unknown_authority_is_refused(scripted_server, mail_settings, certificates):  # noqa: F811
    server = scripted_server(ssl_context=certificates.other_ca())
    mail_settings(host="localhost", port=server.port, use_tls=True, ca_file=certificates.ca_file)
    with pytest.raises(TLSError):
        send()
    assert server.messages == []


@needs_mailers
@pytest.mark.parametrize("option", ["colour", "hots", "Host"])
def test_an_unknown_option_is_an_invalid_mailer(settings, option):
    settings.MAILERS = {"default": {"BACKEND": BACKEND, "OPTIONS": {option: 1}}}
    with pytest.raises(mail.InvalidMailer, match=rf"MAILERS\['default'\].*{option}"):
        send()


@needs_mailers
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"security": "tls"}, "'starttls'.*'implicit_tls'"),
        ({"port": "many"}, "port: must be a number"),
        ({"use_tls": True, "use_ssl": True}, "incompatible"),
        ({"use_tls": True, "security": "none"}, "contradicts"),
        ({"account": "club", "host": "h.example"}, "account='club'"),
    ],
)
def test_a_bad_option_is_an_invalid_mailer(settings, options, words):
    settings.MAILERS = {"default": {"BACKEND": BACKEND, "OPTIONS": options}}
    with pytest.raises(mail.InvalidMailer, match=rf"(?s)MAILERS\['default'\].*{words}"):
        send()


@pytest.mark.parametrize(
    "options",
    [{"security": "tls"}, {"port": "many"}, {"account": "club", "host": "h.example"}],
)
def test_a_bad_keyword_is_a_value_error_and_improper_configuration(options):
    with pytest.raises(ValueError) as caught:
        EmailBackend(**options)
    assert isinstance(caught.value, ImproperlyConfigured)


def test_positional_arguments_are_django_s():
    backend = EmailBackend("h.example", 26, "u", "p", False, True, False, 7, "k", "c")
    assert (backend.host, backend.port) == ("h.example", 26)
    assert (backend.username, backend.password, backend.fail_silently) == ("u", "p", True)
    assert (backend.use_tls, backend.use_ssl, backend.timeout) == (False, False, 7)
    assert (backend.ssl_keyfile, backend.ssl_certfile) == ("k", "c")


@pytest.mark.filterwarnings("ignore:get_connection.* is deprecated")
def test_get_connection_with_arguments(smtp_server, scripted_server):  # noqa: F811
    smtp_server()
    other = scripted_server(users={USER: PASSWORD})
    backend = mail.get_connection(
        host=other.host, port=other.port, username=USER, password=PASSWORD
    )
    assert type(backend) is EmailBackend
    assert backend.send_messages([message()]) == 1
    assert other.connections[0].authenticated
    assert mail.get_connection(fail_silently=True).fail_silently is True


@pytest.mark.filterwarnings("ignore:.*auth_user.*:PendingDeprecationWarning")
def test_send_mail_with_credentials(smtp_server):  # noqa: F811
    server = smtp_server(users={USER: PASSWORD})
    arguments = ("S", "B", "a@example.com", ["to@example.org"])
    assert send_mail(*arguments, auth_user=USER, auth_password=PASSWORD) == 1
    assert server.connections[0].authenticated


@pytest.mark.filterwarnings("ignore:.*fail_silently.*:PendingDeprecationWarning")
def test_send_mail_fail_silently(smtp_server):  # noqa: F811
    smtp_server().close()
    arguments = ("S", "B", "a@example.com", ["to@example.org"])
    assert send_mail(*arguments, fail_silently=True) == 0
    with pytest.raises(ConnectError):
        send_mail(*arguments)


# Opening and closing


def test_without_open_the_connection_ends_with_the_batch(smtp_server):  # noqa: F811
    server = smtp_server()
    backend = default_backend()
    for _ in range(2):
        assert backend.send_messages([message()]) == 1
        assert backend.connection is None
    server.settle(2)
    assert [session.verbs[-1] for session in server.connections] == ["QUIT", "QUIT"]


def test_an_open_backend_keeps_its_connection(smtp_server):  # noqa: F811
    server = smtp_server()
    with default_backend() as backend:
        for _ in range(3):
            assert backend.send_messages([message()]) == 1
        assert len(server.connections) == 1
    server.settle(1)
    assert server.connections[0].verbs[-1] == "QUIT"


def test_closing_twice_is_quiet(smtp_server):  # noqa: F811
    smtp_server()
    backend = default_backend()
    backend.open()
    backend.close()
    backend.close()
    assert backend.connection is None


def test_open_after_the_server_went_away(smtp_server):  # noqa: F811
    leave = Answer(then=Then.CLOSE)
    server = smtp_server(replies={"CONTENT:a@example.com": leave})
    backend = default_backend()
    backend.open()
    assert send_over(backend, "a") == send_over(backend, "b") == 1
    backend.close()
    assert senders(server) == ["a", "b"]


def send_over(backend, name):
    return backend.send_messages([message(name)])


def test_the_context_manager_closes_after_an_exception(smtp_server):  # noqa: F811
    server = smtp_server()
    with pytest.raises(LookupError), default_backend():
        raise LookupError
    server.settle(1)
    assert server.connections[0].verbs[-1] == "QUIT"


def test_entering_fails_as_open_does(smtp_server):  # noqa: F811
    smtp_server().close()
    with pytest.raises(ConnectError), default_backend():
        raise AssertionError("not reached")


def test_a_failed_open_does_not_leave_it_open(smtp_server):  # noqa: F811
    server = smtp_server(replies={"GREETING": [Answer(b"421 4.3.2 Busy\r\n", Then.CLOSE)]})
    backend = default_backend()
    with pytest.raises(OSError):
        backend.open()
    assert backend.send_messages([message()]) == 1
    assert backend.connection is None
    server.settle(2)


# Messages


def test_lazy_subject_body_and_addresses(smtp_server):  # noqa: F811
    server = smtp_server()
    lazy = gettext_lazy
    one = EmailMultiAlternatives(
        lazy("Subject"), lazy("Body"), lazy("me@example.com"), [lazy("you@example.org")]
    )
    one.attach_alternative(str(lazy("<b>Body</b>")), "text/html")
    assert one.send() == 1
    received = only(server)
    assert (received["Subject"], received["To"]) == ("Subject", "you@example.org")
    assert received.get_body().get_content_type() == "text/html"


class Signing(EmailMessage):
    """As subclasses were written before Django 6.0, and still are: no arguments."""

    def message(self):
        rendered = super().message()
        rendered["X-Signature"] = "abc"
        return rendered


class Modern(EmailMessage):
    """As subclasses are written for Django 6.0 and later."""

    def message(self, **keywords):
        rendered = super().message(**keywords)
        rendered["X-Signature"] = "abc"
        return rendered


@pytest.mark.parametrize("kind", [Signing, Modern])
def test_a_subclass_that_makes_the_message_itself(smtp_server, kind):  # noqa: F811
    server = smtp_server()
    one = kind("Größe", "Größe\n", "me@example.com", ["you@bücher.example"], bcc=["x@b.example"])
    assert one.send() == 1
    received = only(server)
    assert received["X-Signature"] == "abc"
    assert received["Subject"] == "Größe"
    assert received["Message-ID"] == one.smtp_result.message_id
    assert server.accepted[0].recipients == ["you@xn--bcher-kva.example", "x@b.example"]


def test_a_subclass_that_fails_leaves_the_others_alone(smtp_server):  # noqa: F811
    class Failing(EmailMessage):
        def message(self, **keywords):
            raise LookupError("no template")

    server = smtp_server()
    failing = Failing("S", "B", "b@example.com", ["to@example.org"])
    with pytest.raises(LookupError) as caught:
        default_backend().send_messages([message("a"), failing, message("c")])
    assert senders(server) == ["a", "c"]
    assert caught.value is failing.smtp_result.error


# Accounts


pytest_db = pytest.mark.django_db


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


@pytest_db
def test_the_default_account_is_used(accounts):
    one = message()
    assert one.send() == 1
    assert used(accounts) == ["default"]
    assert accounts["default"].connections[0].authenticated
    (attempt,) = one.smtp_result.attempts
    assert (attempt.account, attempt.rule) == ("default", "this is the default account")


@pytest_db
def test_an_account_by_its_name(accounts, mail_settings):  # noqa: F811
    assert EmailBackend(account="billing", ehlo_name="c.test").send_messages([message()]) == 1
    assert used(accounts) == ["billing"]
    mail_settings(account="sales")
    assert send() == 1
    assert used(accounts) == ["billing", "sales"]


@pytest_db
def test_an_account_by_from(accounts):
    assert send(from_email="Sales Team <SALES@example.com>") == 1
    assert used(accounts) == ["sales"]


@pytest_db
def test_a_from_that_selects_nothing(accounts):
    """Only an account that says so is chosen by From: a visitor may have typed it."""
    assert send(from_email="billing@example.com") == 1
    assert used(accounts) == ["default"]


@pytest_db
def test_a_message_names_its_account(accounts):
    one = message(from_email="sales@example.com")
    one.smtp_options = MessageOptions(account="billing")
    assert one.send() == 1
    assert used(accounts) == ["billing"]


@pytest_db
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


@pytest_db
def test_an_unknown_account_is_named(accounts):
    one = message()
    with pytest.raises(AccountNotFound, match=r"'nobody'.*billing, default, sales"):
        EmailBackend(account="nobody", fail_silently=True).send_messages([one])
    assert isinstance(one.smtp_result.error, AccountNotFound)


@pytest_db
def test_a_disabled_account_is_not_used(accounts):
    account = SMTPAccount.objects.get(slug="billing")
    account.enabled = False
    account.save()
    with pytest.raises(AccountNotFound, match="'billing'"):
        EmailBackend(account="billing").send_messages([message()])
    assert used(accounts) == []


@pytest_db
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


@pytest_db
def test_a_secret_for_another_server_stays_shut(accounts):
    change_destination(accounts)
    messages = [message("a"), message("b")]
    with pytest.raises(SecretUnreadable) as caught:
        default_backend().send_messages(messages)
    assert f"127.0.0.1:{accounts['default'].port}" in str(caught.value)
    assert used(accounts) == []
    assert b"AUTH" not in b"".join(bytes(c.received) for c in accounts["billing"].connections)
    assert all(one.smtp_result.error is caught.value for one in messages)


@pytest_db
def test_fail_silently_hides_an_unreadable_secret(accounts):
    change_destination(accounts)
    backend = EmailBackend(fail_silently=True, ehlo_name="c.test")
    assert backend.send_messages([message()]) == 0
    assert backend.open() is None


@pytest_db
def test_a_lost_key_is_a_named_error(accounts, settings):
    settings.SMTPAUTH = {**settings.SMTPAUTH, "KEYS": [generate_key()]}
    with pytest.raises(SecretUnreadable, match="key"):
        send()
    assert used(accounts) == []


@pytest_db
@needs_legacy
def test_without_accounts_the_settings_are_used(smtp_server):  # noqa: F811
    server = smtp_server()
    one = message()
    assert one.send() == 1
    assert len(server.accepted) == 1
    assert one.smtp_result.attempts[0].rule.startswith("no account applies")


@pytest_db
def test_open_connects_to_the_default_account(accounts):
    with default_backend() as backend:
        assert backend.connection.endpoint.address[1] == accounts["default"].port
        assert send_over(backend, "a") == 1
    assert len(accounts["default"].connections) == 1


@pytest_db
def test_an_open_backend_keeps_the_connections_of_its_routes(accounts):
    with default_backend() as backend:
        for _ in range(2):
            assert backend.send_messages([message(), message(from_email="sales@example.com")]) == 2
    assert [len(accounts[slug].connections) for slug in SLUGS] == [1, 0, 1]


@pytest_db
def test_the_route_tells_the_server_and_the_rule(accounts):
    route = default_backend().route(message(from_email="sales@example.com"))
    assert route.account.slug == "sales"
    assert route.reason.startswith("account sales, 127.0.0.1")


# Secrets


def leaving(function, *arguments, **keywords):
    with pytest.raises(Exception) as caught:
        function(*arguments, **keywords)
    return caught.value


#: As LOGIN and as PLAIN send it.
ENCODED = [
    base64.b64encode(text.encode()).decode() for text in (PASSWORD, f"\0{USER}\0{PASSWORD}")
]


def test_a_leak_would_be_found():
    namespace = {"__name__": "elsewhere"}
    exec("def fail(password):\n    raise LookupError", namespace)
    assert leaks(leaving(namespace["fail"], PASSWORD)) == [PASSWORD]


def leaks(error):
    shown = shown_by_trackers(error)
    return [text for text in (PASSWORD, *ENCODED) if text in shown]


@pytest.mark.parametrize(
    "options",
    [
        {"use_tls": True, "use_ssl": True},
        {"security": "tls"},
        {"port": "x"},
        {"account": "club"},
        {"host": "no such host"},
        {"auth_mechanisms": "PLAIN"},
    ],
)
def test_a_bad_option_shows_no_password(options):
    error = leaving(EmailBackend, username=USER, password=PASSWORD, **options)
    assert isinstance(error, ValueError)
    assert leaks(error) == []


def test_a_password_of_the_wrong_type_is_not_shown():
    error = leaving(EmailBackend, username=USER, password=PASSWORD.encode())
    assert "must be text" in str(error)
    assert leaks(error) == []


@needs_legacy
@pytest.mark.parametrize(
    "bad",
    [
        {"EMAIL_USE_TLS": True, "EMAIL_USE_SSL": True},
        {"EMAIL_PORT": "x"},
        {"EMAIL_HOST_PASSWORD": PASSWORD.encode()},
        {"SMTPAUTH": {"DEFAULTS": {"colour": "red"}}},
    ],
)
def test_bad_settings_show_no_password(settings, bad):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = USER, PASSWORD
    for name, value in bad.items():
        setattr(settings, name, value)
    assert leaks(leaving(EmailBackend)) == []


@pytest.mark.parametrize("bad", [{"port": "x"}, {"colour": "red"}, {"password": b"x" * 9}])
def test_bad_defaults_show_no_password(settings, bad):
    settings.SMTPAUTH = {"DEFAULTS": {"username": USER, "password": PASSWORD, **bad}}
    assert leaks(leaving(EmailBackend)) == []


FAILURES = [
    {"AUTH": b"535 5.7.8 Wrong\r\n", "AUTH-RESPONSE": b"535 5.7.8 Wrong\r\n"},
    {"AUTH": Answer(b"", Then.CLOSE)},
    {"AUTH-RESPONSE": Answer(b"", Then.RESET), "AUTH": b"334 \r\n"},
    {"MAIL": b"550 5.7.1 No\r\n"},
    {"CONTENT": Answer(b"", Then.CLOSE)},
]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("replies", FAILURES)
def test_no_frame_of_a_failed_send_shows_the_password(scripted_server, replies, mechanism):
    server = scripted_server(users={USER: PASSWORD}, replies=replies)
    backend = backend_for(server, username=USER, password=PASSWORD, auth_mechanisms=[mechanism])
    with pytest.raises(smtplib.SMTPException) as caught:
        backend.send_messages([message()])
    assert leaks(caught.value) == []


@pytest.mark.parametrize("replies", FAILURES[:3])
def test_no_frame_of_a_failed_open_shows_the_password(scripted_server, replies):
    server = scripted_server(users={USER: PASSWORD}, replies=replies)
    with pytest.raises(smtplib.SMTPException) as caught:
        backend_for(server, username=USER, password=PASSWORD).open()
    assert leaks(caught.value) == []


@pytest_db
@pytest.mark.parametrize("replies", FAILURES)
def test_no_frame_shows_the_password_of_an_account(
    scripted_server,
    make_account,  # noqa: F811
    mail_settings,  # noqa: F811
    replies,
):
    server = scripted_server(users={USER: PASSWORD}, replies=replies)
    make_account("club", server, username=USER, password=PASSWORD, is_default=True)
    mail_settings()
    one = message()
    error = leaving(default_backend().send_messages, [one])
    assert leaks(error) == []
    assert PASSWORD not in str(one.smtp_result.to_dict())


def test_results_and_errors_show_no_password(scripted_server):
    refusal = {"AUTH": b"535 5.7.8 Wrong\r\n", "AUTH-RESPONSE": b"535 5.7.8 Wrong\r\n"}
    server = scripted_server(users={USER: PASSWORD}, replies=refusal)
    one = message()
    error = leaving(backend_for(server, username=USER, password=PASSWORD).send_messages, [one])
    assert isinstance(error, AuthenticationRefused)
    for text in (repr(one.smtp_result), one.smtp_result.dialogue(), repr(error.to_dict())):
        assert not any(secret in text for secret in (PASSWORD, *ENCODED))


def test_an_error_names_the_server_but_no_address(scripted_server):
    server = scripted_server(replies={"RCPT": b"550 5.1.1 <to@example.org> unknown\r\n"})
    error = leaving(backend_for(server).send_messages, [message()])
    assert isinstance(error, RecipientsRefused)
    assert str(error).splitlines()[0] == f"RCPT refused: 550 5.1.1 (127.0.0.1:{server.port})"
    assert "example.org" not in str(error)
