"""What `manage.py smtptest` shows, when, and how loud."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.core.mail import EmailMessage
from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.report import Mask, Report, StageReport
from django_smtpauth.management.rendering import table
from django_smtpauth.sending.routing import Route

from . import pages
from .letters import author_of, octets_of
from .running import Attempt
from .targets import Way
from .terminal import WIDTH, Terminal

#: Octets of a message that -v 3 shows.
MOST_SHOWN: Final = 4_096


class Telling:
    """The output of one run; `running.Watcher`.

    Stages are told as they end, but where a table says it shorter (--all), and where it is known
    only in the end whether anything is to be told (--changes).
    """

    def __init__(
        self, out: OutputWrapper, errors: OutputWrapper, style: Style, options: Mapping[str, Any]
    ) -> None:
        self._out, self._errors, self._options = out, errors, options
        self._verbosity: int = options["verbosity"]
        self._mask = Mask() if options["hide_addresses"] else None
        quiet = self._verbosity == 0 or options["json"]
        self._told = Terminal(out, style, self._mask, quiet=quiet)
        self._always = Terminal(out, style, self._mask)
        self._noisy = Terminal(errors, style, self._mask)
        self._brief = options["every"] and self._verbosity < 2
        self._live = not (self._brief or options["changes"])
        self._bar_shown = False

    # While it runs

    def begin(self, way: Way, message: EmailMessage | None, redirect: str) -> None:
        """Before anything is said to a server."""
        if self._live:
            self._tell_way(way, message, redirect)

    def stage(self, way: Way, stage: StageReport) -> None:
        """A stage has ended."""
        if self._live:
            self._tell_stage(way, stage)

    def messages(self, number: int, count: int) -> None:
        """A message of --count is begun."""
        done = 30 * number // count
        self.progress(f"[{'#' * done}{'.' * (30 - done)}] {number} of {count}")

    def target(self, number: int, count: int, way: Way) -> None:
        """A server of --all is begun."""
        if self._brief:
            self.progress(f"{number} of {count}: {way.label}")

    def progress(self, text: str = "") -> None:
        """A line that the next one replaces, if somebody looks; without a text it goes away."""
        if not self._errors.isatty() or not self._verbosity or not (text or self._bar_shown):
            return
        shown = text[: WIDTH - 1]
        self._bar_shown = bool(text)
        self._errors.write(f"\r{shown:<{WIDTH}}\r{shown}", str, ending="")
        self._errors.flush()

    # When it has ended

    def end(self, attempt: Attempt) -> None:
        """Everything about a server, or what was not told while it was tried."""
        self.progress()
        if self._options["json"]:
            more = {"count": attempt.count.to_dict()} if attempt.count else {}
            self._print_json(attempt.report, more)
        elif self._verbosity == 0:
            self._always.exactly(pages.one_line(attempt.way.label, attempt.report))
        elif not self._brief:
            if not self._live:
                self._tell_way(attempt.way, attempt.message, attempt.redirect)
                for stage in attempt.report.stages:
                    self._tell_stage(attempt.way, stage)
            self._tell_end(attempt)

    def interrupted(self, report: Report) -> None:
        """A check that was stopped: what is not told yet."""
        if self._options["json"]:
            self._print_json(report, {"ok": False, "interrupted": True})
        else:
            self._tell_details(report, None, None)

    def summary(self, attempts: Sequence[Attempt]) -> None:
        """The table of --all, and below it cause and cure of each failure."""
        columns = shutil.get_terminal_size((80, 24)).columns - 1
        rows = [pages.summary_row(one.way.label, one.report) for one in attempts]
        head, *lines = table(pages.SUMMARY_HEAD, rows, columns, pages.SUMMARY_SPARE)
        self._told.exactly(head, "head")
        for line, one in zip(lines, attempts, strict=True):
            self._told.exactly(line, "" if one.report.ok else "bad")
        for one in attempts if self._brief else ():
            if not one.report.ok:
                self._told.exactly(f"\n{one.way.label}", "head")
                self._tell_failure(one.report)

    def explain(self, text: str) -> None:
        """Cause and cure of what was pasted."""
        self._always.finding(explain(Failure.parse(text)))

    def warn(self, text: str) -> None:
        """Beside the output, whatever is asked of that."""
        self._noisy.sentences(text, kind="warning")

    def line(self, text: str) -> None:
        """A line that is what was asked for."""
        self._always.exactly(text)

    def transcript(self, attempts: Iterable[tuple[Way, Report]]) -> str:
        """The dialogues as one text."""
        lines: list[str] = []
        for way, report in attempts:
            lines += [f"{way.label}, {report.target.server}, {report.began.isoformat()}"]
            lines += [before + text for before, text in pages.dialogue(report.transcript)]
        text = "\n".join([*lines, ""])
        return self._mask.text(text) if self._mask else text

    # Pieces

    def _tell_way(self, way: Way, message: EmailMessage | None, redirect: str) -> None:
        for note in way.notes:
            self._told.sentences(note, kind="warning")
            self._told.exactly("")
        if way.route is None:
            return
        endpoint = way.route.endpoint
        spoken = ", by LMTP" if endpoint.protocol == "lmtp" else ""
        rule = "this server was asked for" if way.kind == "ad hoc" else way.route.rule.value
        self._told.row("Server", f"{endpoint.name}{spoken}\n({rule})")
        if message is not None:
            self._told.row("From", author_of(message, way.route))
        if redirect:
            told = f'to {redirect}\n(SMTPAUTH["REDIRECT_TO"] gets every message)'
            self._told.row("Redirected", told)

    def _tell_stage(self, way: Way, stage: StageReport) -> None:
        server = way.route.endpoint.server if way.route else ""
        for row in (*pages.stage_rows(stage, server), *pages.warning_rows(stage)):
            self._told.row(*row)

    def _tell_end(self, attempt: Attempt) -> None:
        report, route, count = attempt.report, attempt.way.route, attempt.count
        for row in pages.result_rows(report.result) if report.result else ():
            self._told.row(*row)
        if report.ok:
            self._told.row("Time", f"{report.seconds:.2f} s")
        if count is not None:
            rate = f"{count.sent - 1} more in {count.seconds:.2f} s"
            self._told.row("Messages", f"{count.sent} of {count.asked} sent ({rate})")
        self._tell_details(report, attempt.message, route)
        if not report.ok:
            self._tell_failure(report)
            self._told.exactly("")
        elif count is not None and count.error is not None:
            words = f"{count.stage}: {pages.error_words(count.error)}"
            self._told.row("FAILED", words, "bad")
            self._told.finding(explain(Failure.of(count.error, route)))
        else:
            lmtp = route is not None and route.endpoint.protocol == "lmtp"
            self._told.exactly("")
            self._told.sentences(pages.verdict(report, lmtp=lmtp), kind="good")
        if self._options["every"]:
            self._told.exactly("\n" + "-" * WIDTH)

    def _tell_failure(self, report: Report) -> None:
        self._told.row("FAILED", pages.failed_words(report), "bad")
        for finding in report.findings:
            if finding.severity == "error":
                self._told.finding(finding)

    def _tell_details(
        self, report: Report, message: EmailMessage | None, route: Route | None
    ) -> None:
        if self._verbosity > 2:
            self._told.exactly("\nEverything that was found out", "head")
            for stage in report.stages:
                for text in pages.fact_lines(self._masked(stage)):
                    self._told.line(text, hang="    ")
        if self._verbosity > 1 and report.transcript:
            self._told.exactly("\nThe dialogue, and the seconds for each answer", "head")
            for before, text in pages.dialogue(report.transcript):
                self._told.line(text, before)
        if self._verbosity > 2 and message and route and not self._options["hide_data"]:
            self._tell_message(octets_of(message, route))
        if self._verbosity > 1:
            self._told.exactly("")

    def _masked(self, stage: StageReport) -> StageReport:
        """A user name that is no address is hidden by its key."""
        facts = dict(stage.facts)
        return replace(stage, facts=self._mask.value(facts)) if self._mask else stage

    def _tell_message(self, octets: bytes) -> None:
        self._told.exactly(f"\nThe message, {len(octets):,} octets", "head")
        for text in octets[:MOST_SHOWN].decode("utf-8", "replace").splitlines():
            self._told.line(text, "  ")
        if len(octets) > MOST_SHOWN:
            self._told.line("…", "  ")

    def _print_json(self, report: Report, more: Mapping[str, Any]) -> None:
        told = report.to_dict(hide_addresses=self._options["hide_addresses"])
        self._out.write(json.dumps({**told, **more}), str)
