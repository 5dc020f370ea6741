"""SCRAM against the documents' vectors, an independent server half, and hostile servers."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramException, ScramMechanism  # type: ignore[import-untyped]

from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported, ProtocolError
from django_smtpauth.smtp.needs import Call
from django_smtpauth.smtp.sasl import MECHANISMS, ChannelBinding, Login
from django_smtpauth.smtp.sasl.scram import BINDING_TYPE_REFUSED, new_nonce, saslname, scram
from tests.leaks import shown_by_trackers
from tests.smtp.openings import GREETING, SECRET, Opening, b64, endpoint, hello

NAMES = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"]
NONCE = "rOprNGfwEbeRWgbNEkqO"


class Exchange:
    """The client's side, step by step; long computations are done on the spot."""

    def __init__(self, login: Login, algorithm: str = "sha256", plus: bool = False) -> None:
        self.dialogue = scram(algorithm, plus=plus, nonce=lambda: NONCE)(login)
        self.first = next(self.dialogue)

    def send(self, words: str | bytes | None) -> Any:
        said = self.dialogue.send(words.encode() if isinstance(words, str) else words)
        while isinstance(said, Call):
            said = self.dialogue.send(said.function())
        return said


# RFC 5802 section 5, RFC 7677 section 3.
VECTORS = [
    (
        "sha1",
        "fyko+d2lbbFgONRv9qkxdawL",
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "sha256",
        NONCE,
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize(
    ("algorithm", "nonce", "first", "challenge", "final", "signature"), VECTORS
)
def test_the_documents_vectors(
    algorithm: str, nonce: str, first: str, challenge: str, final: str, signature: str
) -> None:
    dialogue = scram(algorithm, nonce=lambda: nonce)(Login("user", "pencil"))

    assert next(dialogue) == first.encode()
    computation = dialogue.send(challenge.encode())
    assert isinstance(computation, Call)
    assert dialogue.send(computation.function()) == final.encode()
    assert dialogue.send(signature.encode()) == b""
    with pytest.raises(StopIteration):
        dialogue.send(None)


def converse(name: str, username: str, password: str, known: str, login: Login) -> list[str]:
    """The server's half by an independent implementation; the user names that it saw."""
    seen: list[str] = []
    mechanism = ScramMechanism(name)
    information = mechanism.make_auth_info(known, iteration_count=4096)

    def look_up(user: str) -> Any:
        seen.append(user)
        return information

    server = mechanism.make_server(look_up)
    dialogue = MECHANISMS[name].start(login)
    first = next(dialogue)
    assert isinstance(first, bytes)
    server.set_client_first(first.decode())
    computation = dialogue.send(server.get_server_first().encode())
    assert isinstance(computation, Call)
    final = dialogue.send(computation.function())
    assert isinstance(final, bytes)
    server.set_client_final(final.decode())
    assert dialogue.send(server.get_server_final().encode()) == b""
    with pytest.raises(StopIteration):
        dialogue.send(None)
    return seen


text = st.text(st.sampled_from("abcXYZ09,=;: '\"\\éßñ中文"), min_size=1, max_size=12)


@pytest.mark.parametrize("name", NAMES)
@given(username=text, password=text)
@settings(max_examples=20, deadline=None)
def test_an_independent_server_agrees(name: str, username: str, password: str) -> None:
    login = Login(username, password)

    assert converse(name, username, password, password, login) == [username]


def test_an_independent_server_refuses_a_wrong_password() -> None:
    with pytest.raises(ScramException):
        converse("SCRAM-SHA-256", "me", "wrong", "right", Login("me", "wrong"))


def test_what_looks_alike_is_alike() -> None:
    # A ligature, a soft hyphen, a wide space, a Roman numeral.
    written, plain = "ﬁ\u00adne\u3000Ⅸ", "fine IX"

    assert converse("SCRAM-SHA-256", plain, plain, plain, Login(written, written)) == [plain]


def test_what_saslprep_refuses_is_sent_as_it_is() -> None:
    notes: list[str] = []
    exchange = Exchange(Login("a\u0007", "🔑", note=notes.append))
    assert exchange.first == f"n,,n=a\u0007,r={NONCE}".encode()
    exchange.send(f"r={NONCE}x,s=c2FsdA==,i=4096")

    assert notes == [
        f"the {what} has characters that SASLprep (RFC 4013) refuses: used as it is"
        for what in ("user name", "password")
    ]


def test_an_empty_password_needs_no_note() -> None:
    notes: list[str] = []
    exchange = Exchange(Login("me", "", note=notes.append))
    exchange.send(f"r={NONCE}x,s=c2FsdA==,i=4096")

    assert notes == []


def test_a_nonce_is_random_and_has_no_comma() -> None:
    nonces = {new_nonce() for _ in range(100)}

    assert len(nonces) == 100
    assert all(re.fullmatch("[A-Za-z0-9_-]{24}", nonce) for nonce in nonces)


def test_names_are_quoted() -> None:
    assert saslname("a=b,c=3D") == "a=3Db=2Cc=3D3D"


# Channel binding: the header says it first, and the proof covers it.

BINDING = ChannelBinding("tls-server-end-point", b"digest")


@pytest.mark.parametrize(
    ("plus", "binding", "header", "bound"),
    [
        (False, None, b"n,,", b"n,,"),
        (False, BINDING, b"y,,", b"y,,"),
        (True, BINDING, b"p=tls-server-end-point,,", b"p=tls-server-end-point,,digest"),
    ],
)
def test_how_an_exchange_is_bound(
    plus: bool, binding: ChannelBinding | None, header: bytes, bound: bytes
) -> None:
    exchange = Exchange(Login("me", "x", channel_binding=binding), plus=plus)
    final = exchange.send(f"r={NONCE}x,s=c2FsdA==,i=4096")

    assert exchange.first == header + f"n=me,r={NONCE}".encode()
    assert final.startswith(b"c=" + base64.b64encode(bound) + b",r=")


def test_no_binding_no_plus() -> None:
    with pytest.raises(NotSupported, match="there is no channel binding"):
        Exchange(Login("me", "x"), plus=True)


def test_a_type_of_binding_that_the_server_lacks() -> None:
    login = Login("me", "x", channel_binding=BINDING)
    with pytest.raises(NotSupported) as caught:
        Exchange(login, plus=True).send("e=unsupported-channel-binding-type")
    assert caught.value.reason == BINDING_TYPE_REFUSED
    # Without a binding of ours these words make no sense, and change nothing.
    assert Exchange(login).send("e=unsupported-channel-binding-type") == b""


# Hostile servers.


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (f"r={NONCE},s=c2FsdA==,i=4096", "does not continue ours"),
        (f"r=x{NONCE},s=c2FsdA==,i=4096", "does not continue ours"),
        (f"r={NONCE[:-1]},s=c2FsdA==,i=4096", "does not continue ours"),
        (f"r={NONCE}x,s=c2FsdA==,i=4095", "asks for 4095 rounds"),
        (f"r={NONCE}x,s=c2FsdA==,i=1000001", "asks for 1000001 rounds"),
        (f"r={NONCE}x,s=c2FsdA==,i=0", "can't be read"),
        (f"r={NONCE}x,s=c2FsdA==,i=-4096", "can't be read"),
        (f"r={NONCE}x,s=c2FsdA==,i={'9' * 11}", "can't be read"),
        (f"r={NONCE}x,s=c2FsdA==,i=४०९६", "can't be read"),
        (f"r={NONCE}x,s=c2F,i=4096", "bad base64"),
        (f"r={NONCE}x,s=,i=4096", "can't be read"),
        (f"r={NONCE} x,s=c2FsdA==,i=4096", "can't be read"),
        (f"s=c2FsdA==,r={NONCE}x,i=4096", "can't be read"),
        (f"m=ext,r={NONCE}x,s=c2FsdA==,i=4096", "extension"),
        ("", "can't be read"),
        (b"\xff", "not UTF-8"),
        (None, "without a proof"),
    ],
)
def test_first_messages_that_are_refused(words: str | bytes | None, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint):
        Exchange(Login("me", "x")).send(words)


