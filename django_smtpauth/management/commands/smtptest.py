"""`manage.py smtptest [ADDRESS...]`: try the way that this site's mail takes."""

import contextlib
import json
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.pasted import MAX_PASTED
from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import INTERRUPTED, Interrupted, probe
from django_smtpauth.diagnosis.report import Mask, Report, StageReport
from django_smtpauth.management.rendering import table
from django_smtpauth.management.smtptest import changes, exits, pages
from django_smtpauth.management.smtptest.arguments import (
    SUMMARY,
    HelpFormatter,
    add_arguments,
    check_combination,
    epilog,
    sends_message,
)
from django_smtpauth.management.smtptest.letters import Letters, author_of, octets_of
from django_smtpauth.management.smtptest.repeating import Count, send_more
from django_smtpauth.management.smtptest.swaks import swaks_line
from django_smtpauth.management.smtptest.targets import Way, unroutable, ways
from django_smtpauth.management.smtptest.terminal import WIDTH, Terminal
from django_smtpauth.sending.log import logger
from django_smtpauth.sending.redirection import redirect_target
from django_smtpauth.sending.routing import Route

#: Seconds for all of a check, a slow verdict included.
PATIENCE = 180.0
#: Octets of a message that -v 3 shows.
MOST_SHOWN = 4_096


