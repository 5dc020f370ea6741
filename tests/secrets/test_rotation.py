"""Rotation inside one process: what is counted, opened, resealed, and left alone."""

import contextlib
import datetime

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.signals import post_save, pre_save
from django.test.utils import CaptureQueriesContext

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.errors import NoSealingKey
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.secrets.rotation import (
    MOST_LOOKS,
    find_columns,
    rotate,
    take_census,
    verify,
)
from tests.installing import installed

pytestmark = pytest.mark.django_db

OLD, NEW, FOREIGN = generate_key(), generate_key(), generate_key()
OLD_ID, NEW_ID, FOREIGN_ID = (key.partition(":")[0] for key in (OLD, NEW, FOREIGN))


@pytest.fixture
def keys(settings):
    def use(*sources):
        settings.SMTPAUTH = {"KEYS": list(sources)}

    use(OLD)
    return use


@pytest.fixture
def accounts(keys):
    """Seven accounts, sealed with the old key, of which one has no password."""
    made = [
        SMTPAccount(
            slug=f"a{n}",
            host="smtp.example.com",
            username=f"u{n}",
            password=f"secret{n}" if n != 3 else None,
        )
        for n in range(7)
    ]
    SMTPAccount.objects.bulk_create(made)
    keys(NEW, OLD)
    return list(SMTPAccount.objects.order_by("pk"))


@pytest.fixture(scope="module")
def vault_model(django_db_setup, django_db_blocker):
    with installed("tests.secrets.twofold", django_db_blocker) as module:
        yield module.Vault


@pytest.fixture
def vault(vault_model, keys):
    saved = vault_model.objects.create(name="v", first="one", second="two")
    keys(NEW, OLD)
    return saved


def columns():
    return find_columns("default")


def password_column():
    return next(c for c in columns() if (c.model, c.field.name) == (SMTPAccount, "password"))


def total(tallies):
    tallies = list(tallies)
    names = ("seen", "current", "resealed", "changed")
    counts = {name: sum(getattr(tally, name) for tally in tallies) for name in names}
    problems = [unreadable for tally in tallies for unreadable in tally.unreadable]
    return {name: n for name, n in counts.items() if n}, problems


def rotated(**options):
    return total(rotate(password_column(), **options))


def passwords():
    rows = SMTPAccount.objects.order_by("pk")
    return [row.password.reveal() if row.password else None for row in rows]


ALL = ["secret0", "secret1", "secret2", None, "secret4", "secret5", "secret6"]


def by_key():
    found = SMTPAccount.objects.filter(password__isnull=False).values_list("password", flat=True)
    return [token.key_id for token in found.order_by("pk")]


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def copy_token(model, source, target, field="password"):
    """Puts one row's token into another row."""
    token = model.objects.values_list(field, flat=True).get(pk=source.pk)
    model.objects.filter(pk=target.pk).update(**{field: token})


# Rotating


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 500])
def test_every_secret_gets_the_first_key(accounts, keys, batch_size):
    assert rotated(batch_size=batch_size) == ({"seen": 6, "resealed": 6}, [])
    assert by_key() == [NEW_ID] * 6
    keys(NEW)
    assert passwords() == ALL


def test_a_second_run_writes_nothing(accounts):
    rotated()
    with CaptureQueriesContext(connection) as queries:
        assert rotated() == ({"seen": 6, "current": 6}, [])
    assert not any("UPDATE" in query["sql"] for query in queries)


def test_a_dry_run_writes_nothing(accounts):
    with CaptureQueriesContext(connection) as queries:
        assert rotated(dry_run=True) == ({"seen": 6, "resealed": 6}, [])
    assert not any("UPDATE" in query["sql"] for query in queries)
    assert by_key() == [OLD_ID] * 6


def test_what_a_broken_run_left_is_done_by_the_next(accounts):
    next(rotate(password_column(), 2))
    assert by_key() == [NEW_ID] * 2 + [OLD_ID] * 4
    assert rotated() == ({"seen": 6, "resealed": 4, "current": 2}, [])
    assert passwords() == ALL


def test_every_column_of_every_model_is_found(vault, accounts):
    found = [str(column) for column in columns()]
    assert found == sorted(found)
    assert {"twofold_vault.first", "twofold_vault.second"} < set(found)
    assert "smtpauth_smtpaccount.password" in found
    for column in columns():
        list(rotate(column))
    vault.refresh_from_db()
    assert {vault.first.token.key_id, vault.second.token.key_id} == {NEW_ID}
    assert (vault.first.reveal(), vault.second.reveal()) == ("one", "two")


def test_no_other_column_is_written_and_no_signal_sent(vault_model, vault):
    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
    vault_model.objects.update(changed=long_ago)
    saved = []

    def note(sender, **_):
        saved.append(sender)

    with contextlib.ExitStack() as stack:
        for signal in (pre_save, post_save):
            signal.connect(note)
            stack.callback(signal.disconnect, note)
        with CaptureQueriesContext(connection) as queries:
            for column in columns():
                list(rotate(column))
    assert saved == []
    updates = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == 2
    assert not any("changed" in update for update in updates)
    assert vault_model.objects.get().changed == long_ago


