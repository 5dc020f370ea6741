"""The snapshot of accounts: when the database is asked, by whom, and what if it can't be."""

import asyncio
import logging
import os
import threading
import warnings

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending import accounts
from django_smtpauth.sending.accounts import (
    ANYWHERE,
    Account,
    AccountSource,
    Snapshot,
    Surroundings,
    current_accounts,
    load_accounts,
    source,
)
from django_smtpauth.sending.schemas import Schema

HERE = Surroundings(inline=True)
LONG = 10.0


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Database:
    """What a source loads from; it can fail, and it can be held."""

    def __init__(self) -> None:
        self.slugs = ["one"]
        self.looks: list[tuple[str, str]] = []
        self.threads: list[int] = []
        self.error: Exception | None = None
        self.held = threading.Event()
        self.released = threading.Event()
        self.released.set()

    def hold(self) -> None:
        self.held.clear()
        self.released.clear()

    def load(self, database: str, schema: Schema, scope: str) -> list[Account]:
        self.looks.append((database, scope))
        self.threads.append(threading.get_ident())
        slugs = list(self.slugs)
        self.held.set()
        assert self.released.wait(LONG)
        if self.error:
            raise self.error
        return [account(slug) for slug in slugs]


def account(slug: str) -> Account:
    return Account(uuid=None, slug=slug, host="smtp.example.com")


def slugs(snapshot: Snapshot) -> list[str]:
    return [account.slug for account in snapshot.accounts]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database():
    held = Database()
    yield held
    held.released.set()
    for thread in threading.enumerate():
        if thread.name == "smtpauth-accounts":
            thread.join(LONG)


@pytest.fixture
def accounts_of(database, clock):
    return AccountSource(database.load, clock)


@pytest.fixture
def impatient(database, clock):
    """A source that waits for the database next to no time."""
    return AccountSource(database.load, clock, patience=0.01)


class Sender:
    """Another thread that asks for the accounts."""

    def __init__(self, source: AccountSource) -> None:
        self.snapshot = Snapshot()
        self._source = source
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.snapshot = self._source.snapshot("default")

    def join(self) -> list[str]:
        self._thread.join(LONG)
        assert not self._thread.is_alive()
        return slugs(self.snapshot)


# When


def test_a_fresh_snapshot_is_used_again(accounts_of, database, clock):
    assert slugs(accounts_of.snapshot("default")) == ["one"]
    clock.now += 4.9
    assert slugs(accounts_of.snapshot("default")) == ["one"]
    assert len(database.looks) == 1


def test_an_old_snapshot_is_renewed(accounts_of, database, clock):
    accounts_of.snapshot("default")
    database.slugs = ["two"]
    clock.now += 5
    assert slugs(accounts_of.snapshot("default")) == ["two"]


def test_the_site_says_how_old_a_snapshot_may_be(accounts_of, database, clock, settings):
    settings.SMTPAUTH = {"ACCOUNT_REFRESH": 60}
    accounts_of.snapshot("default")
    clock.now += 59
    accounts_of.snapshot("default")
    assert len(database.looks) == 1
    settings.SMTPAUTH = {"ACCOUNT_REFRESH": 0}
    accounts_of.snapshot("default")
    assert len(database.looks) == 2


def test_a_change_is_seen_at_once(accounts_of, database):
    accounts_of.snapshot("default")
    database.slugs = ["two"]
    accounts_of.invalidate()
    assert slugs(accounts_of.snapshot("default")) == ["two"]


def test_databases_and_scopes_are_apart(accounts_of, database):
    accounts_of.snapshot("default", "north")
    accounts_of.snapshot("default", "south")
    accounts_of.snapshot("replica", "south")
    assert database.looks == [("default", "north"), ("default", "south"), ("replica", "south")]


def test_the_snapshot_unused_longest_goes_first(accounts_of, database, monkeypatch):
    monkeypatch.setattr(accounts, "MOST_SNAPSHOTS", 2)
    for scope in ("a", "b", "a", "c"):
        accounts_of.snapshot("default", scope)
    database.looks.clear()
    accounts_of.snapshot("default", "a")
    assert database.looks == []
    accounts_of.snapshot("default", "b")
    assert database.looks == [("default", "b")]


# By whom


def test_the_look_leaves_the_senders_thread(accounts_of, database):
    accounts_of.snapshot("default", surroundings=ANYWHERE)
    assert threading.get_ident() not in database.threads


def test_the_look_stays_where_only_this_connection_sees_the_data(accounts_of, database):
    accounts_of.snapshot("default", surroundings=HERE)
    assert database.threads == [threading.get_ident()]


