"""For each rule a failure that is near to it, and that another rule explains.

By the id of the rule: the wording, what else is known, and the rule that must speak.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django_smtpauth.diagnosis.failure import Failure


class Neighbour(NamedTuple):
    failure: Failure
    speaks: str


def _reply(text: str, stage: str, speaks: str, **seen: Any) -> Neighbour:
    fields = {**_fields(Failure.parse(text)), "stage": stage, **seen}
    return Neighbour(Failure(**fields), speaks)


def _event(kind: str, stage: str, speaks: str, text: str = "", **seen: Any) -> Neighbour:
    return Neighbour(Failure(stage=stage, kind=kind, text=text, **seen), speaks)


def _fields(failure: Failure) -> dict[str, Any]:
    return dict(vars(failure))


_CONNECT, _SILENT, _LOST = "connect", "timed-out", "disconnected"
_AUTH, _UNKNOWN = "AUTH", "unknown."
_REFUSED = "Connection refused"

NEIGHBOURS: dict[str, Neighbour] = {
    "content.in-doubt": _event(_LOST, "CONTENT", "dialogue.lost"),
    "site.no-server": _event("configuration", "CONFIGURATION", "unknown.configuration", "host: x"),
    "site.account-disabled": _event(
        "configuration", "CONFIGURATION", "site.account-missing", reason="account-not-found"
    ),
    "site.account-missing": _event(
        "configuration", "CONFIGURATION", "site.no-server", reason="no-server"
    ),
    "guard.internal-host": _event(_CONNECT, "CONNECT", "guard.port", reason="port"),
    "guard.port": _event(_CONNECT, "CONNECT", "connect.refused", _REFUSED, port=8025),
    "guard.foreign-from": _reply("550 5.7.1 not this sender", "MAIL", "mail.refused"),
    "secret.unknown-key": _event("secret", _AUTH, "secret.damaged", reason="damaged"),
    "secret.keys-unreadable": _event("secret", _AUTH, "secret.unknown-key", reason="unknown_key"),
    "secret.mismatch": _event("secret", _AUTH, "secret.missing", reason="missing"),
    "secret.damaged": _event("secret", _AUTH, "secret.mismatch", reason="mismatch"),
    "secret.missing": _event("secret", _AUTH, "secret.source-failed", reason="secret-missing"),
    "secret.source-failed": _event("secret", _AUTH, "unknown.auth", reason="new"),
    "secret.not-text": _event(
        "not-supported", _AUTH, "auth.no-client-certificate", reason="no-client-certificate"
    ),
    "auth.without-tls": _event(
        "not-supported", _AUTH, "auth.without-tls-settings", reason="auth-without-tls"
    ),
    "auth.without-tls-settings": _event(
        "not-supported", _AUTH, "auth.without-tls", reason="auth-without-tls", account="club"
    ),
    "limits.size": _reply("552 5.2.2 Over quota", "RCPT", "rcpt.mailbox-full"),
    "limits.recipients": _reply("452 4.3.1 Insufficient system storage", "RCPT", "server.busy"),
    "limits.day": _reply(
        "454 Throttling failure: Maximum sending rate exceeded", "CONTENT", "limits.rate"
    ),
    "limits.microsoft-connections": _reply(
        "421 4.7.0 Error: too many connections from 192.0.2.1", "GREETING", "limits.connections"
    ),
    "limits.connections": _reply(
        "452 4.5.3 Error: too many recipients", "RCPT", "limits.recipients"
    ),
    "limits.rate": _reply("451 Temporary local problem - please try later", "RCPT", "server.busy"),
    "limits.errors": _reply("421 4.7.0 Error: too many connections", "MAIL", "limits.connections"),
    "limits.idle": _reply("421 4.3.2 Service shutting down", "MAIL", "server.busy"),
    "connect.proxy": _event(_CONNECT, "CONNECT", "connect.refused", _REFUSED),
    "connect.source-address": _event(
        _CONNECT, "CONNECT", "connect.no-route", "192.0.2.1: Network is unreachable"
    ),
    "connect.dns-silent": _event(
        _CONNECT, "CONNECT", "connect.dns-unknown", "Name or service not known", reason="dns"
    ),
    "connect.dns-unknown": _event(
        _SILENT, "CONNECT", "connect.dns-silent", "no answer from DNS for a.example", reason="dns"
    ),
    "connect.socket": _event(
        _CONNECT,
        "CONNECT",
        "connect.refused",
        "could not connect to port 587 (Connection refused)",
    ),
    "connect.lmtp": _event(_CONNECT, "CONNECT", "connect.refused", _REFUSED, port=24),
    "connect.django-default": _event(
        _CONNECT, "CONNECT", "connect.refused", _REFUSED, port=25, host="localhost", account="club"
    ),
    "connect.nobody-here": _event(
        _CONNECT, "CONNECT", "connect.refused", _REFUSED, port=1025, host="192.0.2.1"
    ),
    "connect.ipv6": _event(
        _CONNECT, "CONNECT", "connect.no-route", "192.0.2.25: Network is unreachable"
    ),
    "connect.no-route": _event(_SILENT, "CONNECT", "connect.silent", "192.0.2.25: no answer"),
    "connect.port-25-blocked": _event(_SILENT, "CONNECT", "connect.silent", port=587),
    "connect.refused": _event(_SILENT, "CONNECT", "connect.silent", "192.0.2.25: no answer"),
    "connect.silent": _event(_SILENT, "GREETING", "greeting.silent", port=587),
    "greeting.silent-465": _event(
        _SILENT, "GREETING", "greeting.silent", port=465, security="implicit_tls"
    ),
    "greeting.silent": _event(_SILENT, "EHLO", "ehlo.silent"),
    "greeting.client-certificate": _event(
        "tls", "TLS", "tls.no-common-ground", "sslv3 alert handshake failure"
    ),
    "greeting.hung-up": _event(_SILENT, "GREETING", "greeting.silent", port=587),
    "greeting.no-service": _reply("421 4.3.2 Come back later", "GREETING", "server.busy"),
    "greeting.not-smtp": _event("protocol", "MAIL", "dialogue.broken"),
    "ehlo.google-relay": _reply(
        "421 4.7.0 Try again later, closing connection.", "EHLO", "server.busy", preset="yahoo"
    ),
    "ehlo.name-refused": _reply("550 5.7.1 Go away", "EHLO", "unknown.ehlo"),
    "ehlo.smtp-here": _reply("500 5.5.1 Unknown command", "EHLO", "ehlo.lmtp-here"),
    "ehlo.lmtp-here": _reply("500 5.5.2 What?", "EHLO", "ehlo.smtp-here", protocol="lmtp"),
    "ehlo.silent": _event(_SILENT, _AUTH, "auth.silent"),
    "tls.plain-port": _event("tls", "TLS", "tls.too-old", "tlsv1 alert protocol version"),
    "tls.starttls-missing": _reply(
        "454 4.7.0 TLS not available due to local problem", "TLS", "tls.starttls-refused"
    ),
    "tls.starttls-refused": _event(
        "not-supported", "TLS", "tls.starttls-missing", reason="starttls-missing"
    ),
    "tls.needed": _reply("530 5.7.0 Authentication Required", "MAIL", "auth.needed"),
    "tls.certificate-expired": _event(
        "tls", "TLS", "tls.clock", reason="certificate", verify_code=9
    ),
    "tls.clock": _event(
        "tls", "TLS", "tls.certificate-expired", reason="certificate", verify_code=10
    ),
    "tls.other-name": _event(
        "tls", "TLS", "tls.self-signed", reason="certificate", verify_code=18
    ),
    "tls.self-signed": _event(
        "tls", "TLS", "tls.unknown-authority", reason="certificate", verify_code=19
    ),
    "tls.unknown-authority": _event(
        "tls", "TLS", "tls.incomplete-chain", reason="certificate", verify_code=20
    ),
    "tls.incomplete-chain": _event("tls", "TLS", "tls.pin", reason="pin"),
    "tls.pin": _event("tls", "TLS", "tls.incomplete-chain", reason="certificate", verify_code=21),
    "tls.too-old": _event("tls", "TLS", "tls.no-common-ground", "sslv3 alert handshake failure"),
    "tls.no-common-ground": _event("tls", "TLS", "tls.plain-port", "wrong version number"),
    "tls.setup": _event("tls", "TLS", "unknown.tls", "bad record mac"),
    "tls.injected": _event("protocol", "TLS", "dialogue.broken"),
    "tls.silent": _event(_LOST, "TLS", "tls.hung-up"),
    "tls.hung-up": _event(_SILENT, "TLS", "tls.silent"),
    "auth.google-app-password": _reply(
        "535 5.7.8 Username and Password not accepted.", _AUTH, "auth.google-password"
    ),
    "auth.google-password": _reply(
        "535 5.7.8 Error: authentication failed", _AUTH, "auth.refused"
    ),
    "auth.google-browser": _reply(
        "534 5.7.9 Application-specific password required.", _AUTH, "auth.google-app-password"
    ),
    "auth.microsoft-passwords-ended": _reply(
        "535 5.7.3 Authentication unsuccessful", _AUTH, "auth.microsoft-password"
    ),
    "auth.microsoft-smtp-off": _reply(
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security "
        "defaults policy.",
        _AUTH,
        "auth.microsoft-security-defaults",
    ),
    "auth.microsoft-security-defaults": _reply(
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria",
        _AUTH,
        "auth.microsoft-conditions",
    ),
    "auth.microsoft-conditions": _reply(
        "535 5.7.3 Authentication unsuccessful", _AUTH, "auth.microsoft-password"
    ),
    "auth.microsoft-token": _reply(
        "535 5.7.3 Authentication unsuccessful",
        _AUTH,
        "auth.microsoft-password",
        log_in="password",
    ),
    "auth.microsoft-password": _reply(
        "535 5.7.3 Authentication unsuccessful", _AUTH, "auth.microsoft-token", log_in="token"
    ),
    "auth.authorization-code": _reply("535 Error: authentication failed", _AUTH, "auth.refused"),
    "auth.amazon-ses": _reply(
        "535 Authentication Credentials Invalid", _AUTH, "auth.refused", host="smtp.example.com"
    ),
    "auth.address-not-allowed": _reply("535 not authorized", _AUTH, "auth.refused"),
    "auth.credits": _reply("535 Authentication failed", _AUTH, "auth.refused"),
    "auth.consent-lost": _reply(
        "535 5.7.8 Error: authentication failed", _AUTH, "auth.token-refused", log_in="token"
    ),
    "auth.token-scope": _reply("535 5.7.8 invalid_token", _AUTH, "auth.token-expired"),
    "auth.token-expired": _reply("535 5.7.8 insufficient_scope", _AUTH, "auth.token-scope"),
    "auth.token-refused": _reply("535 5.7.8 no", _AUTH, "auth.refused", log_in="password"),
    "auth.no-client-certificate": _event(
        "not-supported", _AUTH, "auth.no-channel-binding", reason="no-channel-binding"
    ),
    "auth.certificate-refused": _reply(
        "535 5.7.8 no", _AUTH, "auth.token-refused", log_in="token"
    ),
    "auth.refused-before": _reply("535 5.7.8 no", _AUTH, "auth.refused"),
    "auth.temporary": _reply("535 5.7.8 authentication failed", _AUTH, "auth.refused"),
    "auth.only-after-tls": _event(
        "not-supported",
        _AUTH,
        "auth.not-offered",
        "the server offers no AUTH",
        security="starttls",
    ),
    "auth.not-offered": _event(
        "not-supported", _AUTH, "auth.only-after-tls", "the server offers no AUTH", security="none"
    ),
    "auth.no-mechanism": _event(
        "not-supported", _AUTH, "auth.not-offered", "the server offers no AUTH"
    ),
    "auth.no-channel-binding": _event(
        "not-supported",
        _AUTH,
        "auth.no-mechanism",
        "the server offers PLAIN, allowed here: SCRAM-SHA-256-PLUS",
        reason="no-mechanism",
    ),
    "auth.not-who-it-says": _event("protocol", _AUTH, "dialogue.broken"),
    "auth.needed": _reply("530 5.7.0 Must issue a STARTTLS command first", "MAIL", "tls.needed"),
    "auth.needed-first": _reply("530 5.7.0 Authentication Required", "MAIL", "auth.needed"),
    "auth.refused": _reply("454 4.7.0 Temporary authentication failure", _AUTH, "auth.temporary"),
    "auth.silent": _event(_LOST, _AUTH, "auth.hung-up"),
    "auth.hung-up": _event(_SILENT, _AUTH, "auth.silent"),
    "content.unauthenticated": _reply("550 5.7.1 Message refused", "CONTENT", "content.refused"),
    "content.blocklisted": _reply("554 5.7.1 Service unavailable", "CONTENT", "content.refused"),
    "content.reputation": _reply("421 4.7.0 Come back later", "CONTENT", "server.busy"),
    "content.blocked-attachment": _reply("552 5.7.0 Refused", "CONTENT", "content.refused"),
    "content.spam": _reply("550 5.7.1 Refused by policy", "CONTENT", "content.refused"),
    "mail.not-owned": _reply(
        "553 5.7.1 <a@b.example>: Sender address rejected: Domain not found",
        "MAIL",
        "mail.sender-domain",
    ),
    "mail.send-as-denied": _reply("550 5.7.1 Client was refused", "CONTENT", "content.refused"),
    "mail.zoho-relaying": _reply("550 5.7.1 Relaying denied", "RCPT", "rcpt.relay"),
    "mail.ses-not-verified": _reply("554 Message rejected: too hot", "CONTENT", "content.refused"),
    "mail.sandbox-domain": _reply(
        "554 Message rejected: Email address is not verified.", "CONTENT", "mail.ses-not-verified"
    ),
    "mail.sender-not-verified": _reply(
        "553 5.7.1 Sender address rejected: not owned by user x", "MAIL", "mail.not-owned"
    ),
    "mail.sender-domain": _reply(
        "501 5.1.7 Bad sender address syntax", "MAIL", "mail.not-an-address"
    ),
    "mail.not-an-address": _reply(
        "550 5.1.8 Sender address rejected: Domain not found", "MAIL", "mail.sender-domain"
    ),
    "mail.smtputf8": _event(
        "not-supported", "MAIL", "mail.not-offered", "no DSN", reason="extension-missing"
    ),
    "mail.not-offered": _event(
        "not-supported", "MAIL", "mail.smtputf8", "the server lacks SMTPUTF8", reason="smtputf8"
    ),
    "mail.refused": _reply("450 4.7.1 Not now", "MAIL", "server.busy"),
    "rcpt.relay-with-login": _reply("554 5.7.1 Relay access denied", "RCPT", "rcpt.relay"),
    "rcpt.relay": _reply(
        "554 5.7.1 Relay access denied", "RCPT", "rcpt.relay-with-login", log_in="password"
    ),
    "rcpt.lmtp": _reply("550 5.1.1 User doesn't exist", "RCPT", "rcpt.unknown"),
    "rcpt.reverse-dns": _reply("450 4.7.1 Client host rejected", "RCPT", "server.busy"),
    "rcpt.greylisted": _reply("450 4.2.0 Mailbox busy, try again later", "RCPT", "server.busy"),
    "rcpt.mailbox-full": _reply("452 4.3.1 System storage", "RCPT", "server.busy"),
    "rcpt.unknown": _reply("550 5.7.1 No mail from you", "RCPT", "rcpt.refused"),
    "rcpt.domain": _reply("550 5.1.1 User unknown", "RCPT", "rcpt.unknown"),
    "rcpt.refused-with-login": _reply("554 5.7.1 No", "RCPT", "rcpt.refused"),
    "rcpt.refused": _reply("554 5.7.1 No", "RCPT", "rcpt.refused-with-login", log_in="token"),
    "server.busy": _reply("554 5.3.0 Local error", "CONTENT", "content.refused"),
    "content.refused": _reply("451 4.3.0 Local error", "CONTENT", "server.busy"),
    "content.silent": _event("in-doubt", "CONTENT", "content.in-doubt"),
    "envelope.silent": _event(_SILENT, "DATA", "content.silent"),
    "dialogue.lost": _event(_LOST, "QUIT", "unknown.quit"),
    "dialogue.broken": _event("protocol", "GREETING", "greeting.not-smtp"),
}
