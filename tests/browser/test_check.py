"""Checks in a browser: below the form with the script, as a page of their own without it."""

import re
import threading

import pytest
from django.core.cache import cache
from django.utils import timezone

from django_smtpauth.models import SMTPAccount, SMTPAccountCheck, SMTPAccountHealth
from tests.browser.remote import Remote
from tests.presets.dns_server import DNSServer

LIST = "/admin/smtpauth/smtpaccount/"
ADD = f"{LIST}add/"
USER, SECRET = "club@example.com", "Geheim-42-Wort"
OFFERS = ["PIPELINING", "SIZE 1000000", "AUTH PLAIN LOGIN"]
REFUSED = {"AUTH": b"535 5.7.8 Authentication credentials invalid\r\n"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    cache.clear()
    with DNSServer({"example.com TXT": ['"v=spf1 -all"']}) as server:
        resolver = server.resolver()
        monkeypatch.setattr("dns.resolver.Resolver", lambda: resolver)
        yield


@pytest.fixture
def at(scripted_server, transactional_db):
    """A saved account at a server that answers like this."""

    def make(**behaviour):
        server = scripted_server(users={USER: SECRET}, extensions=OFFERS, **behaviour)
        return SMTPAccount.objects.create(
            slug="club",
            label="Club",
            host=server.host,
            port=server.port,
            security="none",
            allow_auth_without_tls=True,
            internal_host=True,
            username=USER,
            password=SECRET,
        )

    return make


def change(account):
    return f"{LIST}{account.pk}/change/"


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def test_a_check_below_the_form(visit, admin, at, expect):
    account = at()
    page = visit(admin)
    page.goto(change(account))
    page.locator("#id_label").fill("Not saved")
    button(page, "Check connection").click()
    expect(page.locator("[data-check-said]")).to_contain_text("Connection and log-in work.")
    expect(page.locator(".smtpauth-stage").first).to_contain_text("What is set: good")
    # The form is as it was.
    expect(page.locator("#id_label")).to_have_value("Not saved")
    assert SMTPAccount.objects.get().label == "Club"
    assert not SMTPAccountCheck.objects.exists()


def test_the_stages_are_shown_as_they_end(visit, admin, at, expect):
    go_on = threading.Event()

    def answer(_connection, _line):
        go_on.wait(15)
        return b"250 2.1.0 Ok\r\n"

    page = visit(admin)
    page.goto(change(at(replies={"MAIL": answer})))
    button(page, "Check connection").click()
    try:
        expect(page.locator(".smtpauth-stages")).to_contain_text("Log-in: good")
        expect(page.locator("[data-verdict]")).to_have_count(0)
    finally:
        go_on.set()
    expect(page.locator("[data-verdict]")).to_contain_text("Connection and log-in work.")


def test_a_failure_leads_to_its_field(visit, admin, at, expect):
    page = visit(admin)
    page.goto(change(at(replies=REFUSED)))
    page.locator("#id_label").fill("Not saved")
    button(page, "Check connection").click()
    failed = page.locator(".smtpauth-stage.smtpauth-failed")
    expect(failed).to_contain_text("Log-in: failed")
    failed.get_by_role("link", name=re.compile("To the field")).click()
    expect(page.locator("#id_password")).to_be_focused()
    expect(page.locator("#id_label")).to_have_value("Not saved")


def test_a_field_that_is_folded_away_is_opened(visit, admin, at, expect):
    """A wrong server: the field for that stands in a folded fieldset."""
    account = at(replies={"GREETING": b"554 5.3.2 No service\r\n"})
    page = visit(admin)
    page.goto(change(account))
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false; })")
    button(page, "Check connection").click()
    link = page.locator(".smtpauth-stage.smtpauth-failed [data-field]")
    field = link.get_attribute("data-field")
    link.click()
    expect(page.locator(f"#{field}")).to_be_focused()


