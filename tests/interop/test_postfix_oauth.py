"""Log-in with access tokens at Postfix and Dovecot."""

from __future__ import annotations

from typing import Any

import pytest

from django_smtpauth.smtp import AuthenticationRefused, Credentials, Status
from django_smtpauth.smtp.transcript import render
from tests.interop.conftest import MessageFactory
from tests.interop.postfix import Postfix
from tests.leaks import shown_by_trackers

pytestmark = pytest.mark.interop

MECHANISMS = ["OAUTHBEARER", "XOAUTH2"]
TLS_PORTS = ["submission", "smtps"]
POSTFIX = "Postfix 3.7 + Dovecot 2.3"


@pytest.fixture
def tokens(postfix: Postfix) -> dict[str, Any]:
    known: dict[str, Any] = postfix.description["oauth"]
    return known


@pytest.mark.proves(*MECHANISMS, by=POSTFIX)
@pytest.mark.parametrize("port", [*TLS_PORTS, "cleartext_auth"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("index", [0, 1])
def test_a_valid_token_logs_in_and_sends(
    postfix: Postfix,
    new_message: MessageFactory,
    tokens: dict[str, Any],
    index: int,
    mechanism: str,
    port: str,
) -> None:
    valid = tokens["valid"][index]
    message = new_message("rcpt1@example.test", from_email=valid["login"])
    backend = postfix.backend(
        port,
        username=valid["login"],
        password=None,
        access_token=lambda: valid["token"],
        auth_mechanisms=[mechanism],
    )

    assert backend.send_messages([message]) == 1
    [attempt] = message.smtp_result.attempts
    assert attempt.mechanism == mechanism
    assert len(postfix.delivered(message)["rcpt1@example.test"]) == 1
    assert valid["token"] not in message.smtp_result.dialogue()


def test_oauthbearer_is_the_default(postfix: Postfix, tokens: dict[str, Any]) -> None:
    valid = tokens["valid"][0]
    credentials = Credentials(valid["login"], lambda: valid["token"], kind="token")
    with postfix.connect("submission", credentials=credentials) as connection:
        assert connection.mechanism == "OAUTHBEARER"


@pytest.mark.parametrize("port", TLS_PORTS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("kind", ["expired", "other_user"])
def test_a_token_that_is_refused(
    postfix: Postfix,
    new_message: MessageFactory,
    tokens: dict[str, Any],
    kind: str,
    mechanism: str,
    port: str,
) -> None:
    given = tokens[kind]
    message = new_message("rcpt1@example.test", from_email=given["login"])
    backend = postfix.backend(
        port,
        username=given["login"],
        password=None,
        access_token=given["token"],
        auth_mechanisms=[mechanism],
    )
    with pytest.raises(AuthenticationRefused) as caught:
        backend.send_messages([message])

    error = caught.value
    assert (error.stage, error.smtp_code, error.reason) == ("AUTH", 535, "")
    assert error.message.startswith("the server does not take the token: ")
    shown = shown_by_trackers(error) + render(error.transcript)
    assert given["token"] not in shown
    assert message.smtp_result.recipients["rcpt1@example.test"].status is Status.REFUSED
    assert postfix.delivered(message) == {}
    with pytest.raises(AuthenticationRefused) as again:
        backend.send_messages([message])
    assert again.value.reason == "refused-before"


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_long_token_is_judged(postfix: Postfix, tokens: dict[str, Any], mechanism: str) -> None:
    login = tokens["valid"][0]["login"]
    token = "ya29." + "x" * 3_000
    credentials = Credentials(login, lambda: token, kind="token")
    with pytest.raises(AuthenticationRefused) as caught:
        postfix.connect("submission", credentials=credentials, auth_mechanisms=(mechanism,))

    assert caught.value.smtp_code == 535
