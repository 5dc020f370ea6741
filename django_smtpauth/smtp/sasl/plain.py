"""The mechanisms that hand the password over: PLAIN (RFC 4616) and LOGIN."""

from __future__ import annotations

from .dialogue import Dialogue, Login


def plain(login: Login) -> Dialogue:
    """Everything in the initial response, UTF-8."""
    yield f"\0{login.username}\0{login.secret}".encode()


def by_prompts(login: Login) -> Dialogue:
    """User name, then password, by position: the wording of the prompts differs by server."""
    yield None
    yield login.username.encode()
    yield login.secret.encode()
