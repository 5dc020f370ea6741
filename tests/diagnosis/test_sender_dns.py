"""SPF and DMARC of a sender's domain, asked of a real DNS server on loopback."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from django_smtpauth import presets
from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.sender_dns import INSTALL, MAX_LOOKUPS, check_sender
from tests.backend_fixtures import _fresh_process, backend_for  # noqa: F401
from tests.presets.dns_server import BROKEN, SILENT, DNSServer, Zone
from tests.servers.fixtures import ServerFactory

GOOGLE = presets.get("google-workspace")
SPF = "example.com TXT"
DMARC = {"_dmarc.example.com TXT": ['"v=DMARC1; p=none"']}


def look(zone: Zone, address: str = "me@example.com", preset: Any = GOOGLE) -> Any:
    with DNSServer(zone) as server:
        facts, findings = check_sender(address, preset, resolver=server.resolver())
    return facts, [finding.rule for finding in findings]


@pytest.mark.parametrize(
    ("records", "names", "rules"),
    [
        (['"v=spf1 include:_spf.google.com ~all"'], True, []),
        (['"v=spf1 redirect=_spf.google.com"'], True, []),
        (['"V=SPF1 +include:_SPF.google.com -all"'], True, []),
        (['"v=spf1 " "include:_spf.goo" "gle.com ~all"'], True, []),
        (['"v=spf1 include:own.example.com -all"'], True, []),
        (['"v=spf1 include:other.example.com -all"'], False, ["sender.spf-lacks-provider"]),
        (['"v=spf1 -include:_spf.google.com -all"'], False, ["sender.spf-lacks-provider"]),
        (['"v=spf1 include:loop.example.com -all"'], False, ["sender.spf-lacks-provider"]),
        (['"v=spf1 mx -all"'], False, ["sender.spf-lacks-provider"]),
        (['"v=spf10 x"', '"proof=1"'], None, ["sender.spf-missing"]),
        (['"v=spf1 mx -all"', '"v=spf1 a -all"'], None, ["sender.spf-twice"]),
    ],
)
def test_spf(records: list[str], names: bool | None, rules: list[str]) -> None:
    zone = {
        SPF: records,
        "own.example.com TXT": ['"v=spf1 include:_spf.google.com -all"'],
        "other.example.com TXT": ['"v=spf1 ip4:192.0.2.1 -all"'],
        "loop.example.com TXT": ['"v=spf1 include:loop.example.com -all"'],
    }
    facts, found = look({**zone, **DMARC})
    assert facts["names_provider"] is names
    assert facts["checked"] is True
    assert found == rules


def test_many_lookups_have_an_end() -> None:
    chain = {
        f"n{n}.example.com TXT": [f'"v=spf1 include:n{n + 1}.example.com -all"'] for n in range(30)
    }
    zone = {SPF: ['"v=spf1 include:n0.example.com -all"'], **chain, **DMARC}
    with DNSServer(zone) as server:
        _, findings = check_sender("me@example.com", GOOGLE, resolver=server.resolver())
        asked = [question for question in server.asked if question.startswith("n")]
    assert [finding.rule for finding in findings] == ["sender.spf-lacks-provider"]
    assert len(asked) == MAX_LOOKUPS


def test_a_provider_whose_name_in_spf_is_not_known() -> None:
    facts, rules = look({SPF: ['"v=spf1 mx -all"'], **DMARC}, preset=None)
    assert facts["spf"] == "v=spf1 mx -all"
    assert facts["names_provider"] is None
    assert rules == []


def test_dmarc_of_a_domain_above_counts() -> None:
    zone = {"news.example.com TXT": ['"v=spf1 mx -all"'], **DMARC}
    facts, rules = look(zone, "me@news.example.com", None)
    assert facts["dmarc"] == "v=DMARC1; p=none"
    assert rules == []
    facts, rules = look({"example.org TXT": ['"v=spf1 mx -all"']}, "me@example.org", None)
    assert facts["dmarc"] is None
    assert rules == ["sender.dmarc-missing"]


@pytest.mark.parametrize("answer", [SILENT, BROKEN])
def test_a_dns_that_does_not_answer(answer: str) -> None:
    began = time.monotonic()
    with DNSServer({SPF: answer}) as server:
        facts, findings = check_sender(
            "me@example.com", GOOGLE, seconds=0.2, resolver=server.resolver()
        )
    assert facts["checked"].startswith("not checked: ")
    assert findings == ()
    assert time.monotonic() - began < 10


def test_without_dnspython_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    assert check_sender("me@example.com", GOOGLE)[0]["checked"] == INSTALL


@pytest.mark.parametrize("sender", ["me@example.com", ""])
def test_a_check_asks_only_when_it_is_told(scripted_server: ServerFactory, sender: str) -> None:
    with DNSServer({SPF: ['"v=spf1 mx -all"']}) as server:
        route = backend_for(scripted_server()).route()
        own = Plan(sender=sender, recipients=("you@example.org",))
        assert "dns" not in probe(route, own, resolver=server.resolver()).stage("MAIL").facts
        assert server.asked == []
        asking = Plan(sender=sender, recipients=("you@example.org",), sender_dns=True)
        report = probe(route, asking, resolver=server.resolver())
    assert report.ok
    assert bool(server.asked) is bool(sender)
    rules = [finding.rule for finding in report.findings]
    assert rules == (["sender.dmarc-missing"] if sender else [])
