"""Knocking at other ports of a server: what each one is found to speak."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from django_smtpauth.diagnosis import siblings
from django_smtpauth.diagnosis.siblings import Knock, knock
from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending.accounts import account_of
from django_smtpauth.sending.routing import Route, account_route
from django_smtpauth.smtp import Security
from tests.backend_fixtures import _fresh_process, backend_for  # noqa: F401
from tests.servers.certificates import Certificates
from tests.servers.fixtures import MuteFactory, ServerFactory
from tests.servers.scripted import SILENCE, ScriptedServer

BOUND = 15.0


def route_beside(server: ScriptedServer, **options: Any) -> Route:
    """To a port of the same host that nobody knocks at."""
    route = backend_for(server, **options).route()
    return replace(route, endpoint=replace(route.endpoint, port=1))


def only(route: Route, port: int, seconds: float = 5.0) -> Knock:
    (found,) = knock(route, [port, 1], seconds)
    assert found.port == port
    return found


def test_the_own_port_is_not_asked_again(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    route = backend_for(server).route()
    assert knock(route, [server.port]) == ()
    assert server.connections == []


@pytest.mark.parametrize("trusted", [True, False])
def test_implicit_tls(
    scripted_server: ServerFactory,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
) -> None:
    """A certificate that does not verify is TLS, too."""
    server = scripted_server(ssl_context=certificates.server(), implicit_tls=True)
    monkeypatch.setattr(siblings, "IMPLICIT", {server.port})
    ca_file = certificates.ca_file if trusted else certificates.other_ca_file
    found = only(route_beside(server, ca_file=ca_file, security="starttls"), server.port)
    assert (found.connected, found.security) == (True, Security.IMPLICIT_TLS)
    assert bool(found.fault) is not trusted


def test_something_else_than_mail(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"GREETING": b"SSH-2.0-OpenSSH\r\n"})
    found = only(route_beside(server), server.port)
    assert (found.connected, found.security) == (True, None)
    assert "no SMTP reply" in found.fault


def test_a_server_that_does_not_greet(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"GREETING": SILENCE})
    began = time.monotonic()
    found = only(route_beside(server), server.port, 0.2)
    assert time.monotonic() - began < BOUND
    assert (found.connected, found.security) == (True, None)


def test_nobody_and_nothing(scripted_server: ServerFactory, mute: MuteFactory) -> None:
    server = scripted_server()
    silent = mute(("127.0.0.1", 0)).address[1]
    server.close()
    route = route_beside(server)
    assert only(route, silent, 0.2).silent
    refused = only(route, server.port)
    assert (refused.connected, refused.silent, refused.allowed) == (False, False, True)
    assert "Connection refused" in refused.to_dict()["fault"]


def test_an_account_knocks_only_where_it_may(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    row = SMTPAccount(slug="club", host=server.host, port=25, authentication="none")
    other, internal = knock(account_route(account_of(row)), [server.port, 587])
    assert (other.allowed, internal.allowed) == (False, False)
    assert f"port {server.port}" in other.fault
    assert "not public" in internal.fault
    assert server.connections == []


def test_a_log_in_is_not_tried(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={"club": "secret"})
    found = only(route_beside(server, username="club", password="secret"), server.port)
    assert found.security is Security.NONE
    assert server.connections[0].auth == []
