"""The accounts of this process: a snapshot of what the database holds.

A send looks at the snapshot and costs no query. The snapshot is renewed when it is older than
SMTPAUTH["ACCOUNT_REFRESH"] seconds and at once after this process's own changes, by one query on
a connection of its own in a worker thread: the caller's transaction may be broken, and the
caller may be a coroutine. Where each tenant has a schema, the look goes to the caller's, and the
snapshot is for that schema alone. When the database can't be asked, the last snapshot stays in
use; with none, there are no accounts and the settings apply. A site without a database, or
without our table in it, just has no accounts: nothing fails, and nobody is warned.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
import uuid as uuid_module
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady
from django.db import connections, router, transaction
from django.db.models.signals import post_delete, post_migrate, post_save

from ..conf import smtpauth_settings
from ..secrets.destination import Destination
from ..secrets.secret import Secret
from .schemas import NO_SCHEMA, Schema, enter, schema_of

logger = logging.getLogger("django_smtpauth")

#: Seconds that a sender waits for the database at most.
PATIENCE = 5.0
#: Seconds after which a look that never came back is given up and a new one may begin.
GIVE_UP = 60.0
#: Seconds between two warnings that the accounts could not be read.
WARN_EVERY = 60.0
#: Snapshots kept at most, one for each database, schema and scope; the one unused longest goes
#: first.
MOST_SNAPSHOTS = 1000


@dataclass(frozen=True)
class Account:
    """One enabled account as it stands in the database; the password is still sealed.

    port: None takes the one that goes with security and protocol. timeout: seconds, or None.
    bdat, recipients, require_tls, dsn_notify (words with commas in between), dsn_ret: what it
    asks of the delivery; empty or None where it says nothing. auth_mechanisms: words with commas
    in between. tls_pin, may_send_as: one entry a line. address: which it sends from, if known.
    schema: where it was found, on sites that give each tenant one; so no two tenants' accounts
    are equal, though their rows be.
    """

    uuid: uuid_module.UUID
    slug: str
    host: str
    scope: str = ""
    label: str = ""
    port: int | None = None
    security: str = "starttls"
    verify: bool = True
    ca_text: str = ""
    username: str = ""
    password: Secret | None = None
    from_email: str = ""
    select_by_from: bool = False
    is_default: bool = False
    timeout: float | None = None
    allow_auth_without_tls: bool = False
    protocol: str = "smtp"
    bdat: str = ""
    recipients: str = ""
    require_tls: bool | None = None
    dsn_notify: str = ""
    dsn_ret: str = ""
    preset: str = ""
    tls_pin: str = ""
    tls_minimum: str = ""
    internal_host: bool = False
    proxy: str = ""
    source_address: str = ""
    ehlo_name: str = ""
    authentication: str = "password"
    auth_mechanisms: str = ""
    client_certificate: str = ""
    client_key: Secret | None = None
    address: str = ""
    from_name: str = ""
    may_send_as: str = ""
    foreign_from: str = ""
    schema: str = ""

    @property
    def destination(self) -> Destination:
        """Where its secrets may go."""
        return Destination.of(partial(getattr, self))


#: The names of all that is taken over from a row.
_FIELDS = tuple(field_.name for field_ in fields(Account) if field_.name != "schema")


@dataclass(frozen=True)
class Snapshot:
    """The enabled accounts of one scope.

    problem: why they are old or missing, one sentence. cure: what to do before there can be any.
    """

    accounts: tuple[Account, ...] = ()
    problem: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Surroundings:
    """Where a sender stands.

    schema: the one that its connection works in, and whose accounts it gets.
    inline: only the sender's own connection sees the data, so the look can't leave its thread.
    connection, blocks: that connection, and the transactions that may take back what it sees.
    """

    schema: Schema = NO_SCHEMA
    inline: bool = False
    connection: Any = None
    blocks: tuple[object, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether one of the transactions has ended."""
        return any(block not in self.connection.atomic_blocks for block in self.blocks)


ANYWHERE = Surroundings()


@dataclass
class Entry:
    """What is known about one scope in one schema of a database, and the look under way."""

    database: str
    scope: str
    snapshot: Snapshot = field(default_factory=Snapshot)
    known: bool = False
    generation: int = -1
    looked_at: float = 0.0
    surroundings: Surroundings = ANYWHERE
    look: Look | None = None


class Look:
    """One look at the database, which may still be under way."""

    def __init__(self, entry: Entry, surroundings: Surroundings, generation: int, now: float):
        self.entry = entry
        self.surroundings = surroundings
        self.generation = generation
        self.began = now
        self.late = False
        self.thread: int | None = None
        self.problem = ""
        self.done = threading.Event()


class NoAccounts(Exception):
    """There is no place for accounts yet; the text is the cure."""


