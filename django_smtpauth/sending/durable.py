"""Writes that outlive the caller's transaction.

A sender may stand in a transaction that is rolled back later, and what it has learnt is true all
the same: a token was replaced, a message went out. `durable(write, database)` runs such a write
in a transaction of its own, on a connection of its own, in a worker thread. The caller does not
wait for it, not even when it holds the very lock that the write needs (SQLite has one for the
whole file), and never sees it fail.

- Each database has a queue, and a thread as long as something is in it: what is given first is
  written first. The thread closes its connection when it is done.
- A write that meets a lock or a lost connection is tried again for a minute (`PAUSES`).
- Inside a TestCase, and with a database in this thread's memory, no other connection would see
  the data: there the write runs at once, in a savepoint.
- Where each tenant has a schema, the connection works in the caller's, and in no other.
- At the end of the interpreter the last writes get `EXIT_PATIENCE` seconds.
- The child of a fork forgets what its parent has to write.
- At most `MOST_WAITING` writes wait for one database; one more fails.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError, connections, transaction

from .accounts import (
    Surroundings,
    close_connections,
    close_for_good,
    sentence,
    surroundings_of,
)
from .log import warn
from .schemas import enter, schema_of

logger = logging.getLogger("django_smtpauth")

#: Seconds before each further try of a write.
PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 20.0)
#: Writes that wait for one database at most.
MOST_WAITING = 1000
#: Seconds that the end of the interpreter is held up at most.
EXIT_PATIENCE = 5.0
#: Seconds between two tries then.
MOST_PAUSE_AT_THE_END = 0.5

Write = Callable[[], object]
Failed = Callable[[Exception], object]

#: What may succeed a moment later: a lock, a deadlock, a server that starts again.
_PASSING = (OperationalError, InterfaceError)


class Dropped(Exception):
    """A write that was not tried: too many wait, or the data that it belongs to is gone."""


@dataclass(frozen=True)
class Place:
    """Where a write goes: a database, as it is seen from where the caller stands.

    The place can be kept for later, and be used from another thread.
    """

    database: str
    surroundings: Surroundings
    context: contextvars.Context

    @classmethod
    def here(cls, database: str) -> Place:
        """The place of this thread, now. Costs no query."""
        return cls(database, surroundings_of(database), contextvars.copy_context())

    @property
    def is_reachable(self) -> bool:
        """Whether this thread can write there itself, if nobody else can."""
        connection = connections[self.database]
        if connection is not self.surroundings.connection or self.surroundings.is_over:
            return False
        return schema_of(connection) == self.surroundings.schema


@dataclass(frozen=True)
class Job:
    """A write, where it goes, and who is told if it fails."""

    write: Write
    place: Place
    failed: Failed

    def run(self) -> None:
        """One try, in a transaction, or in a savepoint of the one that this thread stands in.

        Raises what the database raises.
        """
        with transaction.atomic(using=self.place.database):
            self.write()

    def run_here(self) -> None:
        """One try where only this thread sees the data. Never raises."""
        try:
            if not self.place.is_reachable:
                raise Dropped("The database that it was meant for is gone.")
            self.run()
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Tells that the write is given up. Never raises."""
        try:
            self.failed(error)
        except Exception:
            logger.debug("After a write that failed:", exc_info=True)


