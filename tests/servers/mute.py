"""A listener that answers nobody: what packets meet behind a firewall that swallows them."""

from __future__ import annotations

import errno
import socket
from typing import Any


class Mute:
    """Its queue of connections is full, and stays so: Linux drops what comes then.

    where: (host, port), or the path of a Unix socket. address: the same with the real port.
    """

    def __init__(self, where: Any) -> None:
        self.taken = 0
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        family = socket.AF_INET6 if ":" in where[0] else family
        self._sockets = [socket.socket(family)]
        self._sockets[0].bind(where)
        self._sockets[0].listen(0)
        self.address = self._sockets[0].getsockname()
        while True:
            filler = socket.socket(family)
            self._sockets.append(filler)
            filler.setblocking(False)
            code = filler.connect_ex(self.address)
            if code == errno.EAGAIN or not connected(filler):
                break

    def take_one(self) -> None:
        """Makes room for one connection."""
        self._sockets.append(self._sockets[0].accept()[0])
        self.taken += 1

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
