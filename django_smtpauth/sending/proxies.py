"""The way through a proxy: SOCKS5 (RFC 1928, 1929), or HTTP CONNECT (RFC 9110 9.3.6).

python-socks speaks with the proxy, over a connection that is dialled here. So the address is
chosen as for every server, no wait is longer than what is left of the whole, and of the octets
that follow the proxy's answer none is lost: they are the server's first words.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

from ..smtp.dialling import Dialled, dial, is_address
from ..smtp.errors import ConnectError, SMTPError, TimedOut
from ..smtp.timeouts import Clock
from .domains import host_name
from .guard import NotAllowed, Reach
from .passwords import Password

#: Octets that the head of an HTTP proxy's answer may have.
MAX_HEAD = 16_384
#: Octets of a user name or password for SOCKS5 (RFC 1929 2).
_MAX_LOG_IN = 255
#: Characters that are quoted of what a proxy says.
_MAX_WORDS = 200

_KINDS: dict[str, Literal["socks5", "http"]] = {
    "socks5": "socks5",
    # What curl and others call the only thing that SOCKS5 does here: the proxy resolves names.
    "socks5h": "socks5",
    "http": "http",
}
#: Refusals that the same request will meet again: SOCKS5's (RFC 1928 6), then HTTP's.
_FINAL = frozenset({0x02, 0x07, 0x08, 401, 403, 405, 407})
_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")

_SHAPE = (
    "must be a URL with a port, socks5://proxy.example.com:1080 or http://proxy.example.com:3128; "
    "if the proxy wants a log-in with user:password@ before the name, in which special "
    "characters are percent-encoded (@ is %40)."
)


@dataclass(frozen=True)
class Proxy:
    """A proxy. host: a name as A-label, or an IP address. Printed without user and password."""

    kind: Literal["socks5", "http"]
    host: str
    port: int
    username: str = ""
    password: Password = field(default_factory=lambda: Password(""))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"


def read_proxy(url: Password) -> Proxy:
    """A proxy from its URL. Raises ValueError, which does not show the URL, with the cure."""
    found = _parse(url)
    if isinstance(found, str):
        raise ValueError(found)
    try:
        import python_socks  # noqa: F401
    except ImportError:
        raise ValueError(
            "needs the package python-socks: pip install 'django-smtpauth[proxy]'"
        ) from None
    return found


def dial_through(
    proxy: Proxy,
    host: str,
    port: int,
    timeout: float,
    source_address: str | None = None,
    *,
    dial: Reach = dial,
    clock: Clock = time.monotonic,
) -> Dialled:
    """As the engine's `dial()`, through a proxy, which gets the name and not an address.

    timeout: seconds for all of it. source_address: where the connection to the proxy comes from.
    dial: connects to the proxy; its NotAllowed is raised as it is.

    Raises ConnectError or TimedOut with the proxy's name and words; `reason` is "proxy".
    """
    end = clock() + timeout
    target = _target(host, proxy)
    dialled = _reach(proxy, timeout, source_address, dial)
    line = _Line(dialled.sock, end, clock, has_head=proxy.kind == "http")
    failure = _ask(proxy, line, target, port)
    if failure is not None:
        line.close()
        # Raised from here: the frames below have seen the password.
        raise failure
    sock = socket.socket(line.family, line.type, line.proto, fileno=line.detach())
    sock.setblocking(False)
    return Dialled(sock, dialled.failed, via=str(proxy))


def _reach(proxy: Proxy, timeout: float, source_address: str | None, dial: Reach) -> Dialled:
    try:
        return dial(proxy.host, proxy.port, timeout, source_address)
    except NotAllowed:
        raise
    except SMTPError as error:
        failure = error
    raise _failure(proxy, failure.message, type(failure), transient=failure.transient)


def _ask(proxy: Proxy, line: _Line, host: str, port: int) -> BaseException | None:
    """Lets the proxy connect to the server; what went wrong, without its frames."""
    from python_socks import ProxyError, ProxyType
    from python_socks.sync import Proxy as Client

    try:
        Client(
            ProxyType.SOCKS5 if proxy.kind == "socks5" else ProxyType.HTTP,
            proxy.host,
            proxy.port,
            proxy.username or None,
            proxy.password.reveal() if proxy.username else None,
            rdns=True,
            forward=cast("Any", _Reached(line)),
        ).connect(host, port)
    except ProxyError as error:
        final = error.error_code in _FINAL
        return _failure(proxy, _quoted(error, proxy), transient=not final)
    except TimeoutError:
        return _failure(proxy, "it did not answer in time", TimedOut)
    except OSError as error:
        return _failure(proxy, f"the connection was lost ({error.strerror or error})")
    except Exception as error:
        return _failure(proxy, f"its answer makes no sense ({type(error).__name__})")
    except BaseException as error:
        return error.with_traceback(None)
    return None


def _failure(
    proxy: Proxy,
    why: str,
    kind: type[SMTPError] = ConnectError,
    *,
    transient: bool | None = None,
) -> SMTPError:
    message = f"no way through the proxy {proxy}: {why}"
    return kind(message, stage="CONNECT", reason="proxy", transient=transient)


def _quoted(error: Exception, proxy: Proxy) -> str:
    """What the proxy said, as python-socks tells it, unless it repeats the log-in."""
    words = "".join(c if c.isprintable() else " " for c in str(error))
    if _repeats_log_in(words, proxy):
        return "it refused, and repeated the log-in"
    return words[:_MAX_WORDS]


def _repeats_log_in(words: str, proxy: Proxy) -> bool:
    if not proxy.password:
        return False
    both = f"{proxy.username}:{proxy.password.reveal()}".encode()
    return proxy.password.reveal() in words or b64encode(both).decode() in words


def _target(host: str, proxy: Proxy) -> str:
    """The server as the proxy gets it. Only what can't be mistaken for anything else."""
    if is_address(host) and "%" not in host:
        return ipaddress.ip_address(host).exploded
    if not _NAME.fullmatch(host):
        raise _failure(proxy, f"{host!r} is no name that a proxy could look up", transient=False)
    return host


