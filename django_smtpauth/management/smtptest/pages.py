"""What `manage.py smtptest` tells of a report, as rows of a label and a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django_smtpauth.diagnosis.report import Report, StageReport
from django_smtpauth.sending.results import Result
from django_smtpauth.smtp.errors import SMTPError
from django_smtpauth.smtp.transaction import Status
from django_smtpauth.smtp.transcript import Event

from .exits import stage_of

SUMMARY_HEAD: Final = ("target", "server", "result", "seconds", "what")
SUMMARY_SPARE: Final = ("seconds", "server")

TAKEN: Final = "The server took the message. If it does not arrive, look among the spam."
DELIVERED: Final = "The server delivered the message: in LMTP it answers for each mailbox."
LOGGED_IN: Final = "Connection and log-in work. Nothing was sent: give an address for that."
REHEARSED: Final = "The server takes this sender and these recipients. Nothing was sent."

#: A label, a text, and whether it is "good", "bad" or neither.
Row = tuple[str, str, str]


def stage_rows(stage: StageReport, server: str) -> Iterator[Row]:
    """What is told of a stage that did not fail. server: which was to be reached."""
    facts, reply = stage.facts, stage.reply
    if stage.status == "failed" or facts.get("why") in ("not reached", "not asked for"):
        return
    told = f"({stage.seconds:.2f} s)"
    if stage.name == "CONNECT" and "peer" in facts:
        yield "Connection", f"{_story(facts, server)} {told}", ""
    elif stage.name == "TLS" and facts.get("version"):
        loud = f"; the certificate is {facts['verification']}"
        trust = "" if facts["verification"].startswith("verified") else loud
        yield "TLS", f"{facts['version']} ({facts['cipher']}) established{trust} {told}", ""
        if facts["certificate"]:
            yield "Certificate", _certificate(facts), ""
    elif stage.name == "TLS" and facts.get("security") is not None:
        yield "TLS", facts["why"], ""
    elif stage.name == "AUTH" and reply:
        yield "Log-in", f"{facts['mechanism']}: {reply.as_sent} {told}", ""
    elif stage.name == "AUTH" and "none" in facts.get("why", ""):
        yield "Log-in", facts["why"], ""
    elif stage.name == "MAIL" and reply and "sender" in facts:
        yield "Sender", f"{facts['sender'] or '<>'}: {reply.as_sent} {told}", ""
    elif stage.name == "RCPT" and "recipients" in facts:
        for one in facts["recipients"]:
            yield "Recipient", f"{one['address']}: {_said(one)}", ""
    elif stage.name == "REUSE" and "commands" in facts:
        yield "Reuse", _reuse(facts), ""
    elif stage.name == "DATA" and reply:
        yield "DATA", f"{reply.as_sent} (closed without a message) {told}", ""


def warning_rows(stage: StageReport) -> Iterator[Row]:
    """What to mind, although it works."""
    for finding in stage.findings:
        if finding.severity == "warning":
            yield "Warning", f"{finding}", "warning"


def result_rows(result: Result) -> Iterator[Row]:
    """What became of a message, recipient by recipient."""
    for address in result.accepted:
        yield "Accepted", address, "good"
    for address, outcome in result.recipients.items():
        if outcome.status is Status.ACCEPTED:
            continue
        words = f"{address}: {outcome.reply.as_sent}" if outcome.reply else address
        yield outcome.status.value.replace("_", " ").capitalize(), words, "bad"
    if result.attempts and result.attempts[-1].reply and result.sent:
        yield "Reply", result.attempts[-1].reply.as_sent, ""
        yield "Queue id", result.queue_id or "not told by this server", ""


def fact_lines(stage: StageReport) -> Iterator[str]:
    """Everything that a stage has shown, for -v 3."""
    yield f"{stage.name}: {stage.status}, {stage.seconds:.3f} s"
    yield from (f"  {name}: {text}" for name, text in _facts(stage.facts))
    if stage.reply:
        yield f"  reply: {stage.reply.as_sent}"


def failed_words(report: Report) -> str:
    """Where it failed, in the words of the engine and of the server."""
    if report.error is None:
        return f"{stage_of(report)}: recipients were refused"
    return f"{stage_of(report)}: {error_words(report.error)}"


def error_words(error: Exception) -> str:
    """What went wrong, in the words of the engine and of the server."""
    if not isinstance(error, SMTPError):
        return str(error)
    said = f"the server said: {error.reply.as_sent}" if error.reply else ""
    return "\n".join(filter(None, [error.message, said]))


def verdict(report: Report, *, lmtp: bool) -> str:
    """The last line of a check that is good."""
    if report.result is not None:
        return DELIVERED if lmtp else TAKEN
    return LOGGED_IN if report.stage("MAIL").status == "skipped" else REHEARSED


def failure(report: Report) -> str:
    """The last line of a check that is not."""
    stage, result = stage_of(report), report.result
    if report.error is None and result is not None:
        # In LMTP the verdicts come after the content.
        shown = "LMTP" if stage == "CONTENT" else stage
        refused, total = len(result.refused), len(result.recipients)
        return f"{shown} failed: {refused} of {total} recipients refused."
    if stage == "CONFIGURATION":
        return "CONFIGURATION failed: there is no server to try."
    if result is not None and result.in_doubt:
        return f"{stage} failed: nobody knows whether the message was sent."
    return f"{stage} failed: {'no message' if result else 'nothing'} was sent."


def one_line(label: str, report: Report) -> str:
    """The whole report in a line, for -v 0."""
    server = report.target.server or "no server"
    return f"{label}, {server}: {result_word(report)}, {report.seconds:.2f} s. {what(report)}"


def result_word(report: Report) -> str:
    """ok, a number of warnings, or the stage that failed."""
    if not report.ok:
        return f"FAILED {stage_of(report)}"
    minded = len(report.findings)
    return f"ok, {minded} warning{'s' if minded > 1 else ''}" if minded else "ok"


def what(report: Report) -> str:
    """What to know first: why it failed, else the first warning."""
    severity = "warning" if report.ok else "error"
    first = next((one for one in report.findings if one.severity == severity), None)
    return str(first.title) if first else ""


def summary_row(label: str, report: Report) -> tuple[str, ...]:
    """One line of the table of --all."""
    return (
        label,
        report.target.server or "-",
        result_word(report),
        f"{report.seconds:.2f}",
        what(report),
    )


def dialogue(events: Sequence[Event]) -> Iterator[tuple[str, str]]:
    """The dialogue: before each text when it was said, and how long the server took for it."""
    asked = events[0].time if events else 0.0
    for event in events:
        spent = f"+{event.time - asked:.3f}" if event.direction == "S" else ""
        if event.direction != "S":
            asked = event.time
        for line in event.text.split("\n"):
            yield f"{event.time:8.3f} {spent:>7} {event.direction}: ", line
            spent = ""


def _story(facts: Mapping[str, Any], server: str) -> str:
    failed = "; ".join(
        f"{one['address']}: {one['fault']}" for one in facts["tried"] if one["fault"]
    )
    through = f" through {facts['via']}" if facts["via"] else ""
    before = f" (no luck with {failed})" if failed else ""
    peer = server if facts["via"] else facts["peer"] or server
    return f"connected to {peer}{through}{before}"


def _certificate(facts: Mapping[str, Any]) -> str:
    left, day = facts["certificate"]["days_left"], facts["certificate"]["not_after"][:10]
    end = f"until {day}, {left} {'day' if left == 1 else 'days'} left"
    return f"for {facts['names'] or 'no host'}; {f'expired on {day}' if left < 0 else end}"


def _said(reply: Mapping[str, Any]) -> str:
    return " ".join(
        str(part) for part in (reply["code"], reply["enhanced"], reply["text"]) if part
    )


def _reuse(facts: Mapping[str, Any]) -> str:
    way = "in one write" if facts["pipelining"] else "one by one"
    chunks = {True: "; refuses chunks safely", False: "; not to be sent chunks unasked"}
    more = chunks.get(facts.get("discards_chunks", ""), "")
    return f"{len(facts['replies'])} of {facts['commands']} commands answered, {way}{more}"


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _facts(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(one, Mapping) for one in value):
        for number, one in enumerate(value, 1):
            yield from _facts(one, f"{name}.{number}")
    elif isinstance(value, (list, tuple)):
        if value:
            yield name, ", ".join(map(str, value))
    elif value not in (None, ""):
        yield name, str(value)
