"""The exit codes of `manage.py smtptest`: those of swaks, where both have the phase."""

from __future__ import annotations

from typing import Final

from django_smtpauth.diagnosis.report import Report
from django_smtpauth.smtp.errors import Disconnected

#: No server to try, or options that do not go together. A wrong command line is Django's own 2.
USAGE: Final = 1
#: The connection was lost, and no refusal came before.
LOST: Final = 6
INTERRUPTED: Final = 130

#: By stage; CONTENT is what follows the content of a message.
CODES: Final = {
    "CONFIGURATION": USAGE,
    "DNS": 20,
    "CONNECT": 20,
    "GREETING": 21,
    "EHLO": 22,
    "MAIL": 23,
    "RCPT": 24,
    "DATA": 25,
    "CONTENT": 26,
    "DELIVERY": 26,
    "QUIT": 27,
    "AUTH": 28,
    "TLS": 29,
    "RSET": 31,
    "REUSE": 37,
}


def stage_of(report: Report) -> str:
    """Where it failed: as the engine calls it, or the stage of the check; empty if it did not."""
    if report.failed is None:
        return ""
    if report.error is None:
        # Some recipients were refused; LMTP tells it after the content.
        spoken = report.stage("CONFIGURATION").facts.get("protocol")
        return "CONTENT" if spoken == "lmtp" else "RCPT"
    named = str(getattr(report.error, "stage", ""))
    return named if named in CODES else report.failed.name


def code_of(report: Report) -> int:
    """0 for a good check. What the server refused counts more than that it then hung up."""
    if report.failed is None:
        return 0
    refused = getattr(report.error, "reply", None) or report.failed.reply
    if isinstance(report.error, Disconnected) and (refused is None or refused.klass < 4):
        return LOST
    return CODES[stage_of(report)]
