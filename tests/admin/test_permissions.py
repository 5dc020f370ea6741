"""What somebody with fewer permissions tries: to learn a secret, or to lead one elsewhere."""

import json

import pytest
from django.contrib import admin
from django.core import serializers
from django.urls import reverse

from django_smtpauth.admin import SMTPAccountAdmin
from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from tests.admin.pages import ADD, DESTINATION, LIST, SECRET, errors, leaked, posted, url

pytestmark = pytest.mark.django_db

VIEW, CHANGE, ADDING, DELETE = (
    f"{action}_smtpaccount" for action in ("view", "change", "add", "delete")
)
SECRETS = "change_secret_smtpaccount"
INTERNAL = "use_internal_host"
TEST = "test_smtpaccount"
ACTIONS = {"enable": {"enabled": False}, "disable": {"enabled": True}}
REDIRECTIONS = {**DESTINATION, "preset": "gmail"}
# That has a permission of its own.
del REDIRECTIONS["internal_host"]


def stored():
    return SMTPAccount.objects.get(slug="club")


# Secrets


def test_without_the_permission_the_inputs_are_absent(staff, account):
    page = staff(CHANGE).get(url(account)).content.decode()
    assert "Stored." in page
    for name in ("password", "client_key"):
        assert f'name="{name}"' not in page
        assert f"{name}-clear" not in page
    page = staff(CHANGE, SECRETS).get(url(account)).content.decode()
    assert 'name="password"' in page
    assert 'name="client_key"' in page


@pytest.mark.parametrize(
    "tampered",
    [
        {"password": "new"},
        {"password-clear": "on"},
        {"client_key": "new"},
        {"secret_changed_by": "nobody", "uuid": "0" * 32, "id": "7"},
    ],
)
def test_without_the_permission_what_is_sent_all_the_same_is_ignored(staff, account, tampered):
    before = stored()
    response = staff(CHANGE).post(url(account), posted(label="Renamed", **tampered))
    assert response.status_code == 302
    after = stored()
    assert after.label == "Renamed"
    assert after.password.reveal() == SECRET
    assert not after.client_key
    assert (after.uuid, after.pk, after.secret_changed_at) == (
        before.uuid,
        before.pk,
        before.secret_changed_at,
    )


@pytest.mark.parametrize(("field", "value"), REDIRECTIONS.items(), ids=REDIRECTIONS)
def test_without_the_permission_the_destination_stays(staff, account, field, value):
    response = staff(CHANGE).post(
        url(account), posted(**{field: value, "password": "x", "password-clear": "on"})
    )
    assert response.status_code == 200
    at = "host" if field == "preset" else field
    (message,) = errors(response)[at]
    assert "Only somebody who may change secrets" in message
    assert stored().password.reveal() == SECRET


def test_without_a_secret_there_is_nothing_to_protect(staff, account):
    SMTPAccount.objects.update(password=None)
    assert staff(CHANGE).post(url(account), posted(host="other.example")).status_code == 302
    assert stored().host == "other.example"


def test_an_account_is_added_without_a_secret(staff):
    response = staff(ADDING).post(ADD, posted(password=SECRET, client_key="x"))
    assert response.status_code == 302
    assert not stored().password
    assert not stored().client_key


def test_a_deleted_account_takes_its_secret_with_it(staff, account):
    client = staff(VIEW, ADDING, DELETE)
    path = reverse("admin:smtpauth_smtpaccount_delete", args=[account.pk])
    assert client.post(path, {"post": "yes"}).status_code == 302
    assert client.post(ADD, posted(host="evil.example")).status_code == 302
    assert stored().password is None


def test_saving_as_new_copies_no_secret(staff, admin_client, account):
    data = posted(slug="copy", host="evil.example", _saveasnew="1")
    assert staff(CHANGE, ADDING).post(url(account), data).status_code == 302
    assert SMTPAccount.objects.get(slug="copy").password is None
    data = posted(slug="copy2", host="evil.example", _saveasnew="1")
    assert "password" in errors(admin_client.post(url(account), data))
    assert staff(CHANGE).post(url(account), data).status_code == 403


# Internal hosts


