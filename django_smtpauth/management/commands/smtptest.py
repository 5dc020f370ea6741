"""`manage.py smtptest [ADDRESS...]`: try the way that this site's mail takes."""

import argparse
import contextlib
import logging
import os
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from django_smtpauth.backends import EmailBackend
from django_smtpauth.conf import is_explicit, mail_setting, mailers_configured, smtpauth_settings
from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.finding import Finding
from django_smtpauth.diagnosis.pasted import MAX_PASTED
from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.report import Report, StageReport
from django_smtpauth.diagnosis.rules.site import BACKEND
from django_smtpauth.sending.accounts import current_accounts
from django_smtpauth.sending.addressing import envelope_address, envelope_sender
from django_smtpauth.sending.composition import author
from django_smtpauth.sending.log import logger
from django_smtpauth.sending.redirection import redirect_target
from django_smtpauth.sending.results import Result
from django_smtpauth.sending.routing import Route, Rule
from django_smtpauth.smtp.errors import SMTPError
from django_smtpauth.smtp.transaction import Status
from django_smtpauth.smtp.transcript import render

WIDTH = 79
#: Seconds for all of it, a slow verdict included.
PATIENCE = 180.0
INDENT = " " * 12

TAKEN = "The server took the message. If it does not arrive, look among the spam."
DELIVERED = "The server delivered the message: in LMTP it answers for each mailbox."

BODY = """\
This is a test message from the Django site "{site}" on {host}.

Somebody ran "manage.py smtptest" there on {date} to see whether the site
can send mail. It can: there is nothing to do, and no need to answer.

Server: {server}
"""


