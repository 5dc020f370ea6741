"""The encrypted field, in the one model that has it."""

import copy
import json
import pickle

import pytest
from django import forms
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models import F, Value
from django.db.models.functions import Concat, Upper
from django.forms import model_to_dict, modelform_factory

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.errors import NoSealingKey, SecretUnreadable
from django_smtpauth.secrets.fields import EncryptedTextField
from django_smtpauth.secrets.secret import FreshSecret, Secret, StoredSecret
from django_smtpauth.secrets.token import SealedToken

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealing_key")]


def make(slug="club", **fields):
    return SMTPAccount(
        **{"slug": slug, "host": "smtp.example.com", "username": "u", "password": "hunter2"}
        | fields
    )


@pytest.fixture
def account():
    saved = make()
    saved.save()
    return saved


def columns():
    """The stored column of each row, by SQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM smtpauth_smtpaccount ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def revealed(slug="club"):
    return SMTPAccount.objects.get(slug=slug).password.reveal()


# Saving and reading


def test_the_column_holds_a_token_and_the_attribute_a_secret(account):
    (column,) = columns()
    assert column.startswith("sa1.")
    assert "hunter2" not in column
    assert isinstance(account.password, StoredSecret)
    assert account.password.reveal() == "hunter2"
    assert revealed() == "hunter2"


def test_before_it_is_saved_the_attribute_is_a_secret_too():
    account = make()
    assert isinstance(account.password, FreshSecret)
    assert account.password.reveal() == "hunter2"
    assert columns() == []


def test_saving_unchanged_keeps_the_token(account):
    before = columns()
    account.label = "Club"
    account.save()
    SMTPAccount.objects.get().save()
    assert columns() == before
    assert revealed() == "hunter2"


@pytest.mark.parametrize("empty", ["", None])
def test_nothing_is_stored_as_null(empty):
    make(password=empty).save()
    assert columns() == [None]
    assert SMTPAccount.objects.get().password is None


def test_an_empty_column_is_no_secret(account):
    sql("UPDATE smtpauth_smtpaccount SET password = ''")
    assert SMTPAccount.objects.get().password is None


def test_a_secret_is_replaced_and_removed(account):
    account.password = "other"
    account.save()
    assert revealed() == "other"
    account.password = None
    account.save()
    assert columns() == [None]


def test_pre_save_twice_seals_once(account):
    account.password = "other"
    field = SMTPAccount._meta.get_field("password")
    first = field.get_db_prep_save(field.pre_save(account, False), connection)
    second = field.get_db_prep_save(field.pre_save(account, False), connection)
    assert first == second


def test_a_text_that_looks_like_a_token_is_plaintext(account):
    (token,) = columns()
    account.password = token
    account.save()
    assert revealed() == token
    assert columns() != [token]


def test_an_expression_is_refused_on_assignment(account):
    with pytest.raises(TypeError, match="unencrypted"):
        account.password = F("username")
    with pytest.raises(TypeError, match="not int"):
        account.password = 5
    with pytest.raises(TypeError, match="not bytes"):
        make(password=b"hunter2")


MASKS = ["********", "*", " *** ", "••••••••", "●●●", "*•*"]


@pytest.mark.parametrize("stars", MASKS)
def test_stars_are_no_secret(account, stars):
    before = columns()
    for value in (stars, FreshSecret(stars)):
        with pytest.raises(ValueError, match="stars that stand for a hidden secret"):
            account.password = value
        with pytest.raises(ValueError, match=r"SMTPAccount\.password"):
            make("other", password=value)
    with pytest.raises(ValueError, match="stars"):
        SMTPAccount.objects.update_or_create(slug="club", defaults={"password": stars})
    assert account.password.reveal() == "hunter2"
    account.save()
    assert columns() == before
    assert revealed() == "hunter2"


def test_what_a_secret_shows_is_no_secret(account):
    with pytest.raises(ValueError, match="stars"):
        account.password = str(account.password)


@pytest.mark.parametrize("text", ["***x", "**** ****a", "-", "x*"])
def test_stars_in_a_secret_are_allowed(account, text):
    account.password = text
    account.save()
    assert revealed() == text


def test_without_a_key_nothing_is_stored(settings):
    settings.SMTPAUTH = {}
    with pytest.raises(NoSealingKey), transaction.atomic():
        make().save()
    assert columns() == []
    make(password=None).save()


def test_a_failed_save_keeps_the_secret_fresh(account):
    second = make()
    with pytest.raises(IntegrityError), transaction.atomic():
        second.save()
    second.slug, second.host = "second", "other.example.com"
    second.save()
    assert revealed("second") == "hunter2"


def test_update_fields_seals(account):
    account.password = "other"
    account.save(update_fields=["label"])
    assert revealed() == "hunter2"
    account.save(update_fields=["password"])
    assert revealed() == "other"


def test_create_get_or_create_and_update_or_create():
    SMTPAccount.objects.create(slug="a", host="a.example", password="one")
    SMTPAccount.objects.get_or_create(slug="b", defaults={"host": "b", "password": "two"})
    SMTPAccount.objects.update_or_create(slug="b", defaults={"password": "three"})
    SMTPAccount.objects.update_or_create(slug="b", defaults={"host": "c", "password": "four"})
    assert revealed("a") == "one"
    assert revealed("b") == "four"


def test_bulk_create_seals():
    created = SMTPAccount.objects.bulk_create([make("a"), make("b", password="other")])
    assert all(column.startswith("sa1.") for column in columns())
    assert (revealed("a"), revealed("b")) == ("hunter2", "other")
    assert isinstance(created[0].password, StoredSecret)


# The destination


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "evil.example"),
        ("port", 25),
        ("security", "none"),
        ("username", "v"),
        ("verify", False),
        ("ca_text", "PEM"),
        ("allow_auth_without_tls", True),
    ],
)
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


# Queries


def test_a_query_never_fails_on_a_damaged_row(account):
    sql("UPDATE smtpauth_smtpaccount SET password = 'garbage'")
    (loaded,) = SMTPAccount.objects.all()
    with pytest.raises(SecretUnreadable):
        loaded.password.reveal()


def test_values_give_tokens(account):
    (from_values,) = SMTPAccount.objects.values("password")
    (from_list,) = SMTPAccount.objects.values_list("password", flat=True)
    assert isinstance(from_list, SealedToken)
    assert from_values["password"] == from_list == account.password.token


def test_only_and_defer_load_it_when_asked(account, django_assert_num_queries):
    with django_assert_num_queries(1):
        loaded = SMTPAccount.objects.defer("password").get()
    assert "password" in loaded.get_deferred_fields()
    with django_assert_num_queries(1):
        assert loaded.password.reveal() == "hunter2"
    assert SMTPAccount.objects.only("slug").get().password.reveal() == "hunter2"
    assert SMTPAccount.objects.only("password").get().password.reveal() == "hunter2"


def test_saving_a_deferred_row_leaves_the_secret(account):
    for loaded in (
        SMTPAccount.objects.defer("password").get(),
        SMTPAccount.objects.only("id").get(),
    ):
        loaded.label = "new"
        loaded.save()
    assert revealed() == "hunter2"


def test_a_deferred_row_takes_a_secret(account):
    loaded = SMTPAccount.objects.only("slug").get()
    loaded.password = "other"
    loaded.save()
    assert revealed() == "other"


def test_refresh_from_db(account):
    SMTPAccount.objects.update(label="new")
    account.refresh_from_db()
    assert account.password.reveal() == "hunter2"
    account.password = "typed"
    account.refresh_from_db(fields=["password"])
    assert account.password.reveal() == "hunter2"


@pytest.mark.parametrize(
    "lookup",
    [
        {"password": "hunter2"},
        {"password": None},
        {"password__in": ["hunter2"]},
        {"password__startswith": "sa1."},
        {"password__length": 5},
        {"password__upper__contains": "A"},
    ],
)
def test_lookups_are_refused(account, lookup):
    with pytest.raises(FieldError, match="the only lookup is isnull"):
        SMTPAccount.objects.filter(**lookup)
    with pytest.raises(FieldError, match="the only lookup is isnull"):
        SMTPAccount.objects.exclude(**lookup)


def test_isnull_is_the_only_lookup(account):
    make("other", password=None).save()
    assert [row.slug for row in SMTPAccount.objects.filter(password__isnull=True)] == ["other"]
    assert [row.slug for row in SMTPAccount.objects.exclude(password__isnull=True)] == ["club"]


# Writing past save()


@pytest.mark.parametrize(
    "value",
    [
        "hunter3",
        "",
        FreshSecret("hunter3"),
        F("username"),
        F("password"),
        Value("hunter3"),
        Upper(Value("hunter3")),
        Concat("username", Value("hunter3")),
    ],
    ids=repr,
)
def test_update_takes_no_plaintext(account, value):
    before = columns()
    with pytest.raises(TypeError) as error, transaction.atomic():
        SMTPAccount.objects.update(password=value)
    assert "hunter3" not in str(error.value)
    assert columns() == before


def test_update_with_a_looked_up_token_text_is_refused(account):
    with pytest.raises(TypeError, match="call save"), transaction.atomic():
        SMTPAccount.objects.update(password=columns()[0])


def test_update_removes_and_restores(account):
    token = account.password.token
    SMTPAccount.objects.update(password=None)
    assert columns() == [None]
    SMTPAccount.objects.update(password=token)
    assert revealed() == "hunter2"


def test_bulk_update_takes_no_plaintext(account):
    account.password = "other"
    with pytest.raises(TypeError, match="call save"), transaction.atomic():
        SMTPAccount.objects.bulk_update([account], ["password"])
    assert revealed() == "hunter2"


def test_bulk_update_keeps_tokens(account):
    make("none", password=None).save()
    SMTPAccount.objects.bulk_update(SMTPAccount.objects.all(), ["password", "label"])
    assert revealed() == "hunter2"
    assert columns()[1] is None


# Fixtures, pickles, forms


def dumped(account, form):
    return serializers.serialize(form, [account])


@pytest.mark.parametrize("form", ["json", "jsonl", "python", "xml"])
def test_a_fixture_carries_the_token_and_fits_the_same_row(account, form):
    fixture = dumped(account, form)
    assert "hunter2" not in str(fixture)
    assert columns()[0] in str(fixture)
    SMTPAccount.objects.all().delete()
    for row in serializers.deserialize(form, fixture):
        row.save()
    assert revealed() == "hunter2"


def test_a_deserialised_row_may_be_saved_the_usual_way(account):
    fixture = dumped(account, "json")
    SMTPAccount.objects.all().delete()
    (row,) = serializers.deserialize("json", fixture)
    row.object.save()
    assert revealed() == "hunter2"


def test_a_fixture_of_no_secret():
    make(password=None).save()
    fixture = dumped(SMTPAccount.objects.get(), "json")
    for row in serializers.deserialize("json", fixture):
        row.save()
    assert columns() == [None]


def test_a_fixture_does_not_fit_another_row(account):
    (row,) = json.loads(dumped(account, "json"))
    row["pk"] = None
    row["fields"] |= {"uuid": "00000000-0000-4000-8000-000000000001", "slug": "copy"}
    for loaded in serializers.deserialize("json", json.dumps([row])):
        loaded.save()
    with pytest.raises(SecretUnreadable, match="another row"):
        revealed("copy")


def test_a_fixture_with_plaintext_fails_without_quoting_it(account, tmp_path):
    (row,) = json.loads(dumped(account, "json"))
    row["fields"]["password"] = "hunter3"
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps([row]))
    with pytest.raises(TypeError, match="fixtures") as error:
        call_command("loaddata", path, verbosity=0)
    assert "hunter3" not in str(error.value)
    assert revealed() == "hunter2"


def test_a_fresh_secret_is_not_dumped():
    with pytest.raises(TypeError):
        dumped(make(), "json")


def test_a_stored_row_pickles_and_an_unsaved_secret_does_not(account):
    pickled = pickle.dumps(SMTPAccount.objects.get())
    assert b"hunter2" not in pickled
    assert pickle.loads(pickled).password.reveal() == "hunter2"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(make())


def test_copies_in_memory(account):
    assert copy.copy(account).password.reveal() == "hunter2"
    assert copy.deepcopy(account).password.reveal() == "hunter2"
    assert copy.deepcopy(make()).password.reveal() == "hunter2"


def test_model_to_dict_and_repr_show_nothing(account):
    for shown in (model_to_dict(account), model_to_dict(make()), vars(account), vars(make())):
        assert "hunter2" not in repr(shown)


def test_full_clean_keeps_the_secret(account):
    for subject in (account, SMTPAccount.objects.get(), make("other")):
        subject.full_clean()
        assert subject.password.reveal() == "hunter2"


class TestAnyModelForm:
    """A form that knows nothing of secrets is write-only too."""

    fields = ("slug", "host", "password")

    def form(self, account, **data):
        form_class = modelform_factory(SMTPAccount, fields=self.fields)
        posted = {"slug": account.slug, "host": account.host, **data}
        return form_class(posted if data else None, instance=account)

    def test_it_shows_nothing(self, account):
        (token,) = columns()
        for html in (
            self.form(account).as_p(),
            self.form(account, password="typed", slug="").as_p(),
        ):
            assert "hunter2" not in html
            assert "typed" not in html
            assert token not in html
            assert 'autocomplete="new-password"' in html

    def test_blank_keeps(self, account):
        self.form(account, password="").save()
        assert revealed() == "hunter2"

    def test_omitted_keeps(self, account):
        self.form(account, slug="club").save()
        assert revealed() == "hunter2"

    def test_a_text_replaces(self, account):
        self.form(account, password=" typed ").save()
        assert revealed() == " typed "

    def test_the_box_removes(self, account):
        form = self.form(account, **{"password": "", "password-clear": "on"})
        assert form.changed_data == ["password"]
        form.save()
        assert columns() == [None]

    def test_both_contradict(self, account):
        form = self.form(account, **{"password": "typed", "password-clear": "on"})
        assert "not both" in form.errors["password"][0]

    @pytest.mark.parametrize("stars", MASKS)
    def test_stars_are_refused_and_what_is_stored_stays(self, account, stars):
        form = self.form(account, password=stars)
        assert form.errors.as_data()["password"][0].code == "redaction"
        assert "stand for a secret" in form.errors["password"][0]
        account.save()
        assert revealed() == "hunter2"

    def test_a_pasted_token_is_plaintext(self, account):
        (token,) = columns()
        self.form(account, password=token).save()
        assert revealed() == token

    def test_a_widget_from_outside_does_not_show_it(self, account):
        field = SMTPAccount._meta.get_field("password")
        formfield = field.formfield(widget=forms.Textarea)
        assert "typed" not in formfield.widget.render("password", "typed")


def test_a_copy_of_a_row_elsewhere_keeps_the_token_and_opens_nothing(account):
    """As the state of a migration has it, or a history's table."""
    state = MigrationLoader(connection).project_state(("smtpauth", "0001_initial"))
    historical = state.apps.get_model("smtpauth", "SMTPAccount").objects.get()
    with pytest.raises(SecretUnreadable, match="whose rows are copies"):
        historical.password.reveal()
    restored = SMTPAccount(uuid=historical.uuid, slug="club", password=historical.password)
    assert restored.password.token == account.password.token


def test_a_row_that_holds_no_destination_is_unreadable(account):
    sql("UPDATE smtpauth_smtpaccount SET port = 'many'")
    with pytest.raises(SecretUnreadable, match="something that is no destination") as error:
        revealed()
    assert error.value.reason == "mismatch"


def test_migrations_describe_the_field():
    field = SMTPAccount._meta.get_field("password")
    _name, path, args, kwargs = field.deconstruct()
    assert path == "django_smtpauth.secrets.fields.EncryptedTextField"
    assert "null" not in kwargs
    again = EncryptedTextField(*args, **kwargs)
    assert again.deconstruct()[1:] == field.deconstruct()[1:]
    assert field.clone().purpose == "smtp account password"


def test_a_migrations_model_keeps_the_token_of_a_row_it_saves(account):
    state = MigrationLoader(connection).project_state(("smtpauth", "0001_initial"))
    historical = state.apps.get_model("smtpauth", "SMTPAccount").objects.get()
    historical.label = "changed"
    historical.save()
    assert SMTPAccount.objects.get().label == "changed"
    assert revealed() == "hunter2"


def test_the_class_gives_the_descriptor():
    assert SMTPAccount.password.field.name == "password"
    assert issubclass(StoredSecret, Secret)
