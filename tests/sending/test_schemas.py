"""Which schema a thread works in, and that a snapshot belongs to one schema only."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending import accounts
from django_smtpauth.sending.accounts import (
    ANYWHERE,
    Account,
    AccountSource,
    Snapshot,
    Surroundings,
    account_of,
    current_accounts,
    surroundings_of,
)
from django_smtpauth.sending.schemas import OtherSchema, Schema, enter, schema_of

NORTH, SOUTH = Schema("north"), Schema("south")


class Connection:
    """A connection as the packages that keep the schema there make it."""

    def __init__(self) -> None:
        self.set_schema("public")

    def set_schema(self, schema_name: str, include_public: bool = True) -> None:
        self.schema_name = schema_name
        self.include_public_schema = include_public


class Fixed(Connection):
    """One whose schema can't be changed any more."""

    def set_schema(self, schema_name: str, include_public: bool = True) -> None:
        super().set_schema("public")


@pytest.fixture
def use_context_schema(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Puts the schema into a context variable, where django-pgschemas has it."""
    active = ContextVar("active", default="public")
    module: Any = SimpleNamespace(
        get_current_schema=lambda: SimpleNamespace(schema_name=active.get())
    )
    monkeypatch.setitem(sys.modules, "django_pgschemas.schema", module)
    return active.set


# What a connection says


def test_a_connection_of_django_s_own_names_no_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "django_pgschemas.schema", raising=False)
    assert schema_of(connections["default"]) == Schema()
    enter(connections["default"], Schema())


def test_a_schema_that_the_connection_keeps() -> None:
    connection = Connection()
    assert schema_of(connection) == Schema("public")
    enter(connection, NORTH)
    assert connection.schema_name == "north"
    alone = Schema("north", with_public=False)
    enter(connection, alone)
    assert schema_of(connection) == alone != NORTH


def test_a_schema_that_the_context_keeps(use_context_schema: Callable[[str], Any]) -> None:
    connection = connections["default"]
    assert schema_of(connection) == Schema("public")
    use_context_schema("north")
    assert schema_of(connection) == NORTH
    enter(connection, NORTH)


@pytest.mark.parametrize("connection", [Fixed(), SimpleNamespace(schema_name="public")])
def test_a_connection_that_stays_elsewhere_is_an_error(connection: Any) -> None:
    with pytest.raises(OtherSchema, match="in place of schema 'north' it is 'public'"):
        enter(connection, NORTH)


def test_the_error_says_whether_the_shared_schema_counts() -> None:
    with pytest.raises(OtherSchema, match="schema 'north', without the shared one it is"):
        enter(Fixed(), Schema("north", with_public=False))


# The snapshots


class Schemas:
    """A database with one account in each schema: equal uuids and slugs, other hosts."""

    def __init__(self) -> None:
        self.looks: list[str] = []

    def load(self, database: str, schema: Schema, scope: str) -> list[Account]:
        self.looks.append(schema.name)
        return [Account(uuid=UUID, slug="club", host=f"{schema.name}.example.com")]


UUID = uuid.UUID(int=1)


@pytest.fixture
def database() -> Schemas:
    return Schemas()


@pytest.fixture
def accounts_of(database: Schemas) -> AccountSource:
    return AccountSource(database.load)


def hosts(snapshot: Snapshot) -> list[str]:
    return [account.host for account in snapshot.accounts]


def look(source: AccountSource, schema: Schema) -> list[str]:
    return hosts(source.snapshot("default", "", Surroundings(schema)))


def test_a_schema_has_a_snapshot_of_its_own(accounts_of: AccountSource, database: Schemas) -> None:
    for _ in range(2):
        assert look(accounts_of, NORTH) == ["north.example.com"]
        assert look(accounts_of, SOUTH) == ["south.example.com"]
    assert database.looks == ["north", "south"]


def test_without_the_shared_schema_it_is_another_snapshot(
    accounts_of: AccountSource, database: Schemas
) -> None:
    look(accounts_of, NORTH)
    look(accounts_of, Schema("north", with_public=False))
    assert database.looks == ["north", "north"]


def test_a_change_counts_in_every_schema(accounts_of: AccountSource, database: Schemas) -> None:
    for _ in range(2):
        look(accounts_of, NORTH)
        look(accounts_of, SOUTH)
        accounts_of.invalidate()
    assert database.looks == ["north", "south"] * 2


def test_snapshots_of_many_schemas_are_bounded(
    accounts_of: AccountSource, database: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_SNAPSHOTS", 2)
    for schema in (NORTH, SOUTH, Schema("west"), NORTH):
        look(accounts_of, schema)
    assert database.looks == ["north", "south", "west", "north"]


def test_a_schema_whose_look_fails_gets_no_other_schema_s_accounts(
    database: Schemas,
) -> None:
    def load(database_: str, schema: Schema, scope: str) -> list[Account]:
        if schema == SOUTH:
            raise OtherSchema("in place of schema 'south' it is 'north'")
        return database.load(database_, schema, scope)

    source = AccountSource(load)
    assert look(source, NORTH) == ["north.example.com"]
    assert look(source, SOUTH) == []


def test_threads_of_two_tenants_at_once(accounts_of: AccountSource) -> None:
    def send(schema: Schema) -> None:
        start.wait(10)
        for _ in range(20):
            accounts_of.invalidate()
            found.append((schema.name, look(accounts_of, schema)))

    start, found = threading.Barrier(4), list[tuple[str, list[str]]]()
    threads = [threading.Thread(target=send, args=(one,)) for one in (NORTH, SOUTH) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 80
    assert all(names == [f"{schema}.example.com"] for schema, names in found)


# This process's source


@pytest.fixture
def _forgotten() -> Any:
    accounts.database_changed()
    yield
    accounts.database_changed()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_forgotten")
def test_a_look_that_can_not_follow_the_sender_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sender's connection has a schema that the look's own connection can't be told."""
    monkeypatch.setattr(connections["default"], "schema_name", "north", raising=False)
    monkeypatch.setattr(accounts, "surroundings_of", lambda _: Surroundings(NORTH))
    assert current_accounts("").problem == "OtherSchema: in place of schema 'north' it is ''"


@pytest.mark.django_db
@pytest.mark.usefixtures("_forgotten")
def test_the_table_is_looked_for_in_every_schema(
    use_context_schema: Callable[[str], Any], django_assert_num_queries: Any
) -> None:
    for name in ("north", "south"):
        use_context_schema(name)
        with django_assert_num_queries(2):
            current_accounts("")
    accounts.source.invalidate()
    with django_assert_num_queries(1):
        current_accounts("")


@pytest.mark.django_db
@pytest.mark.usefixtures("_forgotten")
def test_an_account_tells_where_it_was_found(use_context_schema: Callable[[str], Any]) -> None:
    """One and the same row, as two tenants have it after a schema was copied."""
    row = SMTPAccount.objects.create(slug="club", host="smtp.example.com")
    found = []
    for name in ("north", "south"):
        use_context_schema(name)
        (account,) = current_accounts("").accounts
        assert account.schema == account_of(row).schema == name
        found.append(account)
    assert found[0] != found[1] == account_of(row)


@pytest.mark.django_db
@pytest.mark.usefixtures("_forgotten")
def test_what_is_known_of_tables_is_bounded(
    use_context_schema: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "MOST_SNAPSHOTS", 2)
    for number in range(5):
        use_context_schema(f"tenant{number}")
        current_accounts("")
    assert len(accounts._with_table) <= 2


@pytest.mark.django_db(transaction=True)
def test_where_a_sender_stands_tells_the_schema(
    use_context_schema: Callable[[str], Any],
) -> None:
    use_context_schema("north")
    assert surroundings_of("default").schema == NORTH
    assert ANYWHERE.schema == Schema()
