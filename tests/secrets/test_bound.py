"""What a secret is bound to: its row, its column, the destination. Elsewhere it does not open."""

import copy
import json
from dataclasses import fields

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import transaction

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.secrets.errors import SecretUnreadable
from tests.secrets.stored import columns, make, revealed, sql

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealing_key")]


# The destination


CHANGES = [
    ("host", "evil.example"),
    ("port", 25),
    ("security", "none"),
    ("username", "v"),
    ("verify", False),
    ("ca_text", "PEM"),
    ("allow_auth_without_tls", True),
    ("tls_pin", "sha256/" + "A" * 43 + "="),
    ("proxy", "socks5://proxy.example:1080"),
    ("internal_host", True),
]


def test_each_part_of_the_destination_is_changed_here():
    assert {name for name, _ in CHANGES} == {field.name for field in fields(Destination)}


@pytest.mark.parametrize(("field", "value"), CHANGES)
class TestChangedDestination:
    """However the destination was changed, the secret does not open."""

    def unreadable(self, account):
        with pytest.raises(SecretUnreadable, match=r"stored for smtp\.example\.com:587"):
            account.password.reveal()

    def test_in_memory(self, account, field, value):
        setattr(account, field, value)
        self.unreadable(account)

    def test_by_save_which_never_seals_again(self, account, field, value):
        before = columns()
        setattr(account, field, value)
        account.save()
        assert columns() == before
        self.unreadable(SMTPAccount.objects.get())

    def test_by_save_of_that_field(self, account, field, value):
        setattr(account, field, value)
        account.save(update_fields=[field])
        self.unreadable(SMTPAccount.objects.get())

    def test_by_update(self, account, field, value):
        SMTPAccount.objects.update(**{field: value})
        self.unreadable(SMTPAccount.objects.get())

    def test_by_bulk_update(self, account, field, value):
        setattr(account, field, value)
        SMTPAccount.objects.bulk_update([account], [field, "password"])
        self.unreadable(SMTPAccount.objects.get())

    def test_by_sql(self, account, field, value):
        sql(f"UPDATE smtpauth_smtpaccount SET {field} = %s", value)
        self.unreadable(SMTPAccount.objects.get())

    def test_by_fixture(self, account, field, value, tmp_path):
        (row,) = json.loads(serializers.serialize("json", [account]))
        row["fields"][field] = value
        path = tmp_path / "accounts.json"
        path.write_text(json.dumps([row]))
        call_command("loaddata", path, verbosity=0)
        self.unreadable(SMTPAccount.objects.get())

    def test_with_the_secret_entered_again_it_opens(self, account, field, value):
        setattr(account, field, value)
        account.password = "hunter2"
        account.save()
        assert revealed() == "hunter2"

    def test_changed_back_it_opens(self, account, field, value):
        before = getattr(account, field)
        SMTPAccount.objects.update(**{field: value})
        SMTPAccount.objects.update(**{field: before})
        assert revealed() == "hunter2"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("smtp.example.com", "SMTP.Example.COM"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
    ],
)
def test_the_same_host_written_otherwise_is_the_same_destination(before, after):
    make(host=before).save()
    SMTPAccount.objects.update(host=after)
    assert revealed() == "hunter2"


def test_a_unix_socket_is_its_path_letter_by_letter():
    make(host="/run/Mail/smtp", security="none").save()
    assert revealed() == "hunter2"
    SMTPAccount.objects.update(host="/run/mail/smtp")
    with pytest.raises(SecretUnreadable, match=r"stored for /run/Mail/smtp, .* /run/mail/smtp"):
        revealed()


def test_a_host_without_an_a_label_is_sealed_as_it_is():
    make(host="☃\u200d.example").save()
    assert revealed() == "hunter2"


def test_line_ends_of_the_certificate_do_not_matter():
    make(ca_text="A\nB\n").save()
    SMTPAccount.objects.update(ca_text="A\r\nB")
    assert revealed() == "hunter2"


