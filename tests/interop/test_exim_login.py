"""Opening a session with Exim: GnuTLS on the other side, Cyrus SASL behind SCRAM."""

from __future__ import annotations

import smtplib

import pytest

from django_smtpauth.smtp import (
    AuthenticationRefused,
    NotSupported,
    Security,
    SMTPError,
    Status,
    TLSError,
)
from tests.interop.conftest import MessageFactory
from tests.interop.exim import Exim
from tests.interop.postfix import own_bytes
from tests.leaks import shown_by_trackers

pytestmark = pytest.mark.interop

RCPT = "rcpt1@example.test"
USERS = ["alice", "bob", "carol", "jürgen"]
PROOFS = ["CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]
TLS_PORTS = ["starttls", "implicit"]
EXIM = "Exim 4.96"


@pytest.mark.proves("SMTP", "STARTTLS", "implicit TLS", "AUTH", *MECHANISMS, by=EXIM)
@pytest.mark.parametrize("port", TLS_PORTS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", USERS)
def test_every_user_logs_in_and_sends(
    exim: Exim, new_message: MessageFactory, name: str, mechanism: str, port: str
) -> None:
    user = getattr(exim, name)
    message = new_message(RCPT)

    assert exim.backend(port, user, auth_mechanisms=[mechanism]).send_messages([message]) == 1

    [attempt] = message.smtp_result.attempts
    assert (attempt.mechanism, attempt.tls.version) == (mechanism, "TLSv1.3")
    [copy] = exim.delivered(message)[RCPT]
    assert copy == own_bytes(message)
    [reception] = exim.receptions(message.smtp_result.message_id)
    authenticator, _, login = reception.fields["A"].partition(":")
    assert reception.fields["P"] == "esmtpsa"
    assert authenticator == mechanism.lower().replace("-", "_")
    # Cyrus SASL completes the name with its realm.
    assert login.removesuffix("@example.test") == user.login.removesuffix("@example.test")


@pytest.mark.parametrize("mechanism", PROOFS)
def test_proofs_without_tls(exim: Exim, new_message: MessageFactory, mechanism: str) -> None:
    message = new_message(RCPT)
    options = {"security": "none", "auth_mechanisms": [mechanism]}

    assert exim.backend("starttls", exim.bob, **options).send_messages([message]) == 1

    [reception] = exim.receptions(message.smtp_result.message_id)
    assert reception.fields["P"] == "esmtpa"


def test_a_password_in_clear_is_not_offered_before_tls(exim: Exim) -> None:
    with pytest.raises(NotSupported) as caught:
        exim.connect("starttls", exim.alice, security=Security.NONE, auth_mechanisms=("PLAIN",))

    assert (caught.value.stage, caught.value.reason) == ("AUTH", "no-mechanism")


def test_the_strongest_mechanism_is_the_default(exim: Exim) -> None:
    with exim.connect("starttls", exim.alice) as connection:
        assert connection.mechanism == "SCRAM-SHA-512"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password(exim: Exim, new_message: MessageFactory, mechanism: str) -> None:
    message = new_message(RCPT)
    backend = exim.backend(
        "starttls", exim.alice, password="not-wonderland", auth_mechanisms=[mechanism]
    )

    with pytest.raises(AuthenticationRefused) as caught:
        backend.send_messages([message])

    error = caught.value
    assert isinstance(error, smtplib.SMTPAuthenticationError)
    assert (error.stage, error.smtp_code, error.transient) == ("AUTH", 535, False)
    assert message.smtp_result.recipients[RCPT].status is Status.REFUSED
    assert "not-wonderland" not in shown_by_trackers(error)
    assert exim.delivered(message) == {}


def test_a_login_where_the_server_has_none(exim: Exim, new_message: MessageFactory) -> None:
    message = new_message(RCPT)

    with pytest.raises(NotSupported):
        exim.backend("plain", exim.alice).send_messages([message])

    assert message.smtp_result.recipients[RCPT].status is Status.NOT_SENT


@pytest.mark.parametrize("port", TLS_PORTS)
def test_a_client_certificate_is_shown(exim: Exim, new_message: MessageFactory, port: str) -> None:
    certificate, key = exim.certificate
    message = new_message(RCPT)
    backend = exim.backend(port, ssl_certfile=str(certificate), ssl_keyfile=str(key))

    assert backend.send_messages([message]) == 1

    [reception] = exim.receptions(message.smtp_result.message_id)
    assert reception.fields["CV"] == "yes"
    assert "EXTERNAL" in exim.announced(port, exim.certificate)["AUTH"].split()
    assert "EXTERNAL" not in exim.announced(port)["AUTH"].split()


def test_without_the_ca_nothing_verifies(exim: Exim) -> None:
    with pytest.raises(TLSError) as caught:
        exim.backend("starttls", ca_file=None).open()

    assert (caught.value.stage, caught.value.reason) == ("TLS", "certificate")


@pytest.mark.parametrize(
    ("port", "security"),
    [
        ("starttls", Security.IMPLICIT_TLS),
        ("plain", Security.STARTTLS),
        ("plain", Security.IMPLICIT_TLS),
    ],
)
def test_the_wrong_kind_of_tls(exim: Exim, port: str, security: Security) -> None:
    with pytest.raises(SMTPError) as caught:
        exim.connect(port, security=security)

    assert caught.value.stage == "TLS"
    assert caught.value.cure
