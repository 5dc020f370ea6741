"""Through proxies: SOCKS5 and HTTP CONNECT, with and without log-in, and those that fail."""

from __future__ import annotations

import base64
import dataclasses
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from django_smtpauth.sending.delivery import Lines
from django_smtpauth.sending.mailer import MailerOptions, backend_options, default_options
from django_smtpauth.sending.option_values import InvalidOption, Password, read
from django_smtpauth.sending.proxies import MAX_HEAD, Proxy, dial_through
from django_smtpauth.sending.routing import Route, Rule, endpoint
from django_smtpauth.smtp import ConnectError, NotSupported, SMTPError, TimedOut
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    failure_of,
    make_account,
    message,
)
from tests.leaks import shown_by_trackers
from tests.servers.behaviour import Drip
from tests.servers.certificates import Certificates
from tests.servers.proxies import HTTPProxy, ProxyServer, Socks5Proxy
from tests.smtp.conftest import nothing_leaks  # noqa: F401

USER, PASSWORD = "robot", "Tunnel-17-Wort"
NAME = "localhost"
BOUND = 15.0

pytestmark = pytest.mark.usefixtures("certificates", "nothing_leaks")

KINDS = {"socks5": Socks5Proxy, "http": HTTPProxy}
both = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def start() -> Iterator[Any]:
    with ExitStack() as proxies:

        def make(kind: str, *arguments: Any, **details: Any) -> ProxyServer:
            return proxies.enter_context(KINDS[kind](*arguments, **details))

        yield make


def url(kind: str, proxy: ProxyServer, log_in: str = "") -> str:
    return f"{kind}://{log_in}{proxy.host}:{proxy.port}"


def proxy_at(kind: str, proxy: Any, username: str = "", password: str = "") -> Proxy:
    return Proxy(kind, proxy.host, proxy.port, username, Password(password))


def failure_through(proxy: Proxy, host: str = "mx.test", timeout: float = BOUND) -> SMTPError:
    with pytest.raises(SMTPError) as caught:
        dial_through(proxy, host, 25, timeout)
    assert caught.value.stage == "CONNECT"
    return caught.value


# -- mail


@both
@pytest.mark.parametrize("log_in", [False, True])
def test_mail_through_a_proxy(
    scripted_server: Any, certificates: Certificates, start: Any, kind: str, log_in: bool
) -> None:
    """TLS inside the tunnel verifies the server's name, which only the proxy resolves."""
    server = scripted_server(ssl_context=certificates.server())
    users = {USER: PASSWORD} if log_in else None
    proxy = start(kind, {NAME: server.port}, users=users)
    backend = backend_for(
        server,
        host=NAME,
        port=587,
        security="starttls",
        ca_file=str(certificates.ca_file),
        proxy=url(kind, proxy, f"{USER}:{PASSWORD}@" if log_in else ""),
    )
    mail = message()
    assert backend.send_messages([mail]) == 1
    assert proxy.requests == [(NAME, 587)]
    assert proxy.log_ins == ([(USER, PASSWORD)] if log_in else [])
    assert server.connections[0].tls is not None
    assert mail.smtp_result.transcript[0].text == (
        f"connected to {NAME}:587 through {kind}://127.0.0.1:{proxy.port}"
    )


@both
def test_the_certificate_must_be_of_the_server_behind(
    scripted_server: Any, certificates: Certificates, start: Any, kind: str
) -> None:
    server = scripted_server(ssl_context=certificates.server())
    proxy = start(kind, {"mx.test": server.port})
    options = {"host": "mx.test", "security": "starttls", "ca_file": str(certificates.ca_file)}
    backend = backend_for(server, **options, proxy=url(kind, proxy))
    error = failure_of(backend, [message()], ssl.SSLError)
    assert error.reason == "certificate"
    assert server.accepted == []


@both
def test_a_password_in_clear_does_not_leave_by_a_proxy_of_this_machine(
    scripted_server: Any, start: Any, kind: str
) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])
    proxy = start(kind)
    options = {"username": USER, "password": PASSWORD, "proxy": url(kind, proxy)}
    error = failure_of(backend_for(server, **options), [message()], NotSupported)
    assert error.reason == "auth-without-tls"
    allowed = backend_for(server, **options, allow_auth_without_tls=True)
    assert allowed.send_messages([message()]) == 1