@pytest.mark.parametrize("rounds", [4_096, 1_000_000])
def test_rounds_that_are_just_accepted(rounds: int) -> None:
    dialogue = scram("sha256", nonce=lambda: NONCE)(Login("me", "x"))
    next(dialogue)

    assert isinstance(dialogue.send(f"r={NONCE}x,s=c2FsdA==,i={rounds},x=y".encode()), Call)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("v=" + "A" * 43 + "=", "signature is wrong"),
        ("v=AAAA", "signature is wrong"),
        ("v=A", "bad base64"),
        ("v=", "can't be read"),
        ("", "can't be read"),
        (b"\xff", "not UTF-8"),
        (None, "without a proof"),
    ],
)
def test_last_messages_that_are_refused(words: str | bytes | None, complaint: str) -> None:
    exchange = Exchange(Login("me", "x"))
    exchange.send(f"r={NONCE}x,s=c2FsdA==,i=4096")
    with pytest.raises(ProtocolError, match=complaint):
        exchange.send(words)


@pytest.mark.parametrize("proven", [False, True])
def test_a_failure_that_the_server_reports_itself(proven: bool) -> None:
    notes: list[str] = []
    exchange = Exchange(Login("me", "x", note=notes.append))
    if proven:
        exchange.send(f"r={NONCE}x,s=c2FsdA==,i=4096")

    assert exchange.send("e=invalid-proof") == b""
    assert notes == ["the server says: invalid-proof"]
    with pytest.raises(ProtocolError, match="success after it had reported a failure"):
        exchange.send(None)


@pytest.mark.parametrize("proven", [False, True])
def test_a_reported_failure_is_followed_by_silence(proven: bool) -> None:
    exchange = Exchange(Login("me", "x"))
    if proven:
        exchange.send(f"r={NONCE}x,s=c2FsdA==,i=4096")
    exchange.send("e=other-error")
    with pytest.raises(StopIteration):
        exchange.send("")


# In an AUTH exchange.


def begun(monkeypatch: pytest.MonkeyPatch, *turns: Any) -> Opening:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: NONCE)
    first = b64(f"n,,n=jürgen,r={NONCE}".encode())
    head, *rest = turns
    return Opening(
        endpoint(),
        GREETING,
        hello("AUTH PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256"),
        (b"AUTH SCRAM-SHA-256 " + first + b"\r\n", head),
        *rest,
    )


def test_a_reported_failure_explains_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"334 " + b64("e=unknown-user") + b"\r\n"
    error = begun(monkeypatch, said, (b"\r\n", b"535 no\r\n")).error

    assert isinstance(error, AuthenticationRefused)
    assert str(error) == "AUTH refused: 535\nthe server says: unknown-user\nno"
    assert SECRET not in shown_by_trackers(error)


def test_success_at_once_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = begun(monkeypatch, b"235 welcome\r\n")

    assert isinstance(opening.error, ProtocolError)
    assert opening.error.reason == "server-signature"
    assert not opening.wire.session.reusable
    assert SECRET not in shown_by_trackers(opening.error)


def test_a_bad_first_message_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"334 " + b64(f"r={NONCE}x,s=c2FsdA==,i=1") + b"\r\n"
    error = begun(monkeypatch, said, (b"*\r\n", b"501 cancelled\r\n")).error

    assert isinstance(error, ProtocolError)
    assert error.reason == "scram-iterations"
