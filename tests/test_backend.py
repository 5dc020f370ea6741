"""The backend as a site meets it: its options in every form, opening, messages."""

import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.utils.translation import gettext_lazy

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import ConnectError, TLSError
from tests.backend_fixtures import (  # noqa: F401
    BACKEND,
    MAILERS_MODE,
    PASSWORD,
    USER,
    _fresh_process,
    default_backend,
    mail_settings,
    message,
    needs_mailers,
    only,
    senders,
    smtp_server,
)
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
