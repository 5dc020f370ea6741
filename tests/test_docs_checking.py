"""docs/checking.md says what a check is: its plan, its stages, its JSON, its warnings."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.diagnosis import sender_dns, warnings
from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.report import STAGES, Report
from tests.backend_fixtures import (  # noqa: F401
    AccountFactory,
    _fresh_process,
    backend_for,
    make_account,
)
from tests.presets.dns_server import DNSServer
from tests.servers.certificates import Certificates
from tests.servers.fixtures import MuteFactory, ServerFactory
from tests.test_docs import ROOT, first_column, snippets

PAGE = ROOT / "docs/checking.md"


def rows(heading: str) -> list[list[str]]:
    section = PAGE.read_text().split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.fixture
def reports(
    scripted_server: ServerFactory, certificates: Certificates, mute: MuteFactory
) -> list[Report]:
    """Checks that between them show all that there is."""
    server = scripted_server(
        users={"club": "secret"},
        ssl_context=certificates.server(),
        extensions=["PIPELINING", "CHUNKING", "STARTTLS"],
        extensions_after_tls=["PIPELINING", "CHUNKING", "AUTH PLAIN"],
    )
    own = {"username": "club", "password": "secret", "ca_file": certificates.ca_file}
    route = backend_for(server, host="localhost", security="starttls", **own).route()
    message = EmailMessage("S", "B", "me@example.com", ["you@example.org"])
    silent = mute(("127.0.0.1", 0)).address[1]
    elsewhere = replace(route, endpoint=replace(route.endpoint, port=silent))
    plan = Plan(reuse=True, data_probe=True, sender_dns=True, sender="me@example.com")
    with DNSServer({}) as dns:
        whole = probe(route, plan, resolver=dns.resolver())
    return [
        whole,
        probe(route, Plan(message=message)),
        probe(elsewhere, Plan(stage_seconds=0.2, siblings=(server.port,))),
    ]


def test_the_table_of_the_plan() -> None:
    listed = first_column(PAGE, "## What is said to the server")
    assert listed == [field.name for field in fields(Plan)]


def test_the_table_of_stages(reports: list[Report]) -> None:
    table = rows("## Stages")
    assert [words(row[0])[0] for row in table] == list(STAGES)
    shown: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        for stage in report.stages:
            shown[stage.name] |= set(stage.facts) - {"why"}
    assert {words(row[0])[0]: set(words(row[2])) for row in table} == dict(shown)


def test_the_table_of_keys(reports: list[Report]) -> None:
    table = {words(row[0])[0]: words(row[1]) for row in rows("## The report as JSON")}
    told = reports[1].to_dict()
    assert list(table) == list(told)
    assert table["target"] == list(told["target"])
    stage = next(one for one in told["stages"] if one["reply"])
    assert table["stages"] == [*stage, *stage["reply"]]
    assert table["findings"] == list(reports[2].to_dict()["findings"][0])
    assert table["transcript"] == list(told["transcript"][0])


def test_the_table_of_warnings() -> None:
    source = "".join(Path(module.__file__).read_text() for module in (warnings, sender_dns))
    ids = re.findall(r'"((?:connect|greeting|tls|ehlo|auth|message|sender)\.[a-z-]+)"', source)
    assert sorted(first_column(PAGE, "## Warnings")) == sorted(set(ids))
    assert f"in under {warnings.FEW_DAYS} days" in PAGE.read_text()
    assert f"{warnings.NEAR:.0%}".replace("%", " %") in PAGE.read_text()


@pytest.mark.django_db
def test_the_snippets(
    scripted_server: ServerFactory,
    make_account: AccountFactory,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    server, names = scripted_server(extensions=[]), dict[str, Any]()
    make_account("billing", server)
    for code in snippets(PAGE, "python"):
        exec(code, names)
    assert names["check"]("billing")["ok"]
    assert "EHLO The server does not offer PIPELINING" in capsys.readouterr().out
    where = {"host": server.host, "port": server.port, "security": "none"}
    assert names["check_unsaved"](**where, internal_host=True).ok
    assert not names["check_unsaved"](**where).ok
