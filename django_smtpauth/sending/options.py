"""Options that one message carries to the backend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MessageOptions:
    """Set as `message.smtp_options = MessageOptions(account="billing")`.

    account: the slug of the account that sends this message; None: by the usual rules.
    """

    account: str | None = None