@both
def test_an_account_goes_through_the_proxy_of_the_settings(
    db: None,
    settings: Any,
    scripted_server: Any,
    make_account: Any,  # noqa: F811
    start: Any,
    kind: str,
) -> None:
    from django_smtpauth.backends import EmailBackend

    server = scripted_server()
    proxy = start(kind, {"mx.test": server.port})
    make_account("club", server, host="mx.test", port=2525)
    settings.SMTPAUTH = {**settings.SMTPAUTH, "DEFAULTS": {"proxy": url(kind, proxy)}}
    backend = EmailBackend(account="club", ehlo_name="client.test")
    assert backend.send_messages([message()]) == 1
    assert proxy.requests == [("mx.test", 2525)]


def test_a_mailer_may_do_without_the_proxy_of_the_defaults(
    settings: Any, scripted_server: Any
) -> None:
    settings.SMTPAUTH = {"DEFAULTS": {"proxy": "socks5://127.0.0.1:1"}}
    assert backend_for(scripted_server(), proxy="").send_messages([message()]) == 1


def test_a_unix_socket_needs_no_proxy(settings: Any, scripted_server: Any, tmp_path: Any) -> None:
    settings.SMTPAUTH = {"DEFAULTS": {"proxy": "socks5://127.0.0.1:1"}}
    server = scripted_server(address=str(tmp_path / "smtp"))
    assert backend_for(server).send_messages([message()]) == 1
    assert len(server.accepted) == 1


def test_routes_differ_by_their_proxy() -> None:
    options = [MailerOptions(host="mx", proxy=Proxy("http", "p", port)) for port in (1, 1, 2)]
    first, same, other = (Route(None, o, Rule.SETTINGS, endpoint(o)) for o in options)
    assert first == same != other


# -- what passes


@both
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::1", "under_score.test"])
def test_names_and_addresses_reach_the_proxy_as_they_are(
    scripted_server: Any, start: Any, kind: str, host: str
) -> None:
    server = scripted_server()
    proxy = start(kind, answer=b"")
    failure_through(proxy_at(kind, proxy), host)
    ((asked, port),) = proxy.requests
    if ":" in host:
        asked = socket.inet_ntop(
            socket.AF_INET6, socket.inet_pton(socket.AF_INET6, asked.strip("[]"))
        )
    assert (asked, port) == (host, 25)
    assert server.connections == []


@both
@pytest.mark.parametrize("drip", [None, Drip()])
def test_the_servers_first_words_are_not_lost(
    scripted_server: Any, start: Any, kind: str, drip: Drip | None
) -> None:
    """They may come in the same packet as the proxy's answer."""
    server = scripted_server()
    proxy = start(kind, {"mx.test": server.port}, holds_back=True, drip=drip)
    backend = backend_for(server, host="mx.test", proxy=url(kind, proxy))
    assert backend.send_messages([message()]) == 1
    assert server.violations == []


@both
def test_the_source_address_is_where_the_proxy_is_reached_from(
    scripted_server: Any, start: Any, kind: str
) -> None:
    server = scripted_server()
    proxy = start(kind, {"mx.test": server.port})
    dialled = dial_through(proxy_at(kind, proxy), "mx.test", 25, BOUND, "127.0.0.2")
    with dialled.sock as sock:
        assert sock.getsockname()[0] == "127.0.0.2"
        assert sock.getpeername() == (proxy.host, proxy.port)
        assert not sock.getblocking()


# -- what fails


