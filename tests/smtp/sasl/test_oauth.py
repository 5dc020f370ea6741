"""OAUTHBEARER and XOAUTH2: what is said, what a refusal tells, and what can't get into a line."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp import Credentials, Endpoint, Security, TLSOptions, connect
from django_smtpauth.smtp.authentication import MAX_CREDENTIALS
from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported, ProtocolError
from django_smtpauth.smtp.sasl import MECHANISMS, Dialogue, Login
from django_smtpauth.smtp.sasl.oauth import explanation
from django_smtpauth.smtp.transcript import render
from tests.leaks import shown_by_trackers
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.smtp.openings import GREETING, Opening, Turn, b64, endpoint, hello

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])
both_mechanisms = pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])

TOKEN = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
REFUSAL = {"status": "invalid_token", "scope": "https://mail.example/", "schemes": "bearer"}
WORDS = (
    "the server does not take the token: invalid_token (the token is expired, revoked, or not "
    "for this user or server); scope https://mail.example/; schemes bearer"
)


def first(mechanism: str, token: str = TOKEN, user: str = "me@mx.example") -> bytes:
    said = {
        "OAUTHBEARER": f"n,a={user},\x01host=mx.example\x01port=25\x01auth=Bearer {token}\x01\x01",
        "XOAUTH2": f"user={user}\x01auth=Bearer {token}\x01\x01",
    }
    return f"AUTH {mechanism} ".encode() + b64(said[mechanism]) + b"\r\n"


def answer_to_failure(mechanism: str) -> bytes:
    return {"OAUTHBEARER": b"AQ==\r\n", "XOAUTH2": b"\r\n"}[mechanism]


def opening(mechanism: str, *turns: Turn, token: Any = TOKEN, **options: Any) -> Opening:
    offered = options.pop("offered", mechanism)
    trickle = options.pop("trickle", False)
    username = options.pop("username", "me@mx.example")
    return Opening(
        endpoint(lambda: token, username, "token", **options),
        GREETING,
        hello(f"AUTH PLAIN {offered}"),
        *turns,
        trickle=trickle,
    )


# What is said.


def said(name: str, login: Login) -> bytes:
    word = next(MECHANISMS[name].start(login))
    assert isinstance(word, bytes)
    return word


def test_the_example_of_rfc_7628() -> None:
    # Section 4.1.
    token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
    login = Login("user@example.com", token, "server.example.com", 143)

    assert b64(said("OAUTHBEARER", login)) == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcm"
        b"VyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )


def test_the_example_of_xoauth2() -> None:
    login = Login("someuser@example.com", TOKEN, "server.example.com", 143)

    assert b64(said("XOAUTH2", login)) == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQm"
        b"hkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )


def test_names_are_quoted_in_the_header() -> None:
    assert said("OAUTHBEARER", Login("a=b,jürgen", "t")).startswith("n,a=a=3Db=2Cjürgen,".encode())
    assert said("XOAUTH2", Login("a=b,jürgen", "t")).startswith("user=a=b,jürgen\x01".encode())


def test_a_token_may_tell_by_itself_whose_it_is() -> None:
    assert said("OAUTHBEARER", Login("", "t")).startswith(b"n,,\x01host=")


@both_mechanisms
@both_ways
def test_success(mechanism: str, trickle: bool) -> None:
    result = opening(mechanism, (first(mechanism), b"235 2.7.0 ok\r\n"), trickle=trickle)

    assert result.opened is not None
    assert result.opened.mechanism == mechanism
    assert f"C: AUTH {mechanism} [redacted]" in result.transcript
    assert TOKEN not in result.transcript
    assert first(mechanism).split()[2].decode() not in result.transcript


# Refusals.


@both_mechanisms
@both_ways
@pytest.mark.parametrize("reply", [b"535 5.7.8 no\r\n", b"535-5.7.1 no\r\n535 5.7.1 at all\r\n"])
def test_a_refusal_tells_why(mechanism: str, reply: bytes, trickle: bool) -> None:
    result = opening(
        mechanism,
        (first(mechanism), b"334 " + b64(json.dumps(REFUSAL)) + b"\r\n"),
        (answer_to_failure(mechanism), reply),
        trickle=trickle,
    )

    assert isinstance(result.error, AuthenticationRefused)
    assert (result.error.smtp_code, result.error.command) == (535, f"AUTH {mechanism}")
    assert result.error.message == WORDS
    assert WORDS in result.transcript
    assert not result.error.transient


@both_mechanisms
def test_a_refusal_without_a_challenge(mechanism: str) -> None:
    error = opening(mechanism, (first(mechanism), b"535 5.7.8 no\r\n")).error

    assert isinstance(error, AuthenticationRefused)
    assert error.message == ""


@both_mechanisms
def test_a_server_that_repeats_the_token(mechanism: str) -> None:
    echo = {**REFUSAL, "status": f"bad {TOKEN}", "scope": b64(TOKEN).decode()}
    refusal = f"535 5.7.8 {TOKEN} is expired\r\n".encode()
    result = opening(
        mechanism,
        (first(mechanism), b"334 " + b64(json.dumps(echo)) + b"\r\n"),
        (answer_to_failure(mechanism), refusal),
    )

    assert isinstance(result.error, AuthenticationRefused)
    assert "bad [redacted]; scope [redacted]" in result.error.message
    shown = shown_by_trackers(result.error) + result.transcript
    assert TOKEN not in shown
    assert b64(TOKEN).decode() not in shown


@both_mechanisms
def test_success_after_a_failure_is_not_believed(mechanism: str) -> None:
    result = opening(
        mechanism,
        (first(mechanism), b"334 " + b64(json.dumps(REFUSAL)) + b"\r\n"),
        (answer_to_failure(mechanism), b"235 come in\r\n"),
    )

    assert isinstance(result.error, ProtocolError)
    assert not result.wire.session.reusable


@both_mechanisms
def test_challenges_without_end(mechanism: str) -> None:
    challenge = b"334 " + b64(json.dumps(REFUSAL)) + b"\r\n"
    error = opening(
        mechanism,
        (first(mechanism), challenge),
        (answer_to_failure(mechanism), challenge),
        (b"*\r\n", b"501 cancelled\r\n"),
    ).error

    assert isinstance(error, ProtocolError)


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        (json.dumps(REFUSAL), WORDS),
        (
            '{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}',
            "the server does not take the token: 401 (the token is expired, revoked, or not for "
            "this user or server); scope https://mail.google.com/; schemes bearer mac",
        ),
        ('{"status":400}', "the server does not take the token: 400 (the request was malformed"),
        (
            '{"status":"insufficient_scope"}',
            "the server does not take the token: insufficient_scope (the token lacks a scope)",
        ),
        ('{"status":"quota"}', "the server does not take the token: quota"),
        ('{"status":{"a":1},"scope":["x"]}', "the server does not take the token: it does not"),
        ("{}", "the server does not take the token: it does not say why"),
        ("", "the server does not take the token: it does not say why"),
        ("[1]", "the server does not take the token: it does not say why"),
        ("nonsense", "the server does not take the token: it does not say why"),
        ("[" * 9_000, "the server does not take the token: it does not say why"),
        ("9" * 9_000, "the server does not take the token: it does not say why"),
    ],
)
def test_what_the_server_explains(challenge: str, words: str) -> None:
    assert explanation(challenge.encode()).startswith(words)


@given(st.binary(max_size=400) | st.dictionaries(st.text(), st.text()).map(json.dumps))
def test_no_explanation_is_too_strange_or_too_long(challenge: bytes | str) -> None:
    octets = challenge if isinstance(challenge, bytes) else challenge.encode()

    assert len(explanation(octets)) < 700


def test_long_fields_are_left_out_whole() -> None:
    """A token that a server repeats is recognised as a whole only."""
    told = {"status": "x" * 150, "scope": "y" * 151, "schemes": "z" * 3_000}

    assert explanation(json.dumps(told).encode()) == (
        f"the server does not take the token: {'x' * 150}; scope (151 characters); "
        "schemes (3000 characters)"
    )


# What can't get into a line.


@both_mechanisms
@pytest.mark.parametrize(
    "token", ["", " ", "a b", "a\x01b", "a\x01auth=x", "a\r\nQUIT", "a\n", "é", "Bearer x", "\x7f"]
)
def test_texts_that_are_no_token(mechanism: str, token: str) -> None:
    error = opening(mechanism, token=token).error

    assert isinstance(error, NotSupported)
    assert (error.stage, error.reason) == ("AUTH", "token-not-a-word")
    assert "without 'Bearer'" in error.cure
    assert not token.strip() or token not in shown_by_trackers(error)


@both_mechanisms
@pytest.mark.parametrize("name", ["a\x01auth=Bearer x", "a\nb", "a\x7f", "\x1b"])
def test_user_names_that_would_be_another_field(mechanism: str, name: str) -> None:
    error = opening(mechanism, username=name).error

    assert isinstance(error, NotSupported)
    assert (error.message, error.stage) == ("the user name has a control character", "AUTH")


@both_mechanisms
def test_a_host_that_would_be_another_field(mechanism: str) -> None:
    with pytest.raises(NotSupported, match="the host has a control character"):
        said(mechanism, Login("me", "token", "a\x01b"))


@pytest.mark.parametrize("secret", [None, b"octets", 5])
def test_what_is_no_text(secret: object) -> None:
    error = opening("XOAUTH2", token=secret).error

    assert isinstance(error, NotSupported)
    assert error.reason == "credentials-not-text"


def fields_of(dialogue: Dialogue) -> list[str]:
    word = next(dialogue)
    assert isinstance(word, bytes)
    return word.decode().split("\x01")


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(names, tokens)
def test_each_field_is_what_was_given(name: str, token: str) -> None:
    login = Login(name, token, "mx.example", 587)
    header, *fields = fields_of(MECHANISMS["OAUTHBEARER"].start(login))
    flag, identity, rest = header.split(",")

    assert (flag, rest) == ("n", "")
    assert identity.replace("=2C", ",").replace("=3D", "=") == f"a={name}"
    assert fields == ["host=mx.example", "port=587", f"auth=Bearer {token}", "", ""]
    expected = [f"user={name}", f"auth=Bearer {token}", "", ""]
    assert fields_of(MECHANISMS["XOAUTH2"].start(login)) == expected


# Who gets a token.


def test_the_kind_of_secret_decides() -> None:
    offered = "CRAM-MD5 XOAUTH2 OAUTHBEARER SCRAM-SHA-256"
    result = opening("OAUTHBEARER", (first("OAUTHBEARER"), b"235 ok\r\n"), offered=offered)

    assert result.opened is not None
    assert result.opened.mechanism == "OAUTHBEARER"


def never() -> str:
    raise AssertionError("the secret was asked for")


@pytest.mark.parametrize(
    ("kind", "offered"), [("token", "PLAIN LOGIN SCRAM-SHA-1"), ("password", "XOAUTH2")]
)
def test_no_secret_is_taken_for_another(kind: Any, offered: str) -> None:
    error = Opening(endpoint(never, kind=kind), GREETING, hello(f"AUTH {offered}")).error

    assert isinstance(error, NotSupported)
    assert error.reason == "no-mechanism"


@both_mechanisms
def test_no_token_in_clear(mechanism: str) -> None:
    given = endpoint(never, kind="token", allow_auth_without_tls=False)
    error = Opening(given, GREETING, hello(f"AUTH {mechanism}")).error

    assert isinstance(error, NotSupported)
    assert error.message == f"{mechanism} would send the token without TLS"
    assert "allow_auth_without_tls=True" in error.cure


# Through the driver.


@both_mechanisms
@pytest.mark.parametrize("length", [20, 2_000, MAX_CREDENTIALS - len("me@mx.example")])
def test_tokens_of_every_length(
    scripted_server: ServerFactory, certificates: Certificates, mechanism: str, length: int
) -> None:
    token = ("ya29." + "x" * length)[:length]
    server = scripted_server(
        tokens={"me@mx.example": token},
        mechanisms=["XOAUTH2", "OAUTHBEARER"],
        ssl_context=certificates.server(),
    )
    given = Endpoint(
        server.host,
        server.port,
        Security.STARTTLS,
        tls=TLSOptions(ca_file=certificates.ca_file),
        credentials=Credentials("me@mx.example", lambda: token, kind="token"),
        auth_mechanisms=(mechanism,),
        ehlo_name="client.test",
    )
    with connect(given) as connection:
        assert connection.mechanism == mechanism
    assert server.violations == []
    assert server.connections[0].auth[0].username == "me@mx.example"


@both_mechanisms
def test_a_refusal_shows_no_token(scripted_server: ServerFactory, mechanism: str) -> None:
    server = scripted_server(tokens={"me": "other"}, mechanisms=[mechanism])
    credentials = Credentials("me", lambda: TOKEN, kind="token")
    given = Endpoint(
        server.host, server.port, Security.NONE, credentials=credentials, ehlo_name="client.test"
    )
    with pytest.raises(AuthenticationRefused) as caught:
        connect(given)

    assert caught.value.message.startswith("the server does not take the token: invalid_token")
    heard = server.connections[0].commands[1].split()[-1].decode()
    shown = shown_by_trackers(caught.value) + render(caught.value.transcript)
    assert base64.b64decode(heard)
    assert TOKEN not in shown
    assert heard not in shown


def test_inside_tls_a_token_may_go() -> None:
    options: dict[str, Any] = {
        "security": Security.IMPLICIT_TLS,
        "allow_auth_without_tls": False,
        "port": 25,
    }
    result = opening("XOAUTH2", (first("XOAUTH2"), b"235 ok\r\n"), **options)

    assert result.opened is not None
