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
from tests.secrets.stored import columns, make, revealed, sql

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealing_key")]


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
    account.port = "many"
    with pytest.raises(SecretUnreadable, match="something that is no destination") as error:
        account.password.reveal()
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
