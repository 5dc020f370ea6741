import re

import django
import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.urls import reverse

from django_smtpauth.admin import SMTPAccountAdmin
from django_smtpauth.forms import SMTPAccountForm
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.destination import Destination
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.formfields import SecretState
from django_smtpauth.secrets.keyring import generate_key
from tests.admin.pages import (
    ADD,
    DESTINATION,
    LIST,
    SECRET,
    errors,
    leaked,
    list_of,
    posted,
    url,
)

pytestmark = pytest.mark.django_db

# Adding


def test_an_account_is_added(admin_client):
    response = admin_client.post(ADD, posted(password=SECRET, is_default="on"))
    assert response.status_code == 302
    account = SMTPAccount.objects.get()
    assert account.password.reveal() == SECRET
    assert account.is_default


def test_the_first_account_of_a_scope_is_proposed_as_default(admin_client, account):
    def proposed():
        return admin_client.get(ADD).context["adminform"].form["is_default"].initial

    assert proposed() is True
    account.is_default = True
    account.save()
    assert proposed() is False
    account.scope = "tenant"
    account.save()
    assert proposed() is True


def test_the_current_scope_is_proposed(admin_client, settings, account):
    account.scope, account.is_default = "tenant", True
    account.save()
    settings.SMTPAUTH = {**settings.SMTPAUTH, "SCOPE": lambda: "tenant"}
    form = admin_client.get(ADD).context["adminform"].form
    assert (form.initial["scope"], form["is_default"].initial) == ("tenant", False)


def test_without_keys_a_password_is_refused_at_its_field(admin_client, settings):
    settings.SMTPAUTH = {}
    response = admin_client.post(ADD, posted(password=SECRET))
    assert 'SMTPAUTH = {"KEYS": ["env:SMTPAUTH_KEYS"]}' in errors(response)["password"][0]
    assert not leaked(response.content.decode())
    assert admin_client.post(ADD, posted(authentication="none")).status_code == 302


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("host", "smtp://smtp.example.com", "name only"),
        ("host", "smtp.example.com:587", "port"),
        ("host", "smtp example", "spaces"),
        ("port", "0", "greater than or equal to 1"),
        ("port", "65536", "less than or equal to 65535"),
        ("security", "tls", "EMAIL_USE_TLS is starttls"),
        ("from_email", "Ana <ana@example.com>", "plain address"),
        ("ca_text", "nonsense", "BEGIN CERTIFICATE"),
        ("timeout", "0", "greater than or equal to 1"),
        ("timeout", "nan", "number"),
        ("protocol", "uucp", "valid choice"),
        ("bdat", "always", "valid choice"),
        ("dsn_notify", "SOMETIMES", "valid choice"),
        ("dsn_notify", ["NEVER", "DELAY"], "NEVER alone"),
    ],
)
def test_the_form_says_what_is_wrong(admin_client, field, value, fault):
    response = admin_client.post(ADD, posted(password=SECRET) | {field: value})
    assert fault in errors(response)[field][0]
    assert not leaked(response.content.decode())


@pytest.mark.parametrize(
    ("host", "internal"),
    [("8.8.8.8", False), ("bücher.example", False), ("::1", True), ("mail_catcher", True)],
)
def test_the_form_takes_names_and_addresses(admin_client, host, internal):
    marked = {"internal_host": "on"} if internal else {}
    response = admin_client.post(ADD, posted(host=host, password=SECRET, **marked))
    assert response.status_code == 302


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("host", "127.0.0.1", "127.0.0.1 is not public"),
        ("host", "2130706433x.internal", "is a name of an internal network"),
        ("host", "localhost", "is a name of an internal network"),
        ("port", "9999", "Port 9999 is none that accounts of this site may use"),
    ],
)
def test_what_no_account_may_reach_is_refused_in_the_form(
    admin_client, account, settings, field, value, reason
):
    """With the line of the settings that would allow it, which really does."""
    for page in (ADD, url(account)):
        response = admin_client.post(page, posted(password=SECRET, slug="a") | {field: value})
        (told,) = errors(response)[field]
        assert reason in told
        assert "internal host" in told
    names = {"SMTPAUTH": {**settings.SMTPAUTH}}
    exec(told.partition("settings.py says: ")[2], names)
    settings.SMTPAUTH = names["SMTPAUTH"]
    response = admin_client.post(ADD, posted(password=SECRET, slug="a") | {field: value})
    assert response.status_code == 302


def test_an_account_that_is_out_of_reach_can_be_edited_otherwise(admin_client, account):
    SMTPAccount.objects.update(host="127.0.0.1")
    changed = posted(host="127.0.0.1", notes="Moved soon.")
    assert admin_client.post(url(account), changed).status_code == 302