class AccountSource:
    """Snapshots by database alias, schema and scope, shared by all threads of the process.

    load(database, schema, scope) returns the enabled accounts and may raise anything; NoAccounts
    is no problem.
    One thread looks. The others use the snapshot that is there, or wait when there is none or
    when this process has changed an account since.
    """

    def __init__(
        self,
        load: Callable[[str, Schema, str], Iterable[Account]],
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._load = load
        self._clock = clock
        self._patience = patience
        self._generation = 0
        self._warned: float | None = None
        self._entries: OrderedDict[tuple[str, Schema, str], Entry] = OrderedDict()
        self._lock = threading.Lock()

    def snapshot(
        self, database: str, scope: str = "", surroundings: Surroundings = ANYWHERE
    ) -> Snapshot:
        """The accounts as far as they are known, after a wait of `patience` seconds at most."""
        refresh = smtpauth_settings.account_refresh
        patience_ends = self._clock() + self._patience
        while True:
            with self._lock:
                entry = self._entry(database, surroundings.schema, scope)
                if self._is_fresh(entry, surroundings, refresh):
                    return entry.snapshot
                look, begin = entry.look, False
                if look is None or self._is_given_up(look):
                    look, begin = Look(entry, surroundings, self._generation, self._clock()), True
                    entry.look = look
                elif not self._is_worth_waiting(look):
                    return entry.snapshot
            if begin:
                self._begin(look)
            if not look.done.wait(max(0.0, patience_ends - self._clock())):
                return self._give_up_waiting(look)
            if begin:
                self._warn(look.problem)
                return entry.snapshot

    def invalidate(self) -> None:
        """The next send looks again; what is known stays in use if it can't."""
        with self._lock:
            self._generation += 1

    def forget(self) -> None:
        """Forgets everything, as after a change of the database itself."""
        with self._lock:
            self._generation += 1
            self._entries.clear()

    def after_fork(self) -> None:
        """In the child of a fork: what is known stays, locks and looks are the parent's."""
        self._lock = threading.Lock()
        for entry in self._entries.values():
            entry.look = None

    def _entry(self, database: str, schema: Schema, scope: str) -> Entry:
        key = database, schema, scope
        entry = self._entries.setdefault(key, Entry(database, scope))
        if entry.surroundings.is_over:
            entry = self._entries[key] = Entry(database, scope)
        self._entries.move_to_end(key)
        if len(self._entries) > MOST_SNAPSHOTS:
            self._entries.popitem(last=False)
        return entry

    def _is_fresh(self, entry: Entry, surroundings: Surroundings, refresh: float) -> bool:
        return (
            entry.generation == self._generation
            and entry.surroundings.blocks == surroundings.blocks
            and self._clock() < entry.looked_at + refresh
        )

    def _is_given_up(self, look: Look) -> bool:
        return look.late and self._clock() >= look.began + GIVE_UP

    def _is_worth_waiting(self, look: Look) -> bool:
        # What the look itself logs may send mail, too: that mail can't wait for the look.
        if look.late or look.thread == threading.get_ident():
            return False
        return not look.entry.known or look.generation != self._generation

    def _begin(self, look: Look) -> None:
        if look.surroundings.inline:
            self._run(look)
            return
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._run, look), name="smtpauth-accounts", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # No thread is to be had, as at the end of the interpreter.
            self._finish(look, None, sentence(error))

    def _run(self, look: Look) -> None:
        look.thread = threading.get_ident()
        found, problem = None, ""
        try:
            try:
                entry, schema = look.entry, look.surroundings.schema
                found = Snapshot(tuple(self._load(entry.database, schema, entry.scope)))
            finally:
                if not look.surroundings.inline:
                    close_connections()
        except NoAccounts as cure:
            found = Snapshot(cure=str(cure))
        except Exception as error:
            problem = sentence(error)
        self._finish(look, found, problem)

    def _finish(self, look: Look, found: Snapshot | None, problem: str) -> None:
        entry, look.problem = look.entry, problem
        with self._lock:
            if entry.look is look:
                entry.look = None
                entry.surroundings = look.surroundings
                self._note(entry, look.generation, problem)
                if found is not None:
                    entry.known = True
                    entry.snapshot = found
        look.done.set()

    def _give_up_waiting(self, look: Look) -> Snapshot:
        problem = f"The database did not answer within {self._patience:g} seconds."
        with self._lock:
            news = look.entry.look is look and not look.late
            if news:
                look.late = True
                self._note(look.entry, self._generation, problem)
            snapshot = look.entry.snapshot
        self._warn(problem if news else "")
        return snapshot

    def _note(self, entry: Entry, generation: int, problem: str) -> None:
        entry.generation = generation
        entry.looked_at = self._clock()
        entry.snapshot = replace(entry.snapshot, problem=problem)

    def _warn(self, problem: str) -> None:
        """Logs the problem now and then; without the lock, for a handler may send mail."""
        with self._lock:
            now = self._clock()
            if not problem or (self._warned is not None and now < self._warned + WARN_EVERY):
                return
            self._warned = now
        logger.warning(
            "The SMTP accounts could not be read; the last known ones, or else the settings, "
            "are used. %s",
            problem,
        )


