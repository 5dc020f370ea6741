"""What a message demands and the server lacks is said before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from django_smtpauth.smtp.errors import NotSupported
from django_smtpauth.smtp.parameters import RecipientOptions, SenderOptions
from django_smtpauth.smtp.transaction import Envelope, Recipient, Transaction
from tests.smtp.deliveries import PIPELINING, Run, bent, fates, message

EVERYTHING = PIPELINING.replace(
    "250 ", "250-DSN\r\n250-REQUIRETLS\r\n250-MT-PRIORITY\r\n250-AUTH PLAIN\r\n250 "
)


def demanding(
    sender: SenderOptions | None = None, recipient: RecipientOptions | None = None
) -> Transaction:
    recipients = (Recipient("a@x"), Recipient("b@x", recipient or RecipientOptions()))
    envelope = Envelope("me@x", recipients, options=sender or SenderOptions())
    return Transaction(envelope, message("a").content)


DEMANDS: list[tuple[dict[str, Any], str, str]] = [
    ({"sender": SenderOptions(ret="HDRS", envid="1")}, "DSN", " RET=HDRS ENVID=1"),
    ({"sender": SenderOptions(require_tls=True)}, "REQUIRETLS", " REQUIRETLS"),
    ({"sender": SenderOptions(auth="a@x")}, "AUTH", " AUTH=a@x"),
    ({"sender": SenderOptions(parameters={"MT-PRIORITY": "3"})}, "MT-PRIORITY", " MT-PRIORITY=3"),
    (
        {"recipient": RecipientOptions(notify=("FAILURE",), orcpt="b@y")},
        "DSN",
        " NOTIFY=FAILURE ORCPT=rfc822;b@y",
    ),
    ({"recipient": RecipientOptions(parameters={"MT-PRIORITY": None})}, "MT-PRIORITY", None),
]


@pytest.mark.parametrize(("options", "keyword", "written"), DEMANDS)
def test_what_the_server_offers_is_used(
    options: dict[str, Any], keyword: str, written: str | None
) -> None:
    run = Run(bent(EHLO=EVERYTHING), [demanding(**options)], verified=True, authenticated=True)

    assert fates(run.done[0]) == {"a": "accepted", "b": "accepted"}
    if "sender" in options:
        assert run.lines[0] == f"MAIL FROM:<me@x> SIZE=6{written}"
        assert run.lines[1:3] == ["RCPT TO:<a@x>", "RCPT TO:<b@x>"]
    elif written:
        assert run.lines[1:3] == ["RCPT TO:<a@x>", f"RCPT TO:<b@x>{written}"]


@pytest.mark.parametrize(("options", "keyword", "_"), DEMANDS)
def test_what_it_does_not_offer_is_an_error_and_nothing_is_sent(
    options: dict[str, Any], keyword: str, _: str
) -> None:
    run = Run(bent(), [demanding(**options), message("c")], verified=True, authenticated=True)

    error = run.done[0].error
    assert isinstance(error, NotSupported)
    assert error.reason == "extension-missing"
    assert f"does not offer {keyword}, which" in error.message
    assert f"a server that offers {keyword}." in str(error)
    assert not error.transient
    assert run.lines == ["MAIL FROM:<me@x> SIZE=6", "RCPT TO:<c@x>", "DATA", "."]


def test_requiretls_outside_of_verified_tls() -> None:
    run = Run(bent(EHLO=EVERYTHING), [demanding(SenderOptions(require_tls=True))])

    error = run.done[0].error
    assert isinstance(error, NotSupported)
    assert error.reason == "requiretls"
    assert run.lines == []


def test_auth_on_mail_is_for_who_has_logged_in() -> None:
    run = Run(bent(EHLO=EVERYTHING), [demanding(SenderOptions(auth="<>"))])

    error = run.done[0].error
    assert isinstance(error, NotSupported)
    assert error.reason == "not-authenticated"
    assert run.lines == []
