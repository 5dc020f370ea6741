"""The page of a check, piece by piece as the stages end."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_smtpauth.choices import Protocol
from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.finding import Finding
from django_smtpauth.diagnosis.report import Report, StageReport
from django_smtpauth.smtp.transaction import Status

from .probing import Check, NeverEnded, run

logger = logging.getLogger("django_smtpauth")

_TEMPLATES: Final = "admin/smtpauth/smtpaccount/"
#: Characters of a server's reply that are shown beside a stage.
MAX_REPLY: Final = 500

NAMES: Final = {
    "CONFIGURATION": gettext_lazy("What is set"),
    "DNS": gettext_lazy("Name of the server"),
    "CONNECT": gettext_lazy("Connection"),
    "GREETING": gettext_lazy("Greeting"),
    "TLS": gettext_lazy("Encryption"),
    "EHLO": gettext_lazy("What the server offers"),
    "AUTH": gettext_lazy("Log-in"),
    "MAIL": gettext_lazy("Sender"),
    "RCPT": gettext_lazy("Recipient"),
    "RSET": gettext_lazy("Taken back"),
    "DELIVERY": gettext_lazy("Test message"),
    "REUSE": gettext_lazy("Reuse"),
    "QUIT": gettext_lazy("Good-bye"),
    "DATA": gettext_lazy("Content"),
}
WORDS: Final = {
    "ok": gettext_lazy("good"),
    "warning": gettext_lazy("to mind"),
    "failed": gettext_lazy("failed"),
    "skipped": gettext_lazy("skipped"),
}
SIGNS: Final = {"ok": "✓", "warning": "⚠", "failed": "✗", "skipped": "–"}
#: Stages that the admin never asks for.
_NEVER_ASKED: Final = frozenset({"REUSE", "DATA"})


@dataclass(frozen=True)
class Page:
    """What the pieces need.

    form_url: where the account's fields are; the faulty one is linked there. keep: stores the
    report and tells what changed; None for values that nobody has saved.
    """

    check: Check
    form_url: str
    keep: Callable[[Report], list[str]] | None = None

    def pieces(self) -> Iterator[str]:
        """The stages, each when it has ended, and what follows from them."""
        language = translation.get_language()
        told = self._told()
        while True:
            # The stages may take their time: nobody else's piece is rendered in this language.
            with translation.override(language):
                piece = next(told, None)
            if piece is None:
                return
            yield piece

    def _told(self) -> Iterator[str]:
        yield self._render("check_begin.html", {"message": bool(self.check.recipient)})
        report = None
        try:
            for one in run(self.check):
                if isinstance(one, Report):
                    report = one
                elif one.name not in _NEVER_ASKED:
                    yield self._render("check_stage.html", self._stage(one))
        except NeverEnded:
            yield self._end(_("The check did not end in its time."))
        except ImproperlyConfigured as error:
            finding = explain(Failure.of(error))
            yield self._end(_("There is no server to ask."), self._finding(finding))
        except Exception as error:
            logger.error("A check of an SMTP account broke off: %s", type(error).__name__)
            yield self._end(_("The check broke off: %s.") % type(error).__name__)
        if report is not None:
            yield self._conclusion(report)

    def _render(self, template: str, context: dict[str, Any]) -> str:
        return render_to_string(_TEMPLATES + template, context)

    def _end(self, verdict: str, finding: dict[str, Any] | None = None) -> str:
        return self._render("check_end.html", {"verdict": verdict, "bad": True, "cause": finding})

    def _stage(self, stage: StageReport) -> dict[str, Any]:
        return {
            "stage": stage,
            "name": NAMES[stage.name],
            "word": WORDS[stage.status],
            "sign": SIGNS[stage.status],
            "seconds": f"{stage.seconds:.2f}",
            "facts": _facts(stage),
            "reply": stage.reply.as_sent[:MAX_REPLY] if stage.reply else "",
            "findings": [self._finding(finding) for finding in stage.findings],
        }

    def _finding(self, finding: Finding) -> dict[str, Any]:
        return {"finding": finding, "form_url": self.form_url}

    def _conclusion(self, report: Report) -> str:
        changed: list[str] = []
        lmtp = self.check.account.protocol == Protocol.LMTP
        kept = self.keep is not None
        try:
            changed = self.keep(report) if self.keep else []
        except DatabaseError as error:
            logger.warning("A check could not be stored: %s", type(error).__name__)
            kept = False
        return self._render(
            "check_end.html",
            {
                "verdict": _verdict(report, lmtp),
                "bad": not report.ok,
                "changed": changed,
                "kept": kept,
                # What LMTP accepts is in the mailbox.
                "sent": _sent(report) if report.ok and not lmtp else None,
                "dialogue": report.transcript,
                "support": support_text(report),
            },
        )


def _verdict(report: Report, lmtp: bool) -> str:
    failed = report.failed
    if failed is None:
        if report.result is not None and lmtp:
            return _("The server delivered the test message.")
        if report.result is not None:
            return _("The server accepted the test message.")
        return _("Connection and log-in work. Nothing was sent.")
    doubt = report.result is not None and report.result.in_doubt
    fate = _("Nobody knows whether the message was sent.") if doubt else _("Nothing was sent.")
    if report.result is not None and report.result.accepted:
        fate = ""
    text = _("It failed at: %(stage)s.") % {"stage": NAMES[failed.name]}
    return f"{text} {fate}".strip()


def _facts(stage: StageReport) -> str:
    """What is worth a line of its own."""
    facts = stage.facts
    if stage.status == "skipped":
        return str(facts.get("why", ""))
    if stage.name == "DNS":
        return ", ".join(facts.get("addresses", ()))
    if stage.name == "CONNECT":
        return str(facts.get("peer", ""))
    if stage.name == "TLS" and facts.get("version"):
        return f"{facts['version']}, {facts['verification']}"
    if stage.name == "AUTH":
        return str(facts.get("mechanism") or "")
    return str(facts.get("sender", "")) if stage.name == "MAIL" else ""


def _sent(report: Report) -> dict[str, Any] | None:
    """What to give the provider, and what the DNS says of the sender's domain."""
    if report.result is None:
        return None
    dns = report.stage("MAIL").facts.get("dns", {})
    checked = dns.get("checked") is True
    return {
        "accepted": [
            address
            for address, outcome in report.result.recipients.items()
            if outcome.status is Status.ACCEPTED
        ],
        "queue_id": report.result.queue_id,
        "at": f"{report.began:%Y-%m-%d %H:%M:%S %Z}",
        "domain": dns.get("domain", ""),
        "checked": checked,
        "why": "" if checked else dns.get("checked", ""),
        "spf": dns.get("spf"),
        "names_provider": dns.get("names_provider"),
        "dmarc": dns.get("dmarc"),
    }


def support_text(report: Report) -> str:
    """The check as plain text for somebody's support; addresses have numbers."""
    told = report.to_dict(hide_addresses=True)
    lines = [
        f"Server: {told['target']['server']}",
        f"Time: {told['began']}",
        f"Result: {'ok' if told['ok'] else 'failed'}",
        "",
        *(f"{stage['name']}: {stage['status']}" for stage in told["stages"]),
    ]
    for finding in told["findings"]:
        lines += ["", f"{finding['stage']} {finding['rule']}: {finding['title']}"]
        lines += [finding["meaning"]] if finding["meaning"] else []
    if told["transcript"]:
        lines += ["", "Dialogue (secrets are left out):"]
    lines += [
        f"{event['seconds']:8.3f} {event['direction']} {event['text']}"
        for event in told["transcript"]
    ]
    return "\n".join(lines)


def whole(request: HttpRequest, page: Page, context: dict[str, Any]) -> Iterator[str]:
    """The pieces within a page of the admin."""
    text = render_to_string(f"{_TEMPLATES}check.html", {**context, "pieces": _HERE}, request)
    head, _here, foot = text.partition(_HERE)
    yield head
    yield from page.pieces()
    yield foot


_HERE: Final = "smtpauth-pieces-stand-here"
