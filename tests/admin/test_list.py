"""The list: the state of each account, the settings' server, and who carries mail."""

import html
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from django_smtpauth.sending.accounts import current_accounts, source
from tests.admin.pages import LIST, SECRET, list_of, posted, url
from tests.backend_fixtures import needs_legacy, needs_mailers

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_process():
    """What this process has learnt of accounts is not true of the next test."""
    source.forget()


# States


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, ["smtp.example.com:587", "starttls"]),
        (
            {"verify": False, "password": SECRET},
            ["smtp.example.com:587", "starttls", "⚠&nbsp;certificate not verified"],
        ),
        (
            {"security": "none", "password": SECRET},
            ["smtp.example.com:587", "none", "⚠&nbsp;not encrypted"],
        ),
        ({"host": "/run/lmtp", "security": "none", "password": SECRET}, ["/run/lmtp", "none"]),
    ],
)
def test_the_list_warns_of_what_is_not_safe(admin_client, account, changes, shown):
    for name, value in changes.items():
        setattr(account, name, value)
    account.save()
    assert list_of(admin_client, "server") == [shown]


def test_the_list_tells_what_became_of_real_mail(admin_client, account):
    def mail(**fields):
        SMTPAccountHealth.objects.update_or_create(account=account, defaults=fields)
        (texts,) = list_of(admin_client, "mail")
        return " ".join(" ".join(texts).replace("\xa0", " ").replace("&nbsp;", " ").split())

    assert list_of(admin_client, "mail") == [["–"]]
    now = timezone.now()
    hours = timedelta(hours=1)
    assert mail(last_success_at=now - 2 * hours, successes=12) == "sent 2 hours ago (12)"
    failed = {"last_failure_at": now - hours, "failures": 3, "successes": 0}
    assert mail(**failed) == "sent 2 hours ago ⚠ failed 1 hour ago (3 times)"
    again = {"last_success_at": now, "failures": 0, "successes": 1}
    assert mail(**again) == "sent 0 minutes ago failed 1 hour ago"


def test_the_list_tells_the_default(admin_client, account):
    assert not any("default" in text for text in list_of(admin_client, "name")[0])
    account.is_default = True
    account.save()
    assert "★ default" in list_of(admin_client, "name")[0]


def test_the_list_filters_by_the_last_mail_and_by_provider(admin_client, account):
    now = timezone.now()
    for slug, fields in [
        ("sent", {"last_success_at": now, "successes": 1}),
        ("failed", {"last_failure_at": now, "failures": 1}),
    ]:
        made = SMTPAccount.objects.create(slug=slug, preset="gmail")
        SMTPAccountHealth.objects.create(account=made, **fields)

    def slugs(query):
        response = admin_client.get(LIST + query)
        return [each.slug for each in response.context["cl"].result_list]

    assert slugs("?mail=sent") == ["sent"]
    assert slugs("?mail=failed") == ["failed"]
    assert slugs("?mail=none") == ["club"]
    assert slugs("?mail=nonsense") == ["club", "failed", "sent"]
    assert slugs("?provider=gmail") == ["failed", "sent"]
    assert slugs("?provider=aol") == []


def test_the_list_needs_no_query_per_row(admin_client, django_assert_num_queries):
    def grow(number):
        for _ in range(number):
            slug = f"a{SMTPAccount.objects.count()}"
            made = SMTPAccount.objects.create(slug=slug, preset="gmail", password="x")
            SMTPAccountHealth.objects.create(account=made, last_success_at=timezone.now())

    def count():
        with django_assert_num_queries(8):
            admin_client.get(LIST + "?mail_from=a@example.com")

    admin_client.get(LIST)
    grow(1)
    count()
    grow(20)
    count()


# Actions


def test_accounts_are_enabled_and_disabled(admin_client, staff, account):
    other = SMTPAccount.objects.create(slug="other", host="other.example")

    def run(action, client=admin_client):
        data = {"action": action, "_selected_action": [account.pk, other.pk]}
        return client.post(LIST, data, follow=True).content.decode()

    def enabled():
        return [each.slug for each in current_accounts("").accounts]

    assert enabled() == ["club", "other"]
    assert "2 accounts were disabled." in run("disable")
    assert enabled() == []
    account.refresh_from_db()
    assert (account.enabled, account.changed_by) == (False, "admin")
    assert account.password.reveal() == SECRET
    assert LogEntry.objects.filter(object_id=account.pk).count() == 1
    SMTPAccount.objects.filter(slug="club").update(enabled=True)
    assert "1 account was enabled." in run("enable")
    run("disable", staff("view_smtpaccount"))
    assert enabled() == ["club", "other"]


# The settings' server


def settings_line(client):
    page = client.get(LIST).content.decode()
    found = re.search(r'<p class="smtpauth-settings">(.*?)</p>', page, re.S)
    return " ".join(re.sub(r"<[^>]*>", "", found[1]).split()) if found else None


def test_without_a_server_in_the_settings_there_is_no_line(admin_client, mail_settings):
    mail_settings()
    assert settings_line(admin_client) is None


