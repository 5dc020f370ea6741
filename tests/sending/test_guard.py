"""What accounts may reach, and how a refusal is told."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_smtpauth.backends import EmailBackend
from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.sending import ways
from django_smtpauth.sending.guard import Guard, NotAllowed, allowed_hosts, allowed_ports
from django_smtpauth.smtp import ConnectError, Dialled, SMTPError, TimedOut
from django_smtpauth.smtp.dialling import dial, resolve
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    failure_of,
    mail_settings,
    make_account,
    message,
)
from tests.servers.fixtures import ServerFactory
from tests.servers.proxies import HTTPProxy, Socks5Proxy
from tests.servers.scripted import ScriptedServer
from tests.smtp.conftest import nothing_leaks  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_leaks")]

#: Public addresses. From a source address of this machine nothing can leave for the IPv4 one.
PUBLIC, PUBLIC_V6 = "1.1.1.1", "2606:4700::1111"
HERE = "127.0.0.1"
BOUND = 15.0


def info(address: str, port: int = 25, zone: int = 0) -> tuple[Any, ...]:
    """An entry of getaddrinfo()'s answer."""
    v6 = ":" in address
    family = socket.AF_INET6 if v6 else socket.AF_INET
    end = (address, port, 0, zone) if v6 else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", end


def answering(*addresses: str) -> Callable[..., list[Any]]:
    """A resolver for which every name has these addresses."""
    return lambda host, port, timeout: [info(address, port) for address in addresses]


@pytest.fixture
def limits(settings: Any) -> Callable[..., Guard]:
    """A guard as the settings make it."""

    def make(*hosts: str, ports: Any = (25,)) -> Guard:
        settings.SMTPAUTH = {"ALLOWED_INTERNAL_HOSTS": list(hosts), "ALLOWED_PORTS": list(ports)}
        return Guard("club", allowed_hosts(), allowed_ports())

    return make


@pytest.fixture
def account(
    scripted_server: ServerFactory,
    make_account: Any,  # noqa: F811
    mail_settings: Any,  # noqa: F811
    settings: Any,
) -> Callable[..., ScriptedServer]:
    """The server of an account that is not marked as internal; its port is allowed."""

    def start(
        host: str = HERE, *, allowed: Any = (), port_allowed: bool = True, **fields: Any
    ) -> ScriptedServer:
        server = scripted_server(**fields.pop("behaviour", {}))
        where = {"host": host, "internal_host": False}
        make_account("club", server, is_default=True, **where, **fields)
        mail_settings()
        settings.SMTPAUTH = {**settings.SMTPAUTH, "ALLOWED_INTERNAL_HOSTS": list(allowed)}
        if port_allowed and server.port:
            settings.SMTPAUTH["ALLOWED_PORTS"] = [server.port]
        return server

    return start


def send(account: str = "club") -> int:
    return EmailBackend(account=account, ehlo_name="client.test").send_messages([message()])


def refusal(reason: str = "internal-host") -> NotAllowed:
    backend = EmailBackend(account="club", ehlo_name="client.test")
    error: NotAllowed = failure_of(backend, [message()], NotAllowed)
    assert (error.reason, error.stage, error.transient) == (reason, "CONNECT", False)
    return error


# -- hosts

