"""How the servers' threads are woken for the end, and waited for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import Protocol


class StoppedError(Exception):
    """The bell rang: the test is over."""


class Bell:
    """A file descriptor that becomes readable for good: wakes all who wait with it."""

    def __init__(self) -> None:
        self._far, self._near = socket.socketpair()

    def fileno(self) -> int:
        return self._near.fileno()

    def ring(self) -> None:
        self._far.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._far.close()
        self._near.close()


class Finite(Protocol):
    @property
    def finished(self) -> threading.Event: ...


def wait_until_finished(
    changed: threading.Condition, connections: Sequence[Finite], at_least: int, timeout: float
) -> None:
    """Wait for so many connections, all finished; `changed` is notified when one finishes."""
    deadline = time.monotonic() + timeout
    with changed:
        while len(connections) < at_least or not all(one.finished.is_set() for one in connections):
            left = deadline - time.monotonic()
            if left <= 0 or not changed.wait(left):
                raise TimeoutError(f"still open after {timeout} s, of {connections}")
