"""What each mechanism says, against the vectors of the documents that define it."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from django_smtpauth.smtp.sasl import MECHANISMS, Login

# RFC 2195 section 2.
CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"


def said(name: str, username: str, secret: str, *challenges: bytes) -> list[object]:
    dialogue = MECHANISMS[name].start(Login(username, secret))
    return [next(dialogue), *(dialogue.send(challenge) for challenge in challenges)]


def test_plain_says_everything_at_once() -> None:
    # RFC 4616 section 4.
    assert said("PLAIN", "tim", "tanstaaftanstaaf") == [b"\0tim\0tanstaaftanstaaf"]


def test_login_goes_by_position() -> None:
    for prompts in ((b"Username:", b"Password:"), (b"", b""), (b"Password:", b"Username:")):
        assert said("LOGIN", "tim", "secret", *prompts) == [None, b"tim", b"secret"]


def test_cram_md5_proves_the_password() -> None:
    assert said("CRAM-MD5", "tim", "tanstaaftanstaaf", CHALLENGE) == [
        None,
        b"tim b913a602c7eda7a495b4e6e7334d3890",
    ]


@pytest.mark.parametrize("secret", ["", "x" * 200])
def test_cram_md5_with_keys_of_every_length(secret: str) -> None:
    digest = hmac.new(secret.encode(), CHALLENGE, hashlib.md5).hexdigest()

    assert said("CRAM-MD5", "tim", secret, CHALLENGE) == [None, f"tim {digest}".encode()]


def test_names_and_passwords_are_utf8() -> None:
    name, secret = "jürgen", "пароль☃"

    assert said("PLAIN", name, secret) == [b"\0" + name.encode() + b"\0" + secret.encode()]
    assert said("LOGIN", name, secret, b"", b"") == [None, name.encode(), secret.encode()]
    digest = hmac.new(secret.encode(), CHALLENGE, hashlib.md5).hexdigest()
    assert said("CRAM-MD5", name, secret, CHALLENGE)[1] == f"{name} {digest}".encode()


@pytest.mark.parametrize(("name", "turns"), [("PLAIN", 0), ("LOGIN", 2), ("CRAM-MD5", 1)])
def test_a_mechanism_ends_after_its_last_word(name: str, turns: int) -> None:
    dialogue = MECHANISMS[name].start(Login("tim", "secret"))
    next(dialogue)
    for _ in range(turns):
        dialogue.send(b"")

    with pytest.raises(StopIteration):
        dialogue.send(b"")


def test_only_cram_md5_keeps_the_secret() -> None:
    for name in ("PLAIN", "LOGIN", "CRAM-MD5"):
        words = said(name, "tim", "hunter2", *_challenges(name))
        spoken = b"|".join(word for word in words if isinstance(word, bytes))
        assert (b"hunter2" in spoken) is MECHANISMS[name].reveals_secret
        assert base64.b64encode(b"hunter2") not in spoken


def _challenges(name: str) -> list[bytes]:
    return {"PLAIN": [], "LOGIN": [b"", b""], "CRAM-MD5": [CHALLENGE]}[name]
