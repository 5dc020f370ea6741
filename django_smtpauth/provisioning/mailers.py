"""The setting MAILERS (Django 6.1) for the accounts that are there."""

import json
from collections.abc import Iterable
from typing import Any, Final

from ..diagnosis.rules.site import BACKEND
from ..models import SMTPAccount

#: The first Django that has the setting.
NEEDS: Final = "Django 6.1 or later"


def mailers_of(accounts: Iterable[SMTPAccount]) -> dict[str, Any]:
    """One alias for each account, and "default", by whose rules From and the default account
    decide, unless an account has that name."""
    own = {
        account.slug: {"BACKEND": BACKEND, "OPTIONS": {"account": account.slug}}
        for account in accounts
    }
    return {"default": {"BACKEND": BACKEND}, **own}


def snippet(mailers: dict[str, Any]) -> str:
    """Python for the settings."""
    # What JSON makes of texts and dicts is Python, too.
    entries = "".join(f"    {json.dumps(n)}: {json.dumps(m)},\n" for n, m in mailers.items())
    return f"# {NEEDS}. The secrets stay in the database.\nMAILERS = {{\n{entries}}}"
