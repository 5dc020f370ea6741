"""A running Postfix with Dovecot, as the JSON file in SMTPAUTH_INTEROP_JSON describes it.

    postfix.backend("submission", postfix.alice)     our backend on one of its ports
    postfix.delivered(message)                       every copy that reached a Maildir

Whether a message was delivered once is answered without guessing how long to wait: Postfix logs
the Message-ID under a queue id before it answers the content, and "removed" when all deliveries
of that queue id are done. Whatever was handed over before a message that is seen as removed is
therefore in the log.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import time
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any

import django
from django.core.mail import EmailMessage

from django_smtpauth.sending.results import Result
from django_smtpauth.smtp import Security
from tests.interop.server import Listener, RealServer, User, wait_for

_ADDED = re.compile(
    rb"(?:(?:Return-Path|X-Original-To|Delivered-To|Received):.*\n(?:[ \t].*\n)*)+"
)
_BOUNDARY = re.compile(rb'boundary="([^"]+)"')
_QUEUED = re.compile(r" (\w+): message-id=(\S+)")
_REMOVED = re.compile(r" (\w+): removed")
_REJECTED = re.compile(r" (\w+): (?:milter-)?reject: (?:END-OF-MESSAGE|header|body)")

_SECURITY = {
    "starttls": Security.STARTTLS,
    "implicit": Security.IMPLICIT_TLS,
    "none": Security.NONE,
}


class Postfix(RealServer):
    """One running instance."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        self.host: str = description["tls_hostname"]
        self.ca_file: str = description["ca_file"]
        self.users = [
            User(user["login"], user["password"], user["address"]) for user in description["users"]
        ]
        self.failing_users = [
            User(user["login"], user["password"], "alice@example.test")
            for user in description["failing_users"]
        ]
        self.alice, self.bob, self.carol, self.comma, self.jürgen = self.users
        self._log = Path(description["logs"]["postfix"])
        self._log_start = self._log.stat().st_size
        self._mail_start = time.time()

    @classmethod
    def read(cls, path: str) -> Postfix:
        return cls(json.loads(Path(path).read_text(encoding="utf-8")))

    def listener(self, name: str) -> Listener:
        port = self.description["ports"][name]
        return Listener(int(port["port"]), _SECURITY[port["tls"]])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other test run uses what is counted for all of the server's clients together."""
        with (Path(self.description["instance_dir"]) / "interop.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def delivered(self, message: EmailMessage) -> dict[str, list[bytes]]:
        """Each address of the envelope with the copies in its Maildir, as they were sent.

        The lines that Postfix puts first are gone; line ends are LF. An address without a copy
        is left out.
        """
        result: Result = message.smtp_result  # type: ignore[attr-defined]
        return self.copies(result.message_id, result.queue_id, *result.recipients)

    def copies(self, message_id: str, queue_id: str, *addresses: str) -> dict[str, list[bytes]]:
        """As `delivered()`, for what was not sent as a Django message."""
        self._wait_until_removed(queue_id or self._later_queue_id())
        for copy in self._queue_ids(message_id):
            self._wait_until_removed(copy)
        found = {address: self._files(address, message_id) for address in addresses}
        return {address: copies for address, copies in found.items() if copies}

    def _later_queue_id(self) -> str:
        """Of a message that is sent now: everything before it is in the log."""
        with self.connect("plain") as connection:
            sent = connection.send(
                "barrier@elsewhere.example", ["postmaster@example.test"], b"Subject: now\r\n\r\n"
            )
        assert sent.final is not None
        return sent.final.text.rpartition(" ")[2]

    def _queue_ids(self, message_id: str) -> list[str]:
        """The queue ids of all copies that the server did not reject."""
        log = self._log_text()
        rejected = set(_REJECTED.findall(log))
        return [
            q for q, found in _QUEUED.findall(log) if found == message_id and q not in rejected
        ]

    def _wait_until_removed(self, queue_id: str) -> None:
        wait_for(lambda: queue_id in _REMOVED.findall(self._log_text()), f"the end of {queue_id}")

    def _log_text(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def _files(self, address: str, message_id: str) -> list[bytes]:
        folder = Path(self.description["delivery"]["pattern"].format(address=address)).parent
        header = f"\nMessage-ID: {message_id}\n".encode()
        files = folder.iterdir() if folder.exists() else ()
        # Maildir's times are whole seconds on some file systems.
        recent = [file for file in files if file.stat().st_mtime >= self._mail_start - 2]
        contents = [file.read_bytes() for file in recent]
        return [as_sent(content) for content in contents if header in content]


def as_sent(stored: bytes) -> bytes:
    """A stored message without the lines that Postfix puts in front of it."""
    added = _ADDED.match(stored)
    assert added is not None
    return stored[added.end() :]


def own_bytes(message: EmailMessage) -> bytes:
    """What Django's own SMTP backend renders, with LF; boundaries as in `comparable()`.

    The message must have its Message-ID and Date among its headers.
    """
    if django.VERSION >= (6, 0):
        octets = message.message(policy=policy.SMTP).as_bytes()
    else:
        octets = message.message().as_bytes(linesep="\r\n")
    octets = octets.replace(b"\r\n", b"\n")
    return comparable(octets if octets.endswith(b"\n") else octets + b"\n")


def comparable(octets: bytes) -> bytes:
    """The same octets with MIME boundaries, random at every rendering, replaced by numbers."""
    for number, boundary in enumerate(_BOUNDARY.findall(octets)):
        octets = octets.replace(boundary, b"boundary-%d" % number)
    return octets
