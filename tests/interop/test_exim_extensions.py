"""Chunks, reports, rounds and client certificates with Exim, by every way of content."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from django_smtpauth.sending.options import DSN, MessageOptions, RecipientOptions
from django_smtpauth.smtp import ContentRefused, NotSupported, RecipientsRefused, Refused, Status
from django_smtpauth.smtp import connection as connection_module
from tests.interop.conftest import MessageFactory
from tests.interop.exim import Exim
from tests.interop.messages import BODIES
from tests.interop.postfix import comparable, own_bytes

pytestmark = pytest.mark.interop

EXIM = "Exim 4.96"
RCPT = "rcpt3@example.test"
WAYS = ["never", "after_rcpt", "eager"]
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@pytest.fixture(autouse=True)
def _nothing_is_known_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_traits", {})


@pytest.mark.parametrize("port", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_by_every_way(
    exim: Exim, new_message: MessageFactory, mechanism: str, port: str
) -> None:
    for bdat, pipelining in product(WAYS, [True, False]):
        message = new_message(RCPT, "Grüße\n.\n..two dots\nlast line")
        options = {"auth_mechanisms": [mechanism], "bdat": bdat, "pipelining": pipelining}

        assert exim.backend(port, exim.alice, **options).send_messages([message]) == 1

        assert exim.delivered(message) == {RCPT: [own_bytes(message)]}
        [reception] = exim.receptions(message.smtp_result.message_id)
        assert reception.chunking == (bdat != "never")


@pytest.mark.proves("CHUNKING", "PIPELINING", "8BITMIME", by=EXIM)
@pytest.mark.parametrize("port", ["starttls", "plain"])
@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_every_body_in_chunks(
    exim: Exim, new_message: MessageFactory, port: str, bdat: str
) -> None:
    user = exim.alice if port == "starttls" else None
    messages = [new_message(RCPT, body) for body in BODIES.values()]

    assert exim.backend(port, user, bdat=bdat).send_messages(messages) == len(messages)

    for message in messages:
        assert exim.delivered(message) == {RCPT: [own_bytes(message)]}
        [reception] = exim.receptions(message.smtp_result.message_id)
        assert reception.chunking
        assert reception.pipelining


@pytest.mark.parametrize("max_unanswered", [1, 10])
def test_a_hundred_eager_messages(
    exim: Exim, new_message: MessageFactory, max_unanswered: int
) -> None:
    messages = [new_message(f"rcpt{n}@example.test", f"Number {n}\n.\n") for n in range(100)]
    backend = exim.backend("starttls", exim.alice, bdat="eager", max_unanswered=max_unanswered)

    assert backend.send_messages(messages) == 100

    for number, message in enumerate(messages):
        assert exim.delivered(message) == {f"rcpt{number}@example.test": [own_bytes(message)]}


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_refusals_amid_chunks(exim: Exim, new_message: MessageFactory, bdat: str) -> None:
    messages = [
        new_message([RCPT, "nobody@example.test"]),
        new_message("nobody@example.test"),
        new_message("eodreject@example.test"),
        new_message(RCPT, from_email="refused-sender@example.test"),
        new_message(RCPT, headers={"X-Test-Reject": "yes"}),
        new_message(RCPT),
    ]

    with pytest.raises(Refused):
        exim.backend("starttls", bdat=bdat, max_unanswered=4).send_messages(messages)

    counts = [{a: len(c) for a, c in exim.delivered(m).items()} for m in messages]
    assert counts == [{RCPT: 1}, {}, {}, {}, {}, {RCPT: 1}]
    assert isinstance(messages[4].smtp_result.error, ContentRefused)


@pytest.mark.parametrize("bdat", WAYS)
def test_25_megabytes_by_every_way(exim: Exim, new_message: MessageFactory, bdat: str) -> None:
    message = new_message(RCPT)
    message.attach("octets.bin", bytes(range(256)) * 73_000, "application/octet-stream")

    assert exim.backend("implicit", exim.alice, bdat=bdat).send_messages([message]) == 1

    [copy] = exim.delivered(message)[RCPT]
    assert len(copy) > 25_000_000
    assert comparable(copy) == own_bytes(message)


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_many_recipients_in_chunks(exim: Exim, new_message: MessageFactory, bdat: str) -> None:
    """More than a group holds; with a thousand Exim 4.96 itself dies of a chunk now and then."""
    addresses = [f"rcpt{n}@example.test" for n in range(300)]
    message = new_message(addresses[0], bcc=addresses[1:])

    assert exim.backend("starttls", exim.alice, bdat=bdat).send_messages([message]) == 1

    assert message.smtp_result.accepted == addresses
    assert exim.delivered(message) == {address: [own_bytes(message)] for address in addresses}


@pytest.mark.parametrize("bdat", WAYS)
def test_more_recipients_than_the_server_takes_at_once(
    exim: Exim, new_message: MessageFactory, bdat: str
) -> None:
    addresses = [f"rcpt{n}@example.test" for n in range(40, 65)]
    message = new_message(addresses)

    assert exim.backend("small", exim.alice, bdat=bdat).send_messages([message]) == 1

    assert message.smtp_result.accepted == addresses
    assert exim.delivered(message) == {address: [own_bytes(message)] for address in addresses}


@pytest.mark.parametrize("name", ["nobody", "tempfail", "refused"])
def test_all_or_none(exim: Exim, new_message: MessageFactory, name: str) -> None:
    together, other = new_message([RCPT, f"{name}@example.test"]), new_message(RCPT)

    with pytest.raises(RecipientsRefused):
        exim.backend("starttls", recipients="all").send_messages([together, other])

    assert together.smtp_result.recipients[RCPT].status is Status.NOT_SENT
    assert [len(exim.delivered(m)) for m in (together, other)] == [0, 1]


@pytest.mark.proves("DSN", by=EXIM)
@pytest.mark.parametrize("bdat", WAYS)
def test_a_report_comes_back(exim: Exim, new_message: MessageFactory, bdat: str) -> None:
    message = new_message([RCPT, "rcpt4@example.test"])
    message.smtp_options = MessageOptions(  # type: ignore[attr-defined]
        dsn=DSN(notify=("SUCCESS",), ret="HDRS", envid="one+two = 3"),
        recipient_options={
            RCPT: RecipientOptions(orcpt="first+one@example.com"),
            "rcpt4@example.test": RecipientOptions(notify=("NEVER",)),
        },
    )

    assert exim.backend("starttls", exim.alice, bdat=bdat).send_messages([message]) == 1

    [report] = exim.reports(message.smtp_result.message_id)
    # Exim repeats ORCPT as it came, as xtext.
    assert b"\nOriginal-Recipient: rfc822;first+2Bone@example.com\n" in report
    assert report.count(b"\nAction: delivered\n") == 1


@pytest.mark.proves("EXTERNAL", by=EXIM)
@pytest.mark.parametrize("port", ["starttls", "implicit"])
@pytest.mark.parametrize("bdat", WAYS)
def test_a_certificate_logs_in(
    exim: Exim, new_message: MessageFactory, port: str, bdat: str
) -> None:
    certificate, key = map(str, exim.certificate)
    message = new_message(RCPT)
    options: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key, "bdat": bdat}
    options |= {"auth_mechanisms": ["EXTERNAL"], "username": exim.alice.login}

    assert exim.backend(port, **options).send_messages([message]) == 1

    [attempt] = message.smtp_result.attempts
    assert attempt.mechanism == "EXTERNAL"
    [reception] = exim.receptions(message.smtp_result.message_id)
    assert reception.fields["A"] == f"external:{exim.alice.login}"
    assert exim.delivered(message) == {RCPT: [own_bytes(message)]}


def test_without_a_certificate_external_is_not_offered(exim: Exim) -> None:
    with pytest.raises(NotSupported) as caught:
        exim.backend("starttls", exim.alice, auth_mechanisms=["EXTERNAL", "X-NONE"]).open()

    assert caught.value.stage == "AUTH"
