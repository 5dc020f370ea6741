"""Rotation of ten thousand accounts in PostgreSQL, by two processes at once, beside a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_smtpauth.secrets.keyring import generate_key
from tests.interop.postgresql import LOGIN, PASSWORD, PostgreSQL
from tests.requirements import require_package
from tests.rotation_scripts import COMPARE, fill, numbers, rotate_twice_at_once
from tests.site_process import Site

pytestmark = pytest.mark.interop

OLD, NEW = generate_key(), generate_key()
ROWS = 10_000

#: Types passwords anew, with the settings of a machine that was not restarted yet.
TYPES = """
print("ready", flush=True)
sys.stdin.readline()
for n in range(0, int(os.environ["TEST_ROWS"]), 100):
    account = SMTPAccount.objects.get(slug=f"a{n}")
    account.password = f"secret{n}"
    account.save()
print("done", flush=True)
"""


@pytest.fixture
def site(postgresql: PostgreSQL, tmp_path: Path) -> Site:
    require_package("psycopg")
    made = Site(tmp_path, "tests.interop.postgresql_settings")
    made.environment |= {
        "TEST_PORT": str(postgresql.port),
        "TEST_USER": LOGIN,
        "TEST_PASSWORD": PASSWORD,
        "TEST_NAME": "postgres",
    }
    made.run(
        """
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        """,
        OLD,
    )
    made.migrate(OLD)
    return made


def test_ten_thousand_accounts_by_two_processes_at_once(site: Site) -> None:
    fill(site, ROWS, OLD, NEW)
    both = rotate_twice_at_once(site, f"{NEW} {OLD}", batch_size=200)
    assert sum(resealed for resealed, *_ in both) == ROWS
    for resealed, current, _, unreadable in both:
        assert resealed + current == ROWS
        assert unreadable == 0
    assert int(site.run(COMPARE, NEW)) == ROWS
    assert "10,000 open, 0 do not." in site.manage("smtpkeys", "verify", sources=NEW)


def test_beside_a_worker_that_still_seals_with_the_old_key(site: Site) -> None:
    fill(site, ROWS, OLD, NEW)
    sources = f"{NEW} {OLD}"
    with site.start(TYPES, f"{OLD} {NEW}") as worker:
        assert worker.hear() == "ready"
        worker.say("go")
        site.manage("smtpkeys", "rotate", sources=sources)
        assert worker.hear() == "done"
    assert int(site.run(COMPARE, sources)) >= ROWS - ROWS // 100
    # What the worker stored after its row's turn is for another run.
    resealed, current, changed, unreadable = numbers(
        site.manage("smtpkeys", "rotate", sources=sources)
    )
    assert (resealed + current, changed, unreadable) == (ROWS, 0, 0)
    assert int(site.run(COMPARE, NEW)) == ROWS


def test_the_check_of_a_database_without_our_table(site: Site) -> None:
    """No query fails, which would break a transaction and stand in the server's log."""
    site.run(
        """
        from django.core.checks import run_checks
        from django.db import transaction

        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE smtpauth_smtpaccount CASCADE")
        with transaction.atomic():
            assert not [m for m in run_checks(databases=["default"]) if "W103" in m.id]
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        """,
        OLD,
    )
