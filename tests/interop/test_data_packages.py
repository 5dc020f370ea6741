"""Packages that read, write, export or keep rows: what they do with a sealed secret.

None of them knows of it. They see a text field whose value prints as stars.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from tests.requirements import require_package
from tests.site_process import Site

STARS, SECRET = "********", "hunter2-and-more"


@pytest.fixture
def account(db: None, settings: Any) -> SMTPAccount:
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    return SMTPAccount.objects.create(slug="club", host="smtp.example.com", password=SECRET)


def stored() -> SMTPAccount:
    return SMTPAccount.objects.get(slug="club")


def revealed(account: SMTPAccount) -> str:
    assert account.password is not None
    return account.password.reveal()


def token() -> str:
    """The column, by SQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM smtpauth_smtpaccount ORDER BY id")
        text: str = cursor.fetchone()[0]
        return text


def shows_nothing(shown: object) -> bool:
    text = str(shown) + repr(shown)
    return SECRET not in text and token() not in text


# --- djangorestframework


@pytest.fixture
def serializer_class(account: SMTPAccount) -> Any:
    serializers = require_package("rest_framework.serializers")

    class Serializer(serializers.ModelSerializer):  # type: ignore[misc, name-defined]
        class Meta:
            model = SMTPAccount
            fields = ["slug", "host", "password"]

    return Serializer


def test_rest_framework_reads_stars(serializer_class: Any) -> None:
    serializer = serializer_class(stored())
    assert serializer.data["password"] == STARS
    renderers = require_package("rest_framework.renderers")
    assert shows_nothing(renderers.JSONRenderer().render(serializer.data))
    assert shows_nothing(serializer)


def test_rest_framework_writes_a_new_secret(serializer_class: Any) -> None:
    before = token()
    serializer = serializer_class(stored(), data={"password": "typed"}, partial=True)
    assert serializer.is_valid()
    serializer.save()
    assert serializer.data["password"] == STARS
    assert revealed(stored()) == "typed"
    assert token() != before


def test_rest_framework_creates_a_row(serializer_class: Any) -> None:
    serializer = serializer_class(data={"slug": "new", "host": "h.example", "password": "typed"})
    assert serializer.is_valid()
    assert revealed(serializer.save()) == "typed"


def test_rest_framework_gets_no_stars_back(serializer_class: Any) -> None:
    """What a client does that reads a row, changes a field and puts all of it back."""
    data = {**serializer_class(stored()).data, "slug": "renamed"}
    before = token()
    serializer = serializer_class(stored(), data=data)
    assert not serializer.is_valid()
    (error,) = serializer.errors["password"]
    assert error.code == "redaction"
    assert token() == before
    del data["password"]
    serializer = serializer_class(stored(), data=data)
    assert serializer.is_valid()
    serializer.save()
    assert revealed(SMTPAccount.objects.get(slug="renamed")) == SECRET


def test_rest_framework_opens_nothing_after_a_changed_host(serializer_class: Any) -> None:
    serializer = serializer_class(stored(), data={"host": "evil.example"}, partial=True)
    assert serializer.is_valid()
    serializer.save()
    password: Any = stored().password
    assert password.problem().reason == "mismatch"


def test_rest_framework_clears(serializer_class: Any) -> None:
    serializer = serializer_class(stored(), data={"password": ""}, partial=True)
    assert serializer.is_valid()
    serializer.save()
    assert stored().password is None


# --- django-import-export


@pytest.fixture
def resource(account: SMTPAccount) -> Any:
    resources = require_package("import_export.resources")

    class Resource(resources.ModelResource):  # type: ignore[misc, name-defined]
        class Meta:
            model = SMTPAccount
            fields = ("id", "slug", "host", "password")

    return Resource()


def test_import_export_exports_stars(resource: Any) -> None:
    data = resource.export()
    assert data["password"] == [STARS]
    for form in ("csv", "json", "html"):
        assert shows_nothing(data.export(form))


def changed(data: Any, **values: str) -> Any:
    """The exported rows with other values in them, as a table program writes them."""
    tablib = require_package("tablib")
    rows = [{**row, **values} for row in data.dict]
    return tablib.Dataset(*[list(row.values()) for row in rows], headers=data.headers)


def test_import_export_refuses_stars_and_loses_nothing(resource: Any) -> None:
    before = token()
    result = resource.import_data(changed(resource.export(), host="other.example.com"))
    (row,) = result.invalid_rows
    assert "stars that stand for a hidden secret" in str(row.error.message_dict["password"])
    assert token() == before
    assert stored().host == "smtp.example.com"


def test_import_export_without_the_column_keeps_the_secret(resource: Any) -> None:
    data = resource.export()
    del data["password"]
    result = resource.import_data(changed(data, slug="renamed"))
    assert not result.has_errors()
    assert not result.has_validation_errors()
    assert revealed(SMTPAccount.objects.get(slug="renamed")) == SECRET


def test_import_export_writes_a_new_secret_and_shows_it_nowhere(resource: Any) -> None:
    typed = "typed-in-a-table"
    result = resource.import_data(changed(resource.export(), password=typed))
    assert not result.has_errors()
    assert not result.has_validation_errors()
    assert revealed(stored()) == typed
    (row,) = result.rows
    assert typed not in repr(row.diff)
    assert typed not in token()


