"""Checks and test messages: what the page shows, what is kept, who may, and what never happens."""

from __future__ import annotations

import html
import json
import re
import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import LogEntry
from django.core.cache import cache
from django.test import AsyncClient, Client
from django.urls import reverse

from django_smtpauth.admin import limits, probing
from django_smtpauth.diagnosis import sender_dns
from django_smtpauth.models import SMTPAccount, SMTPAccountCheck, SMTPAccountHealth
from django_smtpauth.presets.discovery import DiscoveryUnavailable
from tests.admin.pages import ADD, LIST, SECRET, errors, leaked, list_of, posted, url
from tests.presets.dns_server import DNSServer
from tests.servers.scripted import SILENCE

pytestmark = pytest.mark.django_db

USER = "club@example.com"
OFFERS = ["PIPELINING", "SIZE 1000000", "AUTH PLAIN LOGIN"]
TESTER = ("view_smtpaccount", "test_smtpaccount")
EDITOR = (*TESTER, "change_smtpaccount", "change_secret_smtpaccount", "use_internal_host")


@pytest.fixture(autouse=True)
def _alone(settings, monkeypatch):
    """No counts of other tests, no name of this machine, and no DNS but the test's own."""
    cache.clear()
    settings.SMTPAUTH = {**settings.SMTPAUTH, "DEFAULTS": {"ehlo_name": "client.test"}}
    with DNSServer({"example.com TXT": ['"v=spf1 -all"'], "_dmarc.example.com TXT": []}) as server:
        resolver = server.resolver()
        monkeypatch.setattr("dns.resolver.Resolver", lambda: resolver)
        yield


@pytest.fixture
def server(scripted_server):
    return scripted_server(users={USER: SECRET}, extensions=OFFERS)


@pytest.fixture
def at_server(server):
    """The account `club` at that server, which is an internal host."""
    return account_at(server)


def account_at(server, **fields):
    own = {"slug": "club", "label": "Club", "username": USER, "password": SECRET}
    where = {"host": server.host, "port": server.port, "internal_host": True}
    how = {"security": "none", "allow_auth_without_tls": True}
    return SMTPAccount.objects.create(**{**own, **where, **how, **fields})


def values(server, **changes):
    """What the browser sends for that account."""
    return posted(
        host=server.host,
        port=str(server.port),
        security="none",
        allow_auth_without_tls="on",
        internal_host="on",
        **changes,
    )


def check_url(account):
    return reverse("admin:smtpauth_smtpaccount_check", args=[account.pk])


def shown(response):
    """The page as text."""
    assert response.status_code == 200, response.status_code
    page = b"".join(response.streaming_content).decode()
    assert leaked(page) == []
    return page


def words(page):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def statuses(page):
    found = re.findall(
        r'<li class="smtpauth-stage smtpauth-(\w+)">.*?smtpauth-quiet">(\w+)', page, re.S
    )
    return {name: status for status, name in found}


# What the page shows


def test_a_good_check_of_what_is_stored(staff, server, at_server):
    page = shown(staff(*TESTER).post(check_url(at_server)))
    told = statuses(page)
    assert {told[name] for name in ("CONNECT", "EHLO", "AUTH", "MAIL", "RCPT")} <= {
        "ok",
        "warning",
    }
    assert not {"REUSE", "DATA"} & told.keys()
    assert "Connection and log-in work. Nothing was sent." in words(page)
    assert server.messages == []
    verbs = [verb for one in server.connections for verb in one.verbs]
    assert "AUTH" in verbs
    assert "DATA" not in verbs


def test_a_refused_log_in_leads_to_the_field(admin_client, scripted_server):
    server = scripted_server(
        users={USER: "another"},
        extensions=OFFERS,
        replies={"AUTH": b"535 5.7.8 Authentication credentials invalid\r\n"},
    )
    account = account_at(server)
    page = shown(admin_client.post(url(account), values(server, _check="1")))
    assert statuses(page)["AUTH"] == "failed"
    failed = page.split('smtpauth-stage smtpauth-failed"')[1].split("</li>\n")[0]
    assert "535 5.7.8 Authentication credentials invalid" in failed
    # The cause stands beside the stage, and leads to the field.
    assert f'href="{url(account)}#id_password"' in page.split("smtpauth-verdict")[0]
    assert re.search(r"<ol><li>\w+", page)
    assert "It failed at: Log-in. Nothing was sent." in words(page)


