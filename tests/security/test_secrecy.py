"""Duty of the log: no form of a secret leaves, whatever becomes of the log-in."""

from __future__ import annotations

import base64
import binascii
import logging
import pickle
from typing import Any

import pytest

from django_smtpauth.smtp import SMTPError
from django_smtpauth.smtp.parameters import xtext
from tests.backend_fixtures import USER, backend_for, message
from tests.leaks import forms_of, shown_by_trackers
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.records import Connection
from tests.servers.sasl import MECHANISMS
from tests.servers.scripted import CLOSE, RESET, SILENCE, Answer, Then

pytestmark = pytest.mark.usefixtures("certificates", "nothing_leaks")

PASSWORD = "Geh=eim+42 <Wört>"
TOKEN = "ya29.Geh=eim+42/" + "Wort~" * 40
#: EXTERNAL has no secret on the wire; the key is OpenSSL's alone.
REVEALING = ("PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2")
PROVING = sorted(MECHANISMS.keys() - {*REVEALING, "EXTERNAL"})


def secret_of(mechanism: str) -> str:
    return TOKEN if "AUTH" in mechanism else PASSWORD


def forms(secret: str) -> set[str]:
    """The secret as protocols, logs and error pages write it, and the beginning of a message."""
    proof = f"n,a={USER},\x01host=127.0.0.1\x01port=".encode()
    encoded = base64.b64encode(proof).decode()
    return {*forms_of(secret, USER), encoded, encoded[4:-4]}


def shown(error: BaseException | None, one: Any, logged: str) -> str:
    """Everything that a page, a tracker, a log or a queue can show of a send."""
    result = one.smtp_result
    texts = [logged, result.dialogue(), repr(result), str(result.to_dict())]
    texts += [str(event) for event in result.transcript]
    if error is not None:
        texts += [shown_by_trackers(error), repr(error)]
    if isinstance(error, SMTPError):
        texts += [str(error.to_dict()), str(error.transcript), str(error.smtp_error)]
        texts.append(pickle.dumps(error).decode("utf-8", "replace"))
    return "\n".join(texts)


def echo(code: bytes) -> Any:
    """An answer that repeats what was heard, as it was and decoded."""

    def answer(connection: Connection, line: bytes) -> bytes:
        word = line.split()[-1] if line else b""
        try:
            decoded = base64.b64decode(word, validate=True).replace(b"\r", b"").replace(b"\n", b"")
        except ValueError:
            decoded = b""
        words = [b"you said " + word, b"that is " + decoded, b"in full: " + line]
        *most, last = [code + b"-5.7.8 " + text + b"\r\n" for text in words]
        return b"".join(most) + last.replace(b"-", b" ", 1)

    return answer


def challenge(connection: Connection, line: bytes) -> bytes:
    """What was heard, as a challenge."""
    return b"334 " + (line.split() or [b""])[-1] + b"\r\n"


def nonsense(connection: Connection, line: bytes) -> bytes:
    """What was heard, as no reply at all."""
    return b"999 " + (line.split() or [b""])[-1] + b"\r\n"


FATES: dict[str, Any] = {
    "success": None,
    "wrong": None,
    "refusal": b"535 5.7.8 no\r\n",
    "refusal for now": b"454 4.7.0 later\r\n",
    "goodbye": Answer(b"421 4.7.0 bye\r\n", Then.CLOSE),
    "garbage": b"what?\r\n",
    "no base64": b"334 ****\r\n",
    "one challenge more": b"334 UGFzc3dvcmQ6\r\n",
    "time-out": SILENCE,
    "disconnect": CLOSE,
    "reset": RESET,
    "echo": echo(b"535"),
    "echo for now": echo(b"454"),
    "echo in goodbye": echo(b"421"),
    "echo in what is no reply": nonsense,
    "echo in a challenge": challenge,
    "echo in challenges that are none": echo(b"334"),
    "echo in success": echo(b"235"),
}


@pytest.mark.parametrize("mechanism", [*REVEALING, *PROVING])
@pytest.mark.parametrize("fate", FATES)
def test_secrets_in_logs(
    scripted_server: ServerFactory,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    mechanism: str,
    fate: str,
) -> None:
    secret = secret_of(mechanism)
    known = f"not {secret}" if fate == "wrong" else secret
    key = "AUTH" if mechanism in ("PLAIN", "OAUTHBEARER", "XOAUTH2") else "AUTH-RESPONSE"
    server = scripted_server(
        ssl_context=certificates.server(),
        implicit_tls=True,
        certificate=certificates.server_pem,
        users={USER: known},
        tokens={USER: known},
        mechanisms=[mechanism],
        replies={} if FATES[fate] is None else {key: FATES[fate]},
    )
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {"username": USER, "auth_mechanisms": [mechanism]}
    options["access_token" if secret == TOKEN else "password"] = secret
    backend = backend_for(
        server,
        use_ssl=True,
        ca_file=certificates.ca_file,
        timeout=0.3 if fate == "time-out" else None,
        **options,
    )
    one = message()
    error: BaseException | None = None
    try:
        backend.send_messages([one])
    except SMTPError as caught:
        error = caught
    succeeds = fate == "success" or (fate == "echo in success" and mechanism in REVEALING)
    # LOGIN is answered twice, the first time before its password.
    succeeds = succeeds and not (mechanism == "LOGIN" and fate == "echo in success")
    assert (error is None) == succeeds or mechanism == "CRAM-MD5"
    everything = shown(error, one, caplog.text)
    assert f"AUTH {mechanism}" in everything
    assert [form for form in forms(secret) if form in everything] == []


def test_secrets_in_logs_would_be_found() -> None:
    """In every form that is looked for, also amid other text."""
    for secret in (PASSWORD, TOKEN):
        wanted = forms(secret)
        for text in (
            secret,
            base64.b64encode(f"\0{USER}\0{secret}".encode()).decode(),
            base64.b64encode(f"\0another\0{secret} and more".encode()).decode(),
            base64.b64encode(f"x\0another\0{secret} and more".encode()).decode(),
            base64.b64encode(f"xy\0another\0{secret} and more".encode()).decode(),
            xtext(secret),
            binascii.b2a_qp(secret.encode()).decode().replace("=\n", ""),
        ):
            assert any(form in f"so {text}, it said" for form in wanted), text


@pytest.mark.parametrize("kind", ["password", "access_token", "proxy"])
def test_secrets_in_logs_of_the_backend_itself(scripted_server: ServerFactory, kind: str) -> None:
    """Nor does a backend print what it was made with."""
    server = scripted_server()
    secret = "Geheim-42-Wort"
    value = f"http://user:{secret}@127.0.0.1:9" if kind == "proxy" else secret
    backend = backend_for(server, username=USER, **{kind: value})
    texts = [repr(backend), repr(vars(backend)), repr(backend.route()), str(backend._options)]
    assert [text for text in texts if any(form in text for form in forms(secret))] == []
