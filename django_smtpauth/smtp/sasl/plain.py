"""The mechanisms that hand the password over: PLAIN (RFC 4616) and LOGIN."""

from __future__ import annotations

from .dialogue import Dialogue


def plain(username: str, secret: str) -> Dialogue:
    """Everything in the initial response, UTF-8."""
    yield f"\0{username}\0{secret}".encode()


def login(username: str, secret: str) -> Dialogue:
    """User name, then password, by position: the wording of the prompts differs by server."""
    yield None
    yield username.encode()
    yield secret.encode()