def test_the_dialogue_and_the_text_for_support(admin_client, server, at_server):
    page = shown(admin_client.post(url(at_server), values(server, _check="1")))
    dialogue = page.split('class="smtpauth-dialogue"')[1].split("</pre>")[0]
    assert re.search(r"^\d+\.\d{3} S 220 ", dialogue, re.M)
    assert "AUTH PLAIN" in dialogue
    assert "MAIL FROM:&lt;club@example.com&gt;" in dialogue
    support = page.split("<textarea")[1].split("</textarea>")[0]
    assert "&lt;address 1&gt;" in support
    assert "club@example.com" not in support
    assert "AUTH: ok" in support


def test_only_the_pieces_for_the_script(admin_client, server, at_server):
    data = values(server, _check="1", _pieces="1")
    page = shown(admin_client.post(url(at_server), data))
    assert page.lstrip().startswith("<section")
    assert page.rstrip().endswith("</section>")


def test_the_stages_arrive_as_they_end(admin_client, scripted_server):
    """Half the page is there while the server still keeps its answer back."""
    go_on = threading.Event()

    def answer(_connection, _line):
        go_on.wait(10)
        return b"250 2.1.0 Ok\r\n"

    server = scripted_server(extensions=[], replies={"MAIL": answer})
    account = account_at(server, username="", password="", authentication="none")
    pieces = iter(admin_client.post(check_url(account)).streaming_content)
    seen = b""
    while b">EHLO" not in seen:
        seen += next(pieces)
    assert not go_on.is_set()
    go_on.set()
    assert b"data-verdict" in b"".join(pieces)


def test_a_silent_server_takes_no_more_than_the_budget(admin_client, scripted_server, monkeypatch):
    monkeypatch.setattr(probing, "BUDGET", 0.5)
    monkeypatch.setattr(probing, "STAGE_BUDGET", 0.3)
    account = account_at(scripted_server(replies={"GREETING": SILENCE}))
    page = shown(admin_client.post(check_url(account)))
    assert statuses(page)["GREETING"] == "failed"


def test_a_vault_that_never_answers_does_not_hold_up_the_page(
    admin_client, server, settings, monkeypatch
):
    monkeypatch.setattr(probing, "BUDGET", 0.2)
    monkeypatch.setattr(probing, "GRACE", 0.1)
    freed, asked = threading.Event(), threading.Event()

    def vault(_account):
        asked.set()
        freed.wait(30)

    account = account_at(server)
    settings.SMTPAUTH = {**settings.SMTPAUTH, "CREDENTIALS": vault}
    try:
        page = shown(admin_client.post(check_url(account)))
        assert asked.is_set()
    finally:
        freed.set()
    assert "The check did not end in its time." in words(page)


def test_under_asgi_the_page_comes_whole(django_user_model, scripted_server):
    """And without a warning, which would be an error here."""
    client = AsyncClient()
    user = django_user_model.objects.create(username="a", is_staff=True, is_superuser=True)
    client.force_login(user)
    server = scripted_server(extensions=[])
    account = account_at(server, username="", password="", authentication="none")
    response = async_to_sync(client.post)(check_url(account))
    assert "Connection and log-in work." in response.content.decode()


# Before it is saved


def test_an_account_that_is_not_saved(admin_client, server):
    data = values(server, password=SECRET, _check="1")
    page = shown(admin_client.post(ADD, data))
    assert statuses(page)["AUTH"] in ("ok", "warning")
    assert not SMTPAccount.objects.exists()
    assert not SMTPAccountCheck.objects.exists()
    assert f'href="{ADD}"' in page


def test_values_that_are_not_saved(admin_client, scripted_server, at_server):
    other = scripted_server(users={USER: "new"}, extensions=OFFERS)
    before = SMTPAccount.objects.values().get()
    data = values(other, password="new", _check="1")
    page = shown(admin_client.post(url(at_server), data))
    assert statuses(page)["AUTH"] in ("ok", "warning")
    assert SMTPAccount.objects.values().get() == before
    # It says nothing of the account as it is stored.
    assert not SMTPAccountCheck.objects.exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("button", ["_check", "_send_test"])
