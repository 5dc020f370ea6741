"""Who logs in, with the secret out of sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Kind = Literal["password", "token", "certificate"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


def no_secret() -> str:
    """The secret of those that have none."""
    return ""


@dataclass(frozen=True)
class Credentials:
    """A user name and a callable that returns the secret when it is needed.

    The callable may take its time (a vault, a token endpoint) and may raise; it is asked once
    per exchange, after the server offered a mechanism, and what it returns is not kept.

    kind: what proves the user: a "password", an OAuth access "token", or the "certificate" of
        the TLS client, which needs no callable; then an empty user name leaves it to the server
        who that is. Mechanisms for one kind never get the secret of another.
    Raises ValueError for any other kind, and for a missing or needless callable.
    """

    username: str
    secret: Callable[[], str] = field(default=no_secret, repr=False)
    kind: Kind = "password"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}.")
        if (self.secret is no_secret) != (self.kind == "certificate"):
            verb = "has no" if self.kind == "certificate" else "needs a"
            raise ValueError(f"A {self.kind} {verb} callable that returns it.")
