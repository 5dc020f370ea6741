"""Which mechanisms there are, and which one is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import NotSupported
from .cram import cram_md5
from .dialogue import Dialogue
from .plain import login, plain


@dataclass(frozen=True)
class Mechanism:
    """A SASL mechanism.

    start: called with user name and secret; returns the dialogue.
    reveals_secret: whether whoever listens, or the server, learns the secret.
    """

    name: str
    start: Callable[[str, str], Dialogue]
    reveals_secret: bool


#: All mechanisms, strongest first: the default order.
MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        Mechanism("CRAM-MD5", cram_md5, reveals_secret=False),
        Mechanism("PLAIN", plain, reveals_secret=True),
        Mechanism("LOGIN", login, reveals_secret=True),
    )
}


def choose(
    offered: Sequence[str], allowed: Sequence[str] | None, *, may_reveal: bool
) -> Mechanism:
    """The first allowed mechanism that the server offers.

    allowed: names in order of preference; None: all, strongest first.
    may_reveal: whether the connection may carry a secret in clear.
    Raises NotSupported, with the cure, when none is left.
    """
    wanted = list(MECHANISMS) if allowed is None else [name.upper() for name in allowed]
    usable = [MECHANISMS[name] for name in wanted if name in MECHANISMS and name in offered]
    for mechanism in usable:
        if may_reveal or not mechanism.reveals_secret:
            return mechanism
    if usable:
        raise NotSupported(
            f"{usable[0].name} would send the password without TLS",
            stage="AUTH",
            reason="auth-without-tls",
            cure="Use TLS, or set allow_auth_without_tls=True if the network is trusted.",
        )
    raise NotSupported(
        f"the server offers {', '.join(offered) or 'no AUTH'}, "
        f"allowed here: {', '.join(wanted) or 'nothing'}",
        stage="AUTH",
        reason="no-mechanism",
    )
