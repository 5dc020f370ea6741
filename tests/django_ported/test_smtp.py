"""What Django's own SMTP backend does: options and settings, opening, sending, failing."""

import smtplib
import ssl

import django
import pytest
import trustme
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import NotSupported
from tests.backend_fixtures import (
    MAILERS_MODE,
    PASSWORD,
    USER,
    backend_for,
    default_backend,
    message,
    needs_legacy,
    needs_mailers,
)

ALL_EXTENSIONS = ["PIPELINING", "8BITMIME", "SMTPUTF8"]


# Options and settings


@pytest.fixture
def site(settings):
    """A site that wrote every EMAIL_* setting that describes its server."""
    settings.EMAIL_HOST, settings.EMAIL_PORT = "mail.example.com", 822
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "site user", "site password"
    settings.EMAIL_SSL_CERTFILE, settings.EMAIL_SSL_KEYFILE = "site.pem", "site.key"
    settings.EMAIL_TIMEOUT = 10
    return settings


SETTINGS = {
    "host": "mail.example.com",
    "port": 822,
    "username": "site user",
    "password": "site password",
    "timeout": 10,
    "ssl_certfile": "site.pem",
    "ssl_keyfile": "site.key",
}
OPTIONS = {
    "host": "other.example.net",
    "port": 5322,
    "username": "own user",
    "password": "own password",
    "timeout": 15,
    "ssl_certfile": "own.pem",
    "ssl_keyfile": "own.key",
}


@needs_legacy
@pytest.mark.parametrize("option", SETTINGS)
def test_the_settings_are_used(site, option):
    assert getattr(EmailBackend(), option) == SETTINGS[option]


@needs_legacy
@pytest.mark.parametrize("option", OPTIONS)
def test_options_override_the_settings(site, option):
    backend = EmailBackend(**{option: OPTIONS[option]})
    assert getattr(backend, option) == OPTIONS[option]
    for other in SETTINGS.keys() - {option}:
        assert getattr(backend, other) == SETTINGS[other]


@needs_legacy
def test_empty_credentials_switch_log_in_off(site):
    backend = EmailBackend(username="", password="")
    assert (backend.username, backend.password) == ("", "")
    assert backend.route().endpoint.credentials is None


@needs_legacy
@pytest.mark.parametrize(
    ("setting", "option"), [("EMAIL_USE_TLS", "use_tls"), ("EMAIL_USE_SSL", "use_ssl")]
)
def test_tls_by_settings_can_be_switched_off_by_options(settings, setting, option):
    setattr(settings, setting, True)
    assert getattr(EmailBackend(), option) is True
    assert getattr(EmailBackend(**{option: False}), option) is False


def test_defaults():
    backend = EmailBackend()
    assert (backend.use_tls, backend.use_ssl) == (False, False)
    assert (backend.ssl_certfile, backend.ssl_keyfile, backend.timeout) == (None, None, None)
    assert backend.port == 25
    assert backend.host == (None if MAILERS_MODE else "localhost")


@pytest.mark.parametrize("alias", [None, "bulk"])
def test_both_kinds_of_tls_are_an_error(alias):
    if alias and django.VERSION < (6, 1):
        pytest.skip("aliases came with 6.1")
    with pytest.raises(ImproperlyConfigured) as caught:
        EmailBackend(host="h.example", use_tls=True, use_ssl=True, **alias_keyword(alias))
    if alias is None:
        assert isinstance(caught.value, ValueError)
        assert "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive" in str(caught.value)
    else:
        assert "MAILERS['bulk']: The 'use_ssl' and 'use_tls' OPTIONS" in str(caught.value)


def alias_keyword(alias):
    return {} if alias is None else {"alias": alias}


@needs_legacy
def test_both_kinds_of_tls_in_the_settings_are_an_error(settings):
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = True
    with pytest.raises(ValueError, match="mutually exclusive"):
        EmailBackend()


