"""What became of an account's real mail: what counts, when it is written, what can't stop it."""

# ruff: noqa: F811 - fixtures are imported, and are arguments

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from contextvars import copy_context
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils import timezone

from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending import accounts, health
from django_smtpauth.sending.accounts import ANYWHERE
from django_smtpauth.sending.durable import Place, Writer, writer
from django_smtpauth.sending.health import EVERY, Key, Ledger, Run, joined, write
from django_smtpauth.sending.options import DSN, MessageOptions
from django_smtpauth.sending.schemas import Schema
from django_smtpauth.sending.verdicts import Failure
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    default_backend,
    mail_settings,
    make_account,
    message,
    run_site,
)
from tests.file_database import LONG, file_database, in_a_file, written  # noqa: F401
from tests.sending.account_site import (  # noqa: F401
    OWN,
    Clock,
    Site,
    Timers,
    clock,
    file_site,
    ledger,
    site,
    timers,
)
from tests.sending.test_durable import succeeds_in_a_child
from tests.servers.scripted import CLOSE, Answer, Then

# What is counted


@pytest.mark.django_db
def test_a_message_that_was_sent(site: Site) -> None:
    site.serve()
    began = timezone.now()
    assert site.send()
    state = site.account.health
    assert began <= state.last_success_at <= timezone.now()
    assert (state.successes, state.failures, state.is_failing) == (1, 0, False)
    assert state.last_failure_at is None


@pytest.mark.django_db
def test_the_first_count_is_written_at_once_by_a_real_clock(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ledger", Ledger(writer))
    site.serve()
    assert site.send()
    assert site.state is not None
    assert site.state.successes == 1


@pytest.mark.django_db
def test_one_accepted_recipient_is_enough(site: Site) -> None:
    site.serve({"replies": {"RCPT:no@example.org": b"550 5.7.1 Relaying denied\r\n"}})
    assert site.send(to=["no@example.org", "yes@example.org"])
    assert site.counts == (1, 0)


FAILURES: dict[str, tuple[dict[str, Any], tuple[str, int | None, str]]] = {
    "turned away": ({"GREETING": b"554 5.3.2 No\r\n"}, ("GREETING", 554, "5.3.2")),
    "a lost connection": ({"MAIL": CLOSE}, ("MAIL", None, "")),
    "log-in": ({"AUTH": b"535 5.7.8 Wrong\r\n"}, ("AUTH", 535, "5.7.8")),
    "the sender": ({"MAIL": b"550 5.7.1 Not you\r\n"}, ("MAIL", 550, "5.7.1")),
    "its own address": ({"MAIL": b"550 5.1.8 No such domain\r\n"}, ("MAIL", 550, "5.1.8")),
    "no code for the sender": ({"MAIL": b"553 Not owned\r\n"}, ("MAIL", 553, "")),
    "relaying": ({"RCPT": b"554 5.7.1 Relaying denied\r\n"}, ("RCPT", 554, "5.7.1")),
    "relaying, no code": ({"RCPT": b"554 Relaying denied\r\n"}, ("RCPT", 554, "")),
    "the server's trouble": ({"RCPT": b"451 4.3.0 Try later\r\n"}, ("RCPT", 451, "4.3.0")),
    "going away": (
        {"RCPT": Answer(b"421 4.1.1 Bye\r\n", Then.CLOSE)},
        ("RCPT", 421, "4.1.1"),
    ),
    "the content": ({"CONTENT": b"554 5.7.1 Spam\r\n"}, ("CONTENT", 554, "5.7.1")),
    "the quota": ({"DATA": b"550 5.4.5 Daily limit\r\n"}, ("DATA", 550, "5.4.5")),
    "doubt": ({"CONTENT": CLOSE}, ("CONTENT", None, "")),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("replies", "told"), FAILURES.values(), ids=FAILURES)
def test_a_failure_of_the_account(
    site: Site, replies: dict[str, Any], told: tuple[str, int | None, str]
) -> None:
    behaviour = {"users": {"club": "secret"}, "replies": replies}
    site.serve(behaviour, username="club", password="secret")
    assert not site.send()
    state = site.state
    assert state is not None
    assert state.is_failing
    assert (state.failures, state.successes) == (1, 0)
    assert (state.failure_stage, state.failure_code, state.failure_status) == told
    assert state.last_failure_at is not None
    assert state.last_success_at is None


MESSAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an unknown address": ({"RCPT": b"550 5.1.1 Unknown\r\n"}, {}),
    "an unknown address, no code": ({"RCPT": b"550 Unknown\r\n"}, {}),
    "a full mailbox": ({"RCPT": b"452 4.2.2 Full\r\n"}, {}),
    "no way there": ({"RCPT": b"550 5.4.4 No route\r\n"}, {}),
    "a visitor as sender": (
        {"MAIL": b"550 5.1.8 No such domain\r\n"},
        {"sender": "visitor@example.net"},
    ),
    "too big for the server": ({"MAIL": b"552 5.3.4 Too big\r\n"}, {}),
    "too big, no code": ({"CONTENT": b"552 Too big\r\n"}, {}),
    "its form": ({"CONTENT": b"554 5.6.0 Malformed\r\n"}, {}),
    "not composed": ({}, {"subject": "two\nlines"}),
    "an address that is none": ({}, {"to": ["no@body@example.org"]}),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("replies", "fields"), MESSAGES.values(), ids=MESSAGES)
