"""The staged check on scripted servers: what each stage shows, and how it fails."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMessage

from django_smtpauth.diagnosis.plan import Plan, sender_of
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.report import STAGES, Report, StageReport
from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending.accounts import account_of
from django_smtpauth.sending.routing import Route, Rule, account_route
from django_smtpauth.smtp.dialling import AddressInfo
from tests.backend_fixtures import (  # noqa: F401
    PASSWORD,
    USER,
    _fresh_process,
    backend_for,
)
from tests.servers.certificates import Certificates
from tests.servers.fixtures import MuteFactory, ServerFactory
from tests.servers.proxies import Socks5Proxy
from tests.servers.scripted import CLOSE, SILENCE, Answer, Drip, ScriptedServer, Then

#: Seconds within which every check here is over, however the server behaves.
BOUND = 15.0
#: For servers that never answer: the limit is what is tested.
BRIEF = Plan(stage_seconds=0.2, total_seconds=0.5, siblings=())
MEMBER = f"{USER}@example.com"
WHOLE = Plan(reuse=True, data_probe=True)


def route_to(server: ScriptedServer, **options: Any) -> Route:
    """The way of a mailer that was given these options."""
    return backend_for(server, **options).route(EmailMessage())


def logged_in(server: ScriptedServer, certificates: Certificates, **options: Any) -> Route:
    own = {
        "security": "starttls",
        "ca_file": certificates.ca_file,
        "username": MEMBER,
        "password": PASSWORD,
    }
    return route_to(server, **{**own, **options})


@pytest.fixture
def server(scripted_server: ServerFactory, certificates: Certificates) -> ScriptedServer:
    """A good one: TLS, a log-in, all extensions."""
    return good(scripted_server, certificates)


def good(start: ServerFactory, certificates: Certificates, **changes: Any) -> ScriptedServer:
    behaviour = {
        "users": {MEMBER: PASSWORD},
        "ssl_context": certificates.server(),
        "extensions": ["PIPELINING", "SIZE 1000000", "CHUNKING", "STARTTLS"],
        "extensions_after_tls": ["PIPELINING", "SIZE 1000000", "CHUNKING", "AUTH PLAIN LOGIN"],
    }
    return start(**{**behaviour, **changes})


def statuses(report: Report) -> dict[str, str]:
    return {stage.name: stage.status for stage in report.stages}


def failure(report: Report) -> StageReport:
    """The stage that failed; what comes after it is skipped, and nothing was mailed."""
    assert report.failed is not None
    assert report.error is not None
    assert report.failed.findings
    names = [stage.name for stage in report.stages]
    later = names[names.index(report.failed.name) + 1 :]
    assert {report.stage(name).status for name in later} <= {"skipped"}
    assert sorted(names) == sorted(STAGES)
    return report.failed


def assert_nothing_mailed(*servers: ScriptedServer) -> None:
    for server in servers:
        verbs = [verb for one in server.connections for verb in one.verbs]
        assert not {"DATA", "BDAT"} & set(verbs)
        assert server.messages == []


# -- success


def test_all_stages_of_a_good_account(server: ScriptedServer, certificates: Certificates) -> None:
    seen: list[StageReport] = []
    report = probe(logged_in(server, certificates), progress=seen.append)
    assert report.ok
    assert statuses(report) == {
        **dict.fromkeys(STAGES, "ok"),
        "DNS": "skipped",
        "DELIVERY": "skipped",
        "REUSE": "skipped",
        "DATA": "skipped",
    }
    assert tuple(seen) == report.stages
    assert report.findings == ()
    assert_nothing_mailed(server)
    assert server.violations == []
    assert report.stage("QUIT").reply is not None
    assert server.connections[0].verbs == [
        *("EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "RSET", "QUIT")
    ]


def test_the_facts_of_each_stage(server: ScriptedServer, certificates: Certificates) -> None:
    report = probe(logged_in(server, certificates))
    facts = {stage.name: stage.facts for stage in report.stages}
    assert facts["CONFIGURATION"]["security"] == "starttls"
    assert facts["CONFIGURATION"]["username"] == MEMBER
    assert facts["CONFIGURATION"]["log_in"] == "password"
    assert facts["CONNECT"]["peer"] == "127.0.0.1"
    assert [one["address"] for one in facts["CONNECT"]["tried"]] == ["127.0.0.1"]
    assert facts["TLS"]["version"] == "TLSv1.3"
    assert facts["TLS"]["certificate"]["names"] == ["localhost"]
    assert facts["TLS"]["certificate"]["days_left"] > 21
    assert facts["TLS"]["pin"].startswith("sha256//")
    assert facts["TLS"]["verification"].startswith("verified: it is for 127.0.0.1")
    assert "STARTTLS" in facts["EHLO"]["before_tls"]
    assert facts["EHLO"]["keywords"]["AUTH"] == "PLAIN LOGIN"
    assert facts["EHLO"]["size"] == 1_000_000
    assert facts["AUTH"] == {
        "offered": ["PLAIN", "LOGIN"],
        "tried": ["PLAIN"],
        "mechanism": "PLAIN",
    }
    assert facts["MAIL"]["sender"] == MEMBER
    assert facts["RCPT"]["recipients"][0]["address"] == MEMBER
    auth = report.stage("AUTH").reply
    assert auth is not None
    assert auth.code == 235


def test_implicit_tls_comes_before_the_greeting(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = good(scripted_server, certificates, implicit_tls=True)
    report = probe(logged_in(server, certificates, security="implicit_tls"))
    assert report.ok
    names = [stage.name for stage in report.stages]
    assert names[3:6] == ["TLS", "GREETING", "EHLO"]
    assert report.stage("EHLO").facts["before_tls"] is None


@pytest.mark.parametrize("offered", [True, False])
def test_opportunistic(
    scripted_server: ServerFactory, certificates: Certificates, offered: bool
) -> None:
    server = scripted_server(ssl_context=certificates.server() if offered else None)
    own = {"security": "opportunistic", "ca_file": certificates.ca_file}
    report = probe(route_to(server, **own))
    assert report.ok
    assert report.stage("TLS").status == ("ok" if offered else "skipped")
    assert (report.stage("EHLO").facts["before_tls"] is not None) is offered


def test_without_tls_and_log_in(scripted_server: ServerFactory) -> None:
    report = probe(route_to(scripted_server()))
    assert report.ok
    assert report.stage("TLS").status == "skipped"
    assert "can be read on the way" in report.stage("TLS").facts["why"]
    assert report.stage("AUTH").facts["why"] == "none: no user name and password"


@pytest.mark.parametrize("last", [*STAGES[:3], *STAGES[3:10]])
def test_a_check_ends_where_it_is_told(
    server: ScriptedServer, certificates: Certificates, last: str
) -> None:
    report = probe(
        logged_in(server, certificates, host="localhost"),
        Plan(stop_after=last),
        resolve=resolving("127.0.0.1"),
    )
    assert report.ok
    reached = [stage.name for stage in report.stages if stage.status != "skipped"]
    assert reached[-1] == last
    assert len(report.stages) == len(STAGES)
    assert report.stages[-1].facts["why"] == f"the check was to end after {last}"
    server.settle(1 if STAGES.index(last) > 1 else 0)
    assert_nothing_mailed(server)


def test_a_plan_that_can_not_be() -> None:
    with pytest.raises(ValueError, match="CONFIGURATION, DNS, CONNECT"):
        Plan(stop_after="connect")
    with pytest.raises(ValueError, match="4 or 6"):
        Plan(family=5)
    with pytest.raises(ValueError, match="no recipients"):
        Plan(message=letter(to=[]))


def test_an_unsaved_account(server: ScriptedServer, certificates: Certificates) -> None:
    row = SMTPAccount(
        slug="club",
        host=server.host,
        port=server.port,
        username=MEMBER,
        from_email="office@example.com",
        ca_text=certificates.ca_pem,
        internal_host=True,
        authentication="none",
    )
    report = probe(account_route(account_of(row)))
    assert report.ok
    assert (report.target.kind, report.target.name) == ("account", "club")
    assert report.stage("MAIL").facts["sender"] == "office@example.com"


def test_a_mailer_is_told_by_its_alias(scripted_server: ServerFactory) -> None:
    route = route_to(scripted_server())
    assert probe(route, Plan(stop_after="CONNECT")).target.kind == "ad hoc"
    target = probe(route, Plan(stop_after="CONNECT", mailer="billing")).target
    assert (target.kind, target.name) == ("mailer", "billing")
    settings = replace(route, rule=Rule.SETTINGS)
    assert probe(settings, Plan(stop_after="CONNECT")).target.kind == "settings"


# -- names and addresses


def resolving(*hosts: str) -> Callable[[str, int, float], list[AddressInfo]]:
    def resolve(_: str, port: int, timeout: float) -> list[AddressInfo]:
        assert timeout > 0
        return [
            (
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (host, port),
            )
            for host in hosts
        ]

    return resolve


def test_every_address_is_told_and_which_one_won(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    report = probe(route_to(server, host="mail.example"), resolve=resolving("127.0.0.1", "::1"))
    assert report.stage("DNS").facts["addresses"] == ["127.0.0.1", "::1"]
    assert [one["fault"] for one in report.stage("CONNECT").facts["tried"]] == ["", "not tried"]
    report = probe(route_to(server, host="mail.example"), resolve=resolving("::1", "127.0.0.1"))
    first, second = report.stage("CONNECT").facts["tried"]
    assert first["fault"]
    assert (second["address"], second["fault"]) == ("127.0.0.1", "")


@pytest.mark.parametrize(("family", "expected"), [(4, ["127.0.0.1"]), (6, ["::1"])])
def test_one_family_only(scripted_server: ServerFactory, family: int, expected: list[str]) -> None:
    report = probe(
        route_to(scripted_server(), host="mail.example"),
        Plan(family=family),
        resolve=resolving("127.0.0.1", "::1"),
    )
    assert report.stage("DNS").facts["addresses"] == expected
    assert report.ok is (family == 4)


def test_a_family_that_the_name_lacks(scripted_server: ServerFactory) -> None:
    report = probe(
        route_to(scripted_server(), host="mail.example"),
        Plan(family=6),
        resolve=resolving("127.0.0.1"),
    )
    assert failure(report).name == "DNS"
    assert "no IPv6 address" in str(report.error)


def test_a_name_that_does_not_exist(scripted_server: ServerFactory) -> None:
    report = probe(route_to(scripted_server(), host="mail.invalid"))
    assert failure(report).name == "DNS"
    assert failure(report).findings[0].stage == "DNS"


def test_the_proxy_looks_the_name_up(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with Socks5Proxy({"localhost": server.port}) as proxy:
        way = {"host": "localhost", "proxy": f"socks5://127.0.0.1:{proxy.port}"}
        report = probe(route_to(server, **way))
    assert report.ok
    assert report.stage("DNS").facts["why"] == "the proxy looks the name up"
    assert report.stage("CONNECT").facts["via"] == f"socks5://127.0.0.1:{proxy.port}"


def test_a_guarded_account_is_not_told_where_a_name_leads(server: ScriptedServer) -> None:
    """A check must not be a way to ask the site's internal DNS."""
    row = SMTPAccount(slug="club", host="mail.example", port=25, authentication="none")
    report = probe(account_route(account_of(row)), resolve=resolving("10.1.2.3"))
    assert failure(report).name == "CONNECT"
    assert report.stage("DNS").status == "skipped"
    assert "10.1.2.3" not in json.dumps(report.to_dict())


