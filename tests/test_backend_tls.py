"""TLS as a site meets it: what the errors say, pins, client certificates, the system's store."""

import re
import ssl

import pytest
import trustme
from django.core.mail import send_mail

from django_smtpauth.secrets.client_certificate import ClientCertificate
from django_smtpauth.smtp import TLSError
from django_smtpauth.smtp.tls import pin_of
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    default_backend,
    mail_settings,
    message,
)
from tests.smtp.x509 import CERTIFICATE

KINDS = pytest.mark.parametrize("security", ["starttls", "implicit_tls"])


@pytest.fixture
def site(scripted_server, mail_settings, certificates):  # noqa: F811
    """A server with this certificate, and the site's settings for it."""

    def make(context, security="starttls", **options):
        implicit = security == "implicit_tls"
        server = scripted_server(ssl_context=context, implicit_tls=implicit)
        known = (
            {}
            if options.keys() & {"trust_store", "ca_file"}
            else {"ca_file": certificates.ca_file}
        )
        mail_settings(
            host="localhost", port=server.port, security=security, **{**known, **options}
        )
        return server

    return make


def failure():
    with pytest.raises(TLSError) as caught:
        send_mail("S", "B", "a@example.com", ["to@example.org"])
    return caught.value


@KINDS
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("wrong_host", r"it is for elsewhere\.example \("),
        ("expired", r"it expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC \("),
        ("self_signed", r"it is self-signed \(CN=localhost\) and not trusted here \("),
        ("other_ca", r"its issuer .*O=trustme.* is not known here, and the server sent no cert"),
    ],
)
def test_the_error_tells_what_is_wrong_with_the_certificate(
    site, certificates, security, kind, told
):
    server = site(getattr(certificates, kind)(), security)
    error = failure()
    assert error.headline.startswith("TLS failed: the certificate of localhost does not verify: i")
    assert error.failed_results[0].attempts[0].error == error.headline
    assert re.search(told, error.headline)
    assert error.certificate
    assert server.messages == []


@KINDS
def test_a_pin_is_enough_where_nothing_else_is_verified(site, certificates, security):
    context = certificates.self_signed()
    server = site(context, security, verify=False, tls_pin=pin_of(CERTIFICATE))
    error = failure()
    assert error.reason == "pin"
    pin = pin_of(error.certificate)
    assert pin in error.headline
    assert server.messages == []
    server = site(context, security, verify=False, tls_pin=[pin_of(CERTIFICATE), pin])
    assert message().send() == 1
    assert len(server.messages) == 1


@KINDS
def test_a_client_certificate_from_memory(site, certificates, monkeypatch, security):
    """With the system's authorities, which Django's own backend loses then."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    authority = trustme.CA()
    issued = authority.issue_cert("site@example.org")
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    certificate = issued.cert_chain_pems[0].bytes().decode()
    key = issued.private_key_pem.bytes().decode()
    client = ClientCertificate(certificate, lambda: key)
    server = site(context, security, ca_file=None, client_certificate=client)
    assert message().send() == 1
    seen = server.connections[0].tls.client_certificate
    assert seen == ssl.PEM_cert_to_DER_cert(certificate)
    site(certificates.other_ca(), security, ca_file=None, client_certificate=client)
    assert failure().reason == "certificate"


@KINDS
def test_the_operating_system_s_store(site, certificates, monkeypatch, security):
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    server = site(certificates.server(), security, trust_store="os")
    assert message().send() == 1
    assert len(server.messages) == 1
    for kind in ("wrong_host", "expired", "other_ca", "self_signed"):
        site(getattr(certificates, kind)(), security, trust_store="os")
        assert failure().reason == "certificate"
    server = site(certificates.expired(), security, trust_store="os", verify=False)
    assert message().send() == 1


@pytest.mark.parametrize("offered", [True, False])
def test_opportunistic(scripted_server, mail_settings, certificates, offered):  # noqa: F811
    server = scripted_server(**({"ssl_context": certificates.server()} if offered else {}))
    mail_settings(
        host="localhost",
        port=server.port,
        security="opportunistic",
        ca_file=certificates.ca_file,
    )
    one = message()
    backend = default_backend()
    assert (backend.use_tls, backend.use_ssl) == (False, False)
    assert backend.send_messages([one]) == 1
    assert (one.smtp_result.attempts[0].tls is not None) is offered


def test_opportunistic_goes_to_port_25(mail_settings):  # noqa: F811
    mail_settings(host="localhost", security="opportunistic")
    assert default_backend().port == 25
