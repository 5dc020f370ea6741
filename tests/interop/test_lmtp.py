"""LMTP with Dovecot and with nodemailer's smtp-server: a verdict for each recipient."""

from __future__ import annotations

from typing import Any

import pytest

from django_smtpauth.smtp import HelloRefused, RecipientsRefused, Status
from django_smtpauth.smtp import connection as connection_module
from tests.interop.conftest import MessageFactory
from tests.interop.dovecot import Dovecot
from tests.interop.messages import BODIES, rich
from tests.interop.nodemailer import Nodemailer
from tests.interop.postfix import comparable, own_bytes

pytestmark = pytest.mark.interop

DOVECOT = "Dovecot 2.3"
SMTP_SERVER = "smtp-server 3.21"
RCPT, OTHER = "rcpt3@example.test", "rcpt4@example.test"
WAYS = ["never", "after_rcpt", "eager"]


@pytest.fixture(autouse=True)
def _nothing_is_known_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_traits", {})


def lmtp(dovecot: Dovecot, listener: str, **options: Any) -> Any:
    if listener == "socket":
        given = {"host": str(dovecot.lmtp_socket), "port": None, "security": "none"}
        return dovecot.backend("lmtp", protocol="lmtp", **{**given, "ca_file": None}, **options)
    return dovecot.backend("lmtp", protocol="lmtp", **options)


@pytest.mark.proves("LMTP", "CHUNKING", "PIPELINING", by=DOVECOT)
@pytest.mark.parametrize("listener", ["socket", "port"])
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("bdat", WAYS)
def test_every_body_by_every_way(
    dovecot: Dovecot, new_message: MessageFactory, listener: str, pipelining: bool, bdat: str
) -> None:
    messages = [new_message([RCPT, OTHER], body) for body in BODIES.values()]
    messages.append(rich(new_message, RCPT))
    backend = lmtp(dovecot, listener, bdat=bdat, pipelining=pipelining)

    assert backend.send_messages(messages) == len(messages)

    for message in messages:
        copies = dovecot.copies(message.smtp_result.message_id)
        assert set(copies) == set(message.smtp_result.accepted)
        for [copy] in copies.values():
            assert comparable(copy) == own_bytes(message)


@pytest.mark.parametrize("bdat", WAYS)
def test_a_verdict_for_each(dovecot: Dovecot, new_message: MessageFactory, bdat: str) -> None:
    names = ["rcpt3", "nobody", "full", "broken", "rcpt4"]
    mixed = new_message([f"{name}@example.test" for name in names])
    refused = new_message(["full@example.test", "broken@example.test"])
    nobody, after = new_message("nobody@example.test"), new_message(RCPT)

    with pytest.raises(RecipientsRefused) as caught:
        lmtp(dovecot, "socket", bdat=bdat).send_messages([mixed, refused, nobody, after])

    assert [o.status for o in mixed.smtp_result.recipients.values()] == [
        Status.ACCEPTED,
        Status.REFUSED,
        Status.REFUSED,
        Status.DEFERRED,
        Status.ACCEPTED,
    ]
    replies = [o.reply.code for o in mixed.smtp_result.recipients.values() if o.reply]
    assert replies == [250, 550, 552, 451, 250]
    assert (caught.value.stage, caught.value.transient) == ("CONTENT", True)
    found = [
        set(dovecot.copies(m.smtp_result.message_id)) for m in (mixed, refused, nobody, after)
    ]
    assert found == [{RCPT, OTHER}, set(), set(), {RCPT}]


@pytest.mark.parametrize("bdat", WAYS)
def test_many_recipients(dovecot: Dovecot, new_message: MessageFactory, bdat: str) -> None:
    addresses = [f"rcpt{n}@example.test" for n in range(300)]
    message = new_message(addresses[0], bcc=addresses[1:])

    assert lmtp(dovecot, "port", bdat=bdat).send_messages([message]) == 1

    assert message.smtp_result.accepted == addresses
    assert set(dovecot.copies(message.smtp_result.message_id)) == set(addresses)


def test_lmtp_is_not_smtp(dovecot: Dovecot) -> None:
    with pytest.raises(HelloRefused):
        dovecot.backend("lmtp").open()
    with pytest.raises(HelloRefused) as caught:
        dovecot.backend("submission", dovecot.alice, protocol="lmtp").open()
    assert "Use protocol 'smtp'." in str(caught.value)


@pytest.mark.proves("LMTP", by=SMTP_SERVER)
def test_a_verdict_for_each_by_another_server(
    nodemailer: Nodemailer, new_message: MessageFactory
) -> None:
    names = ["rcpt3", "nobody", "eodreject", "eodtemp", "rcpt4"]
    messages = [new_message([f"{name}@example.test" for name in names]) for _ in range(3)]

    assert nodemailer.backend("lmtp", protocol="lmtp").send_messages(messages) == 3

    for message in messages:
        codes = [o.reply.code for o in message.smtp_result.recipients.values() if o.reply]
        assert codes == [250, 550, 554, 451, 250]
        [received] = nodemailer.received(message.smtp_result.message_id)
        assert received.content.replace(b"\r\n", b"\n") == own_bytes(message)
