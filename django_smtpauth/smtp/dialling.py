"""From a host name to a connected socket, within a time limit."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from typing import Any

from .errors import ConnectError, TimedOut

AddressInfo = tuple[Any, ...]


def dial(host: str, port: int, timeout: float, source_address: str | None = None) -> socket.socket:
    """Connects to the first address of `host` that answers, within `timeout` seconds in all.

    Raises ConnectError, or TimedOut, with every address tried and why it failed.
    """
    end = time.monotonic() + timeout
    infos = resolve(host, port, timeout)
    failures: list[str] = []
    timed_out = True
    for index, info in enumerate(infos):
        # An address that swallows packets must not use up the time of the others.
        share = (end - time.monotonic()) / (len(infos) - index)
        try:
            return _connect(info, max(share, 0.001), source_address)
        except TimeoutError:
            failures.append(f"{info[4][0]}: no answer")
        except OSError as error:
            timed_out = False
            failures.append(f"{info[4][0]}: {error.strerror or error}")
    kind = TimedOut if timed_out else ConnectError
    raise kind(f"could not connect to port {port} ({'; '.join(failures)})", stage="CONNECT")


def resolve(host: str, port: int, timeout: float) -> list[AddressInfo]:
    """Addresses of a host as getaddrinfo() gives them; a slow resolver is left behind.

    Raises ConnectError, or TimedOut after `timeout` seconds.
    """
    answer = _look_up(host, port) if is_address(host) else _look_up_aside(host, port, timeout)
    if isinstance(answer, OSError):
        why = answer.strerror or str(answer)
        raise ConnectError(
            f"the name {host} could not be resolved ({why})", stage="CONNECT", reason="dns"
        )
    return answer


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
        raise TimedOut(f"no answer from DNS for {host}", stage="CONNECT") from None


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
        usable = "." in name and name.isascii() and not name.endswith(".arpa")
        _local_name = name if usable else ""
    return _local_name


_local_name: str | None = None


def _connect(info: AddressInfo, timeout: float, source_address: str | None) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(timeout)
        if source_address:
            sock.bind((source_address, 0))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