def test_wrong_values_bring_the_form_back_and_save_nothing(
    admin_client, server, at_server, button
):
    before = SMTPAccount.objects.values().get()
    data = values(server, timeout="-3", label="Other", _test_recipient="a@example.com")
    response = admin_client.post(url(at_server), data | {button: "1"})
    assert response.status_code == 200
    assert {"timeout", "__all__"} <= errors(response).keys()
    assert SMTPAccount.objects.values().get() == before
    assert server.connections == []


def test_the_script_is_told_that_the_page_has_to_tell(admin_client, server, at_server):
    data = values(server, timeout="-3", _check="1", _pieces="1")
    assert admin_client.post(url(at_server), data).status_code == 204
    data = {"_send_test": "1", "_pieces": "1"}
    assert admin_client.post(check_url(at_server), data).status_code == 204
    # Nothing waits to be told twice.
    assert "Type one address" not in admin_client.get(LIST).content.decode()


def test_a_recipient_that_is_none_brings_the_form_back(admin_client, server, at_server):
    data = values(server, label="Other", _send_test="1", _test_recipient="a@x\r\nb")
    response = admin_client.post(url(at_server), data)
    assert response.status_code == 200
    assert "Type one address" in response.content.decode()
    assert SMTPAccount.objects.get().label == "Club"
    assert server.connections == []


# Never the stored secret to somebody else


@pytest.mark.parametrize(
    "changes",
    [
        {"port": "25"},
        {"username": "mallory"},
        {"allow_auth_without_tls": ""},
        {"proxy": "socks5://127.0.0.1:1"},
    ],
    ids=str,
)
def test_the_stored_secret_goes_nowhere_else(admin_client, server, at_server, changes):
    response = admin_client.post(url(at_server), values(server) | changes | {"_check": "1"})
    assert response.status_code == 200
    assert "password" in errors(response)
    assert server.connections == []


def test_another_server_never_gets_the_stored_secret(staff, server, scripted_server, at_server):
    """By a form without the field of the password, and by one with it left empty."""
    other = scripted_server(extensions=OFFERS)
    clients = [staff(*EDITOR), staff(*(set(EDITOR) - {"change_secret_smtpaccount"}))]
    for client in clients:
        data = values(other) | {"_check": "1"}
        assert {"password", "port"} & errors(client.post(url(at_server), data)).keys()
        # Removing it is no way either: then nothing is sent.
        data |= {"password-clear": "on", "authentication": "none"}
        client.post(url(at_server), data)
    assert all(b"AUTH" not in command for command in other.commands)


def test_a_row_that_was_led_elsewhere_past_the_forms(
    admin_client, server, at_server, scripted_server
):
    other = scripted_server(extensions=OFFERS)
    SMTPAccount.objects.update(host=other.host, port=other.port)
    page = shown(admin_client.post(check_url(at_server)))
    assert statuses(page)["AUTH"] == "failed"
    assert all(b"AUTH" not in command for command in other.commands)


def test_an_internal_host_is_not_asked(staff, server):
    """The guard holds for checks: who may not grant it can't look around in the network."""
    client = staff(*(set(EDITOR) - {"use_internal_host"}), "add_smtpaccount")
    data = values(server, password=SECRET, _check="1")
    response = client.post(ADD, data)
    assert "none that accounts of this site may use" in errors(response)["port"][0]
    assert server.connections == []


# Who may, and how


def test_a_check_is_posted(admin_client, at_server):
    assert admin_client.get(check_url(at_server)).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies
    assert strict.post(check_url(at_server)).status_code == 403
    assert strict.post(url(at_server), {"_check": "1"}).status_code == 403


@pytest.mark.parametrize(
    ("permissions", "stored", "form"),
    [
        (("view_smtpaccount", "change_smtpaccount"), 403, 403),
        (("test_smtpaccount",), 403, 403),
        (TESTER, 200, 403),
        (EDITOR, 200, 200),
    ],
)
def test_who_may_check(staff, server, at_server, permissions, stored, form):
    client = staff(*permissions)
    assert client.post(check_url(at_server)).status_code == stored
    assert client.post(url(at_server), values(server, _check="1")).status_code == form
    if stored == form == 403:
        assert server.connections == []


