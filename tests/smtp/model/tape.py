"""Random choices that hypothesis can shrink: octets, read one by one; 0 is the plainest choice."""

from __future__ import annotations


class Tape:
    """Choices made beforehand. When they are used up, every further one is 0."""

    def __init__(self, octets: bytes = b"") -> None:
        self._left = list(octets)

    def next(self) -> int:
        return self._left.pop(0) if self._left else 0

    @property
    def empty(self) -> bool:
        return not self._left
