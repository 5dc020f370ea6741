"""Every mechanism, by every kind of TLS, by every way of content, pipelined and not."""

from __future__ import annotations

from itertools import product

import pytest

from tests.interop.conftest import MessageFactory
from tests.interop.postfix import Postfix, own_bytes

pytestmark = pytest.mark.interop

RCPT = "rcpt10@example.test"
MECHANISMS = [
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "XOAUTH2",
    "OAUTHBEARER",
]
PORTS = ["submission", "smtps", "cleartext_auth"]
WAYS = list(product(["never", "after_rcpt", "eager"], [True, False]))
BODY = "Grüße\n.\n..two dots\nlast line"


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_way(
    postfix: Postfix, new_message: MessageFactory, port: str, mechanism: str
) -> None:
    messages = [new_message(RCPT, BODY) for _ in WAYS]
    secret: dict[str, str | None] = {"password": postfix.alice.password}
    if mechanism in ("XOAUTH2", "OAUTHBEARER"):
        secret = {
            "password": None,
            "access_token": postfix.description["oauth"]["valid"][0]["token"],
        }

    for message, (bdat, pipelining) in zip(messages, WAYS, strict=True):
        backend = postfix.backend(
            port,
            postfix.alice,
            auth_mechanisms=[mechanism],
            bdat=bdat,
            pipelining=pipelining,
            allow_auth_without_tls=port == "cleartext_auth",
            **secret,
        )
        assert backend.send_messages([message]) == 1

    for message in messages:
        [attempt] = message.smtp_result.attempts
        assert attempt.mechanism == mechanism
        assert (attempt.tls is None) == (port == "cleartext_auth")
        [copy] = postfix.delivered(message)[RCPT]
        assert copy == own_bytes(message)
