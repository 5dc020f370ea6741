"""Failures of the recipients."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, exim, page, postfix, words

_ENVELOPE = ("MAIL", "RCPT", "DATA", "CONTENT")

RECIPIENT: Final = (
    Rule(
        "rcpt.relay-with-login",
        _("The server does not send to this domain for this log-in"),
        _("The log-in works. But it is not allowed to send outside, or not as this From."),
        (
            _("Send from an address of the log-in: set {place} to one."),
            _("Ask whoever runs the server whether this log-in may send to other domains."),
        ),
        stages=_ENVELOPE,
        log_ins=("password", "token", "certificate"),
        pattern=words(r"relay access denied|relaying denied|relay not permitted|unable to relay"),
        field="from_email",
        sources=(
            page(
                "550 5.7.1, Relaying denied.",
                "https://github.com/nodemailer/nodemailer/issues/1480",
                "RCPT",
                log_in="password",
            ),
        ),
    ),
    Rule(
        "rcpt.relay",
        _("The server takes mail for its own addresses only"),
        _("Without a log-in it does not pass mail on to other domains."),
        (
            _("Log in: give user name and password in {place} and {place[password]}."),
            _("Use its port for submission, 587 or 465, in {place[port]}."),
        ),
        stages=_ENVELOPE,
        pattern=words(r"relay access denied|relaying denied|relay not permitted|unable to relay"),
        field="username",
        sources=(
            postfix("554 5.7.1 <b@elsewhere.example>: Relay access denied", "RCPT"),
            page(
                "smtp; 550 relay not permitted",
                "https://snapoverflow.com/server/question/758971/"
                "explanation-of-various-smtp-error-codes-bounced-by-mailservers",
                "RCPT",
            ),
            page(
                "smtp; 550 5.7.1 Unable to relay",
                "https://snapoverflow.com/server/question/758971/explanation-of-various-smtp-error-codes-bounced-by-mailservers",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "rcpt.lmtp",
        _("The server has no such mailbox"),
        _(
            "A server for LMTP delivers to its own mailboxes only. Connection and dialogue "
            "are fine."
        ),
        (
            _("Correct the recipient, and check that it has one for the recipient's address."),
            _("Choose SMTP in {place} if mail is to go out into the world."),
        ),
        stages=("RCPT", "CONTENT"),
        kinds=("refused",),
        codes=(550, 551, 553, 554),
        protocols=("lmtp",),
        field="protocol",
        sources=(
            page(
                "550 5.1.1 <nobody@example.test> User doesn't exist: nobody@example.test",
                "Dovecot 2.3.19 (LMTP)",
                "RCPT",
                protocol="lmtp",
            ),
        ),
    ),
    Rule(
        "rcpt.reverse-dns",
        _("The address of this site has no name in the DNS"),
        _("The server looks up the IP address that connects, and finds no name, or another one."),
        (
            _("Give the address a name (PTR) at your hosting provider, which leads back to it."),
            _("Or send through the server of a mail provider, named in {place}."),
        ),
        pattern=words(
            r"cannot find your (?:reverse )?hostname|Reverse DNS .{0,40}failed"
            r""
        ),
        field="host",
        sources=(
            page(
                "450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.7]",
                "https://support.onesystems.ch/"
                "722126-%C3%9Cbersicht-h%C3%A4ufig-vorkommender-Fehlermeldungen",
                "RCPT",
            ),
            postfix(
                "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.7]",
                "RCPT",
            ),
            page(
                "421 Temporarily rejected. Reverse DNS for 192.0.2.7 failed. IB108",
                "https://smtp.codes/421",
                "GREETING",
            ),
        ),
    ),
    Rule(
        "rcpt.greylisted",
        _("The server wants to see the message again later"),
        _("It lets strangers wait a few minutes (greylisting): spam is rarely sent twice."),
        (
            _("Send it again after five minutes or more; a task queue can do that."),
            _("Send through the server of a mail provider, which repeats by itself: {place}."),
        ),
        codes=(450, 451, 421),
        pattern=words(r"gr[ea]y-?list"),
        field="host",
        sources=(
            postfix(
                "450 4.7.1 <greylist30@example.test>: Recipient address rejected: Greylisted, try "
                "again in 30 seconds",
                "RCPT",
            ),
            page(
                "451 4.7.1 Greylisting in action, please come back later",
                "https://www.simplefastwebsites.com/errors/email/"
                "smtp-451-4-7-1-greylisting-try-again-later/",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "rcpt.mailbox-full",
        _("The recipient's mailbox is full"),
        _("Only its owner can change that. Connection and log-in are fine."),
        (
            _("Tell the recipient by another way to make room."),
            _("Send again later."),
        ),
        pattern=words(r"mailbox (?:is )?full|over ?quota|quota exceeded"),
        codes=(450, 452, 550, 552, 554),
        sources=(
            postfix(
                "452 4.2.2 <full@example.test>: Recipient address rejected: Mailbox full", "RCPT"
            ),
            page(
                "452 4.2.2 The email account that you tried to reach is over quota.",
                "https://support.google.com/a/answer/3726730",
                "RCPT",
            ),
            page(
                "550 Quota Exceeded",
                "https://www.ionos.com/help/email/troubleshooting-mail-basicmail-business/error-messages-caused-by-undeliverable-email/",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "rcpt.unknown",
        _("There is no such mailbox"),
        _("Connection and log-in are fine; the server does not know the recipient."),
        (
            _("Correct the recipient's address."),
            _("Remove it from lists if the mailbox is gone: such tries spoil a sender's name."),
        ),
        stages=("RCPT", "CONTENT"),
        codes=(550, 551, 553, 554),
        pattern=words(
            r"user unknown|unknown user|no such user|does(?: not|n't) exist|mailbox unavailable"
            r"|account that you tried to reach"
        ),
        sources=(
            postfix(
                "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown "
                "in virtual "
                "mailbox table",
                "RCPT",
            ),
            page(
                "550 Unknown User",
                "https://www.ionos.com/help/email/troubleshooting-mail-basicmail-business/"
                "error-messages-caused-by-undeliverable-email/",
                "RCPT",
            ),
            exim("550 5.1.1 no such user", "RCPT"),
            page(
                "550 Requested action not taken: mailbox unavailable",
                "https://www.ionos.com/help/email/troubleshooting-mail-basicmail-business/error-messages-caused-by-undeliverable-email/",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "rcpt.domain",
        _("The recipient's domain can't be reached"),
        _("The server looked it up and found nowhere to send to."),
        (
            _("Correct the part behind the @ in the recipient's address."),
            _("Try again later if the domain is right: its DNS may be down."),
        ),
        stages=("RCPT", "CONTENT"),
        enhanced=("5.1.2", "4.1.2", "5.4.4", "4.4.3"),
        sources=(
            postfix(
                "550 5.1.2 <x@nowhere.invalid>: Recipient address rejected: no way out of "
                "this test bed",
                "RCPT",
            ),
        ),
    ),
    Rule(
        "rcpt.refused-with-login",
        _("The server refuses the recipient"),
        _("Connection and log-in are fine."),
        (
            _("Correct the recipient's address, or ask its owner why mail is refused."),
            _("Try another recipient to see whether it is this one alone."),
        ),
        stages=("RCPT",),
        kinds=("refused",),
        codes=(550, 551, 553, 554, 501, 541, 571),
        log_ins=("password", "token", "certificate"),
        sources=(
            postfix(
                "554 5.7.1 <refused@example.test>: Recipient address rejected: Recipient "
                "does not take "
                "this mail",
                "RCPT",
                log_in="password",
            ),
        ),
    ),
    Rule(
        "rcpt.refused",
        _("The server refuses the recipient"),
        _("Without a log-in many servers take mail for their own addresses only."),
        (
            _("Log in: give user name and password in {place} and {place[password]}."),
            _("Correct the recipient's address if it is one of the server's own."),
        ),
        stages=("RCPT",),
        kinds=("refused",),
        codes=(550, 551, 553, 554, 501, 541, 571),
        field="username",
        sources=(
            postfix(
                "554 5.7.1 <refused@example.test>: Recipient address rejected: Recipient "
                "does not take "
                "this mail",
                "RCPT",
            ),
        ),
    ),
)
