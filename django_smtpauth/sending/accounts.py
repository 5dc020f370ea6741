"""The accounts of this process: a snapshot of what the database holds."""

from __future__ import annotations

import uuid as uuid_module
from dataclasses import dataclass, field
from typing import Protocol

from ..smtp.tls import Security


class Secret(Protocol):
    """A password that is decrypted when it is asked for."""

    def reveal(self) -> str:
        """The password itself; may raise when it can't be opened."""


@dataclass(frozen=True)
class Account:
    """One enabled account as it stood in the database; the password is still sealed.

    sealed: the password's token, which tells two states of an account apart.
    port: None takes the one that goes with security. timeout: seconds, or None.
    """

    uuid: uuid_module.UUID
    slug: str
    host: str
    scope: str = ""
    label: str = ""
    port: int | None = None
    security: Security = Security.STARTTLS
    verify: bool = True
    ca_text: str = ""
    username: str = ""
    password: Secret | None = field(default=None, repr=False, compare=False)
    sealed: str = field(default="", repr=False)
    from_email: str = ""
    select_by_from: bool = False
    is_default: bool = False
    timeout: float | None = None
    allow_auth_without_tls: bool = False
