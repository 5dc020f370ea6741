"""All rules, in the order in which they are asked: the first that matches speaks.

A rule that knows words stands before one that knows only code and stage, and what a provider says
before what any server may say.
"""

from __future__ import annotations

from typing import Final

from .connecting import CONNECTING
from .dialogue import DIALOGUE
from .doubt import DOUBT
from .greeting import GREETING
from .limits import LIMITS
from .login import LOGIN
from .provider_logins import PROVIDER_LOGINS
from .recipient import RECIPIENT
from .reputation import REPUTATION
from .rule import Rule, Source
from .sender import SENDER
from .site import SITE
from .tls import TLS
from .tokens import TOKENS

__all__ = ["RULES", "Rule", "Source"]

RULES: Final[tuple[Rule, ...]] = (
    *DOUBT,
    *SITE,
    *LIMITS,
    *CONNECTING,
    *GREETING,
    *TLS,
    *PROVIDER_LOGINS,
    *TOKENS,
    *LOGIN,
    *REPUTATION,
    *SENDER,
    *RECIPIENT,
    *DIALOGUE,
)