class Command(BaseCommand):
    """Tries one server or all of them, and ends with the code of the stage that failed."""

    help = SUMMARY
    requires_system_checks = ["mail"]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's, with the table of what is done below the options."""
        kwargs |= {"formatter_class": HelpFormatter, "epilog": epilog()}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        verbosity = options["verbosity"]
        self._mask = Mask() if options["hide_addresses"] else None
        quiet = verbosity == 0 or options["json"]
        self._told = Terminal(self.stdout, self.style, self._mask, quiet=quiet)
        self._always = Terminal(self.stdout, self.style, self._mask)
        if options["explain"]:
            self._always.finding(explain(Failure.parse(_read(options["explain"]))))
            return
        check_combination(options)
        self._options, self._verbosity = options, verbosity
        self._letters = Letters(options)
        if options["no_verify"]:
            self._warn("The certificate is NOT verified: whoever stands between gets everything.")
        tried = ways(options, self._letters.draft())
        if options["as_swaks"]:
            self._print_swaks(tried)
            return
        with _without_log():
            failure = self._try_all(tried)
        if failure is not None:
            raise failure

    # Trying

    def _try_all(self, tried: Sequence[Way]) -> CommandError | None:
        """Tries each server and tells of it; gives the error to end with."""
        reports: list[Report] = []
        self._short: list[CommandError] = []
        self._redirect, self._bar_shown = "", False
        self._before = self._load_changes()
        # A table says it shorter than many reports; what failed newly is known at the end only.
        self._brief = self._options["every"] and self._verbosity < 2
        self._live = not (self._brief or self._options["changes"])
        try:
            for number, way in enumerate(tried, 1):
                if self._brief:
                    self._progress(f"{number} of {len(tried)}: {way.label}")
                reports.append(self._try(way))
        except KeyboardInterrupt as stop:
            stopped = stop.report if isinstance(stop, Interrupted) else None
            self._progress("")
            self._write_transcript(tried, [*reports, stopped] if stopped else reports)
            return self._interrupted(tried, reports, stopped)
        self._progress("")
        self._write_transcript(tried, reports)
        return self._conclude(tried, reports)

    def _try(self, way: Way) -> Report:
        route, message = way.route, None
        if self._live:
            self._tell_notes(way)
        if route is not None and sends_message(self._options):
            message = self._letters.message(route)
            try:
                self._redirect = redirect_target()
            except ImproperlyConfigured as error:
                way, route = Way(way.kind, way.name, None, error), None
        if route is None:
            report = unroutable(way)
            self._tell_end(way, report, None)
            return report
        if self._live:
            self._tell_route(way, route, message)
        progress = partial(self._tell_stage, route.endpoint.server) if self._live else None
        report, count = probe(route, self._plan(way, route, message), progress), None
        if report.ok and self._options["count"] > 1:
            count = self._send_more(route)
        self._tell_end(way, report, message, count)
        if count is not None and count.interrupted:
            raise _too_few(count)
        if count is not None and count.error:
            self._short.append(_too_few(count))
        return report

    def _plan(self, way: Way, route: Route, message: EmailMessage | None) -> Plan:
        options = self._options
        stop_after = options["stop_after"] or ""
        rehearses = options["check"] or bool(options["stop_after"])
        sender = options["sender"]
        if sender is None and message is None and options["recipients"]:
            sender = author_of(EmailMessage(from_email=self._letters.sender(route)), route)
        return Plan(
            stop_after=stop_after or ("" if message or rehearses else "AUTH"),
            message=message,
            sender=sender,
            recipients=options["recipients"] if message is None else (),
            reuse=stop_after == "REUSE",
            data_probe=stop_after == "DATA",
            family=options["family"],
            total_seconds=PATIENCE,
            mailer=way.name if way.kind == "mailer" else "",
        )

    def _send_more(self, route: Route) -> Count:
        count = self._options["count"]
        told = send_more(
            route,
            count,
            lambda: self._letters.message(route),
            lambda number: self._progress(_bar(number, count)),
        )
        self._progress("")
        return told

    # Telling

    def _tell_notes(self, way: Way) -> None:
        for note in way.notes:
            self._told.sentences(note, kind="warning")
            self._told.exactly("")

    def _tell_route(self, way: Way, route: Route, message: EmailMessage | None) -> None:
        spoken = ", by LMTP" if route.endpoint.protocol == "lmtp" else ""
        rule = "this server was asked for" if way.kind == "ad hoc" else route.rule.value
        self._told.row("Server", f"{route.endpoint.name}{spoken}\n({rule})")
        if message is None:
            return
        self._told.row("From", author_of(message, route))
        if self._redirect:
            told = f'to {self._redirect}\n(SMTPAUTH["REDIRECT_TO"] gets every message)'
            self._told.row("Redirected", told)

    def _tell_stage(self, server: str, stage: StageReport) -> None:
        for label, text, kind in (*pages.stage_rows(stage, server), *pages.warning_rows(stage)):
            self._told.row(label, text, kind)

    def _tell_end(
        self,
        way: Way,
        report: Report,
        message: EmailMessage | None,
        count: Count | None = None,
    ) -> None:
        """What is known when the check has ended."""
        options = self._options
        if options["changes"]:
            if not changes.is_new(report, self._before):
                return
            if not self._brief:
                self._tell_notes(way)
                if way.route is not None:
                    self._tell_route(way, way.route, message)
                for stage in report.stages:
                    self._tell_stage(report.target.server, stage)
        if options["json"]:
            told = report.to_dict(hide_addresses=options["hide_addresses"])
            self.stdout.write(json.dumps(told | ({"count": count.to_dict()} if count else {})))
        elif self._verbosity == 0:
            self._always.exactly(pages.one_line(way.label, report))
        elif not self._brief:
            self._tell_report(way, report, message, count)

    def _tell_report(
        self, way: Way, report: Report, message: EmailMessage | None, count: Count | None
    ) -> None:
        if report.result is not None:
            for row in pages.result_rows(report.result):
                self._told.row(*row)
        if report.ok:
            self._told.row("Time", f"{report.seconds:.2f} s")
        if count is not None:
            rate = f"{count.sent - 1} more in {count.seconds:.2f} s"
            self._told.row("Messages", f"{count.sent} of {count.asked} sent ({rate})")
        self._tell_details(report, message, way.route)
        if not report.ok:
            self._tell_failure(report)
        elif count is None or count.error is None:
            lmtp = way.route is not None and way.route.endpoint.protocol == "lmtp"
            self._told.exactly("")
            self._told.sentences(pages.verdict(report, lmtp=lmtp), kind="good")
        else:
            self._told.finding(explain(Failure.of(count.error, way.route)))
        if self._options["every"]:
            self._told.exactly("\n" + "-" * WIDTH)

    def _tell_details(
        self, report: Report, message: EmailMessage | None, route: Route | None
    ) -> None:
        if self._verbosity > 2:
            self._told.exactly("\nEverything that was found out", "head")
            for stage in report.stages:
                for text in pages.fact_lines(stage):
                    self._told.line(text, hang="    ")
        if self._verbosity > 1 and report.transcript:
            self._told.exactly("\nThe dialogue, and the seconds for each answer", "head")
            for before, text in pages.dialogue(report.transcript):
                self._told.line(text, before)
        if self._verbosity > 2 and message and route and not self._options["hide_data"]:
            octets = octets_of(message, route)
            self._told.exactly(f"\nThe message, {len(octets):,} octets", "head")
            for text in octets[:MOST_SHOWN].decode("utf-8", "replace").splitlines():
                self._told.line(text, "  ")
            if len(octets) > MOST_SHOWN:
                self._told.line("…", "  ")

    def _tell_failure(self, report: Report) -> None:
        self._told.row("FAILED", pages.failed_words(report), "bad")
        for finding in report.findings:
            if finding.severity == "error":
                self._told.finding(finding)
        self._told.exactly("")

    # The end

    def _conclude(self, tried: Sequence[Way], reports: Sequence[Report]) -> CommandError | None:
        shown = list(zip(tried, reports, strict=True))
        if self._options["changes"]:
            shown = [one for one in shown if changes.is_new(one[1], self._before)]
            self._save_changes(reports)
        if self._options["every"] and shown:
            self._tell_summary(shown)
        failed = [report for _way, report in shown if not report.ok]
        if not failed:
            return next(iter(self._short), None)
        text = pages.failure(failed[0])
        if self._options["every"]:
            text = f"{len(failed)} of {len(reports)} failed."
        return CommandError(text, returncode=exits.code_of(failed[0]))

    def _tell_summary(self, shown: Sequence[tuple[Way, Report]]) -> None:
        columns = shutil.get_terminal_size((80, 24)).columns - 1
        rows = [pages.summary_row(way.label, report) for way, report in shown]
        head, *lines = table(pages.SUMMARY_HEAD, rows, columns, pages.SUMMARY_SPARE)
        self._told.exactly(head, "head")
        for line, (_way, report) in zip(lines, shown, strict=True):
            self._told.exactly(line, "" if report.ok else "bad")
        for way, report in shown:
            errors = [one for one in report.findings if one.severity == "error"]
            if self._brief and errors:
                self._told.exactly(f"\n{way.label}", "head")
                self._told.row("FAILED", pages.failed_words(report), "bad")
                self._told.finding(errors[0])

    def _interrupted(
        self, tried: Sequence[Way], reports: Sequence[Report], stopped: Report | None
    ) -> CommandError:
        """Ends after Ctrl-C with what was learnt."""
        fate = ""
        if stopped is not None and sends_message(self._options):
            before = stopped.stage("AUTH").facts.get("why") == INTERRUPTED
            fate = " Nothing was sent." if before else " Perhaps the message was sent."
        if stopped is not None and self._options["json"]:
            told = stopped.to_dict(hide_addresses=self._options["hide_addresses"])
            self.stdout.write(json.dumps(told | {"ok": False, "interrupted": True}))
        elif stopped is not None:
            self._tell_details(stopped, None, None)
        if self._options["every"] and reports:
            self._tell_summary(list(zip(tried, reports, strict=False)))
        return CommandError(f"Interrupted.{fate}", returncode=exits.INTERRUPTED)

    # Files and lines

    def _print_swaks(self, tried: Sequence[Way]) -> None:
        for way in tried:
            if way.route is None:
                raise CommandError(f"There is no server to try: {way.error}")
            line, unsaid = swaks_line(way.route, self._options, self._letters.sender(way.route))
            self.stdout.write(self._mask.text(line) if self._mask else line)
            for text in unsaid:
                self.stderr.write(text, self.style.WARNING)

    def _load_changes(self) -> changes.Failures:
        if not self._options["changes"]:
            return {}
        try:
            return changes.load(self._options["changes"])
        except (OSError, ValueError) as error:
            raise CommandError(f"--changes: {self._options['changes']}: {error}.") from None

    def _save_changes(self, reports: Sequence[Report]) -> None:
        try:
            changes.save(self._options["changes"], changes.failures_of(reports))
        except OSError as error:
            raise CommandError(f"--changes: {error}.") from None

    def _write_transcript(self, tried: Sequence[Way], reports: Sequence[Report]) -> None:
        path = self._options["transcript"]
        if not path:
            return
        lines: list[str] = []
        for way, report in zip(tried, reports, strict=False):
            lines += [f"{way.label}, {report.target.server}, {report.began.isoformat()}"]
            lines += [before + text for before, text in pages.dialogue(report.transcript)]
        text = "\n".join([*lines, ""])
        try:
            Path(path).write_text(self._mask.text(text) if self._mask else text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"--transcript: {path} can't be written: {error}.") from None

    def _warn(self, text: str) -> None:
        self.stderr.write(text, self.style.WARNING)

    def _progress(self, text: str) -> None:
        """A line that the next one replaces, if somebody looks; nothing else is disturbed."""
        if self.stderr.isatty() and self._verbosity and (text or self._bar_shown):
            self._bar_shown = bool(text)
            shown = text[: WIDTH - 1]
            self.stderr.write(f"\r{shown:<{WIDTH}}\r{shown}", str, ending="")


def _too_few(count: Count) -> CommandError:
    """The error to end with when not all messages of --count were sent."""
    told = f"{count.sent} of {count.asked} messages were sent."
    if count.interrupted:
        return CommandError(f"Interrupted. {told}", returncode=exits.INTERRUPTED)
    stage = str(getattr(count.error, "stage", ""))
    stage = stage if stage in exits.CODES else "DELIVERY"
    return CommandError(f"{stage} failed: {told}", returncode=exits.CODES[stage])


def _bar(number: int, count: int) -> str:
    done = 30 * number // count
    return f"[{'#' * done}{'.' * (30 - done)}] {number} of {count}"


def _read(name: str) -> str:
    """The beginning of a file, or of standard input; more is not looked at."""
    try:
        if name == "-":
            return sys.stdin.read(MAX_PASTED)
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_PASTED)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"--explain: {name} can't be read: {error}") from error


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Keeps what the command itself tells out of the log, which may be the same terminal."""

    def nothing(_: logging.LogRecord) -> bool:
        return False

    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)