def test_internal_hosts_need_their_permission(staff, account):
    client = staff(CHANGE, SECRETS)
    assert 'name="internal_host"' not in client.get(url(account)).content.decode()
    data = posted(internal_host="on", password=SECRET)
    assert client.post(url(account), data).status_code == 302
    assert stored().internal_host is False
    assert staff(CHANGE, SECRETS, INTERNAL).post(url(account), data).status_code == 302
    assert stored().internal_host is True


@pytest.mark.parametrize(
    ("field", "value"),
    [("host", "192.0.2.1"), ("port", "25"), ("proxy", "http://10.0.0.1:80"), ("preset", "gmail")],
)
def test_a_granted_internal_host_is_not_exchanged_for_another(staff, account, field, value):
    account.internal_host, account.password = True, SECRET
    account.save()
    data = posted(**{field: value, "password": SECRET})
    response = staff(CHANGE, SECRETS).post(url(account), data)
    at = "host" if field == "preset" else field
    assert "Only somebody who may grant that" in errors(response)[at][0]
    data["internal_host"] = "on"
    assert staff(CHANGE, SECRETS, INTERNAL).post(url(account), data).status_code == 302


def test_a_new_account_of_an_internal_provider(staff):
    def added(client):
        SMTPAccount.objects.all().delete()
        client.post(ADD, posted(preset="proton-bridge", host="", password=SECRET))
        return [account.internal_host for account in SMTPAccount.objects.all()]

    assert added(staff(ADDING, SECRETS)) == []
    assert added(staff(ADDING, SECRETS, INTERNAL)) == [True]


# Looking


def test_the_server_s_words_need_the_permission_to_test(staff, account):
    SMTPAccountHealth.objects.create(
        account=account,
        last_failure_at="2026-11-01T12:00Z",
        failures=1,
        failure_stage="RCPT",
        failure_code=550,
        failure_text="Banner of the cellar",
    )
    for permissions, seen in [((CHANGE,), False), ((VIEW,), False), ((VIEW, TEST), True)]:
        page = staff(*permissions).get(url(account)).content.decode()
        assert "RCPT 550" in page
        assert ("Banner of the cellar" in page) is seen


def test_who_may_only_view_changes_nothing(staff, account):
    client = staff(VIEW, SECRETS, INTERNAL)
    page = client.get(url(account)).content.decode()
    assert 'name="password"' not in page
    assert not leaked(page)
    assert client.post(url(account), posted(host="evil.example")).status_code == 403
    for action in ACTIONS:
        data = {"action": action, "_selected_action": [account.pk]}
        client.post(LIST, data)
        assert stored().enabled is True
    assert client.get(LIST + "proposal/?address=a@gmail.com").status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        "?password__startswith=v1",
        "?password=x",
        "?password__contains=a",
        "?client_key__gt=a",
        "?o=password",
        "?health__account__password__startswith=v1",
        "?_to_field=password&_popup=1",
        "?mail_from=a@example.com",
    ],
)
def test_the_list_is_no_oracle(staff, account, query):
    token = stored().password.token.text
    response = staff(VIEW).get(LIST + query)
    assert response.status_code in (200, 302, 400)
    assert not leaked(response.content.decode())
    if response.status_code == 302:
        assert response["Location"] == f"{LIST}?e=1"
    if "__" in query:
        # The same whatever stands behind it.
        other = staff(VIEW).get(LIST + query.replace("v1", token[:10]))
        assert other.status_code == response.status_code


@pytest.mark.parametrize("field", ["password", "client_key", "uuid"])
def test_a_pop_up_hands_out_no_field(staff, account, field):
    client = staff(VIEW, CHANGE, SECRETS)
    data = posted(_popup="1", _to_field=field)
    response = client.post(url(account) + f"?_to_field={field}&_popup=1", data)
    assert response.status_code == 400
    response = client.post(url(account) + "?_popup=1", posted(_popup="1"))
    assert response.status_code == 200
    assert not leaked(response.content.decode())


def test_the_completion_tells_names_only(staff, account):
    path = reverse("admin:autocomplete")
    query = {"app_label": "smtpauth", "model_name": "smtpaccounthealth", "field_name": "account"}
    response = staff(VIEW).get(path, query | {"term": "club"})
    assert response.json()["results"] == [{"id": str(account.pk), "text": "Club"}]
    assert staff(VIEW).get(path, query | {"term": "hunter2"}).json()["results"] == []
    assert staff(TEST).get(path, query | {"term": "club"}).status_code == 403


