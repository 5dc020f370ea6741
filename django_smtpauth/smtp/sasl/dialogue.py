"""The shape of a mechanism."""

from __future__ import annotations

from collections.abc import Generator

#: A mechanism is a generator: it first yields the initial response, or None for none, then is
#: sent each decoded challenge and yields the response to it. Base64 is not its business.
Dialogue = Generator[bytes | None, bytes, None]
