from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.authentication import MAX_CHALLENGES, MAX_CREDENTIALS
from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import (
    AuthenticationRefused,
    Disconnected,
    NotSupported,
    ProtocolError,
)
from django_smtpauth.smtp.tls import Security
from tests.smtp.openings import (
    GREETING,
    SECRET,
    Opening,
    Turn,
    b64,
    endpoint,
    exchange_of,
    forms_of_the_secret,
    hello,
)

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@both_ways
def test_each_mechanism(mechanism: str, trickle: bool) -> None:
    opening = Opening(
        endpoint(), GREETING, hello(f"AUTH {mechanism}"), *exchange_of(mechanism), trickle=trickle
    )

    assert opening.opened is not None
    assert opening.opened.mechanism == mechanism
    assert not any(form in opening.transcript for form in forms_of_the_secret())
    assert opening.wire.session.reusable


@pytest.mark.parametrize("prompt", [b"334\r\n", b"334 \r\n", b"334  VXNlcm5hbWU6 \r\n", b"334\n"])
def test_login_does_not_care_for_the_prompt(prompt: bytes) -> None:
    opening = Opening(
        endpoint(),
        GREETING,
        hello("AUTH LOGIN"),
        (b"AUTH LOGIN\r\n", prompt),
        (b64("jürgen") + b"\r\n", prompt),
        (b64(SECRET) + b"\r\n", b"235 ok\r\n"),
    )

    assert opening.opened is not None


def test_the_longest_challenge() -> None:
    challenge = b"x" * 9_210
    line = b"334 " + b64(challenge) + b"\r\n"
    assert 12_280 < len(line) <= 12_288
    digest = hmac.new(SECRET.encode(), challenge, hashlib.md5).hexdigest()
    opening = Opening(
        endpoint(),
        GREETING,
        hello("AUTH CRAM-MD5"),
        (b"AUTH CRAM-MD5\r\n", line),
        (b64(f"jürgen {digest}") + b"\r\n", b"235 ok\r\n"),
    )

    assert opening.opened is not None


def test_no_credentials_no_auth() -> None:
    opening = Opening(Endpoint("mx", security=Security.NONE), GREETING, hello("AUTH PLAIN"))

    assert opening.opened is not None
    assert opening.opened.mechanism == ""


@pytest.mark.parametrize(
    ("loopback", "options"),
    [
        (True, {"allow_auth_without_tls": False}),
        (False, {"allow_auth_without_tls": True}),
        (False, {"allow_auth_without_tls": False, "security": Security.IMPLICIT_TLS}),
    ],
)
def test_where_a_password_may_go(loopback: bool, options: dict[str, Any]) -> None:
    opening = Opening(
        endpoint(**options),
        GREETING,
        hello("AUTH PLAIN"),
        *exchange_of("PLAIN"),
        loopback=loopback,
    )

    assert opening.opened is not None


def never() -> str:
    raise AssertionError("the secret was asked for")


def test_no_password_in_clear_and_the_line_to_add() -> None:
    opening = Opening(
        endpoint(never, allow_auth_without_tls=False), GREETING, hello("AUTH PLAIN LOGIN")
    )

    assert isinstance(opening.error, NotSupported)
    assert opening.error.reason == "auth-without-tls"
    assert "allow_auth_without_tls=True" in str(opening.error)


def test_the_order_of_the_account_counts() -> None:
    opening = Opening(
        endpoint(auth_mechanisms=("LOGIN", "CRAM-MD5")),
        GREETING,
        hello("AUTH CRAM-MD5 PLAIN LOGIN"),
        *exchange_of("LOGIN"),
    )

    assert opening.opened is not None
    assert opening.opened.mechanism == "LOGIN"


def test_nothing_in_common_and_no_secret_asked_for() -> None:
    opening = Opening(endpoint(never), GREETING, hello("AUTH GSSAPI"))

    assert isinstance(opening.error, NotSupported)
    assert opening.error.reason == "no-mechanism"


