"""`manage.py smtpaccounts ACTION`: keep SMTP accounts from a shell or a deployment."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, IntegrityError, router

from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.management.rendering import printable, table
from django_smtpauth.management.secret_options import READ, typed
from django_smtpauth.models import SECRETS, SMTPAccount
from django_smtpauth.provisioning import changes, facts, mailers, moving, secret_sources
from django_smtpauth.provisioning.changes import Outcome
from django_smtpauth.provisioning.entries import Entry, from_lines, from_words
from django_smtpauth.provisioning.from_settings import Import, imports
from django_smtpauth.provisioning.problems import Problem, ProvisioningError
from django_smtpauth.secrets.secret import FreshSecret

from ._smtpaccounts_arguments import add_actions
from ._smtpaccounts_pages import LIST_HEAD, LIST_SPARE, list_row, show_lines

STDIN: Final = "-"


class Command(BaseCommand):
    """Parses, asks and prints; what is done is in `django_smtpauth.provisioning`."""

    help = (
        "Keeps SMTP accounts: lists, shows, creates, changes, moves and deletes them, takes them "
        "over from the settings and writes the setting MAILERS for them. Secrets come from "
        "standard input, a file or the environment, never from the command line."
    )
    requires_system_checks = ["mail"]

    def add_arguments(self, parser: CommandParser) -> None:
        add_actions(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        self._options = options
        self._quiet = options["verbosity"] == 0
        self._json: bool = options["json"]
        self._database = options["database"] or router.db_for_write(SMTPAccount)
        failure = self._run(options["action"].replace("-", "_"))
        if failure is not None:
            # Raised from here: frames below may have seen a secret.
            raise failure

    def _run(self, action: str) -> CommandError | None:
        """Does it; gives the error to end with."""
        try:
            scope = self._options["scope"]
            self._scope = smtpauth_settings.scope if scope is None else scope
            getattr(self, f"_{action}")(self._options)
        except CommandError as error:
            return error.with_traceback(None)
        except ProvisioningError as error:
            return self._failure(error.problems)
        except ImproperlyConfigured as error:
            return CommandError(str(error))
        except IntegrityError as error:
            return CommandError(f"The database refused it: {_first_line(error)}")
        except DatabaseError as error:
            return CommandError(
                f"The accounts can't be read or written: {_first_line(error)}. Has `manage.py "
                f"migrate` run, and is {self._database!r} the database?"
            )
        except (KeyboardInterrupt, EOFError):
            partly = self._options.get("keep_going")
            fate = "Some may be written." if partly else "Nothing changed."
            return CommandError(f"Interrupted. {fate}", returncode=130)
        return None

    # Reading

    def _list(self, _: dict[str, Any]) -> None:
        known = [facts.facts_of(one) for one in facts.accounts_of(self._scope, self._database)]
        if self._json:
            self._print_json(*known)
            return
        if not known:
            others = [repr(s) for s in facts.scopes(self._database) if s != self._scope]
            more = f" There are some in: {', '.join(others)} (--scope)." if others else ""
            place = f" in the scope {self._scope!r}" if self._scope else ""
            self._note(f"There are no accounts{place}.{more}")
            return
        rows = [[self._safe(cell) for cell in list_row(one)] for one in known]
        columns = shutil.get_terminal_size().columns if self.stdout.isatty() else None
        head, *lines = table(LIST_HEAD, rows, columns, LIST_SPARE)
        self.stdout.write(head, style_func=self.style.MIGRATE_HEADING)
        for line in lines:
            self.stdout.write(line)

    def _show(self, options: dict[str, Any]) -> None:
        slug = options["slug"]
        account = changes.find(slug, self._scope, self._database)
        if account is None:
            raise changes.unknown([slug], self._scope, self._database)
        known = facts.facts_of(account)
        if self._json:
            self._print_json(known)
            return
        for label, text, bad in show_lines(known):
            if not text:
                self.stdout.write(label, style_func=self.style.MIGRATE_HEADING)
                continue
            shown = self._safe(text)
            self.stdout.write(f"  {label:<24}" + (self.style.ERROR(shown) if bad else shown))

    def _export_mailers(self, _: dict[str, Any]) -> None:
        accounts = list(facts.accounts_of(self._scope, self._database))
        found = mailers.mailers_of(account for account in accounts if account.enabled)
        self.stdout.write(json.dumps(found, indent=2) if self._json else mailers.snippet(found))
        disabled = [account.slug for account in accounts if not account.enabled]
        if disabled:
            self._note(f"Left out, since they are disabled: {', '.join(disabled)}.")
        if self._scope != smtpauth_settings.scope:
            self._note(
                f'These mailers find their accounts only while SMTPAUTH["SCOPE"] is '
                f"{self._scope!r}; at this moment it is {smtpauth_settings.scope!r}."
            )
        if django.VERSION < (6, 1):
            self._note(f"MAILERS needs {mailers.NEEDS}; this is {django.get_version()}.")

    # Writing

    def _set(self, options: dict[str, Any]) -> None:
        slug, words = options["slug"], options["words"]
        if options["stdin"] or slug == STDIN:
            self._set_lines([*([] if slug in (None, STDIN) else [slug]), *words])
            return
        if slug is None:
            raise CommandError("Name an account, or give --stdin and lines of JSON.")
        if options["keep_going"]:
            raise CommandError("--keep-going is for lines on standard input.")
        entry = from_words(slug, self._scope, words, self._secrets(slug))
        self._report(changes.apply([entry], self._database, _actor()))
        self._warn_of_unverified([entry])

    def _set_lines(self, words: Sequence[str]) -> None:
        if words or any(self._sources(name) for name in SECRETS):
            raise CommandError(
                "With lines on standard input all fields stand in them, the secrets too: "
                '{"slug": "billing", "password": {"env": "NAME"}}.'
            )
        entries, problems = from_lines(sys.stdin.buffer, self._scope)
        if not self._options["keep_going"]:
            if problems:
                # What else is wrong is found out, too; nothing is kept of it.
                problems += self._dry(entries)
                raise ProvisioningError(sorted(problems, key=lambda one: one.line or 0))
            self._report(changes.apply(entries, self._database, _actor()))
            self._warn_of_unverified(entries)
            return
        outcomes, more = changes.apply_each(entries, self._database, _actor())
        self._report(outcomes)
        self._warn_of_unverified(entries)
        if problems or more:
            raise self._failure([*problems, *more], "Not written were these lines")

    def _warn_of_unverified(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.values.get("verify") is False:
                self._note(
                    f"{entry.slug}: the certificate is not verified. Whoever sits between this "
                    "site and the server can read the password and the mail. For a server with "
                    "an authority of its own give ca_text in place of verify=false."
                )

    def _dry(self, entries: Iterable[Entry]) -> list[Problem]:
        try:
            changes.apply(entries, self._database, _actor(), dry_run=True)
        except ProvisioningError as error:
            return error.problems
        return []

    def _set_password(self, options: dict[str, Any]) -> None:
        slug = options["slug"]
        secrets = self._secrets(slug, ["password"]) or {"password": _ask_for_password(slug)}
        entry = Entry(slug, self._scope, secrets)
        self._report(changes.apply([entry], self._database, _actor(), create=False))

    def _move(self, options: dict[str, Any]) -> None:
        slug = options["slug"]
        entry = from_words(slug, self._scope, options["words"])
        planned = moving.plan(entry, self._database)
        if self._json and options["dry_run"]:
            self._print_json(planned.to_dict())
            return
        told = self.stderr if self._json else self.stdout
        if not self._quiet:
            for name, (old, new) in planned.changes.items():
                told.write(f"  {name:<24}{self._brief(old)}  ->  {self._brief(new)}", str)
            moved = ", ".join(planned.secrets) or "there is none"
            told.write(f"  {'secrets that go along':<24}{moved}", str)
        self._warn_of_unverified([entry])
        if options["dry_run"]:
            self._tell("Nothing was changed: this was a dry run.")
            return
        if planned.changes:
            self._confirm(
                f"The secrets of {slug} will be sent to {planned.after} from now on. Move it?"
            )
        self._report([moving.move(planned, self._database, _actor())])

    def _enable(self, options: dict[str, Any], enabled: bool = True) -> None:
        self._report(
            changes.switch(
                options["slugs"], self._scope, self._database, _actor(), enabled=enabled
            )
        )

    def _disable(self, options: dict[str, Any]) -> None:
        self._enable(options, False)

    def _delete(self, options: dict[str, Any]) -> None:
        slugs = list(dict.fromkeys(options["slugs"]))
        missing = [s for s in slugs if changes.find(s, self._scope, self._database) is None]
        if missing:
            raise changes.unknown(missing, self._scope, self._database)
        self._confirm(f"Delete {', '.join(slugs)}, and the secrets stored for it?")
        self._report(changes.delete(slugs, self._scope, self._database))

    def _import_settings(self, options: dict[str, Any]) -> None:
        found = imports(
            self._scope,
            self._database,
            using=options["using"],
            every=options["all"],
            slug=options["slug"] or "",
        )
        if not found:
            self._note("The settings name no server of their own: there is nothing to import.")
            return
        dry = options["dry_run"]
        entries = [one.entry for one in found]
        outcomes = changes.apply(entries, self._database, _actor(), dry_run=dry)
        self._report(outcomes)
        for one in found:
            self._tell_import(one)
        if dry:
            self._tell("Nothing was changed: this was a dry run.")

    def _tell_import(self, one: Import) -> None:
        sealed = [name for name in SECRETS if one.values.get(name)]
        lines = [f"{one.slug}: from {one.source}"]
        if sealed:
            lines.append(f"  Sealed in the database: {', '.join(sealed)}.")
        lines += [f"  Not carried over: {name}: {why}" for name, why in one.left.items()]
        if one.values.get("internal_host"):
            lines.append("  Set internal_host: else an account reaches public servers only.")
        if one.removable:
            lines.append(
                "  Once mail flows, remove from the settings, and from where they are kept:"
            )
            lines += [f"      {name}" for name in one.removable]
        if one.replacement:
            lines += ["  Write into the settings instead:", f"      {one.replacement}"]
        for line in lines if not self._quiet else []:
            (self.stderr if self._json else self.stdout).write(self._safe(line), str)

    # Secrets

    def _secrets(self, slug: str, names: Sequence[str] = SECRETS) -> dict[str, FreshSecret]:
        """What the options give as secrets. Raises ProvisioningError."""
        found: dict[str, FreshSecret] = {}
        problems = []
        given = [(name, *source) for name in names for source in self._sources(name)]
        if [kind for _name, kind, _place in given].count("stdin") > 1:
            raise CommandError("Standard input can hold one secret: read the other from a file.")
        for name, kind, place in given:
            secret, problem = READ[kind](name, place)
            if problem:
                problems.append(Problem(problem, slug=slug, field=name))
            elif secret is not None:
                found[name] = secret
        if problems:
            raise ProvisioningError(problems)
        return found

    def _sources(self, name: str) -> list[tuple[str, Any]]:
        given = [(kind, self._options.get(f"{name}_{kind}")) for kind in READ]
        return [(kind, place) for kind, place in given if place]

    # Telling and asking

    def _report(self, outcomes: Iterable[Outcome]) -> None:
        if self._json:
            self._print_json(*(outcome.to_dict() for outcome in outcomes))
            return
        for outcome in outcomes:
            which = f" ({', '.join(outcome.fields)})" if outcome.result == changes.CHANGED else ""
            self._tell(f"{outcome.slug}: {outcome.result}{which}")

    def _failure(self, problems: Sequence[Problem], what: str = "") -> CommandError:
        lines = [self._safe(str(problem)) for problem in problems]
        if any(problem.line for problem in problems):
            lines.insert(0, f"{what or 'Nothing was written, because of these lines'}:")
        return CommandError("\n".join(lines))

    def _confirm(self, question: str) -> None:
        if not self._options["interactive"]:
            return
        if not sys.stdin.isatty():
            raise CommandError(
                "This asks for confirmation, and there is no terminal to ask on. Give --noinput "
                "if you mean it. Nothing was changed."
            )
        if input(f"{self._safe(question)} [yes/no] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was changed.")

    def _brief(self, value: Any) -> str:
        first, *more = str(value).splitlines() or ["(empty)"]
        return self._safe(first) + (f" … ({len(more)} more lines)" if more else "")

    def _safe(self, text: str) -> str:
        return printable(text, getattr(self.stdout, "encoding", None))

    def _tell(self, text: str) -> None:
        if not self._quiet:
            (self.stderr if self._json else self.stdout).write(self._safe(text), str)

    def _note(self, text: str) -> None:
        if not self._quiet:
            self.stderr.write(self._safe(text), self.style.WARNING)

    def _print_json(self, *values: Any) -> None:
        for value in values:
            self.stdout.write(json.dumps(value))


def _ask_for_password(slug: str) -> FreshSecret:
    """Asks twice on the terminal. Raises ProvisioningError."""
    if not sys.stdin.isatty():
        raise CommandError(
            "There is no terminal to ask on: give --password-stdin, --password-file FILE or "
            "--password-env NAME."
        )
    secret, problem = _asked(slug)
    if secret is None:
        raise ProvisioningError([Problem(problem, slug=slug, field="password")])
    return secret


def _asked(slug: str) -> secret_sources.Found:
    first, problem = typed(f"Password of {printable(slug)}: ")
    second, _ = (None, "") if problem else typed("The same again: ")
    if first is not None and (second is None or first.reveal() != second.reveal()):
        return None, "the two are not the same. Nothing was changed."
    return first, problem


def _actor() -> str:
    """Who is at work, for the audit: the command, and the user that the system runs it as."""
    try:
        import pwd

        user = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):
        # Windows; or a container whose user has a number only.
        user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return f"manage.py smtpaccounts, {user}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
