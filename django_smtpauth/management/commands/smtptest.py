"""`manage.py smtptest [ADDRESS...]`: try the way that this site's mail takes."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_smtpauth.diagnosis.pasted import MAX_PASTED
from django_smtpauth.diagnosis.probe import INTERRUPTED, Interrupted
from django_smtpauth.diagnosis.report import Report
from django_smtpauth.management.smtptest import changes, exits, pages
from django_smtpauth.management.smtptest.arguments import (
    SUMMARY,
    HelpFormatter,
    add_arguments,
    check_combination,
    epilog,
    sends_message,
)
from django_smtpauth.management.smtptest.letters import Letters
from django_smtpauth.management.smtptest.repeating import Count
from django_smtpauth.management.smtptest.running import Attempt, attempt
from django_smtpauth.management.smtptest.swaks import swaks_line
from django_smtpauth.management.smtptest.targets import Way, ways
from django_smtpauth.management.smtptest.telling import Telling
from django_smtpauth.sending.log import logger

NOT_VERIFIED = (
    "WARNING: the certificate is NOT verified. Whoever stands between this machine and the server "
    "gets the password and the mail."
)


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
        self._options = options
        self._telling = Telling(self.stdout, self.stderr, self.style, options)
        if options["explain"]:
            self._telling.explain(_read(options["explain"]))
            return
        check_combination(options)
        self._letters = Letters(options)
        if options["no_verify"]:
            self._telling.warn(NOT_VERIFIED)
        try:
            targets = ways(options, self._letters.draft())
        except (KeyboardInterrupt, EOFError):
            # At the question for the password.
            raise CommandError("Interrupted.", returncode=exits.INTERRUPTED) from None
        if options["as_swaks"]:
            self._print_swaks(targets)
            return
        with _without_log():
            failure = self._run(targets)
        if failure is not None:
            raise failure

    def _run(self, targets: Sequence[Way]) -> CommandError | None:
        """Tries each of them and tells of it; gives the error to end with."""
        before = self._load_changes()
        done: list[Attempt] = []
        try:
            for number, way in enumerate(targets, 1):
                self._telling.target(number, len(targets), way)
                done.append(attempt(way, self._letters, self._options, self._telling))
                if not self._options["changes"] or changes.is_new(done[-1].report, before):
                    self._telling.end(done[-1])
                if (count := done[-1].count) and count.interrupted:
                    return _too_few(count)
        except KeyboardInterrupt as stop:
            stopped = stop.report if isinstance(stop, Interrupted) else None
            return self._interrupted(targets, done, stopped)
        finally:
            self._telling.progress()
        self._write_transcript(done)
        return self._conclude(done, before)

    def _conclude(self, done: Sequence[Attempt], before: changes.Failures) -> CommandError | None:
        shown = done
        if self._options["changes"]:
            shown = [one for one in done if changes.is_new(one.report, before)]
            self._save_changes([one.report for one in done])
        if self._options["every"] and shown:
            self._telling.summary(shown)
        failed = [one.report for one in shown if not one.report.ok]
        if not failed:
            counts = [one.count for one in shown if one.count and one.count.error]
            return _too_few(counts[0]) if counts else None
        text = pages.failure(failed[0])
        if self._options["every"]:
            text = f"{len(failed)} of {len(done)} failed."
        return CommandError(text, returncode=exits.code_of(failed[0]))

    def _interrupted(
        self, targets: Sequence[Way], done: Sequence[Attempt], stopped: Report | None
    ) -> CommandError:
        """Ends after Ctrl-C with what was learnt."""
        fate, last = "", []
        if stopped is not None:
            self._telling.progress()
            self._telling.interrupted(stopped)
            last = [(targets[len(done)], stopped)]
        if stopped is not None and sends_message(self._options):
            before = stopped.stage("AUTH").facts.get("why") == INTERRUPTED
            fate = " Nothing was sent." if before else " Perhaps the message was sent."
        if self._options["every"] and done:
            self._telling.summary(done)
        self._write_transcript(done, last)
        return CommandError(f"Interrupted.{fate}", returncode=exits.INTERRUPTED)

    # Files and lines

    def _print_swaks(self, targets: Sequence[Way]) -> None:
        for way in targets:
            if way.route is None:
                raise CommandError(f"There is no server to try: {way.error}")
            line, unsaid = swaks_line(way.route, self._options, self._letters.sender(way.route))
            self._telling.line(line)
            for text in unsaid:
                self._telling.warn(text)

    def _load_changes(self) -> changes.Failures:
        path = self._options["changes"]
        try:
            return changes.load(path) if path else {}
        except (OSError, ValueError) as error:
            raise CommandError(f"--changes: {path} can't be used: {error}.") from None

    def _save_changes(self, reports: Sequence[Report]) -> None:
        try:
            changes.save(self._options["changes"], changes.failures_of(reports))
        except OSError as error:
            raise CommandError(f"--changes: {error}.") from None

    def _write_transcript(
        self, done: Sequence[Attempt], last: Sequence[tuple[Way, Report]] = ()
    ) -> None:
        path = self._options["transcript"]
        if not path:
            return
        text = self._telling.transcript([*((one.way, one.report) for one in done), *last])
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"--transcript: {error}.") from None


def _too_few(count: Count) -> CommandError:
    """The error to end with when not all messages of --count were sent."""
    told = f"{count.sent} of {count.asked} messages were sent."
    if count.interrupted:
        return CommandError(f"Interrupted. {told}", returncode=exits.INTERRUPTED)
    return CommandError(f"{count.stage} failed: {told}", returncode=exits.CODES[count.stage])


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