def current_accounts(scope: str) -> Snapshot:
    """This process's accounts of a scope; none when the app is not installed or not ready, and
    none on a site without a database."""
    try:
        model = apps.get_model("smtpauth", "SMTPAccount")
    except (LookupError, AppRegistryNotReady):
        return Snapshot()
    database = router.db_for_read(model)
    if connections[database].settings_dict["ENGINE"] == _NO_DATABASE:
        return Snapshot(cure="Accounts need a database in DATABASES.")
    return source.snapshot(database, scope, surroundings_of(database))


#: What Django puts in place of a database that the site does not configure.
_NO_DATABASE = "django.db.backends.dummy"

#: Databases and schemas in which the table was seen; at most MOST_SNAPSHOTS.
_with_table: set[tuple[str, Schema]] = set()


def look_up(database: str, schema: Schema, scope: str) -> list[Account]:
    """As `load_accounts()`, in this schema; raises NoAccounts as long as the table was not made.

    Asked first, since a query that fails breaks a transaction and stands in the server's log.
    """
    connection = connections[database]
    enter(connection, schema)
    if (database, schema) not in _with_table:
        if not _has_table(connection):
            raise NoAccounts("Accounts need their table: run `manage.py migrate`.")
        if len(_with_table) >= MOST_SNAPSHOTS:
            _with_table.clear()
        _with_table.add((database, schema))
    return load_accounts(database, scope)


def _has_table(connection: Any) -> bool:
    """Whether a query would find the table of the accounts."""
    table = apps.get_model("smtpauth", "SMTPAccount")._meta.db_table
    if connection.vendor == "postgresql":
        # A query finds it by the search path; the packages for tenants list one schema only.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT to_regclass(%s) IS NOT NULL", [connection.ops.quote_name(table)]
            )
            return bool(cursor.fetchone()[0])
    introspection = connection.introspection
    return introspection.identifier_converter(table) in introspection.table_names(None, True)


def load_accounts(database: str, scope: str) -> list[Account]:
    """One query: the enabled accounts of a scope, by slug. Raises what the database raises."""
    model = apps.get_model("smtpauth", "SMTPAccount")
    rows = model._default_manager.using(database).filter(scope=scope, enabled=True)
    return [account_of(row) for row in rows.order_by("slug")]


def account_of(row: Any) -> Account:
    """What a row says now, saved or not."""
    database = row._state.db or router.db_for_read(type(row))
    said = {name: getattr(row, name) for name in _FIELDS}
    return Account(**said, schema=schema_of(connections[database]).name)


def surroundings_of(database: str) -> Surroundings:
    """Where this thread stands: in which schema; inside a TestCase, or with a database in its
    memory, or not."""
    connection: Any = connections[database]
    schema = schema_of(connection)
    blocks = tuple(connection.atomic_blocks)
    in_test_case = any(block._from_testcase for block in blocks)
    # A thread that has not opened it yet would never close it.
    is_open = connection.connection is not None
    in_memory = is_open and connection.vendor == "sqlite" and connection.is_in_memory_db()
    if not (in_test_case or in_memory):
        # So in every coroutine: Django gives it connections of its own, which it can't open.
        return Surroundings(schema)
    return Surroundings(schema, True, connection, blocks)


def close_connections() -> None:
    """Closes those of this thread, for good."""
    for connection in connections.all(initialized_only=True):
        close_for_good(connection)


def close_for_good(connection: Any) -> None:
    """Closes a connection, even one that holds a database in memory."""
    connection.close()
    if connection.connection is not None:
        # SQLite in memory: Django keeps it open, lest the data go with the last connection.
        connection.connection.close()


def sentence(error: Exception) -> str:
    """The kind of an error and its first line."""
    first_line = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first_line[:200]}"


source = AccountSource(look_up)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=source.after_fork)


def accounts_changed(using: str | None = None, **_: object) -> None:
    """Receiver of post_save and post_delete: the next send looks again, and after the commit."""
    source.invalidate()
    try:
        transaction.on_commit(source.invalidate, using=using)
    except transaction.TransactionManagementError:
        # Without autocommit Django tells nobody about commits; the next refresh sees it.
        logger.debug("Accounts changed without autocommit; they are read again in a while.")


def database_changed(**_: object) -> None:
    """Receiver of post_migrate, which is also sent when a database was emptied."""
    _with_table.clear()
    source.forget()


def connect_signals() -> None:
    """Called once by the app: this process's own changes count at once."""
    model = apps.get_model("smtpauth", "SMTPAccount")
    for signal in (post_save, post_delete):
        signal.connect(accounts_changed, sender=model, dispatch_uid="smtpauth.accounts")
    post_migrate.connect(database_changed, dispatch_uid="smtpauth.accounts")
