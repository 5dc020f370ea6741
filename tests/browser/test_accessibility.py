"""The pages for everybody: axe-core in light and dark, and a phone's width.

Whole pages are read, Django's parts with ours, on Django 6.1. In 5.2 axe finds links in Django's
own breadcrumbs and list of what is deleted that only their colour tells apart
(link-in-text-block).
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from tests.browser.remote import Remote

LIST = "/admin/smtpauth/smtpaccount/"
PAGES = {
    "list": LIST,
    "box": LIST + "?mail_from=x@example.org",
    "add": LIST + "add/",
    "edit": LIST + "{}/change/",
    "delete": LIST + "{}/delete/",
    "history": LIST + "{}/history/",
}


@pytest.fixture
def accounts(account):
    """One of each state that the pages show."""
    now = timezone.now()
    SMTPAccountHealth.objects.create(
        account=account,
        last_success_at=now,
        successes=3,
        last_failure_at=now - timedelta(days=1),
    )
    lan = SMTPAccount.objects.create(
        slug="lan",
        label="The printer in the cellar",
        host="mail.lan.example",
        verify=False,
        username="u",
        notes="For the printers.",
    )
    SMTPAccountHealth.objects.create(
        account=lan, last_failure_at=now, failures=2, failure_stage="RCPT", failure_code=550
    )
    return account, lan


@pytest.fixture(scope="module")
def axe(driver):
    from axe_playwright_python.sync_playwright import Axe

    def violations(page):
        found = Remote(driver._thread, Axe().run)(page).response["violations"]
        return {v["id"]: [n["target"] + [n["html"]] for n in v["nodes"]] for v in found}

    return violations


def visited(page, path, pk):
    page.goto(path.format(pk))
    # What is folded away is read as well.
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    return page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_axe_finds_nothing(visit, admin, accounts, axe, path, dark):
    for account in accounts:
        page = visited(visit(admin, dark=dark), path, account.pk)
        assert axe(page) == {}


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_form_with_advice_and_with_errors(visit, admin, axe, expect, dark, width):
    page = visited(visit(admin, dark=dark, width=width), PAGES["add"], 0)
    for address in ("club@gmail.com", "club@example.org"):
        page.get_by_label("E-mail address").fill(address)
        expect(page.get_by_role("status")).not_to_have_text("")
        assert axe(page) == {}
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator(".errornote").wait_for()
    assert axe(page) == {}
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_axe_finds_what_is_wrong(visit, admin, axe):
    page = visited(visit(admin), PAGES["add"], 0)
    page.evaluate("document.querySelector('label[for=id_from_email]').remove()")
    page.evaluate("document.querySelector('[data-guide] p').style.color = '#ddd'")
    assert {"label", "color-contrast"} <= axe(page).keys()


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_phone_does_not_scroll_sideways(visit, admin, accounts, path):
    for account in accounts:
        page = visited(visit(admin, width=360), path, account.pk)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