def test_a_guarded_account_may_not_use_any_port(server: ScriptedServer) -> None:
    row = SMTPAccount(slug="club", host="mail.example", port=8025, authentication="none")
    report = probe(account_route(account_of(row)), resolve=resolving("10.1.2.3"))
    assert failure(report).name == "CONNECT"
    assert failure(report).reply is None


def test_limits_of_accounts_that_can_not_be_read(settings: Any) -> None:
    settings.SMTPAUTH = {"ALLOWED_PORTS": "all"}
    row = SMTPAccount(slug="club", host="mail.example", port=25, authentication="none")
    report = probe(account_route(account_of(row)))
    assert failure(report).name == "CONFIGURATION"
    assert "ALLOWED_PORTS" in str(report.error)


def test_local_mailboxes_over_a_unix_socket(
    scripted_server: ServerFactory, tmp_path: Path
) -> None:
    path = str(tmp_path / "lmtp")
    server = scripted_server(address=path, replies={"EHLO": b"502 LHLO, please\r\n"})
    route = backend_for(server, host=path, port=None, protocol="lmtp").route(EmailMessage())
    report = probe(route, Plan(reuse=True))
    assert report.ok
    assert report.stage("TLS").facts["why"].startswith("none: what is sent does not leave")
    assert report.findings == ()
    assert server.connections[0].verbs[0] == "LHLO"


