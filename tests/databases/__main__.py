"""Run tests on real databases: python -m tests.databases [NAME ...] -- PYTEST ARGUMENTS.

NAME is postgresql, mariadb or sqlite (in a file: threads have connections of their own); all by
default. Each server runs in a folder of its own as long as its tests do. Its programs are where
SMTPAUTH_INTEROP_POSTGRESQL (a folder) and SMTPAUTH_INTEROP_MARIADB (the path of mariadbd) say; a
server that is absent is skipped, in CI a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.databases.mariadb import MariaDB
from tests.interop.daemons import HOST, Folder
from tests.interop.postgresql import LOGIN, PASSWORD, PostgreSQL

Settings = dict[str, object]


@contextlib.contextmanager
def postgresql(programs: Path) -> Iterator[Settings]:
    """A running PostgreSQL, as Django's setting DATABASES describes it."""
    with PostgreSQL(programs) as server:
        yield {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "HOST": HOST,
            "PORT": server.port,
            "USER": LOGIN,
            "PASSWORD": PASSWORD,
            "OPTIONS": {"sslmode": "disable"},
        }


@contextlib.contextmanager
def mariadb(program: Path) -> Iterator[Settings]:
    """A running MariaDB, as Django's setting DATABASES describes it."""
    with MariaDB(program) as server:
        yield {
            "ENGINE": "django.db.backends.mysql",
            "NAME": "mysql",
            "HOST": str(server.socket),
            "USER": "root",
        }


@contextlib.contextmanager
def sqlite() -> Iterator[Settings]:
    """A file, as Django's setting DATABASES describes it."""
    with Folder("sqlite-") as folder:
        name = str(folder / "database")
        yield {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "TEST": {"NAME": name}}


class AbsentError(Exception):
    """There is no such server here; the text says why."""


def named_by(variable: str) -> Path:
    """The path that an environment variable holds."""
    place = os.environ.get(variable)
    if not place:
        raise AbsentError(f"{variable} does not say where it is")
    return Path(place)


SERVERS: dict[str, Callable[[], AbstractContextManager[Settings]]] = {
    "postgresql": lambda: postgresql(named_by("SMTPAUTH_INTEROP_POSTGRESQL")),
    "mariadb": lambda: mariadb(named_by("SMTPAUTH_INTEROP_MARIADB")),
    "sqlite": sqlite,
}


def run(name: str, arguments: list[str]) -> int:
    """The exit status of the tests on one server."""
    try:
        server = SERVERS[name]()
    except AbsentError as reason:
        print(f"{name}: skipped, {reason}", flush=True)
        return 1 if os.environ.get("CI") == "true" else 0
    with server as settings:
        print(f"{name}:", flush=True)
        environment = {**os.environ, "SMTPAUTH_TEST_DATABASE": json.dumps(settings)}
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, env=environment).returncode


def main(words: list[str]) -> int:
    """Run all that were asked for; 1 if one of them failed."""
    end = words.index("--") if "--" in words else len(words)
    names, arguments = words[:end] or list(SERVERS), words[end + 1 :]
    statuses = [run(name, arguments) for name in names]
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
