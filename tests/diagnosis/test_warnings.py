"""What works and deserves a look: each warning speaks when it should, and beside it does not."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from django_smtpauth.certificates import CertificateFacts
from django_smtpauth.diagnosis.seen import Seen
from django_smtpauth.diagnosis.siblings import Knock
from django_smtpauth.diagnosis.warnings import RULES, blocked_ports, clock_skew, warnings_of
from django_smtpauth.sending.accounts import Account
from django_smtpauth.sending.mailer import MailerOptions
from django_smtpauth.sending.routing import Route, Rule
from django_smtpauth.smtp import Credentials, Endpoint, PeerFacts, Reply, Security, TLSOptions
from django_smtpauth.smtp.extensions import Extensions

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)
TLS = PeerFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
PIN = f"sha256//{'A' * 43}="
PASSWORD = Credentials("club", lambda: "secret")
TOKEN = Credentials("club", lambda: "secret", kind="token")


def seen(host: str = "smtp.example.com", account: Account | None = None, **changes: Any) -> Seen:
    names = ("security", "tls_options", "credentials")
    own = {name: changes.pop(name) for name in names if name in changes}
    endpoint = Endpoint(
        host,
        security=own.get("security", Security.STARTTLS),
        tls=own.get("tls_options", TLSOptions()),
        credentials=own.get("credentials"),
    )
    route = Route(account, MailerOptions(), Rule.SETTINGS, endpoint)
    good: dict[str, Any] = {"tls": TLS, "extensions": offering("PIPELINING", "SIZE 1000")}
    return replace(Seen(route, NOW), **{**good, **changes})


def offering(*lines: str) -> Extensions:
    return Extensions.parse(Reply(250, ("mx", *lines)))


def certificate(days: float, name: str = "CN=mx") -> CertificateFacts:
    end = NOW + datetime.timedelta(days=days)
    texts = dict.fromkeys(("issuer", "common_name", "serial", "key", "signature_hash"), "")
    return CertificateFacts(
        subject=name,
        names=(),
        addresses=(),
        not_before=NOW - datetime.timedelta(days=9),
        not_after=end,
        self_signed=False,
        pin="",
        fingerprint="",
        **texts,
    )


def greeting(text: str) -> Reply:
    return Reply(220, (text,))


OFFICE = "smtp.office365.com"
NO_TLS = {"tls": None, "security": Security.NONE}

TABLE: list[tuple[str, str, Callable[[], Seen], Callable[[], Seen]]] = [
    (
        "GREETING",
        "greeting.clocks-differ",
        lambda: seen(greeting=greeting("mx ESMTP Exim 4.96 Wed, 25 Nov 2026 11:00:00 +0000")),
        lambda: seen(greeting=greeting("mx ESMTP Exim 4.96 Wed, 25 Nov 2026 13:01:00 +0100")),
    ),
    (
        "TLS",
        "tls.certificate-ends-soon",
        lambda: seen(certificates=(certificate(90), certificate(20.5, "CN=authority"))),
        lambda: seen(certificates=(certificate(21), certificate(90))),
    ),
    (
        "TLS",
        "tls.verification-off",
        lambda: seen(tls_options=TLSOptions(verify=False)),
        lambda: seen(tls_options=TLSOptions(verify=False, pins=(PIN,))),
    ),
    ("TLS", "tls.none", lambda: seen(**NO_TLS), lambda: seen(**NO_TLS, local=True)),
    (
        "EHLO",
        "ehlo.auth-in-clear",
        lambda: seen(before_tls=offering("STARTTLS", "AUTH CRAM-MD5 PLAIN")),
        lambda: seen(before_tls=offering("STARTTLS", "AUTH CRAM-MD5")),
    ),
    (
        "EHLO",
        "ehlo.no-pipelining",
        lambda: seen(extensions=offering("SIZE 1000")),
        lambda: seen(extensions=offering("pipelining")),
    ),
    (
        "AUTH",
        "auth.passwords-end",
        lambda: seen(OFFICE, credentials=PASSWORD),
        lambda: seen(OFFICE, credentials=TOKEN),
    ),
    (
        "DELIVERY",
        "message.near-size",
        lambda: seen(size=900),
        lambda: seen(size=899),
    ),
]


@pytest.mark.parametrize(("stage", "rule", "bad", "good"), TABLE, ids=[row[1] for row in TABLE])
def test_a_warning(
    stage: str, rule: str, bad: Callable[[], Seen], good: Callable[[], Seen]
) -> None:
    (finding,) = warnings_of(stage, bad())
    assert (finding.rule, finding.severity, finding.stage) == (rule, "warning", stage)
    assert all(str(text) for text in (finding.title, finding.meaning, *finding.steps))
    assert finding.steps
    assert warnings_of(stage, good()) == ()


def test_every_rule_is_in_the_table() -> None:
    assert len(TABLE) == len(RULES)


def test_what_was_not_reached_brings_no_warning() -> None:
    nothing = replace(
        seen(account=Account(uuid=None, slug="club", host="x")),  # type: ignore[arg-type]
        tls=None,
        extensions=None,
        local=True,
    )
    assert [
        w for stage in ("GREETING", "TLS", "EHLO", "AUTH") for w in warnings_of(stage, nothing)
    ] == []


def test_a_certificate_that_is_over_is_no_warning() -> None:
    assert warnings_of("TLS", seen(certificates=(certificate(-1),))) == ()


def test_without_tls_the_step_depends_on_what_is_offered() -> None:
    (finding,) = warnings_of("TLS", seen(**NO_TLS, extensions=offering("STARTTLS")))
    assert "the server offers it" in str(finding.steps[0])
    (finding,) = warnings_of("TLS", seen(**NO_TLS))
    assert "465" in str(finding.steps[0])


def test_a_server_that_is_no_known_provider_s_keeps_its_passwords() -> None:
    """Whatever the form was filled from."""
    account = Account(uuid=None, slug="club", host="x", preset="microsoft-365")  # type: ignore[arg-type]
    assert warnings_of("AUTH", seen(account=account, credentials=PASSWORD)) == ()
    there = seen(OFFICE, account=account, credentials=PASSWORD)
    assert "Microsoft 365" in str(warnings_of("AUTH", there)[0].title)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mx ESMTP Sendmail 8.17; Wed, 25 Nov 2026 12:00:10 GMT", None),
        ("mx ESMTP Sendmail 8.17; Wed, 25 Nov 2026 12:00:10 +0000", 10),
        ("mx ESMTP Exim Wed, 25 Nov 2026 14:00:00 +0200", 0),
        ("mx ESMTP Exim Wed, 99 Nov 2026 14:00:00 +0200", None),
        ("mx ESMTP Postfix", None),
    ],
)
def test_the_clock_of_a_greeting(text: str, expected: int | None) -> None:
    assert clock_skew(seen(greeting=greeting(text))) == expected


# -- ports beside a silent one

SILENT = Endpoint("smtp.example.com", 25, security=Security.NONE)


def said(*knocks: Knock) -> tuple[str, str]:
    finding = blocked_ports(knocks, SILENT)
    return (finding.rule, str(finding.title)) if finding else ("", "")


def test_what_the_siblings_say() -> None:
    mute = [Knock(port, silent=True) for port in (465, 587)]
    rule, title = said(*mute)
    assert rule == "connect.all-ports-silent"
    assert "hosting company" in title
    assert said(*mute, Knock(2525, fault="Connection refused")) == ("", "")
    assert said(*mute, Knock(2525, allowed=False)) == (rule, title)
    assert said(Knock(2525, allowed=False)) == ("", "")
    unknown, known = (
        Knock(465, connected=True),
        Knock(587, connected=True, security=Security.STARTTLS),
    )
    assert said(*mute, unknown) == (
        "connect.other-port-answers",
        "Port 465 of this server answers",
    )
    assert said(unknown, known)[1] == "Port 587 of this server answers"
    finding = blocked_ports([unknown, known], SILENT)
    assert finding is not None
    assert "465 (?), 587 (starttls)" in str(finding.meaning)
    assert "Set the port to 587 and the security to starttls." in str(finding.steps[0])