def test_senders_without_a_snapshot_wait_for_the_one_look(accounts_of, database):
    database.hold()
    senders = [Sender(accounts_of) for _ in range(3)]
    assert database.held.wait(LONG)
    database.released.set()
    assert [sender.join() for sender in senders] == [["one"]] * 3
    assert len(database.looks) == 1


def test_senders_with_a_snapshot_do_not_wait(accounts_of, database, clock):
    accounts_of.snapshot("default")
    clock.now += 5
    database.slugs = ["two"]
    database.hold()
    looking = Sender(accounts_of)
    assert database.held.wait(LONG)
    assert slugs(accounts_of.snapshot("default")) == ["one"]
    database.released.set()
    assert looking.join() == ["two"]


def test_after_a_change_a_look_from_before_it_does_not_count(accounts_of, database):
    database.hold()
    early = Sender(accounts_of)
    assert database.held.wait(LONG)
    database.slugs = ["two"]
    accounts_of.invalidate()
    late = Sender(accounts_of)
    database.released.set()
    early.join()
    assert late.join() == ["two"]


def test_a_mail_from_within_the_look_does_not_wait_for_the_look(clock):
    def load(database: str, schema: Schema, scope: str) -> list[Account]:
        seen.append(looped.snapshot("default"))
        return [account("one")]

    seen: list[Snapshot] = []
    looped = AccountSource(load, clock)
    assert slugs(looped.snapshot("default")) == ["one"]
    assert slugs(looped.snapshot("default", surroundings=HERE)) == ["one"]
    assert seen == [Snapshot()]


# When it can't be asked


def test_a_failed_look_leaves_the_last_snapshot_and_says_why(accounts_of, database, clock, caplog):
    accounts_of.snapshot("default")
    database.error = OperationalError("server closed the connection\nhint: none")
    clock.now += 5
    snapshot = accounts_of.snapshot("default")
    assert slugs(snapshot) == ["one"]
    assert snapshot.problem == "OperationalError: server closed the connection"
    assert snapshot.problem in caplog.text


def test_a_failed_look_without_a_snapshot_gives_no_accounts(accounts_of, database):
    database.error = OperationalError("down")
    assert accounts_of.snapshot("default") == Snapshot((), "OperationalError: down")


def test_a_failed_look_is_not_repeated_before_its_time(accounts_of, database, clock):
    database.error = OperationalError("down")
    for _ in range(3):
        accounts_of.snapshot("default")
    assert len(database.looks) == 1
    clock.now += 5
    database.error = None
    assert accounts_of.snapshot("default") == Snapshot((account("one"),))


def test_failed_looks_are_logged_once_a_minute(accounts_of, database, clock, caplog):
    database.error = OperationalError("down")
    for _ in range(13):
        accounts_of.snapshot("default")
        clock.now += 5
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert {record.name for record in caplog.records} == {"django_smtpauth"}


def test_a_logging_handler_may_send_mail(accounts_of, database, monkeypatch):
    class Mailing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sent.append(accounts_of.snapshot("default"))

    sent: list[Snapshot] = []
    handler = Mailing()
    database.error = OperationalError("down")
    accounts.logger.addHandler(handler)
    try:
        accounts_of.snapshot("default", surroundings=HERE)
    finally:
        accounts.logger.removeHandler(handler)
    assert sent == [Snapshot((), "OperationalError: down")]
    assert len(database.looks) == 1


def test_a_slow_database_costs_one_sender_a_bounded_wait(impatient, database, clock, caplog):
    impatient.snapshot("default")
    clock.now += 5
    database.hold()
    snapshot = impatient.snapshot("default")
    assert slugs(snapshot) == ["one"]
    assert snapshot.problem == "The database did not answer within 0.01 seconds."
    clock.now += 5
    assert impatient.snapshot("default") == snapshot
    assert len(database.looks) == 2
    assert len(caplog.records) == 1


def test_what_a_slow_look_brings_late_is_used(database, clock):
    finished = threading.Event()

    class Source(AccountSource):
        def _finish(self, *args: object) -> None:
            super()._finish(*args)
            finished.set()

    late = Source(database.load, clock, patience=0.01)
    database.hold()
    assert slugs(late.snapshot("default")) == []
    database.released.set()
    assert finished.wait(LONG)
    assert late.snapshot("default") == Snapshot((account("one"),))
    assert len(database.looks) == 1


def test_a_look_that_never_comes_back_is_given_up(impatient, database, clock):
    database.hold()
    impatient.snapshot("default")
    clock.now += accounts.GIVE_UP
    impatient.snapshot("default")
    assert len(database.looks) == 2


