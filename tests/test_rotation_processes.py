"""Rotation by real processes: killed at any row, two at once, beside workers, many accounts."""

import json

import pytest

from django_smtpauth.secrets.keyring import generate_key
from tests.rotation_scripts import COMPARE, fill, numbers, rotate_twice_at_once
from tests.site_process import Site

OLD, NEW = generate_key(), generate_key()
NEW_ID = NEW.partition(":")[0]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    made.migrate(OLD)
    return made


# Killed


KILLED_AT_EACH_ROW = """
import shutil
from django.conf import settings

moment, batch_size = os.environ["TEST_KILL"], int(os.environ["TEST_BATCH"])
path, whole = os.environ["TEST_DATABASE"], os.environ["TEST_DATABASE"] + ".whole"
new, old = settings.SMTPAUTH["KEYS"]
shutil.copy(path, whole)

def rotate():
    call_command("smtpkeys", "rotate", batch_size=batch_size, verbosity=0)

def die_at(row):
    def wrapper(execute, sql, parameters, many, context):
        if not (sql.startswith("UPDATE") and "password" in sql):
            return execute(sql, parameters, many, context)
        left.pop()
        if not left and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = execute(sql, parameters, many, context)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    left = [None] * row
    with connection.execute_wrapper(wrapper):
        rotate()

def resealed():
    rows = list(SMTPAccount.objects.all())
    assert sorted(row.password.reveal() for row in rows) == [f"secret{n}" for n in range(8)]
    count = sum(new.startswith(row.password.token.key_id + ":") for row in rows)
    connection.close()
    return count

for row in range(1, 9):
    shutil.copy(whole, path)
    child = os.fork()
    if not child:
        die_at(row)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    # Whole batches are done, and no half of one.
    assert resealed() == (row - 1) // batch_size * batch_size
    rotate()
    settings.SMTPAUTH["KEYS"] = [new]
    assert resealed() == 8
    settings.SMTPAUTH["KEYS"] = [new, old]
    print(row)
"""


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_row_nothing_is_lost(site, batch_size, moment):
    fill(site, 8, OLD, NEW)
    printed = site.run(
        KILLED_AT_EACH_ROW, f"{NEW} {OLD}", TEST_KILL=moment, TEST_BATCH=str(batch_size)
    )
    assert printed.split() == [str(row) for row in range(1, 9)]


# Two at once


def test_two_rotations_at_once_do_each_row_once(site):
    fill(site, 1_000, OLD, NEW)
    both = rotate_twice_at_once(site, f"{NEW} {OLD}", batch_size=7)
    assert sum(resealed for resealed, *_ in both) == 1_000
    for resealed, current, _, unreadable in both:
        assert resealed + current == 1_000
        assert unreadable == 0
    assert int(site.run(COMPARE, NEW)) == 1_000


# In another database


def test_the_database_that_was_named(site, tmp_path):
    site.environment["TEST_SECOND_DATABASE"] = str(tmp_path / "second.sqlite3")
    site.run(
        """
        call_command("migrate", database="second", verbosity=0)
        for database in ("default", "second"):
            SMTPAccount.objects.using(database).create(
                slug="club", host="smtp.example.com", password="secret"
            )
        """,
        OLD,
    )
    sources = f"{NEW} {OLD}"
    printed = site.manage("smtpkeys", "rotate", "--database", "second", sources=sources)
    assert numbers(printed) == [1, 0, 0, 0]
    for database, key in (("second", NEW), ("default", OLD)):
        printed = site.manage("smtpkeys", "verify", "--database", database, sources=key)
        assert "smtpaccount.password: 1 open, 0 do not." in printed


# Many


def test_ten_thousand_accounts(site):
    fill(site, 10_000, OLD, NEW)
    sources = f"{NEW} {OLD}"
    assert numbers(site.manage("smtpkeys", "rotate", sources=sources)) == [10_000, 0, 0, 0]
    assert numbers(site.manage("smtpkeys", "rotate", sources=sources)) == [0, 10_000, 0, 0]
    assert "10,000 open, 0 do not." in site.manage("smtpkeys", "verify", sources=NEW)
    status = json.loads(site.manage("smtpkeys", "status", "--json", sources=NEW))
    (column,) = [c for c in status["columns"] if c["column"] == "password"]
    assert column["keys"] == {NEW_ID: 10_000}


# Workers with old and with new settings

WORKER = """
from django.core.mail import send_mail
from django_smtpauth.secrets.errors import SecretUnreadable

print("ready", flush=True)
for name in sys.stdin:
    try:
        send_mail("Subject", "Body", f"{name.strip()}@example.com", ["to@example.org"])
        print("sent", flush=True)
    except SecretUnreadable as error:
        print(error.reason, error.transient, error, flush=True)
"""

SET_PASSWORD = """
account = SMTPAccount.objects.get(slug="club")
account.password = "secret"
account.save()
"""


@pytest.fixture
def server(scripted_server):
    return scripted_server(users={"club": "secret"})


@pytest.fixture
def club(site, server, tmp_path):
    """A site with one account, and keys in a file; both settings name the file."""
    path = tmp_path / "keys"
    path.write_text(OLD)
    site.run(
        f"""
        SMTPAccount.objects.create(
            slug="club", host="{server.host}", port={server.port}, security="none",
            allow_auth_without_tls=True, internal_host=True, username="club", password="secret",
            is_default=True,
        )
        """,
        f"file:{path}",
    )
    site.path = path
    return site


def test_a_worker_without_the_new_key_says_so_and_blames_nobody(club, server):
    sources = f"file:{club.path}"
    with club.start(WORKER, sources) as worker:
        assert worker.hear() == "ready"
        worker.say("a")
        assert worker.hear() == "sent"

        # Another machine was given the new key first, and seals with it.
        club.run(SET_PASSWORD, f"{NEW} {OLD}")
        worker.say("b")
        reason, transient, said = worker.hear().split(" ", 2)
        assert (reason, transient) == ("unknown_key", "True")
        assert f"sealed with key {NEW_ID}, which this process does not have" in said

        # Now its own file has the key; the process goes on.
        club.path.write_text(f"{OLD}\n{NEW}\n")
        worker.say("c")
        assert worker.hear() == "sent"
    assert [m.sender for m in server.accepted] == ["a@example.com", "c@example.com"]
    # The account was not blamed: nothing was refused, and nothing held back.
    assert [c.authenticated for c in server.connections if c.authenticated] == [True, True]


def test_workers_go_on_through_a_rotation_in_two_steps(club, server):
    old_settings = f"file:{club.path}"
    with club.start(WORKER, old_settings) as worker:
        assert worker.hear() == "ready"
        worker.say("a")
        assert worker.hear() == "sent"

        # First step: the new key opens everywhere. Second: it seals, and all is resealed.
        club.path.write_text(f"{OLD}\n{NEW}\n")
        club.manage("smtpkeys", "rotate", sources=f"{NEW} {OLD}")
        worker.say("b")
        assert worker.hear() == "sent"

        # The old key goes; a worker that saw both files keeps sending.
        club.path.write_text(f"{NEW}\n")
        worker.say("c")
        assert worker.hear() == "sent"
    assert len(server.accepted) == 3
    club.manage("smtpkeys", "verify", sources=NEW)
