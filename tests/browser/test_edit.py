"""The form of an account in a browser: what it fills in, shows, hides and asks for."""

import re

import pytest

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key

LIST = "/admin/smtpauth/smtpaccount/"
ADD = LIST + "add/"
SAVED = re.compile(r"/smtpaccount/$")


def save(page):
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(SAVED)


def refused(page):
    """The errors of a form that comes back, by field."""
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator(".errornote").first.wait_for()
    fields = page.locator("ul.errorlist[id]").evaluate_all("all => all.map(one => one.id)")
    texts = page.locator("ul.errorlist[id]").all_inner_texts()
    names = [field.removeprefix("id_").removesuffix("_error") for field in fields]
    return dict(zip(names, texts, strict=True))


def opened(page, title):
    """Opens a fieldset that is folded away."""
    page.locator("summary", has_text=title).click()
    return page


@pytest.fixture
def edited(visit, admin, account):
    page = visit(admin)
    page.goto(f"{LIST}{account.pk}/change/")
    return page


# Filling in


def test_the_address_fills_in_the_form_while_it_is_typed(visit, admin, expect):
    page = visit(admin)
    page.goto(ADD)
    address = page.get_by_label("E-mail address")
    address.press_sequentially("club@aol.com")
    expect(page.get_by_role("status")).to_contain_text("smtp.aol.com, port 465, was filled in")
    expect(page.get_by_label("Provider")).to_have_value("aol")
    expect(page.locator("#id_host")).to_have_value("smtp.aol.com")
    expect(page.locator("#id_port")).to_have_value("465")
    expect(page.locator("#id_security")).to_have_value("implicit_tls")
    expect(page.locator("#id_username")).to_have_value("club@aol.com")
    expect(page.locator(".smtpauth-panel")).to_contain_text("AOL Mail")
    # Another address takes all of it back.
    address.fill("club@example.org")
    expect(page.locator(".smtpauth-panel")).to_contain_text("No provider is known")
    expect(page.get_by_label("Provider")).to_have_value("")
    expect(page.locator("#id_host")).to_have_value("")
    expect(page.locator("#id_username")).to_have_value("club@example.org")


def test_what_somebody_typed_is_not_replaced(visit, admin, expect):
    page = visit(admin)
    page.goto(ADD)
    opened(page, "Mail server").locator("#id_host").fill("relay.example.org")
    opened(page, "Log-in").locator("#id_username").fill("other")
    page.get_by_label("E-mail address").fill("club@gmail.com")
    expect(page.locator(".smtpauth-panel")).to_contain_text("app password")
    expect(page.locator("#id_host")).to_have_value("relay.example.org")
    expect(page.locator("#id_port")).to_have_value("587")
    expect(page.locator("#id_username")).to_have_value("other")
    # Choosing a provider is a wish of its own.
    page.get_by_label("Provider").select_option("aol")
    expect(page.locator("#id_host")).to_have_value("smtp.aol.com")
    expect(page.locator("#id_username")).to_have_value("other")


def test_none_of_the_providers_is_a_choice(visit, admin, expect):
    page = visit(admin)
    page.goto(ADD)
    page.get_by_label("E-mail address").fill("club@gmail.com")
    expect(page.locator("#id_host")).to_have_value("smtp.gmail.com")
    page.get_by_label("Provider").select_option("")
    expect(page.locator("#id_host")).to_have_value("")
    opened(page, "Mail server").locator("#id_host").fill("relay.example.org")
    page.get_by_label("Password:", exact=True).fill("hunter2")
    save(page)
    account = SMTPAccount.objects.get()
    assert (account.preset, account.host) == ("", "relay.example.org")
    assert account.username == "club@gmail.com"


def test_a_provider_explains_itself(visit, admin, expect):
    page = visit(admin)
    page.goto(ADD)
    page.get_by_label("Provider").select_option("sendgrid")
    expect(page.locator(".smtpauth-panel ol li").first).to_be_visible()
    expect(page.locator("#id_username")).to_have_value("apikey")
    link = page.locator(".smtpauth-panel a")
    assert link.get_attribute("href").startswith("https://")
    assert link.get_attribute("rel") == "noopener noreferrer"


@pytest.mark.parametrize("javascript", [True, False])
def test_an_unknown_domain_asks_for_the_server(visit, admin, javascript):
    page = visit(admin, javascript=javascript)
    page.goto(ADD)
    page.get_by_label("E-mail address").fill("club@example.org")
    page.get_by_label("Password:", exact=True).fill("hunter2")
    assert list(refused(page)) == ["host"]
    # The fieldset is open; what was typed is there, but the password, which is typed again.
    page.locator("#id_host").fill("mail.example.org")
    assert page.get_by_label("E-mail address").input_value() == "club@example.org"
    assert page.get_by_label("Password:", exact=True).input_value() == ""
    page.get_by_label("Password:", exact=True).fill("hunter2")
    save(page)
    account = SMTPAccount.objects.get()
    assert (account.host, account.username) == ("mail.example.org", "club@example.org")


# Changing


def test_another_server_asks_for_the_password_and_says_why(edited, account):
    opened(edited, "Mail server").locator("#id_host").fill("evil.example")
    errors = refused(edited)
    assert list(errors) == ["password"]
    assert "stored for smtp.gmail.com:587 and is not sent anywhere else" in errors["password"]
    assert SMTPAccount.objects.get().host == "smtp.gmail.com"
    edited.get_by_label("Password:", exact=True).fill("other")
    save(edited)
    stored = SMTPAccount.objects.get()
    assert (stored.host, stored.password.reveal()) == ("evil.example", "other")


