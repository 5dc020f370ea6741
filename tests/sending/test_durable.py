"""Writes that outlive the caller's transaction: where they run, when, and what can't stop them."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper

from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending import durable as module
from django_smtpauth.sending.durable import Dropped, Place, Writer, durable, writer
from tests.file_database import LONG, file_database, in_a_file, written  # noqa: F401


def create(slug: str, using: str | None = None) -> None:
    SMTPAccount(slug=slug, host="smtp.example.com").save(using=using)


def slugs() -> list[str]:
    return sorted(SMTPAccount.objects.values_list("slug", flat=True))


class Failures(list[Exception]):
    """What a writer tells of the writes that it gave up."""

    def __call__(self, error: Exception) -> None:
        self.append(error)


class Gate:
    """A write that is held up until the test says."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(LONG)


@pytest.fixture
def place(file_database: str) -> Place:  # noqa: F811
    return Place.here(file_database)


# The caller's transaction


def test_a_rollback_does_not_take_it_back(file_database: str) -> None:  # noqa: F811
    with transaction.atomic(using=file_database):
        durable(lambda: create("kept"), file_database)
        written()
        create("lost")
        transaction.set_rollback(True, using=file_database)
    assert slugs() == ["kept"]


@in_a_file
def test_a_caller_that_holds_the_lock_is_not_blocked(file_database: str) -> None:  # noqa: F811
    tried = threading.Semaphore(0)

    def write() -> None:
        tried.release()
        create("kept")

    with transaction.atomic(using=file_database):
        create("lost")
        durable(write, file_database)
        # The first try met the lock: there is a second one.
        assert tried.acquire(timeout=LONG)
        assert tried.acquire(timeout=LONG)
        transaction.set_rollback(True, using=file_database)
    written()
    assert slugs() == ["kept"]


def test_a_broken_transaction_does_not_matter(file_database: str) -> None:  # noqa: F811
    create("a")
    with transaction.atomic(using=file_database):
        with pytest.raises(IntegrityError):
            create("a")
        durable(lambda: create("kept"), file_database)
        transaction.set_rollback(True, using=file_database)
    written()
    assert slugs() == ["a", "kept"]


def test_without_autocommit_it_is_committed_all_the_same(
    file_database: str,  # noqa: F811
) -> None:
    connections.settings[file_database]["AUTOCOMMIT"] = False
    durable(lambda: create("kept"), file_database)
    written()
    assert slugs() == ["kept"]


# Where


def test_it_leaves_the_thread_and_takes_the_context_along(
    file_database: str,  # noqa: F811
) -> None:
    tenant: ContextVar[str] = ContextVar("tenant")
    seen: list[Any] = []

    def write() -> None:
        seen.append((threading.get_ident() == here, tenant.get()))

    here = threading.get_ident()
    tenant.set("north")
    durable(write, file_database)
    written()
    assert seen == [(False, "north")]


def test_what_is_given_first_is_written_first(place: Place) -> None:
    gate = Gate()
    order: list[int] = []
    ours = Writer()
    ours.submit(gate, place, Failures())
    for number in range(5):
        ours.submit(partial(order.append, number), place, Failures())
    gate.opened.set()
    assert ours.wait(LONG)
    assert order == [0, 1, 2, 3, 4]


def test_a_database_that_hangs_holds_up_no_other_one(place: Place) -> None:
    gate, ours, done = Gate(), Writer(), threading.Event()
    ours.submit(gate, place, Failures())
    other = Place("default", place.surroundings, place.context)
    ours.submit(done.set, other, Failures())
    assert done.wait(LONG)
    gate.opened.set()
    assert ours.wait(LONG)


def test_the_connection_is_closed(file_database: str) -> None:  # noqa: F811
    opened: list[Any] = []
    durable(lambda: opened.append(connections[file_database].connection), file_database)
    written()
    (raw,) = opened
    assert raw is not connections[file_database].connection
    errors = connections[file_database].Database.Error
    with pytest.raises(errors, match=r"closed|^\(0, ''\)$"):
        raw.cursor().execute("SELECT 1")


def test_from_a_coroutine(file_database: str) -> None:  # noqa: F811
    async def view() -> None:
        durable(lambda: create("kept"), file_database)

    asyncio.run(view())
    written()
    assert slugs() == ["kept"]


