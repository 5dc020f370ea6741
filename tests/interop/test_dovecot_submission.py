"""Dovecot's submission service, a proxy: what is sent to it must reach Exim behind it, once."""

from __future__ import annotations

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.smtp import AuthenticationRefused, RecipientsRefused, Status
from tests.interop.conftest import MessageFactory
from tests.interop.dovecot import Dovecot, as_sent
from tests.interop.exim import Exim
from tests.interop.messages import BODIES, rich
from tests.interop.postfix import comparable, own_bytes

pytestmark = pytest.mark.interop

RCPT = "rcpt3@example.test"
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]


def arrived(exim: Exim, message: EmailMessage) -> dict[str, list[bytes]]:
    """What Exim stored, without the line that Dovecot put in front."""
    delivered = exim.delivered(message)
    return {address: [as_sent(copy) for copy in copies] for address, copies in delivered.items()}


@pytest.mark.proves("STARTTLS", "implicit TLS", "AUTH", *MECHANISMS, by="Dovecot 2.3")
@pytest.mark.parametrize("port", ["submission", "implicit"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_every_user_logs_in_and_sends(
    dovecot: Dovecot,
    exim: Exim,
    new_message: MessageFactory,
    name: str,
    mechanism: str,
    port: str,
) -> None:
    message = new_message(RCPT)
    backend = dovecot.backend(port, getattr(dovecot, name), auth_mechanisms=[mechanism])

    assert backend.send_messages([message]) == 1

    assert message.smtp_result.attempts[0].mechanism == mechanism
    assert arrived(exim, message) == {RCPT: [own_bytes(message)]}


def test_a_wrong_password(dovecot: Dovecot, new_message: MessageFactory) -> None:
    message = new_message(RCPT)

    with pytest.raises(AuthenticationRefused) as caught:
        dovecot.backend("submission", dovecot.alice, password="no").send_messages([message])

    assert (caught.value.smtp_code, caught.value.reply.status) == (535, "535 5.7.8")
    assert message.smtp_result.recipients[RCPT].status is Status.REFUSED


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies(dovecot: Dovecot, exim: Exim, new_message: MessageFactory, body: str) -> None:
    message = new_message(RCPT, body)

    assert dovecot.backend("submission", dovecot.alice).send_messages([message]) == 1

    assert arrived(exim, message) == {RCPT: [own_bytes(message)]}


def test_alternative_and_attachments(
    dovecot: Dovecot, exim: Exim, new_message: MessageFactory
) -> None:
    message = rich(new_message, RCPT)

    assert dovecot.backend("submission", dovecot.alice).send_messages([message]) == 1

    [copy] = arrived(exim, message)[RCPT]
    assert comparable(copy) == own_bytes(message)


def test_a_stream_of_messages(dovecot: Dovecot, exim: Exim, new_message: MessageFactory) -> None:
    """A MAIL that comes with the end of a message kills this server, unless RSET goes first."""
    messages = [new_message(f"rcpt{n}@example.test", f"Number {n}\n") for n in range(20)]

    with dovecot.backend("submission", dovecot.alice) as backend:
        connection = backend.connection
        assert backend.send_messages(messages) == 20
        assert backend.connection is connection

    for number, message in enumerate(messages):
        assert arrived(exim, message) == {f"rcpt{number}@example.test": [own_bytes(message)]}


def test_recipients_that_the_server_behind_refuses(
    dovecot: Dovecot, exim: Exim, new_message: MessageFactory
) -> None:
    partly = new_message([RCPT, "nobody@example.test", "tempfail@example.test"])
    wholly, after = new_message("nobody@example.test"), new_message(RCPT)

    with pytest.raises(RecipientsRefused):
        dovecot.backend("submission", dovecot.alice).send_messages([partly, wholly, after])

    outcomes = {a: o.status for a, o in partly.smtp_result.recipients.items()}
    assert outcomes == {
        RCPT: Status.ACCEPTED,
        "nobody@example.test": Status.REFUSED,
        "tempfail@example.test": Status.DEFERRED,
    }
    assert [len(exim.delivered(m)) for m in (partly, wholly, after)] == [1, 0, 1]