def test_a_failure_of_the_message_only(
    site: Site, replies: dict[str, Any], fields: dict[str, Any]
) -> None:
    site.serve({"replies": replies})
    assert not site.send(**fields)
    assert site.state is None


@pytest.mark.django_db
def test_one_refusal_of_another_kind_speaks_of_the_account(site: Site) -> None:
    replies = {"RCPT": [b"550 5.1.1 Unknown\r\n", b"550 5.7.1 Relaying denied\r\n"]}
    site.serve({"replies": replies})
    assert not site.send(to=["a@example.org", "b@example.org"])
    assert site.counts == (0, 1)


@pytest.mark.django_db
def test_who_asks_for_what_the_server_lacks_is_to_blame(site: Site) -> None:
    site.serve({"extensions": ()})
    assert not site.send(options=MessageOptions(dsn=DSN(ret="HDRS")))
    assert site.state is None
    site.account.dsn_ret = "HDRS"
    site.account.save()
    assert not site.send()
    assert site.counts == (0, 1)


@pytest.mark.django_db
def test_a_secret_that_was_stored_for_another_server(site: Site) -> None:
    server = site.serve({"users": {"club": "secret"}}, username="club", password="secret")
    SMTPAccount.objects.update(username="other@example.com")
    accounts.source.invalidate()
    assert not site.send()
    state = site.state
    assert state is not None
    assert (state.failure_stage, state.failure_code) == ("AUTH", None)
    assert "stored for another" in state.failure_text
    assert server.accepted == []


@pytest.mark.django_db
def test_a_key_that_this_process_lacks_is_not_the_account_s_fault(
    site: Site, settings: Any
) -> None:
    site.serve({"users": {"club": "secret"}}, username="club", password="secret")
    settings.SMTPAUTH = {**settings.SMTPAUTH, "KEYS": [generate_key()]}
    assert not site.send()
    settings.SMTPAUTH = {**settings.SMTPAUTH, "KEYS": ["env:NOT_THERE"]}
    assert not site.send()
    assert site.state is None
    assert {one.smtp_result.error.reason for one in site.messages} == {"unknown_key", "keys"}


@pytest.mark.django_db
def test_a_connection_that_could_not_be_opened_ahead(site: Site) -> None:
    site.serve({"replies": {"GREETING": b"554 5.3.2 No\r\n"}})
    with pytest.raises(OSError):
        default_backend().open()
    assert site.counts == (0, 1)


@pytest.mark.django_db
def test_a_server_that_is_down_counts_every_message(site: Site, ledger: Ledger) -> None:
    site.serve().close()
    with pytest.raises(OSError):
        default_backend().send_messages([message() for _ in range(3)])
    ledger.write_out()
    assert site.counts == (0, 3)


@pytest.mark.django_db
def test_the_text_names_no_address_and_no_secret(site: Site) -> None:
    told = b"550-5.7.1 <to@example.org> by club@example.com\r\n550 5.7.1 secret\r\n"
    behaviour = {"users": {"club@example.com": "secret"}, "replies": {"RCPT": told}}
    site.serve(behaviour, username="club@example.com", password="secret")
    assert not site.send()
    state = site.state
    assert state is not None
    assert state.failure_text.startswith("RCPT refused: 550 5.7.1 (account club, 127.0.0.1:")
    assert "@" not in state.failure_text
    assert "secret" not in state.failure_text


@pytest.mark.django_db
def test_the_settings_server_has_no_state(scripted_server, mail_settings, ledger) -> None:  # type: ignore[no-untyped-def]
    server = scripted_server()
    mail_settings(host=server.host, port=server.port)
    assert message().send() == 1
    assert SMTPAccountHealth.objects.count() == 0


