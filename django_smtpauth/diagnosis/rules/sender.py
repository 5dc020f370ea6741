"""Failures of the sender, and of what a message calls for."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, exim, page, postfix, words

_ENVELOPE = ("MAIL", "RCPT", "DATA", "CONTENT")
_SEND_AS_ITSELF = _("Send from an address that belongs to the log-in: set {place} to one.")
_FOREIGN = _("Let the account rewrite another From in {place[foreign_from]}.")


SENDER: Final = (
    Rule(
        "mail.not-owned",
        _("The log-in may not send as this From"),
        _("The server knows which addresses belong to a log-in, and this one does not."),
        (
            _SEND_AS_ITSELF,
            _FOREIGN,
            _("Or let whoever runs the server add {sender} to this log-in."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"not owned by (?:auth )?user|Sender address is not allowed"),
        field="from_email",
        sources=(
            postfix(
                "553 5.7.1 <bob@example.test>: Sender address rejected: not owned by user "
                "alice@example.test",
                "RCPT",
            ),
            page(
                "553 5.7.1 Sender address rejected: not owned by auth user.",
                "https://github.com/splitbrain/dokuwiki-plugin-smtp/issues/38",
                "MAIL",
                host="smtp.yandex.ru",
            ),
            page(
                "550-Requested action not taken: mailbox unavailable\n550 Sender address "
                "is not allowed.",
                "https://github.com/infertux/zeyple/issues/49",
                "MAIL",
                host="mail.gmx.net",
            ),
        ),
    ),
    Rule(
        "mail.send-as-denied",
        _("The mailbox may not send as this From"),
        _(
            "Microsoft lets a mailbox send as another only with the permission \u201cSend "
            "as\u201d."
        ),
        (
            _SEND_AS_ITSELF,
            _("Or let an administrator give the log-in \u201cSend as\u201d for that address."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"permissions to send as this sender|SendAsDenied"),
        field="from_email",
        link="https://learn.microsoft.com/en-us/exchange/recipients-in-exchange-online/"
        "manage-permissions-for-recipients",
        sources=(
            page(
                "550 5.7.60 SMTP; Client does not have permissions to send as this sender "
                "[BY2PR1001MB1094.namprd10.prod.outlook.com]",
                "https://pastebin.com/wtU9XT6T",
                "CONTENT",
            ),
            page(
                "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException."
                "MapiExceptionSendAsDenied; Failed to process message due to a permanent "
                "exception "
                "with message Cannot submit message",
                "http://www.kouhan.cn/en/article/00038744",
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "mail.zoho-relaying",
        _("Zoho sends only as the mailbox that has logged in, or as its aliases"),
        _("The From of the message is neither."),
        (
            _SEND_AS_ITSELF,
            _FOREIGN,
            _("Or add the address as an alias at Zoho."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"Relaying disallowed"),
        field="from_email",
        link="https://www.zoho.com/mail/help/zoho-smtp.html",
        sources=(
            page(
                "553 Relaying disallowed as test@example.com",
                "https://github.com/getgrav/grav-plugin-email/issues/77",
                "CONTENT",
                host="smtp.zoho.com",
            ),
        ),
    ),
    Rule(
        "mail.ses-not-verified",
        _("Amazon SES does not know this address as verified"),
        _(
            "The From must be verified in this region. While the account is in the sandbox, every "
            "recipient must be, too."
        ),
        (
            _("Verify the domain or the address of {place} in the region of {host}."),
            _("Ask for production access if recipients are named: the account is in the sandbox."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"Email address is not verified|identities failed the check"),
        field="from_email",
        link="https://docs.aws.amazon.com/ses/latest/dg/verify-addresses-and-domains.html",
        sources=(
            page(
                "(554, b'Message rejected: Email address is not verified. The following "
                "identities "
                "failed the check in region US-WEST-2: webmaster@localhost')",
                "https://pastebin.com/MpLgKiQ6",
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "mail.sandbox-domain",
        _("The domain of the provider is for tests only"),
        _("Mailgun's sandbox domain sends to recipients that were authorized, and nobody else."),
        (
            _("Add a domain of your own at the provider, and send from it: set {place}."),
            _("Or add the recipient to the authorized ones."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"Sandbox subdomains are for test purposes only"),
        field="from_email",
        link="https://help.mailgun.com/hc/en-us/articles/217531258-Authorized-Recipients",
        sources=(
            page(
                "(554, 'Sandbox subdomains are for test purposes only. Please add your own "
                "domain or "
                "add the address to authorized recipients in Account Settings.')",
                "https://github.com/domino14/Webolith/issues/219",
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "mail.sender-not-verified",
        _("The provider does not know this From as yours"),
        _("Delivery services send only for addresses and domains that were verified before."),
        (
            _("Verify the domain of the sender on the provider's pages."),
            _("Or send from an address that is verified: set {place} to one."),
        ),
        stages=_ENVELOPE,
        pattern=words(
            r"verified Sender Identity|sender domain not verified|not a Sender Signature"
            r"|not authorized to send from that email address|from address is not authori[sz]ed"
        ),
        field="from_email",
        sources=(
            page(
                "550 The from address does not match a verified Sender Identity. Mail "
                "cannot be sent "
                "until this error is resolved. Visit https://sendgrid.com/docs/for-developers/"
                "sending-email/sender-identity/ to see the Sender Identity requirements",
                "https://github.com/sahat/hackathon-starter/issues/1083",
                "CONTENT",
            ),
            page(
                "550 From header sender domain not verified",
                "https://support.smtp2go.com/hc/en-gb/articles/13990494697369-Common-Sending-Errors",
                "CONTENT",
            ),
            page(
                "The 'From' address you supplied (redacted) is not a Sender Signature on "
                "your account.",
                "https://github.com/feedadoc/feedadoc/pull/110",
                "CONTENT",
                kind="refused",
            ),
            page(
                "500 Envelope from address is not authorised",
                "https://www.authsmtp.com/smtp-error-codes/"
                "500-envelope-from-address-not-authorised.html",
                "MAIL",
            ),
            page(
                "403 You are not authorized to send from that email address",
                "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/smtp-errors-and-troubleshooting",
                "CONTENT",
            ),
        ),
    ),
    Rule(
        "mail.sender-domain",
        _("The domain of the sender does not exist"),
        _("The server looked it up in the DNS and found neither a mail exchanger nor an address."),
        (
            _(
                "Correct {place}: Django's webmaster@localhost is no address outside of "
                "this machine."
            ),
            _("Publish an MX record for the domain, if it is yours."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"Sender address rejected: Domain not found"),
        field="from_email",
        sources=(
            page(
                "550 5.1.8 : Sender address rejected: Domain not found",
                "https://support.onesystems.ch/"
                "722126-%C3%9Cbersicht-h%C3%A4ufig-vorkommender-Fehlermeldungen",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "mail.not-an-address",
        _("The sender is no complete address"),
        _("A server wants name@domain, with a domain that others can look up."),
        (_("Set {place} to a whole address of your domain."),),
        stages=_ENVELOPE,
        pattern=words(
            r"Bad sender address syntax|not a valid RFC-5321 address"
            r"|sender address must contain a "
            r"domain|Sender address rejected: need fully-qualified address"
        ),
        field="from_email",
        sources=(
            postfix("501 5.1.7 Bad sender address syntax", "MAIL"),
            exim("501 <www-data>: sender address must contain a domain", "MAIL"),
            page(
                "553 5.1.7 The sender address <www-data> is not a valid RFC-5321 address. "
                "y2si5915922ybh.202 - gsmtp",
                "https://github.com/nextcloud/mail/issues/5213",
                "MAIL",
            ),
            page(
                "504 5.5.2 <root@nextcloud>: Sender address rejected: need fully-qualified "
                "address",
                "https://github.com/nextcloud/vm/issues/2726",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "mail.smtputf8",
        _("The server can't carry this address"),
        _("It has letters beyond ASCII, and the server does not offer SMTPUTF8 (RFC 6531)."),
        (
            "{cure}",
            _("Write {place} with ASCII letters before the @; its domain may have any."),
            _("Or send through a server that offers SMTPUTF8, named in {place[host]}."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"SMTPUTF8"),
        field="from_email",
        sources=(
            engine(
                "an address needs SMTPUTF8, which the server lacks",
                "MAIL",
                "not-supported",
                reason="smtputf8",
            ),
            postfix("555 5.5.4 Unsupported option: SMTPUTF8", "MAIL"),
            exim("501 SMTPUTF8 used when not advertised", "MAIL"),
        ),
    ),
    Rule(
        "mail.not-offered",
        _("The server lacks what the message calls for"),
        _("An option, or the content itself, needs an extension that the server does not offer."),
        (
            "{cure}",
            _("Leave out the option that the error names, or send through another server."),
            _("Check {place}: another server of the provider may offer it."),
        ),
        reasons=(
            "extension-missing",
            "requiretls",
            "not-authenticated",
            "not-7bit",
            "binary",
            "sealed",
            "limits",
        ),
        field="host",
        sources=(
            engine(
                "the server does not offer DSN, which NOTIFY needs",
                "MAIL",
                "not-supported",
                reason="extension-missing",
            ),
        ),
    ),
    Rule(
        "mail.refused",
        _("The server does not let this sender send"),
        _("It refused the address before it heard of recipients or content."),
        (
            _("Set {place} to an address that belongs to this log-in."),
            _FOREIGN,
            _("Ask whoever runs the server whether it lets {sender} send."),
        ),
        stages=("MAIL",),
        kinds=("refused",),
        codes=(550, 551, 553, 554, 501, 541, 571),
        field="from_email",
        sources=(exim("550 5.7.1 this sender is not wanted", "MAIL"),),
    ),
)
