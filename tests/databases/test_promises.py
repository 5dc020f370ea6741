"""What the database itself promises of accounts, also to SQL and `update()`."""

import uuid

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, models, transaction

from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.accounts import load_accounts

pytestmark = pytest.mark.django_db

TABLE = SMTPAccount._meta.db_table


@pytest.fixture(autouse=True)
def keys(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}


def create(slug="club", **fields):
    return SMTPAccount.objects.create(**{"slug": slug, "host": "smtp.example.com"} | fields)


def by_update(account, values):
    SMTPAccount.objects.filter(pk=account.pk).update(**values)


def by_sql(account, values):
    """As somebody in the database's own shell does it; no field prepares or checks a value."""
    quote = connection.ops.quote_name
    columns = ", ".join(f"{quote(name)} = %s" for name in values)
    sql = f"UPDATE {quote(TABLE)} SET {columns} WHERE {quote('id')} = %s"
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values.values(), account.pk])


ways = pytest.mark.parametrize("write", [by_update, by_sql])


# Conditions

#: Constraint -> values that it refuses, and values at its edge that it takes.
CONDITIONS = {
    "smtpauth_account_names": (
        [{"slug": ""}, {"host": ""}],
        [{"slug": "c"}, {"host": "x"}],
    ),
    "smtpauth_account_port": (
        [{"port": 0}, {"port": 65536}],
        [{"port": 1}, {"port": 65535}],
    ),
    "smtpauth_account_timeout": (
        [{"timeout": 0}, {"timeout": 0.99}, {"timeout": 3600.5}, {"timeout": -1}],
        [{"timeout": 1}, {"timeout": 3600}, {"timeout": None}],
    ),
    "smtpauth_account_certificate": (
        [{"authentication": "certificate", "security": "none"}],
        [
            {"authentication": "certificate", "security": "starttls"},
            {"authentication": "password", "security": "none"},
        ],
    ),
}


def constraints():
    with connection.cursor() as cursor:
        return connection.introspection.get_constraints(cursor, TABLE)


def test_every_condition_is_in_the_database_and_tested_here():
    conditions = {
        constraint.name
        for constraint in SMTPAccount._meta.constraints
        if isinstance(constraint, models.CheckConstraint)
    }
    assert conditions == CONDITIONS.keys()
    assert conditions <= {name for name, found in constraints().items() if found["check"]}


@ways
@pytest.mark.parametrize(
    ("name", "values"),
    [(name, values) for name, (refused, _) in CONDITIONS.items() for values in refused],
)
def test_a_condition_holds(name, values, write):
    account = create()
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        write(account, values)


@ways
@pytest.mark.parametrize("values", [one for _, taken in CONDITIONS.values() for one in taken])
def test_a_condition_refuses_no_more_than_it_says(values, write):
    account = create()
    write(account, values)
    found = SMTPAccount.objects.filter(pk=account.pk).values(*values).get()
    assert found == values


@ways
@pytest.mark.parametrize("value", [-1, None], ids=["negative", "null"])
def test_a_port_is_a_number_of_a_port(value, write):
    account = create()
    with pytest.raises(DatabaseError), transaction.atomic():
        write(account, {"port": value})


@ways
@pytest.mark.parametrize("column", ["slug", "host", "security", "verify", "uuid", "enabled"])
def test_what_an_account_needs_is_never_null(column, write):
    account = create()
    with pytest.raises(IntegrityError), transaction.atomic():
        write(account, {column: None})


# Uniqueness


@ways
@pytest.mark.parametrize("names", [["uuid"], ["default_slot"], ["sender_slot"], ["scope", "slug"]])
def test_what_is_unique_can_not_be_had_twice(names, write):
    flags = {"is_default": True, "select_by_from": True, "from_email": "a@example.com"}
    one, two = create("one", scope="shop", **flags), create("two")
    taken = {name: getattr(one, name) for name in names}
    if write is by_sql and "uuid" in taken:
        taken["uuid"] = SMTPAccount._meta.get_field("uuid").get_db_prep_value(one.uuid, connection)
    with pytest.raises(IntegrityError), transaction.atomic():
        write(two, taken)


def test_an_account_has_one_health():
    account = create()
    SMTPAccountHealth.objects.create(account=account)
    with pytest.raises(IntegrityError), transaction.atomic():
        SMTPAccountHealth.objects.bulk_create([SMTPAccountHealth(account=account)])


def test_any_number_of_accounts_are_no_default():
    for number in range(3):
        create(f"account-{number}")
    assert SMTPAccount.objects.filter(default_slot__isnull=True).count() == 3


@transaction.atomic
def create_health_at_once(pk):
    SMTPAccountHealth.objects.create(account_id=pk)
    connection.check_constraints()


def test_a_health_belongs_to_an_account():
    nobody = create().pk + 1
    with pytest.raises(IntegrityError):
        create_health_at_once(nobody)


# Names, which MySQL and MariaDB would compare without case and accents


@pytest.mark.parametrize("other", ["Cafe", "café", "CAFE", "cafe\u0301"])
def test_a_scope_is_itself_alone(other):
    ours = create(scope="cafe", is_default=True)
    theirs = create(scope=other, is_default=True)
    for account in (ours, theirs):
        assert [found.uuid for found in load_accounts("default", account.scope)] == [account.uuid]
        assert SMTPAccount.objects.default(account.scope) == account
        assert SMTPAccount.objects.in_scope(account.scope).count() == 1


def test_a_short_name_is_itself_alone():
    small, large = create("club"), create("Club")
    assert SMTPAccount.objects.get(slug="club") == small
    assert SMTPAccount.objects.get(slug="Club") == large
    twin = SMTPAccount(slug="CLUB", host="smtp.example.com")
    twin.full_clean()
    twin.slug = "club"
    with pytest.raises(ValidationError, match="this short name"):
        twin.full_clean()


# Texts


def test_texts_come_back_as_they_were():
    texts = {"label": "Grüße ☃ 🦆", "notes": "a\r\nb\n" * 5000, "from_name": 'O\'Brien %s \\ "x"'}
    account = create(password="Geheim 🔑", client_key="K" * 9000, username="u", **texts)
    found = SMTPAccount.objects.get()
    assert {name: getattr(found, name) for name in texts} == texts
    assert (found.password.reveal(), found.client_key.reveal()) == ("Geheim 🔑", "K" * 9000)
    assert found.uuid == account.uuid
    assert isinstance(found.uuid, uuid.UUID)
    assert found.created_at == account.created_at