# -- failures, stage by stage


def test_nobody_listens(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    route = route_to(server)
    server.close()
    failed = failure(probe(route))
    assert failed.name == "CONNECT"
    assert failed.facts["tried"][0]["fault"] == "Connection refused"
    assert "siblings" not in failed.facts


REFUSED = b"550 5.7.1 no\r\n"


@pytest.mark.parametrize(
    ("replies", "stage"),
    [
        ({"GREETING": b"554 no\r\n"}, "GREETING"),
        ({"GREETING": CLOSE}, "GREETING"),
        ({"GREETING": b"SSH-2.0-OpenSSH\r\n"}, "GREETING"),
        ({"EHLO": REFUSED, "HELO": REFUSED}, "EHLO"),
        ({"STARTTLS": b"454 4.7.0 not now\r\n"}, "TLS"),
        ({"STARTTLS": b"220 go\r\n250 evil\r\n"}, "TLS"),
        ({"AUTH": b"535 5.7.8 no\r\n"}, "AUTH"),
        ({"AUTH": Answer(b"421 4.3.2 bye\r\n", Then.CLOSE)}, "AUTH"),
        ({"MAIL": REFUSED}, "MAIL"),
        ({"RCPT": CLOSE}, "RCPT"),
        ({"RSET": REFUSED}, "RSET"),
    ],
)
def test_a_refusal(
    scripted_server: ServerFactory,
    certificates: Certificates,
    replies: dict[str, Any],
    stage: str,
) -> None:
    server = good(scripted_server, certificates, replies=replies)
    report = probe(logged_in(server, certificates))
    failed = failure(report)
    assert failed.name == stage
    assert failed.findings[0].stage == stage
    if failed.reply is not None:
        assert failed.reply.klass in (4, 5)
    assert_nothing_mailed(server)


def test_starttls_that_is_not_offered(scripted_server: ServerFactory) -> None:
    failed = failure(probe(route_to(scripted_server(), security="starttls")))
    assert failed.name == "TLS"


def test_what_was_offered_before_a_handshake_that_failed(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = good(scripted_server, certificates, ssl_context=certificates.expired())
    report = probe(logged_in(server, certificates))
    failed = failure(report)
    assert failed.name == "TLS"
    assert "it expired on 20" in failed.facts["verification"]
    assert failed.facts["certificate"]["days_left"] < 0
    assert failed.facts["pin"].startswith("sha256//")
    assert report.stage("EHLO").status == "skipped"
    assert "STARTTLS" in report.stage("EHLO").facts["before_tls"]


def test_log_in_is_not_offered(scripted_server: ServerFactory, certificates: Certificates) -> None:
    server = good(scripted_server, certificates, extensions_after_tls=["PIPELINING"])
    failed = failure(probe(logged_in(server, certificates)))
    assert failed.name == "AUTH"
    assert failed.facts["offered"] == []


def test_the_server_is_asked_whatever_it_refused_before(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = good(scripted_server, certificates, replies={"AUTH": [b"535 5.7.8 no\r\n"]})
    route = logged_in(server, certificates)
    assert failure(probe(route)).name == "AUTH"
    assert probe(route).ok


def test_a_password_callable_that_fails(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    def broken() -> str:
        raise KeyError("no such path in the vault")

    server = good(scripted_server, certificates)
    report = probe(logged_in(server, certificates, password=broken))
    assert failure(report).name == "AUTH"
    assert report.stage("CONFIGURATION").facts["secret_readable"] is False


@pytest.mark.parametrize("recipients", [(), ("nobody@example.org",)])
def test_a_recipient_that_is_refused(
    scripted_server: ServerFactory, recipients: tuple[str, ...]
) -> None:
    """The own address need not get mail; one that was asked about has to."""
    server = scripted_server(replies={"RCPT": b"550 5.1.1 unknown\r\n"})
    report = probe(route_to(server), Plan(recipients=recipients))
    rcpt = report.stage("RCPT")
    assert rcpt.reply is not None
    assert rcpt.reply.code == 550
    assert rcpt.findings
    if recipients:
        assert failure(report).name == "RCPT"
    else:
        assert (report.ok, rcpt.status) == (True, "warning")
        assert report.stage("RSET").status == "ok"


@pytest.mark.parametrize(
    ("reply", "ok"),
    [
        (b"550 5.1.1 unknown\r\n", True),
        (b"550 5.2.1 disabled\r\n", True),
        (b"550 no such user\r\n", True),
        (b"450 4.7.1 greylisted\r\n", True),
        (b"554 5.7.1 relay access denied\r\n", False),
        (b"530 5.7.0 log in first\r\n", False),
        (b"550 5.1.8 sender's domain not found\r\n", False),
        (b"553 not yours\r\n", False),
    ],
)
def test_why_the_own_address_is_refused(
    scripted_server: ServerFactory, reply: bytes, ok: bool
) -> None:
    report = probe(route_to(scripted_server(replies={"RCPT": reply})))
    assert report.ok is ok
    assert report.stage("RCPT").status == ("warning" if ok else "failed")


def test_one_of_two_recipients(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"RCPT:nobody@example.org": b"550 5.1.1 unknown\r\n"})
    plan = Plan(sender="a@example.com", recipients=("nobody@example.org", "you@example.org"))
    report = probe(route_to(server), plan)
    assert (report.ok, report.stage("RCPT").status) == (True, "warning")
    codes = [one["code"] for one in report.stage("RCPT").facts["recipients"]]
    assert codes == [550, 250]


def test_an_address_that_is_none(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    report = probe(route_to(server), Plan(sender="a@b.example\r\nDATA"))
    assert failure(report).name == "MAIL"
    assert_nothing_mailed(server)


def test_addresses_that_need_smtputf8(scripted_server: ServerFactory) -> None:
    plan = Plan(sender="jürgen@example.com")
    assert probe(route_to(scripted_server()), plan).ok
    lacking = scripted_server(extensions=["PIPELINING"])
    assert failure(probe(route_to(lacking), plan)).name == "MAIL"


def test_the_sender_is_the_account_s_own(settings: Any, scripted_server: ServerFactory) -> None:
    settings.DEFAULT_FROM_EMAIL = "Site <site@example.com>"
    server = scripted_server()
    assert sender_of(route_to(server)) == "site@example.com"
    user = route_to(server, username="club", password="x")
    assert sender_of(user) == "site@example.com"
    assert sender_of(route_to(server, username=MEMBER, password="x")) == MEMBER


# -- time


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "TLS", "AUTH", "MAIL", "RCPT", "RSET"])
def test_a_server_that_falls_silent(
    scripted_server: ServerFactory, certificates: Certificates, stage: str
) -> None:
    key = "STARTTLS" if stage == "TLS" else stage
    server = good(scripted_server, certificates, replies={key: SILENCE})
    began = time.monotonic()
    plan = replace(BRIEF, total_seconds=BOUND)
    assert failure(probe(logged_in(server, certificates), plan)).name == stage
    assert time.monotonic() - began < BOUND


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "MAIL", "RCPT"])
def test_a_server_that_drips(
    scripted_server: ServerFactory, certificates: Certificates, stage: str
) -> None:
    """Every octet comes in time, and the stage ends all the same."""
    pace = threading.Semaphore(3)
    server = good(scripted_server, certificates, replies={stage: Answer(drip=Drip(pace=pace))})
    report = probe(logged_in(server, certificates), replace(BRIEF, total_seconds=BOUND))
    assert failure(report).name == stage


