"""Failures from exceptions, and from what people paste."""

from __future__ import annotations

import smtplib
import socket
import ssl
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_smtpauth.diagnosis.explain import explain, explain_error
from django_smtpauth.diagnosis.failure import MAX_FACT, MAX_TEXT, Failure
from django_smtpauth.diagnosis.providers import provider_of
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.sending.accounts import Account
from django_smtpauth.sending.mailer import MailerOptions
from django_smtpauth.sending.routing import AccountNotFound, NoServer, Route, Rule
from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import (
    AuthenticationRefused,
    ConnectError,
    DeliveryInDoubt,
    Disconnected,
    NotSupported,
    ProtocolError,
    SenderRefused,
    SMTPError,
    TimedOut,
    TLSError,
)
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.sasl.credentials import Credentials
from django_smtpauth.smtp.tls import Security

ACCOUNT = Account(uuid=uuid4(), slug="club", host="smtp.gmail.com", preset="google-workspace")


def route(account: Account | None = None, **options: Any) -> Route:
    options = {"host": "smtp.gmail.com", "port": 587, "security": Security.STARTTLS, **options}
    credentials = Credentials("club", lambda: "secret")
    return Route(
        account, MailerOptions(), Rule.SETTINGS, Endpoint(**options, credentials=credentials)
    )


def test_all_that_error_and_route_tell() -> None:
    error = AuthenticationRefused(
        stage="AUTH",
        reply=Reply(535, ("5.7.8 Username and", "5.7.8 Password not accepted")),
        cure="Look.",
    )
    failure = Failure.of(error, route(ACCOUNT))
    assert (failure.stage, failure.kind, failure.code) == ("AUTH", "refused", 535)
    assert failure.enhanced == "5.7.8"
    assert failure.text == "Username and Password not accepted"
    assert (failure.host, failure.port, failure.security) == ("smtp.gmail.com", 587, "starttls")
    assert (failure.log_in, failure.account) == ("password", "club")
    assert failure.preset == "google-workspace"
    assert failure.server == "smtp.gmail.com:587"
    assert failure.facts == {"cure": "Look."}
    assert Failure.of(error, route()).preset == "gmail"
    assert Failure.of(error).host == ""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimedOut("t"), "timed-out"),
        (Disconnected("d"), "disconnected"),
        (ConnectError("c"), "connect"),
        (ConnectError(reply=Reply(554)), "refused"),
        (TLSError("t"), "tls"),
        (ProtocolError("p"), "protocol"),
        (NotSupported("n"), "not-supported"),
        (DeliveryInDoubt("lost"), "in-doubt"),
        (SenderRefused(reply=Reply(550)), "refused"),
        (SMTPError("s", reason="secret-missing"), "secret"),
        (SMTPError("s"), "other"),
    ],
)
def test_the_kind_of_an_error(error: SMTPError, kind: str) -> None:
    assert Failure.of(error).kind == kind


def test_errors_that_no_server_made() -> None:
    unreadable = Failure.of(SecretUnreadable("It does not open.", reason="mismatch"))
    assert (unreadable.stage, unreadable.kind, unreadable.reason) == ("AUTH", "secret", "mismatch")
    missing = Failure.of(AccountNotFound("There is no enabled account 'x'."))
    assert (missing.stage, missing.reason) == ("CONFIGURATION", "account-not-found")
    assert Failure.of(NoServer("There is no server.")).reason == "no-server"
    assert Failure.of(ImproperlyConfigured("SMTPAUTH: wrong")).text == "SMTPAUTH: wrong"


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (
            smtplib.SMTPAuthenticationError(535, b"5.7.8 Username and Password not accepted"),
            "google",
        ),
        (smtplib.SMTPSenderRefused(553, b"5.7.1 not owned by user x", "a@b.example"), "not-owned"),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "unknown"),
        (ConnectionRefusedError(111, "Connection refused"), "connect.refused"),
        (socket.gaierror(-2, "Name or service not known"), "connect.dns-unknown"),
        (TimeoutError("timed out"), "connect.silent"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "tls.plain-port"),
    ],
)
def test_errors_of_python_are_explained_too(error: Exception, rule: str) -> None:
    finding = explain_error(error)
    assert finding is not None
    assert rule in finding.rule


def test_a_mistake_of_the_program_is_no_failure_of_mail() -> None:
    assert explain_error(ValueError("no address")) is None


def test_everything_is_bounded() -> None:
    failure = Failure(text="x" * 10_000, facts={"cure": "y" * 10_000})
    assert len(failure.text) == MAX_TEXT
    assert len(failure.facts["cure"]) == MAX_FACT


@pytest.mark.parametrize(
    ("host", "slug"),
    [
        ("smtp.gmail.com", "gmail"),
        ("GMAIL-SMTP-IN.l.google.com.", "gmail"),
        ("BN1P110CA0052.NAMP110.PROD.OUTLOOK.COM", "microsoft-365"),
        ("email-smtp.us-west-2.amazonaws.com", "amazon-ses-us-west-2"),
        ("mail.example.com", ""),
        ("localhost", ""),
        ("", ""),
    ],
)
def test_a_host_tells_its_provider(host: str, slug: str) -> None:
    assert provider_of(host) == slug


# What is pasted