def test_fields_outside_the_destination_do_not_matter(account):
    SMTPAccount.objects.update(
        slug="x", scope="t", label="L", from_email="a@example.com", timeout=5, enabled=False
    )
    assert revealed("x") == "hunter2"


def test_values_of_another_type_are_canonical(account):
    make("text", port="587", verify="True", uuid="00000000-0000-4000-8000-00000000000A").save()
    assert revealed("text") == "hunter2"


# Other rows


def test_a_token_copied_by_sql_does_not_open_in_another_row(account):
    make("other", password="theirs").save()
    (mine, _theirs) = columns()
    sql("UPDATE smtpauth_smtpaccount SET password = %s WHERE slug = 'other'", mine)
    with pytest.raises(SecretUnreadable, match="another row"):
        revealed("other")


def test_a_token_copied_to_another_column_does_not_open(account):
    sql("UPDATE smtpauth_smtpaccount SET client_key = password")
    assert SMTPAccount.objects.get().client_key.problem().reason == "mismatch"
    SMTPAccount.objects.update(client_key=account.password)
    assert SMTPAccount.objects.get().client_key.problem().reason == "mismatch"
    assert revealed() == "hunter2"


def test_a_token_copied_by_update_does_not_open_in_another_row(account):
    make("other", password="theirs").save()
    SMTPAccount.objects.filter(slug="other").update(password=account.password)
    with pytest.raises(SecretUnreadable, match="another row"):
        revealed("other")


def test_another_rows_secret_is_not_assigned(account):
    other = make("other", password="theirs")
    other.save()
    with pytest.raises(TypeError, match=r"\.reveal\(\)"):
        other.password = account.password
    other.password = account.password.reveal()
    other.save()
    assert revealed("other") == "hunter2"


def test_a_row_made_of_another_rows_secret_is_empty(account):
    make("other", password=account.password).save()
    assert SMTPAccount.objects.get(slug="other").password is None


def test_ones_own_secret_can_be_assigned(account):
    account.password = account.password
    account.save()
    assert revealed() == "hunter2"


def saved_by_save(copied):
    copied.save()


def saved_by_bulk_create(copied):
    SMTPAccount.objects.bulk_create([copied])


def saved_by_force_insert(copied):
    copied.save(force_insert=True)


@pytest.mark.parametrize("save", [saved_by_save, saved_by_bulk_create, saved_by_force_insert])
@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("adding", [True, False])
class TestCopies:
    def copied(self, account, loaded, adding):
        original = SMTPAccount.objects.get() if loaded else account
        copied = copy.copy(original)
        copied.pk = None
        copied._state.adding = adding
        copied.slug = "copy"
        return copied

    def test_a_copy_has_a_new_uuid_and_no_secret(self, account, save, loaded, adding):
        save(self.copied(account, loaded, adding))
        original, copied = SMTPAccount.objects.order_by("pk")
        assert original.uuid != copied.uuid
        assert original.password.reveal() == "hunter2"
        assert copied.password is None
        assert columns()[1] is None

    def test_a_copy_takes_a_new_secret(self, account, save, loaded, adding):
        copied = self.copied(account, loaded, adding)
        copied.password = "other"
        save(copied)
        assert revealed("copy") == "other"
        assert revealed("club") == "hunter2"


def test_copies_of_a_copy(account):
    for slug in ("two", "three"):
        account.pk, account.slug = None, slug
        account.save()
    assert len(set(SMTPAccount.objects.values_list("uuid", flat=True))) == 3


def test_a_copy_passes_validation(account):
    account.pk, account.slug = None, "copy"
    account.full_clean()
    account.save()
    assert SMTPAccount.objects.get(slug="copy").password is None


def test_a_row_that_was_rolled_back_and_is_saved_again_keeps_its_secret():
    account = make()
    with transaction.atomic():
        account.save()
        transaction.set_rollback(True)
    assert columns() == []
    account.save()
    assert revealed() == "hunter2"
