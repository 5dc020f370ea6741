"""`manage.py smtpkeys generate | status | verify | rotate`: the keys that seal the secrets."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    OutputWrapper,
)
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from django_smtpauth.secrets.keyring import SETTINGS_LINE, configured_ids, generate_key, get_sealer
from django_smtpauth.secrets.rotation import (
    BATCH_SIZE,
    Census,
    Column,
    Tally,
    find_columns,
    rotate,
    sealing_id,
    take_census,
    verify,
)

#: Each action with the options that go with it, and what it does.
ACTIONS: Final = {
    "generate": ({"output"}, "make a new random key"),
    "status": ({"json", "database"}, "count the stored secrets by key"),
    "verify": ({"batch_size", "database"}, "open every stored secret; exit with 1 if one fails"),
    "rotate": (
        {"batch_size", "database", "dry_run"},
        "reseal every stored secret with the first key; exit with 1 if one does not open",
    ),
}


class Command(BaseCommand):
    """Makes keys, and tells and changes with which keys the stored secrets are sealed."""

    help = "Manages the keys that seal the secrets of SMTP accounts: " + "; ".join(
        f"{name}: {text}" for name, (_, text) in ACTIONS.items()
    )
    # A key must be obtainable while the settings are still incomplete.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=list(ACTIONS))
        parser.add_argument(
            "--output",
            metavar="FILE",
            type=Path,
            help="generate: write the key to this new file (mode 0600) instead of printing it",
        )
        parser.add_argument("--json", action="store_true", help="status: print JSON")
        parser.add_argument(
            "--dry-run", action="store_true", help="rotate: open and count, but change nothing"
        )
        parser.add_argument(
            "--batch-size",
            metavar="ROWS",
            type=_positive,
            help=f"verify, rotate: rows at a time, and in one transaction (default: {BATCH_SIZE})",
        )
        parser.add_argument(
            "--database",
            metavar="ALIAS",
            choices=tuple(connections),
            help=f"the database (default: {DEFAULT_DB_ALIAS!r})",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        action = options["action"]
        for name in ("output", "json", "dry_run", "batch_size", "database"):
            if options[name] and name not in ACTIONS[action][0]:
                option = name.replace("_", "-")
                raise CommandError(f"--{option} does not go with `smtpkeys {action}`.")
        self._verbosity = options["verbosity"]
        if action == "generate":
            self._generate(options["output"])
            return
        try:
            self._look(action, options)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database can't be read or written: {error}\nIf a column is missing, run "
                "`manage.py migrate`. What was done so far stays; run the command again."
            ) from error
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. What was done so far stays; run the command again.", returncode=130
            ) from None

    def _look(self, action: str, options: dict[str, Any]) -> None:
        columns = find_columns(options["database"] or DEFAULT_DB_ALIAS)
        batch_size = options["batch_size"] or BATCH_SIZE
        if action == "status":
            self._status(columns, as_json=options["json"])
        elif not columns:
            self._say("This database has no column of secrets.")
        elif action == "verify":
            self._verify(columns, batch_size)
        else:
            self._rotate(columns, batch_size, dry_run=options["dry_run"])

    # generate

    def _generate(self, output: Path | None) -> None:
        if output is None:
            self.stdout.write(generate_key())
            self._explain("this key in the environment variable SMTPAUTH_KEYS", SETTINGS_LINE)
            return
        path = output.absolute()
        self._write(path)
        self.stdout.write(f"Wrote a new key to {path}")
        self._explain("this file", f'SMTPAUTH = {{"KEYS": ["file:{path}"]}}')

    def _explain(self, what: str, line: str) -> None:
        """On standard error, so that `smtpkeys generate > file` writes the key only."""
        self.stderr.write(
            f"Keep {what} on every machine of the site, and in no repository. "
            "Without it, the stored passwords can't be opened.\nPaste into the settings:\n"
            f"    {line}\n",
            style_func=str,
        )

    def _write(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise CommandError(
                f"{path} exists. A key in it would be lost; name another."
            ) from error
        except OSError as error:
            raise CommandError(f"{path} can't be written: {error.strerror}.") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(generate_key() + "\n")

    # status

    def _status(self, columns: list[Column], *, as_json: bool) -> None:
        sealing, configured = sealing_id(), configured_ids()
        found = [take_census(column) for column in columns]
        if as_json:
            report = {
                "seals": sealing or None,
                "keys": configured,
                "columns": [_as_dict(census) for census in found],
            }
            self.stdout.write(json.dumps(report, indent=2))
            return
        self.stdout.write(f"Key that seals now: {sealing or 'none'}")
        for census in found:
            self._tell_census(census)
        used = {key_id for census in found for key_id in {**census.current, **census.older}}
        idle = [key_id for key_id in configured if key_id not in used and key_id != sealing]
        if idle:
            self.stdout.write(f"Nothing in this database is sealed with: {', '.join(idle)}")
        if not columns:
            self.stdout.write("This database has no column of secrets.")

    def _tell_census(self, census: Census) -> None:
        self.stdout.write(f"\n{census.column}: {_secrets(census.total)}")
        for kind, words, style in (
            (census.current, "seals now", self.style.SUCCESS),
            (census.older, "older; `smtpkeys rotate` reseals them", self.style.WARNING),
            (census.unknown, "this process does not have this key", self.style.ERROR),
            ({"damaged": census.damaged}, "no sealed secrets", self.style.ERROR),
        ):
            for key_id, count in sorted(kind.items()):
                if count:
                    self.stdout.write(style(f"{count:>9,}  {key_id}  ({words})"))

    # verify, rotate

    def _verify(self, columns: list[Column], batch_size: int) -> None:
        def tell(total: Counter[str]) -> str:
            opened = total["seen"] - total["unreadable"]
            return f"{opened:,} open, {total['unreadable']:,} do not."

        self._work(columns, lambda column: verify(column, batch_size), tell)

    def _rotate(self, columns: list[Column], batch_size: int, *, dry_run: bool) -> None:
        done = "would be resealed" if dry_run else "resealed"
        key_id = get_sealer().id

        def tell(total: Counter[str]) -> str:
            return (
                f"{total['resealed']:,} {done} with key {key_id}, {total['current']:,} had it "
                f"already, {total['changed']:,} changed meanwhile, {total['unreadable']:,} do not "
                "open."
            )

        self._work(columns, lambda column: rotate(column, batch_size, dry_run=dry_run), tell)

    def _work(
        self,
        columns: list[Column],
        work: Callable[[Column], Iterator[Tally]],
        tell: Callable[[Counter[str]], str],
    ) -> None:
        failed = 0
        for column in columns:
            total: Counter[str] = Counter()
            bar = self._bar(column)
            for tally in work(column):
                total.update(tally.counts())
                for unreadable in tally.unreadable:
                    bar.clear()
                    self.stderr.write(str(unreadable))
                bar.show(total["seen"])
            bar.clear()
            self._say(f"{column}: {tell(total)}")
            failed += total["unreadable"]
        if failed:
            raise CommandError(f"{_secrets(failed)} can't be opened; nothing was changed there.")

    def _bar(self, column: Column) -> "Bar":
        wanted = self._verbosity > 0 and self.stderr.isatty()
        return Bar(self.stderr, str(column), column.count() if wanted else 0)

    def _say(self, text: str) -> None:
        if self._verbosity > 0:
            self.stdout.write(text)


class Bar:
    """One line that says how far the work is, on a terminal; with a total of 0 nothing.

    A few lines of our own: a library would be a dependency, or a second way to look.
    """

    WIDTH: Final = 30

    def __init__(self, stream: OutputWrapper, name: str, total: int) -> None:
        self._stream = stream
        self._name = name
        self._total = total

    def show(self, seen: int) -> None:
        """Draw it anew. Rows that were added meanwhile don't let it run over."""
        share = min(seen / self._total, 1.0) if self._total else 0.0
        filled = "#" * int(share * self.WIDTH)
        self._draw(f"{self._name} [{filled:<{self.WIDTH}}] {share:4.0%} {seen:,}")

    def clear(self) -> None:
        """Give the line back."""
        self._draw("")

    def _draw(self, text: str) -> None:
        if self._total:
            # Back to the start of the line; then whatever is left of it is erased.
            self._stream.write(f"\r{text}\x1b[K", ending="", style_func=str)
            self._stream.flush()


def _secrets(count: int) -> str:
    return f"{count:,} secret{'' if count == 1 else 's'}"


def _as_dict(census: Census) -> dict[str, Any]:
    column = census.column
    return {
        "model": column.model._meta.label,
        "table": column.model._meta.db_table,
        "column": column.field.column,
        "total": census.total,
        "current": census.current.total(),
        "older": census.older.total(),
        "unknown": census.unknown.total(),
        "damaged": census.damaged,
        "keys": dict(sorted((census.current + census.older + census.unknown).items())),
    }


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows.")
    return int(text)