@pytest.mark.django_db
def test_a_check_is_no_real_mail(site: Site) -> None:
    site.serve()
    assert probe(default_backend().route(), Plan(message=message())).ok
    assert site.state is None


# One kind after the other


@pytest.mark.django_db
def test_a_success_ends_the_failures_and_keeps_what_failed_last(site: Site, clock: Clock) -> None:
    site.serve({"replies": {"MAIL": [b"451 4.3.0 Busy\r\n"] * 2}})
    for _ in range(2):
        assert not site.send()
        clock.now += EVERY
    assert site.counts == (0, 2)
    assert site.send()
    state = site.state
    assert state is not None
    assert (state.successes, state.failures, state.is_failing) == (1, 0, False)
    assert (state.failure_stage, state.failure_code) == ("MAIL", 451)
    assert state.last_failure_at is not None
    assert state.last_success_at is not None
    assert state.last_failure_at < state.last_success_at


@pytest.mark.django_db
def test_a_failure_begins_the_successes_anew(site: Site, clock: Clock) -> None:
    site.serve({"replies": {"MAIL:bad@example.com": b"550 5.7.1 No\r\n"}})
    for sender, counts in ((OWN, (1, 0)), (OWN, (2, 0)), ("bad@example.com", (0, 1))):
        site.send(sender)
        assert site.counts == counts
        clock.now += EVERY


SENT, FAILED, AGAIN = None, Failure("MAIL", 451), Failure("AUTH", 535)


@pytest.mark.parametrize(
    ("story", "told"),
    [
        ([SENT, SENT], [(2, SENT)]),
        ([FAILED, AGAIN], [(2, AGAIN)]),
        ([SENT, SENT, FAILED], [(2, SENT), (1, FAILED)]),
        ([FAILED, SENT, SENT], [(1, FAILED), (2, SENT)]),
        ([SENT, FAILED, SENT, AGAIN], [(1, SENT), (1, AGAIN)]),
    ],
)
def test_what_gathers_is_two_runs_at_most(story: list[Any], told: list[Any]) -> None:
    runs = [Run(1, timezone.now(), failure) for failure in story]
    gathered: tuple[Run, ...] = ()
    for run in runs:
        gathered = joined(gathered, (run,))
    assert [(run.count, run.failure) for run in gathered] == told
    assert gathered[-1].at == runs[-1].at
    assert joined((), tuple(runs)) == gathered


@pytest.fixture
def key(make_account, scripted_server) -> Key:  # type: ignore[no-untyped-def]
    return Key("default", make_account("club", scripted_server()).uuid)


def at(minute: int) -> datetime:
    return datetime(2026, 1, 1, 12, minute, tzinfo=timezone.get_fixed_timezone(0))


def state_of(key: Key) -> SMTPAccountHealth:
    return SMTPAccountHealth.objects.get(account__uuid=key.uuid)


@pytest.mark.django_db
def test_processes_add_up(key: Key) -> None:
    write(key, (Run(3, at(2)),))
    write(key, (Run(4, at(1)),))
    state = state_of(key)
    assert (state.successes, state.last_success_at) == (7, at(2))


@pytest.mark.django_db
def test_what_is_written_late_turns_nothing_back(key: Key) -> None:
    write(key, (Run(1, at(5), AGAIN), Run(1, at(6))))
    write(key, (Run(9, at(4), FAILED),))
    state = state_of(key)
    assert (state.successes, state.failures, state.is_failing) == (1, 0, False)
    assert (state.last_failure_at, state.failure_code) == (at(5), 535)


@pytest.mark.django_db
def test_a_late_failure_is_told_if_it_is_the_last_one(key: Key) -> None:
    write(key, (Run(1, at(6)),))
    write(key, (Run(1, at(5), FAILED),))
    state = state_of(key)
    assert (state.is_failing, state.last_failure_at, state.failure_code) == (False, at(5), 451)


@pytest.mark.django_db
def test_a_form_that_was_open_turns_nothing_back(site: Site) -> None:
    site.serve()
    stale = SMTPAccount.objects.get(pk=site.account.pk)
    assert site.send()
    stale.label = "Saved an hour later"
    stale.save()
    assert site.counts == (1, 0)


# When it is written


@pytest.mark.django_db
def test_once_a_minute(site: Site, clock: Clock) -> None:
    site.serve()
    for seconds, counted in ((0, 1), (EVERY - 1, 1), (1, 3), (1, 3), (EVERY, 5)):
        clock.now += seconds
        assert site.send()
        assert site.counts == (counted, 0)