@both
def test_nobody_listens(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure_through(Proxy(kind, "127.0.0.1", port))
    assert isinstance(error, ConnectError)
    assert error.reason == "proxy"
    assert f"no way through the proxy {kind}://127.0.0.1:{port}: could not conn" in str(error)


@pytest.mark.parametrize(
    ("kind", "answer", "words", "transient"),
    [
        ("socks5", b"\5\2\0\1\0\0\0\0\0\0", "Connection not allowed by ruleset", False),
        ("socks5", b"\5\4\0\1\0\0\0\0\0\0", "Host unreachable", True),
        ("socks5", b"\5\0\0\3\2\xff\xff\0\0", "makes no sense", True),
        ("socks5", b"HTTP/1.1 400 Bad\r\n\r\n", "version", True),
        ("socks5", b"\5\0", "closed", True),
        ("http", b"HTTP/1.1 403 Filtered\r\n\r\n", "403 Filtered", False),
        ("http", b"HTTP/1.1 502 \x1b[31mRed\r\n\r\n", "502  [31mRed", True),
        ("http", b"HTTP/1.1 502 " + b"x" * 999 + b"\r\n\r\n", "x" * 190, True),
        ("http", b"220 mx.test ESMTP\r\n\r\n", "Invalid status code", True),
        ("http", b"HTTP/1.1 abc\n\n", "Invalid status code", True),
        ("http", b"\5\0", "Invalid", True),
        ("http", b"HTTP/1.1 200 OK\r\n" + b"x" * MAX_HEAD, "has no end", True),
        ("http", b"", "Invalid", True),
    ],
)
def test_a_proxy_that_refuses_or_errs(
    start: Any, kind: str, answer: bytes, words: str, transient: bool
) -> None:
    proxy = start(kind, answer=answer)
    error = failure_through(proxy_at(kind, proxy))
    assert isinstance(error, ConnectError)
    assert (error.reason, error.transient) == ("proxy", transient)
    assert f"{kind}://127.0.0.1:{proxy.port}: " in str(error)
    assert words in str(error)
    assert len(str(error)) < 400


@both
def test_the_server_does_not_listen(start: Any, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure_through(proxy_at(kind, start(kind, {"mx.test": port})))
    assert error.transient
    assert ("refused by destination" if kind == "socks5" else "503") in str(error)


@both
@pytest.mark.parametrize("given", [("", ""), (USER, "wrong")])
def test_a_proxy_refuses_the_log_in(start: Any, kind: str, given: tuple[str, str]) -> None:
    proxy = start(kind, users={USER: PASSWORD})
    error = failure_through(proxy_at(kind, proxy, *given))
    assert isinstance(error, ConnectError)
    assert proxy.requests == []
    assert ("uthentication" if kind == "socks5" else "407") in str(error)


@both
def test_a_proxy_that_never_answers(start: Any, kind: str) -> None:
    proxy = start(kind, silent=True)
    began = time.monotonic()
    error = failure_through(proxy_at(kind, proxy), timeout=0.2)
    assert isinstance(error, TimedOut)
    assert error.reason == "proxy"
    assert "did not answer in time" in str(error)
    assert time.monotonic() - began < BOUND


@both
def test_a_proxy_that_drips(start: Any, kind: str) -> None:
    """Each octet comes in time, but not all of them."""
    pace = threading.Semaphore(1)
    proxy = start(kind, answer=b"\5" * 99, drip=Drip(pace=pace))
    ticks = iter(range(10_000))

    def clock() -> float:
        pace.release()
        return next(ticks)

    with pytest.raises(TimedOut) as caught:
        dial_through(proxy_at(kind, proxy), "mx.test", 25, 3.0, clock=clock)
    assert "did not answer in time" in str(caught.value)


def test_the_proxy_itself_takes_no_connection(mute: Any) -> None:
    error = failure_through(Proxy("http", *mute(("127.0.0.1", 0)).address), timeout=0.1)
    assert isinstance(error, TimedOut)
    assert (error.reason, error.transient) == ("proxy", True)


@both
@pytest.mark.parametrize(
    "host", ["mx.test\r\nX: y", "mx test", "fe80::1%eth0", "a/b", "a:25", "", "ü.test", "x" * 254]
)
def test_what_no_proxy_can_look_up_is_not_asked(start: Any, kind: str, host: str) -> None:
    proxy = start(kind)
    error = failure_through(proxy_at(kind, proxy), host)
    assert not error.transient
    assert "no name that a proxy could look up" in str(error)
    assert proxy.requests == []


def test_an_interrupt_closes_the_connection(start: Any) -> None:
    """`nothing_leaks` looks for the socket; the frames of the interrupt have seen the password."""
    proxy = start("socks5", users={USER: PASSWORD})
    ticks = iter(range(4))

    def clock() -> float:
        if next(ticks) == 3:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt) as caught:
        dial_through(proxy_at("socks5", proxy, USER, PASSWORD), "mx.test", 25, BOUND, clock=clock)
    assert PASSWORD not in shown_by_trackers(caught.value)


# -- the option


@pytest.mark.parametrize(
    ("written", "proxy"),
    [
        ("socks5://proxy.example.com:1080", Proxy("socks5", "proxy.example.com", 1080)),
        ("socks5h://proxy.example.com:1080/", Proxy("socks5", "proxy.example.com", 1080)),
        (" HTTP://Proxy.example.com:3128\n", Proxy("http", "proxy.example.com", 3128)),
        ("http://[2001:db8::1]:3128", Proxy("http", "2001:db8::1", 3128)),
        ("http://bücher.example:80", Proxy("http", "xn--bcher-kva.example", 80)),
        ("http://robot:@p.test:80", Proxy("http", "p.test", 80, "robot")),
        (
            "socks5://a%40b:c%3A%2Fd@p.test:80",
            Proxy("socks5", "p.test", 80, "a@b", Password("c:/d")),
        ),
        ("", ""),
    ],
)
def test_a_proxy_is_read(written: str, proxy: Proxy | str) -> None:
    assert backend_options({"proxy": written}).proxy == proxy


def test_a_proxy_that_was_read_stays_as_it_is() -> None:
    proxy = Proxy("http", "p.test", 80)
    assert backend_options({"proxy": proxy}).proxy is proxy


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        ("proxy.example.com:1080", "must be a URL with a port"),
        ("https://proxy.example.com:443", "socks5://"),
        ("socks4://proxy.example.com:1080", "socks5://"),
        ("socks5://proxy.example.com", "with a port"),
        ("socks5://proxy.example.com:x", "with a port"),
        ("socks5://proxy.example.com:0", "with a port"),
        ("socks5://:1080", "must be a URL"),
        ("socks5://[::1:1080", "must be a URL"),
        ("http://proxy.example.com:80/path", "must be a URL"),
        ("http://proxy.example.com:80?a=b", "must be a URL"),
        ("http://proxy.example.com:80#a", "must be a URL"),
        ("http://u:S3cret/x@proxy.example.com:80", "percent-encoded"),
        ("http://p.example\r\nX:80", "control characters"),
        ("http://u:S3cret%0d%0a@p.example:80", "printable ASCII"),
        ("http://u:S3cret%ff@p.example:80", "printable ASCII"),
        ("socks5://u:S3cret" + "x" * 255 + "@p.example:80", "255"),
        ("socks5://u@p.example:80", "password behind the user name"),
        ("socks5://:S3cret@p.example:80", "user name before the password"),
        ("http://u%3Av:S3cret@p.example:80", "without a colon"),
        ("http://u:S3cret@℀.example:80", "must be a URL"),
        (1080, "text"),
        (b"http://u:S3cret@p.example:80", "text"),
    ],
)
def test_a_bad_proxy_names_the_cure_and_not_the_password(written: Any, cure: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        backend_options({"proxy": written})
    assert str(caught.value).startswith("proxy: ")
    assert cure in str(caught.value)
    assert "S3cret" not in shown_by_trackers(caught.value)


def test_a_bad_proxy_of_the_backend_shows_no_password() -> None:
    from django_smtpauth.backends import EmailBackend

    with pytest.raises(InvalidOption) as caught:
        EmailBackend(host="mx.test", port="x", proxy=f"http://{USER}:{PASSWORD}@p.test:80")
    assert PASSWORD not in shown_by_trackers(caught.value)


def test_a_bad_proxy_of_the_defaults_is_named(settings: Any) -> None:
    settings.SMTPAUTH = {"DEFAULTS": {"proxy": f"socks4://u:{PASSWORD}@p.test:80"}}
    with pytest.raises(InvalidOption, match=r'SMTPAUTH\["DEFAULTS"\]\["proxy"\]: must') as caught:
        default_options()
    assert PASSWORD not in shown_by_trackers(caught.value)


def test_without_the_package_the_error_tells_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(InvalidOption, match=r"pip install 'django-smtpauth\[proxy\]'"):
        backend_options({"proxy": "socks5://p.test:1080"})


# -- no secret shows


def test_a_proxy_prints_without_its_log_in() -> None:
    proxy = Proxy("http", "2001:db8::1", 80, USER, Password(PASSWORD))
    assert str(proxy) == "http://[2001:db8::1]:80"
    shown = repr(proxy) + repr(MailerOptions(proxy=proxy)) + repr(dataclasses.asdict(proxy))
    assert PASSWORD not in shown


def test_read_wants_secrets_hidden() -> None:
    with pytest.raises(TypeError):
        read("proxy", "http://p.test:80", "proxy")


ENCODED = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize("echo", [PASSWORD, ENCODED, "x" * 195 + PASSWORD])
def test_a_proxy_that_repeats_the_log_in_is_not_quoted(start: Any, echo: str) -> None:
    proxy = start("http", answer=f"HTTP/1.1 403 no {echo}\r\n\r\n".encode())
    error = failure_through(proxy_at("http", proxy, USER, PASSWORD))
    assert "repeated the log-in" in str(error)
    assert PASSWORD[:5] not in shown_by_trackers(error)


@both
@pytest.mark.parametrize("answer", [b"", b"\5\2\0\1\0\0\0\0\0\0", b"\5\0\0\3\2\xff\xff\0\0"])
def test_no_frame_of_a_failed_dial_shows_the_password(
    start: Any, kind: str, answer: bytes
) -> None:
    proxy = start(kind, users={USER: PASSWORD}, answer=answer)
    options = backend_options(
        {"host": "mx.test", "proxy": url(kind, proxy, f"{USER}:{PASSWORD}@")}
    )
    with pytest.raises(ConnectError) as caught:
        Lines().get(Route(None, options, Rule.SETTINGS, endpoint(options)))
    shown = shown_by_trackers(caught.value)
    assert PASSWORD not in shown
    assert ENCODED not in shown