class Command(BaseCommand):
    """Connects and logs in; with an address it sends a test message, too."""

    help = (
        "Tries the way that this site's mail takes: connects, logs in and, with an address, sends "
        "a test message. Tells what happened; -v 2 shows the dialogue. Exits with 1 on failure."
    )
    requires_system_checks = ["mail"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "addresses",
            nargs="*",
            metavar="ADDRESS",
            type=_address(envelope_address),
            help="send a test message to this address; without any, nothing is sent",
        )
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--account", metavar="SLUG", help="use this account")
        way.add_argument("--using", metavar="ALIAS", help="use this mailer of MAILERS")
        parser.add_argument(
            "--explain",
            metavar="FILE",
            help="explain an error, a bounce or a log line from this file, or from standard input "
            "(-); nothing is connected to",
        )
        parser.add_argument(
            "--from",
            dest="sender",
            metavar="ADDR",
            type=_address(envelope_sender),
            help="the sender (default: DEFAULT_FROM_EMAIL, or the account's own address)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        self._verbosity = options["verbosity"]
        if options["explain"]:
            self._show(explain(Failure.parse(_read(options["explain"]))))
            return
        try:
            with _without_log():
                self._run(options)
        except KeyboardInterrupt:
            fate = " Perhaps the message was sent." if options["addresses"] else ""
            raise CommandError(f"Interrupted.{fate}", returncode=130) from None

    def _run(self, options: dict[str, Any]) -> None:
        message = EmailMessage(from_email=options["sender"] or None, to=options["addresses"])
        try:
            backend = self._backend(options["account"], options["using"])
            route = backend.route(message)
            target = redirect_target()
        except ImproperlyConfigured as error:
            self._note_unknown_accounts()
            self._explain(error, "SETTINGS")
            raise CommandError("SETTINGS failed: there is no server to try.") from error
        if not options["sender"]:
            message.from_email = _default_sender(route, options["account"])
        _write_text(message, route)
        self._tell_route(route, message)
        if target and message.to:
            self._row("Redirected", f'to {target}\n(SMTPAUTH["REDIRECT_TO"] gets every message)')
        report = probe(route, _plan(message))
        self._tell(report)
        self._conclude(report, route)

    # Which backend

    def _backend(self, account: str | None, using: str | None) -> EmailBackend:
        """The backend that mail would go through; ours in any case."""
        if using is not None and not mailers_configured():
            raise CommandError(
                "--using names an entry of the setting MAILERS (Django 6.1), which this site does "
                "not have. Leave it out."
            )
        path = _backend_path(using or "default")
        if path is not None and _is_ours(path):
            if account:
                return EmailBackend(account=account)
            return _mailer(using or "default")
        if using is not None:
            raise CommandError(
                f"The mailer {using!r} does not use this package: its BACKEND is {path}.\n"
                f'Set MAILERS["{using}"]["BACKEND"] = "{BACKEND}".'
            )
        self._warn_of(path)
        alias: dict[str, Any] = {"alias": "default"} if mailers_configured() else {}
        return EmailBackend(account=account, **alias)

    def _warn_of(self, path: str | None) -> None:
        setting = 'MAILERS["default"]["BACKEND"]' if mailers_configured() else "EMAIL_BACKEND"
        self._note(
            f"This site does not send through this package itself: {setting} is "
            f"{path or 'not set'}. If that does not hand the mail on to this package, set it to "
            f'"{BACKEND}". What follows shows how mail goes through it.'
        )

    def _note_unknown_accounts(self) -> None:
        try:
            scope = smtpauth_settings.scope
        except ImproperlyConfigured:
            # Then there is no route either, and its error tells it.
            return
        problem = current_accounts(scope).problem
        if problem:
            self._note(f"The accounts in the database can't be read ({problem}).")

    # What is told

    def _tell_route(self, route: Route, message: EmailMessage) -> None:
        if route.rule is Rule.SETTINGS:
            self._note_unknown_accounts()
        spoken = ", by LMTP" if route.endpoint.protocol == "lmtp" else ""
        self._row("Server", f"{route.endpoint.name}{spoken}\n({route.rule.value})")
        if message.to:
            self._row("From", _author(message, route))

    def _tell(self, report: Report) -> None:
        for stage in report.stages:
            for label, text in _rows(stage, report):
                self._row(label, f"{text} ({stage.seconds:.2f} s)")
        if report.result is not None:
            self._tell_result(report.result)
        if report.error is None:
            self._row("Time", f"{report.seconds:.2f} s")
        if self._verbosity > 1 and report.transcript:
            self.stdout.write("")
            self._print(render(report.transcript))

    def _tell_result(self, result: Result) -> None:
        for address in result.accepted:
            self._row("Accepted", address, self.style.SUCCESS)
        for address, outcome in result.recipients.items():
            if outcome.status is Status.ACCEPTED:
                continue
            words = f"{address}: {outcome.reply.as_sent}" if outcome.reply else address
            label = outcome.status.value.replace("_", " ").capitalize()
            self._row(label, words, self.style.ERROR)
        if result.attempts and result.attempts[-1].reply and result.sent:
            self._row("Reply", result.attempts[-1].reply.as_sent)
            self._row("Queue id", result.queue_id or "not told by this server")

    def _conclude(self, report: Report, route: Route) -> None:
        if report.error is not None:
            stage = _stage_of(report)
            self._explain(report.error, stage, route)
            raise CommandError(f"{stage} failed: {_fate(report)}") from report.error
        if report.result is None:
            self._good("Connection and log-in work. Nothing was sent: give an address for that.")
            return
        lmtp = route.endpoint.protocol == "lmtp"
        refused = len(report.result.refused)
        if refused:
            total = len(report.result.recipients)
            # The verdicts of LMTP come after the content.
            stage = "LMTP" if lmtp else "RCPT"
            raise CommandError(f"{stage} failed: {refused} of {total} recipients refused.")
        self._good(DELIVERED if lmtp else TAKEN)

    def _explain(self, error: Exception, stage: str, route: Route | None = None) -> None:
        self._row("FAILED", f"{stage}: {_words(error)}", self.style.ERROR, least=0)
        self._show(explain(Failure.of(error, route)))
        self.stdout.write("")

    def _show(self, finding: Finding) -> None:
        """Cause and cure, as it stands below a failure."""
        self._print("\n" + _filled(f"{finding.title}. {finding.meaning}"), least=0)
        for number, step in enumerate(finding.steps, 1):
            self._print(_filled(str(step), f"{number}. "), least=0)
        if finding.settings:
            self._print("\n" + textwrap.indent(finding.settings, "    "), least=0)
        if finding.link:
            self._print(f"\n{finding.link}", least=0)

    def _good(self, text: str) -> None:
        self._print("\n" + textwrap.fill(text, WIDTH), self.style.SUCCESS)

    def _note(self, text: str) -> None:
        lines = textwrap.fill(text, WIDTH, break_on_hyphens=False, break_long_words=False)
        self._print(lines + "\n\n", self.style.WARNING)

    def _row(
        self, label: str, text: str, style: Callable[[str], str] = str, *, least: int = 1
    ) -> None:
        wrapped = [
            line
            for part in text.split("\n")
            for line in textwrap.wrap(part, WIDTH - len(INDENT), break_on_hyphens=False) or [""]
        ]
        self._print(
            self.style.MIGRATE_LABEL(f"{label:<{len(INDENT)}}")
            + style(f"\n{INDENT}".join(wrapped)),
            least=least,
        )

    def _print(self, text: str, style: Callable[[str], str] = str, *, least: int = 1) -> None:
        """Writes what the terminal can show; the words of a server may be anything."""
        if self._verbosity >= least:
            encoding = getattr(self.stdout, "encoding", None) or "utf-8"
            shown = text.encode(encoding, "backslashreplace").decode(encoding)
            self.stdout.write(shown, style_func=style)


def _address(read: Callable[[str], str]) -> Callable[[str], str]:
    def address(text: str) -> str:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return address


def _read(name: str) -> str:
    """The beginning of a file, or of standard input; more is not looked at."""
    try:
        if name == "-":
            return sys.stdin.read(MAX_PASTED)
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_PASTED)
    except (OSError, UnicodeError) as error:
        raise CommandError(f"--explain: {name} can't be read: {error}") from error


