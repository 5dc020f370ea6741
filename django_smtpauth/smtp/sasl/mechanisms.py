"""Which mechanisms there are, and which one is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import NotSupported
from .cram import cram_md5
from .dialogue import Dialogue, Login
from .plain import by_prompts, plain
from .scram import scram

#: RFC 4422 section 3.1.
_NAME: Final = re.compile(r"[A-Z0-9_-]{1,20}")

Need = Literal["password", "token", "certificate"]


@dataclass(frozen=True)
class Mechanism:
    """A SASL mechanism.

    name: as servers offer it, in upper case.
    start: called with the Login; returns the dialogue.
    reveals_secret: whether whoever listens, or the server, learns the secret.
    needs: what proves the user: "password", "token", or "certificate" (of the TLS client).
    binds: whether it works only with a channel binding.
    """

    name: str
    start: Callable[[Login], Dialogue]
    reveals_secret: bool
    needs: Need = "password"
    binds: bool = False


def _scram(algorithm: str, *, plus: bool) -> Mechanism:
    name = f"SCRAM-{algorithm}-PLUS" if plus else f"SCRAM-{algorithm}"
    start = scram(algorithm.replace("-", "").lower(), plus=plus)
    return Mechanism(name, start, reveals_secret=False, binds=plus)


_OWN: Final = (
    *(_scram(name, plus=True) for name in ("SHA-512", "SHA-256", "SHA-1")),
    *(_scram(name, plus=False) for name in ("SHA-512", "SHA-256", "SHA-1")),
    Mechanism("CRAM-MD5", cram_md5, reveals_secret=False),
    Mechanism("PLAIN", plain, reveals_secret=True),
    Mechanism("LOGIN", by_prompts, reveals_secret=True),
)

#: All mechanisms that can be named; `register()` adds to them.
MECHANISMS: dict[str, Mechanism] = {mechanism.name: mechanism for mechanism in _OWN}
#: Where nobody named any: our own, strongest first.
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
    has: Sequence[Need] = ("password",),
    may_bind: bool = False,
) -> Mechanism:
    """The first allowed mechanism that the server offers.

    allowed: names in order of preference; None: DEFAULT_ORDER.
    may_reveal: whether the connection may carry a secret in clear.
    has: what can be proven with. may_bind: whether there is a channel binding.
    Raises NotSupported, with the cure, when none is left.
    """
    wanted = _fitting(_known(DEFAULT_ORDER if allowed is None else allowed), has)
    common = [mechanism for mechanism in wanted if mechanism.name in offered]
    usable = [mechanism for mechanism in common if may_bind or not mechanism.binds]
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
        raise NotSupported(
            f"{common[0].name} needs TLS, and a certificate that it can be bound to",
            stage="AUTH",
            reason="no-channel-binding",
        )
    raise NotSupported(
        f"the server offers {', '.join(offered) or 'no AUTH'}, "
        f"allowed here: {', '.join(m.name for m in wanted) or 'nothing'}",
        stage="AUTH",
        reason="no-mechanism",
    )


def _known(names: Sequence[str]) -> list[Mechanism]:
    unknown = [name for name in names if name.upper() not in MECHANISMS]
    if unknown:
        raise NotSupported(
            f"auth_mechanisms names {', '.join(unknown)}, which is not known here",
            stage="AUTH",
            reason="unknown-mechanism",
            cure=f"Known are {', '.join(MECHANISMS)}.",
        )
    return [MECHANISMS[name.upper()] for name in names]


def _fitting(wanted: list[Mechanism], has: Sequence[Need]) -> list[Mechanism]:
    """Those that can work with what there is."""
    fitting = [mechanism for mechanism in wanted if mechanism.needs in has]
    if wanted and not fitting:
        raise NotSupported(
            f"{wanted[0].name} needs a {wanted[0].needs}, and there is a {' and a '.join(has)}",
            stage="AUTH",
            reason="wrong-kind-of-secret",
        )
    return fitting
