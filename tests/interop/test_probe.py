"""The staged check against Postfix and Dovecot: what it shows when all is well, and when not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.report import Report, StageReport
from tests.interop.conftest import MessageFactory
from tests.interop.postfix import Postfix
from tests.interop.server import wait_for

pytestmark = pytest.mark.interop

WHOLE = Plan(reuse=True, data_probe=True)
#: What a silence costs here.
BRIEF = Plan(stage_seconds=1.0, siblings=())


def check(postfix: Postfix, port: str, plan: Plan = BRIEF, /, **options: Any) -> Report:
    return probe(postfix.backend(port, postfix.alice, **options).route(), plan)


def failed(report: Report) -> StageReport:
    assert report.failed is not None
    assert report.failed.findings[0].steps
    return report.failed


@pytest.mark.parametrize(("port", "version"), [("submission", "starttls"), ("smtps", "implicit")])
def test_every_stage_of_a_good_account(postfix: Postfix, port: str, version: str) -> None:
    log = Path(postfix.description["logs"]["postfix"])
    before = log.stat().st_size
    report = check(postfix, port, WHOLE)
    assert report.ok
    assert {s.name for s in report.stages if s.status == "skipped"} == {"DELIVERY"}
    facts = {stage.name: stage.facts for stage in report.stages}
    assert facts["DNS"]["host"] == "localhost"
    assert "127.0.0.1" in facts["DNS"]["addresses"]
    assert [one["address"] for one in facts["CONNECT"]["tried"] if not one["fault"]]
    assert facts["TLS"]["version"] == "TLSv1.3"
    assert facts["TLS"]["verification"].startswith("verified: it is for localhost")
    assert bool(facts["EHLO"]["before_tls"]) is (version == "starttls")
    assert facts["EHLO"]["size"] == 20_000_000
    assert facts["AUTH"]["mechanism"] == "SCRAM-SHA-256"
    assert facts["MAIL"]["sender"] == postfix.alice.address
    assert facts["REUSE"]["replies"] == [250] * 6
    assert facts["REUSE"]["discards_chunks"] is True
    data = report.stage("DATA").reply
    assert data is not None
    assert data.code == 354
    assert postfix.alice.password not in json.dumps(report.to_dict())
    # Nothing has a queue id but the envelopes that were taken back.
    wait_for(lambda: b"lost connection after DATA" in log.read_bytes()[before:], "the end")
    assert b" message-id=" not in log.read_bytes()[before:]


def test_a_message_is_delivered_once(postfix: Postfix, new_message: MessageFactory) -> None:
    message = new_message("rcpt1@example.test", from_email=postfix.alice.address)
    report = check(postfix, "submission", replace(WHOLE, message=message, data_probe=False))
    assert report.ok
    delivery = report.stage("DELIVERY")
    assert delivery.reply is not None
    assert delivery.facts["queue_id"] in delivery.reply.text
    assert re.search(r"SIZE=\d+", json.dumps(report.to_dict()))
    assert len(postfix.delivered(message)["rcpt1@example.test"]) == 1


@pytest.mark.parametrize(
    ("port", "options", "stage"),
    [
        ("submission", {"security": "implicit_tls"}, "TLS"),
        ("smtps", {"security": "starttls"}, "GREETING"),
        ("plain", {"security": "starttls", "username": ""}, "TLS"),
        ("plain", {"allow_auth_without_tls": True}, "AUTH"),
        ("submission", {"ca_file": None}, "TLS"),
        ("submission", {"password": "wrong"}, "AUTH"),
        ("submission", {"username": ""}, "RCPT"),
        ("encrypt_small", {"security": "none", "username": ""}, "MAIL"),
        ("tls_expired", {}, "TLS"),
        ("tls_wronghost", {}, "TLS"),
        ("tls_selfsigned", {}, "TLS"),
        ("auth_down", {}, "AUTH"),
        ("submission", {"auth_mechanisms": ["SCRAM-SHA-512"]}, "AUTH"),
    ],
)
def test_a_stage_that_fails(
    postfix: Postfix, port: str, options: dict[str, Any], stage: str
) -> None:
    report = check(postfix, port, **options)
    assert failed(report).name == stage
    assert failed(report).findings[0].stage == stage


def test_the_server_lets_nobody_send_as_another(postfix: Postfix) -> None:
    plan = replace(BRIEF, sender=postfix.bob.address, recipients=(postfix.alice.address,))
    stage = failed(check(postfix, "submission", plan))
    assert stage.name in ("MAIL", "RCPT")
    assert stage.reply is not None
    assert stage.reply.code == 553


def test_a_server_that_does_not_relay(postfix: Postfix) -> None:
    plan = replace(BRIEF, sender="me@example.org", recipients=("you@elsewhere.example",))
    stage = failed(check(postfix, "plain", plan, username="", password=""))
    assert stage.name == "RCPT"
    assert stage.reply is not None
    assert str(stage.reply.enhanced) == "5.7.1"