@needs_legacy
def test_the_settings_server_stands_above_the_list(admin_client, mail_settings):
    mail_settings(host="smtp.gmail.com", port=587)
    line = "smtp.gmail.com:587 from the settings: used when no account matches."
    assert settings_line(admin_client) == line
    mail_settings(host="smtp.gmail.com", port=587, use_tls=True, use_ssl=True)
    assert settings_line(admin_client).startswith("The settings are wrong.")


@needs_mailers
def test_a_mailer_with_a_server_asks_no_account(admin_client, mail_settings, settings):
    mail_settings(host="smtp.gmail.com")
    line = settings_line(admin_client)
    assert line.startswith("smtp.gmail.com:25 from the mailer's settings: used for all mail")
    mail_settings()
    settings.SMTPAUTH = {**settings.SMTPAUTH, "DEFAULTS": {"host": "smtp.gmail.com"}}
    assert settings_line(admin_client).startswith("smtp.gmail.com:25 from the settings: used when")


# Who carries mail


def answer(client, sender, recipient=""):
    query = {"mail_from": sender, "mail_to": recipient}
    page = client.get(LIST, query).content.decode()
    found = re.search(r'id="smtpauth-carrier-answer">(.*?)</div>', page, re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", found[1])).split())


def test_who_carries_mail_and_why(admin_client, mail_settings, account):
    mail_settings()
    account.is_default = True
    account.save()
    SMTPAccount.objects.create(
        slug="billing", host="b.example", from_email="b@example.com", select_by_from=True
    )
    default = "Club, smtp.example.com:587. This is the default account."
    assert answer(admin_client, "x@example.com") == default
    by_from = "billing, b.example:587. From is this account's address."
    assert answer(admin_client, "Billing <B@Example.com>") == by_from
    page = admin_client.get(LIST, {"mail_from": "x@example.com"})
    assert f'href="{url(account)}"' in page.content.decode()
    # The list stays whole, and so does what it is narrowed down to.
    assert page.context["cl"].result_count == 2
    page = admin_client.get(LIST, {"mail_from": "x@example.com", "q": "billing"})
    assert page.context["cl"].result_count == 1


def test_who_carries_mail_of_the_current_scope(admin_client, mail_settings, settings, account):
    mail_settings()
    SMTPAccount.objects.create(slug="t", host="t.example", scope="tenant", is_default=True)
    settings.SMTPAUTH = {**settings.SMTPAUTH, "SCOPE": "tenant"}
    assert answer(admin_client, "x@example.com").startswith("t, t.example:587")


def by_recipient(message):
    """A chooser that fails where it has nobody to look at."""
    return "club" if message.to[0].endswith("@example.org") else None


def test_who_carries_mail_to_somebody(admin_client, mail_settings, settings, account):
    mail_settings()
    SMTPAccount.objects.create(slug="rest", host="r.example", is_default=True)
    settings.SMTPAUTH = {**settings.SMTPAUTH, "CHOOSER": by_recipient}
    chosen = 'Club, smtp.example.com:587. SMTPAUTH["CHOOSER"] chose this account.'
    assert answer(admin_client, "x@example.com", "y@example.org") == chosen
    default = "rest, r.example:587. This is the default account."
    assert answer(admin_client, "x@example.com", "y@example.com") == default
    failed = "SMTPAUTH[“CHOOSER”] failed for such a message: IndexError."
    assert answer(admin_client, "x@example.com") == failed
    assert answer(admin_client, "x@example.com", "y") == "Type one address: name@example.com."


def test_nobody_carries_mail(admin_client, mail_settings, settings, account):
    assert answer(admin_client, "nonsense") == "Type one address: name@example.com."
    mail_settings()
    settings.EMAIL_HOST = ""
    assert "There is no server to send through" in answer(admin_client, "x@example.com")
    SMTPAccount.objects.update(tls_pin="sha256//nonsense")
    account.refresh_from_db()
    account.is_default, account.password = True, SECRET
    account.save()
    assert "tls_pin" in answer(admin_client, "x@example.com")


@needs_legacy
def test_the_settings_carry_mail(admin_client, mail_settings, account):
    mail_settings(host="relay.example", port=25)
    line = "relay.example:25. No account applies, so the settings' server is used."
    assert answer(admin_client, "x@example.com") == line


def test_the_question_needs_the_permission_to_view(staff, client):
    query = {"mail_from": "x@example.com"}
    assert staff("add_smtpaccount").get(LIST, query).status_code == 403
    assert client.get(LIST, query).status_code == 302


# Another admin site


@pytest.mark.urls("tests.admin.sites")
def test_another_admin_site(admin_client, account, mail_settings):
    mail_settings()
    account.is_default = True
    account.save()
    base = "/office/smtpauth/smtpaccount/"
    page = admin_client.get(base, {"mail_from": "x@example.com"}).content.decode()
    assert "Back office" in page
    assert f'href="{base}{account.pk}/change/"' in page
    page = admin_client.get(base + "add/").content.decode()
    assert f'data-url="{base}proposal/"' in page
    assert admin_client.get(base + "proposal/?address=a@gmail.com").status_code == 200
    response = admin_client.post(f"{base}{account.pk}/change/", posted(label="New"))
    assert response["Location"] == base