def test_the_total_bounds_every_stage(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"MAIL": SILENCE})
    began = time.monotonic()
    report = probe(route_to(server), Plan(stage_seconds=BOUND, total_seconds=0.3))
    assert failure(report).name == "MAIL"
    assert time.monotonic() - began < BOUND


def test_silence_where_a_name_is_looked_up(scripted_server: ServerFactory) -> None:
    given: list[float] = []

    def resolve(_: str, __: int, timeout: float) -> list[AddressInfo]:
        given.append(timeout)
        return []

    probe(route_to(scripted_server(), host="mail.example"), BRIEF, resolve=resolve)
    assert given[0] <= BRIEF.stage_seconds


# -- a message


def letter(**fields: Any) -> EmailMessage:
    own = {"subject": "S", "body": "B", "from_email": MEMBER, "to": ["you@example.org"]}
    return EmailMessage(**{**own, **fields})


def test_a_message_is_mailed_when_it_is_given(
    server: ScriptedServer, certificates: Certificates
) -> None:
    report = probe(logged_in(server, certificates), Plan(message=letter()))
    assert report.ok
    assert len(server.accepted) == 1
    assert report.result is not None
    assert report.result.sent
    assert statuses(report)["DELIVERY"] == "ok"
    assert statuses(report)["RSET"] == "skipped"
    for name in ("MAIL", "RCPT", "DELIVERY"):
        reply = report.stage(name).reply
        assert reply is not None
        assert reply.code == 250
    assert report.stage("DELIVERY").facts["size"] > 100
    server.settle(1)
    assert len(server.connections) == 1
    assert server.connections[0].verbs[-1] == "QUIT"


