"""Where a password may go: the part of an account that its sealed password is bound to."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import idna

from django_smtpauth.smtp.endpoint import is_path


@dataclass(frozen=True)
class Destination:
    """An account's server and the identity used there, in canonical form.

    `host` becomes an A-label in lower case where it is a name; `ca_text` and `tls_pin` get line
    feeds only. Each default is the neutral value: see `binding()`.
    """

    host: str
    port: int
    security: str
    username: str = ""
    verify: bool = True
    ca_text: str = ""
    allow_auth_without_tls: bool = False
    tls_pin: str = ""
    proxy: str = ""
    internal_host: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", normalise_host(self.host))
        object.__setattr__(self, "ca_text", normalise_lines(self.ca_text))
        object.__setattr__(self, "tls_pin", normalise_lines(self.tls_pin))

    @classmethod
    def of(cls, read: Callable[[str], Any]) -> "Destination":
        """The destination of an account, whose fields are read by their names."""
        return cls(**{name: read(name) for name in cls.__dataclass_fields__})

    def binding(self) -> dict[str, str | int | bool]:
        """Every field that differs from its neutral value.

        Leaving out neutral values lets a later field join without changing the
        binding of rows that don't use it.
        """
        neutral = asdict(Destination(host="", port=0, security=""))
        return {name: value for name, value in asdict(self).items() if value != neutral[name]}

    def changes_from(self, other: "Destination") -> list[str]:
        """The names of the fields that differ."""
        before, now = asdict(other), asdict(self)
        return [name for name in now if now[name] != before[name]]

    def __str__(self) -> str:
        if is_path(self.host):
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def normalise_host(host: str) -> str:
    """The host name in lower case, as A-label (IDNA 2008, UTS 46) where it is not ASCII.

    ASCII names pass unchanged otherwise, underscores included, and so does a name that has no
    A-label: validation is not this function's job. The path of a Unix socket keeps its letters.
    """
    host = host.strip()
    if is_path(host):
        return host
    host = host.lower()
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError:
        return host


def normalise_lines(text: str) -> str:
    """The text's lines without surrounding white space, joined by line feeds."""
    return "\n".join(line.strip() for line in text.strip().splitlines())
