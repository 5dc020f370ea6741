"""Which mechanisms there are, and which one is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..errors import NotSupported
from ..tls import PeerFacts
from .binding import SERVER_END_POINT, UNIQUE, channel_binding, why_missing
from .cram import cram_md5
from .credentials import Kind
from .dialogue import Dialogue, Login
from .external import external
from .oauth import oauthbearer, xoauth2
from .plain import by_prompts, plain
from .scram import scram

#: RFC 4422 section 3.1.
_NAME: Final = re.compile(r"[A-Z0-9_-]{1,20}")


@dataclass(frozen=True)
class Mechanism:
    """A SASL mechanism.

    name: as servers offer it, in upper case.
    start: called with the Login; returns the dialogue.
    reveals_secret: whether whoever listens, or the server, learns the secret.
    needs: what proves the user: "password", "token", or "certificate" (of the TLS client).
    binding: the type of channel binding without which it does not work; empty: none.
    """

    name: str
    start: Callable[[Login], Dialogue]
    reveals_secret: bool
    needs: Kind = "password"
    binding: str = ""


def _scram(algorithm: str, *, plus: bool) -> Mechanism:
    name = f"SCRAM-{algorithm}-PLUS" if plus else f"SCRAM-{algorithm}"
    start = scram(algorithm.replace("-", "").lower(), plus=plus)
    binding = SERVER_END_POINT if plus else ""
    return Mechanism(name, start, reveals_secret=False, binding=binding)


_OWN: Final = (
    *(_scram(name, plus=True) for name in ("SHA-512", "SHA-256", "SHA-1")),
    *(_scram(name, plus=False) for name in ("SHA-512", "SHA-256", "SHA-1")),
    Mechanism("CRAM-MD5", cram_md5, reveals_secret=False),
    Mechanism("PLAIN", plain, reveals_secret=True),
    Mechanism("LOGIN", by_prompts, reveals_secret=True),
    Mechanism("OAUTHBEARER", oauthbearer, reveals_secret=True, needs="token"),
    Mechanism("XOAUTH2", xoauth2, reveals_secret=True, needs="token"),
    Mechanism("EXTERNAL", external, reveals_secret=False, needs="certificate"),
)

CERTIFICATE_NEEDED: Final = (
    "EXTERNAL logs in with the client's certificate: give ssl_certfile, and use TLS."
)

#: All mechanisms that can be named; `register()` adds to them.
MECHANISMS: dict[str, Mechanism] = {mechanism.name: mechanism for mechanism in _OWN}
#: Where nobody named any: our own, for each kind of secret strongest first.
DEFAULT_ORDER: Final = tuple(m.name for m in _OWN)


def register(mechanism: Mechanism) -> None:
    """Adds a mechanism, for the whole process; it is used where it is named.

    Raises ValueError for a name that RFC 4422 3.1 does not allow, or that is taken.
    """
    if not _NAME.fullmatch(mechanism.name):
        raise ValueError(f"{mechanism.name!r} is no name of a SASL mechanism (RFC 4422 3.1).")
    if MECHANISMS.setdefault(mechanism.name, mechanism) != mechanism:
        raise ValueError(f"There is a mechanism {mechanism.name} already.")


def choose(
    offered: Sequence[str],
    allowed: Sequence[str] | None,
    *,
    may_reveal: bool,
    has: Sequence[Kind] = ("password",),
    facts: PeerFacts | None = None,
) -> Mechanism:
    """The first allowed mechanism that the server offers.

    allowed: names in order of preference; None: DEFAULT_ORDER. One that needs a channel binding
        may be followed by `/` and another type of it: `SCRAM-SHA-256-PLUS/tls-unique`.
    may_reveal: whether the connection may carry a secret in clear.
    has: what can be proven with. facts: of the TLS handshake, for channel bindings.
    Raises NotSupported, with the cure, when none is left.
    """
    wanted = _fitting(_known(DEFAULT_ORDER if allowed is None else allowed), has)
    common = [mechanism for mechanism in wanted if mechanism.name in offered]
    usable = [m for m in common if not m.binding or channel_binding(m.binding, facts)]
    for mechanism in usable:
        if may_reveal or not mechanism.reveals_secret:
            return mechanism
    if usable:
        raise NotSupported(
            f"{usable[0].name} would send the {usable[0].needs} without TLS",
            stage="AUTH",
            reason="auth-without-tls",
            cure="Use TLS, or set allow_auth_without_tls=True if the network is trusted.",
        )
    if common:
        raise _not_bound(common[0], facts)
    raise NotSupported(
        f"the server offers {', '.join(offered) or 'no AUTH'}, "
        f"allowed here: {', '.join(m.name for m in wanted) or 'nothing'}",
        stage="AUTH",
        reason="no-mechanism",
    )


def _known(names: Sequence[str]) -> list[Mechanism]:
    found = {name: _named(name) for name in names}
    unknown = [name for name, mechanism in found.items() if mechanism is None]
    if unknown:
        slash = f" Those with -PLUS may be followed by /{UNIQUE}." if "/" in str(unknown) else ""
        raise NotSupported(
            f"auth_mechanisms names {', '.join(unknown)}, which is not known here",
            stage="AUTH",
            reason="unknown-mechanism",
            cure=f"Known are {', '.join(MECHANISMS)}.{slash}",
        )
    return [mechanism for mechanism in found.values() if mechanism is not None]


def _named(entry: str) -> Mechanism | None:
    """The mechanism that an entry of auth_mechanisms means."""
    name, slash, binding = entry.partition("/")
    mechanism = MECHANISMS.get(name.upper())
    if mechanism is None or not slash:
        return mechanism
    if not mechanism.binding or binding.lower() not in (SERVER_END_POINT, UNIQUE):
        return None
    return replace(mechanism, binding=binding.lower())


def _fitting(wanted: list[Mechanism], has: Sequence[Kind]) -> list[Mechanism]:
    """Those that can work with what there is."""
    fitting = [mechanism for mechanism in wanted if mechanism.needs in has]
    if wanted and not fitting:
        raise NotSupported(
            f"{wanted[0].name} needs a {wanted[0].needs}, and there is a {' and a '.join(has)}",
            stage="AUTH",
            reason="wrong-kind-of-secret",
            cure=CERTIFICATE_NEEDED if wanted[0].needs == "certificate" else "",
        )
    return fitting


def _not_bound(mechanism: Mechanism, facts: PeerFacts | None) -> NotSupported:
    if facts is None:
        cure = "Use TLS."
    elif mechanism.binding == UNIQUE:
        cure = f"Name {mechanism.name} without /{UNIQUE}: that binds to the server's certificate."
    else:
        cure = "Allow a mechanism that needs no channel binding, too."
    return NotSupported(
        f"{mechanism.name} needs the channel binding {mechanism.binding}: "
        f"{why_missing(mechanism.binding, facts)}",
        stage="AUTH",
        reason="no-channel-binding",
        cure=cure,
    )