@pytest.mark.parametrize(
    ("options", "by_kind"), [({}, 25), ({"use_ssl": True}, 465), ({"use_tls": True}, 587)]
)
def test_the_port_goes_with_the_kind_of_tls(options, by_kind):
    port = EmailBackend(host="smtp.example.com", **options).port
    if MAILERS_MODE:
        assert port == by_kind
    else:
        # EMAIL_PORT says 25 whatever EMAIL_USE_TLS says. With implicit TLS that never worked.
        assert port == (465 if "use_ssl" in options else 25)


@needs_mailers
def test_a_mailer_has_its_options_and_nothing_else():
    backend = EmailBackend(alias="bulk", host="local.example")
    assert (backend.host, backend.port) == ("local.example", 25)
    assert (backend.username, backend.password) == (None, None)
    assert (backend.use_tls, backend.use_ssl) == (False, False)
    assert (backend.ssl_certfile, backend.ssl_keyfile) == (None, None)


@needs_mailers
@pytest.mark.django_db
def test_a_mailer_without_host_or_account_is_an_error_when_it_sends():
    with pytest.raises(ImproperlyConfigured, match=r"MAILERS\['bulk'\]: There is no server"):
        EmailBackend(alias="bulk").send_messages([message()])


def test_the_client_certificate_is_shown(scripted_server, certificates, tmp_path):
    authority = trustme.CA()
    identity = authority.issue_cert("client.test")
    identity.private_key_pem.write_to_path(tmp_path / "key.pem")
    identity.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = scripted_server(ssl_context=context, implicit_tls=True)
    backend = backend_for(
        server,
        use_ssl=True,
        ca_file=certificates.ca_file,
        ssl_certfile=str(tmp_path / "certificate.pem"),
        ssl_keyfile=str(tmp_path / "key.pem"),
    )
    assert backend.send_messages([message()]) == 1
    shown = server.connections[0].tls.client_certificate
    assert shown == ssl.PEM_cert_to_DER_cert(identity.cert_chain_pems[0].bytes().decode())


# Opening


def test_open_tells_whether_it_opened(server):
    backend = backend_for(server)
    assert backend.connection is None
    assert backend.open() is True
    assert backend.connection is not None
    assert backend.open() is False
    backend.close()
    assert backend.connection is None
    server.settle(1)
    assert len(server.connections) == 1


def test_host_and_port_are_where_it_connects(server):
    with backend_for(server) as backend:
        assert backend.connection.endpoint.address == (server.host, server.port)
    assert len(server.connections) == 1


def test_credentials_are_used(scripted_server):
    server = scripted_server(users={USER: PASSWORD})
    with backend_for(server, username=USER, password=PASSWORD):
        pass
    assert server.connections[0].authenticated


def test_credentials_without_auth_at_the_server_are_an_error(server):
    backend = backend_for(server, username=USER, password=PASSWORD)
    with pytest.raises(smtplib.SMTPException, match="AUTH"):
        backend.open()
    assert backend.connection is None


def test_a_failed_open_leaves_nothing_open(server):
    backend = backend_for(server, username=USER, password=PASSWORD)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPException):
            backend.open()
        assert backend.connection is None
    server.settle(2)
    assert [one.ended for one in server.connections] == ["client", "client"]


def test_starttls_is_demanded(server):
    backend = backend_for(server, use_tls=True)
    with pytest.raises(smtplib.SMTPException, match="STARTTLS"):
        backend.open()
    assert backend.connection is None
    assert b"STARTTLS" not in server.connections[0].received


def test_implicit_tls_is_begun(server):
    backend = backend_for(server, use_ssl=True)
    with pytest.raises(ssl.SSLError):
        backend.open()
    assert backend.connection is None


def test_the_timeout_reaches_the_connection(server):
    with backend_for(server, timeout=10) as backend:
        timeouts = backend.connection.endpoint.timeouts
        assert (timeouts.dial, timeouts.reply, timeouts.verdict) == (10, 10, 10)