#: All the ways in which this machine's own address can be typed.
FORMS = [
    *("127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "0x7f000001", "0", "0.0.0.0"),
    *("127.255.255.254", "::1", "[::1]", "::", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]"),
    *("::ffff:7f00:1", "①②⑦.0.0.1", "１２７.1", "localhost", "LOCALHOST"),
]


@pytest.mark.parametrize("host", FORMS)
def test_this_machine_is_not_reached_however_it_is_typed(
    account: Callable[..., ScriptedServer], host: str
) -> None:
    server = account(host)
    refusal()
    assert server.connections == []


@pytest.mark.parametrize("host", ["localhost.", "127.0.0.1.", "::1%lo", "127.0.0.1%lo"])
def test_what_only_some_resolvers_take_for_this_machine_is_not_reached(
    account: Callable[..., ScriptedServer], host: str
) -> None:
    server = account(host)
    error = failure_of(EmailBackend(account="club", ehlo_name="c.test"), [message()], SMTPError)
    assert error.reason in ("internal-host", "dns")
    assert server.connections == []


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("localhost", "localhost"),
        ("LocalHost", "LOCALHOST"),
        ("localhost", "localhost."),
        ("localhost", "127.0.0.0/8"),
        ("127.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "127.0.0.0/8"),
        ("0.0.0.0", "127.0.0.1"),
    ],
)
def test_what_the_settings_list_is_reached(
    account: Callable[..., ScriptedServer], host: str, allowed: str
) -> None:
    server = account(host, allowed=[allowed])
    assert send() == 1
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", "localhost"),
        ("localhost", "10.0.0.0/8"),
        ("127.0.0.2", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1.example.com"),
    ],
)
def test_what_the_settings_list_allows_no_more(
    account: Callable[..., ScriptedServer], host: str, allowed: str
) -> None:
    server = account(host, allowed=[allowed])
    refusal()
    assert server.connections == []


def test_an_account_that_is_marked_as_internal_is_not_guarded(
    scripted_server: ServerFactory,
    make_account: Any,  # noqa: F811
    mail_settings: Any,  # noqa: F811
) -> None:
    server = scripted_server()
    make_account("club", server, internal_host=True)
    mail_settings()
    assert send() == 1


def test_the_server_of_the_settings_is_not_guarded(
    scripted_server: ServerFactory, settings: Any
) -> None:
    settings.SMTPAUTH = {"ALLOWED_PORTS": [25]}
    assert backend_for(scripted_server()).send_messages([message()]) == 1


def test_a_socket_of_this_machine(account: Callable[..., ScriptedServer], tmp_path: Any) -> None:
    path = str(tmp_path / "smtp")
    server = account(path, behaviour={"address": path}, port=25)
    assert f"{path} is a socket of this machine" in str(refusal())
    assert server.connections == []


def test_a_socket_that_the_settings_list(
    account: Callable[..., ScriptedServer], tmp_path: Any
) -> None:
    path = str(tmp_path / "smtp")
    account(path, behaviour={"address": path}, allowed=[path], port=22)
    assert send() == 1


# -- names


def test_of_a_name_only_the_public_addresses_are_tried(
    account: Callable[..., ScriptedServer], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = account("mx.test", source_address=HERE)
    addresses = answering(HERE, PUBLIC, "10.0.0.1")
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, port, *a, **k: addresses(host, port, 1)
    )
    error = failure_of(EmailBackend(account="club", ehlo_name="c.test"), [message()], ConnectError)
    assert PUBLIC in str(error)
    assert HERE not in str(error)
    assert "10.0.0.1" not in str(error)
    assert server.connections == []


