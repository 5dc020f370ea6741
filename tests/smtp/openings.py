"""Plays the opening of a session against a script, and knows how each mechanism should sound."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import SMTPError
from django_smtpauth.smtp.needs import Handshake
from django_smtpauth.smtp.opening import Opened, opening_steps
from django_smtpauth.smtp.refusals import Refusals
from django_smtpauth.smtp.sasl import Credentials
from django_smtpauth.smtp.sasl.credentials import Kind
from django_smtpauth.smtp.tls import Security
from django_smtpauth.smtp.transcript import render
from django_smtpauth.smtp.wire import Wire
from tests.smtp.sansio import Clock, Driver, Script, new_wire

Turn = tuple[bytes, "bytes | None"]

GREETING: Turn = (b"", b"220 mx ESMTP\r\n")
SECRET = "hunter2-ßécret"


def b64(text: str | bytes) -> bytes:
    return base64.b64encode(text.encode() if isinstance(text, str) else text)


def endpoint(
    secret: Callable[[], Any] = lambda: SECRET,
    username: str = "jürgen",
    kind: Kind = "password",
    **options: Any,
) -> Endpoint:
    """A server that is trusted with a password in clear."""
    options = {"security": Security.NONE, "allow_auth_without_tls": True, **options}
    return Endpoint("mx.example", credentials=Credentials(username, secret, kind), **options)


def hello(*keywords: str) -> Turn:
    lines = ["mx", *keywords]
    dashes = ["250-"] * (len(lines) - 1) + ["250 "]
    reply = "".join(f"{dash}{line}\r\n" for dash, line in zip(dashes, lines, strict=True))
    return b"EHLO me.example\r\n", reply.encode()


class Opening:
    """One opening against a script; `error` if it failed."""

    def __init__(
        self,
        endpoint: Endpoint,
        *turns: Turn,
        trickle: bool = False,
        loopback: bool = False,
        handshake: Handshake | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.script = Script(*turns)
        self.wire: Wire = new_wire()
        self.opened: Opened | None = None
        self.stages: list[str] = []
        self.error: SMTPError | None = None
        driver = Driver(self.script, trickle=trickle, handshake=handshake)
        opened = Opened()
        steps = opening_steps(
            opened,
            self.wire,
            endpoint,
            ehlo_name="me.example",
            loopback=loopback,
            refusals=Refusals(Clock()) if refusals is None else refusals,
        )
        try:
            for stage, step in steps:
                driver.run(step)
                self.stages.append(stage)
            self.opened = opened
        except SMTPError as error:
            self.error = error
        assert self.script.finished, (self.script.turns, self.script.heard, self.error)

    @property
    def transcript(self) -> str:
        return render(self.wire.session.events)


CHALLENGE = b"<1896.697170952@postoffice.reston.mci.net>"


def exchange_of(mechanism: str) -> list[Turn]:
    digest = hmac.new(SECRET.encode(), CHALLENGE, hashlib.md5).hexdigest()
    turns: dict[str, list[Turn]] = {
        "PLAIN": [(b"AUTH PLAIN " + b64(f"\0jürgen\0{SECRET}") + b"\r\n", b"235 ok\r\n")],
        "LOGIN": [
            (b"AUTH LOGIN\r\n", b"334 VXNlcm5hbWU6\r\n"),
            (b64("jürgen") + b"\r\n", b"334 UGFzc3dvcmQ6\r\n"),
            (b64(SECRET) + b"\r\n", b"235 2.7.0 ok\r\n"),
        ],
        "CRAM-MD5": [
            (b"AUTH CRAM-MD5\r\n", b"334 " + b64(CHALLENGE) + b"\r\n"),
            (b64(f"jürgen {digest}") + b"\r\n", b"235 2.7.0 ok\r\n"),
        ],
    }
    return turns[mechanism]


def forms_of_the_secret() -> list[str]:
    """The secret and every encoded form of it that goes over the wire."""
    sent = [exchange_of(mechanism)[-1][0] for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5")]
    encoded = [line.split()[-1].decode() for line in sent]
    return [SECRET, repr(SECRET.encode())[2:-1], *encoded]
