"""Opening a session with Postfix and Dovecot: TLS, certificates, log-in."""

from __future__ import annotations

import re
import smtplib
import ssl
from pathlib import Path

import pytest
from django.test import override_settings

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.smtp import (
    AuthenticationRefused,
    NotSupported,
    RecipientsRefused,
    Security,
    SMTPError,
    Status,
    TLSError,
)
from django_smtpauth.smtp.tls import pin_of
from tests.interop.conftest import MessageFactory
from tests.interop.postfix import Postfix, comparable, own_bytes
from tests.leaks import shown_by_trackers

pytestmark = pytest.mark.interop

#: Passwords: plain, not ASCII, quoted; the last one's login has a letter that is not ASCII.
USERS = ["alice", "bob", "carol", "jürgen"]
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
PROOFS = ["CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
TLS_PORTS = ["submission", "smtps"]
POSTFIX = "Postfix 3.7 + Dovecot 2.3"


@pytest.mark.proves("SMTP", "STARTTLS", "implicit TLS", "AUTH", *MECHANISMS, by=POSTFIX)
@pytest.mark.parametrize("port", TLS_PORTS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", USERS)
def test_every_user_logs_in_and_sends(
    postfix: Postfix, new_message: MessageFactory, name: str, mechanism: str, port: str
) -> None:
    user = getattr(postfix, name)
    message = new_message("rcpt1@example.test", from_email=user.address)

    backend = postfix.backend(port, user, auth_mechanisms=[mechanism])

    assert backend.send_messages([message]) == 1
    [attempt] = message.smtp_result.attempts
    assert attempt.mechanism == mechanism
    assert attempt.tls is not None
    assert attempt.tls.version == "TLSv1.3"
    [copy] = postfix.delivered(message)["rcpt1@example.test"]
    if user.address.isascii():
        assert comparable(copy) == own_bytes(message)


@pytest.mark.parametrize("port", ["submission", "cleartext_auth"])
@pytest.mark.parametrize("mechanism", PROOFS)
@pytest.mark.parametrize("name", USERS)
def test_proofs_without_tls(
    postfix: Postfix, new_message: MessageFactory, name: str, mechanism: str, port: str
) -> None:
    user = getattr(postfix, name)
    message = new_message("rcpt1@example.test", from_email=user.address)

    options = {"security": "none", "auth_mechanisms": [mechanism]}

    assert postfix.backend(port, user, **options).send_messages([message]) == 1
    [attempt] = message.smtp_result.attempts
    assert (attempt.mechanism, attempt.tls) == (mechanism, None)
    assert len(postfix.delivered(message)["rcpt1@example.test"]) == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("name", USERS)
def test_a_password_in_clear_may_go_to_this_machine(
    postfix: Postfix, new_message: MessageFactory, name: str, mechanism: str
) -> None:
    user = getattr(postfix, name)
    message = new_message("rcpt1@example.test", from_email=user.address)

    backend = postfix.backend("cleartext_auth", user, auth_mechanisms=[mechanism])

    assert backend.send_messages([message]) == 1
    assert message.smtp_result.attempts[0].mechanism == mechanism
    assert len(postfix.delivered(message)["rcpt1@example.test"]) == 1


@pytest.mark.parametrize("port", [*TLS_PORTS, "cleartext_auth"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_login_with_comma_and_equals_sign(
    postfix: Postfix, new_message: MessageFactory, mechanism: str, port: str
) -> None:
    backend = postfix.backend(port, postfix.comma, auth_mechanisms=[mechanism])
    with postfix.connect(port, postfix.comma, auth_mechanisms=(mechanism,)) as connection:
        sent = connection.send("", ["rcpt2@example.test"], b"Subject: a report\r\n\r\n")

    assert sent.outcomes["rcpt2@example.test"].status is Status.ACCEPTED
    # A list of owners can't express a name with a comma, so this login owns no sender at all:
    # the server says so, and repeats the name as it understood it.
    with pytest.raises(RecipientsRefused, match=r"not owned by user comma,equals=user$"):
        backend.send_messages([new_message("rcpt2@example.test", from_email="dave@example.test")])


@pytest.mark.parametrize("port", [*TLS_PORTS, "cleartext_auth"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_engine_alone_logs_in(postfix: Postfix, port: str, mechanism: str) -> None:
    with postfix.connect(port, postfix.bob, auth_mechanisms=(mechanism,)) as connection:
        sent = connection.send("bob@example.test", ["rcpt2@example.test"], b"Subject: Hi\r\n\r\n")

    assert connection.mechanism == mechanism
    assert sent.outcomes["rcpt2@example.test"].status is Status.ACCEPTED
    assert postfix.bob.password not in "\n".join(e.text for e in connection.transcript(sent))


def test_the_strongest_mechanism_is_the_default(postfix: Postfix) -> None:
    with postfix.connect("submission", postfix.alice) as connection:
        assert connection.mechanism == "SCRAM-SHA-256"


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("index", [0, 1])
def test_users_whom_the_server_refuses(
    postfix: Postfix, new_message: MessageFactory, mechanism: str, index: int
) -> None:
    user = postfix.failing_users[index]
    message = new_message("rcpt1@example.test")
    backend = postfix.backend("submission", user, auth_mechanisms=[mechanism])

    with pytest.raises(AuthenticationRefused) as caught:
        backend.send_messages([message])

    error = caught.value
    assert isinstance(error, smtplib.SMTPAuthenticationError)
    assert (error.stage, error.smtp_code, error.transient) == ("AUTH", 535, False)
    assert message.smtp_result.recipients["rcpt1@example.test"].status is Status.REFUSED
    assert user.password not in shown_by_trackers(error)
    assert postfix.delivered(message) == {}


def test_a_wrong_password_is_tried_once(postfix: Postfix, new_message: MessageFactory) -> None:
    messages = [new_message("rcpt1@example.test") for _ in range(3)]
    backend = postfix.backend("submission", postfix.alice, password="not-wonderland")

    with pytest.raises(AuthenticationRefused) as caught:
        backend.send_messages(messages)

    dialogue = [event.text for event in caught.value.transcript]
    assert sum(text.startswith("535") for text in dialogue) == 1
    assert {message.smtp_result.error for message in messages} == {caught.value}
    assert len(caught.value.failed_results) == 3


def test_a_password_service_that_is_down_is_transient(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    message = new_message("rcpt1@example.test")

    with pytest.raises(AuthenticationRefused) as caught:
        postfix.backend("auth_down", postfix.alice).send_messages([message])

    assert (caught.value.stage, caught.value.smtp_code, caught.value.transient) == (
        "AUTH",
        454,
        True,
    )
    assert message.smtp_result.recipients["rcpt1@example.test"].status is Status.DEFERRED
    assert postfix.delivered(message) == {}


def test_a_log_in_where_the_server_has_none(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message("rcpt1@example.test")

    with pytest.raises(NotSupported) as caught:
        postfix.backend("starttls_noauth", postfix.alice).send_messages([message])

    assert (caught.value.stage, caught.value.reason) == ("AUTH", "no-mechanism")
    assert message.smtp_result.recipients["rcpt1@example.test"].status is Status.NOT_SENT


def test_tls_without_log_in(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message("rcpt1@example.test")

    assert postfix.backend("starttls_noauth").send_messages([message]) == 1

    [attempt] = message.smtp_result.attempts
    assert attempt.tls is not None
    assert attempt.mechanism == ""
    [copy] = postfix.delivered(message)["rcpt1@example.test"]
    assert comparable(copy) == own_bytes(message)


@pytest.mark.parametrize(
    ("port", "named"),
    [
        ("tls_expired", r"it expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC"),
        ("tls_wronghost", r"it is for [\w.-]+ \("),
        ("tls_selfsigned", r"it is self-signed \(CN=localhost.*\) and not trusted here"),
    ],
)
def test_bad_certificates_are_named(
    postfix: Postfix, new_message: MessageFactory, port: str, named: str
) -> None:
    message = new_message("rcpt1@example.test")

    with pytest.raises(TLSError) as caught:
        postfix.backend(port, postfix.alice).send_messages([message])

    error = caught.value
    assert isinstance(error, ssl.SSLError)
    assert (error.stage, error.reason, error.transient) == ("TLS", "certificate", False)
    assert re.search(f"the certificate of {postfix.host} does not verify: {named}", str(error))
    assert error.certificate
    assert "AUTH" not in {event.stage for event in error.transcript}
    assert message.smtp_result.recipients["rcpt1@example.test"].status is Status.NOT_SENT
    assert postfix.delivered(message) == {}


def test_a_bad_certificate_passes_where_verification_is_off(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    message = new_message("rcpt1@example.test")

    backend = postfix.backend("tls_expired", postfix.alice, verify=False)

    assert backend.send_messages([message]) == 1
    assert len(postfix.delivered(message)["rcpt1@example.test"]) == 1


@pytest.mark.parametrize("port", [*TLS_PORTS, "tls_expired", "tls_wronghost", "tls_selfsigned"])
def test_a_pin_in_the_place_of_verification(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    stranger = f"sha256//{'A' * 43}="
    with pytest.raises(TLSError) as caught:
        postfix.backend(port, postfix.alice, verify=False, tls_pin=stranger).open()
    assert caught.value.reason == "pin"

    assert caught.value.certificate is not None
    pin = pin_of(caught.value.certificate)
    assert pin in str(caught.value)
    backend = postfix.backend(port, postfix.alice, verify=False, tls_pin=[stranger, pin])
    assert backend.send_messages([new_message("rcpt1@example.test")]) == 1


@pytest.mark.parametrize(("port", "tls"), [("submission", True), ("plain", False)])
def test_opportunistic(
    postfix: Postfix, new_message: MessageFactory, port: str, tls: bool
) -> None:
    message = new_message("rcpt1@example.test", from_email="someone@elsewhere.example")
    user = postfix.alice if tls else None
    if user:
        message.from_email = user.address

    assert postfix.backend(port, user, security="opportunistic").send_messages([message]) == 1
    assert (message.smtp_result.attempts[0].tls is not None) is tls


def test_the_operating_system_s_store(
    postfix: Postfix, new_message: MessageFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", postfix.ca_file)
    options = {"ca_file": None, "trust_store": "os", "tls_minimum": "1.3"}
    backend = postfix.backend("submission", postfix.alice, **options)

    assert backend.send_messages([new_message("rcpt1@example.test")]) == 1


def test_without_the_ca_nothing_verifies(postfix: Postfix, new_message: MessageFactory) -> None:
    with pytest.raises(TLSError, match=r"its issuer .* is not known here|is not trusted here"):
        postfix.backend("submission", postfix.alice, ca_file=None).open()


@pytest.mark.parametrize(
    ("port", "security", "stage"),
    [
        ("submission", Security.IMPLICIT_TLS, "TLS"),
        ("plain", Security.STARTTLS, "TLS"),
    ],
)
def test_the_wrong_kind_of_tls(
    postfix: Postfix, port: str, security: Security, stage: str
) -> None:
    with pytest.raises(SMTPError) as caught:
        postfix.connect(port, security=security)

    assert caught.value.stage == stage
    assert caught.value.cure


@pytest.mark.django_db
@override_settings(SMTPAUTH={"KEYS": "derive-from-secret-key"})
def test_an_account_of_the_database(postfix: Postfix, new_message: MessageFactory) -> None:
    SMTPAccount.objects.create(
        slug="bob",
        host=postfix.host,
        internal_host=True,
        port=postfix.port("submission"),
        security="starttls",
        ca_text=Path(postfix.ca_file).read_text(),
        username=postfix.bob.login,
        password=postfix.bob.password,
    )
    message = new_message("rcpt1@example.test", from_email="bob@example.test")

    assert EmailBackend(account="bob").send_messages([message]) == 1

    [attempt] = message.smtp_result.attempts
    assert attempt.account == "bob"
    assert len(postfix.delivered(message)["rcpt1@example.test"]) == 1
