"""Nodemailer's smtp-server, a server on quite another platform, through our backend."""

from __future__ import annotations

import pytest

from django_smtpauth.sending.options import DSN, MessageOptions, RecipientOptions
from django_smtpauth.smtp import (
    AuthenticationRefused,
    ContentRefused,
    Disconnected,
    NotSupported,
    RecipientsRefused,
    SenderRefused,
    Status,
)
from tests.interop.conftest import MessageFactory
from tests.interop.messages import BODIES
from tests.interop.nodemailer import Nodemailer
from tests.interop.postfix import own_bytes

pytestmark = pytest.mark.interop

RCPT = "rcpt3@example.test"
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5"]
SMTP_SERVER = "smtp-server 3.21"


@pytest.mark.proves("SMTP", "STARTTLS", "implicit TLS", "AUTH", *MECHANISMS, by=SMTP_SERVER)
@pytest.mark.parametrize("port", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_every_user_logs_in_and_sends(
    nodemailer: Nodemailer, new_message: MessageFactory, name: str, mechanism: str, port: str
) -> None:
    user = getattr(nodemailer, name)
    message = new_message(RCPT)

    backend = nodemailer.backend(port, user, auth_mechanisms=[mechanism])

    assert backend.send_messages([message]) == 1
    [received] = nodemailer.received(message.smtp_result.message_id)
    assert (received.user, received.protocol) == (user.login, "ESMTPSA")
    assert received.content.replace(b"\r\n", b"\n") == own_bytes(message)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password(
    nodemailer: Nodemailer, new_message: MessageFactory, mechanism: str
) -> None:
    backend = nodemailer.backend(
        "starttls", nodemailer.alice, password="no", auth_mechanisms=[mechanism]
    )

    with pytest.raises(AuthenticationRefused) as caught:
        backend.send_messages([new_message(RCPT)])

    assert caught.value.smtp_code == 535


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies(nodemailer: Nodemailer, new_message: MessageFactory, body: str) -> None:
    message = new_message(RCPT, body)

    assert nodemailer.backend("plain").send_messages([message]) == 1

    [received] = nodemailer.received(message.smtp_result.message_id)
    assert received.content.replace(b"\r\n", b"\n") == own_bytes(message)


def test_a_hundred_messages_on_one_connection(
    nodemailer: Nodemailer, new_message: MessageFactory
) -> None:
    messages = [new_message(f"rcpt{n}@example.test", f"Number {n}\n.\n") for n in range(100)]

    with nodemailer.backend("starttls") as backend:
        connection = backend.connection
        assert backend.send_messages(messages) == 100
        assert backend.connection is connection

    for number, message in enumerate(messages):
        [received] = nodemailer.received(message.smtp_result.message_id)
        assert received.recipients == [f"rcpt{number}@example.test"]
        assert received.content.replace(b"\r\n", b"\n") == own_bytes(message)


def test_refusals_in_a_stream(nodemailer: Nodemailer, new_message: MessageFactory) -> None:
    good = [new_message(RCPT) for _ in range(5)]
    sender = new_message(RCPT, from_email="refused-sender@example.test")
    partly = new_message([RCPT, "nobody@example.test", "tempfail@example.test"])
    wholly, content = new_message("nobody@example.test"), new_message("eodtemp@example.test")
    stream = [good[0], sender, good[1], partly, good[2], wholly, good[3], content, good[4]]

    with pytest.raises(SenderRefused):
        nodemailer.backend("starttls", nodemailer.alice).send_messages(stream)

    assert [type(m.smtp_result.error) for m in stream] == [
        *(type(None), SenderRefused, type(None), type(None), type(None)),
        *(RecipientsRefused, type(None), ContentRefused, type(None)),
    ]
    assert [o.status for o in partly.smtp_result.recipients.values()] == [
        Status.ACCEPTED,
        Status.REFUSED,
        Status.DEFERRED,
    ]
    for message in [*good, partly]:
        [received] = nodemailer.received(message.smtp_result.message_id)
        assert received.accepted
        assert received.recipients == [RCPT]
    assert nodemailer.received(wholly.smtp_result.message_id) == []


def test_more_than_the_server_takes(nodemailer: Nodemailer, new_message: MessageFactory) -> None:
    large, small = new_message(RCPT, "x" * 70 + "\n" * 1_200_000), new_message(RCPT)

    with nodemailer.backend("plain") as backend:
        assert backend.connection is not None
        # What the server said is forgotten, so that the engine does not see the limit.
        object.__setattr__(backend.connection.extensions, "size", None)
        with pytest.raises((SenderRefused, ContentRefused, Disconnected)) as caught:
            backend.send_messages([large, small])

    assert caught.value.reply.code == 552
    assert len(nodemailer.received(small.smtp_result.message_id)) == 1


@pytest.mark.proves("XOAUTH2", by=SMTP_SERVER)
@pytest.mark.parametrize("port", ["starttls", "implicit"])
def test_a_token_logs_in(nodemailer: Nodemailer, new_message: MessageFactory, port: str) -> None:
    message = new_message(RCPT)
    token = nodemailer.token(nodemailer.bob)
    options = {"username": nodemailer.bob.login, "password": None, "access_token": token}

    assert nodemailer.backend(port, **options).send_messages([message]) == 1

    assert message.smtp_result.attempts[0].mechanism == "XOAUTH2"
    [received] = nodemailer.received(message.smtp_result.message_id)
    assert received.user == nodemailer.bob.login


def test_a_wrong_token(nodemailer: Nodemailer, new_message: MessageFactory) -> None:
    options = {"username": "bob", "password": None, "access_token": "another-token"}

    with pytest.raises(AuthenticationRefused) as caught:
        nodemailer.backend("starttls", **options).send_messages([new_message(RCPT)])

    assert caught.value.smtp_code == 535
    assert "the server does not take the token" in str(caught.value)


@pytest.mark.proves("REQUIRETLS", by=SMTP_SERVER)
@pytest.mark.parametrize("port", ["starttls", "implicit"])
def test_tls_all_the_way(nodemailer: Nodemailer, new_message: MessageFactory, port: str) -> None:
    message = new_message(RCPT)

    assert nodemailer.backend(port, require_tls=True).send_messages([message]) == 1

    [received] = nodemailer.received(message.smtp_result.message_id)
    assert received.parameters["requireTLS"] is True


@pytest.mark.parametrize("options", [{"verify": False}, {"security": "none"}])
def test_tls_all_the_way_begins_here(
    nodemailer: Nodemailer, new_message: MessageFactory, options: dict[str, object]
) -> None:
    message = new_message(RCPT)

    with pytest.raises(NotSupported):
        nodemailer.backend("starttls", require_tls=True, **options).send_messages([message])

    assert nodemailer.received(message.smtp_result.message_id) == []


@pytest.mark.proves("DSN", by=SMTP_SERVER)
def test_reports_are_asked_for(nodemailer: Nodemailer, new_message: MessageFactory) -> None:
    message = new_message([RCPT, "rcpt4@example.test"])
    message.smtp_options = MessageOptions(  # type: ignore[attr-defined]
        dsn=DSN(notify=("SUCCESS", "DELAY"), ret="FULL", envid="a b"),
        recipient_options={RCPT: RecipientOptions(notify=("NEVER",))},
    )

    assert nodemailer.backend("starttls").send_messages([message]) == 1

    [received] = nodemailer.received(message.smtp_result.message_id)
    assert received.parameters["dsn"] == {"ret": "FULL", "envid": "a b"}
    assert received.notify[RCPT]["notify"] == ["NEVER"]
    assert received.notify["rcpt4@example.test"]["notify"] == ["SUCCESS", "DELAY"]