def test_the_text_for_support_is_copied(visit, admin, at, expect):
    page = visit(admin)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(change(at(replies=REFUSED)))
    button(page, "Check connection").click()
    page.locator(".smtpauth-support summary").click()
    button(page, "Copy for support").click()
    expect(page.locator("[data-copied]")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "AUTH: failed" in copied
    assert "535 5.7.8" in copied
    assert USER not in copied
    assert SECRET not in copied


def test_a_new_account_is_checked_before_it_is_saved(visit, admin, at, expect):
    stored = at()
    host, port = stored.host, stored.port
    stored.delete()
    page = visit(admin)
    page.goto(ADD)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    typed = {"host": host, "port": str(port), "username": USER, "password": SECRET}
    for name, value in typed.items():
        page.locator(f"#id_{name}").fill(value)
    page.locator("#id_security").select_option("none")
    page.locator("#id_allow_auth_without_tls").check()
    page.locator("#id_internal_host").check()
    button(page, "Check connection").click()
    expect(page.locator("[data-check-said]")).to_contain_text("Connection and log-in work.")
    # What was typed is still there, the password, too: it only has to be saved.
    button(page, "Save").click()
    page.wait_for_url(re.compile(r"/smtpaccount/$"))
    assert SMTPAccount.objects.get().password.reveal() == SECRET


def test_values_that_are_wrong_bring_the_form_back(visit, admin, at, expect):
    page = visit(admin)
    page.goto(change(at()))
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.locator("#id_slug").fill("")
    button(page, "Check connection").click()
    expect(page.locator(".errornote").first).to_be_visible()
    expect(page.locator("#content")).to_contain_text("Nothing was checked")
    assert SMTPAccount.objects.get().slug == "club"


def test_a_test_message(visit, admin, at, expect):
    page = visit(admin)
    page.goto(change(at()))
    page.get_by_label("Test message to:").fill("ann@example.org")
    button(page, "Send test message").click()
    expect(page.locator(".smtpauth-sent")).to_contain_text("Accepted is not arrived.")
    expect(page.locator(".smtpauth-sent")).to_contain_text("To: ann@example.org")


def test_without_javascript_a_check_is_a_page(visit, admin, at, expect):
    account = at(replies=REFUSED)
    page = visit(admin, javascript=False)
    page.goto(change(account))
    button(page, "Check connection").click()
    expect(page.locator("[data-verdict]")).to_contain_text("It failed at: Log-in.")
    page.get_by_role("link", name=re.compile("To the field")).click()
    assert page.url.endswith(f"{change(account)}#id_password")


def test_somebody_who_can_t_edit_checks_what_is_stored(visit, staff, at, expect):
    page = visit(staff("view_smtpaccount", "test_smtpaccount"))
    page.goto(change(at()))
    button(page, "Check connection").click()
    expect(page.locator("[data-check-said]")).to_contain_text("Connection and log-in work.")
    assert SMTPAccountCheck.objects.get().ok


# For everybody


@pytest.fixture(scope="module")
def axe(driver):
    from axe_playwright_python.sync_playwright import Axe

    def violations(page):
        found = Remote(driver._thread, Axe().run)(page).response["violations"]
        return {v["id"]: [n["target"] + [n["html"]] for n in v["nodes"]] for v in found}

    return violations


def look(page, axe, width):
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert axe(page) == {}
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_are_for_everybody(visit, admin, at, axe, expect, dark, width):
    account = at(replies={"AUTH": [b"535 5.7.8 Authentication credentials invalid\r\n"]})
    SMTPAccountHealth.objects.create(
        account=account,
        last_failure_at=timezone.now(),
        failures=2,
        failure_stage="AUTH",
        failure_code=535,
        failure_status="5.7.8",
        failure_rule="auth.refused",
    )
    inline = visit(admin, dark=dark, width=width)
    inline.goto(change(account))
    button(inline, "Check connection").click()
    expect(inline.locator("[data-verdict]")).to_contain_text("It failed at: Log-in.")
    look(inline, axe, width)
    plain = visit(admin, dark=dark, width=width)
    plain.goto(change(account))
    plain.evaluate("delete document.querySelector('[name=_send_test]').dataset.check")
    plain.get_by_label("Test message to:").fill("ann@example.org")
    button(plain, "Send test message").click()
    expect(plain.locator("[data-verdict]")).to_contain_text("accepted the test message")
    look(plain, axe, width)
    for path in (LIST, "/admin/", change(account)):
        plain.goto(path)
        look(plain, axe, width)
    plain.goto(f"{LIST}explain/")
    look(plain, axe, width)
    plain.get_by_label("Error, bounce or log line").fill("550 5.1.1 <x@example.org> unknown")
    button(plain, "Explain").click()
    expect(plain.locator(".smtpauth-finding")).to_be_visible()
    look(plain, axe, width)