class Schemas(DatabaseWrapper):
    """A connection that knows of schemas, as those of the packages for tenants do."""

    schema_name, include_public_schema = "public", True

    def set_schema(self, schema_name: str, include_public: bool = True) -> None:
        self.schema_name, self.include_public_schema = schema_name, include_public


@in_a_file
def test_it_is_written_in_the_caller_s_schema(
    file_database: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(alias: str) -> Any:
        return Schemas(connections.settings[alias], alias)

    def write() -> None:
        seen.append(connections[file_database].schema_name)  # type: ignore[attr-defined]

    seen: list[str] = []
    monkeypatch.setattr(connections, "create_connection", made)
    connections[file_database].close()
    connections[file_database] = callers = made(file_database)
    for name in ("north", "south", "north"):
        callers.set_schema(name)
        durable(write, file_database)
    written()
    assert seen == ["north", "south", "north"]


# Inside a TestCase


@pytest.mark.django_db
def test_in_a_test_case_it_runs_at_once() -> None:
    threads: list[int] = []

    def write() -> None:
        threads.append(threading.get_ident())
        create("kept")

    durable(write, "default")
    assert slugs() == ["kept"]
    assert threads == [threading.get_ident()]


@pytest.mark.django_db
def test_in_a_test_case_a_failure_leaves_the_transaction_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    create("a")
    durable(lambda: create("a"), "default")
    assert slugs() == ["a"]
    (record,) = caplog.records
    assert "IntegrityError" in record.getMessage()


@pytest.mark.skipif(
    "not getattr(connections['default'], 'is_in_memory_db', bool)()", reason="it is not in memory"
)
@pytest.mark.django_db(transaction=True)
def test_with_a_database_in_memory_it_runs_at_once() -> None:
    with transaction.atomic():
        durable(lambda: create("kept"), "default")
        assert slugs() == ["kept"]


@pytest.mark.django_db
def test_a_place_of_a_test_that_is_over_is_not_written_to() -> None:
    failures = Failures()
    with transaction.atomic():
        place = Place.here("default")
    writer.submit(lambda: create("late"), place, failures)
    assert slugs() == []
    assert [type(error) for error in failures] == [Dropped]


@pytest.mark.django_db
def test_a_place_of_a_test_is_not_written_to_from_another_thread() -> None:
    place, failures = Place.here("default"), Failures()
    thread = threading.Thread(target=writer.submit, args=(lambda: None, place, failures))
    thread.start()
    thread.join(LONG)
    assert [type(error) for error in failures] == [Dropped]


# Failures


def test_a_lost_connection_is_opened_again(place: Place, file_database: str) -> None:  # noqa: F811
    def write() -> None:
        raws.append(connections[file_database].connection)
        if len(raws) < 3:
            raise OperationalError("server closed the connection unexpectedly")

    raws: list[Any] = []
    failures = Failures()
    ours = Writer(pauses=(0, 0, 0))
    ours.submit(write, place, failures)
    assert ours.wait(LONG)
    assert len(set(map(id, raws))) == 3
    assert failures == []


def test_a_try_that_failed_leaves_nothing(place: Place) -> None:
    def write() -> None:
        create(f"try-{len(tries)}")
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("deadlock detected")

    tries: list[int] = []
    ours = Writer(pauses=(0,))
    ours.submit(write, place, Failures())
    assert ours.wait(LONG)
    assert slugs() == ["try-1"]


def test_after_the_last_try_it_is_given_up(place: Place) -> None:
    def write() -> None:
        tries.append(1)
        raise OperationalError("down")

    tries: list[int] = []
    failures = Failures()
    ours = Writer(pauses=(0, 0))
    ours.submit(write, place, failures)
    ours.submit(lambda: create("next"), place, failures)
    assert ours.wait(LONG)
    assert len(tries) == 3
    assert [str(error) for error in failures] == ["down"]
    assert slugs() == ["next"]


def test_a_mistake_is_not_tried_again_and_logged(
    file_database: str,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    durable(lambda: 1 / 0, file_database)
    written()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("failed. ZeroDivisionError: division by zero")


def test_an_unknown_database_is_no_error_of_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    durable(lambda: None, "nowhere")
    assert "ConnectionDoesNotExist" in caplog.text


@in_a_file
def test_a_file_that_is_no_database(
    file_database: str,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections[file_database].close()
    (tmp_path / "site.sqlite3").write_bytes(b"no database any more" * 1000)
    durable(lambda: create("lost"), file_database)
    written()
    assert "DatabaseError: file is not a database" in caplog.text


def test_who_is_told_of_a_failure_may_fail(place: Place) -> None:
    def failed(error: Exception) -> None:
        raise RuntimeError("the one who is told fails")

    ours = Writer()
    ours.submit(lambda: 1 / 0, place, failed)
    ours.submit(lambda: create("next"), place, Failures())
    assert ours.wait(LONG)
    assert slugs() == ["next"]


def test_so_many_writes_wait_and_no_more(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    gate, failures = Gate(), Failures()
    done: list[int] = []
    ours = Writer()
    ours.submit(gate, place, failures)
    assert gate.reached.wait(LONG)
    for number in range(3):
        ours.submit(partial(done.append, number), place, failures)
    assert [type(error) for error in failures] == [Dropped]
    gate.opened.set()
    assert ours.wait(LONG)
    assert done == [0, 1]


# The end of the process, and forks


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_without_a_thread_the_next_write_takes_it_along(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Writer()
    with monkeypatch.context() as poor:
        poor.setattr(threading.Thread, "start", no_thread)
        ours.submit(lambda: create("first"), place, Failures())
    ours.submit(lambda: create("second"), place, Failures())
    assert ours.wait(LONG)
    assert slugs() == ["first", "second"]


def test_at_the_end_it_needs_no_thread(
    place: Place,
    file_database: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: list[Any] = []
    own = connections[file_database]
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    ours = Writer()
    with transaction.atomic(using=file_database):
        ours.submit(lambda: create("waiting"), place, Failures())
        ours.finish(LONG)
        ours.submit(lambda: used.append(connections[file_database]), place, Failures())
        transaction.set_rollback(True, using=file_database)
    assert slugs() == ["waiting"]
    assert connections[file_database] is own
    assert used != [own]


def test_the_end_does_not_wait_for_ever(place: Place) -> None:
    gate, ours = Gate(), Writer()
    ours.submit(gate, place, Failures())
    assert gate.reached.wait(LONG)
    ours.finish(0.01)
    assert not ours.wait(0)
    gate.opened.set()
    assert ours.wait(LONG)


def test_the_end_cuts_a_pause_short(place: Place) -> None:
    def write() -> None:
        tries.append(1)
        tried.set()
        if len(tries) == 1:
            raise OperationalError("down")

    tries: list[int] = []
    tried = threading.Event()
    ours = Writer(pauses=(1e6,))
    ours.submit(write, place, Failures())
    assert tried.wait(LONG)
    ours.finish(LONG)
    assert len(tries) == 2


def test_after_the_end_nothing_is_tried_again(place: Place) -> None:
    failures = Failures()
    ours = Writer(pauses=(1e6,) * 10)
    ours.finish(0)

    def write() -> None:
        raise OperationalError("down")

    ours.submit(write, place, failures)
    assert ours.wait(LONG)
    assert [str(error) for error in failures] == ["down"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_forgets(place: Place) -> None:
    def child() -> bool:
        ours.submit(lambda: create("child"), place, Failures())
        return ours.wait(LONG) and slugs() == ["child"]

    gate, ours = Gate(), Writer()
    os.register_at_fork(after_in_child=ours.after_fork)
    ours.submit(gate, place, Failures())
    ours.submit(lambda: create("parent"), place, Failures())
    assert gate.reached.wait(LONG)
    connections[place.database].close()
    with ours._changed:
        assert succeeds_in_a_child(child)
    gate.opened.set()
    assert ours.wait(LONG)
    assert slugs() == ["child", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_writer_of_the_process_is_told_of_forks(place: Place) -> None:
    gate = Gate()
    writer.submit(gate, place, Failures())
    assert gate.reached.wait(LONG)
    assert succeeds_in_a_child(lambda: writer.wait(0))
    gate.opened.set()


def succeeds_in_a_child(function: Callable[[], bool]) -> bool:
    with warnings.catch_warnings():
        # Forking with threads is what these tests are about.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        done = False
        try:
            done = function()
        finally:
            os._exit(0 if done else 1)
    return os.waitpid(child, 0)[1] == 0
