"""Bring accounts to what an entry says: compare first, write only what differs."""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from .. import presets
from ..choices import Security
from ..models import SLOTS, SMTPAccount
from ..secrets.errors import SecretUnreadable
from ..secrets.secret import FreshSecret, Secret, StoredSecret
from .entries import Entry
from .problems import Problem, ProvisioningError, problems_of
from .values import SECRETS

CREATED: Final = "created"
CHANGED: Final = "changed"
UNCHANGED: Final = "unchanged"
DELETED: Final = "deleted"

#: What a preset fills in.
_SERVER: Final = ("host", "port", "security")


@dataclass(frozen=True)
class Outcome:
    """What became of one account. fields: the names of those that changed."""

    slug: str
    scope: str
    result: str
    fields: tuple[str, ...] = ()
    line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "slug": self.slug,
            "scope": self.scope,
            "result": self.result,
            "fields": list(self.fields),
        }


def apply(
    entries: Iterable[Entry],
    database: str,
    actor: str,
    *,
    create: bool = True,
    dry_run: bool = False,
) -> list[Outcome]:
    """Brings every account to its entry, in one transaction: all of them, or none.

    create: whether an account that is not there is made. dry_run: nothing of it stays.

    Entries that give up a flag come first, so that one account can hand it to another in any
    order of the lines. Raises ProvisioningError with what is wrong with every entry.
    """
    with transaction.atomic(using=database):
        outcomes, problems = apply_each(entries, database, actor, create=create)
        if problems:
            raise ProvisioningError(problems)
        if dry_run:
            transaction.set_rollback(True, using=database)
    return outcomes


def apply_each(
    entries: Iterable[Entry], database: str, actor: str, *, create: bool = True
) -> tuple[list[Outcome], list[Problem]]:
    """As `apply()`, each entry in a transaction of its own; and what is wrong with the others."""
    outcomes: list[Outcome] = []
    problems: list[Problem] = []
    for entry in sorted(entries, key=lambda entry: not entry.gives_up_a_flag):
        try:
            with transaction.atomic(using=database):
                outcomes.append(_apply_one(entry, database, actor, create))
        except ProvisioningError as error:
            problems += error.problems
        except IntegrityError:
            text = "somebody else changed this account, or took its place, just now. Try again."
            problems.append(Problem(text, entry.line, entry.slug))
    return sorted(outcomes, key=_line), sorted(problems, key=_line)


def _line(one: Outcome | Problem) -> int:
    return one.line or 0


def _apply_one(entry: Entry, database: str, actor: str, create: bool) -> Outcome:
    account = find(entry.slug, entry.scope, database, lock=True)
    if account is None:
        if not create:
            raise unknown([entry.slug], entry.scope, database)
        account = SMTPAccount(slug=entry.slug, scope=entry.scope)
    given = {**from_preset(entry.values, account), **entry.values}
    before = {name: getattr(account, name) for name in given}
    sealed_for = account.destination()
    kept = {name for name in SECRETS if name in given and _is_same(before[name], given[name])}

    assign(account, given)
    moved = account.destination().changes_from(sealed_for)
    for name in SECRETS:
        if name in given and (moved or name not in kept):
            setattr(account, name, given[name])
    problems = [*validate(account, database, entry.line), *_left_behind(account, entry, moved)]
    if problems:
        raise ProvisioningError(problems)

    fields = tuple(n for n in given if _differs(before[n], getattr(account, n)))
    is_new = account.pk is None
    if not is_new and not fields:
        return Outcome(entry.slug, entry.scope, UNCHANGED, (), entry.line)
    account.actor = actor
    account.save(using=database, update_fields=None if is_new else fields)
    return Outcome(entry.slug, entry.scope, CREATED if is_new else CHANGED, fields, entry.line)


def find(slug: str, scope: str, database: str, *, lock: bool = False) -> SMTPAccount | None:
    """The account of this name, or None. lock: inside a transaction, until its end."""
    rows = SMTPAccount.objects.using(database)
    rows = rows.select_for_update() if lock else rows.select_related("health")
    return rows.filter(scope=scope, slug=slug).first()


def unknown(slugs: Iterable[str], scope: str, database: str) -> ProvisioningError:
    """The error about accounts that are not there; it tells which are."""
    rows = SMTPAccount.objects.using(database)
    there = ", ".join(rows.filter(scope=scope).values_list("slug", flat=True)) or "none"
    place = f" in the scope {scope!r}" if scope else ""
    problems = [
        Problem(f"there is no such account{place}. Known are: {there}.", slug=s) for s in slugs
    ]
    others = rows.exclude(scope=scope).filter(slug__in=slugs).values_list("scope", flat=True)
    if others:
        names = ", ".join(repr(name) for name in sorted(set(others)))
        problems.append(
            Problem(f"the name exists in another scope: give --scope. Scopes: {names}.")
        )
    return ProvisioningError(problems)


def from_preset(values: Any, account: SMTPAccount) -> dict[str, Any]:
    """The server that the provider among the values brings, unless they name one themselves, and
    the user name that goes with the address of an account that has none."""
    preset = presets.get(values.get("preset") or "")
    if preset is None or values.get("host"):
        return {}
    server = {name: getattr(preset, name) for name in _SERVER}
    server["security"] = Security(server["security"]).value
    if not account.username:
        address = values.get("from_email", account.from_email)
        server["username"] = preset.username.for_address(address)
    return server


def assign(account: SMTPAccount, values: Any) -> None:
    """Sets the plain values among these."""
    for name, value in values.items():
        if name not in SECRETS:
            setattr(account, name, value)


def validate(account: SMTPAccount, database: str, line: int | None = None) -> list[Problem]:
    """What `full_clean()` would say, but of this database.

    Django looks for other rows in the database that reads go to by default.
    """
    found: dict[str, list[ValidationError]] = {}
    for step in (
        account.clean_fields,
        account.clean,
        lambda: account.validate_constraints(exclude={"slug"}),
        lambda: _check_flags(account, database),
    ):
        try:
            step()
        except ValidationError as error:
            for name, faults in error.update_error_dict({}).items():
                found.setdefault(name, faults)
    return problems_of(ValidationError(found), account.slug, line) if found else []


def _check_flags(account: SMTPAccount, database: str) -> None:
    faults = {}
    rows = SMTPAccount.objects.using(database).exclude(pk=account.pk)
    for flag, slot in SLOTS.items():
        account.sync_slot(slot)
        held = getattr(account, slot)
        holder = held and rows.filter(**{slot: held}).first()
        if holder:
            faults[flag] = (
                f"the account {holder.slug!r} has this already, and only one of a scope can. "
                f"Set {flag}=false there first, or in the same input."
            )
    if faults:
        raise ValidationError(faults)


def _left_behind(account: SMTPAccount, entry: Entry, moved: Sequence[str]) -> list[Problem]:
    """The stored secrets that would not open at the new destination."""
    problems = []
    for name in SECRETS:
        secret = getattr(account, name)
        if not moved or name in entry.values or not isinstance(secret, StoredSecret):
            continue
        if secret.problem() is not None:
            option = name.replace("_", "-")
            text = (
                f"this secret is stored for {secret.token.stored_for} and is never sent anywhere "
                f"else, but this changes {', '.join(moved)}. Give it again (--{option}-stdin, "
                f'--{option}-file, --{option}-env, or "{name}" in the line of JSON). If you hold '
                f"the keys and mean to move it as it is: manage.py smtpaccounts move {entry.slug} "
                + " ".join(f"{field}=…" for field in moved)
            )
            problems.append(Problem(text, entry.line, entry.slug, name))
    return problems


def _is_same(stored: Secret | None, given: FreshSecret | None) -> bool:
    """Whether the stored secret is the given one; None is that there is none."""
    if stored is None or given is None:
        return stored is given
    try:
        return hmac.compare_digest(stored.reveal().encode(), given.reveal().encode())
    except SecretUnreadable:
        return False


def _differs(before: Any, now: Any) -> bool:
    return before is not now if isinstance(now, FreshSecret) else bool(before != now)


# Whole accounts


def switch(
    slugs: Sequence[str], scope: str, database: str, actor: str, *, enabled: bool
) -> list[Outcome]:
    """Enables or disables accounts, all or none. Raises ProvisioningError.

    Nothing else of them is checked: an account that is wrong can be switched off.
    """
    with transaction.atomic(using=database):
        outcomes = []
        for account in _all_of(slugs, scope, database):
            if account.enabled == enabled:
                outcomes.append(Outcome(account.slug, scope, UNCHANGED))
                continue
            account.enabled, account.actor = enabled, actor
            account.save(using=database, update_fields=["enabled"])
            outcomes.append(Outcome(account.slug, scope, CHANGED, ("enabled",)))
    return outcomes


def delete(slugs: Sequence[str], scope: str, database: str) -> list[Outcome]:
    """Deletes accounts, all or none. Raises ProvisioningError."""
    with transaction.atomic(using=database):
        accounts = _all_of(slugs, scope, database)
        for account in accounts:
            account.delete(using=database)
    return [Outcome(account.slug, scope, DELETED) for account in accounts]


def _all_of(slugs: Sequence[str], scope: str, database: str) -> list[SMTPAccount]:
    found = {slug: find(slug, scope, database, lock=True) for slug in dict.fromkeys(slugs)}
    missing = [slug for slug, account in found.items() if account is None]
    if missing:
        raise unknown(missing, scope, database)
    return [account for account in found.values() if account is not None]
