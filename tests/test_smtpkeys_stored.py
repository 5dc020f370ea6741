"""What `smtpkeys status`, `verify` and `rotate` print, and how they end."""

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key

pytestmark = pytest.mark.django_db

OLD, NEW, FOREIGN = generate_key(), generate_key(), generate_key()
OLD_ID, NEW_ID, FOREIGN_ID = (key.partition(":")[0] for key in (OLD, NEW, FOREIGN))


@pytest.fixture
def keys(settings):
    def use(*sources):
        settings.SMTPAUTH = {"KEYS": list(sources)}

    use(OLD)
    return use


def make(slug, **fields):
    return SMTPAccount.objects.create(
        slug=slug, host="smtp.example.com", **{"password": f"secret of {slug}", **fields}
    )


@pytest.fixture
def accounts(keys):
    made = [make("a"), make("b"), make("c")]
    keys(NEW, OLD)
    return made


@pytest.fixture
def foreign(accounts, keys):
    keys(FOREIGN)
    account = make("foreign")
    keys(NEW, OLD)
    return account


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(*arguments, stderr=None, **options):
    """What a command prints on each stream, and its error."""
    out, err = io.StringIO(), stderr if stderr is not None else io.StringIO()
    error = None
    try:
        call_command("smtpkeys", *arguments, stdout=out, stderr=err, **options)
    except CommandError as raised:
        error = raised
    assert "secret of" not in out.getvalue() + err.getvalue() + str(error)
    return out.getvalue(), err.getvalue(), error


# status


def test_status_counts_by_key(foreign):
    make("new")
    SMTPAccount.objects.filter(slug="b").update(password=None)
    out, err, error = run("status")
    assert (err, error) == ("", None)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"Key that seals now: {NEW_ID}" in lines
    assert "smtpauth_smtpaccount.password: 4 secrets" in lines
    assert f"1 {NEW_ID} (seals now)" in lines
    assert f"2 {OLD_ID} (older; `smtpkeys rotate` reseals them)" in lines
    assert f"1 {FOREIGN_ID} (this process does not have this key)" in lines


def test_status_says_which_key_is_used_no_more(accounts):
    assert f"sealed with: {OLD_ID}" not in run("status")[0]
    run("rotate")
    assert f"Nothing in this database is sealed with: {OLD_ID}" in run("status")[0]


def test_status_tells_damaged_ones(accounts):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE smtpauth_smtpaccount SET password = 'plain' WHERE slug = 'a'")
    out = run("status")[0]
    assert "1  damaged  (no sealed secrets)" in out
    assert "plain" not in out


def test_status_as_json(foreign):
    out, _, _ = run("status", "--json")
    report = json.loads(out)
    assert (report["seals"], report["keys"]) == (NEW_ID, [NEW_ID, OLD_ID])
    (column,) = [c for c in report["columns"] if c["column"] == "password"]
    assert column == {
        "model": "smtpauth.SMTPAccount",
        "table": "smtpauth_smtpaccount",
        "column": "password",
        "total": 4,
        "current": 0,
        "older": 3,
        "unknown": 1,
        "damaged": 0,
        "keys": {OLD_ID: 3, FOREIGN_ID: 1},
    }


def test_status_without_any_key(accounts, settings):
    settings.SMTPAUTH = {}
    assert "Key that seals now: none" in run("status")[0]
    assert json.loads(run("status", "--json")[0])["seals"] is None


def test_a_source_that_cant_be_read_is_named(accounts, keys):
    keys("env:SMTPAUTH_ABSENT")
    for action in ("status", "verify", "rotate"):
        assert "env:SMTPAUTH_ABSENT" in str(run(action)[2])


def test_rotation_without_any_key_says_how_to_make_one(accounts, settings):
    settings.SMTPAUTH = {}
    assert "smtpkeys generate" in str(run("rotate")[2])


# verify


def test_verify(accounts):
    out, err, error = run("verify")
    assert "smtpauth_smtpaccount.password: 3 open, 0 do not." in out
    assert (err, error) == ("", None)


