"""What became of an account's real mail, for `account.health`.

Each message that passes through an account's server is counted here: a success if at least one
recipient was accepted, a failure if what went wrong speaks of the account or its server
(`verdicts` has the table). Tries by `smtptest` and the admin are no real mail.

The counts of an account are written at most once a minute by each process: the first at once,
then what gathered, by the first message after the minute or by a timer, and the rest when the
process ends. They are written by `durable`, so neither the sender's transaction nor its time has
a part in it. Several processes add up: each adds its own counts, and what is older than the
database already knows turns nothing back.

A count is dropped if its account is gone, or if nobody but an open transaction sees it. When the
database can't be written to, the counts stay for the next time, and nobody is told.
"""

from __future__ import annotations

import atexit
import datetime
import logging
import os
import threading
import time
import uuid as uuid_module
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from django.apps import apps
from django.db import router
from django.db.models import F, Q
from django.utils import timezone

from .accounts import Account, Surroundings, sentence
from .durable import Dropped, Place, Writer, writer
from .explaining import explain_failure
from .results import Result
from .routing import Route
from .schemas import NO_SCHEMA, Schema
from .verdicts import Failure, failure, failure_of

logger = logging.getLogger("django_smtpauth")

#: Seconds between two writes of one account's counts.
EVERY = 60.0
#: Accounts whose counts are remembered; the one unused longest goes first, and is written then.
MOST_ACCOUNTS = 1000


@dataclass(frozen=True)
class Run:
    """Messages in a row that fared alike.

    count: how many. at: when the last one did. failure: of the last one; None: they were sent.
    """

    count: int
    at: datetime.datetime
    failure: Failure | None = None


#: At most two runs: the last one, and the one of the other kind before it.
Runs = tuple[Run, ...]


def joined(older: Runs, newer: Runs) -> Runs:
    """What two stretches of time say together."""
    runs = older
    for run in newer:
        last = runs[-1] if runs else None
        if last is not None and (last.failure is None) == (run.failure is None):
            runs = (*runs[:-1], replace(run, count=last.count + run.count))
        else:
            runs = (*runs[-1:], run)
    return runs


@dataclass(frozen=True)
class Key:
    """An account, for the whole process: uuids repeat in the schemas of tenants."""

    database: str
    uuid: uuid_module.UUID
    schema: Schema = NO_SCHEMA


@dataclass
class Entry:
    """What is known here of an account's counts.

    runs: what is not written yet, and `place`, where it goes. written: when something was.
    """

    surroundings: Surroundings
    runs: Runs = ()
    place: Place | None = None
    written: float | None = None


Writes = list[tuple[Key, Runs, Place]]


class Timer(Protocol):
    """What a ledger needs of `threading.Timer`."""

    def start(self) -> None: ...


def new_timer(seconds: float, function: Callable[[], None]) -> Timer:
    """A timer that holds up no end of the process."""
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.name = "smtpauth-health"
    return timer


