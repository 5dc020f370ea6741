"""What the `RecordingBackend` is told to do with the messages."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..sending.addressing import normalized_address
from ..smtp.replies import Reply

_REPLY = re.compile(r"([245][0-9]{2})(?: (.*))?")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Replies to recipients by normalised address, a reply to every message, or none at all."""

    recipients: Mapping[str, Reply] = field(default_factory=dict)
    content: Reply | None = None
    in_doubt: bool = False

    def reply_to(self, recipient: str) -> Reply | None:
        """The refusal of this recipient, if it is to be refused."""
        return self.recipients.get(normalized_address(recipient))


_in_force: list[Outcomes] = [Outcomes()]


def current_outcomes() -> Outcomes:
    """Those of the innermost `smtp_outcomes()`."""
    return _in_force[-1]


@contextlib.contextmanager
def smtp_outcomes(
    *,
    refuse: Mapping[str, str] | str | None = None,
    defer: Mapping[str, str] | str | None = None,
    in_doubt: bool = False,
) -> Iterator[None]:
    """Lets the `RecordingBackend` fail as a server does, in all threads, until the block's end.

        with smtp_outcomes(refuse={"bad@example.org": "550 5.1.1 No such user"}): ...
        with smtp_outcomes(defer="451 4.3.0 Try again later"): ...
        with smtp_outcomes(in_doubt=True): ...

    refuse, defer: the server's reply (5xx to refuse, 4xx to defer) by recipient, or one text as
    the reply to every message as a whole. in_doubt: the connection is lost before the reply to a
    complete message. Raises ValueError for a reply that does not do this.
    """
    recipients: dict[str, Reply] = {}
    content: Reply | None = None
    for name, klass, wanted in (("refuse", 5, refuse), ("defer", 4, defer)):
        if isinstance(wanted, str):
            if content is not None:
                raise ValueError("A message as a whole is either refused or deferred.")
            content = _reply(name, klass, wanted)
        elif wanted is not None:
            recipients.update(
                (_address(address), _reply(name, klass, text)) for address, text in wanted.items()
            )
    outcomes = Outcomes(recipients, content, in_doubt)
    _in_force.append(outcomes)
    try:
        yield
    finally:
        _in_force.remove(outcomes)


def _reply(name: str, klass: int, text: str) -> Reply:
    match = _REPLY.fullmatch(text)
    if match is None or int(match[1][0]) != klass:
        raise ValueError(f"{name} needs a reply such as '{klass}50 ...', not {text!r}.")
    return Reply(int(match[1]), (match[2] or "",))


def _address(text: str) -> str:
    address = normalized_address(text)
    if not address:
        raise ValueError(f"Not an e-mail address: {text!r}.")
    return address
