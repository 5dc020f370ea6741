"""What the attacks share: who is attacked, and what the server must not have heard."""

from __future__ import annotations

import re
from typing import Any

from django.core.mail import EmailMessage

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import SMTPError
from tests.backend_fixtures import PASSWORD, USER, backend_for, failure_of, message
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import ScriptedServer

#: The word that an attacker would like to see at the beginning of a line.
EVIL = "XEVIL"
#: The extensions whose parameters are attacked.
GENEROUS = [
    "PIPELINING",
    "SIZE 10240000",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "MT-PRIORITY",
    "AUTH PLAIN LOGIN",
]

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def generous(scripted_server: ServerFactory) -> ScriptedServer:
    """A server that offers everything that is attacked, and knows the user."""
    return scripted_server(extensions=GENEROUS, users={USER: PASSWORD})


def user_of(server: Any, **options: Any) -> EmailBackend:
    """A backend that logs in."""
    return backend_for(server, **{"username": USER, "password": PASSWORD, **options})


def loss(backend: EmailBackend, *messages: EmailMessage) -> SMTPError:
    """The error of a send that fails, of one message unless more are given."""
    error = failure_of(backend, messages or [message()], OSError)
    assert isinstance(error, SMTPError)
    return error


def received(server: ScriptedServer) -> bytes:
    """Everything that all clients sent."""
    return b"\n--\n".join(bytes(one.received) for one in server.connections)


def verbs(server: ScriptedServer) -> list[str]:
    """Of every command on every connection."""
    return [verb for one in server.connections for verb in one.verbs]


def assert_not_injected(server: ScriptedServer) -> None:
    """Nothing of the attacker's became a line, and no line has a control character."""
    assert re.search(rb"[\r\n]" + EVIL.encode(), received(server)) is None
    assert [line for line in server.commands if _CONTROL.search(line)] == []
    assert server.violations == []


def assert_nothing_secret(server: ScriptedServer, *forms: str) -> None:
    """The server was told none of this."""
    told = received(server)
    assert [form for form in forms if form.encode() in told] == []
