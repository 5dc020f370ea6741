"""A database in a file inside the test's own process: threads have connections of their own.

file_database       its alias; accounts are read from it and written to it
written()           waits until nothing is left to write beside the transactions
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
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


@pytest.fixture
def file_database(tmp_path: Path, settings: Any, django_db_blocker: Any) -> Iterator[str]:
    settings.DATABASE_ROUTERS = ["tests.file_database.Router"]
    name = str(tmp_path / "site.sqlite3")
    connections.settings[ALIAS] = {**connections.settings["default"], "NAME": name}
    with django_db_blocker.unblock():
        with connections[ALIAS].schema_editor() as editor:
            editor.create_model(SMTPAccount)
            editor.create_model(SMTPAccountHealth)
        database_changed()
        yield ALIAS
        written()
        connections[ALIAS].close()
    database_changed()
    del connections[ALIAS]
    del connections.settings[ALIAS]


def written() -> None:
    assert writer.wait(LONG)