class _Line(socket.socket):
    """The connection to the proxy, which is taken over, while the proxy is asked.

    Every wait ends at `end`. has_head: what is read is the head of an HTTP answer, in one piece.
    """

    def __init__(self, sock: socket.socket, end: float, clock: Clock, *, has_head: bool) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self._end = end
        self._clock = clock
        self._has_head = has_head

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._wait_at_most_what_is_left()
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self._has_head:
            self._wait_at_most_what_is_left()
            return super().recv(size, flags)
        head = bytearray()
        while not head.endswith((b"\n\r\n", b"\n\n")):
            if len(head) >= MAX_HEAD:
                raise OSError("the head of its answer has no end")
            self._wait_at_most_what_is_left()
            octet = super().recv(1, flags)
            if not octet:
                break
            head += octet
        return bytes(head)

    def _wait_at_most_what_is_left(self) -> None:
        left = self._end - self._clock()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


class _Reached:
    """What python-socks asks for the connection to the proxy, as if it were one before it."""

    def __init__(self, line: _Line) -> None:
        self._line = line

    def connect(self, **_: Any) -> socket.socket:
        return self._line


def _parse(url: Password) -> Proxy | str:
    """The proxy, or what is wrong. Nothing is raised from here: this frame sees the password."""
    text = url.reveal().strip()
    if not text.isprintable() or " " in text:
        return "must have no spaces and no control characters."
    try:
        parts = urlsplit(text)
        host, port = host_name(parts.hostname or ""), parts.port
    except ValueError:
        return _SHAPE
    kind = _KINDS.get(parts.scheme)
    if not (kind and host and port) or parts.path not in ("", "/"):
        return _SHAPE
    if parts.query or parts.fragment:
        return _SHAPE
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    return _fault_in_log_in(kind, username, password) or Proxy(
        kind, host, port, username, Password(password)
    )


def _fault_in_log_in(kind: str, username: str, password: str) -> str:
    both = username + password
    if not (both.isascii() and both.isprintable()):
        return "must have a user name and a password in printable ASCII."
    if max(len(username), len(password)) > _MAX_LOG_IN:
        return f"must have a user name and a password of {_MAX_LOG_IN} characters at most."
    if password and not username:
        return "must have a user name before the password."
    if kind == "socks5" and username and not password:
        return "must have a password behind the user name: socks5://user:password@host:port."
    if kind == "http" and ":" in username:
        return "must have a user name without a colon (RFC 7617)."
    return ""
