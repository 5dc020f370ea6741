"""`manage.py smtpkeys generate [--output FILE]`: make a key that seals the accounts' secrets."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_smtpauth.secrets.keyring import SETTINGS_LINE, generate_key


class Command(BaseCommand):
    """Prints a new key, or writes it to a file that only its owner can read."""

    help = "Manages the keys that seal the secrets of SMTP accounts."
    # A key must be obtainable while the settings are still incomplete.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["generate"], help="generate: make a new random key")
        parser.add_argument(
            "--output",
            metavar="FILE",
            type=Path,
            help="write the key to this new file (mode 0600) instead of printing it",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        self._generate(options["output"])

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