@pytest.mark.django_db
def test_a_change_for_the_worse_waits_for_its_minute(site: Site, clock: Clock) -> None:
    site.serve({"replies": {"MAIL:bad@example.com": b"550 5.7.1 No\r\n"}})
    assert site.send()
    assert not site.send("bad@example.com")
    assert site.counts == (1, 0)
    clock.now += EVERY
    assert not site.send("bad@example.com")
    assert site.counts == (0, 2)


@pytest.mark.django_db
def test_within_the_minute_a_send_costs_no_query(site: Site) -> None:
    site.serve()
    assert site.send()
    with CaptureQueriesContext(connection) as queries:
        assert site.send()
    assert queries.captured_queries == []


def test_without_a_further_message_a_timer_writes_it(
    file_site: Site, clock: Clock, timers: Timers
) -> None:
    file_site.serve()
    assert file_site.send()
    clock.now += 10
    for _ in range(3):
        assert file_site.send()
    ((seconds, _function),) = timers
    assert seconds == EVERY - 10
    clock.now += seconds
    timers.go_off()
    written()
    assert file_site.counts == (4, 0)
    assert timers == []


def test_one_timer_serves_all_accounts(ledger: Ledger, clock: Clock, timers: Timers) -> None:
    told: list[Any] = []
    ledger._writer = Told(told)
    keys = [Key("default", number) for number in range(3)]  # type: ignore[arg-type]
    place = anywhere()
    for key in keys:
        ledger.add(key, Run(1, at(0)), place)
        clock.now += 10
        ledger.add(key, Run(1, at(1)), place)
    assert [seconds for seconds, _function in timers] == [50]
    clock.now += 30 + 10
    timers.go_off()
    assert len(told) == 3 + 2
    assert [seconds for seconds, _function in timers] == [10]


def anywhere() -> Place:
    return Place("default", ANYWHERE, copy_context())


class Told(Writer):
    """A writer that only tells what it should write."""

    def __init__(self, told: list[Any]) -> None:
        super().__init__()
        self._told = told

    def submit(self, write: Any, place: Place, failed: Any) -> None:
        self._told.append((write.args, failed))


def test_accounts_of_two_schemas_are_two(ledger: Ledger) -> None:
    told: list[Any] = []
    ledger._writer = Told(told)
    for name in ("north", "south"):
        key = Key("default", 1, Schema(name))  # type: ignore[arg-type]
        ledger.add(key, Run(1, at(0)), anywhere())
    assert [args[0].schema.name for args, _failed in told] == ["north", "south"]