def test_nobody_checks_without_signing_in(client, server, at_server):
    assert client.post(check_url(at_server)).status_code == 302
    assert server.connections == []


def test_the_buttons_are_for_those_who_may(staff, at_server):
    for permissions, there in [(TESTER, True), (("view_smtpaccount",), False), (EDITOR, True)]:
        page = staff(*permissions).get(url(at_server)).content.decode()
        assert ('name="_check"' in page) is there
    page = staff(*TESTER).get(url(at_server)).content.decode()
    assert f'formaction="{check_url(at_server)}"' in page


def test_an_account_that_is_gone(admin_client, at_server):
    gone = check_url(at_server)
    at_server.delete()
    assert admin_client.post(gone).status_code == 404


CACHES = {
    "a cache": "django.core.cache.backends.locmem.LocMemCache",
    "one that counts nothing": "django.core.cache.backends.dummy.DummyCache",
}


@pytest.mark.parametrize("backend", CACHES.values(), ids=CACHES)
def test_too_many_checks(staff, settings, monkeypatch, server, at_server, backend):
    settings.CACHES = {"default": {"BACKEND": backend}}
    monkeypatch.setattr(limits, "_own", limits.Counter())
    client, other = staff(*EDITOR), staff(*TESTER)
    for _ in range(limits.MOST):
        shown(client.post(check_url(at_server)))
    connections = len(server.connections)
    page = client.post(check_url(at_server), follow=True).content.decode()
    assert "Wait a minute" in page
    response = client.post(url(at_server), values(server, _check="1"))
    assert response.status_code == 200
    assert "Wait a minute" in response.content.decode()
    assert len(server.connections) == connections
    # Somebody else's checks, and those of another account, are counted for themselves.
    shown(other.post(check_url(at_server)))


def test_the_own_count_ends_and_is_bounded():
    now = [0.0]
    counter = limits.Counter(lambda: now[0])
    assert [counter.count("a") for _ in range(3)] == [1, 2, 3]
    now[0] += limits.SECONDS
    assert counter.count("a") == 1
    for number in range(limits.MOST_REMEMBERED + 5):
        counter.count(str(number))
    assert len(counter._counts) == limits.MOST_REMEMBERED


# Test messages


def test_a_test_message(admin_client, server, at_server):
    data = values(server, _send_test="1", _test_recipient="ann@example.org")
    page = words(shown(admin_client.post(url(at_server), data)))
    (message,) = server.accepted
    assert (message.sender, message.recipients) == (USER, ["ann@example.org"])
    assert b"Auto-Submitted: auto-generated" in message.content
    assert "The server accepted the test message." in page
    assert "Accepted is not arrived." in page
    assert "To: ann@example.org" in page
    assert "SPF: v=spf1 -all" in page
    assert "DMARC: no record" in page
    assert "dkim=pass" in page
    assert LogEntry.objects.get().get_change_message() == "Tried to send a test message."
    # A test is no real mail.
    assert not SMTPAccountHealth.objects.exists()


def test_without_dnspython_the_page_says_what_to_install(
    admin_client, server, at_server, monkeypatch
):
    def absent(*_args, **_more):
        raise DiscoveryUnavailable

    monkeypatch.setattr(sender_dns, "texts", absent)
    data = values(server, _send_test="1", _test_recipient="ann@example.org")
    page = words(shown(admin_client.post(url(at_server), data)))
    assert "SPF, DMARC: not checked: pip install" in page


def test_the_queue_id_is_told(admin_client, scripted_server):
    server = scripted_server(
        users={USER: SECRET},
        extensions=OFFERS,
        replies={"CONTENT": b"250 2.0.0 Ok: queued as 4Tz9XkQ\r\n"},
    )
    data = {"_send_test": "1", "_test_recipient": "ann@example.org"}
    page = shown(admin_client.post(check_url(account_at(server)), data))
    assert "Queue id: 4Tz9XkQ" in words(page)


def test_what_lmtp_takes_has_arrived(admin_client, scripted_server):
    server = scripted_server(extensions=[])
    account = account_at(server, protocol="lmtp", username="", password="", authentication="none")
    data = {"_send_test": "1", "_test_recipient": "ann@example.org"}
    page = words(shown(admin_client.post(check_url(account), data)))
    assert "The server delivered the test message." in page
    assert "Accepted is not arrived." not in page


