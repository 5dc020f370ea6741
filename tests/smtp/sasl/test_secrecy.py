from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

import pytest

from django_smtpauth.smtp.commands import REDACTED
from django_smtpauth.smtp.connection import connect
from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import AuthenticationRefused, SMTPError
from django_smtpauth.smtp.sasl import Credentials
from django_smtpauth.smtp.tls import Security
from django_smtpauth.smtp.transcript import render
from tests.servers.behaviour import Behaviour
from tests.servers.records import Connection
from tests.servers.scripted import ScriptedServer
from tests.smtp.openings import (
    GREETING,
    SECRET,
    Opening,
    endpoint,
    exchange_of,
    forms_of_the_secret,
    hello,
)

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])


def seen_in_traceback(error: BaseException | None) -> Iterator[str]:
    """What an error page or a tracker would show of an exception and all that hangs on it."""
    while error is not None:
        yield from (str(error), repr(error), "".join(traceback.format_exception(error)))
        yield from (repr(value) for value in vars(error).values())
        yield from locals_of(error.__traceback__)
        error = error.__cause__ or error.__context__


def locals_of(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        # Tests know the secret; what is asked is whether the engine's frames do.
        if trace.tb_frame.f_globals["__name__"].startswith("django_smtpauth."):
            yield from (repr(value) for value in trace.tb_frame.f_locals.values())
        trace = trace.tb_next


def assert_no_secret_in(*texts: str) -> None:
    for form in forms_of_the_secret():
        assert not any(form in text for text in texts), form


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@both_ways
def test_a_server_that_repeats_what_it_heard(mechanism: str, trickle: bool) -> None:
    *turns, (last, _) = exchange_of(mechanism)
    echo = last.rstrip().rpartition(b" ")[2]
    reply = b"535-5.7.8 no: " + echo + b"\r\n535 5.7.8 " + SECRET.encode() + b" is wrong\r\n"
    opening = Opening(
        endpoint(), GREETING, hello(f"AUTH {mechanism}"), *turns, (last, reply), trickle=trickle
    )

    error = opening.error
    assert isinstance(error, AuthenticationRefused)
    assert error.reply is not None
    assert REDACTED in error.reply.text
    assert_no_secret_in(opening.transcript, *seen_in_traceback(error))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("code", [b"535 5.7.8 ", b"334 ", b"421 4.7.0 ", b"999 ", b"334"])
def test_no_secret_leaves_through_the_driver(mechanism: str, code: bytes) -> None:
    def echo(_: Connection, line: bytes) -> bytes:
        return code + line.rstrip().rpartition(b" ")[2] + b"\r\n"

    first = "AUTH" if mechanism == "PLAIN" else "AUTH-RESPONSE"
    behaviour = Behaviour(users={"jürgen": SECRET}, mechanisms=[mechanism], replies={first: echo})
    credentials = Credentials("jürgen", lambda: SECRET)
    with ScriptedServer(behaviour) as server, pytest.raises(SMTPError) as caught:
        connect(Endpoint(server.host, server.port, Security.NONE, credentials=credentials))

    assert caught.value.stage == "AUTH"
    assert caught.value.transcript
    assert_no_secret_in(render(caught.value.transcript), *seen_in_traceback(caught.value))
