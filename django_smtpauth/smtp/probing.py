"""Trying a server out, without a message."""

from __future__ import annotations

from . import commands
from .errors import ProtocolError
from .needs import Conversation
from .wire import Wire


def discards_chunks(wire: Wire) -> Conversation[bool]:
    """Whether the server discards the octets of a chunk that it refuses (RFC 3030 section 2).

    One that does not would run the message as commands. So one line that is no command is sent
    as a chunk outside of any transaction: there must be one refusal, and RSET must then have its
    own answer. Raises SMTPError when the connection does not survive it: the line was answered
    as well, so that nobody knows which reply belongs to what.
    """
    refused = (yield from wire.ask(commands.probe())).klass == 5
    if (yield from wire.ask(commands.rset())).klass != 2:
        wire.session.broken = True
        raise ProtocolError("The server ran the octets of a chunk as a command.", stage="PROBE")
    return refused
