"""Fixtures of the duties: the backend's, no leaks, and an end in bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    mail_settings,
    make_account,
)
from tests.smtp.conftest import nothing_leaks  # noqa: F401
from tests.smtp.network import BOUND


@pytest.fixture(autouse=True)
def _in_bounded_time() -> Iterator[None]:
    """Whatever a server does, its client comes to an end."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND
