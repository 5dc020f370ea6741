"""Every stored secret of a database: its key, whether it opens, and how it gets another key.

Secrets are found through the models: each EncryptedTextField of each installed model is a
`Column`. Rows are read in batches by primary key, so that neither memory nor a transaction grows
with the table.

**Rotation** opens a secret and seals it again with the key that seals now, for the same row and
destination. It writes by compare-and-swap: UPDATE ... WHERE pk = ... AND column = <old token>. So
it never overwrites what somebody else stored meanwhile; such a row is looked at again. Nothing is
ever written but a whole new token in place of the old one, the rows of a batch in one short
transaction: whenever the process is killed, each secret is sealed with the old key or with the
new one, and another run does the rest. No other column is written and no signal is sent.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.db import connections, models, router, transaction
from django.db.models import F, QuerySet, Value
from django.db.models.lookups import Exact

from django_smtpauth.secrets.errors import NoSealingKey, SecretUnreadable
from django_smtpauth.secrets.fields import EncryptedTextField
from django_smtpauth.secrets.keyring import find_key, get_sealer
from django_smtpauth.secrets.secret import StoredSecret, unknown_key
from django_smtpauth.secrets.token import SealedToken

#: Rows that are read, and resealed in one transaction, at a time.
BATCH_SIZE: Final = 500
#: How often a row that others keep changing is looked at.
MOST_LOOKS: Final = 10


@dataclass(frozen=True)
class Column:
    """One column of secrets in one database."""

    model: type[models.Model]
    field: EncryptedTextField
    database: str

    def __str__(self) -> str:
        return f"{self.model._meta.db_table}.{self.field.column}"

    def exists(self) -> bool:
        """Whether the database has it. Asked without a query that could fail."""
        connection = connections[self.database]
        name_of = connection.introspection.identifier_converter
        table = self.model._meta.db_table
        with connection.cursor() as cursor:
            if name_of(table) not in connection.introspection.table_names(cursor, True):
                return False
            described = connection.introspection.get_table_description(cursor, table)
        return name_of(str(self.field.column)) in {name_of(column.name) for column in described}

    def count(self) -> int:
        """How many secrets it holds."""
        return self._rows().count()

    def tokens(self, batch_size: int = BATCH_SIZE) -> Iterator[SealedToken]:
        """Every token, read in batches; nothing is opened."""
        pairs = self._rows().values_list("pk", self.field.attname)
        for batch in _batches(pairs, batch_size, lambda pair: pair[0]):
            yield from (token for _, token in batch if token is not None)

    def batches(self, batch_size: int) -> Iterator[list[Any]]:
        """Every row with a secret."""
        return _batches(self._rows(), batch_size, lambda row: row.pk)

    def rows(self, keys: list[Any]) -> list[Any]:
        """Those of these rows that are there and hold a secret."""
        return list(self._rows().filter(pk__in=keys).order_by("pk"))

    def swap(self, key: Any, old: SealedToken, new: SealedToken) -> bool:
        """Put the new token in place of the old one; False when that is not there any more."""
        # A lookup by name is refused by the field; this one can only compare with a token.
        still_old: Any = Exact(F(self.field.attname), Value(old, output_field=self.field))
        rows = self._rows().filter(still_old, pk=key)
        return rows.update(**{self.field.attname: new}) == 1

    def _rows(self) -> Any:
        # Not by a manager, which may hide rows.
        rows: QuerySet[Any] = QuerySet(self.model, using=self.database)
        return rows.filter(**{f"{self.field.name}__isnull": False})


def find_columns(database: str) -> list[Column]:
    """The columns of secrets that belong into a database and are there, by table and name."""
    columns = [
        Column(model, candidate, database)
        for model in apps.get_models()
        if not model._meta.proxy and router.allow_migrate_model(database, model)
        for candidate in model._meta.local_concrete_fields
        if isinstance(candidate, EncryptedTextField)
    ]
    return sorted((column for column in columns if column.exists()), key=str)


# Looking


@dataclass(frozen=True)
class Census:
    """The secrets of a column by the key they are sealed with.

    current: sealed with the key that seals now. older: with another key of this process.
    unknown: with keys that this process does not have. damaged: no sealed secrets at all.
    """

    column: Column
    current: Counter[str]
    older: Counter[str]
    unknown: Counter[str]
    damaged: int

    @property
    def total(self) -> int:
        return self.damaged + sum(map(Counter.total, (self.current, self.older, self.unknown)))


def sealing_id() -> str:
    """The id of the key that seals now, or an empty text. Raises KeySourceError."""
    try:
        return get_sealer().id
    except NoSealingKey:
        return ""


def take_census(column: Column) -> Census:
    """Count a column's secrets by key; opens none. Raises KeySourceError."""
    found = Counter(token.key_id if token.valid else "" for token in column.tokens())
    damaged, sealing = found.pop("", 0), sealing_id()
    census = Census(column, Counter(), Counter(), Counter(), damaged)
    for key_id, count in found.items():
        kind = census.unknown
        if key_id == sealing:
            kind = census.current
        elif find_key(key_id) is not None:
            kind = census.older
        kind[key_id] = count
    return census


@dataclass(frozen=True)
class Unreadable:
    """A secret that does not open: where it is, and why."""

    column: Column
    key: Any
    slug: str
    problem: SecretUnreadable

    def __str__(self) -> str:
        meta, slug = self.column.model._meta, f" ({self.slug})" if self.slug else ""
        name = f"{meta.label} {self.key}{slug}, {self.column.field.name}"
        return f"{name}: {self.problem}"


@dataclass
class Tally:
    """What became of some secrets. changed: those that somebody changed meanwhile, counted each
    time; they were looked at again and are among the others, unless they are gone.
    """

    seen: int = 0
    current: int = 0
    resealed: int = 0
    changed: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """The numbers by name, to be added up."""
        return Counter({**vars(self), "unreadable": len(self.unreadable)})


def verify(column: Column, batch_size: int = BATCH_SIZE) -> Iterator[Tally]:
    """Open every secret of a column; a Tally for each batch."""
    opener = _Opener(column)
    for rows in column.batches(batch_size):
        tally = Tally(seen=len(rows))
        for row in rows:
            if (secret := opener.secret(row, tally)) is not None:
                opener.attempt(row, tally, secret.reveal)
        yield tally


def rotate(
    column: Column, batch_size: int = BATCH_SIZE, *, dry_run: bool = False
) -> Iterator[Tally]:
    """Reseal every secret of a column with the key that seals now; a Tally for each batch.

    A dry run opens and counts what would be resealed. Raises NoSealingKey or KeySourceError.
    """
    opener = _Opener(column)
    for rows in column.batches(batch_size):
        yield _rotate_rows(column, opener, rows, dry_run=dry_run)


def _rotate_rows(column: Column, opener: "_Opener", rows: list[Any], *, dry_run: bool) -> Tally:
    tally = Tally(seen=len(rows))
    for _ in range(MOST_LOOKS):
        swaps = list(_swaps(opener, rows, tally))
        lost = [] if dry_run else _swap_all(column, swaps)
        tally.resealed += len(swaps) - len(lost)
        if not lost:
            return tally
        tally.changed += len(lost)
        rows = column.rows(lost)
    for row in rows:
        opener.note(row, tally, _restless())
    return tally


def _swaps(
    opener: "_Opener", rows: list[Any], tally: Tally
) -> Iterator[tuple[Any, SealedToken, SealedToken]]:
    """What is to be written: primary key, old token, new token."""
    sealing = get_sealer().id
    for row in rows:
        secret = opener.secret(row, tally)
        if secret is None:
            continue
        if secret.token.key_id == sealing:
            tally.current += 1
            continue
        new = opener.attempt(row, tally, secret.reseal)
        if new is not None:
            yield row.pk, secret.token, new


def _swap_all(column: Column, swaps: list[tuple[Any, SealedToken, SealedToken]]) -> list[Any]:
    """The primary keys of the rows that were changed meanwhile."""
    with transaction.atomic(using=column.database):
        return [key for key, old, new in swaps if not column.swap(key, old, new)]


class _Opener:
    """Opens the secrets of a column and notes which do not open.

    The absence of a key is noticed once: each time anew, the sources would be read again.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._has_key: dict[str, bool] = {}

    def secret(self, row: Any, tally: Tally) -> StoredSecret | None:
        """The sealed secret of a row. One without its key is noted, and is None."""
        secret: StoredSecret | None = getattr(_owner_of(row), self._column.field.attname)
        if secret is None:
            return None
        key_id = secret.token.key_id
        if secret.token.valid and key_id not in self._has_key:
            self._has_key[key_id] = find_key(key_id) is not None
        if not self._has_key.get(key_id, True):
            self.note(row, tally, unknown_key(secret.token))
            return None
        return secret

    def attempt(self, row: Any, tally: Tally, use: Any) -> Any:
        """The result of `use()`; None, and a note, when the secret does not open."""
        try:
            return use()
        except SecretUnreadable as problem:
            self.note(row, tally, problem)
            return None

    def note(self, row: Any, tally: Tally, problem: SecretUnreadable) -> None:
        slug = str(getattr(row, "slug", ""))
        tally.unreadable.append(Unreadable(self._column, row.pk, slug, problem))


def _owner_of(row: Any) -> Any:
    """The row in which a secret opens. One of django-simple-history is a copy, and opens only as
    the version that it keeps.
    """
    if not hasattr(row, "sealing_context"):
        version = getattr(row, "instance", None)
        if hasattr(version, "sealing_context"):
            return version
    return row


def _restless() -> SecretUnreadable:
    return SecretUnreadable(
        "It was changed again and again while it was to be resealed. Run the command again.",
        reason="changed",
    )


def _batches(rows: Any, size: int, key_of: Any) -> Iterator[list[Any]]:
    """The rows by primary key, without a cursor that would stay open."""
    rows = rows.order_by("pk")
    batch = list(rows[:size])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=key_of(batch[-1]))[:size]) if len(batch) == size else []
