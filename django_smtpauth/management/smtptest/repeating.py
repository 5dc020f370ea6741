"""`smtptest --count`: more messages after the first one, over a connection of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.core.mail import EmailMessage

from django_smtpauth.sending.delivery import Batch, Lines
from django_smtpauth.sending.routing import Route

from .exits import CODES


@dataclass
class Count:
    """How many messages were to be sent, the first one included, and how many were.

    sent: that at least one recipient's server took. seconds: for all but the first one.
    error: the first failure.
    """

    asked: int
    sent: int = 1
    seconds: float = 0.0
    error: Exception | None = None
    interrupted: bool = False

    @property
    def stage(self) -> str:
        """Where the first failure was."""
        named = str(getattr(self.error, "stage", ""))
        return named if named in CODES else "DELIVERY"

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values."""
        return {"asked": self.asked, "sent": self.sent, "seconds": round(self.seconds, 3)}


def send_more(
    route: Route, count: int, message: Callable[[], EmailMessage], tick: Callable[[int], None]
) -> Count:
    """Sends the second and all further messages; tick: is told how many were begun."""
    told, lines, began = Count(count), Lines(), time.monotonic()

    def messages() -> Iterator[EmailMessage]:
        for number in range(2, count + 1):
            tick(number)
            yield message()

    batch = Batch(lines, lambda _: route)
    try:
        batch.send(messages())
    except KeyboardInterrupt:
        told.interrupted = True
    finally:
        lines.close()
    told.sent, told.error = 1 + batch.sent, batch.first_error
    told.seconds = time.monotonic() - began
    return told
