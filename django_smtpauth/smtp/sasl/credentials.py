"""Who logs in, with the secret out of sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Credentials:
    """A user name and a callable that returns the password when it is needed.

    The callable may take its time (a vault, a token endpoint) and may raise; it is asked once
    per authentication, after the server offered a mechanism, and what it returns is not kept.
    """

    username: str
    secret: Callable[[], str] = field(repr=False)