def test_conflicts_are_shown_at_their_fields(admin_client, account):
    account.is_default = account.select_by_from = True
    account.from_email = "club@example.com"
    account.save()
    response = admin_client.post(
        ADD,
        posted(
            from_email="CLUB@example.com",
            is_default="on",
            select_by_from="on",
            password=SECRET,
        ),
    )
    assert set(errors(response)) == {"slug", "is_default", "select_by_from"}
    assert "“Club” is the default account" in errors(response)["is_default"][0]
    response = admin_client.post(ADD, posted(slug="other", select_by_from="on", password="x"))
    assert set(errors(response)) == {"from_email"}


# Changing


def test_blank_keeps_the_password(admin_client, account):
    before = SMTPAccount.objects.get().password
    assert admin_client.post(url(account), posted(label="Renamed")).status_code == 302
    assert SMTPAccount.objects.get().label == "Renamed"
    assert SMTPAccount.objects.get().password == before


def test_a_new_password_replaces_the_old_one(admin_client, account):
    admin_client.post(url(account), posted(password=" new "))
    assert SMTPAccount.objects.get().password.reveal() == " new "


def test_the_box_removes_the_password(admin_client, account):
    admin_client.post(url(account), posted(**{"password-clear": "on"}))
    assert SMTPAccount.objects.get().password is None


def test_a_new_password_and_the_box_contradict(admin_client, account):
    response = admin_client.post(
        url(account), posted(**{"password": "new", "password-clear": "on"})
    )
    assert "not both" in errors(response)["password"][0]


def test_a_pasted_token_is_only_a_text(admin_client, account):
    token = SMTPAccount.objects.get().password.token.text
    admin_client.post(url(account), posted(password=token))
    assert SMTPAccount.objects.get().password.reveal() == token


def test_flags_are_taken_off(admin_client, account):
    account.is_default = True
    account.save()
    admin_client.post(url(account), posted())
    assert not SMTPAccount.objects.get().is_default


def test_every_part_of_the_destination_is_changed_here():
    assert DESTINATION.keys() == Destination.__dataclass_fields__.keys()


@pytest.mark.parametrize(("field", "value"), DESTINATION.items(), ids=DESTINATION)
class TestChangedDestination:
    def test_it_asks_for_the_password_and_says_why(self, admin_client, account, field, value):
        response = admin_client.post(url(account), posted(**{field: value}))
        (message,) = errors(response)["password"]
        assert "stored for smtp.example.com:587" in message
        label = str(response.context["adminform"].form.fields[field].label)
        assert label in message
        assert SMTPAccount.objects.get().password.reveal() == SECRET

    def test_it_is_saved_with_the_password(self, admin_client, account, field, value):
        response = admin_client.post(url(account), posted(**{field: value, "password": SECRET}))
        assert response.status_code == 302
        assert SMTPAccount.objects.get().password.reveal() == SECRET

    def test_it_is_saved_without_any_password(self, admin_client, account, field, value):
        response = admin_client.post(
            url(account), posted(**{field: value, "password-clear": "on"})
        )
        assert response.status_code == 302
        assert SMTPAccount.objects.get().password is None

    def test_nothing_is_asked_when_none_is_stored(self, admin_client, account, field, value):
        SMTPAccount.objects.update(password=None)
        assert admin_client.post(url(account), posted(**{field: value})).status_code == 302


def test_it_is_asked_beside_other_errors(admin_client, account):
    response = admin_client.post(url(account), posted(host="evil.example", slug=""))
    assert set(errors(response)) == {"slug", "password"}


def test_the_same_destination_written_otherwise_is_not_asked_for(admin_client, account):
    assert admin_client.post(url(account), posted(host="SMTP.Example.com")).status_code == 302
    assert SMTPAccount.objects.get().password.reveal() == SECRET


# Delivery


def test_what_is_asked_of_the_delivery(admin_client, account):
    wanted = {
        "protocol": "lmtp",
        "recipients": "all",
        "require_tls": "false",
        "dsn_notify": ["FAILURE", "DELAY"],
        "dsn_ret": "HDRS",
        "bdat": "after_rcpt",
    }
    assert admin_client.post(url(account), posted(**wanted)).status_code == 302
    account = SMTPAccount.objects.get()
    stored = {"require_tls": False, "dsn_notify": "FAILURE,DELAY"}
    assert {name: getattr(account, name) for name in wanted} == wanted | stored
    # None of it is where the password goes.
    assert account.password.reveal() == SECRET
    # The page brings back what is stored, and so it can be saved again, or taken back.
    page = admin_client.get(url(account)).content.decode()
    assert re.findall(r'name="dsn_notify" value="(\w+)"[^>]* checked', page) == [
        "FAILURE",
        "DELAY",
    ]
    chosen = re.findall(r'<option value="(\w+)" selected', page)
    assert chosen == ["starttls", "password", "lmtp", "all", "false", "HDRS", "after_rcpt"]
    admin_client.post(url(account), posted(**wanted))
    assert LogEntry.objects.first().get_change_message() == "No fields changed."
    admin_client.post(url(account), posted())
    account.refresh_from_db()
    assert [getattr(account, name) for name in wanted] == ["smtp", "", None, "", "", ""]
    message = LogEntry.objects.first().get_change_message()
    assert message.startswith(
        "Changed Protocol, If a recipient is refused, Demand TLS all the way"
    )
    assert "Delivery reports, Delivery reports contain and Send content in chunks" in message