def test_another_provider_asks_as_well(edited, expect):
    edited.get_by_label("Provider").select_option("aol")
    expect(edited.locator("#id_host")).to_have_value("smtp.aol.com")
    assert list(refused(edited)) == ["password"]
    edited.get_by_label("Password:", exact=True).fill("hunter2")
    save(edited)
    assert SMTPAccount.objects.get().host == "smtp.aol.com"


def test_a_label_is_changed_and_the_password_stays(edited):
    edited.get_by_label("Label").fill("The club")
    save(edited)
    stored = SMTPAccount.objects.get()
    assert (stored.label, stored.password.reveal()) == ("The club", "hunter2")
    assert stored.changed_by == "admin"


def test_the_password_is_removed(edited):
    edited.get_by_label("Remove what is stored").first.check()
    save(edited)
    assert SMTPAccount.objects.get().password is None


def test_an_unreadable_password_says_so(visit, admin, account, settings, expect):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    page = visit(admin)
    page.goto(LIST)
    expect(page.locator(".field-log_in")).to_contain_text("unreadable")
    page.goto(f"{LIST}{account.pk}/change/")
    password = page.get_by_label("Password:", exact=True)
    expect(password).to_have_accessible_description(re.compile("Stored, but unreadable"))


def test_the_page_holds_no_secret(edited):
    assert "hunter2" not in edited.content()
    assert edited.get_by_label("Password:", exact=True).input_value() == ""


# Showing and hiding


def test_only_what_the_log_in_needs_is_shown(edited, expect):
    rows = {name: edited.locator(f".form-row.field-{name}") for name in ("password", "client_key")}
    expect(rows["password"]).to_be_visible()
    opened(edited, "Log-in")
    expect(rows["client_key"]).to_be_hidden()
    edited.get_by_label("Log-in:").select_option("certificate")
    expect(rows["client_key"]).to_be_visible()
    expect(rows["password"]).to_be_hidden()
    edited.get_by_label("Log-in:").select_option("none")
    expect(rows["client_key"]).to_be_hidden()


def test_without_a_script_everything_is_shown(visit, admin, account, expect):
    page = visit(admin, javascript=False)
    page.goto(f"{LIST}{account.pk}/change/")
    opened(page, "Log-in")
    for name in ("password", "username", "client_certificate", "client_key"):
        expect(page.locator(f"#id_{name}")).to_be_visible()


def test_switching_verification_off_warns_at_once(edited, expect):
    warning = edited.get_by_text("The certificate is not verified.")
    expect(warning).to_be_hidden()
    opened(edited, "Advanced").get_by_label("Verify the certificate").uncheck()
    expect(warning).to_be_visible()


# Fewer permissions, and the list


def test_who_may_not_change_secrets_sees_their_state(visit, staff, account, expect):
    page = visit(staff("change_smtpaccount"))
    page.goto(f"{LIST}{account.pk}/change/")
    assert page.locator("#id_password, #id_client_key, #id_internal_host").count() == 0
    expect(page.locator(".field-password_state")).to_contain_text("Stored.")
    opened(page, "Mail server").locator("#id_host").fill("evil.example")
    errors = refused(page)
    assert "Only somebody who may change secrets can change this" in errors["host"]
    assert SMTPAccount.objects.get().host == "smtp.gmail.com"


def test_who_may_only_look_gets_a_page_without_inputs(visit, staff, account, expect):
    page = visit(staff("view_smtpaccount"))
    page.goto(f"{LIST}{account.pk}/change/")
    expect(page.locator(".field-password_state")).to_contain_text("Stored.")
    assert page.locator("#smtpaccount_form :is(input, select, textarea):visible").count() == 0


def test_the_box_tells_who_carries_mail(visit, admin, account, mail_settings, expect):
    mail_settings()
    page = visit(admin)
    page.goto(LIST)
    page.get_by_text("Who carries mail from one address to another, and why?").click()
    page.get_by_label("From:").fill("somebody@example.com")
    page.get_by_role("button", name="Tell").click()
    answer = page.locator("#smtpauth-carrier-answer")
    expect(answer).to_have_text("Club, smtp.gmail.com:587. This is the default account.")
    answer.get_by_role("link", name="Club").click()
    page.wait_for_url(f"**{LIST}{account.pk}/change/")


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_lies_over_the_box(visit, admin, account, width):
    page = visit(admin, width=width)
    page.goto(LIST)
    box = page.locator(".smtpauth-routes").bounding_box()
    add = page.locator(".object-tools .addlink").bounding_box()
    assert add["y"] >= box["y"] + box["height"] or add["y"] + add["height"] <= box["y"]


def test_an_account_is_added_by_keyboard_alone(visit, admin, expect):
    page = visit(admin)
    page.goto(ADD)
    # Django puts the focus into the first field.
    expect(page.get_by_label("Provider")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("club@gmail.com")
    page.keyboard.press("Tab")
    page.keyboard.type("hunter2")
    page.keyboard.press("Enter")
    page.wait_for_url(SAVED)
    assert SMTPAccount.objects.get().preset == "gmail"
