"""Mailboxes of the envelope: read once, written anew (RFC 5321 4.1.2, RFC 6531 3.3).

An address is taken apart into local part and domain and put together again with quoting, so no
part of it can become a command parameter or a second command.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Characters of one address; RFC 5321 4.5.3.1 allows 64 + 255 octets, some sites use more.
MAX_ADDRESS = 1_000

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_UNQUOTED = re.compile(rf"(?:{_ATEXT}|\.)+")
_QUOTED = re.compile(r'"((?:[^"\\\x00-\x1f\x7f]|\\[ -~])*)"')
_DOMAIN = re.compile(
    r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_.\u0080-\U0010ffff-]*"
    r"[A-Za-z0-9_\u0080-\U0010ffff])?\.?"
)
_LITERAL = re.compile(r"\[[A-Za-z0-9.:-]+\]")
# C1 controls and Unicode's line ends are no text, whatever UTF-8 makes of them.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Mailbox(NamedTuple):
    """A parsed address: local part without quotes, domain (empty for a local mailbox)."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Reads `local@domain`, `"quoted local"@domain`, `local@[literal]` or `local`.

        Raises ValueError for anything else, control characters and a display name included.
        """
        if _FORBIDDEN.search(text):
            raise ValueError("An address contains a control character.")
        if len(text) > MAX_ADDRESS:
            raise ValueError(f"An address has more than {MAX_ADDRESS} characters.")
        quoted = _QUOTED.match(text)
        if quoted:
            local, rest = re.sub(r"\\(.)", r"\1", quoted[1]), text[quoted.end() :]
        else:
            local, at, domain = text.rpartition("@")
            local, rest = (local, at + domain) if at else (text, "")
            if not _UNQUOTED.fullmatch(local):
                raise ValueError(f"Not an e-mail address: {text!r}.")
        if rest and not (rest.startswith("@") and _is_domain(rest[1:])):
            raise ValueError(f"Not an e-mail address: {text!r}.")
        return cls(local, rest[1:])

    @property
    def needs_utf8(self) -> bool:
        """Whether the local part can be written only with SMTPUTF8 (RFC 6531)."""
        return not self.local.isascii()

    def __str__(self) -> str:
        local = self.local
        if not _DOT_ATOM.fullmatch(local):
            local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def _is_domain(text: str) -> bool:
    if len(text.encode()) > 255:
        return False
    return bool(_LITERAL.fullmatch(text) or (_DOMAIN.fullmatch(text) and ".." not in text))