def test_a_column_that_is_not_there_yet_is_left_out(vault_model, monkeypatch):
    assert len([c for c in columns() if c.model is vault_model]) == 2
    monkeypatch.setattr(vault_model._meta.get_field("second"), "column", "absent")
    assert [c.field.name for c in columns() if c.model is vault_model] == ["first"]
    monkeypatch.setattr(vault_model._meta, "db_table", "absent")
    assert [c for c in columns() if c.model is vault_model] == []


def test_a_database_to_which_the_model_does_not_belong(settings):
    class Elsewhere:
        def allow_migrate(self, db, app_label, **hints):
            return False

    assert columns()
    settings.DATABASE_ROUTERS = [Elsewhere()]
    assert columns() == []


def test_rows_that_the_model_s_managers_hide_are_rotated(vault_model, vault):
    vault_model.objects.update(name="hidden")
    assert not vault_model._base_manager.exists()
    counts = [total(rotate(c))[0] for c in columns() if c.model is vault_model]
    assert counts == [{"seen": 1, "resealed": 1}] * 2


def test_without_a_key_that_seals(accounts, keys, settings):
    settings.SMTPAUTH = {}
    with pytest.raises(NoSealingKey):
        rotated()


# What does not open


def spoil(accounts, keys):
    """Three accounts whose passwords do not open, each for another reason."""
    keys(FOREIGN)
    accounts[0].password = "foreign"
    accounts[0].save()
    keys(NEW, OLD)
    SMTPAccount.objects.filter(slug="a1").update(host="evil.example")
    sql("UPDATE smtpauth_smtpaccount SET password = 'plain text' WHERE slug = 'a2'")


def test_what_does_not_open_is_named_and_left_alone(accounts, keys):
    spoil(accounts, keys)
    before = list(SMTPAccount.objects.order_by("pk").values_list("password", flat=True))
    for found in (rotated(), total(verify(password_column()))):
        problems = found[1]
        assert [(p.key, p.slug, p.problem.reason) for p in problems] == [
            (accounts[0].pk, "a0", "unknown_key"),
            (accounts[1].pk, "a1", "mismatch"),
            (accounts[2].pk, "a2", "damaged"),
        ]
        for slug, problem in zip(("a0", "a1", "a2"), problems, strict=True):
            assert str(problem).startswith(f"smtpauth.SMTPAccount {problem.key} ({slug}), passw")
            assert "plain text" not in str(problem)
        assert f"sealed with key {FOREIGN_ID}, which this process does not have" in str(
            problems[0]
        )
    after = list(SMTPAccount.objects.order_by("pk").values_list("password", flat=True))
    assert after[:4] == before[:4]
    assert [token.key_id for token in after[4:]] == [NEW_ID] * 3


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="no column takes another type here")
def test_a_row_that_holds_no_destination_does_not_stop_the_rest(accounts):
    sql("UPDATE smtpauth_smtpaccount SET verify = 'maybe' WHERE slug = 'a1'")
    counts, [problem] = rotated()
    assert counts == {"seen": 6, "resealed": 5}
    assert (problem.slug, problem.problem.reason) == ("a1", "mismatch")


def test_the_sources_are_read_once_for_each_missing_key(accounts, keys):
    reads = []

    def vault():
        reads.append(1)
        return NEW

    keys(vault)
    counts, problems = rotated(batch_size=2)
    assert (counts, len(problems)) == ({"seen": 6}, 6)
    # At the start, and for the missing key.
    assert len(reads) == 2


def test_verify_opens_everything_and_writes_nothing(accounts, vault):
    everywhere = columns()
    with CaptureQueriesContext(connection) as queries:
        found = {str(column): total(verify(column, 2)) for column in everywhere}
    assert found["smtpauth_smtpaccount.password"] == ({"seen": 6}, [])
    assert found["twofold_vault.second"] == ({"seen": 1}, [])
    assert all(query["sql"].startswith("SELECT") for query in queries)


# Somebody else at the same time


@contextlib.contextmanager
def before_update(change, times=1):
    """Calls `change(pk)` before an UPDATE of a password, the first `times` times."""
    left = [times]

    def intrude(execute, statement, parameters, many, context):
        if left[0] and statement.startswith("UPDATE") and "password" in statement:
            left[0] -= 1
            spare = left[0]
            left[0] = 0
            change(next(p for p in parameters if isinstance(p, int)))
            left[0] = spare
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(intrude):
        yield


def typed_anew(pk):
    account = SMTPAccount.objects.get(pk=pk)
    account.password = "typed meanwhile"
    account.save()


