import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import OperationalError, connection

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.checks import MOST_SECRETS
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.secrets.rotation import find_columns


def found(deploy=False, databases=None):
    messages = run_checks(include_deployment_checks=deploy, databases=databases)
    return {message.id: message for message in messages if message.id.startswith("smtpauth.")}


def test_a_usable_key_is_no_problem(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    assert found(deploy=True).keys() & {"smtpauth.E101", "smtpauth.W101", "smtpauth.W102"} == set()


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["env:SMTPAUTH_ABSENT"], "env:SMTPAUTH_ABSENT"),
        (["k1:c2VjcmV0"], "6 octets instead of 32"),
        ({"k1": "c2VjcmV0"}, "must be a list"),
    ],
)
def test_an_unusable_source_is_an_error(settings, keys, named):
    settings.SMTPAUTH = {"KEYS": keys}
    message = found()["smtpauth.E101"]
    assert named in message.msg
    assert "c2VjcmV0" not in message.msg
    assert "smtpkeys generate" in message.hint


def test_a_callable_is_not_called(settings):
    def vault():
        raise AssertionError

    settings.SMTPAUTH = {"KEYS": [vault]}
    assert "smtpauth.E101" not in found()


DERIVE = "derive-from-secret-key"


@pytest.mark.parametrize("keys", [DERIVE, [DERIVE], (DERIVE, generate_key())], ids=range(3))
def test_a_derived_key_that_seals_is_a_warning(settings, keys):
    settings.SMTPAUTH = {"KEYS": keys}
    assert "SECRET_KEY_FALLBACKS" in found()["smtpauth.W101"].msg
    settings.DEBUG = True
    assert "smtpauth.W101" not in found()


def test_a_derived_key_that_only_opens_is_no_problem(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key(), DERIVE]}
    assert "smtpauth.W101" not in found()


def test_no_keys_is_a_warning_for_deployments(settings):
    settings.SMTPAUTH = {}
    assert "smtpauth.W102" in found(deploy=True)
    assert "smtpauth.W102" not in found()
    settings.DEBUG = True
    assert "smtpauth.W102" not in found(deploy=True)


# What is stored


@pytest.fixture
def stored(db, settings):
    """Three accounts that were sealed with a key which the site does not have any more."""
    lost = generate_key()
    settings.SMTPAUTH = {"KEYS": [lost]}
    for slug in ("a", "b", "c"):
        SMTPAccount.objects.create(slug=slug, host="smtp.example.com", password="hunter2")
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    return lost


def warning():
    return found(databases=["default"]).get("smtpauth.W103")


def test_secrets_without_their_key_are_a_warning_of_the_database(stored):
    assert "smtpauth.W103" not in found()
    message = warning()
    assert message.msg == (
        "3 of the first 3 secrets in smtpauth_smtpaccount.password (database 'default') are "
        f"sealed with key {stored.partition(':')[0]}, which this process does not have."
    )
    assert "smtpkeys status" in message.hint
    assert not message.is_serious()


def test_with_the_key_there_is_no_warning(stored, settings):
    settings.SMTPAUTH = {"KEYS": [generate_key(), stored]}
    assert warning() is None


def test_damaged_secrets_are_a_warning(stored, settings):
    settings.SMTPAUTH = {"KEYS": [stored]}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE smtpauth_smtpaccount SET password = 'plain' WHERE slug = 'a'")
    message = warning()
    assert "1 of the first 3 secrets" in message.msg
    assert "are damaged, or were written past Django" in message.msg
    assert "plain" not in message.msg


def test_a_changed_destination_is_no_matter_of_keys(stored, settings):
    settings.SMTPAUTH = {"KEYS": [stored]}
    SMTPAccount.objects.update(host="other.example.com")
    assert warning() is None


def test_a_bounded_number_of_rows_is_looked_at(stored):
    row = SMTPAccount.objects.get(slug="a")
    more = [
        SMTPAccount(slug=f"x{n}", host="h.example", password=f"{n}") for n in range(MOST_SECRETS)
    ]
    SMTPAccount.objects.bulk_create(more)
    assert f"3 of the first {MOST_SECRETS} secrets" in warning().msg
    assert row.pk < min(one.pk for one in more)


def test_nothing_is_opened(stored, settings, monkeypatch):
    def refuse(*_):
        raise AssertionError("a secret was opened")

    monkeypatch.setattr("django_smtpauth.secrets.secret.StoredSecret.reveal", refuse)
    assert warning() is not None
    settings.SMTPAUTH = {"KEYS": [stored]}
    assert warning() is None


def test_a_table_or_column_that_is_not_there_is_no_problem(stored, monkeypatch):
    field = SMTPAccount._meta.get_field("password")
    monkeypatch.setattr(field, "column", "absent")
    assert warning() is None
    monkeypatch.setattr(SMTPAccount._meta, "db_table", "absent")
    assert warning() is None
    assert SMTPAccount not in {column.model for column in find_columns("default")}


def test_a_database_that_cant_be_asked_is_no_problem_of_this_check(stored):
    def refuse(*_):
        raise OperationalError("gone")

    with connection.execute_wrapper(refuse):
        assert warning() is None


def test_unreadable_sources_are_told_once(stored, settings):
    settings.SMTPAUTH = {"KEYS": ["env:SMTPAUTH_ABSENT"]}
    messages = found(databases=["default"])
    assert "smtpauth.E101" in messages
    assert "smtpauth.W103" not in messages


@pytest.mark.usefixtures("stored")
def test_the_warning_does_not_stop_migrations(capsys):
    call_command("migrate", verbosity=0)
    call_command("check", databases=["default"])
    assert "smtpauth.W103" in "".join(capsys.readouterr())
