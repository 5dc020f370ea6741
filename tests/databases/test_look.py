"""The look at the accounts beside the caller's transaction, with a database that threads share."""

import logging
import socket
import threading

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction

from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending import accounts
from django_smtpauth.sending.accounts import AccountSource, look_up, source, surroundings_of
from tests.interop.daemons import HOST, free_ports

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "connection.vendor == 'sqlite' and connection.is_in_memory_db()",
        reason="one connection holds a database in memory: python -m tests.databases has others",
    ),
]
on_a_server = pytest.mark.skipif("connection.vendor == 'sqlite'", reason="a file has no server")
LONG = 20.0


@pytest.fixture(autouse=True)
def fresh(settings):
    """The process-wide source without memories; each send looks again."""
    settings.SMTPAUTH = {"ACCOUNT_REFRESH": 0}
    accounts.database_changed()
    yield
    for thread in looks():
        thread.join(LONG)
    accounts.database_changed()


@pytest.fixture
def place(monkeypatch):
    """Sends those who connect from now on elsewhere; who is connected stays so."""

    def move(port):
        monkeypatch.setitem(connections.settings["default"], "HOST", HOST)
        monkeypatch.setitem(connections.settings["default"], "PORT", port)

    return move


def looks():
    return [thread for thread in threading.enumerate() if thread.name == "smtpauth-accounts"]


def create(slug="club"):
    return SMTPAccount.objects.create(slug=slug, host="smtp.example.com")


def current():
    return [account.slug for account in accounts.current_accounts("").accounts]


def sessions():
    """How many connections the server has from this user, our own among them."""
    sql = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = database()",
    }
    with connection.cursor() as cursor:
        cursor.execute(sql[connection.vendor])
        return cursor.fetchone()[0]


def wait_for_sessions(count):
    """The server notices a moment after the client that a connection has ended."""
    pause = threading.Event()
    for _ in range(int(LONG * 20)):
        if sessions() == count:
            return
        pause.wait(0.05)
    assert sessions() == count


@on_a_server
def test_looks_leave_no_connection_behind():
    create()
    before = sessions()
    for _ in range(5):
        assert current() == ["club"]
    wait_for_sessions(before)


def test_a_caller_whose_transaction_is_broken_has_accounts():
    create()
    User.objects.create(username="a")
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            User.objects.create(username="a")
        assert current() == ["club"]
        transaction.set_rollback(True)


def test_a_look_sees_what_is_committed_and_nothing_else():
    with transaction.atomic():
        create()
        assert current() == []
        transaction.set_rollback(True)
    assert current() == []
    with transaction.atomic():
        create()
    assert current() == ["club"]


def test_a_look_does_not_wait_for_a_row_that_is_being_changed():
    account = create()
    with transaction.atomic():
        account.label = "Changed"
        account.save()
        snapshot = accounts.current_accounts("")
        assert (snapshot.problem, [found.label for found in snapshot.accounts]) == ("", [""])
    assert [found.label for found in accounts.current_accounts("").accounts] == ["Changed"]


@on_a_server
def test_a_stopped_server_leaves_the_last_accounts_and_one_warning(place, caplog, monkeypatch):
    create()
    assert current() == ["club"]
    [closed] = free_ports(1)
    place(closed)
    monkeypatch.setattr(source, "_warned", None)
    with caplog.at_level(logging.WARNING, "django_smtpauth"):
        assert [current() for _ in range(3)] == [["club"]] * 3
    [record] = caplog.records
    assert "The SMTP accounts could not be read" in record.getMessage()
    assert "OperationalError" in accounts.current_accounts("").problem


@on_a_server
def test_a_server_that_does_not_answer_is_waited_for_a_while_only(place):
    create()
    impatient = AccountSource(look_up, patience=0.5)
    here = surroundings_of("default")
    assert [found.slug for found in impatient.snapshot("default", "", here).accounts] == ["club"]
    with socket.create_server((HOST, 0)) as silent:
        place(silent.getsockname()[1])
        snapshot = impatient.snapshot("default", "", here)
        assert [found.slug for found in snapshot.accounts] == ["club"]
        assert snapshot.problem == "The database did not answer within 0.5 seconds."