def test_a_refused_recipient(admin_client, scripted_server):
    server = scripted_server(
        users={USER: SECRET},
        extensions=OFFERS,
        replies={"RCPT": b"554 5.7.1 Relay access denied\r\n"},
    )
    data = {"_send_test": "1", "_test_recipient": "ann@example.org"}
    page = shown(admin_client.post(check_url(account_at(server)), data))
    assert statuses(page)["RCPT"] == "failed"
    assert "Accepted is not arrived." not in page


# What is kept


def test_the_check_is_kept_with_the_account(staff, server, at_server):
    client = staff(*EDITOR)
    shown(client.post(check_url(at_server)))
    kept = SMTPAccountCheck.objects.get()
    assert (kept.ok, kept.stage, kept.rule, kept.title) == (True, "", "", "")
    assert kept.by == "user0"
    assert kept.good_at == kept.at
    assert kept.facts["mechanisms"] == ["PLAIN", "LOGIN"]
    assert kept.facts["size"] == 1000000
    assert "example.com" not in json.dumps(kept.facts)
    (cell,) = list_of(client, "check_state")
    assert "good" in " ".join(cell)
    # A form that nobody has changed says the same as what is stored.
    shown(client.post(url(at_server), values(server, _check="1")))
    assert SMTPAccountCheck.objects.get().at > kept.at


def test_what_changed_since_the_last_good_check(
    admin_client, staff, server, at_server, scripted_server
):
    shown(admin_client.post(check_url(at_server)))
    good = SMTPAccountCheck.objects.get()
    worse = scripted_server(extensions=["SIZE 1000", "AUTH FOO"])
    account = at_server
    account.host, account.port, account.password = worse.host, worse.port, SECRET
    account.save()
    page = words(shown(admin_client.post(check_url(account))))
    assert "AUTH no longer offers PLAIN, LOGIN." in page
    assert "The server takes smaller messages: 1000 octets at most." in page
    assert "The server no longer offers PIPELINING." in page
    kept = SMTPAccountCheck.objects.get()
    assert (kept.ok, kept.stage) == (False, "AUTH")
    assert kept.rule
    assert kept.title
    assert (kept.good_at, kept.good_facts) == (good.at, good.facts)
    (cell,) = list_of(admin_client, "check_state")
    assert kept.title in html.unescape(" ".join(cell))
    change = words(admin_client.get(url(account)).content.decode())
    assert "AUTH no longer offers PLAIN, LOGIN." in change
    assert "The last good check was on" in change
    # What a server offers is for those who may have it asked.
    change = words(staff("view_smtpaccount").get(url(account)).content.decode())
    assert "The last good check was on" in change
    assert "AUTH no longer offers" not in change


def test_a_check_of_an_older_account_says_so(admin_client, at_server):
    shown(admin_client.post(check_url(at_server)))
    assert "before the account was changed" not in str(list_of(admin_client, "check_state"))
    at_server.save()
    assert "before the account was changed" in str(list_of(admin_client, "check_state"))


def test_a_staging_site_gets_the_test_message_itself(admin_client, server, at_server, settings):
    settings.SMTPAUTH = {**settings.SMTPAUTH, "REDIRECT_TO": "staging@example.com"}
    data = {"_send_test": "1", "_test_recipient": "ann@example.org"}
    shown(admin_client.post(check_url(at_server), data))
    assert [message.recipients for message in server.accepted] == [["staging@example.com"]]


def test_the_list_filters_by_the_last_check(admin_client, account):
    for slug, ok in [("good", True), ("failed", False)]:
        made = SMTPAccount.objects.create(slug=slug, host="relay.example")
        SMTPAccountCheck.objects.create(account=made, at=made.created_at, ok=ok)

    def slugs(query):
        response = admin_client.get(LIST + query)
        return [each.slug for each in response.context["cl"].result_list]

    assert slugs("?check=good") == ["good"]
    assert slugs("?check=failed") == ["failed"]
    assert slugs("?check=none") == ["club"]
    assert slugs("?check=nonsense") == ["club", "failed", "good"]
