"""Failures of the first words: the greeting, and EHLO."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, exim, page, postfix, python, words

_GOOGLE = "https://support.google.com/a/answer/3726730"
_USUAL = _("The usual ports are 587 (STARTTLS) and 465 (implicit TLS).")

GREETING: Final = (
    Rule(
        "greeting.silent-465",
        _("Port {port} waits for TLS"),
        _("On this port servers expect TLS from the first octet, and say nothing before it."),
        (
            _('Set {place} to implicit TLS: security "implicit_tls".'),
            _("Or use port 587 with STARTTLS in {place[port]}."),
        ),
        stages=("GREETING",),
        kinds=("timed-out", "disconnected", "connect"),
        ports=(465, 2465, 8465),
        securities=("starttls", "none", "opportunistic", ""),
        field="security",
        sources=(
            engine(
                "the server did not answer in time",
                "GREETING",
                "timed-out",
                port=465,
                security="starttls",
            ),
            python(
                "smtplib.SMTPServerDisconnected: Connection unexpectedly closed: timed out",
                stage="GREETING",
                port=465,
            ),
        ),
    ),
    Rule(
        "greeting.silent",
        _("The server took the connection and says nothing"),
        _(
            "A firewall or virus scanner in between swallows the dialogue, the server lets "
            "strangers "
            "wait, or the port expects TLS from the first octet."
        ),
        (
            _("Check {place} and {place[security]}: port 465 goes with implicit TLS."),
            _("Allow more time in {place[timeout]} if the server is known to be slow."),
            _("Try from another network to see whether something in between interferes."),
        ),
        stages=("GREETING",),
        kinds=("timed-out",),
        field="port",
        sources=(
            engine(
                "the server did not answer in time",
                "GREETING",
                "timed-out",
                port=587,
                security="starttls",
            ),
        ),
    ),
    Rule(
        "greeting.client-certificate",
        _("The server wants a client certificate"),
        _("It ends the connection because this site shows none."),
        (
            _("Enter a certificate that the server knows in {place}, with its key."),
            _("Check {place[port]}: another port may do without."),
        ),
        stages=("GREETING", "TLS"),
        pattern=words(r"ALERT[_ ]CERTIFICATE[_ ]REQUIRED"),
        field="client_certificate",
        sources=(engine("TLS broke (TLSV13_ALERT_CERTIFICATE_REQUIRED)", "GREETING", "connect"),),
    ),
    Rule(
        "greeting.hung-up",
        _("The server hung up at once"),
        _(
            "It ended the connection before it said who it is. Servers do that to blocked "
            "addresses."
        ),
        (
            _("Check {place} and {place[security]}: does the port speak SMTP at all?"),
            _("Ask whoever runs the server whether the address of this site is blocked."),
            _("Wait if there were many failed tries: some servers block for a while."),
        ),
        stages=("GREETING",),
        kinds=("connect", "disconnected"),
        field="port",
        sources=(
            engine("the server closed the connection", "GREETING", "connect"),
            page(
                "smtplib.SMTPServerDisconnected: Connection unexpectedly closed.",
                "https://github.com/aahnik/bulk-email-sender/issues/10",
                "GREETING",
            ),
        ),
    ),
    Rule(
        "greeting.no-service",
        _("The server does not want to talk to this site"),
        _(
            "In place of a greeting it refused: this is no server for mail, or not for "
            "this address."
        ),
        (
            _("Check that {place} is the server for sending, and not the one for receiving."),
            _("Ask whoever runs the server whether the address of this site is blocked."),
        ),
        stages=("GREETING",),
        kinds=("refused",),
        codes=(554, 521, 550),
        field="host",
        sources=(
            page(
                "554 No SMTP service here",
                "https://www.rfc-editor.org/rfc/rfc5321#section-4.2.3",
                "GREETING",
            ),
        ),
    ),
    Rule(
        "greeting.not-smtp",
        _("That is no mail server for sending"),
        _("What answers at {server} speaks another protocol: the web, IMAP, POP3 or SSH."),
        (
            _("Check {place[host]}: providers have one server for receiving and one for sending."),
            _("Check {place}: 993, 143, 995 and 110 are for receiving mail."),
            _USUAL,
        ),
        stages=("GREETING",),
        kinds=("protocol",),
        field="port",
        sources=(
            engine(
                "The server sent something that is no SMTP reply: b'* OK [CAPABILITY IMAP4rev1] "
                "ready.'",
                "GREETING",
                "protocol",
            ),
            engine(
                "The server sent something that is no SMTP reply: b'HTTP/1.1 400 Bad Request'",
                "GREETING",
                "protocol",
            ),
        ),
    ),
    Rule(
        "ehlo.google-relay",
        _("Google's relay does not know who connects"),
        _("smtp-relay.gmail.com wants a domain of yours as the name that this site gives."),
        (
            _("Write a name of this site in your own domain into {place}."),
            _("Check that the relay service in the Admin console lists this site's address."),
        ),
        stages=("EHLO", "GREETING", "MAIL"),
        codes=(421,),
        pattern=words(r"Try again later, closing connection"),
        presets=("google", "gmail"),
        field="ehlo_name",
        link="https://support.google.com/a/answer/2956491",
        sources=(
            page(
                "421 4.7.0 Try again later, closing connection.",
                _GOOGLE,
                "EHLO",
                preset="google-workspace-relay",
            ),
        ),
    ),
    Rule(
        "ehlo.name-refused",
        _("The server does not like the name that this site gives itself"),
        _(
            "The name in EHLO must look like one of the DNS. Names of containers have "
            "underscores, "
            "or no dot."
        ),
        (_("Write a full host name of this site, such as mail.example.com, into {place}."),),
        stages=("EHLO",),
        pattern=words(
            r"invalid (?:EHLO|HELO) argument|(?:EHLO|HELO) argument .{0,80}invalid"
            r"|Empty HELO/EHLO argument|Syntax: EHLO hostname|Helo command rejected"
        ),
        field="ehlo_name",
        sources=(
            exim("501 Syntactically invalid EHLO argument(s)", "EHLO"),
            postfix("501 Syntax: EHLO hostname", "EHLO"),
            page(
                "501 5.5.4 Empty HELO/EHLO argument not allowed, closing connection.",
                "https://github.com/ietf-tools/datatracker/issues/10244",
                "EHLO",
            ),
            postfix(
                "504 5.5.2 <web>: Helo command rejected: need fully-qualified hostname", "EHLO"
            ),
        ),
    ),
    Rule(
        "ehlo.smtp-here",
        _("The server does not speak LMTP"),
        _("It does not know LHLO, with which LMTP begins."),
        (_("Choose SMTP in {place}."),),
        stages=("EHLO",),
        codes=(500, 501, 502, 503, 504),
        protocols=("lmtp",),
        field="protocol",
        sources=(
            postfix("500 5.5.2 Error: command not recognized", "EHLO", protocol="lmtp"),
            exim("500 unrecognized command", "EHLO", protocol="lmtp"),
        ),
    ),
    Rule(
        "ehlo.lmtp-here",
        _("The server refuses the first command of SMTP"),
        _("A delivery agent of local mailboxes speaks LMTP, and has to refuse EHLO."),
        (
            _("If it is one, choose LMTP in {place}."),
            _("Otherwise check {place[host]} and {place[port]}: it is no usual mail server."),
        ),
        stages=("EHLO",),
        codes=(500, 502, 503, 504),
        field="protocol",
        sources=(
            page(
                "500 5.5.1 Unknown command",
                "Dovecot 2.3.19 (LMTP)",
                "EHLO",
            ),
        ),
    ),
    Rule(
        "ehlo.silent",
        _("The server says nothing to the name of this site"),
        _("Some look up the name or the address of this site first, and their DNS is slow."),
        (
            _("Write a name that the DNS knows into {place}."),
            _("Give the address of this site a name in the DNS (PTR)."),
            _("Allow more time in {place[timeout]}."),
        ),
        stages=("EHLO",),
        kinds=("timed-out",),
        field="ehlo_name",
        sources=(engine("the server did not answer in time", "EHLO", "timed-out"),),
    ),
)
