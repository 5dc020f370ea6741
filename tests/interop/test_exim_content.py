"""What Exim stores is what Django rendered, octet by octet, once for each recipient."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import NotSupported, Status
from tests.interop.conftest import MessageFactory
from tests.interop.exim import Exim
from tests.interop.messages import BODIES, meaning, rich
from tests.interop.postfix import comparable, own_bytes

pytestmark = pytest.mark.interop

RCPT = "rcpt3@example.test"


@pytest.fixture(params=["starttls", "implicit", "plain"])
def backend(exim: Exim, request: pytest.FixtureRequest) -> EmailBackend:
    return exim.backend(request.param, None if request.param == "plain" else exim.alice)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies(exim: Exim, new_message: MessageFactory, backend: EmailBackend, body: str) -> None:
    message = new_message(RCPT, body)

    assert backend.send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert copy == own_bytes(message)


def test_alternative_and_attachments(
    exim: Exim, new_message: MessageFactory, backend: EmailBackend
) -> None:
    message = rich(new_message, RCPT)

    assert backend.send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert comparable(copy) == own_bytes(message)
    [reception] = exim.receptions(message.smtp_result.message_id)
    assert reception.fields["M8S"] == "8"
    assert reception.pipelining


def test_without_8bitmime_the_same_text_goes_in_7_bit(
    exim: Exim, new_message: MessageFactory
) -> None:
    message = rich(new_message, RCPT)

    assert exim.backend("bare").send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert copy.isascii()
    assert meaning(copy) == meaning(own_bytes(message))
    [reception] = exim.receptions(message.smtp_result.message_id)
    assert not reception.pipelining


@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if body.isascii()])
def test_what_is_7_bit_already_stays_as_it_is(
    exim: Exim, new_message: MessageFactory, name: str
) -> None:
    message = new_message(RCPT, BODIES[name])

    assert exim.backend("bare").send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert copy == own_bytes(message)


@pytest.mark.proves("SMTPUTF8", by="Exim 4.96")
def test_local_parts_that_are_not_ascii(exim: Exim, new_message: MessageFactory) -> None:
    message = new_message(["Jürgen <jürgen@example.test>", RCPT], from_email="jürgen@example.test")

    assert exim.backend("starttls", exim.jürgen).send_messages([message]) == 1

    delivered = exim.delivered(message)
    [copy] = delivered["jürgen@example.test"]
    assert delivered[RCPT] == [copy]
    parsed = message_from_bytes(copy, policy=policy.SMTPUTF8)
    assert parsed["To"] == f"Jürgen <jürgen@example.test>, {RCPT}"
    assert exim.receptions(message.smtp_result.message_id)[0].fields["P"] == "utf8esmtpsa"


def test_without_smtputf8_the_message_is_refused_here(
    exim: Exim, new_message: MessageFactory
) -> None:
    impossible, possible = new_message("jürgen@example.test"), new_message(RCPT)

    with pytest.raises(NotSupported) as caught:
        exim.backend("bare").send_messages([impossible, possible])

    assert caught.value.reason == "smtputf8"
    assert [len(exim.delivered(message)) for message in (impossible, possible)] == [0, 1]


@pytest.mark.parametrize("port", ["starttls", "plain", "bare"])
def test_a_hundred_messages_on_one_connection(
    exim: Exim, new_message: MessageFactory, port: str
) -> None:
    user = exim.alice if port == "starttls" else None
    messages = [new_message(f"rcpt{n}@example.test", f"Number {n}\n.\n") for n in range(100)]

    with exim.backend(port, user) as backend:
        connection = backend.connection
        assert backend.send_messages(messages) == 100
        assert backend.connection is connection

    for number, message in enumerate(messages):
        assert exim.delivered(message) == {f"rcpt{number}@example.test": [own_bytes(message)]}


def test_a_thousand_recipients(exim: Exim, new_message: MessageFactory) -> None:
    addresses = [f"rcpt{n}@example.test" for n in range(1_000)]
    message = new_message(RCPT, bcc=[a for a in addresses if a != RCPT])

    assert exim.backend("starttls", exim.alice).send_messages([message]) == 1

    assert set(message.smtp_result.accepted) == set(addresses)
    assert exim.delivered(message) == {address: [own_bytes(message)] for address in addresses}


def test_25_megabytes(exim: Exim, new_message: MessageFactory) -> None:
    message = new_message(RCPT)
    message.attach("octets.bin", bytes(range(256)) * 73_000, "application/octet-stream")

    assert exim.backend("starttls").send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert len(copy) > 25_000_000
    assert comparable(copy) == own_bytes(message)


def test_the_trace_headers(exim: Exim, new_message: MessageFactory) -> None:
    """What the copies of all these tests were freed of is Exim's own."""
    message = new_message(RCPT, headers={"Received": "from elsewhere by here"})

    assert exim.backend("plain").send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert copy == own_bytes(message)
    assert message.smtp_result.recipients[RCPT].status is Status.ACCEPTED
