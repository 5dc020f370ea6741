"""Processes of one site with a database in a file, each with settings of its own.

site = Site(tmp_path)
site.run("code")                            to its end; gives what it printed
with site.start("code") as process:         side by side: say() and hear() lines
    ...
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRELUDE = """
import os, signal, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django_smtpauth.models import SMTPAccount
"""


class Site:
    """A site whose tables are made and whose processes take their keys from `sources`."""

    def __init__(self, folder: Path, settings: str = "tests.file_database_settings") -> None:
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings,
            "TEST_DATABASE": str(folder / "site.sqlite3"),
            "PYTHONPATH": str(ROOT),
        }

    def migrate(self, sources: str) -> None:
        """Make the tables."""
        self.run('call_command("migrate", verbosity=0)', sources)

    def run(self, code: str, sources: str, returncode: int = 0, **env: str) -> str:
        """Run code to its end."""
        process = self._open(code, sources, env)
        out, err = process.communicate(timeout=120)
        assert process.returncode == returncode, err
        return out

    def manage(self, *arguments: str, sources: str, returncode: int = 0) -> str:
        """Run a management command as people do."""
        return self.run(
            "from django.core.management import execute_from_command_line\n"
            f"execute_from_command_line(['manage.py', *{arguments!r}])",
            sources,
            returncode,
        )

    @contextlib.contextmanager
    def start(self, code: str, sources: str, **env: str) -> Iterator[Running]:
        """Run code beside the test, which ends it if it does not end by itself."""
        process = self._open(code, sources, env)
        try:
            yield Running(process)
        finally:
            process.kill()
            process.communicate()

    def _open(self, code: str, sources: str, env: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code)],
            env={**self.environment, "TEST_KEY_SOURCES": sources, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class Running:
    """A process that takes lines and gives lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """The next line; the test fails with what the process complained of when it ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError(self._process.stderr.read())
        return line.strip()

    def rest(self) -> str:
        """What it prints until it ends well."""
        out, err = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, err
        return out
