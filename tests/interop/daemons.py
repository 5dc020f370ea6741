"""What every server that the tests start themselves is made of: folder, ports, process.

    with Folder("exim-") as folder:             that the users whom daemons become may enter
        plain, tls = free_ports(2)
        with Daemon([...], folder / "output") as daemon:
            daemon.wait_for(plain)

Everything listens on 127.0.0.1 or on a Unix socket, and is ended by its process id.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import trustme

from tests.interop.server import PATIENCE, Listener, RealServer, wait_for

HOST = "127.0.0.1"
#: The name in the servers' certificates.
TLS_NAME = "localhost"
DOMAIN = "example.test"


class Folder:
    """A temporary folder that every user may enter; gone when the block is left."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self.path.chmod(0o755)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        wait_for(self._removed, f"the removal of {self.path}")

    def _removed(self) -> bool:
        """A process that was killed a moment ago may have added a file meanwhile."""
        shutil.rmtree(self.path, ignore_errors=True)
        return not self.path.exists()


def give(user: str, *paths: Path) -> None:
    """Make the user the owner of files and of new folders."""
    entry = pwd.getpwnam(user)
    for path in paths:
        if not path.exists():
            path.mkdir()
        os.chown(path, entry.pw_uid, entry.pw_gid)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, all different."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Daemon:
    """A process in the foreground, in a process group of its own; the block ends it.

    env: added to the environment. user: who runs it, instead of root.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        output: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._output = output
        with output.open("wb") as stream:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                user=user,
            )

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """As `wait_for()`; a process that ended meanwhile fails with what it printed."""

        def met() -> bool:
            if self._process.poll() is not None:
                printed = self._output.read_text(errors="replace")
                raise AssertionError(f"{self._process.args!r} ended: {printed}")
            return condition()

        wait_for(met, what)

    def wait_for(self, *addresses: int | Path) -> None:
        """Wait until all of them (ports, Unix sockets) take connections."""
        for address in addresses:
            self.wait_until(functools.partial(_accepts, address), f"{address}")

    def stop(self) -> None:
        """End the daemon and the children it left."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _accepts(address: int | Path) -> bool:
    path = isinstance(address, Path)
    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as probe:
        return probe.connect_ex(str(address) if path else (HOST, address)) == 0


@dataclass(frozen=True)
class ServerFiles:
    """A private authority and a certificate for localhost; PEM files."""

    ca_file: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


def write_certificates(folder: Path, client: str, owner: str | None = None) -> ServerFiles:
    """Make them in `folder`; `client` is the mail address in the client's certificate."""
    files = ServerFiles(
        *(folder / name for name in ("ca.pem", "cert.pem", "key.pem", "client.pem", "client.key"))
    )
    authority = trustme.CA()
    server, user = authority.issue_cert(TLS_NAME, HOST), authority.issue_cert(client)
    authority.cert_pem.write_to_path(files.ca_file)
    for issued, certificate, key in (
        (server, files.certificate, files.key),
        (user, files.client_certificate, files.client_key),
    ):
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
    if owner is not None:
        give(owner, files.key)
    return files


Started = TypeVar("Started", bound="StartedServer")


class StartedServer(RealServer):
    """An instance that the tests start in a folder of its own; a context manager.

    Subclasses write their configuration, start their daemons and fill `_listeners`.
    """

    host = TLS_NAME
    #: How the folder's name begins.
    prefix: str

    _folder: Path
    _listeners: dict[str, Listener]

    def __enter__(self: Started) -> Started:
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(Folder(self.prefix))
            self._start(stack)
            self._running = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @abstractmethod
    def _start(self, stack: contextlib.ExitStack) -> None:
        """Starts what runs until the stack is closed."""

    def listener(self, name: str) -> Listener:
        return self._listeners[name]
