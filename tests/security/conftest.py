"""Fixtures of the duties: the backend's, no leaks, and an end in bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    mail_settings,
    make_account,
)
from tests.security.secretive import Site
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.smtp.conftest import nothing_leaks  # noqa: F401
from tests.smtp.network import BOUND


@pytest.fixture(autouse=True)
def _in_bounded_time() -> Iterator[None]:
    """Whatever a server does, its client comes to an end."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND


@pytest.fixture
def site(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    mail_settings: Any,  # noqa: F811
    certificates: Certificates,
    scripted_server: ServerFactory,
    db: None,
) -> Site:
    made = Site(settings, monkeypatch, tmp_path, certificates, scripted_server)
    mail_settings(timeout=2)
    return made
