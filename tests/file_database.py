"""A database of its own inside the test's own process: threads have connections of their own.

file_database       its alias; accounts are read from it and written to it. With SQLite it is a
                    file; on a server (tests/databases) it is one more database of that server.
in_a_file           marks what only a file can tell
written()           waits until nothing is left to write beside the transactions
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as settings_of_tests
from django.db import connections

from django_smtpauth.models import SMTPAccount, SMTPAccountCheck, SMTPAccountHealth
from django_smtpauth.sending.accounts import database_changed
from django_smtpauth.sending.durable import writer

ALIAS = "file"
#: Seconds that no test waits for unless it fails.
LONG = 30.0


class Router:
    """Sends the accounts to the file."""

    def db_for_read(self, model: Any, **_: object) -> str | None:
        return ALIAS if model._meta.app_label == "smtpauth" else None

    db_for_write = db_for_read


in_a_file = pytest.mark.skipif(
    not settings_of_tests.DATABASES["default"]["ENGINE"].endswith(".sqlite3"),
    reason="a server is no file",
)


@pytest.fixture
def file_database(tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[str]:
    settings.DATABASE_ROUTERS = ["tests.file_database.Router"]
    default = connections.settings["default"]
    on_a_server = not default["ENGINE"].endswith(".sqlite3")
    name = f"own_{os.getpid()}" if on_a_server else str(tmp_path / "site.sqlite3")
    connections.settings[ALIAS] = {**default, "NAME": name}
    with django_db_blocker.unblock():
        if on_a_server:
            on_the_server(f"CREATE DATABASE {name}")
        with connections[ALIAS].schema_editor() as editor:
            editor.create_model(SMTPAccount)
            editor.create_model(SMTPAccountHealth)
            editor.create_model(SMTPAccountCheck)
        database_changed()
        yield ALIAS
        written()
        connections[ALIAS].close()
        if on_a_server:
            on_the_server(f"DROP DATABASE {name}")
    database_changed()
    del connections[ALIAS]
    del connections.settings[ALIAS]


def on_the_server(statement: str) -> None:
    """Runs what needs a connection to the server, and to none of the tests' databases."""
    with connections["default"]._nodb_cursor() as cursor:
        cursor.execute(statement)


def written() -> None:
    assert writer.wait(LONG)
