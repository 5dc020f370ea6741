"""Move an account to another destination together with its secrets."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from django.db import transaction

from ..models import SECRETS, SMTPAccount
from ..secrets.destination import Destination
from ..secrets.errors import SecretUnreadable
from ..secrets.secret import FreshSecret
from .changes import CHANGED, UNCHANGED, Outcome, assign, find, from_preset, unknown, validate
from .entries import Entry
from .problems import Problem, ProvisioningError

#: What `move` changes: the destination, and the provider, which may bring one.
MOVABLE: Final = (*(field.name for field in fields(Destination)), "preset")


@dataclass(frozen=True)
class Move:
    """A move that is possible. secrets: the names of those that go along."""

    entry: Entry
    before: Destination
    after: Destination
    secrets: tuple[str, ...]

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Old and new value of each field of the destination that differs."""
        before, after = asdict(self.before), asdict(self.after)
        return {n: (before[n], after[n]) for n in self.after.changes_from(self.before)}

    def to_dict(self) -> dict[str, Any]:
        changes = {name: {"old": a, "new": b} for name, (a, b) in self.changes.items()}
        return {
            "slug": self.entry.slug,
            "scope": self.entry.scope,
            "changes": changes,
            "secrets": list(self.secrets),
        }


def plan(entry: Entry, database: str) -> Move:
    """What the move would do. Opens the secrets, writes nothing. Raises ProvisioningError."""
    return _prepare(entry, database)[1]


def move(planned: Move, database: str, actor: str) -> Outcome:
    """Opens the secrets under the old destination and seals them for the new one, in one
    transaction.

    Raises ProvisioningError, also when the account is not any more as it was when this was
    planned.
    """
    entry = planned.entry
    with transaction.atomic(using=database):
        account, now, changed = _prepare(entry, database, lock=True)
        if now != planned:
            text = "somebody else changed this account just now. Look at it and try again."
            raise ProvisioningError([Problem(text, slug=entry.slug)])
        if not changed:
            return Outcome(entry.slug, entry.scope, UNCHANGED)
        account.actor = actor
        account.save(using=database, update_fields=changed)
    return Outcome(entry.slug, entry.scope, CHANGED, tuple(changed))


def _prepare(
    entry: Entry, database: str, *, lock: bool = False
) -> tuple[SMTPAccount, Move, list[str]]:
    """The account as it is to be, what is done to it, and the names of the fields to save."""
    _refuse_others(entry)
    account = find(entry.slug, entry.scope, database, lock=lock)
    if account is None:
        raise unknown([entry.slug], entry.scope, database)
    before = account.destination()
    opened = _opened(account)
    given = {**from_preset(entry.values, account), **entry.values}
    old = {name: getattr(account, name) for name in given}
    assign(account, given)
    moved = account.destination() != before
    for name, secret in opened.items():
        if moved:
            setattr(account, name, secret)
    problems = validate(account, database)
    if problems:
        raise ProvisioningError(problems)
    changed = [name for name in given if getattr(account, name) != old[name]]
    planned = Move(entry, before, account.destination(), tuple(opened) if moved else ())
    return account, planned, [*changed, *planned.secrets]


def _refuse_others(entry: Entry) -> None:
    strangers = [name for name in entry.values if name not in MOVABLE]
    if strangers:
        text = (
            f"is no part of the destination: use `set` for it. Movable are: {', '.join(MOVABLE)}."
        )
        raise ProvisioningError([Problem(text, slug=entry.slug, field=n) for n in strangers])


def _opened(account: SMTPAccount) -> Mapping[str, FreshSecret]:
    """The stored secrets, opened where the account points to now. Raises ProvisioningError."""
    opened, problems = {}, []
    for name in SECRETS:
        secret = getattr(account, name)
        if secret is None:
            continue
        try:
            opened[name] = FreshSecret(secret.reveal())
        except SecretUnreadable as error:
            text = f"what does not open is not moved. {error}"
            problems.append(Problem(text, slug=account.slug, field=name))
    if problems:
        raise ProvisioningError(problems)
    return opened
