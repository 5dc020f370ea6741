"""CRAM-MD5 (RFC 2195): the password is proven and not sent."""

from __future__ import annotations

import hmac

from .dialogue import Dialogue, Login


def cram_md5(login: Login) -> Dialogue:
    """User name and the keyed digest of the server's challenge."""
    challenge = yield None
    digest = hmac.new(login.secret.encode(), challenge, "md5").hexdigest()
    yield f"{login.username} {digest}".encode()
