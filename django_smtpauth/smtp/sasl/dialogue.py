"""The shape of a mechanism: what it is given, and the generator that it is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Union

from ..errors import ProtocolError
from ..needs import Call


@dataclass(frozen=True)
class ChannelBinding:
    """What ties an exchange to its TLS connection (RFC 5056).

    type: the registered name, for example `tls-server-end-point`; data: its octets.
    """

    type: str
    data: bytes = field(repr=False)


def _ignore(_: str) -> None: ...


@dataclass(frozen=True)
class Login:
    """Everything that a mechanism is given.

    username: who logs in; text that UTF-8 can express, without NUL.
    secret: password or token, likewise; empty for mechanisms that need none.
    host, port: the server as the caller named it.
    channel_binding: what a mechanism may bind itself to; None: it can't, or need not try.
    note: called with a remark for the transcript. The remarks also explain a refusal. Known
        forms of the secret are taken out of them.
    """

    username: str
    secret: str = field(repr=False)
    host: str = ""
    port: int = 0
    channel_binding: ChannelBinding | None = None
    note: Callable[[str], None] = field(default=_ignore, repr=False, compare=False)


#: A mechanism is a generator: it first yields the initial response, or None for none, then is
#: sent each decoded challenge and yields the response to it. Base64 is not its business. A `Call`
#: that it yields is run where it holds nobody up, and its value sent back. When the server
#: reports success it is sent None: then it must end, or raise SMTPError if something is missing.
Dialogue = Generator[Union[bytes, Call, None], Any, None]  # noqa: UP007 - run time on 3.10


def after_failure(login: Login, why: str, answer: bytes) -> Dialogue:
    """The end of an exchange in which the server reported a failure inside a challenge.

    `answer` is what the mechanism demands then; the refusal is to follow. Raises ProtocolError
    if the server reports success instead.
    """
    login.note(why)
    if (yield answer) is None:
        raise ProtocolError("The server reported success after it had reported a failure.")