def test_import_export_makes_no_use_of_a_ciphertext(resource: Any) -> None:
    """A token that somebody read in the database and put into the table is a text like any."""
    stolen = token()
    result = resource.import_data(
        changed(resource.export(), id="", slug="copy", host="evil.example", password=stolen)
    )
    assert not result.has_validation_errors()
    assert revealed(SMTPAccount.objects.get(slug="copy")) == stolen


# --- django-simple-history and django-reversion, in a process of their own: they attach
# --- themselves to the model for good.

OLD, NEW = generate_key(), generate_key()

HISTORY = f"""
SECRET = {SECRET!r}
import reversion
from reversion.models import Version
from django_smtpauth.secrets.errors import SecretUnreadable

def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchall())

def save(account, **fields):
    with reversion.create_revision():
        for name, value in fields.items():
            setattr(account, name, value)
        account.save()

def stored():
    return SMTPAccount.objects.get(slug="club")

def fails(secret):
    try:
        secret.reveal()
    except SecretUnreadable as error:
        return error.reason
"""

MADE = (
    HISTORY
    + """
reversion.register(SMTPAccount)
account = SMTPAccount(slug="club", host="smtp.example.com")
save(account, password=SECRET)
save(account, password="second secret")
save(account, host="other.example.com", password="third secret")
"""
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for package in ("simple_history", "reversion"):
        require_package(package)
    made = Site(tmp_path, "tests.interop.histories.settings")
    made.run('call_command("migrate", verbosity=0, run_syncdb=True)', OLD)
    return made


def check(site: Site, code: str, sources: str = OLD) -> None:
    """Runs code with the history of one account: three passwords at two servers."""
    site.run(MADE, OLD)
    site.run(HISTORY + "reversion.register(SMTPAccount)\n" + code, sources)


def test_simple_history_keeps_tokens(site: Site) -> None:
    check(
        site,
        """
table = sql("SELECT * FROM histories_historicalsmtpaccount")
assert table.count("sa1.") == 3
assert SECRET not in table and "second secret" not in table
newest, middle, oldest = stored().history.all()
for record in (newest, middle, oldest):
    assert fails(record.password) == "mismatch"
    assert SECRET not in repr(vars(record)) + str(record.password)
changes = newest.diff_against(middle).changes
assert sorted(change.field for change in changes) == ["host", "password"]
assert "secret" not in repr(changes).lower().replace("<secret>", "").replace("storedsecret", "")
""",
    )


def test_simple_history_restores_what_opens_only_there(site: Site) -> None:
    check(
        site,
        """
newest, middle, oldest = stored().history.all()
oldest.instance.save()
assert stored().host == "smtp.example.com"
assert stored().password.reveal() == SECRET
# The old secret does not go to the new server, nor to another row.
SMTPAccount.objects.update(host="other.example.com")
assert fails(stored().password) == "mismatch"
other = SMTPAccount(slug="other", host="smtp.example.com", password=oldest.password)
assert other.password is None
""",
    )


def test_simple_history_is_rotated_too(site: Site) -> None:
    check(site, "")
    site.manage("smtpkeys", "rotate", sources=f"{NEW} {OLD}")
    printed = site.manage("smtpkeys", "verify", sources=NEW)
    assert "histories_historicalsmtpaccount.password: 3 open, 0 do not." in printed
    site.run(
        HISTORY
        + """
oldest = stored().history.last()
assert oldest.instance.password.reveal() == SECRET
assert stored().history.count() == 3
""",
        NEW,
    )


def test_reversion_keeps_tokens(site: Site) -> None:
    check(
        site,
        """
versions = Version.objects.get_for_object(stored())
assert versions.count() == 3
table = sql("SELECT serialized_data FROM reversion_version")
assert table.count("sa1.") == 3
assert SECRET not in table and "second secret" not in table
assert all(SECRET not in repr(version.field_dict) for version in versions)
""",
    )


def test_reversion_restores_what_opens_only_there(site: Site) -> None:
    check(
        site,
        """
oldest = Version.objects.get_for_object(stored()).last()
oldest.revision.revert()
assert stored().host == "smtp.example.com"
assert stored().password.reveal() == SECRET
SMTPAccount.objects.update(host="other.example.com")
assert fails(stored().password) == "mismatch"
# In another row:
other = SMTPAccount(slug="other", host="smtp.example.com")
other.save()
SMTPAccount.objects.filter(slug="other").update(password=stored().password)
assert fails(SMTPAccount.objects.get(slug="other").password) == "mismatch"
""",
    )


def test_reversion_restores_a_deleted_row(site: Site) -> None:
    check(
        site,
        """
stored().delete()
Version.objects.get_deleted(SMTPAccount).last().revert()
assert stored().password.reveal() in (SECRET, "third secret")
""",
    )


def test_reversion_s_versions_need_the_key_they_were_made_with(site: Site) -> None:
    """They are texts in another table: no rotation reaches them."""
    check(site, "")
    site.manage("smtpkeys", "rotate", sources=f"{NEW} {OLD}")
    site.run(
        HISTORY
        + """
reversion.register(SMTPAccount)
Version.objects.get_for_object(stored()).last().revision.revert()
assert fails(stored().password) == "unknown_key"
""",
        NEW,
    )
