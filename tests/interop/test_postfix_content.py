"""What Postfix stores is what Django rendered, octet by octet, once for each recipient."""

from __future__ import annotations

import select
from email import message_from_bytes, policy

import pytest
from django.test import override_settings

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import NotSupported, Status
from tests.interop.conftest import MessageFactory
from tests.interop.messages import BODIES, meaning, rich
from tests.interop.postfix import Postfix, comparable, own_bytes

pytestmark = pytest.mark.interop

RCPT = "rcpt3@example.test"
POSTFIX = "Postfix 3.7"


@pytest.fixture(params=["submission", "smtps", "plain", "no_chunking"])
def backend(postfix: Postfix, request: pytest.FixtureRequest) -> EmailBackend:
    user = None if request.param == "plain" else postfix.alice
    return postfix.backend(request.param, user)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies(
    postfix: Postfix, new_message: MessageFactory, backend: EmailBackend, body: str
) -> None:
    message = new_message(RCPT, body)

    assert backend.send_messages([message]) == 1

    [copy] = postfix.delivered(message)[RCPT]
    assert copy == own_bytes(message)


@pytest.mark.proves("8BITMIME", "PIPELINING", by=POSTFIX)
def test_the_envelope_leaves_in_one_write_and_declares_8_bit(postfix: Postfix) -> None:
    content = "Subject: Grüße\r\n\r\nGrüße\r\n".encode()
    with postfix.connect("submission", postfix.alice) as connection:
        sent = connection.send("alice@example.test", [RCPT], content)

    said = [(event.direction, event.text.split(" ")[0]) for event in sent.events]
    assert said[:4] == [("C", "MAIL"), ("C", "RCPT"), ("C", "DATA"), ("S", "250")]
    assert "BODY=8BITMIME" in sent.events[0].text
    assert sent.outcomes[RCPT].status is Status.ACCEPTED


def test_alternative_and_attachments(
    postfix: Postfix, new_message: MessageFactory, backend: EmailBackend
) -> None:
    message = rich(new_message, RCPT)

    assert backend.send_messages([message]) == 1

    [copy] = postfix.delivered(message)[RCPT]
    assert comparable(copy) == own_bytes(message)


def test_the_whole_way_from_the_settings(postfix: Postfix, new_message: MessageFactory) -> None:
    message = rich(new_message, RCPT)
    server = {
        "host": postfix.host,
        "port": postfix.port("submission"),
        "username": postfix.alice.login,
        "password": postfix.alice.password,
        "security": "starttls",
        "ca_file": postfix.ca_file,
    }
    with override_settings(
        SMTPAUTH={"DEFAULTS": server}, EMAIL_BACKEND="django_smtpauth.backends.EmailBackend"
    ):
        assert message.send() == 1

    [copy] = postfix.delivered(message)[RCPT]
    assert comparable(copy) == own_bytes(message)


def test_without_8bitmime_the_same_text_goes_in_7_bit(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    message = rich(new_message, RCPT)

    assert postfix.backend("bare").send_messages([message]) == 1

    [copy] = postfix.delivered(message)[RCPT]
    assert copy.isascii()
    assert meaning(copy) == meaning(own_bytes(message))


@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if body.isascii()])
def test_what_is_7_bit_already_stays_as_it_is(
    postfix: Postfix, new_message: MessageFactory, name: str
) -> None:
    message = new_message(RCPT, BODIES[name])

    assert postfix.backend("bare").send_messages([message]) == 1

    [copy] = postfix.delivered(message)[RCPT]
    assert copy == own_bytes(message)


@pytest.mark.proves("SMTPUTF8", by=POSTFIX)
def test_local_parts_that_are_not_ascii(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message(["Jürgen <jürgen@example.test>", RCPT], from_email="jürgen@example.test")

    assert postfix.backend("submission", postfix.jürgen).send_messages([message]) == 1

    delivered = postfix.delivered(message)
    [copy] = delivered["jürgen@example.test"]
    assert delivered[RCPT] == [copy]
    parsed = message_from_bytes(copy, policy=policy.SMTPUTF8)
    assert parsed["From"] == "jürgen@example.test"
    assert parsed["To"] == f"Jürgen <jürgen@example.test>, {RCPT}"
    assert copy.partition(b"\n\n")[2] == own_bytes(message).partition(b"\n\n")[2]


@pytest.mark.parametrize("port", ["bare", "no_chunking"])
def test_without_smtputf8_the_message_is_refused_here(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    user = postfix.alice if port == "no_chunking" else None
    impossible, possible = new_message("jürgen@example.test"), new_message(RCPT)

    with pytest.raises(NotSupported) as caught:
        postfix.backend(port, user).send_messages([impossible, possible])

    assert (caught.value.stage, caught.value.reason) == ("MAIL", "smtputf8")
    assert "jürgen@example.test" in caught.value.cure
    assert impossible.smtp_result.accepted == []
    assert len(postfix.delivered(possible)[RCPT]) == 1
    assert postfix.delivered(impossible) == {}


def test_bcc_gets_the_message_and_stays_unknown(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    message = new_message(RCPT, bcc=["rcpt4@example.test"], cc=["rcpt5@example.test"])

    assert postfix.backend("submission", postfix.alice).send_messages([message]) == 1

    delivered = postfix.delivered(message)
    assert {address: len(copies) for address, copies in delivered.items()} == {
        RCPT: 1,
        "rcpt4@example.test": 1,
        "rcpt5@example.test": 1,
    }
    assert all(b"rcpt4" not in copy for [copy] in delivered.values())


@pytest.mark.parametrize("port", ["submission", "plain", "no_chunking", "bare"])
def test_a_hundred_messages_on_one_connection(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    user = postfix.alice if postfix.description["ports"][port]["mechanisms_after_tls"] else None
    messages = [new_message(f"rcpt{n}@example.test", f"Number {n}\n.\n") for n in range(100)]

    with postfix.backend(port, user) as backend:
        connection = backend.connection
        assert backend.send_messages(messages) == 100
        assert backend.connection is connection

    assert len({message.smtp_result.queue_id for message in messages}) == 100
    for number, message in enumerate(messages):
        [copy] = postfix.delivered(message)[f"rcpt{number}@example.test"]
        assert copy == own_bytes(message)


def test_a_thousand_recipients(postfix: Postfix, new_message: MessageFactory) -> None:
    addresses = [f"rcpt{n}@example.test" for n in range(1_000)]
    message = new_message(RCPT, bcc=[a for a in addresses if a != RCPT])

    assert postfix.backend("submission", postfix.alice).send_messages([message]) == 1

    assert set(message.smtp_result.accepted) == set(addresses)
    delivered = postfix.delivered(message)
    assert {address: len(copies) for address, copies in delivered.items()} == dict.fromkeys(
        addresses, 1
    )


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    messages = [new_message(RCPT) for _ in range(3)]
    with postfix.backend("idle") as backend:
        assert backend.send_messages(messages[:1]) == 1
        first = backend.connection
        assert first is not None
        # Readable: the 421 that Postfix sends after three seconds of silence.
        assert select.select([first._channel], [], [], 20)[0]

        assert backend.send_messages(messages[1:]) == 2

        assert backend.connection is not first
    assert all(len(postfix.delivered(message)[RCPT]) == 1 for message in messages)
