"""What is said of a failure that no rule knows: where it happened, what was expected there, what
the server said, and what is most likely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .failure import Failure
from .finding import Finding
from .places import option_of

if TYPE_CHECKING:
    from ..presets.preset import Sentence

_EXPECTED: Final[dict[str, Sentence]] = {
    "CONFIGURATION": _("The settings and the account were to name a server and how to use it."),
    "DNS": _("The DNS was to tell the addresses of {host}."),
    "CONNECT": _("A connection to {server} was to be made."),
    "GREETING": _("The server was to greet with 220."),
    "TLS": _("The connection was to become encrypted, and the certificate to verify."),
    "EHLO": _("The server was to answer EHLO with 250 and tell what it offers."),
    "AUTH": _("The server was to take the log-in with 235."),
    "MAIL": _("The server was to take the sender with 250."),
    "RCPT": _("The server was to take the recipient with 250 or 251."),
    "DATA": _("The server was to ask for the content with 354."),
    "CONTENT": _("The server was to take the message with 250."),
    "QUIT": _("The server was to say good-bye with 221."),
}
_UNKNOWN: Final = _("No rule knows this failure.")

_REFUSED: Final[dict[str, tuple[str, tuple[Sentence, ...]]]] = {
    "CONFIGURATION": (
        "",
        (
            _("Correct what the error names."),
            _("Compare the name of the option or field with the documentation."),
            _("Run manage.py check to see what else is wrong."),
        ),
    ),
    "GREETING": (
        "host",
        (
            _("Check {place} and {place[port]}: is it the server for sending?"),
            _("Ask whoever runs the server whether the address of this site is blocked."),
            _("Try again later: the server may be down for a while."),
        ),
    ),
    "TLS": (
        "security",
        (
            _("Check {place} and {place[port]}: 465 goes with implicit TLS, 587 with STARTTLS."),
            _("Check {place[host]}: the certificate must be for this name."),
            _("Ask whoever runs the server which TLS it speaks."),
        ),
    ),
    "EHLO": (
        "ehlo_name",
        (
            _("Write a full host name of this site into {place}."),
            _("Check {place[protocol]}: SMTP is for mail servers, LMTP for local mailboxes."),
            _("Ask whoever runs the server whether the address of this site is blocked."),
        ),
    ),
    "AUTH": (
        "password",
        (
            _("Check {place[username]} and {place}: many providers want an app password."),
            _("Check that SMTP is switched on for the mailbox at the provider."),
            _("Check that {place[host]} is the server where this mailbox lives."),
        ),
    ),
    "MAIL": (
        "from_email",
        (
            _("Set {place} to an address that belongs to the log-in."),
            _("Log in, if nobody has: {place[username]}."),
            _("Look at the limits of the provider: messages a day, connections at once."),
        ),
    ),
    "RCPT": (
        "username",
        (
            _("Correct the recipient's address."),
            _("Log in, if nobody has: {place}."),
            _("Send from an address that belongs to the log-in: {place[from_email]}."),
        ),
    ),
    "CONTENT": (
        "from_email",
        (
            _("Send a plain message to see whether the content is the cause."),
            _("Check the size of the message and its attachments."),
            _("Set {place} to an address that belongs to the log-in."),
        ),
    ),
}
_REFUSED["DATA"] = _REFUSED["CONTENT"]
_REFUSED["CONNECT"] = _REFUSED["DNS"] = (
    "host",
    (
        _("Check {place} and {place[port]}."),
        _("Check that no firewall is in between: ports 587 and 465 must be open."),
        _("Try from another network: hosting companies block outgoing mail."),
    ),
)
_SILENT: Final = (
    "timeout",
    (
        _("Allow more time in {place}."),
        _("Try from another network: something in between may swallow the dialogue."),
        _("Tell whoever runs the server if it lasts: it may be overloaded."),
    ),
)
_LOST: Final = (
    "port",
    (
        _("Send again: losses happen."),
        _("Check {place} and {place[security]}: the server may want TLS."),
        _("Ask whoever runs the server: its log tells why it hung up."),
    ),
)
_SECRET: Final = (
    "password",
    (
        _("Enter {place} again."),
        _('Check that SMTPAUTH["KEYS"] is the same on every machine.'),
        _("Run manage.py smtpkeys verify, which opens every stored secret."),
    ),
)
_OTHER: Final = (
    "",
    (
        _("Run manage.py smtptest -v 2 to see the dialogue up to the failure."),
        _("Compare server, port and security with what the provider tells."),
        _("Show the words of the server to whoever runs it."),
    ),
)
_BY_KIND: Final[dict[str, tuple[str, tuple[Sentence, ...]]]] = {
    "timed-out": _SILENT,
    "disconnected": _LOST,
    "secret": _SECRET,
}


def finding(failure: Failure, values: dict[str, Any]) -> Finding:
    """The finding of last resort. values: what its sentences may name."""
    stage = failure.stage
    field, steps = _BY_KIND.get(failure.kind) or _REFUSED.get(stage, _OTHER)
    if field:
        values = {**values, "place": values["place"][field]}
    if failure.facts.get("cure"):
        steps = ("{cure}", *steps)
    return Finding(
        rule=f"unknown.{stage.lower() or 'failure'}",
        severity="error",
        stage=stage,
        title=_title(failure),
        meaning=format_lazy(
            "{} {}", format_lazy(_EXPECTED.get(stage, _UNKNOWN), **values), _said(failure)
        ),
        steps=tuple(format_lazy(step, **values) for step in steps),
        field=field,
        option=option_of(field) if field else "",
    )


def _title(failure: Failure) -> Sentence:
    title = _("{stage} failed with {status}") if failure.code else _("{stage} failed")
    status = " ".join(filter(None, [str(failure.code or ""), failure.enhanced]))
    return format_lazy(title, stage=failure.stage or _("Something"), status=status)


def _said(failure: Failure) -> Sentence:
    if not failure.text:
        return ""
    said = _("The server said: {text}") if failure.code else _("The error says: {text}")
    return format_lazy(said, text=failure.text)