def test_the_answer_that_was_checked_is_the_one_that_is_dialled(
    account: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name is public for whoever looks first, and this machine after that."""
    server = account("mx.test", source_address=HERE)
    asked: list[str] = []

    def rebinding(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [info(PUBLIC if len(asked) == 1 else HERE, port)]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    failure_of(EmailBackend(account="club", ehlo_name="c.test"), [message()], ConnectError)
    assert asked == ["mx.test"]
    assert server.connections == []


def test_the_peer_of_the_connection_is_looked_at_again(
    scripted_server: ServerFactory, limits: Callable[..., Guard]
) -> None:
    """A way of dialling that looks the name up by itself leads elsewhere."""
    server = scripted_server()
    made: list[socket.socket] = []

    def elsewhere(host: str, port: int, timeout: float, source: Any, *, resolve: Any) -> Dialled:
        assert resolve(host, port, timeout) == [info(PUBLIC)]
        dialled = dial(HERE, server.port, timeout)
        made.append(dialled.sock)
        return dialled

    with pytest.raises(NotAllowed) as caught:
        limits().dial("mx.test", 25, BOUND, resolve=answering(PUBLIC), dial=elsewhere)
    assert caught.value.reason == "internal-host"
    assert made[0].fileno() == -1
    assert b"".join(bytes(one.received) for one in server.connections) == b""


def test_a_connection_that_is_gone_when_its_peer_is_looked_at(
    limits: Callable[..., Guard],
) -> None:
    """Whose peer nobody knows is nobody's."""
    ours, theirs = socket.socket(), socket.socket()
    theirs.close()
    with pytest.raises(ConnectError, match="lost at once"):
        limits().dial(
            "mx.test", 25, BOUND, resolve=answering(PUBLIC), dial=lambda *a, **k: Dialled(ours)
        )
    assert ours.fileno() == -1


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ([PUBLIC, "10.0.1.1", PUBLIC_V6, "fe80::1", "::1"], [PUBLIC, PUBLIC_V6]),
        ([PUBLIC], [PUBLIC]),
        (["10.0.0.1", "192.168.0.1", "10.1.0.1"], ["10.0.0.1"]),
    ],
)
def test_addresses_that_are_left(
    limits: Callable[..., Guard], answer: list[str], left: list[str]
) -> None:
    seen: list[str] = []

    def stop(host: str, port: int, timeout: float, source: Any, *, resolve: Any) -> Dialled:
        seen.extend(entry[4][0] for entry in resolve(host, port, timeout))
        raise TimedOut("no answer", stage="CONNECT")

    with pytest.raises(TimedOut):
        limits("10.0.0.0/24").dial("mx.test", 25, BOUND, resolve=answering(*answer), dial=stop)
    assert seen == left


def test_a_zone_beside_the_address_counts(limits: Callable[..., Guard]) -> None:
    with pytest.raises(NotAllowed):
        limits().dial("mx.test", 25, BOUND, resolve=lambda *_: [info(PUBLIC_V6, zone=2)])


def test_a_name_that_does_not_exist_is_told_as_ever(limits: Callable[..., Guard]) -> None:
    with pytest.raises(ConnectError) as caught:
        limits().dial("no name", 25, BOUND, resolve=resolve)
    assert caught.value.reason == "dns"


def test_a_listed_name_may_lead_anywhere(
    scripted_server: ServerFactory, limits: Callable[..., Guard]
) -> None:
    server = scripted_server()
    guard = limits("MAIL.bücher.example", ports=[server.port])
    host = "mail.xn--bcher-kva.example."
    with guard.dial(host, server.port, BOUND, resolve=answering(HERE)).sock as sock:
        assert sock.getpeername() == (HERE, server.port)


# -- ports


def test_a_port_that_is_none_of_mail(account: Callable[..., ScriptedServer]) -> None:
    server = account(allowed=[HERE], port_allowed=False)
    error = refusal("port")
    assert f"port {server.port} is none that accounts of this site may use" in str(error)
    assert server.connections == []


def test_the_usual_ports_are_allowed(settings: Any) -> None:
    settings.SMTPAUTH = {}
    assert {24, 25, 465, 587, 2525} <= allowed_ports()
    assert not {22, 53, 80, 110, 143, 443, 993, 3306, 5432, 6379, 9200, 11211} & allowed_ports()


# -- the refusal


@pytest.mark.parametrize(
    ("smtpauth", "line"),
    [
        ({}, 'SMTPAUTH = {"ALLOWED_INTERNAL_HOSTS": ["localhost"]}'),
        ({"SCOPE": ""}, 'SMTPAUTH["ALLOWED_INTERNAL_HOSTS"] = ["localhost"]'),
        (
            {"ALLOWED_INTERNAL_HOSTS": ["10.0.0.0/8"]},
            'SMTPAUTH["ALLOWED_INTERNAL_HOSTS"] += ["localhost"]',
        ),
        (
            {"ALLOWED_INTERNAL_HOSTS": ("10.0.0.0/8",)},
            'SMTPAUTH["ALLOWED_INTERNAL_HOSTS"] += ("localhost",)',
        ),
    ],
)
def test_the_line_for_the_settings_fits_what_they_say(
    settings: Any, smtpauth: dict[str, Any], line: str
) -> None:
    settings.SMTPAUTH = {**smtpauth}
    guard = Guard("club", allowed_hosts(), allowed_ports())
    with pytest.raises(NotAllowed) as caught:
        guard.dial("localhost", 25, BOUND)
    assert caught.value.settings == line
    assert str(caught.value).endswith(line)
    names: dict[str, Any] = {"SMTPAUTH": settings.SMTPAUTH} if smtpauth else {}
    exec(line, names)
    settings.SMTPAUTH = names["SMTPAUTH"]
    assert allowed_hosts().lists("localhost")
    assert allowed_hosts().covers("10.0.0.1") == ("ALLOWED_INTERNAL_HOSTS" in smtpauth)


