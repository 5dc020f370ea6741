"""A short memory of refused credentials, so that repeated tries do not lock a mailbox.

It holds no secret: an entry is found by a digest whose key exists in this process only.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, TypeGuard

from .replies import Reply
from .timeouts import Clock

#: Seconds for which a refusal is remembered.
REMEMBERED: Final = 300.0
#: Entries kept; the oldest go first.
MAX_ENTRIES: Final = 1_024

#: Replies to AUTH with 5xx that judge the command, and not the credentials (RFC 4954 4 and 6).
_OTHER_REASONS: Final = frozenset({500, 501, 502, 503, 504, 530, 538})


def is_final(reply: Reply | None) -> TypeGuard[Reply]:
    """Whether this reply to AUTH refuses the credentials for good."""
    return reply is not None and reply.klass == 5 and reply.code not in _OTHER_REASONS


@dataclass(frozen=True)
class Refusal:
    """What a server said about credentials, and when, in seconds of the memory's clock."""

    reply: Reply
    at: float


class Refusals:
    """Refusals of the last minutes, by credential. May be used by several threads, and forked:
    every step is one operation of a dict, so no lock can be left behind.

    seconds: how long one is remembered.
    """

    def __init__(self, clock: Clock, seconds: float = REMEMBERED) -> None:
        self.seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: dict[bytes, Refusal] = {}

    def digest(self, address: tuple[str, int], *words: str) -> bytes:
        """The name of a credential here.

        address: host and port of the server. words: user name, kind of secret, secret.
        """
        host, port = address
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for word in (host.lower(), str(port), *words):
            octets = word.encode()
            digest.update(b"%d:%b" % (len(octets), octets))
        return digest.digest()

    def find(self, digest: bytes) -> Refusal | None:
        """The refusal that is remembered of this credential."""
        refusal = self._entries.get(digest)
        return refusal if refusal is not None and self.left(refusal) > 0 else None

    def age(self, refusal: Refusal) -> float:
        """Seconds since the refusal."""
        return self._clock() - refusal.at

    def left(self, refusal: Refusal) -> float:
        """Seconds until it is forgotten."""
        return self.seconds - self.age(refusal)

    def add(self, digest: bytes, reply: Reply) -> None:
        """Remembers a refusal, from now on."""
        self._entries.pop(digest, None)
        self._entries[digest] = Refusal(reply, self._clock())
        for number, (other, refusal) in enumerate(reversed(list(self._entries.items()))):
            if number >= MAX_ENTRIES or self.left(refusal) <= 0:
                self._entries.pop(other, None)

    def forget(self, digest: bytes) -> None:
        """The credential was accepted."""
        self._entries.pop(digest, None)

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
