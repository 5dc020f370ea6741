"""MariaDB on a Unix socket, from the program that SMTPAUTH_INTEROP_MARIADB names.

with MariaDB(Path("/usr/sbin/mariadbd")) as server:
    server.socket       root comes in there without a password; there is no TCP port
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.interop.daemons import Daemon, Folder, give

#: Who runs it: not root.
USER = "nobody"

#: One statement a line: the server that sets itself up reads so.
_BEGIN = """\
create database mysql;
use mysql;
set @auth_root_socket = null;
set @skip_auth_anonymous = 1;
"""


class MariaDB:
    """One running instance; a context manager. Needs root, to become another user."""

    def __init__(self, program: Path) -> None:
        self._program = program
        #: Beside the program, be it unpacked or installed: messages and system tables.
        self._share = program.parents[1] / "share/mysql"

    def __enter__(self) -> MariaDB:
        with ExitStack() as stack:
            self._start(stack, stack.enter_context(Folder("mariadb-")))
            self._running = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self, stack: ExitStack, folder: Path) -> None:
        data, self.socket = folder / "data", folder / "data" / "socket"
        give(USER, data)
        command = [
            *(self._program, "--no-defaults", f"--datadir={data}", f"--plugin-dir={folder}"),
            f"--lc-messages-dir={self._share / 'english'}",
            f"--character-sets-dir={self._share / 'charsets'}",
            # As Debian and MariaDB 11 have them; the program alone still says Latin 1.
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        tables = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        subprocess.run(
            [*command, "--bootstrap"],
            check=True,
            capture_output=True,
            user=USER,
            text=True,
            input=_BEGIN + "".join((self._share / name).read_text() for name in tables),
        )
        daemon = Daemon(
            [*command, "--skip-networking", f"--socket={self.socket}"],
            folder / "output",
            user=USER,
        )
        stack.enter_context(daemon).wait_for(self.socket)
