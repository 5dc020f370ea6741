"""The failure that stands before all others."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine

#: What may have been accepted must not be sent again by habit.
DOUBT: Final = (
    Rule(
        "content.in-doubt",
        _("Nobody knows whether the message arrived"),
        _("The connection broke after the message was complete, and before the server's answer."),
        (
            _("Look into the mailbox, or ask the provider, before you send again."),
            _("Allow more time in {place} if it happens often."),
        ),
        kinds=("in-doubt",),
        field="timeout",
        sources=(
            engine(
                "the connection was lost before the reply to the content",
                "CONTENT",
                "in-doubt",
            ),
        ),
    ),
)
