from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_smtpauth.smtp.sasl import MECHANISMS


@pytest.fixture(autouse=True)
def _own_mechanisms() -> Iterator[None]:
    """What a test registers is gone with it."""
    own = dict(MECHANISMS)
    yield
    MECHANISMS.clear()
    MECHANISMS.update(own)