@pytest.mark.parametrize(
    ("reply", "transient"),
    [
        (b"535 5.7.8 Authentication failed\r\n", False),
        (b"534 5.7.9 Application-specific password required\r\n", False),
        (b"454 4.7.0 Temporary authentication failure\r\n", True),
    ],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_refusal_is_final(mechanism: str, reply: bytes, transient: bool) -> None:
    asked = []

    def secret() -> str:
        asked.append(1)
        return SECRET

    *turns, (last, _) = exchange_of(mechanism)
    offered = hello(f"AUTH {mechanism} LOGIN PLAIN CRAM-MD5")
    opening = Opening(
        endpoint(secret, auth_mechanisms=(mechanism, "PLAIN", "LOGIN")),
        GREETING,
        offered,
        *turns,
        (last, reply),
    )

    error = opening.error
    assert isinstance(error, AuthenticationRefused)
    assert error.stage == "AUTH"
    assert error.command == f"AUTH {mechanism}"
    assert error.transient is transient
    assert len(asked) == 1


def test_a_goodbye_in_the_exchange() -> None:
    error = Opening(
        endpoint(), GREETING, hello("AUTH LOGIN"), (b"AUTH LOGIN\r\n", b"421 4.7.0 bye\r\n")
    ).error

    assert isinstance(error, Disconnected)
    assert error.headline == "AUTH refused: 421 4.7.0"


@pytest.mark.parametrize("challenge", [b"!!!", b"Zm9", b"Zm9v YmFy", b"\xff\xff"])
@both_ways
def test_a_challenge_that_is_not_base64_cancels(challenge: bytes, trickle: bool) -> None:
    opening = Opening(
        endpoint(),
        GREETING,
        hello("AUTH CRAM-MD5"),
        (b"AUTH CRAM-MD5\r\n", b"334 " + challenge + b"\r\n"),
        (b"*\r\n", b"501 5.7.0 cancelled\r\n"),
        trickle=trickle,
    )

    assert isinstance(opening.error, ProtocolError)
    assert opening.error.message == "The server's challenge is not base64."
    assert (opening.error.stage, opening.error.command) == ("AUTH", "AUTH CRAM-MD5")


def test_more_challenges_than_the_mechanism_has_words() -> None:
    error = Opening(
        endpoint(),
        GREETING,
        hello("AUTH PLAIN"),
        (exchange_of("PLAIN")[0][0], b"334 \r\n"),
        (b"*\r\n", b"501 cancelled\r\n"),
    ).error

    assert isinstance(error, ProtocolError)
    assert error.message == "The server asks for more than the mechanism has to say."


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "LOGIN"])
def test_after_a_cancellation_nothing_but_cancellations_is_said(mechanism: str) -> None:
    error = Opening(
        endpoint(),
        GREETING,
        hello(f"AUTH {mechanism}"),
        (f"AUTH {mechanism}\r\n".encode(), b"334 !\r\n"),
        (b"*\r\n", b"334 VXNlcm5hbWU6\r\n"),
        (b"*\r\n", b"235 welcome\r\n"),
    ).error

    assert isinstance(error, ProtocolError)
    assert error.message == "The server's challenge is not base64."


def test_challenges_without_end() -> None:
    error = Opening(
        endpoint(),
        GREETING,
        hello("AUTH PLAIN"),
        (exchange_of("PLAIN")[0][0], b"334 \r\n"),
        *[(b"*\r\n", b"334 \r\n")] * MAX_CHALLENGES,
    ).error

    assert isinstance(error, ProtocolError)
    assert "too many challenges" in error.message


# The secret's source.


class VaultError(Exception):
    """The vault is closed."""


def closed_vault() -> str:
    raise VaultError


def test_a_secret_that_can_not_be_had() -> None:
    with pytest.raises(VaultError):
        Opening(endpoint(closed_vault), GREETING, hello("AUTH PLAIN"))


@pytest.mark.parametrize(
    ("username", "secret"),
    [
        ("me", None),
        ("me", b"octets"),
        ("me", "\ud800"),
        ("me", "a\0b"),
        ("m\0e", SECRET),
        ("m\udfff", SECRET),
        ("me", 5),
    ],
)
def test_credentials_that_are_no_text(username: str, secret: object) -> None:
    opening = Opening(endpoint(lambda: secret, username), GREETING, hello("AUTH PLAIN"))

    assert isinstance(opening.error, NotSupported)
    assert opening.error.reason == "credentials-not-text"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_the_longest_credentials(mechanism: str) -> None:
    username, secret = "u" * 6, "ß" * ((MAX_CREDENTIALS - 6) // 2)
    refusal: list[Turn] = [(f"AUTH {mechanism}\r\n".encode(), b"535 no\r\n")]
    if mechanism == "PLAIN":
        refusal = [(b"AUTH PLAIN " + b64(f"\0{username}\0{secret}") + b"\r\n", b"535 no\r\n")]
    fits = Opening(
        endpoint(lambda: secret, username), GREETING, hello(f"AUTH {mechanism}"), *refusal
    )
    exceeds = Opening(
        endpoint(lambda: secret, username + "u"), GREETING, hello(f"AUTH {mechanism}")
    )

    assert isinstance(fits.error, AuthenticationRefused)
    assert isinstance(exceeds.error, NotSupported)
    assert exceeds.error.reason == "credentials-too-long"


def test_every_word_of_the_longest_credentials_fits_into_a_line() -> None:
    octets = b"x" * MAX_CREDENTIALS

    assert len(commands.auth("PLAIN", b"\0\0" + octets).line) <= commands.MAX_COMMAND
    assert len(commands.response(octets).line) <= commands.MAX_COMMAND


@pytest.mark.parametrize("mechanism", ["LOGIN", "CRAM-MD5"])
def test_success_before_the_password_was_asked_for(mechanism: str) -> None:
    opening = Opening(
        endpoint(),
        GREETING,
        hello(f"AUTH {mechanism}"),
        (f"AUTH {mechanism}\r\n".encode(), b"235 come in\r\n"),
    )

    assert isinstance(opening.error, ProtocolError)
    assert not opening.wire.session.reusable