def paste(line: str, settings: Any) -> None:
    """The line at the end of settings.py."""
    names = {"SMTPAUTH": {**settings.SMTPAUTH}}
    exec(line, names)
    settings.SMTPAUTH = names["SMTPAUTH"]


@pytest.mark.parametrize("host", FORMS)
def test_the_line_for_the_settings_works_when_it_is_pasted(
    account: Callable[..., ScriptedServer], settings: Any, host: str
) -> None:
    account(host)
    paste(refusal().settings, settings)
    error = None
    try:
        assert send() == 1
    except ConnectError as failure:
        # Nobody listens at the other addresses of this machine, but they may be asked.
        error = failure
    assert not isinstance(error, NotAllowed)


def test_the_line_for_a_port_works_when_it_is_pasted(
    account: Callable[..., ScriptedServer], settings: Any
) -> None:
    account(allowed=[HERE], port_allowed=False)
    before = allowed_ports()
    paste(refusal("port").settings, settings)
    assert send() == 1
    assert before < allowed_ports()


def test_the_line_for_a_socket_works_when_it_is_pasted(
    account: Callable[..., ScriptedServer], settings: Any, tmp_path: Any
) -> None:
    path = str(tmp_path / "sm tp “ü”")
    account(path, behaviour={"address": path}, port=25)
    paste(refusal().settings, settings)
    assert send() == 1


def test_a_refusal_names_the_account_and_both_ways_out(
    account: Callable[..., ScriptedServer],
) -> None:
    server = account("localhost")
    error = refusal()
    assert f"(account club, localhost:{server.port})" in error.headline
    assert 'ticks "internal host" on the account club' in str(error)
    assert "use_internal_host" in str(error)
    assert isinstance(pickle.loads(pickle.dumps(error)), NotAllowed)


