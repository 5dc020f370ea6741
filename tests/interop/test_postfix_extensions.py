"""Chunks, delivery reports and large messages with Postfix: octet by octet, by every way."""

from __future__ import annotations

import re
import uuid
from email import message_from_bytes
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives

from django_smtpauth.sending.options import DSN, MessageOptions, RecipientOptions
from django_smtpauth.smtp import ContentRefused, NotSupported, Refused
from django_smtpauth.smtp import connection as connection_module
from tests.interop.conftest import MessageFactory
from tests.interop.messages import BODIES
from tests.interop.postfix import Postfix, own_bytes
from tests.interop.server import wait_for

pytestmark = pytest.mark.interop

POSTFIX = "Postfix 3.7"
RCPT = "rcpt8@example.test"
PORTS = ["submission", "smtps", "plain"]
WAYS = ["never", "after_rcpt", "eager"]


@pytest.fixture(autouse=True)
def _nothing_is_known_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_traits", {})


def said(message: EmailMultiAlternatives) -> list[str]:
    """What the client said, line by line."""
    events = message.smtp_result.transcript  # type: ignore[attr-defined]
    return [event.text for event in events if event.direction == "C"]


@pytest.mark.proves("CHUNKING", by=POSTFIX)
@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("bdat", WAYS)
def test_every_body_by_every_way(
    postfix: Postfix, new_message: MessageFactory, port: str, pipelining: bool, bdat: str
) -> None:
    user = None if port == "plain" else postfix.alice
    messages = [new_message(RCPT, body) for body in BODIES.values()]

    backend = postfix.backend(port, user, bdat=bdat, pipelining=pipelining)
    assert backend.send_messages(messages) == len(messages)

    for message in messages:
        [copy] = postfix.delivered(message)[RCPT]
        assert copy == own_bytes(message)
        verbs = {line.split(" ")[0] for line in said(message)}
        assert ("BDAT" in verbs) == (bdat != "never")
        assert ("DATA" in verbs) == (bdat == "never")


def test_postfix_proves_that_it_discards_chunks(
    postfix: Postfix, new_message: MessageFactory
) -> None:
    with postfix.backend("submission", postfix.alice, bdat="eager") as backend:
        assert backend.send_messages([new_message(RCPT)]) == 1
        assert backend.connection is not None
        [traits] = connection_module._traits.values()
        assert traits.discards_chunks is True
        shown = [event.text for event in backend.connection.events]
        assert shown.count("BDAT 2 LAST") == 1
        message = new_message(RCPT)
        assert backend.send_messages([message]) == 1
        assert [event.text for event in backend.connection.events] == shown
    spoke = [
        event.direction
        for event in message.smtp_result.transcript
        if event.stage in ("MAIL", "RCPT", "CONTENT")
    ]
    assert spoke == ["C", "C", "C", "S", "S", "S"]


@pytest.mark.parametrize("max_unanswered", [1, 10])
def test_a_hundred_eager_messages(
    postfix: Postfix, new_message: MessageFactory, max_unanswered: int
) -> None:
    messages = [new_message(f"rcpt{n}@example.test", f"Number {n}\n.\n") for n in range(100)]
    backend = postfix.backend(
        "submission", postfix.alice, bdat="eager", max_unanswered=max_unanswered
    )

    assert backend.send_messages(messages) == 100

    for number, message in enumerate(messages):
        [copy] = postfix.delivered(message)[f"rcpt{number}@example.test"]
        assert copy == own_bytes(message)


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_refusals_amid_chunks(postfix: Postfix, new_message: MessageFactory, bdat: str) -> None:
    messages = [
        new_message([RCPT, "nobody@example.test"]),
        new_message("nobody@example.test"),
        new_message("eodreject@example.test"),
        new_message(RCPT, from_email="bob@example.test"),
        new_message(RCPT, headers={"X-Test-Reject": "yes"}),
        new_message(RCPT),
    ]
    backend = postfix.backend("submission", postfix.alice, bdat=bdat, max_unanswered=4)

    with pytest.raises(Refused):
        backend.send_messages(messages)

    counts = [{a: len(c) for a, c in postfix.delivered(m).items()} for m in messages]
    assert counts == [{RCPT: 1}, {}, {}, {}, {}, {RCPT: 1}]
    assert isinstance(messages[4].smtp_result.error, ContentRefused)  # type: ignore[attr-defined]