@pytest.mark.parametrize("last", ["CONFIGURATION", "AUTH", "MAIL", "RCPT", "RSET"])
def test_a_check_that_ends_before_delivery_mails_nothing(
    scripted_server: ServerFactory, last: str
) -> None:
    server = scripted_server()
    report = probe(route_to(server), Plan(message=letter(), stop_after=last))
    assert report.ok
    assert report.result is None
    server.settle(len(server.connections))
    assert_nothing_mailed(server)


@pytest.mark.parametrize(
    ("replies", "stage"),
    [
        ({"MAIL": REFUSED}, "MAIL"),
        ({"RCPT": REFUSED}, "RCPT"),
        ({"DATA": REFUSED}, "DELIVERY"),
        ({"CONTENT": REFUSED}, "DELIVERY"),
        ({"CONTENT": CLOSE}, "DELIVERY"),
    ],
)
def test_a_message_that_fails(
    scripted_server: ServerFactory, replies: dict[str, Any], stage: str
) -> None:
    server = scripted_server(replies=replies)
    report = probe(route_to(server), Plan(message=letter()))
    assert failure(report).name == stage
    assert server.accepted == []


def test_a_message_for_some(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"RCPT:nobody@example.org": REFUSED})
    message = letter(to=["you@example.org", "nobody@example.org"])
    report = probe(route_to(server), Plan(message=message))
    assert not report.ok
    delivery = report.stage("DELIVERY")
    assert delivery.status == "failed"
    assert delivery.findings[0].steps
    assert report.error is None
    assert len(server.accepted) == 1


