"""What is known of an account, without its secrets, as values that JSON has."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..models import SECRETS, SMTPAccount
from ..secrets.secret import StoredSecret
from .values import IDENTITY, PLAIN

_HEALTH = (
    "last_success_at",
    "successes",
    "last_failure_at",
    "failures",
    "failure_stage",
    "failure_code",
    "failure_status",
    "failure_text",
    "failure_rule",
)
_AUDIT = (
    "created_at",
    "created_by",
    "changed_at",
    "changed_by",
    "secret_changed_at",
    "secret_changed_by",
)


def facts_of(account: SMTPAccount) -> dict[str, Any]:
    """`fields` (as `set` takes them), `address`, `secrets`, `health` (None if nothing is known),
    `audit`. Opens the secrets to see whether they open, and forgets them."""
    health = getattr(account, "health", None)
    return {
        "fields": {name: getattr(account, name) for name in (*IDENTITY, *PLAIN)},
        "address": account.address,
        "secrets": {name: _state(getattr(account, name)) for name in SECRETS},
        "health": None if health is None else _read(health, _HEALTH),
        "audit": _read(account, _AUDIT),
    }


def accounts_of(scope: str, database: str) -> Iterator[SMTPAccount]:
    """The accounts of a scope by slug, with what is known of their mail. One query."""
    rows = SMTPAccount.objects.using(database).filter(scope=scope)
    yield from rows.select_related("health").order_by("slug")


def scopes(database: str) -> list[str]:
    """The scopes that have accounts."""
    rows = SMTPAccount.objects.using(database).order_by("scope")
    return list(rows.values_list("scope", flat=True).distinct())


def _state(secret: Any) -> dict[str, str]:
    if not isinstance(secret, StoredSecret):
        return {"state": "not set"}
    known = {"stored_for": secret.token.stored_for, "key": secret.token.key_id}
    problem = secret.problem()
    if problem is None:
        return {"state": "stored", **known}
    return {"state": "unreadable", "reason": problem.reason, "why": str(problem), **known}


def _read(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _json(getattr(row, name)) for name in names}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
