"""Failures of the dialogue that no other rule knows better: busy, silent, lost, in doubt."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, page, postfix

DIALOGUE: Final = (
    Rule(
        "server.busy",
        _("The server can't do it at the moment"),
        _("It says itself that this is for a while: a filter, a disk or a service is not there."),
        (
            _("Send again later."),
            _("Tell whoever runs the server if it lasts."),
        ),
        kinds=("refused", "connect", "disconnected"),
        codes=(421, 450, 451, 452, 454, 471),
        sources=(
            postfix(
                "451 4.3.0 <eodtemp@example.test>: Recipient address rejected: Content filter not "
                "available, try again later",
                "CONTENT",
            ),
            page(
                "421 4.3.0 Temporary System Problem. Try again later",
                "https://support.google.com/a/answer/3726730",
                "MAIL",
            ),
        ),
    ),
    Rule(
        "content.refused",
        _("The server refuses the message for its content"),
        _("Sender and recipients were fine; a filter looked at headers and text."),
        (
            _("Send a plain message to the same recipient, to see whether it is the content."),
            _("Check the From of the message: set {place} to an address of the log-in."),
            _("Show the answer of the server to whoever runs it."),
        ),
        stages=("DATA", "CONTENT"),
        kinds=("refused",),
        codes=(550, 551, 552, 553, 554, 541, 571),
        field="from_email",
        sources=(postfix("550 5.7.1 header not wanted", "CONTENT"),),
    ),
    Rule(
        "content.silent",
        _("The server did not take the content in time"),
        _("It was not handed over. The network is slow, or large packets get lost on the way."),
        (
            _("Allow more time in {place}."),
            _("Send a small message: if that works, it is the size or the way (MTU)."),
        ),
        stages=("DATA", "CONTENT"),
        kinds=("timed-out",),
        field="timeout",
        sources=(engine("the server did not answer in time", "CONTENT", "timed-out"),),
    ),
    Rule(
        "envelope.silent",
        _("The server thinks for too long about sender or recipient"),
        _("Some ask the recipient's server first, or let strangers wait."),
        (
            _("Allow more time in {place}."),
            _("Try another recipient to see whether it is this one alone."),
        ),
        stages=("MAIL", "RCPT"),
        kinds=("timed-out",),
        field="timeout",
        sources=(engine("the server did not answer in time", "RCPT", "timed-out"),),
    ),
    Rule(
        "dialogue.lost",
        _("The connection was lost in the middle"),
        _("The server or something in between ended it. The message was not handed over."),
        (
            _("Send again: losses happen."),
            _("If it happens each time, find out what ends it: the log of the server tells."),
            _("Check that no firewall rewrites SMTP on the way to {server}: try another {place}."),
        ),
        stages=("MAIL", "RCPT", "DATA", "CONTENT", "RSET", "EHLO"),
        kinds=("disconnected",),
        field="port",
        sources=(engine("the server closed the connection", "MAIL", "disconnected"),),
    ),
    Rule(
        "dialogue.broken",
        _("The server broke the protocol"),
        _("What it sent is no answer that SMTP knows, so the connection can't be trusted."),
        (
            _("Try again with -v 2 to see the dialogue, and show it to whoever runs the server."),
            _(
                "Check that no firewall or virus scanner rewrites SMTP on the way: try "
                "another {place}."
            ),
        ),
        kinds=("protocol",),
        field="port",
        sources=(engine("The code changed within one reply: b'550 no'", "MAIL", "protocol"),),
    ),
)