def test_a_message_that_can_not_be_composed(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    report = probe(route_to(server), Plan(message=letter(subject="a\nb")))
    assert failure(report).name == "DELIVERY"
    assert report.stage("MAIL").facts["why"] == "not reached"
    assert_nothing_mailed(server)


@pytest.mark.parametrize("given", [True, False])
def test_a_server_that_takes_two_messages_a_session(
    scripted_server: ServerFactory, given: bool
) -> None:
    server = scripted_server(extensions=["PIPELINING", "LIMITS MAILMAX=2"])
    report = probe(route_to(server), Plan(message=letter() if given else None, reuse=True))
    assert report.ok
    why = report.stage("REUSE").facts["why"]
    assert why == "the server takes 2 messages over one connection"
    assert report.stage("QUIT").status == "ok"


def test_a_server_that_says_goodbye_behind_its_verdict(scripted_server: ServerFactory) -> None:
    bye = Answer(b"250 2.0.0 ok\r\n421 4.3.2 bye\r\n", Then.CLOSE)
    plan = Plan(message=letter(), reuse=True, data_probe=True)
    report = probe(route_to(scripted_server(replies={"CONTENT": bye})), plan)
    assert report.ok
    assert report.stage("DATA").status == "ok"
    for name in ("REUSE", "QUIT"):
        assert report.stage(name).facts["why"] == "the server ended the connection"


def test_a_message_whose_verdict_never_comes(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": SILENCE})
    report = probe(route_to(server), Plan(message=letter(), total_seconds=0.3))
    assert failure(report).name == "DELIVERY"
    assert report.result is not None
    assert report.result.in_doubt


def test_a_connection_that_ends_with_the_message(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": Answer(then=Then.CLOSE)})
    report = probe(route_to(server), Plan(message=letter()))
    assert report.ok
    assert report.stage("QUIT").facts["fault"]
    assert failure(probe(route_to(server), Plan(message=letter(), reuse=True))).name == "REUSE"
    assert len(server.accepted) == 2


# -- reuse, and 354


def test_reuse(server: ScriptedServer, certificates: Certificates) -> None:
    report = probe(logged_in(server, certificates), Plan(reuse=True))
    facts = report.stage("REUSE").facts
    assert facts == {
        "pipelining": True,
        "commands": 6,
        "replies": [250] * 6,
        "discards_chunks": True,
    }
    assert report.ok
    assert server.messages == []
    assert "DATA" not in server.connections[0].verbs


def test_reuse_without_pipelining(scripted_server: ServerFactory) -> None:
    server = scripted_server(extensions=[])
    facts = probe(route_to(server), Plan(reuse=True)).stage("REUSE").facts
    assert facts == {"pipelining": False, "commands": 6, "replies": [250] * 6}


def test_an_envelope_that_is_taken_once(scripted_server: ServerFactory) -> None:
    answers: list[Any] = [Answer(), Answer(), REFUSED]
    server = scripted_server(extensions=[], replies={"MAIL": answers})
    report = probe(route_to(server), Plan(reuse=True))
    assert report.stage("REUSE").facts["replies"] == [250, 250, 250, 550]
    assert report.stage("QUIT").reply is not None


def test_a_server_that_runs_chunks_as_commands(scripted_server: ServerFactory) -> None:
    server = scripted_server(
        extensions=["PIPELINING", "CHUNKING"],
        runs_refused_chunks=True,
        replies={"BDAT": b"503 5.5.1 no\r\n"},
    )
    report = probe(route_to(server), Plan(reuse=True))
    assert report.ok
    assert report.stage("REUSE").facts["discards_chunks"] is False


def test_replies_that_are_missing_are_counted(scripted_server: ServerFactory) -> None:
    answers: list[Any] = [Answer(), Answer(), Answer(b"", Then.SILENCE)]
    server = scripted_server(replies={"MAIL": answers})
    plan = Plan(reuse=True, stage_seconds=0.3)
    failed = failure(probe(route_to(server), plan))
    assert failed.name == "REUSE"
    assert failed.facts["replies"] == [250] * 3


def test_354_is_the_last_act_over_a_connection_of_its_own(
    server: ScriptedServer, certificates: Certificates
) -> None:
    report = probe(logged_in(server, certificates), WHOLE)
    assert report.ok
    data = report.stage("DATA")
    assert data.reply is not None
    assert data.reply.code == 354
    server.settle(2)
    first, second = server.connections
    assert "DATA" not in first.verbs
    assert second.verbs[-1] == "DATA"
    assert second.received.endswith(b"DATA\r\n")
    assert server.messages == []
    assert "DATA" in [event.stage for event in report.transcript]


def test_354_that_does_not_come(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"DATA": b"554 5.5.1 no\r\n"})
    assert failure(probe(route_to(server), Plan(data_probe=True))).name == "DATA"


# -- ports next to a silent one


def test_another_port_answers(
    scripted_server: ServerFactory, certificates: Certificates, mute: MuteFactory
) -> None:
    other, plain = scripted_server(ssl_context=certificates.server()), scripted_server()
    silent = mute(("127.0.0.1", 0)).address[1]
    plan = Plan(stage_seconds=0.5, siblings=(other.port, plain.port, silent))
    route = replace_port(route_to(other, username=MEMBER, password=PASSWORD), silent)
    report = probe(route, plan)
    failed = failure(report)
    assert failed.name == "CONNECT"
    knocks = {one["port"]: one for one in failed.facts["siblings"]}
    assert set(knocks) == {other.port, plain.port}
    assert knocks[other.port]["security"] == "starttls"
    assert knocks[plain.port]["security"] == "none"
    finding = report.findings[0]
    assert (finding.rule, finding.severity) == ("connect.other-port-answers", "error")
    assert finding.field == "port"
    assert str(other.port) in str(finding.title)
    assert "AUTH" not in {verb for one in other.connections for verb in one.verbs}


def test_all_ports_are_silent(mute: MuteFactory, scripted_server: ServerFactory) -> None:
    ports = [mute(("127.0.0.1", 0)).address[1] for _ in range(3)]
    route = replace_port(route_to(scripted_server()), ports[0])
    plan = Plan(stage_seconds=0.2, total_seconds=1, siblings=tuple(ports))
    report = probe(route, plan)
    rules = [finding.rule for finding in failure(report).findings]
    assert "connect.all-ports-silent" in rules


def test_a_closed_port_beside_a_silent_one_is_no_blockade(
    mute: MuteFactory, scripted_server: ServerFactory
) -> None:
    closed = scripted_server()
    closed.close()
    silent = mute(("127.0.0.1", 0)).address[1]
    route = replace_port(route_to(closed), silent)
    plan = Plan(stage_seconds=0.2, total_seconds=1, siblings=(closed.port,))
    rules = [finding.rule for finding in failure(probe(route, plan)).findings]
    assert "connect.all-ports-silent" not in rules
    assert "connect.other-port-answers" not in rules


def replace_port(route: Route, port: int) -> Route:
    return replace(route, endpoint=replace(route.endpoint, port=port))


# -- the report


def test_the_report_is_json_without_a_secret(
    server: ScriptedServer, certificates: Certificates
) -> None:
    told = json.dumps(probe(logged_in(server, certificates), WHOLE).to_dict())
    assert PASSWORD not in told
    for form in forms_of(PASSWORD):
        assert form not in told
    assert "AUTH PLAIN [redacted]" in told


def forms_of(secret: str) -> list[str]:
    from base64 import b64encode

    return [
        b64encode(octets).decode().rstrip("=")[:-1]
        for octets in (secret.encode(), f"\0{MEMBER}\0{secret}".encode())
    ]


def test_addresses_are_hidden_on_request(
    server: ScriptedServer, certificates: Certificates
) -> None:
    message = letter(to=["you@example.org", "me@example.net"])
    report = probe(logged_in(server, certificates), Plan(message=message))
    told = report.to_dict(hide_addresses=True)
    text = json.dumps(told)
    assert "@" not in text.replace("sha256//", "")
    assert told["result"] is not None
    assert len(told["result"]["recipients"]) == 2
    assert told["stages"][0]["facts"]["username"] == "<address 1>"


def test_times_count_from_the_beginning(scripted_server: ServerFactory) -> None:
    report = probe(route_to(scripted_server()))
    assert report.began.tzinfo is not None
    times = [event.time for event in report.transcript]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= report.seconds < BOUND


def test_an_unknown_stage_names_the_known_ones(scripted_server: ServerFactory) -> None:
    report = probe(route_to(scripted_server()), Plan(stop_after="CONNECT"))
    with pytest.raises(LookupError, match="CONFIGURATION"):
        report.stage("PING")


def test_what_is_wrong_with_a_secret_is_told_without_it(
    server: ScriptedServer, certificates: Certificates
) -> None:
    report = probe(logged_in(server, certificates, password=f"{PASSWORD}\n"))
    assert report.stage("CONFIGURATION").status == "warning"
    assert report.findings[0].rule == "secret.white-space"
    assert report.findings[0].stage == "CONFIGURATION"
    assert PASSWORD not in json.dumps(report.to_dict())


def test_warnings_stand_in_the_report(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = good(
        scripted_server,
        certificates,
        ssl_context=certificates.self_signed(),
        extensions=["STARTTLS", "AUTH PLAIN"],
        extensions_after_tls=["AUTH PLAIN"],
    )
    report = probe(logged_in(server, certificates, verify=False))
    assert report.ok
    assert [finding.rule for finding in report.findings] == [
        "tls.certificate-ends-soon",
        "tls.verification-off",
        "ehlo.auth-in-clear",
        "ehlo.no-pipelining",
    ]
    assert report.stage("TLS").status == report.stage("EHLO").status == "warning"
    told = report.to_dict()["findings"]
    assert told[0]["severity"] == "warning"
    assert set(told[0]) == {"rule", "severity", "stage", "title", "meaning", "steps", "field"}


def test_a_message_near_the_limit_of_the_server(scripted_server: ServerFactory) -> None:
    server = scripted_server(extensions=["PIPELINING", "SIZE 2000"])
    report = probe(route_to(server), Plan(message=letter(body="x" * 60 + "\n" + "y" * 70)))
    assert report.ok
    size = report.stage("DELIVERY").facts["size"]
    body = "\n".join(["z" * 60] * ((1900 - size) // 61))
    report = probe(route_to(server), Plan(message=letter(body=body + "\n" + "x" * 131)))
    assert [finding.rule for finding in report.findings] == ["message.near-size"]