class Ledger:
    """The counts of a process, until they are written. Shared by all threads.

    clock: seconds. timer: makes what calls a function after so many seconds.
    """

    def __init__(
        self,
        writer: Writer,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[float, Callable[[], None]], Timer] = new_timer,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._new_timer = timer
        self.forget()

    def forget(self) -> None:
        """Forgets everything, as the child of a fork does: the parent writes it."""
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._timer: Timer | None = None

    def add(self, key: Key, run: Run, place: Place) -> None:
        """Counts a run, and writes what is due."""
        with self._lock:
            writes = self._make_room(key)
            entry = self._entry(key, place)
            entry.runs = joined(entry.runs, (run,))
            if self._is_due(entry):
                writes += self._take(key, entry)
            else:
                self._wake_later(entry)
        self._write(writes)

    def write_out(self) -> None:
        """Writes what has gathered, due or not."""
        with self._lock:
            writes = [w for item in self._entries.items() for w in self._take(*item)]
        self._write(writes)

    def _on_time(self) -> None:
        with self._lock:
            self._timer = None
            due = [item for item in self._entries.items() if self._is_due(item[1])]
            writes = [w for item in due for w in self._take(*item)]
            waiting = [entry for entry in self._entries.values() if entry.runs]
            if waiting:
                self._wake_later(min(waiting, key=self._due_at))
        self._write(writes)

    def _entry(self, key: Key, place: Place) -> Entry:
        entry = self._entries.get(key)
        if entry is None or entry.surroundings.is_over:
            entry = self._entries[key] = Entry(place.surroundings)
        entry.surroundings, entry.place = place.surroundings, place
        self._entries.move_to_end(key)
        return entry

    def _make_room(self, key: Key) -> Writes:
        """What has to be written of the account that is forgotten for a new one."""
        if key in self._entries or len(self._entries) < MOST_ACCOUNTS:
            return []
        return self._take(*self._entries.popitem(last=False))

    def _due_at(self, entry: Entry) -> float:
        return self._clock() if entry.written is None else entry.written + EVERY

    def _is_due(self, entry: Entry) -> bool:
        # Two looks at a clock are never the same moment: what was never written is due.
        return entry.written is None or self._clock() >= self._due_at(entry)

    def _take(self, key: Key, entry: Entry) -> Writes:
        """What has gathered, which is regarded as written from here on."""
        if entry.place is None:
            return []
        writes = [(key, entry.runs, entry.place)]
        entry.runs, entry.place, entry.written = (), None, self._clock()
        return writes

    def _write(self, writes: Writes) -> None:
        for key, runs, place in writes:
            failed = partial(self._failed, key, runs, place)
            self._writer.submit(partial(write, key, runs), place, failed)

    def _failed(self, key: Key, runs: Runs, place: Place, error: Exception) -> None:
        """Keeps what could not be written, for the next time that something is."""
        logger.debug("The state of an SMTP account was not written. %s", sentence(error))
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and not isinstance(error, Dropped):
                entry.runs = joined(runs, entry.runs)
                entry.place = entry.place or place

    def _wake_later(self, entry: Entry) -> None:
        """Sees to it that what gathers is written, even if no further message comes."""
        if self._timer is not None or entry.surroundings.inline:
            return
        timer = self._new_timer(max(0.0, self._due_at(entry) - self._clock()), self._on_time)
        try:
            timer.start()
        except RuntimeError:
            # No thread is to be had: the next message writes it, or the end of the process.
            return
        self._timer = timer


def write(key: Key, runs: Runs) -> None:
    """Adds the runs to what the database knows of an account; nothing if there is no such one.

    Raises what the database raises.
    """
    accounts = apps.get_model("smtpauth", "SMTPAccount")._default_manager.using(key.database)
    account = accounts.filter(uuid=key.uuid).values_list("pk", flat=True).first()
    if account is None:
        return
    states = apps.get_model("smtpauth", "SMTPAccountHealth")._default_manager.using(key.database)
    states.get_or_create(account_id=account)
    for run in runs:
        _apply(run, states.filter(account_id=account))


def _apply(run: Run, state: Any) -> None:
    """Lets a run count as far as nothing later is known."""
    mine, other, last_mine, last_other = "successes", "failures", "success", "failure"
    facts: dict[str, Any] = {}
    if run.failure is not None:
        mine, other, last_mine, last_other = other, mine, last_other, last_mine
        facts = {
            "failure_stage": run.failure.stage,
            "failure_code": run.failure.code,
            "failure_status": run.failure.status,
            "failure_text": run.failure.text,
            "failure_rule": run.failure.rule,
        }
    own_time, other_time = f"last_{last_mine}_at", f"last_{last_other}_at"
    state.filter(_not_after(other_time, run.at)).update(**{mine: F(mine) + run.count, other: 0})
    state.filter(_not_after(own_time, run.at)).update(**{own_time: run.at, **facts})


def _not_after(name: str, time: datetime.datetime) -> Q:
    return Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__lte": time})


def note(route: Route, result: Result) -> None:
    """Counts one message that was sent, or was to be sent, over a route. Never raises."""
    if route.account is None:
        return
    if result.sent:
        _add(route.account, None)
    elif what := failure_of(result, route.account):
        _add(route.account, what)


def note_unopened(route: Route, error: Exception) -> None:
    """Counts a connection for real mail that could not be opened. Never raises."""
    if route.account is None:
        return
    explain_failure(error, route)
    if what := failure(error, route.account):
        _add(route.account, what)


def _add(account: Account, what: Failure | None) -> None:
    try:
        database = router.db_for_write(apps.get_model("smtpauth", "SMTPAccountHealth"))
        place, run = Place.here(database), Run(1, timezone.now(), what)
        ledger.add(Key(database, account.uuid, place.surroundings.schema), run, place)
    except Exception as error:
        logger.debug("The state of an SMTP account was not noted. %s", sentence(error))


ledger = Ledger(writer)
# Before the writer's own end, which is registered earlier.
atexit.register(ledger.write_out)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ledger.forget)