def test_the_account_unused_longest_is_written_and_forgotten(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MOST_ACCOUNTS", 2)
    told: list[Any] = []
    ledger._writer = Told(told)
    first, second, third = (Key("default", n) for n in range(3))  # type: ignore[arg-type]
    for key in (first, first, second, third):
        ledger.add(key, Run(1, at(0)), anywhere())
    assert [(args[0], args[1][0].count) for args, _failed in told] == [
        (first, 1),
        (second, 1),
        (first, 1),
        (third, 1),
    ]
    assert len(ledger._entries) == 2


def test_what_could_not_be_written_waits_for_the_next_time(ledger: Ledger, clock: Clock) -> None:
    told: list[Any] = []
    ledger._writer = Told(told)
    key = Key("default", 1)  # type: ignore[arg-type]
    ledger.add(key, Run(1, at(0), FAILED), anywhere())
    ledger.add(key, Run(1, at(1)), anywhere())
    _args, failed = told.pop()
    failed(OperationalError("down"))
    clock.now += EVERY
    ledger.add(key, Run(1, at(2)), anywhere())
    ((_key, runs), _failed) = told.pop()
    assert runs == (Run(1, at(0), FAILED), Run(2, at(2)))


# Beside the caller


def test_a_rollback_does_not_take_it_back(file_site: Site, file_database: str) -> None:
    file_site.serve()
    with transaction.atomic(using=file_database):
        assert file_site.send()
        transaction.set_rollback(True, using=file_database)
    written()
    assert file_site.counts == (1, 0)


def test_a_sender_that_holds_the_lock_is_not_blocked(
    file_site: Site,
    file_database: str,
) -> None:
    file_site.serve()
    with transaction.atomic(using=file_database):
        SMTPAccount.objects.update(label="locked")
        assert file_site.send()
        if connections[file_database].vendor == "sqlite":
            # It can't be written before this transaction has ended.
            assert not writer.wait(0)
            assert file_site.state is None
    written()
    assert file_site.counts == (1, 0)


def view(request: HttpRequest) -> HttpResponse:
    SMTPAccount.objects.update(label="rolled back")
    message(from_email=OWN).send()
    raise RuntimeError("the view fails after its mail")


urlpatterns = [path("send/", view)]


@pytest.mark.urls(__name__)
def test_a_request_that_fails_does_not_take_it_back(
    file_site: Site,
    file_database: str,
) -> None:
    file_site.serve()
    connections[file_database].settings_dict["ATOMIC_REQUESTS"] = True
    response = Client(raise_request_exception=False).get("/send/")
    assert response.status_code == 500
    written()
    assert file_site.counts == (1, 0)
    assert SMTPAccount.objects.get().label == ""


def test_an_account_that_is_gone_is_dropped(
    file_site: Site, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "django_smtpauth")
    file_site.serve()
    assert file_site.send()
    assert file_site.send()
    written()
    SMTPAccount.objects.all().delete()
    ledger.write_out()
    written()
    assert SMTPAccountHealth.objects.count() == 0
    assert caplog.records == []


def test_an_account_that_is_not_committed_is_dropped(
    file_database: str,
    ledger: Ledger,
) -> None:
    with transaction.atomic(using=file_database):
        account = SMTPAccount.objects.create(slug="new", host="smtp.example.com")
        # No lock is held any more once it is rolled back; until then nobody else sees the row.
        key = Key(file_database, account.uuid)
        ledger.add(key, Run(1, timezone.now()), Place.here(file_database))
        transaction.set_rollback(True, using=file_database)
    written()
    assert SMTPAccountHealth.objects.count() == 0


# What can't stop the mail


def test_a_table_that_is_missing(file_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    file_site.serve()
    with connections["file"].schema_editor() as editor:
        editor.delete_model(SMTPAccountHealth)
    quick = Writer(pauses=())
    health.ledger._writer = quick
    assert file_site.send()
    assert quick.wait(LONG)
    assert caplog.records == []


@pytest.mark.django_db
def test_a_database_that_is_stopped(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Any, *args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    site.serve()
    default_backend().route()
    monkeypatch.setattr(BaseDatabaseWrapper, "_cursor", refuse)
    assert site.send()
    assert caplog.records == []


class ReadOnly:
    """A router that fails, as one for a replica may."""

    def db_for_read(self, model: Any, **_: object) -> None:
        return None

    def db_for_write(self, model: Any, **_: object) -> str:
        raise RuntimeError("nothing is written here")


@pytest.mark.django_db
def test_a_router_that_lets_nothing_be_written(
    site: Site, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site.serve()
    settings.DATABASE_ROUTERS = [ReadOnly()]
    assert site.send()
    assert site.state is None
    assert caplog.records == []


@in_a_file
def test_a_file_that_is_broken(
    file_site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file_site.serve()
    default_backend().route()
    connections["file"].close()
    (tmp_path / "site.sqlite3").write_bytes(b"no database any more" * 1000)
    assert file_site.send()
    written()
    assert caplog.records == []


# The process


@pytest.mark.parametrize(
    ("code", "successes"),
    [
        ('send("a")', 1),
        ('for name in "abc": send(name)', 3),
        ('import sys; send("a"); sys.exit(0)', 1),
        ('transaction.set_autocommit(False); send("a")', 1),
        ('import atexit; send("a"); atexit.register(send, "late")', 2),
    ],
)
def test_a_process_that_ends_at_once(run_site: Any, code: str, successes: int) -> None:
    run_site(code)
    with closing(sqlite3.connect(run_site.database)) as database:
        rows = database.execute("SELECT successes FROM smtpauth_smtpaccounthealth").fetchall()
    assert rows == [(successes,)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_counts_its_own(
    file_site: Site,
    ledger: Ledger,
    file_database: str,
) -> None:
    def child() -> bool:
        ledger.forget()
        assert file_site.send()
        return writer.wait(LONG) and file_site.counts == (2, 0)

    file_site.serve()
    assert file_site.send()
    assert file_site.send()
    written()
    connections[file_database].close()
    with ledger._lock:
        assert succeeds_in_a_child(child)
    ledger.write_out()
    written()
    assert file_site.counts == (3, 0)


def test_the_ledger_of_the_process_is_told_of_forks() -> None:
    with health.ledger._lock:
        assert succeeds_in_a_child(lambda: health.ledger._lock.acquire(timeout=LONG))


def test_from_many_threads_nothing_is_lost(file_site: Site, ledger: Ledger) -> None:
    file_site.serve()
    threads = [threading.Thread(target=file_site.send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    ledger.write_out()
    written()
    assert file_site.counts == (8, 0)