def test_a_subclass_may_set_the_timeout(server):
    class Patient(EmailBackend):
        def __init__(self, *args, **kwargs):
            kwargs.setdefault("timeout", 42)
            super().__init__(*args, **kwargs)

    with Patient(host=server.host, port=server.port, ehlo_name="client.test") as backend:
        assert backend.timeout == 42
        assert backend.connection.endpoint.timeouts.reply == 42


# Sending


def test_the_wire_has_crlf_only(server):
    assert default_backend().send_messages([message(body="One\nTwo\r\nThree\rFour\n")]) == 1
    wire = server.accepted[0].wire.replace(b"\r\n", b"")
    assert b"\r" not in wire
    assert b"\n" not in wire


def test_fail_silently_without_server_sends_nothing(scripted_server):
    server = scripted_server()
    server.close()
    backend = backend_for(server, fail_silently=True)
    assert backend.send_messages([message()]) == 0


@pytest.mark.parametrize("series", [list, tuple, lambda: iter(())])
def test_an_empty_batch_opens_nothing(server, series):
    assert default_backend().send_messages(series()) == 0
    assert server.connections == []


def test_a_message_without_recipients_is_not_sent(server):
    email = EmailMessage("Subject", "Content", "from@example.com", to=[])
    assert default_backend().send_messages([email]) == 0
    assert server.connections == []


@pytest.mark.parametrize(
    "address",
    [
        "to@other.example@example.org",
        "to@other.example <to@example.org>",
        "to@example.org, other@example.org",
        "@",
        "to@",
        "@example.org",
        '"evil@example.org\r\nto"@example.org',
        "to\nevil@example.org",
    ],
)
def test_what_is_no_address_does_not_reach_a_command(server, address):
    with pytest.raises(ValueError, match="address"):
        default_backend().send_messages([message(bcc=[address])])
    assert server.connections == []


def test_the_envelope_has_a_labels_of_its_own(server):
    email = EmailMessage(
        from_email="list@grüße.example",
        to=["To <to@日本.example>"],
        bcc=["watch@grüße.example"],
        headers={"From": "List <list@bücher.example>", "To": "All <all@bücher.example>"},
    )
    default_backend().send_messages([email])
    (received,) = server.accepted
    assert received.sender == "list@xn--gre-6ka8l.example"
    assert received.recipients == ["to@xn--wgv71a.example", "watch@xn--gre-6ka8l.example"]


def test_a_labels_are_not_written_anew(server):
    email = EmailMessage(
        from_email='"βόλος" <from@xn--fa-hia.example>',
        to=['"faß" <to@xn--10cl1a0b660p.example>'],
        cc=['"x" <cc@xn--nxasmm1c.example>'],
        bcc=['"y" <bcc@xn--mgba3gch31f060k.example>'],
    )
    default_backend().send_messages([email])
    (received,) = server.accepted
    assert received.sender == "from@xn--fa-hia.example"
    assert received.recipients == [
        "to@xn--10cl1a0b660p.example",
        "cc@xn--nxasmm1c.example",
        "bcc@xn--mgba3gch31f060k.example",
    ]


def test_a_local_part_beyond_ascii_needs_a_server_that_takes_it(smtp_server):
    able = smtp_server(extensions=ALL_EXTENSIONS)
    assert default_backend().send_messages([message(to=["nø@bücher.example"])]) == 1
    assert able.accepted[0].recipients == ["nø@xn--bcher-kva.example"]
    assert b"SMTPUTF8" in able.accepted[0].sender_line
    unable = smtp_server(extensions=ALL_EXTENSIONS[:-1])
    with pytest.raises(NotSupported, match="SMTPUTF8"):
        default_backend().send_messages([message(to=["nø@bücher.example"])])
    assert unable.messages == []


# A server that is not there


@pytest.fixture
def stopped(scripted_server):
    server = scripted_server()
    server.close()
    return server


def test_closing_without_server_is_quiet(stopped):
    backend_for(stopped).close()


def test_fail_silently_hides_a_connection_error(stopped):
    backend = backend_for(stopped)
    with pytest.raises(ConnectionError):
        backend.open()
    assert backend.connection is None
    backend.fail_silently = True
    assert backend.open() is None
    assert backend.connection is None
