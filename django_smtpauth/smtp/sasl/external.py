"""EXTERNAL (RFC 4422 appendix A): the certificate of the TLS client has proven the user."""

from __future__ import annotations

from .dialogue import Dialogue, Login


def external(login: Login) -> Dialogue:
    """Whom to act for; empty: whom the server takes the certificate for."""
    yield login.username.encode()