@pytest.mark.parametrize("bdat", WAYS)
@pytest.mark.parametrize("port", ["submission", "plain"])
def test_a_thousand_recipients_by_every_way(
    postfix: Postfix, new_message: MessageFactory, port: str, bdat: str
) -> None:
    addresses = [f"rcpt{n}@example.test" for n in range(1_000)]
    message = new_message(addresses[0], bcc=addresses[1:])
    user = None if port == "plain" else postfix.alice

    assert postfix.backend(port, user, bdat=bdat).send_messages([message]) == 1

    assert message.smtp_result.accepted == addresses
    assert set(postfix.delivered(message)) == set(addresses)


@pytest.mark.parametrize("bdat", WAYS)
def test_a_large_message(postfix: Postfix, new_message: MessageFactory, bdat: str) -> None:
    """As large as the server takes: 20 MB."""
    limit = int(postfix.description["ports"]["smtps"]["ehlo_after_tls"][1].split()[1])
    line = "0123456789 .\n"
    message = new_message(RCPT, line * ((limit - 2_000) // (len(line) + 1)))

    assert postfix.backend("smtps", postfix.alice, bdat=bdat).send_messages([message]) == 1

    [copy] = postfix.delivered(message)[RCPT]
    assert copy == own_bytes(message)


@pytest.mark.proves("DSN", by=POSTFIX)
@pytest.mark.parametrize("bdat", WAYS)
def test_a_report_comes_back(postfix: Postfix, new_message: MessageFactory, bdat: str) -> None:
    envid = f"order {uuid.uuid4()} = 1+1"
    message = new_message([RCPT, "rcpt9@example.test"])
    message.smtp_options = MessageOptions(  # type: ignore[attr-defined]
        dsn=DSN(notify=("SUCCESS", "FAILURE"), ret="HDRS", envid=envid),
        recipient_options={
            RCPT: RecipientOptions(orcpt="first+one@example.com"),
            "rcpt9@example.test": RecipientOptions(notify=("NEVER",)),
        },
    )

    assert postfix.backend("submission", postfix.alice, bdat=bdat).send_messages([message]) == 1

    report = report_about(postfix, envid)
    assert f"Final-Recipient: rfc822; {RCPT}\n" in report
    assert "Original-Recipient: rfc822;first+one@example.com\n" in report
    assert report.count("Final-Recipient:") == report.count("Action: delivered") == 1


def report_about(postfix: Postfix, envid: str) -> str:
    """The delivery report that alice gets about an envelope, with LF."""
    folder = Path(postfix.description["delivery"]["pattern"].format(address="alice@example.test"))
    wanted = f"Original-Envelope-Id: {envid}\n".encode()

    def found() -> list[bytes]:
        files = folder.parent.iterdir() if folder.parent.exists() else ()
        return [content for file in files if wanted in (content := file.read_bytes())]

    wait_for(lambda: bool(found()), "the delivery report")
    [octets] = found()
    assert message_from_bytes(octets).get_content_type() == "multipart/report"
    return re.sub("\n +", " ", octets.decode())


@pytest.mark.parametrize("port", ["no_chunking", "bare"])
def test_reports_that_are_not_offered(
    postfix: Postfix, new_message: MessageFactory, port: str
) -> None:
    message = new_message(RCPT)
    message.smtp_options = MessageOptions(dsn=DSN(ret="FULL"))  # type: ignore[attr-defined]
    user = postfix.alice if port == "no_chunking" else None

    with pytest.raises(NotSupported) as caught:
        postfix.backend(port, user).send_messages([message])

    assert caught.value.reason == "extension-missing"
    assert not any(line.startswith("MAIL") for line in said(message))


def test_who_submitted_the_message(postfix: Postfix, new_message: MessageFactory) -> None:
    """Postfix takes AUTH= from who has logged in."""
    message = new_message(RCPT)
    message.smtp_options = MessageOptions(submitter="alice+1@example.test")  # type: ignore[attr-defined]

    assert postfix.backend("submission", postfix.alice).send_messages([message]) == 1

    assert any(line.endswith(" AUTH=alice+2B1@example.test") for line in said(message))


@pytest.mark.parametrize("bdat", WAYS)
def test_smtputf8_by_every_way(postfix: Postfix, new_message: MessageFactory, bdat: str) -> None:
    message = new_message(["jürgen@example.test", RCPT], from_email="jürgen@example.test")

    assert postfix.backend("smtps", postfix.jürgen, bdat=bdat).send_messages([message]) == 1

    delivered = postfix.delivered(message)
    [copy] = delivered["jürgen@example.test"]
    assert delivered[RCPT] == [copy]
