"""Failures of the sender's good name, and of content that filters do not like."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, page, words

_TURBOSTACK = "https://docs.turbostack.app/configuration/mail/smtp_error_codes"

REPUTATION: Final = (
    Rule(
        "content.unauthenticated",
        _("The domain of the sender does not vouch for this server"),
        _(
            "The recipient's server asks the DNS of the From whether this server may send for it "
            "(SPF, DKIM, DMARC), and the answer is no."
        ),
        (
            _("Send through the server of the domain's own provider: set {place}."),
            _("Or add this server to the SPF record of the domain, and let it sign with DKIM."),
            _("Do not send as addresses of Gmail, Yahoo or the like through other servers."),
        ),
        pattern=words(
            r"5\.7\.26|DMARC|sender is unauthenticated|SPF (?:policy|check)"
            r"|unauthenticated e?mail|pass authentication checks"
        ),
        field="host",
        link="https://support.google.com/mail/answer/81126",
        sources=(
            page(
                "550-5.7.26 Unauthenticated email from example.com is not accepted due to\n"
                "550-5.7.26 domain's DMARC policy. Please visit\n"
                "550-5.7.26 https://support.google.com/mail/answer/81126#authentication for\n"
                "550-5.7.26 more information.",
                "https://www.dmarctrust.com/troubleshooting/unauthenticated-email-rejected",
                "CONTENT",
            ),
            page(
                "550 <example@example.com>: Reject due to SPF policy. The originating IP "
                "of the message "
                "is not permitted by the domain owner",
                "https://smtp.codes/unitedinternet/",
                "CONTENT",
            ),
            page(
                "550-5.7.26 This mail has been blocked because the sender is unauthenticated.",
                "https://blogspot.testmailscore.com/2024/12/"
                "How-to-Fix-the-550-5.7.26-Email-Authentication-Error-and-Improve-Deliverability.html",
                "CONTENT",
            ),
            page("550-5.7.1 SPF check failed", _TURBOSTACK, "CONTENT"),
            page(
                "550-5.7.1 This message does not have authentication information or fails "
                "to\n550-5.7.1 pass authentication checks.",
                "https://www.dmarctrust.com/troubleshooting/unauthenticated-email-rejected",
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "content.blocklisted",
        _("The sending server is on a blocklist"),
        _(
            "The recipient's server asks a list of addresses that send spam, or that "
            "should not send."
        ),
        (
            _("Look the address up on the page of the list that the answer names."),
            _("Remove the cause: a hacked form, an open relay, a machine of somebody else."),
            _("Or send through the server of a mail provider, named in {place}."),
        ),
        pattern=words(r"blocked using|spamhaus|blacklist|black listed"),
        field="host",
        link="https://check.spamhaus.org/",
        sources=(
            page(
                "554 5.7.1 Service unavailable; Client host [203.0.113.45] blocked using "
                "zen.spamhaus.org; https://www.spamhaus.org/query/ip/203.0.113.45",
                "https://www.simplefastwebsites.com/errors/email/"
                "smtp-554-5-7-1-client-host-blocked-spamhaus/",
                "RCPT",
            ),
            page(
                "554 Service unavailable; Client host [192.0.2.7] blocked using "
                "rbl.example - IP Black Listed",
                "https://www.ionos.com/help/email/troubleshooting-mail-basicmail-business/error-messages-caused-by-undeliverable-email/",
                "RCPT",
            ),
            page(
                "550 Host blacklisted - Found on Realtime Black List server",
                "https://www.dnsbl.com/2007/11/status-of-rblspamhausorg-not-blacklist.html",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "content.reputation",
        _("The sending address has a bad name at the moment"),
        _("Much unwanted mail was seen from it, so its mail is put off or refused."),
        (
            _("Stop mail that people do not want, and wait some hours."),
            _("Check the forms of this site: do they send mail for strangers?"),
            _("Or send through the server of a mail provider, named in {place}."),
        ),
        pattern=words(
            r"unusual rate of unsolicited|user complaints|unexpected volume|low reputation"
            r"|temporarily deferred"
        ),
        field="host",
        sources=(
            page(
                "421 4.7.0 Our system has detected an unusual rate of unsolicited mail "
                "originating from "
                "your IP address. To protect our users from spam, mail sent from your IP "
                "address has "
                "been temporarily blocked.",
                "https://support.google.com/a/answer/3726730",
                "CONTENT",
            ),
            page(
                "421 4.7.0 [TSS04] Messages from 0.0.0.0 temporarily deferred due to "
                "unexpected volume "
                "or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
                "https://smtp.codes/yahoo",
                "MAIL",
            ),
            page(
                "550-5.7.1 This message is likely suspicious due to the very low "
                "reputation of the sending IP address",
                _TURBOSTACK,
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "content.blocked-attachment",
        _("An attachment is of a kind that the server blocks"),
        _("Programs, archives with passwords and the like are not taken, also inside archives."),
        (
            _("Send a link in place of the attachment."),
            _("Leave out programs and archives with a password."),
        ),
        pattern=words(
            r"potential security issue|content presents a potential|p=BlockedMessage|\bvirus\b"
        ),
        link="https://support.google.com/mail/answer/6590",
        sources=(
            page(
                "552-5.7.0 This message was blocked because its content presents a "
                "potential 552-5.7.0 "
                "security issue. Please visit 552-5.7.0 https://support.google.com/mail/?p=BlockedMessage",
                "https://doc.sorbsecurity.com/gmail-blocks-some-emails-because-of-the-attachment-file-types",
                "CONTENT",
            ),
            page(
                "553 5.7.1 virus Win. Test. EICAR_HDB-1 detected by Zoho Mail.",
                "https://www.zoho.com/zeptomail/help/api/smtp-error-codes.html",
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "content.spam",
        _("The server takes the message for spam"),
        _("Words, links or the look of the message, or the name of its sender, decided it."),
        (
            _("Send a plain message to the same recipient, to see whether it is the content."),
            _("Take out short links and links to other domains than your own."),
            _("Send from an address of your own domain: set {place}."),
        ),
        codes=(550, 554, 552, 451, 571),
        pattern=words(r"likely (?:unsolicited|suspicious)|\bspam\b|unsolicited|No SPAM"),
        field="from_email",
        sources=(
            page("550 5.7.1 This message is likely unsolicited email", _TURBOSTACK, "CONTENT"),
            page(
                "5.1.0 spam detected",
                "https://support.konto.pl/kb/a2164/blad-5_1_0.aspx",
                "CONTENT",
                code=550,
                kind="refused",
            ),
            page(
                "550 Refused by local policy. No SPAM please!",
                "https://strato.de/faq/mail/fehlermeldungen-bei-e-mails",
                "CONTENT",
            ),
        ),
    ),
)
