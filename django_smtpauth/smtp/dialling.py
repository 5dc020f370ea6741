"""From a host name, an address or a path to a connected socket, within a time limit.

The addresses of a name are tried as RFC 8305 ("Happy Eyeballs") has it: IPv6 and IPv4 take turns,
and an address that does not answer holds up the next one for a quarter of a second only. The
first connection wins; the others are closed.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import queue
import re
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, NamedTuple, cast

from .endpoint import is_path
from .errors import ConnectError, SMTPError, TimedOut
from .timeouts import Clock

#: Seconds before the next address is tried while an earlier one has not answered (RFC 8305 5).
ATTEMPT_DELAY = 0.25
#: Seconds between two looks at a Unix socket whose queue of connections is full.
_LOOK_AGAIN = 0.05

#: What connect_ex() says of a connection that is there, or on its way.
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)
#: A domain name of at least two labels.
_FQDN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]*", re.IGNORECASE)

AddressInfo = tuple[Any, ...]
Resolve = Callable[[str, int, float], "list[AddressInfo]"]


class Tried(NamedTuple):
    """What became of one address.

    seconds: from its attempt to its fate. fault: why there is no connection; empty: this one won.
    """

    address: str
    seconds: float
    fault: str


@dataclass(frozen=True)
class Dialled:
    """A connected socket, and how it came about.

    sock: non-blocking. failed: the addresses that were tried in vain before, each with the
        reason, in order.
    via: what the socket leads through, for example `socks5://proxy.example:1080`. The server
        then counts as another machine, wherever the proxy stands.
    """

    sock: socket.socket
    failed: tuple[str, ...] = ()
    via: str = ""

    def story(self, peer: str) -> str:
        """How `peer` was reached, for people."""
        through = f" through {self.via}" if self.via else ""
        before = f" (no luck with {'; '.join(self.failed)})" if self.failed else ""
        return f"connected to {peer}{through}{before}"


def resolve(host: str, port: int, timeout: float) -> list[AddressInfo]:
    """Addresses of a host as getaddrinfo() gives them; a slow resolver is left behind.

    Raises ConnectError, or TimedOut after `timeout` seconds.
    """
    answer = _look_up(host, port) if is_address(host) else _look_up_aside(host, port, timeout)
    if isinstance(answer, OSError):
        raise ConnectError(
            f"the name {host} could not be resolved ({_why(answer)})",
            stage="CONNECT",
            reason="dns",
        )
    return answer


def dial(
    host: str,
    port: int,
    timeout: float,
    source_address: str | None = None,
    *,
    resolve: Resolve = resolve,
    clock: Clock = time.monotonic,
    watch: Callable[[Tried], None] | None = None,
) -> Dialled:
    """Connects to the address of `host` that answers first, within `timeout` seconds in all.

    host: name, IP address, or the absolute path of a Unix socket (port and source address then
        do not count). source_address: IP address to connect from; only addresses of its family
        are tried. watch: is told of every address in the end, in the order in which they were to
        be tried; a path is none.

    Raises ConnectError, or TimedOut if nothing but time-outs was met, with every address tried
    and why it failed.
    """
    end = clock() + timeout
    if is_path(host):
        return Dialled(_dial_path(host, end, clock))
    infos = resolve(host, port, timeout)
    if source_address is not None:
        infos = _reachable_from(source_address, infos, host)
    race = _Race(interleaved(infos), source_address, end, clock)
    try:
        return race.run(port)
    finally:
        if watch is not None:
            for tried in race.tried:
                watch(tried)


def interleaved(infos: Iterable[AddressInfo]) -> list[AddressInfo]:
    """The addresses in the order of RFC 8305 4: families take turns, the first one's first."""
    families: dict[int, list[AddressInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    rounds = zip_longest(*families.values())
    return [info for info in chain.from_iterable(rounds) if info is not None]


def _reachable_from(source: str, infos: list[AddressInfo], host: str) -> list[AddressInfo]:
    """The addresses to which this source address can connect."""
    try:
        version = ipaddress.ip_address(source).version
    except ValueError:
        raise _bad_source(f"the source address {source} is no IP address") from None
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    found = [info for info in infos if info[0] == family]
    if not found:
        raise _bad_source(
            f"{host} has no IPv{version} address, which the source address {source} needs"
        )
    return found


def _bad_source(message: str) -> ConnectError:
    return ConnectError(message, stage="CONNECT", reason="source-address", transient=False)


class _Race:
    """Attempts at several addresses, of which the first connection wins.

    infos: in the order in which they are tried. end: when all of it is over, by the clock.
    """

    def __init__(
        self, infos: list[AddressInfo], source: str | None, end: float, clock: Clock
    ) -> None:
        self._names = [str(info[4][0]) for info in infos]
        self._waiting = deque(enumerate(infos))
        self._open: set[socket.socket] = set()
        self._source = source
        self._end = end
        self._clock = clock
        self._next_at = clock()
        self._failures: dict[int, str] = {}
        self._begun: dict[int, float] = {}
        self._over: dict[int, float] = {}
        self._winner: int | None = None
        self._timed_out = bool(infos)

    def run(self, port: int) -> Dialled:
        """The first connection. Raises ConnectError or TimedOut."""
        try:
            with selectors.DefaultSelector() as selector:
                winner = self._first(selector)
        finally:
            for loser in self._open:
                loser.close()
        if winner is None:
            raise self._error(port)
        return Dialled(winner, tuple(self._failed))

    def _first(self, selector: selectors.BaseSelector) -> socket.socket | None:
        while self._waiting or self._open:
            now = self._clock()
            if now >= self._end:
                break
            if self._waiting and (now >= self._next_at or not self._open):
                self._next_at = now + ATTEMPT_DELAY
                self._begin(selector)
                if not self._open:
                    continue
            until = min(self._end, self._next_at) if self._waiting else self._end
            for key, _ in selector.select(max(until - now, 0.0)):
                sock = cast("socket.socket", key.fileobj)
                self._open.remove(sock)
                selector.unregister(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    self._winner = key.data
                    self._over[key.data] = self._clock()
                    return sock
                sock.close()
                self._fail(key.data, OSError(code, os.strerror(code)))
        return None

    def _begin(self, selector: selectors.BaseSelector) -> None:
        number, (family, kind, protocol, _, address) = self._waiting.popleft()
        self._begun[number] = self._clock()
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            self._fail(number, error)
            return
        self._open.add(sock)
        try:
            sock.setblocking(False)
            if self._source is not None:
                _bind(sock, self._source)
            code = sock.connect_ex(address)
            if code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
            selector.register(sock, selectors.EVENT_WRITE, number)
        except OSError as error:
            self._open.remove(sock)
            sock.close()
            self._fail(number, error)

    def _fail(self, number: int, error: OSError) -> None:
        """Notes why an address failed; then the next one need not wait."""
        self._timed_out = self._timed_out and error.errno == errno.ETIMEDOUT
        self._failures[number] = _why(error)
        self._next_at = self._over[number] = self._clock()

    @property
    def tried(self) -> list[Tried]:
        """The fate of every address, once the race is over."""
        now = self._clock()
        return [
            Tried(name, self._over.get(n, now) - self._begun.get(n, now), self._fate(n))
            for n, name in enumerate(self._names)
        ]

    def _fate(self, number: int) -> str:
        if number == self._winner:
            return ""
        unanswered = "slower than another address" if number in self._begun else "not tried"
        return self._failures.get(number, unanswered)

    @property
    def _failed(self) -> list[str]:
        return [f"{self._names[n]}: {why}" for n, why in sorted(self._failures.items())]

    def _error(self, port: int) -> SMTPError:
        untried = {number for number, _ in self._waiting}
        for number in range(len(self._names)):
            self._failures.setdefault(number, "not tried" if number in untried else "no answer")
        kind = TimedOut if self._timed_out else ConnectError
        tried = "; ".join(self._failed) or "no address"
        return kind(f"could not connect to port {port} ({tried})", stage="CONNECT")


def _bind(sock: socket.socket, source: str) -> None:
    try:
        sock.bind((source, 0))
    except OSError as error:
        raise OSError(error.errno, f"from {source}: {_why(error)}") from None


def _dial_path(path: str, end: float, clock: Clock) -> socket.socket:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise _no_path(path, "there are no Unix sockets on this system")
    with ExitStack() as on_failure:
        sock = on_failure.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setblocking(False)
        while not _connects(sock, path):
            # The queue of connections is full, and nothing tells when it is not any more.
            left = end - clock()
            if left <= 0:
                raise TimedOut(f"could not connect to {path} (no answer)", stage="CONNECT")
            time.sleep(min(left, _LOOK_AGAIN))
        on_failure.pop_all()
    return sock


def _connects(sock: socket.socket, path: str) -> bool:
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    except (OSError, ValueError) as error:
        raise _no_path(path, _why(error)) from None
    return True


def _no_path(path: str, why: str) -> ConnectError:
    return ConnectError(f"could not connect to {path} ({why})", stage="CONNECT")


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _look_up(host: str, port: int) -> list[AddressInfo] | OSError:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(str(error))


def _look_up_aside(host: str, port: int, timeout: float) -> list[AddressInfo] | OSError:
    """The same, in a thread: getaddrinfo() can't be interrupted, a thread can be left behind."""
    answers: queue.SimpleQueue[list[AddressInfo] | OSError] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answers.put(_look_up(host, port)), name="smtp-resolve", daemon=True
    ).start()
    try:
        return answers.get(timeout=timeout)
    except queue.Empty:
        raise TimedOut(f"no answer from DNS for {host}", stage="CONNECT", reason="dns") from None


def is_address(host: str) -> bool:
    """Whether the host is an IP address already."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def local_name(timeout: float = 2.0) -> str:
    """The machine's fully qualified name if it has one, else an empty text. Kept per process."""
    global _local_name
    if _local_name is None:
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        thread = threading.Thread(
            target=lambda: answers.put(socket.getfqdn()), name="smtp-fqdn", daemon=True
        )
        thread.start()
        try:
            name = answers.get(timeout=timeout)
        except queue.Empty:
            name = ""
        _local_name = name if _tells_a_machine(name) else ""
    return _local_name


_local_name: str | None = None


def _tells_a_machine(name: str) -> bool:
    """Whether this is a name that other machines may know this one by."""
    name = name.lower()
    shared = name.endswith((".arpa", ".localdomain")) or name.startswith("localhost.")
    return bool(_FQDN.fullmatch(name)) and not shared