def test_verify_names_what_does_not_open_and_ends_with_1(foreign):
    out, err, error = run("verify", "--batch-size", "2")
    assert "smtpauth_smtpaccount.password: 3 open, 1 do not." in out
    assert err.startswith(f"smtpauth.SMTPAccount {foreign.pk} (foreign), password: The secret")
    assert f"sealed with key {FOREIGN_ID}, which this process does not have" in err
    assert str(error) == "1 secret can't be opened; nothing was changed there."
    assert error.returncode == 1


# rotate


def test_rotate(foreign):
    out, err, error = run("rotate")
    assert (
        f"smtpauth_smtpaccount.password: 3 resealed with key {NEW_ID}, 0 had it already, "
        "0 changed meanwhile, 1 do not open."
    ) in out
    assert "(foreign), password: " in err
    assert error.returncode == 1
    foreign.delete()
    out, err, error = run("rotate")
    assert "0 resealed" in out
    assert "3 had it already" in out
    assert (err, error) == ("", None)


def test_a_dry_run_changes_nothing(accounts):
    assert "3 would be resealed with key" in run("rotate", "--dry-run")[0]
    assert "3 resealed with key" in run("rotate")[0]


def test_quiet(foreign):
    out, err, error = run("rotate", verbosity=0)
    assert out == ""
    assert "(foreign), password: " in err
    assert error is not None


# On a terminal


def test_a_bar_on_a_terminal(accounts):
    _, err, _ = run("rotate", "--batch-size", "2", stderr=Terminal())
    drawn = [part.removesuffix("\x1b[K") for part in err.split("\r")]
    bars = [part for part in drawn if part.startswith("smtpauth_smtpaccount.password")]
    assert [bar.split("] ")[1] for bar in bars] == [" 67% 2", "100% 3"]
    assert drawn[-1] == ""


@pytest.mark.parametrize("quiet", [True, False])
def test_no_bar_elsewhere(accounts, quiet):
    stream = Terminal() if quiet else io.StringIO()
    _, err, _ = run("rotate", stderr=stream, verbosity=0 if quiet else 1)
    assert err == ""


def test_the_bar_makes_room_for_names(foreign):
    _, err, _ = run("verify", stderr=Terminal())
    before, _, _ = err.partition(f"smtpauth.SMTPAccount {foreign.pk} ")
    assert before.endswith("\r\x1b[K")


# What can't be asked for


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["generate", "--json"], "--json"),
        (["generate", "--database", "default"], "--database"),
        (["status", "--dry-run"], "--dry-run"),
        (["status", "--batch-size", "5"], "--batch-size"),
        (["verify", "--dry-run"], "--dry-run"),
        (["rotate", "--json"], "--json"),
        (["rotate", "--output", "x"], "--output"),
    ],
)
def test_options_that_do_not_go_together(arguments, option):
    error = run(*arguments)[2]
    assert str(error) == f"{option} does not go with `smtpkeys {arguments[0]}`."


@pytest.mark.parametrize("size", ["0", "-1", "many", ""])
def test_a_batch_has_rows(size):
    assert "is no number of rows" in str(run("rotate", f"--batch-size={size}")[2])


def test_a_database_that_is_not_there():
    assert "invalid choice: 'absent'" in str(run("rotate", "--database", "absent")[2])


def test_a_database_without_our_tables(settings):
    class Elsewhere:
        def allow_migrate(self, db, app_label, **hints):
            return False

    settings.DATABASE_ROUTERS = [Elsewhere()]
    for action in ("status", "verify", "rotate"):
        out, _, error = run(action)
        assert "This database has no column of secrets." in out
        assert error is None


def failing(error):
    def execute(*_):
        raise error

    return connection.execute_wrapper(execute)


def test_a_database_that_fails_is_an_error_with_a_cure(accounts):
    with failing(OperationalError("the disk is full")):
        error = run("rotate")[2]
    assert "the disk is full" in str(error)
    assert "What was done so far stays" in str(error)


def test_an_interrupted_run_says_that_nothing_is_lost(accounts):
    with failing(KeyboardInterrupt()):
        error = run("rotate")[2]
    assert error.returncode == 130
    assert "run the command again" in str(error)
