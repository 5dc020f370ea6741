"""What real servers say is explained by the rule that is about it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from django_smtpauth.sending.explaining import finding_of
from django_smtpauth.smtp import SMTPError
from tests.interop.conftest import MessageFactory
from tests.interop.exim import Exim
from tests.interop.postfix import Postfix
from tests.interop.server import RealServer, User

pytestmark = pytest.mark.interop

ALICE, RCPT = "alice@example.test", "rcpt6@example.test"
#: Servers remember whom they have put off, between runs as well.
STRANGER = f"{uuid.uuid4().hex}@example.test"
WRONG = User(ALICE, "not-the-password", ALICE)


def rule_of(
    server: RealServer,
    new_message: MessageFactory,
    port: str,
    user: User | None,
    to: str = RCPT,
    sender: str = ALICE,
    body: str = "A short text.\n",
    **options: Any,
) -> str:
    """The id of the rule that explains why this message is not sent."""
    message = new_message(to, body, sender)
    with pytest.raises(SMTPError) as caught:
        server.backend(port, user, **options).send_messages([message])
    finding = finding_of(caught.value)
    assert finding is not None
    return finding.rule


@pytest.mark.parametrize(
    ("port", "options", "rule"),
    [
        ("submission", {"to": "nobody@example.test"}, "rcpt.unknown"),
        ("submission", {"to": "full@example.test"}, "rcpt.mailbox-full"),
        (
            "plain",
            {"user": None, "to": "greylist60@example.test", "sender": STRANGER},
            "rcpt.greylisted",
        ),
        ("submission", {"to": "tempfail@example.test"}, "server.busy"),
        ("submission", {"to": "refused@example.test"}, "rcpt.refused-with-login"),
        ("submission", {"to": "eodreject@example.test"}, "content.refused"),
        ("submission", {"sender": "bob@example.test"}, "mail.not-owned"),
        ("submission", {"security": "implicit_tls"}, "tls.plain-port"),
        ("submission", {"auth_mechanisms": ["SCRAM-SHA-512"]}, "auth.no-mechanism"),
        ("encrypt_small", {"body": "x" * 70 + "\n" * 200_000}, "limits.size"),
        ("encrypt_small", {"security": "none", "user": None}, "tls.needed"),
        ("plain", {"security": "starttls"}, "tls.starttls-missing"),
        ("plain", {}, "auth.only-after-tls"),
        ("plain", {"user": None, "to": "you@elsewhere.example"}, "rcpt.relay"),
        ("starttls_noauth", {}, "auth.not-offered"),
        ("auth_down", {}, "auth.temporary"),
        ("tls_expired", {}, "tls.certificate-expired"),
        ("tls_wronghost", {}, "tls.other-name"),
        ("tls_selfsigned", {}, "tls.self-signed"),
        ("submission", {"user": WRONG}, "auth.refused"),
        ("smtps", {"security": "starttls", "timeout": 2}, "greeting.silent"),
    ],
)
def test_postfix(
    postfix: Postfix,
    new_message: MessageFactory,
    port: str,
    options: dict[str, Any],
    rule: str,
) -> None:
    options = {"user": postfix.alice, **options}
    assert rule_of(postfix, new_message, port, **options) == rule


@pytest.mark.parametrize(
    ("port", "options", "rule"),
    [
        ("starttls", {"user": WRONG}, "auth.refused"),
        ("starttls", {"to": "nobody@example.test"}, "rcpt.unknown"),
        ("starttls", {"to": "full@example.test"}, "rcpt.mailbox-full"),
        (
            "starttls",
            {"to": "greylist@example.test", "sender": STRANGER},
            "rcpt.greylisted",
        ),
        ("starttls", {"to": "you@elsewhere.example"}, "rcpt.relay-with-login"),
        ("starttls", {"sender": "refused-sender@example.test"}, "mail.refused"),
        ("starttls", {"ehlo_name": "web_1"}, "ehlo.name-refused"),
        ("plain", {"user": None, "to": "you@elsewhere.example"}, "rcpt.relay"),
        ("plain", {"user": None, "protocol": "lmtp"}, "ehlo.smtp-here"),
        ("small", {"body": "x" * 70 + "\n" * 200_000}, "limits.size"),
        ("bare", {"user": None, "to": "jürgen@example.test"}, "mail.smtputf8"),
    ],
)
def test_exim(
    exim: Exim, new_message: MessageFactory, port: str, options: dict[str, Any], rule: str
) -> None:
    options = {"user": exim.alice, **options}
    assert rule_of(exim, new_message, port, **options) == rule
