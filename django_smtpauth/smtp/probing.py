"""Trying a server out, without a message."""

from __future__ import annotations

from typing import Final

from . import commands
from .errors import ProtocolError
from .needs import Conversation
from .wire import Wire

#: Run as commands, an empty line and one that is no command. Some servers pass over the former
#: without a word, so that it would seem to have been discarded.
_LINES: Final = (b"\r\n", b"X\r\n")


def discards_chunks(wire: Wire) -> Conversation[bool]:
    """Whether the server discards the octets of a chunk that it refuses (RFC 3030 section 2).

    One that does not would run the message as commands. So lines that do no harm are sent as
    chunks outside of any transaction: each must be refused, once, and RSET must then have its own
    answer. Raises SMTPError when the connection does not survive it: a line was answered as well,
    so that nobody knows which reply belongs to what.
    """
    refused = True
    for octets in _LINES:
        reply = yield from wire.ask(commands.probe(octets))
        refused = refused and reply.klass == 5
    if (yield from wire.ask(commands.rset())).klass != 2:
        wire.session.broken = True
        raise ProtocolError("The server ran the octets of a chunk as a command.", stage="PROBE")
    return refused
