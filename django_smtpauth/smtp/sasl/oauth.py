"""OAuth 2.0 access tokens: OAUTHBEARER (RFC 7628), and XOAUTH2, which came before it.

Both say everything at once. A server that refuses the token first explains itself in a
challenge, which has an answer of its own; then comes the refusal.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ..errors import NotSupported
from .dialogue import Dialogue, Login, after_failure
from .scram import saslname

#: What stands between the fields. No field can contain it.
_SEPARATOR: Final = "\x01"
#: RFC 6750 2.1 allows fewer characters; what a server issued is its own business.
_TOKEN: Final = re.compile(r"[!-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
#: Characters of one field of the server's explanation.
_MAX_FIELD: Final = 150

#: RFC 7628 3.2.2 (names of RFC 6750 3.1); XOAUTH2 gives the HTTP status that goes with them.
_MEANINGS: Final = {
    "invalid_request": "the request was malformed",
    "400": "the request was malformed, or the token is no longer valid",
    "invalid_token": "the token is expired, revoked, or not for this user or server",
    "401": "the token is expired, revoked, or not for this user or server",
    "insufficient_scope": "the token lacks a scope",
    "403": "the token lacks a scope",
}


def oauthbearer(login: Login) -> Dialogue:
    """The GS2 header, then host, port and token (RFC 7628 3.1)."""
    _check(login)
    identity = f"a={saslname(login.username)}" if login.username else ""
    challenge = yield _joined(
        f"n,{identity},", f"host={login.host}", f"port={login.port}", _bearer(login)
    )
    if challenge is not None:
        yield from after_failure(login, explanation(challenge), _SEPARATOR.encode())


def xoauth2(login: Login) -> Dialogue:
    """User name and token; a failure is answered with an empty line."""
    _check(login)
    challenge = yield _joined(f"user={login.username}", _bearer(login))
    if challenge is not None:
        yield from after_failure(login, explanation(challenge), b"")


def _bearer(login: Login) -> str:
    return f"auth=Bearer {login.secret}"


def _joined(*fields: str) -> bytes:
    return _SEPARATOR.join((*fields, "", "")).encode()


def _check(login: Login) -> None:
    """Raises NotSupported for what could be taken for another field."""
    if not _TOKEN.fullmatch(login.secret):
        raise NotSupported(
            "the access token is not one word of ASCII characters",
            reason="token-not-a-word",
            cure="Give the token alone: without 'Bearer', spaces and line ends.",
        )
    for what, text in (("user name", login.username), ("host", login.host)):
        if _CONTROL.search(text):
            raise NotSupported(
                f"the {what} has a control character", reason="credentials-not-text"
            )


def explanation(challenge: bytes) -> str:
    """The server's words about a failure, for people; they need not be JSON."""
    told = _read(challenge)
    status = _field(told.get("status"))
    meaning = f" ({_MEANINGS[status]})" if status in _MEANINGS else ""
    words = [f"the server does not take the token: {status or 'it does not say why'}{meaning}"]
    words += [
        f"{name} {text}" for name in ("scope", "schemes") if (text := _field(told.get(name)))
    ]
    return "; ".join(words)


def _read(challenge: bytes) -> dict[str, Any]:
    try:
        told = json.loads(challenge)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _field(value: object) -> str:
    """The text of one field. One that is too long is left out whole: in a part of it, a part of
    the token would not be recognised any more."""
    text = str(value) if isinstance(value, (str, int)) else ""
    return text if len(text) <= _MAX_FIELD else f"({len(text)} characters)"
