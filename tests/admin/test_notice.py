"""What people are told of failed real mail: in the list, on the account, on the start page."""

from __future__ import annotations

import html
import re

import pytest
from django.core.mail import EmailMessage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from tests.admin.pages import list_of, url
from tests.backend_fixtures import default_backend

pytestmark = pytest.mark.django_db

START = "/admin/"
WORDS = "535 5.7.8 Geheimnis of the server"
RULE, TITLE = "auth.refused", "The server does not take this user name with this password"


def failing(account, number=1, **fields):
    usual = {
        "failure_stage": "AUTH",
        "failure_code": 535,
        "failure_status": "5.7.8",
        "failure_text": f"AUTH failed: {WORDS}",
        "failure_rule": RULE,
    }
    state = {"last_failure_at": timezone.now(), "failures": number, **usual, **fields}
    return SMTPAccountHealth.objects.create(account=account, **state)


def notices(client, address=START):
    page = client.get(address).content.decode()
    return [
        html.unescape(one) for one in re.findall(r'<li class="smtpauth error">(.*?)</li>', page)
    ]


def text(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


WAYS = {
    "a message": lambda mailer: mailer.send_messages(
        [EmailMessage("S", "T", "a@example.com", ["b@example.org"])]
    ),
    "a connection alone": lambda mailer: mailer.open(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_rule_of_a_failed_send_is_kept(scripted_server, mail_settings, admin_client, way):
    refusal = b"535 5.7.8 No\r\n"
    server = scripted_server(extensions=["AUTH PLAIN"], replies={"AUTH": refusal})
    mail_settings()
    account = SMTPAccount.objects.create(
        slug="club",
        host=server.host,
        port=server.port,
        security="none",
        allow_auth_without_tls=True,
        internal_host=True,
        username="club",
        password="y",
        is_default=True,
    )
    with pytest.raises(Exception, match="535") as caught:
        way(default_backend())
    finding = caught.value.finding
    assert SMTPAccountHealth.objects.get().failure_rule == finding.rule
    page = text(admin_client.get(url(account)).content.decode())
    assert str(finding.title) in page
    assert str(finding.steps[0]) in page


def test_the_account_and_the_list_tell_cause_and_cure(staff, account):
    failing(account)
    plain = staff("view_smtpaccount")
    page = plain.get(url(account)).content.decode()
    assert f'data-rule="{RULE}"' in page
    assert re.search(r"<ol><li>\w", page)
    (cell,) = list_of(plain, "mail")
    assert TITLE in text(" ".join(cell))
    # The server's words are for those who may test.
    for shown in (page, " ".join(cell), "".join(notices(plain))):
        assert "Geheimnis" not in shown
    tester = staff("view_smtpaccount", "test_smtpaccount")
    assert "Geheimnis" in tester.get(url(account)).content.decode()


def test_an_unknown_rule_is_explained_anew(staff, account):
    failing(account, failure_rule="of.a-later-version", failure_stage="RCPT", failure_code=599)
    page = staff("view_smtpaccount").get(url(account)).content.decode()
    assert "data-rule=" in page
    assert "of.a-later-version" not in page


def test_the_start_page_tells_while_mail_is_not_leaving(admin_client, account):
    assert notices(admin_client) == []
    state = failing(account)
    (notice,) = notices(admin_client)
    assert "Mail is not leaving. “Club”: " in notice
    target = re.search(r'href="([^"]+)"', notice)[1]
    response = admin_client.get(target)
    assert [one.slug for one in response.context["cl"].result_list] == ["club"]
    # Told on the start page only, and each time.
    assert notices(admin_client, "/admin/smtpauth/") == []
    assert notices(admin_client, url(account)) == []
    assert len(notices(admin_client)) == 1
    state.failures = 0
    state.save()
    assert notices(admin_client) == []


def test_an_account_that_is_off_is_no_news(admin_client, account):
    failing(account)
    SMTPAccount.objects.update(enabled=False)
    assert notices(admin_client) == []


def test_the_notice_is_for_those_who_may_see_accounts(staff, account):
    failing(account)
    assert notices(staff("view_logentry")) == []
    assert len(notices(staff("view_smtpaccount"))) == 1


def test_many_accounts_make_one_notice(admin_client, account):
    failing(account)
    for number in range(5):
        named = {"slug": f"a{number}", "label": f"<b>{number}"}
        failing(SMTPAccount.objects.create(host="relay.example", **named))
    (notice,) = notices(admin_client)
    assert notice.count("“") == 3
    assert "and 3 more" in notice
    assert "<b>0" not in admin_client.get(START).content.decode()


def test_the_notice_costs_one_query(admin_client, account):
    with CaptureQueriesContext(connection) as quiet:
        admin_client.get(START)
    failing(account)
    with CaptureQueriesContext(connection) as told:
        admin_client.get(START)
    ours = [q for q in quiet.captured_queries if "smtpauth_smtpaccount" in q["sql"]]
    assert len(ours) == 1
    assert len(told) == len(quiet)


@pytest.mark.urls("tests.admin.sites")
def test_another_admin_site_tells_it_too(client, django_user_model, account):
    client.force_login(
        django_user_model.objects.create(username="a", is_staff=True, is_superuser=True)
    )
    failing(account)
    (notice,) = notices(client, reverse("office:index"))
    assert "/office/smtpauth/" in notice