def test_a_refusal_does_not_tell_where_the_name_leads(
    account: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else the form would be a way to ask the site's own DNS."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [info("10.20.30.40")])
    account("db.corp.example")
    one: Any = message()
    with caplog.at_level(logging.INFO), pytest.raises(NotAllowed) as caught:
        EmailBackend(account="club", ehlo_name="client.test").send_messages([one])
    shown = [str(caught.value), repr(vars(caught.value)), one.smtp_result.dialogue(), caplog.text]
    assert "10.20.30.40" not in "\n".join([*shown, repr(one.smtp_result.to_dict())])
    with caplog.at_level(logging.DEBUG):
        refusal()
    assert "10.20.30.40" in caplog.text


def test_a_refusal_repeats_nothing_of_the_settings(
    account: Callable[..., ScriptedServer],
) -> None:
    account("localhost", allowed=["10.9.8.0/24", "vault.internal"])
    error = refusal()
    assert "10.9.8" not in str(error)
    assert "vault" not in str(error)


def test_smtptest_shows_the_line_by_itself(account: Callable[..., ScriptedServer]) -> None:
    account("localhost")
    route = EmailBackend(account="club").route()
    error = refusal()
    finding = explain(Failure.of(error, route))
    assert finding.rule == "guard.internal-host"
    assert finding.settings == 'SMTPAUTH["ALLOWED_INTERNAL_HOSTS"] += ["localhost"]'
    assert finding.settings not in " ".join(map(str, finding.steps))


# -- behind a proxy


def test_a_server_behind_a_proxy_is_reached(
    account: Callable[..., ScriptedServer], settings: Any
) -> None:
    """A name that this machine can't look up: only the proxy knows where it leads."""
    server = account("mx.invalid")
    with Socks5Proxy({"mx.invalid": server.port}) as proxy:
        settings.SMTPAUTH["DEFAULTS"] = {"proxy": f"socks5://{HERE}:{proxy.port}"}
        assert send() == 1
        assert proxy.requests == [("mx.invalid", server.port)]


@pytest.mark.parametrize(
    "host",
    [*FORMS, "10.0.0.1", "fd00::1", "mail.internal", "a.b.Local.", "x.localhost", "redis"],
)
def test_an_internal_server_behind_a_proxy_is_not_asked_for(
    account: Callable[..., ScriptedServer], settings: Any, host: str
) -> None:
    account(host)
    with Socks5Proxy() as proxy:
        settings.SMTPAUTH["DEFAULTS"] = {"proxy": f"socks5://{HERE}:{proxy.port}"}
        paste(refusal().settings, settings)
        assert proxy.requests == []
        assert send() == 1
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("addresses", [["10.0.0.1"], [PUBLIC, "10.0.0.1"]])
def test_a_name_that_is_internal_here_is_not_asked_for(
    limits: Callable[..., Guard], addresses: list[str]
) -> None:
    with pytest.raises(NotAllowed, match="leads to an address that is not public"):
        limits().check_relayed("mx.test", 25, BOUND, resolve=answering(*addresses))


def test_a_name_that_is_public_here_may_be_asked_for(limits: Callable[..., Guard]) -> None:
    limits().check_relayed("mx.test", 25, BOUND, resolve=answering(PUBLIC, PUBLIC_V6))
    limits().check_relayed(PUBLIC, 25, BOUND)
    limits("redis").check_relayed("redis", 25, BOUND)
    limits("10.0.0.0/8").check_relayed("10.0.0.1", 25, BOUND)


def test_a_look_up_that_hangs_does_not_take_the_time_of_the_proxy(
    account: Callable[..., ScriptedServer], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy a site may have no DNS at all."""
    server = account("mx.example.org", timeout=BOUND)
    monkeypatch.setattr(ways, "PATIENCE", 0.05)
    release, real = threading.Event(), socket.getaddrinfo

    def hang(host: str, *arguments: Any, **details: Any) -> Any:
        if host == "mx.example.org":
            release.wait(60)
        return real(HERE, *arguments, **details)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        with Socks5Proxy({"mx.example.org": server.port}) as proxy:
            settings.SMTPAUTH["DEFAULTS"] = {"proxy": f"socks5://{HERE}:{proxy.port}"}
            assert send() == 1
    finally:
        release.set()


def test_the_port_counts_behind_a_proxy(
    account: Callable[..., ScriptedServer], settings: Any
) -> None:
    account("mx.invalid", port_allowed=False)
    with HTTPProxy() as proxy:
        settings.SMTPAUTH["DEFAULTS"] = {"proxy": f"http://{HERE}:{proxy.port}"}
        refusal("port")
        assert proxy.requests == []


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_proxy_that_the_account_names_is_guarded(
    account: Callable[..., ScriptedServer], settings: Any, kind: str
) -> None:
    """Else the proxy's field would reach what the server's does not."""
    with (Socks5Proxy if kind == "socks5" else HTTPProxy)() as proxy:
        server = account("mx.invalid", proxy=f"{kind}://localhost:{proxy.port}")
        settings.SMTPAUTH["ALLOWED_PORTS"].append(proxy.port)
        assert refusal().settings == 'SMTPAUTH["ALLOWED_INTERNAL_HOSTS"] += ["localhost"]'
        assert proxy.requests == []
        paste(refusal().settings, settings)
        proxy._ways = {"mx.invalid": server.port}
        assert send() == 1


def test_the_port_of_a_proxy_that_the_account_names(
    account: Callable[..., ScriptedServer],
) -> None:
    account("mx.invalid", proxy="socks5://proxy.invalid:22")
    error = refusal("port")
    assert "port 22 is none" in str(error)


def test_an_account_may_repeat_the_proxy_of_a_trusted_account(
    scripted_server: ServerFactory,
    make_account: Any,  # noqa: F811
    mail_settings: Any,  # noqa: F811
) -> None:
    """Marked as internal, it is sealed with its proxy."""
    server = scripted_server()
    with Socks5Proxy({"mx.invalid": server.port}) as proxy:
        make_account("club", server, host="mx.invalid", proxy=f"socks5://{HERE}:{proxy.port}")
        mail_settings()
        assert send() == 1


# -- the settings


@pytest.mark.parametrize(
    ("key", "value", "cure"),
    [
        ("ALLOWED_INTERNAL_HOSTS", "10.0.0.5", "must be a list of names and networks"),
        ("ALLOWED_INTERNAL_HOSTS", None, "must be a list"),
        ("ALLOWED_INTERNAL_HOSTS", [5], "5 is none"),
        ("ALLOWED_INTERNAL_HOSTS", [["a"]], "is none"),
        ("ALLOWED_INTERNAL_HOSTS", ["*"], "nothing guards this site's network"),
        ("ALLOWED_INTERNAL_HOSTS", ["*.internal"], "nothing guards"),
        ("ALLOWED_INTERNAL_HOSTS", ["0.0.0.0/0"], "nothing guards"),
        ("ALLOWED_INTERNAL_HOSTS", ["::/0"], "nothing guards"),
        ("ALLOWED_INTERNAL_HOSTS", ["10.0.0.5/8"], "host bits"),
        ("ALLOWED_INTERNAL_HOSTS", ["10.0.0.0/99"], "10.0.0.0/99"),
        ("ALLOWED_INTERNAL_HOSTS", ["fe80::1%eth0"], "leave out the zone"),
        ("ALLOWED_INTERNAL_HOSTS", ["mail.internal:25"], "port has a field of its own"),
        ("ALLOWED_INTERNAL_HOSTS", ["smtp://mail.internal"], "smtp://mail.internal"),
        ("ALLOWED_INTERNAL_HOSTS", ["127.1"], "host name"),
        ("ALLOWED_INTERNAL_HOSTS", [""], "host name"),
        ("ALLOWED_INTERNAL_HOSTS", ["mail internal"], "no spaces"),
        ("ALLOWED_PORTS", 25, "must be a list of port numbers"),
        ("ALLOWED_PORTS", "25", "must be a list of port numbers"),
        ("ALLOWED_PORTS", ["25"], "'25' is none"),
        ("ALLOWED_PORTS", [0], "ports go from 1 to 65535"),
        ("ALLOWED_PORTS", [65536], "ports go from 1 to 65535"),
        ("ALLOWED_PORTS", [True], "True is no port"),
    ],
)
def test_unusable_limits_are_named(
    account: Callable[..., ScriptedServer], settings: Any, key: str, value: Any, cure: str
) -> None:
    """And nothing is sent, not even silently."""
    from django_smtpauth import checks

    server = account()
    settings.SMTPAUTH = {**settings.SMTPAUTH, key: value}
    (found,) = checks.check_settings(None)
    assert found.id == checks.BAD_VALUE
    assert f'SMTPAUTH["{key}"]: ' in found.msg
    assert cure in found.msg
    backend = EmailBackend(account="club", ehlo_name="c.test", fail_silently=True)
    failure_of(backend, [message()], ImproperlyConfigured)
    assert server.connections == []


def test_good_limits_are_read(settings: Any) -> None:
    settings.SMTPAUTH = {
        "ALLOWED_INTERNAL_HOSTS": ["10.0.0.5", "fd00::/8", "Mail.Internal", "/run/dovecot/lmtp"],
        "ALLOWED_PORTS": (25, 10025),
    }
    hosts = allowed_hosts()
    assert all(hosts.covers(one) for one in ("10.0.0.5", "fd12::1", "::ffff:10.0.0.5"))
    assert not any(hosts.covers(one) for one in ("10.0.0.6", "fe80::1"))
    assert hosts.lists("mail.internal")
    assert hosts.lists("/run/dovecot/lmtp")
    assert not hosts.lists("/run/dovecot/LMTP")
    assert not hosts.lists("10.0.0.6")
    assert allowed_ports() == {25, 10025}