def _filled(text: str, label: str = "") -> str:
    return textwrap.fill(
        f"{label}{text}",
        WIDTH,
        subsequent_indent=" " * len(label),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _backend_path(alias: str) -> str | None:
    """The backend that the site has configured, as a dotted path."""
    if not mailers_configured():
        return str(mail_setting("EMAIL_BACKEND"))
    if alias not in settings.MAILERS:
        if alias != "default":
            known = ", ".join(settings.MAILERS) or "none"
            raise CommandError(f"There is no mailer {alias!r} in MAILERS. Known are: {known}.")
        return None
    # Django's own default for an entry without BACKEND.
    default = "django.core.mail.backends.smtp.EmailBackend"
    return str(settings.MAILERS[alias].get("BACKEND", default))


def _is_ours(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False
    return isinstance(backend, type) and issubclass(backend, EmailBackend)


def _mailer(alias: str) -> EmailBackend:
    """The backend as Django would make it; its class was checked before."""
    backend: Any
    if mailers_configured():
        from django.core.mail import mailers

        backend = mailers[alias]
    else:
        backend = import_string(str(mail_setting("EMAIL_BACKEND")))()
    return cast("EmailBackend", backend)


def _default_sender(route: Route, wanted: str | None) -> str:
    """DEFAULT_FROM_EMAIL, unless the account that was named, or Django's default, says less."""
    own = route.account.address if route.account else ""
    if own and (wanted or not is_explicit("DEFAULT_FROM_EMAIL")):
        return own
    return str(settings.DEFAULT_FROM_EMAIL)


def _author(message: EmailMessage, route: Route) -> str:
    """From as the account sends it; if it does not, that is told when the message fails."""
    try:
        return author(message, route.account)
    except (SMTPError, ValueError):
        return str(message.from_email)


def _write_text(message: EmailMessage, route: Route) -> None:
    site = os.environ.get(ENVIRONMENT_VARIABLE, "").partition(".")[0] or "site"
    host = socket.gethostname()
    message.subject = f"Test message from {site} on {host}"
    message.extra_headers["Auto-Submitted"] = "auto-generated"
    message.body = BODY.format(
        site=site, host=host, date=formatdate(localtime=True), server=route.endpoint.name
    )


def _words(error: Exception) -> str:
    """What went wrong in the words of the engine and of the server."""
    if not isinstance(error, SMTPError):
        return str(error)
    said = f"the server said: {error.reply.as_sent}" if error.reply else ""
    return "\n".join(filter(None, [error.message, said]))


def _fate(report: Report) -> str:
    if report.result is not None and report.result.in_doubt:
        return "nobody knows whether the message was sent."
    return "no message was sent." if report.result else "nothing was sent."


def _plan(message: EmailMessage) -> Plan:
    """Up to the log-in, or the message; a server may take its time for that."""
    if not message.to:
        return Plan(stop_after="AUTH", total_seconds=PATIENCE)
    return Plan(message=message, total_seconds=PATIENCE)


def _stage_of(report: Report) -> str:
    """Where the error happened, as the engine calls it, or at least the check."""
    failed = report.failed.name if report.failed else ""
    return str(getattr(report.error, "stage", "") or failed)


def _rows(stage: StageReport, report: Report) -> Iterator[tuple[str, str]]:
    """What is told of a stage that did not fail."""
    facts = stage.facts
    if stage.status == "failed" or facts.get("why") == "not reached":
        return
    if stage.name == "CONNECT":
        story = next((e.text for e in report.transcript if e.stage == "CONNECT"), "")
        yield "Connection", story
    elif stage.name == "TLS" and facts.get("version"):
        loud = f"; the certificate is {facts['verification']}"
        trust = "" if facts["verification"].startswith("verified") else loud
        yield "TLS", f"{facts['version']} ({facts['cipher']}) established{trust}"
        if facts["certificate"]:
            yield "Certificate", _certificate(facts)
    elif stage.name == "TLS":
        yield "TLS", facts["why"]
    elif stage.name == "AUTH" and stage.reply:
        yield "Log-in", f"{facts['mechanism']}: {stage.reply.as_sent}"
    elif stage.name == "AUTH":
        yield "Log-in", facts["why"]


def _certificate(facts: Mapping[str, Any]) -> str:
    left, day = facts["certificate"]["days_left"], facts["certificate"]["not_after"][:10]
    end = f"until {day}, {left} {'day' if left == 1 else 'days'} left"
    return f"for {facts['names'] or 'no host'}; {f'expired on {day}' if left < 0 else end}"


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