TRACEBACK = """\
Traceback (most recent call last):
  File "/usr/lib/python3.13/smtplib.py", line 535, in sendmail
    raise SMTPRecipientsRefused(senderrs)
smtplib.SMTPRecipientsRefused: {'jo@example.org': (550, b'5.1.1 <jo@example.org>: Recipient \
address rejected: User unknown in virtual mailbox table')}
"""
DJANGO = """\
Exception Type: SMTPAuthenticationError at /accounts/password/reset/
Exception Value: (535, b'5.7.8 Username and Password not accepted. Learn more at\\n5.7.8 \
https://support.google.com/mail/?p=BadCredentials c9 - gsmtp')
EMAIL_HOST = 'smtp.gmail.com'
EMAIL_PORT = 587
EMAIL_USE_TLS = True
"""
DJANGO_SILENT = """\
SMTPServerDisconnected at /contact/
Connection unexpectedly closed: timed out
  File "/usr/lib/python3.13/smtplib.py", line 341, in connect
    (code, msg) = self.getreply()
EMAIL_HOST	'mail.example.com'
EMAIL_PORT	465
EMAIL_USE_TLS	True
"""
POSTFIX = """\
Nov 29 09:52:57 web postfix/smtp[29893]: C53C: to=<jo@example.org>, relay=smtp.office365.us\
[192.0.2.7]:587, delay=5.3, dsn=5.7.57, status=bounced (host smtp.office365.us[192.0.2.7] said: \
530 5.7.57 Client not authenticated to send mail. [BN1P110CA0052.NAMP110.PROD.OUTLOOK.COM 2023] \
(in reply to MAIL FROM command))
"""
EXIM = """\
2026-06-19 13:04:47 1dMwMJ-5jM-Eq ** jo@example.org R=ses T=ses \
H=email-smtp.eu-west-1.amazonaws.com [192.0.2.8] X=TLS1.2: SMTP error from remote mail server \
after end of data: 554 Message rejected: Email address is not verified. The following identities \
failed the check in region EU-WEST-1: root@web
"""
REPORT = """\
Reporting-MTA: dns; mail.example.com

Final-Recipient: rfc822; jo@example.org
Action: failed
Status: 5.7.26
Remote-MTA: dns; gmail-smtp-in.l.google.com
Diagnostic-Code: smtp; 550-5.7.26 Unauthenticated email from example.com is not accepted due to
    550-5.7.26 domain's DMARC policy. Please contact
    550 5.7.26 the administrator of the domain
"""
EXCHANGE = """\
Remote Server returned '550 5.7.60 SMTP; Client does not have permissions to send as this sender'
"""
OURS = """\
AUTH refused: 535 5.7.8 (account club, smtp.gmail.com:587)
Google does not take this user name with this password. Create an app password.
Username and Password not accepted. Learn more at
"""


@pytest.mark.parametrize(
    ("text", "expected", "rule"),
    [
        (TRACEBACK, {"stage": "RCPT", "code": 550, "enhanced": "5.1.1"}, "rcpt.unknown"),
        (
            DJANGO,
            {
                "stage": "AUTH",
                "code": 535,
                "host": "smtp.gmail.com",
                "port": 587,
                "preset": "gmail",
            },
            "auth.google-password",
        ),
        (
            DJANGO_SILENT,
            {"stage": "GREETING", "kind": "timed-out", "port": 465, "security": "starttls"},
            "greeting.silent-465",
        ),
        (POSTFIX, {"stage": "MAIL", "code": 530, "preset": "microsoft-365"}, "auth.needed"),
        (EXIM, {"stage": "CONTENT", "code": 554}, "mail.ses-not-verified"),
        (
            REPORT,
            {"code": 550, "enhanced": "5.7.26", "preset": "gmail"},
            "content.unauthenticated",
        ),
        (EXCHANGE, {"code": 550, "enhanced": "5.7.60"}, "mail.send-as-denied"),
        (OURS, {"stage": "AUTH", "code": 535, "account": "club"}, "auth.google-password"),
        ("Status: 4.4.1", {"enhanced": "4.4.1", "code": None}, "unknown.failure"),
        ("line 535 in sendmail", {"code": None, "kind": "other"}, "unknown.failure"),
        ("", {"code": None, "text": ""}, "unknown.failure"),
    ],
)
def test_what_people_paste(text: str, expected: dict[str, Any], rule: str) -> None:
    failure = Failure.parse(text)
    assert {name: getattr(failure, name) for name in expected} == expected
    assert explain(failure).rule == rule


def test_the_words_of_a_reply_of_several_lines_are_joined() -> None:
    assert Failure.parse(REPORT).text == (
        "Unauthenticated email from example.com is not accepted due to domain's DMARC policy. "
        "Please contact the administrator of the domain"
    )


def test_the_port_of_a_nonsense_number_is_unknown() -> None:
    failure = Failure.parse("could not connect to port 99999 (192.0.2.1: no answer)")
    assert (failure.host, failure.port) == ("", 0)


def test_the_server_of_our_own_errors_is_read() -> None:
    failure = Failure.parse(
        "CONNECT failed: could not connect to port 2587 (mail.example.com:2587)"
    )
    assert (failure.host, failure.port, failure.stage) == ("mail.example.com", 2587, "CONNECT")
