"""Fixtures and hypothesis profiles of the whole suite; HYPOTHESIS_PROFILE=full searches longer."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from django_smtpauth.smtp import connection

pytest_plugins = ["tests.servers.fixtures"]

# No deadline: a busy machine must not fail a property. No database: runs leave nothing behind.
settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("full", settings.get_profile("quick"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def _nothing_refused() -> None:
    """What a server of another test refused is not remembered: ports come back."""
    connection.refusals.clear()