def moved(pk):
    account = SMTPAccount.objects.get(pk=pk)
    account.host, account.password = "other.example.com", "for the other"
    account.save()


def removed(pk):
    SMTPAccount.objects.filter(pk=pk).update(password=None)


def deleted(pk):
    SMTPAccount.objects.filter(pk=pk).delete()


@pytest.mark.parametrize(
    ("change", "counts", "left"),
    [
        (typed_anew, {"current": 1, "resealed": 5}, ["typed meanwhile", *ALL[1:]]),
        (moved, {"current": 1, "resealed": 5}, ["for the other", *ALL[1:]]),
        (removed, {"resealed": 5}, [None, *ALL[1:]]),
        (deleted, {"resealed": 5}, ALL[1:]),
    ],
)
def test_a_change_meanwhile_wins(accounts, change, counts, left):
    with before_update(change):
        found = rotated()
    assert found == ({"seen": 6, "changed": 1, **counts}, [])
    assert passwords() == left
    assert set(by_key()) == {NEW_ID}


def test_a_secret_that_was_stored_with_the_old_key_meanwhile_is_resealed(accounts, keys):
    """A worker with the old settings."""

    def typed_by_an_old_worker(pk):
        keys(OLD)
        typed_anew(pk)
        keys(NEW, OLD)

    with before_update(typed_by_an_old_worker):
        assert rotated() == ({"seen": 6, "changed": 1, "resealed": 6}, [])
    assert passwords() == ["typed meanwhile", *ALL[1:]]
    assert set(by_key()) == {NEW_ID}


def test_a_row_that_never_stays_the_same_is_given_up_and_named(accounts, keys):
    def typed_by_an_old_worker(pk):
        keys(OLD)
        typed_anew(pk)
        keys(NEW, OLD)

    SMTPAccount.objects.exclude(slug="a0").delete()
    with before_update(typed_by_an_old_worker, times=MOST_LOOKS):
        counts, [problem] = rotated()
    assert counts == {"seen": 1, "changed": MOST_LOOKS}
    assert (problem.slug, problem.problem.reason) == ("a0", "changed")
    assert passwords() == ["typed meanwhile"]


# Counting


def test_a_census_by_key(accounts, keys):
    spoil(accounts, keys)
    accounts[4].password = "new"
    accounts[4].save()
    column = password_column()
    with CaptureQueriesContext(connection) as queries:
        census = take_census(column)
    assert len(queries) == 1
    assert census.current == {NEW_ID: 1}
    assert census.older == {OLD_ID: 3}
    assert census.unknown == {FOREIGN_ID: 1}
    assert (census.damaged, census.total) == (1, 6)


def test_a_census_without_a_key_that_seals(accounts, settings):
    settings.SMTPAUTH = {}
    assert take_census(password_column()).unknown == {OLD_ID: 6}


# Ciphertexts where they do not belong


class TestTwoSecretsOfOneRow:
    def unreadable(self, secret):
        problem = secret.problem()
        assert problem is not None
        assert problem.reason == "mismatch"

    def test_swapped_by_sql(self, vault_model, vault):
        first, second = (getattr(vault, name).token.text for name in ("first", "second"))
        sql("UPDATE twofold_vault SET first = %s, second = %s", second, first)
        row = vault_model.objects.get()
        self.unreadable(row.first)
        self.unreadable(row.second)

    def test_copied_by_update(self, vault_model, vault):
        vault_model.objects.update(second=vault.first)
        row = vault_model.objects.get()
        assert row.first.reveal() == "one"
        self.unreadable(row.second)

    def test_copied_by_save(self, vault_model, vault):
        vault.second = vault.first
        vault.save()
        self.unreadable(vault_model.objects.get().second)

    def test_copied_by_fixture(self, vault_model, vault, tmp_path):
        path = tmp_path / "vaults.json"
        call_command("dumpdata", "twofold", output=str(path), verbosity=0)
        first, second = (getattr(vault, name).token.text for name in ("first", "second"))
        path.write_text(path.read_text().replace(second, first))
        call_command("loaddata", path, verbosity=0)
        row = vault_model.objects.get()
        assert row.first.reveal() == "one"
        self.unreadable(row.second)

    def test_rotation_does_not_help(self, vault_model, vault):
        sql("UPDATE twofold_vault SET second = first")
        [column] = [c for c in columns() if str(c) == "twofold_vault.second"]
        counts, [problem] = total(rotate(column))
        assert (counts, problem.problem.reason) == ({"seen": 1}, "mismatch")
        self.unreadable(vault_model.objects.get().second)


def test_rotation_opens_nothing_in_another_row(accounts):
    copy_token(SMTPAccount, accounts[0], accounts[1])
    _, [problem] = rotated()
    assert (problem.slug, problem.problem.reason) == ("a1", "mismatch")
    assert SMTPAccount.objects.get(slug="a1").password.problem() is not None
