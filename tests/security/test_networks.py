"""Duties of accounts: whoever may edit one gets no way into the site's own network."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.sending.accounts import source
from django_smtpauth.sending.guard import NotAllowed
from django_smtpauth.smtp import ConnectError
from tests.backend_fixtures import PASSWORD, USER, failure_of, message
from tests.leaks import shown_by_trackers
from tests.servers.fixtures import ServerFactory
from tests.servers.proxies import Socks5Proxy
from tests.servers.scripted import ScriptedServer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_leaks")]

BANNER = "mail.inside.example Postfix"
#: A public address that nothing can leave for from an address of this machine.
PUBLIC, HERE = "1.1.1.1", "127.0.0.1"


@pytest.fixture
def inside(
    scripted_server: ServerFactory, make_account: Any, mail_settings: Any, settings: Any
) -> Callable[..., ScriptedServer]:
    """A server of the site's network, on a port of mail, and an account that an editor made."""

    def start(host: str, **fields: Any) -> ScriptedServer:
        greeting = f"220 {BANNER}\r\n".encode()
        server = scripted_server(users={USER: PASSWORD}, replies={"GREETING": greeting})
        make_account("club", server, host=host, internal_host=False, **fields)
        mail_settings()
        settings.SMTPAUTH = {**settings.SMTPAUTH, "ALLOWED_PORTS": [server.port]}
        return server

    return start


def failure(kind: type[Exception] = NotAllowed) -> Any:
    backend = EmailBackend(account="club", ehlo_name="client.test")
    return failure_of(backend, [message()], kind)


@pytest.mark.parametrize("host", [HERE, "127.1", "localhost", "::ffff:127.0.0.1", "0"])
def test_an_account_does_not_scan_this_site_s_network(
    inside: Callable[..., ScriptedServer], scripted_server: ServerFactory, host: str
) -> None:
    """Whether something listens there, and what it says, shows in nothing."""
    server = inside(host)
    listening = str(failure())
    assert BANNER not in shown_by_trackers(failure())
    assert server.connections == []
    server.close()
    assert str(failure()) == listening


def test_an_account_does_not_rebind_a_name(
    inside: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name's owner answers each look-up otherwise; no answer leads inside."""
    server = inside("mx.attacker.example", source_address=HERE)
    answers = iter([PUBLIC, HERE, HERE, PUBLIC, HERE])

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    kinds = [type(failure(ConnectError)) for _ in range(5)]
    assert kinds == [ConnectError, NotAllowed, NotAllowed, ConnectError, NotAllowed]
    assert server.connections == []


def test_an_account_does_not_reach_inside_by_a_proxy(
    inside: Callable[..., ScriptedServer], settings: Any
) -> None:
    """Neither as a server behind the site's proxy, nor as a proxy of its own."""
    with Socks5Proxy() as proxy:
        server = inside("mail.internal", username=USER, password=PASSWORD)
        settings.SMTPAUTH["DEFAULTS"] = {"proxy": f"socks5://{HERE}:{proxy.port}"}
        failure()
        account = SMTPAccount.objects.get()
        account.host, account.proxy = "mx.invalid", f"socks5://{HERE}:{proxy.port}"
        account.save()
        failure()
        assert proxy.requests == []
        assert server.connections == []


@pytest.mark.parametrize("marked", [False, True])
def test_an_account_moved_past_the_form_stays_outside(
    inside: Callable[..., ScriptedServer], marked: bool
) -> None:
    """Who can write a row may mark it as internal, but then its password does not open."""
    server = inside("smtp.example.com", username=USER, password=PASSWORD)
    SMTPAccount.objects.update(host=HERE, internal_host=marked)
    source.invalidate()
    error = failure(SecretUnreadable if marked else NotAllowed)
    assert PASSWORD not in shown_by_trackers(error)
    assert b"AUTH" not in b"".join(bytes(one.received) for one in server.connections)
