"""The text that is stored for a secret, and what binds it to its row.

    sa1.<key id>.<stored for>.<base64url of nonce, ciphertext and tag, unpadded>

`sa1` is the format's version. `<stored for>` says in clear for which server the secret was
stored ("smtp.example.com:587"), so that an error can say it; it is covered by the tag like all
the rest. The associated data is a canonical JSON text of the token's first three parts, a fixed
purpose, the row's uuid and the row's binding (its destination). A binding holds only what
differs from the neutral value, so that a field added later changes nothing for existing rows.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

VERSION: Final = "sa1"

_TOKEN = re.compile(r"sa1\.([A-Za-z0-9_-]{1,32})\.([!-~]{0,300})\.([A-Za-z0-9_-]{38,})")
_NOT_PRINTABLE = re.compile(r"[^!-~]")


@dataclass(frozen=True)
class SealingContext:
    """What a secret is bound to: the row's uuid, the binding, and the server's name in clear."""

    row: str
    binding: Mapping[str, str | int | bool] = field(default_factory=dict)
    stored_for: str = ""


class SealedToken:
    """A sealed secret as it is stored. It is no `str`: a text never becomes a token by itself.

    Any text is accepted, so that a query never fails on a damaged row; `valid` tells.
    """

    __slots__ = ("key_id", "stored_for", "text", "valid")

    def __init__(self, text: str) -> None:
        match = _TOKEN.fullmatch(text)
        self.text = text
        self.valid = match is not None
        self.key_id, self.stored_for = match.group(1, 2) if match else ("", "")

    @classmethod
    def build(cls, key_id: str, stored_for: str, sealed: bytes) -> "SealedToken":
        """The token of freshly sealed octets."""
        payload = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        return cls(f"{VERSION}.{key_id}.{stored_for}.{payload}")

    @property
    def sealed(self) -> bytes:
        """Nonce, ciphertext and tag of a valid token; empty when the base64 is damaged."""
        payload = self.text.rpartition(".")[2]
        try:
            return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        except binascii.Error:
            return b""

    def __repr__(self) -> str:
        return f"<SealedToken key={self.key_id!r} stored_for={self.stored_for!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealedToken) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[type["SealedToken"], tuple[str]]:
        return SealedToken, (self.text,)


def printable(text: str) -> str:
    """The text as it may stand in a token: printable ASCII without spaces, 300 octets at most."""
    return _NOT_PRINTABLE.sub("?", text)[:300]


def associated_data(key_id: str, stored_for: str, purpose: str, context: SealingContext) -> bytes:
    """The octets that a tag covers besides its content; the first two as the token has them."""
    return json.dumps(
        [VERSION, key_id, stored_for, purpose, context.row, context.binding],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    ).encode("ascii")
