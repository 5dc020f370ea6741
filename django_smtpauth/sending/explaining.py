"""Who explains a failed send. The way to the explanation leads upwards, so it is registered.

`diagnosis` lies above `sending`: it knows routes and errors, and nothing here knows it. The app
registers its explainer when it is ready; without one, errors say what the engine says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

from .log import logger
from .routing import Route


class Explanation(Protocol):
    """Cause and cure of a failure. Its text is one line."""

    @property
    def rule(self) -> str:
        """The stable id of the rule that knew the failure."""


#: Explains an error and the route that was tried; None for what is no failure of mail.
Explainer = Callable[[Exception, "Route | None"], "Explanation | None"]

_explainer: Explainer | None = None


def register(explainer: Explainer) -> None:
    """Lets this one explain what fails from now on."""
    global _explainer
    _explainer = explainer


def explain_failure(error: Exception, route: Route | None = None) -> None:
    """Hangs cause and cure on an error as `error.finding`, once. Never raises.

    route: the server that was tried; None if there was none to try.
    """
    if _explainer is None or finding_of(error) is not None:
        return
    try:
        finding = _explainer(error, route)
    except Exception:
        # What fails here must not hide why the mail failed.
        logger.debug("A failure could not be explained", exc_info=True)
        return
    # Errors with slots take nothing.
    with contextlib.suppress(AttributeError):
        error.finding = finding  # type: ignore[attr-defined]


def finding_of(error: BaseException | None) -> Explanation | None:
    """What was hung on an error, if anything."""
    return getattr(error, "finding", None)
