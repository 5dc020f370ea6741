"""What the first schema holds is there after the last migration, and its secrets open."""

import uuid

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.secrets.secret import FreshSecret
from django_smtpauth.secrets.token import SealingContext

FIRST = ("smtpauth", "0001_initial")


@pytest.fixture
def first_schema(transactional_db):
    """The models of the first migration; the tables are those of the last one afterwards."""
    MigrationExecutor(connection).migrate([FIRST])
    yield MigrationExecutor(connection).loader.project_state([FIRST]).apps
    migrate_to_the_newest()


def migrate_to_the_newest():
    executor = MigrationExecutor(connection)
    executor.migrate([key for key in executor.loader.graph.leaf_nodes() if key[0] == "smtpauth"])


def test_accounts_of_the_first_schema_keep_their_secrets(first_schema, settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    old = first_schema.get_model("smtpauth", "SMTPAccount")
    row = uuid.uuid4()
    destination = Destination("smtp.example.com", 465, "implicit_tls", "club", verify=False)
    context = SealingContext(str(row), destination.binding(), str(destination))
    token = FreshSecret("Geheim-42-Wort").seal("smtp account password", context)
    fields = {"port": 465, "security": "implicit_tls", "username": "club", "verify": False}
    old.objects.create(
        uuid=row, slug="club", host="smtp.example.com", password=token, timeout=9, **fields
    )
    old.objects.create(slug="plain", host="relay.example.com", scope="shop", timeout=0.2)
    # Where the column itself takes no negative number, 0 is the least.
    old.objects.create(slug="senseless", host="relay.example.com", scope="shop", port=0)

    migrate_to_the_newest()

    club, plain, senseless = SMTPAccount.objects.all()
    assert club.password.reveal() == "Geheim-42-Wort"
    assert (club.authentication, club.internal_host, club.tls_pin) == ("password", False, "")
    assert (plain.scope, plain.password, plain.client_key) == ("shop", None, None)
    assert (club.timeout, plain.timeout, senseless.port) == (9, None, 587)
    for account in (club, plain, senseless):
        account.full_clean()
        account.save()
    assert SMTPAccount.objects.get(slug="club").password.reveal() == "Geheim-42-Wort"


def test_every_migration_can_be_taken_back(first_schema):
    migrate_to_the_newest()
    MigrationExecutor(connection).migrate([("smtpauth", None)])
    assert "smtpauth_smtpaccount" not in connection.introspection.table_names()