@pytest.mark.parametrize("style", ["json", "xml", "jsonl"])
def test_an_export_carries_no_plaintext(account, style):
    text = serializers.serialize(style, SMTPAccount.objects.all())
    assert "hunter2" not in text
    values = list(SMTPAccount.objects.values()) + list(SMTPAccount.objects.values_list())
    assert "hunter2" not in json.dumps(values, default=str) + repr(values)


def test_the_history_page_tells_names_only(staff, account):
    staff(CHANGE, SECRETS).post(url(account), posted(password=SECRET + "!", label="New"))
    page = staff(VIEW).get(reverse("admin:smtpauth_smtpaccount_history", args=[account.pk]))
    assert "Changed Password and Label." in page.content.decode()
    assert not leaked(page.content.decode())


def test_the_search_finds_no_secret(staff, account):
    for query in ("hunter2", stored().password.token.text):
        response = staff(VIEW).get(LIST, {"q": query})
        assert not response.context["cl"].result_list


# Editing in the list, on sites that allow it


@pytest.fixture
def editable(monkeypatch):
    registered = admin.site._registry[SMTPAccount]
    assert isinstance(registered, SMTPAccountAdmin)
    columns = ["label", "host", "internal_host", "enabled"]
    monkeypatch.setattr(registered, "list_display", ["slug", *columns])
    monkeypatch.setattr(registered, "list_editable", columns)


def listed(account, **changes):
    data = {
        "form-TOTAL_FORMS": "1",
        "form-INITIAL_FORMS": "1",
        "form-0-id": str(account.pk),
        "form-0-label": account.label,
        "form-0-host": account.host,
        "form-0-enabled": "on",
        "_save": "Save",
    }
    return data | {f"form-0-{name}": value for name, value in changes.items()}


@pytest.mark.usefixtures("editable")
class TestEditableList:
    def test_what_is_not_in_the_list_stays(self, staff, account):
        account.is_default = account.select_by_from = True
        account.from_email, account.dsn_notify = "club@example.com", "FAILURE"
        account.save()
        data = listed(account, label="Renamed")
        assert staff(CHANGE).post(LIST, data).status_code == 302
        after = stored()
        assert (after.label, after.is_default, after.select_by_from) == ("Renamed", True, True)
        assert (after.dsn_notify, after.authentication) == ("FAILURE", "password")
        assert after.password.reveal() == SECRET
        assert after.changed_by.startswith("user")

    @pytest.mark.parametrize("permissions", [(CHANGE,), (CHANGE, SECRETS, INTERNAL)])
    def test_a_secret_is_not_orphaned(self, staff, account, permissions):
        data = listed(account, host="evil.example", password="x", **{"password-clear": "on"})
        response = staff(*permissions).post(LIST, data)
        assert "host" in response.context["cl"].formset.errors[0]
        assert stored().password.reveal() == SECRET

    def test_an_internal_host_is_not_granted(self, staff, account):
        SMTPAccount.objects.update(password=None)
        client = staff(CHANGE, SECRETS)
        assert "internal_host" not in client.get(LIST).context["cl"].formset.forms[0].fields
        client.post(LIST, listed(account, internal_host="on", label="New"))
        assert (stored().label, stored().internal_host) == ("New", False)


# A site's own subclass


def test_a_subclass_with_fields_of_its_own_hides_the_secrets_too(staff, account, monkeypatch):
    registered = admin.site._registry[SMTPAccount]
    fieldsets = [(None, {"fields": [("slug", "password"), "host", "authentication"]})]
    monkeypatch.setattr(registered, "fieldsets", fieldsets)
    monkeypatch.setattr(registered, "readonly_fields", ["slug"])
    page = staff(CHANGE).get(url(account)).content.decode()
    assert "Stored." in page
    assert 'name="password"' not in page
    assert 'name="password"' in staff(CHANGE, SECRETS).get(url(account)).content.decode()
    data = {"host": "evil.example", "authentication": "password", "password": "x"}
    response = staff(CHANGE).post(url(account), data)
    assert "Only somebody who may change secrets" in errors(response)["host"][0]