def test_what_is_asked_of_the_delivery_is_folded_away(admin_client, account):
    page = admin_client.get(url(account)).content.decode()
    before, _, fieldset = page.partition("Delivery</h2>")
    fieldset = fieldset.partition("Advanced</h2>")[0]
    assert before.rpartition("<fieldset ")[2].startswith('class="module aligned collapse"')
    for name in ("protocol", "recipients", "require_tls", "dsn_notify", "dsn_ret", "bdat"):
        assert f'name="{name}"' in fieldset
    assert fieldset.count("As the site&#x27;s settings say</option>") == 4


def test_tls_all_the_way_without_tls_is_an_error_there(admin_client):
    response = admin_client.post(ADD, posted(security="none", require_tls="true", password="x"))
    assert set(errors(response)) == {"require_tls"}


def test_the_list_tells_lmtp(admin_client, account):
    assert "lmtp" not in admin_client.get(LIST).content.decode()
    SMTPAccount.objects.create(slug="local", host="/run/lmtp", security="none", protocol="lmtp")
    assert ["/run/lmtp", "none · lmtp"] in list_of(admin_client, "server")


# States


def test_the_form_tells_the_state_of_the_password(admin_client, account, settings):
    assert "Stored." in admin_client.get(url(account)).content.decode()
    keys = settings.SMTPAUTH
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    page = admin_client.get(url(account)).content.decode()
    assert "unreadable" in page
    assert "which this process does not have" in page
    settings.SMTPAUTH = {"KEYS": ["env:SMTPAUTH_ABSENT"]}
    assert "env:SMTPAUTH_ABSENT" in admin_client.get(url(account)).content.decode()
    settings.SMTPAUTH = keys
    SMTPAccount.objects.update(host="evil.example")
    assert "now points to evil.example" in admin_client.get(url(account)).content.decode()
    SMTPAccount.objects.update(password=None)
    page = admin_client.get(url(account)).content.decode()
    assert "Not set." in page
    assert "password-clear" not in page


def test_the_list_tells_the_state_of_each_secret(admin_client, account, settings):
    def log_ins():
        response = admin_client.get(LIST)
        assert response.status_code == 200
        page = response.content.decode()
        assert not leaked(page)
        return [
            re.sub(r"<[^>]*>", "", cell)
            for cell in re.findall(r'field-log_in">(.*?)</td>', page, re.S)
        ]

    SMTPAccount.objects.create(slug="relay", host="relay.example", authentication="none")
    SMTPAccount.objects.create(slug="user", host="relay.example", username="u")
    assert log_ins() == ["Password: stored", "None", "Password: ⚠&nbsp;not set"]
    keys = settings.SMTPAUTH
    settings.SMTPAUTH = {**keys, "CREDENTIALS": "example.vault.credentials"}
    assert log_ins() == ["Password: stored", "None", "Password: kept elsewhere"]
    settings.SMTPAUTH = {"KEYS": ["env:SMTPAUTH_ABSENT"]}
    assert log_ins()[0] == "Password: ⚠&nbsp;unreadable"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE smtpauth_smtpaccount SET password = 'garbage' WHERE slug = 'club'")
    assert log_ins()[0] == "Password: ⚠&nbsp;unreadable"


def test_the_list_filters_searches_and_sorts(admin_client, account):
    SMTPAccount.objects.create(slug="main", host="relay.example", is_default=True, scope="t")

    def slugs(query):
        response = admin_client.get(LIST + query)
        assert response.status_code == 200
        return [account.slug for account in response.context["cl"].result_list]

    assert slugs("") == ["club", "main"]
    assert slugs("?default=1") == ["main"]
    assert slugs("?default=0") == ["club"]
    assert slugs("?q=relay") == ["main"]
    assert slugs("?scope=t") == ["main"]
    assert slugs("?enabled__exact=1&security__exact=none") == []
    for column in range(1, len(SMTPAccountAdmin.list_display) + 1):
        slugs(f"?o={column}")


