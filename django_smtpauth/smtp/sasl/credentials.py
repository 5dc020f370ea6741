"""Who logs in, with the secret out of sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["password", "token"]


@dataclass(frozen=True)
class Credentials:
    """A user name and a callable that returns the secret when it is needed.

    The callable may take its time (a vault, a token endpoint) and may raise; it is asked once
    per exchange, after the server offered a mechanism, and what it returns is not kept.

    kind: what the secret is, a "password" or an OAuth access "token". Mechanisms for one never
        get the other. Raises ValueError for any other word.
    """

    username: str
    secret: Callable[[], str] = field(repr=False)
    kind: Kind = "password"

    def __post_init__(self) -> None:
        if self.kind not in ("password", "token"):
            raise ValueError(f"kind must be 'password' or 'token', not {self.kind!r}.")
