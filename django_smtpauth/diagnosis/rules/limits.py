"""Too much, too fast, too many at once: what servers say when they want less."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, exim, page, postfix, words

_SES_QUOTAS = "https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html"

LIMITS: Final = (
    Rule(
        "limits.size",
        _("The message is too large for the server"),
        _("What counts is its size as it is sent: attachments grow by a third."),
        (
            _("Send a link in place of the attachment."),
            _("Compress or leave out what is large."),
            _("Or send through a server that takes more, named in {place}."),
        ),
        pattern=words(
            r"octets, the server takes|message size exceeds|exceeded .{0,30}message size limits"
            r"|message too large|size exceeded the policy"
        ),
        field="host",
        sources=(
            engine(
                "the message has 20000000 octets, the server takes 10000000",
                "MAIL",
                "refused",
                reason="size",
            ),
            postfix("552 5.3.4 Message size exceeds fixed limit", "MAIL"),
            exim("552 Message size exceeds maximum permitted", "MAIL"),
            page(
                "552-5.3.4 Your message exceeded Google's message size limits. Please visit\n"
                "552-5.3.4 https://support.google.com/mail/?p=MaxSizeError to view our size\n"
                "552 5.3.4 guidelines. abc123 - gsmtp",
                "https://www.suped.com/learn/email-deliverability/"
                "what-is-the-google-error-message-when-an-email-exceeds-size-limits",
                "MAIL",
            ),
            page(
                "5.2.0 Email size exceeded the policy.",
                "https://www.zoho.com/zeptomail/help/api/smtp-error-codes.html",
                "CONTENT",
                kind="refused",
            ),
            page(
                "Message too large",
                "https://www.suped.com/knowledge/email-deliverability/troubleshooting/what-is-the-google-error-message-when-an-email-exceeds-size-limits",
                "CONTENT",
                kind="refused",
            ),
        ),
    ),
    Rule(
        "limits.recipients",
        _("Too many recipients for one message"),
        _("The server takes fewer at once. Those it took before this answer got the message."),
        (
            _("Send the message in parts, to fewer recipients each."),
            _("Use a list at the provider for many recipients."),
        ),
        codes=(452, 451, 550, 552, 554),
        pattern=words(r"too many recipients"),
        sources=(
            postfix("452 4.5.3 Error: too many recipients", "RCPT"),
            exim("452 too many recipients", "RCPT"),
        ),
    ),
    Rule(
        "limits.day",
        _("The day's quota of this log-in is used up"),
        _("The provider counts messages or recipients over 24 hours, and takes no more today."),
        (
            _("Wait until the quota is free again, a day at most."),
            _("Send what goes to many through a delivery service: name its server in {place}."),
        ),
        pattern=words(
            r"Daily (?:user )?sending (?:quota|limit) exceeded|Daily message quota exceeded"
            r"|24-hour sending limit|SubmissionQuotaExceeded|Daily message limit exceeded"
        ),
        field="host",
        sources=(
            page(
                "550 5.4.5 Daily user sending quota exceeded. o65sm25351206pga.71 - gsmtp",
                "https://github.com/gen-smtp/gen_smtp/issues/140",
                "CONTENT",
            ),
            page(
                "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n"
                "550-5.4.5 sending limits go to\n550 5.4.5 https://support.google.com/a/answer/166852",
                "https://github.com/woowacourse-teams/2025-ah-madda/issues/635",
                "CONTENT",
            ),
            page("454 Throttling failure: Daily message quota exceeded", _SES_QUOTAS, "CONTENT"),
            page(
                "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
                "https://github.com/MicrosoftDocs/OfficeDocs-Support/issues/1150",
                "CONTENT",
            ),
            page(
                "User me@example.com has exceeded its 24-hour sending limit. Messages to "
                "25 recipients out of 25",
                "https://github.com/nodemailer/nodemailer/issues/1137",
                "CONTENT",
                kind="refused",
            ),
            page(
                "452 4.5.3 Daily message limit exceeded",
                "https://emailit.com/docs/smtp/troubleshooting/",
                "MAIL",
            ),
        ),
    ),
    Rule(
        "limits.microsoft-connections",
        _("Microsoft allows three connections of a mailbox at once"),
        _("More were open: several processes of this site, or other programs of this mailbox."),
        (
            _("Send fewer messages at the same time: fewer workers, or one queue for mail."),
            _("Use a mailbox of its own for this site, named in {place}."),
            _("Send again after a minute."),
        ),
        pattern=words(
            r"Concurrent connections limit exceeded|maximum number of concurrent connections"
        ),
        field="username",
        link="https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/"
        "smtp-submission-improvements",
        sources=(
            page(
                "(432, '4.3.2 Concurrent connections limit exceeded. Visit "
                "https://aka.ms/concurrent_sending for more information.')",
                "https://github.com/sabuhish/fastapi-mail/issues/75",
                "CONTENT",
            ),
            page(
                "421 4.3.2 The maximum number of concurrent connections per resource "
                "forest has exceeded "
                "a limit, closing transmission channel.",
                "https://smtp.codes/421",
                "GREETING",
            ),
        ),
    ),
    Rule(
        "limits.connections",
        _("Too many connections at once"),
        _("The server counts those from this address, or of this log-in."),
        (
            _("Send fewer messages at the same time: fewer workers, or one queue for mail."),
            _("Keep one connection open for a batch: hand all messages to send_messages()."),
            _("Try again in a minute."),
        ),
        pattern=words(
            r"too many (?:concurrent )?(?:SMTP )?(?:connections|sessions)"
            r"|too many messages in this connection"
        ),
        sources=(
            postfix(
                "421 4.7.0 mx.example.test Error: too many connections from 127.0.0.1", "GREETING"
            ),
            exim("421 too many messages in this connection", "MAIL"),
            page(
                "421 Too many concurrent SMTP connections",
                "https://github.com/in2code-de/luxletter/issues/247",
                "GREETING",
            ),
            exim("421 Too many concurrent SMTP connections; please try again later.", "GREETING"),
        ),
    ),
    Rule(
        "limits.rate",
        _("Too many messages in a short time"),
        _("The server wants this site to go slower."),
        (
            _("Send again later, and slower: put a pause between messages."),
            _("Ask the provider for a higher rate."),
        ),
        pattern=words(
            r"too much mail|sending rate exceeded|rate limit|Messages per second limit"
            r"|too frequent connects|receiving (?:e?mail )?(?:too quickly|at a rate)"
        ),
        sources=(
            postfix("450 4.7.1 Error: too much mail from 127.0.0.1", "MAIL"),
            page("454 Throttling failure: Maximum sending rate exceeded", _SES_QUOTAS, "CONTENT"),
            page(
                "450 too frequent connects from 198.37.147.135, please try again later.",
                "https://sendgrid.com/docs/Glossary/email_error_messages.html",
                "CONTENT",
            ),
            page(
                "450 4.2.1 The user you are trying to contact is receiving email too quickly.",
                "https://knowledge.workspace.google.com/admin/support/troubleshooting/"
                "gmail-smtp-errors-and-codes",
                "RCPT",
            ),
            page(
                "421 Rate limit reached. Please try again later",
                "https://new-faq.comservice-ffo.de/smtp-fehlermeldungen-e-mail-fehler/",
                "MAIL",
            ),
            page(
                "452 4.4.5 Messages per second limit exceeded",
                "https://emailit.com/docs/smtp/troubleshooting/",
                "MAIL",
            ),
        ),
    ),
    Rule(
        "limits.errors",
        _("The server has shut this site out for a while"),
        _("It saw too many errors from this address in a short time."),
        (
            _("Stop sending for some minutes, until the server forgets."),
            _("Find the errors before it in the log: wrong passwords or unknown recipients."),
        ),
        codes=(421, 450, 451, 550),
        pattern=words(r"too many errors|temporarily black ?listed"),
        sources=(
            page(
                "421 4.5.1 Too many errors, you have been temporarily blacklisted",
                "https://help.socketlabs.com/docs/"
                "421-451-too-many-errors-you-have-been-temporarily-blacklisted",
                "GREETING",
            ),
        ),
    ),
    Rule(
        "limits.idle",
        _("The server closed a connection that was silent for long"),
        _("Programs that keep a connection open between messages meet this; it does no harm."),
        (
            _("Send again: a new connection is made."),
            _("Close the connection when a batch is sent, in place of keeping it."),
        ),
        codes=(421, 451),
        pattern=words(r"timeout exceeded|Timeout waiting for data|Timeout - closing"),
        sources=(
            postfix("421 4.4.2 mx.example.test Error: timeout exceeded", "MAIL"),
            page(
                "421 Timeout waiting for data from client",
                "https://support.huaweicloud.com/intl/ja-jp/usermanual-koomessage/um1007.html",
                "DATA",
            ),
            page(
                "451 4.4.2 Timeout - closing connection.",
                "https://support.google.com/a/answer/3726730",
                "DATA",
            ),
        ),
    ),
)
