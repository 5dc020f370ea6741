"""What was said, by whom, when. Only redacted text ever gets here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

#: Events kept of a session's own dialogue, and of each message's.
MAX_EVENTS = 1_024


class Event(NamedTuple):
    """One line of the dialogue.

    time: seconds by the driver's clock, whose origin is arbitrary.
    direction: "C" the client spoke, "S" the server spoke, "*" something happened.
    stage: CONNECT, GREETING, TLS, EHLO, AUTH, MAIL, RCPT, DATA, CONTENT, RSET or QUIT.
    text: the words, without any secret.
    """

    time: float
    direction: str
    stage: str
    text: str


def new_log() -> deque[Event]:
    """An empty log that keeps the latest events."""
    return deque(maxlen=MAX_EVENTS)


def merged(*logs: Iterable[Event]) -> tuple[Event, ...]:
    """Several logs as one, in order of time."""
    return tuple(sorted((event for log in logs for event in log), key=lambda event: event.time))


def render(events: Iterable[Event]) -> str:
    """The dialogue as text, line by line, with the seconds since the first event."""
    known = list(events)
    start = known[0].time if known else 0.0
    return "\n".join(
        f"{event.time - start:8.3f} {event.direction}: {line}"
        for event in known
        for line in event.text.split("\n")
    )