class Writer:
    """The queues of a process, one for each database.

    pauses: seconds before each further try.
    """

    def __init__(self, pauses: Sequence[float] = PAUSES) -> None:
        self._pauses = pauses
        self.after_fork()

    def after_fork(self) -> None:
        """Forgets everything: the parent writes it. Locks and threads are the parent's, too."""
        self._queues: dict[str, deque[Job]] = {}
        self._working: set[str] = set()
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._ends = 0.0

    def submit(self, write: Write, place: Place, failed: Failed) -> None:
        """Has it written soon; at once where only this thread sees the data. Never raises."""
        job = Job(write, place, failed)
        if place.surroundings.inline:
            job.run_here()
            return
        database = place.database
        with self._changed:
            queue = self._queues.setdefault(database, deque())
            fits = len(queue) < MOST_WAITING
            if fits:
                queue.append(job)
            begin = database not in self._working
            self._working.add(database)
        if not fits:
            job.fail(Dropped(f"{MOST_WAITING} writes wait for this database already."))
        if begin:
            self._begin(database)

    def wait(self, seconds: float) -> bool:
        """Waits until nothing is left to write; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._working and not any(self._queues.values()), seconds
            )

    def finish(self, seconds: float = EXIT_PATIENCE) -> None:
        """The process ends: what is left is written now, within so many seconds."""
        self._ends = time.monotonic() + seconds
        self._ending.set()
        with self._changed:
            left = [name for name, queue in self._queues.items() if queue]
            idle = [name for name in left if name not in self._working]
            self._working.update(idle)
        for database in idle:
            self._begin(database)
        self.wait(seconds)

    def _begin(self, database: str) -> None:
        thread = threading.Thread(
            target=self._work,
            args=(database, close_connections),
            name="smtpauth-writes",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:
            if self._ending.is_set():
                self._work_here(database)
            else:
                # No thread is to be had. The next write, or the end, takes up what waits.
                self._leave(database)

    def _work_here(self, database: str) -> None:
        """Works in the caller's thread, though not on its connection."""
        callers = connections[database]
        connections[database] = own = connections.create_connection(database)
        try:
            self._work(database, lambda: close_for_good(own))
        finally:
            connections[database] = callers

    def _work(self, database: str, close: Callable[[], None]) -> None:
        """Writes until nothing is left."""
        try:
            while True:
                while (job := self._next(database)) is not None:
                    job.place.context.copy().run(self._try, job)
                close()
                if self._is_over(database):
                    return
        except BaseException:
            self._leave(database)
            raise

    def _next(self, database: str) -> Job | None:
        with self._changed:
            queue = self._queues[database]
            return queue.popleft() if queue else None

    def _is_over(self, database: str) -> bool:
        """Whether nothing is left; then, in the same breath, whoever works has left."""
        with self._changed:
            if self._queues[database]:
                return False
            self._leave(database)
            return True

    def _leave(self, database: str) -> None:
        with self._changed:
            self._working.discard(database)
            self._changed.notify_all()

    def _try(self, job: Job) -> None:
        """Writes, if need be in several tries. Never raises."""
        connection = connections[job.place.database]
        pauses = iter(self._pauses)
        while True:
            try:
                enter(connection, job.place.surroundings.schema)
                _make_ready(connection)
                job.run()
                return
            except _PASSING as error:
                close_for_good(connection)
                pause = next(pauses, None)
                if pause is None or not self._pause(pause):
                    job.fail(error)
                    return
            except Exception as error:
                job.fail(error)
                return

    def _pause(self, seconds: float) -> bool:
        """Waits before a further try; False if there is no time for one."""
        if not self._ending.is_set():
            self._ending.wait(seconds)
            return True
        seconds = min(seconds, MOST_PAUSE_AT_THE_END)
        if time.monotonic() + seconds > self._ends:
            return False
        time.sleep(seconds)
        return True


def _make_ready(connection: Any) -> None:
    """Lets a connection of our own commit what is written, and say at once that it is locked:
    SQLite would wait without letting greenlets run, and one of them may hold the lock."""
    if not connection.get_autocommit():
        connection.set_autocommit(True)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 0")


def durable(write: Write, database: str) -> None:
    """Runs a write that outlives the caller's transaction, soon, in another thread.

    write: makes its queries through the database alias; all of them are one transaction. It may
    run more than once, if a try failed or its commit was not answered. It is called in the
    caller's context, and should not hold rows or objects of the caller's connection.
    database: the alias that it writes to.

    Returns at once and never raises. A write that is given up is logged as a warning.
    """
    try:
        writer.submit(write, Place.here(database), _warn)
    except Exception as error:
        _warn(error)


def _warn(error: Exception) -> None:
    warn("A write beside the caller's transaction failed. %s", sentence(error))


writer = Writer()
atexit.register(writer.finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=writer.after_fork)
