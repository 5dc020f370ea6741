"""Failures of the log-in that any server may meet."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, exim, page, postfix, python, words

_AUTH = ("AUTH",)

LOGIN: Final = (
    Rule(
        "auth.refused-before",
        _("The server refused this a short time ago"),
        _("To keep the mailbox from being locked, the same log-in is not tried again at once."),
        (
            _(
                "Correct user name or password in {place[username]} and {place}: others "
                "are tried at once."
            ),
            _("Or run manage.py smtptest, which always asks the server."),
        ),
        reasons=("refused-before",),
        field="password",
        sources=(
            engine(
                "the server refused this user name with this password 12 seconds ago",
                "AUTH",
                "refused",
                reason="refused-before",
                code=535,
            ),
        ),
    ),
    Rule(
        "auth.temporary",
        _("The server can't check log-ins at the moment"),
        _("Nothing is said about user name and password: its own service for that is down."),
        (
            _("Try again later."),
            _("Tell whoever runs the server if it lasts."),
        ),
        stages=_AUTH,
        codes=(454, 451, 421, 432),
        pattern=words(r"authentication"),
        sources=(
            postfix(
                "454 4.7.0 Temporary authentication failure: Connection lost to "
                "authentication server",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.only-after-tls",
        _("The server offers a log-in only after TLS"),
        _("Or it wants none at all. In clear it says nothing of AUTH."),
        (
            _('Set {place} to STARTTLS: security "starttls" with port 587.'),
            _("If the server needs no log-in, leave {place[username]} empty."),
        ),
        stages=_AUTH,
        securities=("none", "opportunistic"),
        pattern=words(
            r"offers no AUTH|AUTH extension not supported|authentication not enabled"
            r"|AUTH command used when not advertised"
        ),
        field="security",
        sources=(
            engine(
                "the server offers no AUTH, allowed here: PLAIN, LOGIN",
                "AUTH",
                "not-supported",
                reason="no-mechanism",
                security="none",
            ),
        ),
    ),
    Rule(
        "auth.not-offered",
        _("The server offers no log-in"),
        _("On this port it takes mail without one, or knows this site by its address."),
        (
            _("Leave {place} empty if the server needs no log-in."),
            _("Otherwise use its port for submission, 587 or 465, in {place[port]}."),
        ),
        stages=_AUTH,
        pattern=words(
            r"offers no AUTH|AUTH extension not supported|authentication not enabled"
            r"|AUTH command used when not advertised"
        ),
        field="username",
        sources=(
            engine(
                "the server offers no AUTH, allowed here: PLAIN, LOGIN",
                "AUTH",
                "not-supported",
                reason="no-mechanism",
                security="starttls",
            ),
            postfix("503 5.5.1 Error: authentication not enabled", "AUTH"),
            exim("503 AUTH command used when not advertised", "AUTH"),
            python("smtplib.SMTPNotSupportedError: SMTP AUTH extension not supported by server."),
        ),
    ),
    Rule(
        "auth.no-mechanism",
        _("Server and site know no common way to log in"),
        _("What the server offers is not allowed here, or the reverse."),
        (
            _("Empty {place}, so that every mechanism is allowed that fits."),
            _("Check that {place[security]} is on: some mechanisms come only after TLS."),
        ),
        stages=_AUTH,
        reasons=("", "no-mechanism", "unknown-mechanism", "wrong-kind-of-secret"),
        pattern=words(
            r"allowed here:|authentication mechanism not supported"
            r"|Invalid authentication mechanism"
            r"|which is not known here|needs a \w{1,20}, and there is a"
        ),
        field="auth_mechanisms",
        sources=(
            engine(
                "the server offers PLAIN, LOGIN, allowed here: SCRAM-SHA-256",
                "AUTH",
                "not-supported",
                reason="no-mechanism",
            ),
            exim("504 NTLM authentication mechanism not supported", "AUTH"),
            postfix(
                "535 5.7.8 Error: authentication failed: Invalid authentication mechanism", "AUTH"
            ),
        ),
    ),
    Rule(
        "auth.no-channel-binding",
        _("The log-in can't be tied to this TLS connection"),
        _("A mechanism with -PLUS needs a channel binding that this connection does not have."),
        ("{cure}", _("Allow a mechanism without -PLUS in {place}, too.")),
        reasons=("no-channel-binding",),
        field="auth_mechanisms",
        sources=(
            engine(
                "SCRAM-SHA-256-PLUS needs the channel binding tls-unique",
                "AUTH",
                "not-supported",
                reason="no-channel-binding",
            ),
        ),
    ),
    Rule(
        "auth.not-who-it-says",
        _("The server can't prove that it knows the password"),
        _("It may be another server than the one that the password is for."),
        (
            _("Check {place} and the certificate: somebody may stand in between."),
            _("Tell whoever runs the server; do not switch verification off."),
        ),
        reasons=("server-signature",),
        field="host",
        sources=(
            engine(
                "The server does not know the password: its signature is wrong.",
                "AUTH",
                "protocol",
                reason="server-signature",
            ),
        ),
    ),
    Rule(
        "auth.needed",
        _("The server wants a log-in"),
        _("It takes no mail from this site before somebody has logged in."),
        (
            _("Give user name and password: {place} and {place[password]}."),
            _("Use its port for submission, 587 or 465, in {place[port]}, with TLS."),
            _("Switch TLS on in {place[security]}: most servers offer a log-in only inside it."),
        ),
        stages=("MAIL", "RCPT", "AUTH", "CONTENT", "DATA", "EHLO"),
        codes=(530, 503, 550, 554, 553),
        pattern=words(
            r"Authentication required|Client not authenticated|must be authenticated"
            r"|please authenticate"
        ),
        field="username",
        sources=(
            page(
                "530-5.7.0 Authentication Required. Learn more at\n"
                "530 5.7.0 https://support.google.com/mail/?p=WantAuthError y18-20020a92d0 "
                "- gsmtp",
                "https://github.com/chenjj/espoofer/issues/42",
                "MAIL",
            ),
            page(
                "530 Authentication required",
                "https://pastebin.com/t22G4F69",
                "MAIL",
                host="email-smtp.us-east-1.amazonaws.com",
            ),
            page(
                "530 5.7.57 Client not authenticated to send mail. "
                "[BN1P110CA0052.NAMP110.PROD.OUTLOOK.COM]",
                "https://pastebin.com/SuB30vi5",
                "MAIL",
            ),
            page(
                "550 Relay access denied - please authenticate",
                "https://support.smtp2go.com/hc/en-gb/articles/13990494697369-Common-Sending-Errors",
                "RCPT",
            ),
            page(
                "550 must be authenticated",
                "https://www.ionos.com/help/email/troubleshooting-mail-basicmail-business/error-messages-caused-by-undeliverable-email/",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "auth.needed-first",
        _("The server wants a log-in, or TLS, before anything else"),
        _("It answers 530, which says so in numbers, whatever the words are."),
        (
            _("Give user name and password: {place} and {place[password]}."),
            _("Switch TLS on in {place[security]}: most servers offer a log-in only inside it."),
        ),
        stages=("EHLO", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT"),
        codes=(530,),
        field="username",
        sources=(page("530 Not Logged In", "https://errors.fyi/530", "MAIL"),),
    ),
    Rule(
        "auth.refused",
        _("The server does not take this user name with this password"),
        _(
            "Many providers want the whole address as user name, and an app password in "
            "place of the "
            "mailbox's own."
        ),
        (
            _("Enter {place} again; copy it, without white space at its ends."),
            _("Check {place[username]}: whole address, or only what stands before the @?"),
            _("Check that {place[host]} is the server where this mailbox lives."),
        ),
        stages=_AUTH,
        codes=(535, 534, 525, 526),
        field="password",
        credential=True,
        sources=(
            postfix("535 5.7.8 Error: authentication failed: (reason unavailable)", "AUTH"),
            exim("535 Incorrect authentication data", "AUTH"),
            page(
                "535 5.7.0 Invalid login or password",
                "https://github.com/marcpope/borgbackupserver/issues/16",
                "AUTH",
            ),
            page(
                "535 Authentication Failed.",
                "https://www.zoho.com/zeptomail/help/api/smtp-error-codes.html",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.silent",
        _("The server does not answer the log-in"),
        _("It lets wrong passwords wait, or its own service for log-ins is slow."),
        (
            _(
                "Check {place} and {place[username]}: many servers delay the answer to a "
                "wrong one."
            ),
            _("Allow more time in {place[timeout]}."),
        ),
        stages=_AUTH,
        kinds=("timed-out",),
        field="password",
        sources=(engine("the server did not answer in time", "AUTH", "timed-out"),),
    ),
    Rule(
        "auth.hung-up",
        _("The server hung up during the log-in"),
        _("Servers do that after too many wrong passwords, or when TLS is missing."),
        (
            _("Check {place} and {place[username]}."),
            _("Check that {place[security]} is on."),
            _("Wait a while if there were many tries."),
        ),
        stages=_AUTH,
        kinds=("disconnected",),
        field="password",
        sources=(engine("the server closed the connection", "AUTH", "disconnected"),),
    ),
)