def test_the_list_needs_no_query_per_row(admin_client, account, django_assert_max_num_queries):
    for number in range(20):
        SMTPAccount.objects.create(slug=f"a{number}", host="smtp.example.com", password="x")
    with django_assert_max_num_queries(8):
        admin_client.get(LIST)


# Nothing leaks


def test_no_page_shows_the_password(admin_client, account):
    pages = [
        admin_client.get(url(account)),
        admin_client.get(LIST),
        admin_client.get(reverse("admin:smtpauth_smtpaccount_history", args=[account.pk])),
        admin_client.get(reverse("admin:smtpauth_smtpaccount_delete", args=[account.pk])),
        admin_client.post(url(account), posted(slug="", password=SECRET)),
        admin_client.post(url(account), posted(slug="", password=SECRET, port="x")),
    ]
    for page in pages:
        assert page.status_code == 200
        assert not leaked(page.content.decode())


def test_the_input_is_for_a_new_password(admin_client, account):
    page = admin_client.get(url(account)).content.decode()
    (tag,) = re.findall(r'<input[^>]*name="password"[^>]*>', page)
    assert 'type="password"' in tag
    assert 'autocomplete="new-password"' in tag
    assert "value" not in tag
    assert "required" not in tag
    (tag,) = re.findall(r'<input[^>]*name="username"[^>]*>', page)
    assert 'autocomplete="off"' in tag


def test_a_password_in_the_address_is_not_shown(admin_client):
    page = admin_client.get(ADD + "?password=hunter2").content.decode()
    assert not re.search(r'value="hunter2"', page)


def test_the_form_object_shows_nothing(account):
    for form in (
        SMTPAccountForm(instance=account),
        SMTPAccountForm(posted(password=SECRET), instance=account),
    ):
        form.is_valid()
        assert form.initial["password"] == SecretState(stored=True)
        shown = [repr(form), str(form.initial), str(getattr(form, "cleaned_data", ""))]
        assert not leaked("".join([*shown, str(form), repr(form.instance)]))


def test_history_names_the_changed_fields_only(admin_client, account):
    admin_client.post(
        url(account), posted(password=SECRET + "!", host="other.example", is_default="on")
    )
    entry = LogEntry.objects.get()
    message = entry.get_change_message()
    assert "Password" in message
    assert "Server" in message
    assert "Default account" in message
    assert not leaked(entry.change_message + entry.object_repr + message)
    admin_client.post(
        url(account), posted(host="other.example", is_default="on", **{"password-clear": "on"})
    )
    assert LogEntry.objects.first().get_change_message() == "Changed Password."


def test_nothing_changed_is_no_change(admin_client, account):
    admin_client.post(url(account), posted())
    assert LogEntry.objects.get().get_change_message() == "No fields changed."


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("where", ["save", "save_base", "clean", "history"])
def test_an_error_page_shows_nothing(
    admin_client, account, settings, monkeypatch, mailoutbox, debug, where
):
    settings.DEBUG = debug
    settings.ADMINS = ["a@b.example"] if django.VERSION >= (6, 0) else [("A", "a@b.example")]

    def fail(self, *args, **kwargs):
        raise RuntimeError("the database is on fire")

    if where == "history":
        monkeypatch.setattr(SMTPAccountAdmin, "log_change", fail)
    else:
        monkeypatch.setattr(SMTPAccount, where, fail)
    admin_client.raise_request_exception = False
    response = admin_client.post(url(account), posted(password=SECRET))
    assert response.status_code == 500
    page = response.content.decode()
    assert ("on fire" in page) is debug
    mails = "".join(str(message.body) + str(message.alternatives) for message in mailoutbox)
    assert ("on fire" in mails) is not debug
    assert not leaked(page + mails)


def test_the_error_page_of_a_page_that_only_shows_an_account(
    admin_client, account, settings, monkeypatch
):
    settings.DEBUG = True

    def fail(self, *args, **kwargs):
        raise RuntimeError("on fire")

    monkeypatch.setattr(SMTPAccountAdmin, "render_change_form", fail)
    admin_client.raise_request_exception = False
    page = admin_client.get(url(account)).content.decode()
    assert "on fire" in page
    assert not leaked(page)


# Permissions


def test_who_may_only_look_sees_the_state_and_changes_nothing(staff, account):
    viewer = staff("view_smtpaccount")
    page = viewer.get(url(account)).content.decode()
    assert "Stored" in page
    assert 'name="password"' not in page
    assert not leaked(page)
    assert viewer.post(url(account), posted(host="evil.example")).status_code == 403
    assert viewer.get(ADD).status_code == 403


def test_a_row_that_was_edited_elsewhere_is_refused_at_use(account):
    SMTPAccount.objects.update(host="evil.example")
    with pytest.raises(SecretUnreadable):
        SMTPAccount.objects.get().password.reveal()
