"""What a monitor gets to know, and that nobody else does."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from django_smtpauth.checks import check_settings
from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.models import SMTPAccount, SMTPAccountCheck, SMTPAccountHealth

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.monitoring_urls")]

JSON, METRICS = "/mail/accounts.json", "/mail/metrics"
TOKEN = "a-long-token"
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def token(settings):
    settings.SMTPAUTH = {"MONITORING_TOKEN": TOKEN}


@pytest.fixture
def get(client):
    return lambda url, token=TOKEN: client.get(url, headers={"authorization": f"Bearer {token}"})


@pytest.fixture
def accounts():
    good = SMTPAccount.objects.create(slug="good", host="a.example.com", username="u@example.com")
    bad = SMTPAccount.objects.create(slug="bad", scope='te"nant\\', host="b.example.com")
    off = SMTPAccount.objects.create(slug="off", host="c.example.com", enabled=False)
    SMTPAccountHealth.objects.create(account=good, last_success_at=NOW, successes=4)
    for account in (bad, off):
        SMTPAccountHealth.objects.create(
            account=account,
            last_failure_at=NOW,
            failures=2,
            failure_stage="AUTH",
            failure_code=535,
            failure_rule="auth.password",
            failure_text="535 words of the server",
        )
    SMTPAccountCheck.objects.create(
        account=good,
        at=NOW,
        ok=True,
        facts={"certificate_ends": (NOW + timedelta(days=9)).isoformat()},
    )


@pytest.mark.parametrize("url", [JSON, METRICS])
def test_without_the_setting_there_is_no_such_page(get, settings, url):
    for absent in ({}, {"MONITORING_TOKEN": ""}, {"MONITORING_TOKEN": None}):
        settings.SMTPAUTH = absent
        assert get(url, "").status_code == 404


@pytest.mark.parametrize("url", [JSON, METRICS])
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_nothing_is_told(client, accounts, url, given):
    headers = {"authorization": given} if given else {}
    response = client.get(url, headers=headers)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert b"good" not in response.content


def test_the_token_is_no_parameter(client, accounts):
    assert client.get(f"{JSON}?token={TOKEN}").status_code == 401


def test_the_state_as_json(get, accounts):
    response = get(JSON)
    assert response.status_code == 503
    assert "no-store" in response["Cache-Control"]
    told = response.json()
    good, bad = told["accounts"]
    assert told["ok"] is False
    assert good == {
        "account": "good",
        "scope": "",
        "failing": False,
        "failures": 0,
        "last_success": NOW.isoformat(),
        "last_failure": None,
        "failure": None,
        "last_check": {
            "at": NOW.isoformat(),
            "ok": True,
            "stage": "",
            "rule": "",
            "certificate_ends": (NOW + timedelta(days=9)).isoformat(),
        },
    }
    assert bad["failing"] is True
    assert bad["failure"] == {"stage": "AUTH", "code": 535, "rule": "auth.password"}
    # Neither servers nor addresses nor anybody's words.
    assert not re.search(r"example\.com|words", response.content.decode())


def test_all_is_well(get, accounts):
    SMTPAccountHealth.objects.update(failures=0)
    response = get(JSON)
    assert (response.status_code, response.json()["ok"]) == (200, True)


def test_no_accounts(get):
    assert get(JSON).json() == {"ok": True, "accounts": []}
    assert get(METRICS).status_code == 200


def test_the_state_for_prometheus(get, accounts):
    response = get(METRICS)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.content.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    good, bad = 'account="good",scope=""', 'account="bad",scope="te\\"nant\\\\"'
    seconds = NOW.timestamp()
    assert {name: float(value) for name, value in values.items()} == {
        f"smtpauth_account_failing{{{good}}}": 0,
        f"smtpauth_account_failing{{{bad}}}": 1,
        f"smtpauth_account_failures{{{good}}}": 0,
        f"smtpauth_account_failures{{{bad}}}": 2,
        f"smtpauth_account_last_success_timestamp_seconds{{{good}}}": seconds,
        f"smtpauth_account_last_failure_timestamp_seconds{{{bad}}}": seconds,
        f"smtpauth_check_ok{{{good}}}": 1,
        f"smtpauth_check_timestamp_seconds{{{good}}}": seconds,
        f"smtpauth_certificate_end_timestamp_seconds{{{good}}}": seconds + 9 * 86400,
    }
    # Each line has the form that Prometheus reads.
    form = re.compile(r'\w+\{account="(?:[^"\\]|\\.)*",scope="(?:[^"\\]|\\.)*"\} \d+(\.\d+)?$')
    assert all(line.startswith("# ") or form.match(line) for line in lines)


def test_the_page_on_monitoring_names_everything(get, accounts):
    text = (Path(__file__).parents[1] / "docs/monitoring.md").read_text()
    told = set(re.findall(r"^\| `(smtpauth_\w+)` \|", text, re.M))
    names = re.findall(r"^# TYPE (\w+) gauge$", get(METRICS).content.decode(), re.M)
    assert told == set(names)
    rows = " ".join(re.findall(r"^\| (`.*)$", text, re.M))
    state = get(JSON).json()["accounts"][0]
    assert {*state, *state["last_check"]} <= set(re.findall(r"`(\w+)`", rows))


def test_the_snippets_of_the_page_on_monitoring(settings, monkeypatch):
    text = (Path(__file__).parents[1] / "docs/monitoring.md").read_text()
    urls, setting = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    names: dict[str, Any] = {}
    exec(urls, names)
    (included,) = names["urlpatterns"]
    assert included.resolve("mail/metrics").url_name == "metrics"
    monkeypatch.setenv("SMTP_MONITORING_TOKEN", "t")
    exec(setting, names)
    settings.SMTPAUTH = names["SMTPAUTH"]
    assert smtpauth_settings.monitoring_token == "t"


def test_it_is_only_read(client, accounts):
    assert client.post(JSON, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 405


def test_it_costs_one_query(get, accounts, django_assert_num_queries):
    with django_assert_num_queries(1):
        get(METRICS)


def test_a_token_that_is_no_text_is_found_by_a_check(settings):
    settings.SMTPAUTH = {"MONITORING_TOKEN": 5}
    assert [message.id for message in check_settings(None)] == ["smtpauth.E002"]
