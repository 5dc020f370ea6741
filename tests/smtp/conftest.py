"""Fixtures of the engine's tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from django_smtpauth.smtp import connection


@pytest.fixture(autouse=True)
def _nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports of loopback come back: what was learnt about one server is not true of the next."""
    monkeypatch.setattr(connection, "_traits", {})


@pytest.fixture
def nothing_leaks() -> Iterator[None]:
    """No descriptor and no thread outlives the test. Requested before servers are started."""
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
        assert not thread.is_alive(), f"{thread} was left behind"
    assert _descriptors() == descriptors


def _descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))