def test_without_a_thread_to_be_had_the_last_snapshot_serves(accounts_of, clock, monkeypatch):
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    accounts_of.snapshot("default")
    clock.now += 5
    monkeypatch.setattr(threading.Thread, "start", start)
    snapshot = accounts_of.snapshot("default")
    assert slugs(snapshot) == ["one"]
    assert snapshot.problem.startswith("RuntimeError: can't create new thread")


# Fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_keeps_the_snapshot_and_looks_anew(database, clock):
    parents = AccountSource(database.load, clock)
    os.register_at_fork(after_in_child=parents.after_fork)
    parents.snapshot("default")
    clock.now += 5
    database.hold()
    looking = Sender(parents)
    assert database.held.wait(LONG)
    with warnings.catch_warnings():
        # Forking with threads is what this test is about.
        warnings.simplefilter("ignore")
        with parents._lock:
            child = os.fork()
    if child == 0:
        database.released.set()
        database.slugs = ["two"]
        os._exit(0 if slugs(parents.snapshot("default")) == ["two"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    database.released.set()
    assert looking.join() == ["one"]


def test_the_process_wide_source_is_told_of_forks(monkeypatch):
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with source._lock:
            child = os.fork()
    if child == 0:
        os.write(write, b"free" if source._lock.acquire(timeout=LONG) else b"held")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 4) == b"free"
    os.close(read)
    os.close(write)


# With Django's database


@pytest.fixture
def fresh(settings):
    """The process-wide source without memories, and a key for passwords."""
    settings.SMTPAUTH = {"KEYS": [generate_key()], "ACCOUNT_REFRESH": 1000}
    accounts.database_changed()
    yield source
    accounts.database_changed()


@pytest.fixture
def worker(monkeypatch, fresh):
    """The look leaves the thread, as it does with a database that is not in memory."""
    monkeypatch.setattr(accounts, "surroundings_of", lambda database: ANYWHERE)


def create(slug: str = "club", **fields: object) -> SMTPAccount:
    return SMTPAccount.objects.create(**{"slug": slug, "host": "smtp.example.com"} | fields)


def current(scope: str = "") -> list[str]:
    return slugs(current_accounts(scope))


@pytest.mark.django_db
def test_one_query_loads_the_enabled_accounts_of_a_scope(fresh, django_assert_num_queries):
    create("b")
    create("a")
    create("off", enabled=False)
    create("elsewhere", scope="north")
    with django_assert_num_queries(1):
        assert [account.slug for account in load_accounts("default", "")] == ["a", "b"]


ASKED = {
    "protocol": "lmtp",
    "bdat": "eager",
    "recipients": "all",
    "require_tls": True,
    "dsn_notify": "FAILURE,DELAY",
    "dsn_ret": "HDRS",
}


@pytest.mark.django_db
def test_an_account_is_loaded_whole_with_its_password_sealed(fresh):
    row = create(
        label="The club",
        port=465,
        security="implicit_tls",
        verify=False,
        username="u",
        password="s3cret",
        from_email="club@example.org",
        select_by_from=True,
        is_default=True,
        timeout=4,
        allow_auth_without_tls=True,
        **ASKED,
    )
    (loaded,) = load_accounts("default", "")
    assert loaded == Account(
        uuid=row.uuid,
        slug="club",
        host="smtp.example.com",
        label="The club",
        port=465,
        security="implicit_tls",
        verify=False,
        username="u",
        password=loaded.password,
        from_email="club@example.org",
        address="club@example.org",
        select_by_from=True,
        is_default=True,
        timeout=4,
        allow_auth_without_tls=True,
        **ASKED,
    )
    assert "s3cret" not in repr(loaded)
    assert loaded.password.reveal() == "s3cret"


@pytest.mark.django_db
def test_an_account_with_another_password_is_another_account(fresh):
    row = create(username="u", password="one")
    (before,) = load_accounts("default", "")
    assert load_accounts("default", "") == [before]
    assert hash(before) == hash(load_accounts("default", "")[0])
    row.password = "two"
    row.save()
    assert load_accounts("default", "") != [before]


@pytest.mark.django_db
def test_a_send_costs_no_query_while_the_snapshot_is_fresh(fresh, django_assert_num_queries):
    create()
    with django_assert_num_queries(2):  # the first look of a process asks for the table, too
        assert current() == ["club"]
    source.invalidate()
    with django_assert_num_queries(1):
        assert current() == ["club"]
    with django_assert_num_queries(0):
        assert current() == ["club"]


@pytest.mark.django_db
def test_own_changes_are_seen_at_once(fresh):
    row = create()
    assert current() == ["club"]
    row.slug = "renamed"
    row.save()
    assert current() == ["renamed"]
    row.delete()
    assert current() == []


@pytest.mark.django_db
def test_what_a_test_rolls_back_is_not_remembered(fresh):
    with transaction.atomic():
        create()
        assert current() == ["club"]
        transaction.set_rollback(True)
    assert current() == []


@pytest.mark.django_db
def test_a_snapshot_from_a_transaction_that_is_over_is_no_fallback(fresh, monkeypatch):
    with transaction.atomic():
        create()
        assert current() == ["club"]
        transaction.set_rollback(True)
    monkeypatch.setattr(SMTPAccount._meta, "db_table", "nowhere")
    assert current() == []


@pytest.mark.django_db(transaction=True)
def test_a_worker_sees_a_change_once_it_is_committed(worker):
    assert current() == []
    with transaction.atomic():
        create()
    assert current() == ["club"]


@pytest.mark.django_db(transaction=True)
def test_a_look_before_the_commit_does_not_hide_it(worker):
    with transaction.atomic():
        create()
        assert current() == []
    assert current() == ["club"]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_nothing(worker):
    create("club")
    assert current() == ["club"]
    with transaction.atomic():
        create("news")
        transaction.set_rollback(True)
    assert current() == ["club"]


@pytest.mark.django_db(transaction=True)
def test_a_broken_transaction_does_not_matter(worker):
    create()
    User.objects.create(username="a")
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            User.objects.create(username="a")
        with pytest.raises(transaction.TransactionManagementError):
            User.objects.count()
        assert current() == ["club"]
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_it_works_within_a_coroutine(fresh):
    async def view() -> list[str]:
        return current()

    create()
    assert asyncio.run(view()) == ["club"]


@pytest.mark.django_db(transaction=True)
def test_it_works_after_all_connections_were_closed(worker):
    create()
    connections.close_all()
    assert current() == ["club"]


@pytest.mark.django_db(transaction=True)
def test_the_workers_connection_is_closed(worker, monkeypatch):
    opened: list[BaseDatabaseWrapper] = []

    def load(database: str, schema: Schema, scope: str) -> list[Account]:
        loaded = load_accounts(database, scope)
        opened.append(connections[database])
        opened.append(connections[database].connection)
        return loaded

    monkeypatch.setattr(source, "_load", load)
    current()
    wrapper, raw = opened
    assert wrapper is not connections["default"]
    with pytest.raises(connection.Database.Error, match=r"closed|^\(0, ''\)$"):
        raw.cursor().execute("SELECT 1")


@pytest.mark.django_db
def test_without_a_table_there_are_no_accounts_and_no_query_fails(fresh, monkeypatch, caplog):
    monkeypatch.setattr(SMTPAccount._meta, "db_table", "nowhere")
    with CaptureQueriesContext(connection) as queries:
        snapshot = current_accounts("")
    assert snapshot == Snapshot(cure="Accounts need their table: run `manage.py migrate`.")
    table = connection.ops.quote_name("nowhere")
    assert not any(f"FROM {table}" in query["sql"] for query in queries.captured_queries)
    assert caplog.records == []


@pytest.mark.django_db(transaction=True)
def test_a_table_that_is_made_later_is_seen(fresh, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(SMTPAccount._meta, "db_table", "nowhere")
        assert current() == []
    create()
    assert current() == ["club"]


@pytest.mark.django_db
def test_a_table_that_went_away_is_a_problem(fresh, monkeypatch):
    assert current() == []
    source.invalidate()
    monkeypatch.setattr(SMTPAccount._meta, "db_table", "nowhere")
    assert "nowhere" in current_accounts("").problem


def test_without_a_database_there_are_no_accounts_and_no_warning(fresh, monkeypatch, caplog):
    dummy = {**connection.settings_dict, "ENGINE": "django.db.backends.dummy"}
    monkeypatch.setattr(connections["default"], "settings_dict", dummy)
    assert current_accounts("") == Snapshot(cure="Accounts need a database in DATABASES.")
    assert caplog.records == []


def test_with_the_database_stopped_there_are_no_accounts(worker, monkeypatch):
    def refuse(connection: BaseDatabaseWrapper) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", refuse)
    assert current_accounts("") == Snapshot((), "OperationalError: connection refused")


def test_without_the_app_there_are_no_accounts_and_no_warning(settings, fresh, caplog):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_smtpauth"
    ]
    assert current_accounts("") == Snapshot()
    assert caplog.records == []


@pytest.mark.django_db(transaction=True)
def test_a_change_without_autocommit_is_no_error(fresh):
    connection.set_autocommit(False)
    try:
        create()
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert current() == ["club"]


@pytest.mark.django_db(transaction=True)
def test_an_emptied_database_is_forgotten(fresh):
    create()
    assert current() == ["club"]
    SMTPAccount.objects.all()._raw_delete("default")
    assert current() == ["club"]
    accounts.database_changed()
    assert current() == []
