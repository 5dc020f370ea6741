"""Exim 4 on loopback, started by the tests from the program that SMTPAUTH_INTEROP_EXIM names.

    exim.backend("starttls", exim.alice)           our backend on one of its ports
    exim.delivered(message)                        every copy that was delivered
    exim.receptions(message_id)                    what the log says of how it came in
    exim.reports(message_id)                       delivery reports to the sender

| port | TLS | AUTH | for |
| --- | --- | --- | --- |
| starttls | STARTTLS | before TLS CRAM-MD5 and SCRAM, then all | submission |
| implicit | implicit | all | submission |
| plain | none | none | a relay inside a network |
| small | STARTTLS | as starttls | SIZE 100000, 10 recipients (452), 5 messages (421) |
| bare | none | none | no extension but HELP and VRFY |

A client certificate (`exim.certificate`) is asked for; with one, EXTERNAL is offered.

Replies that an address provokes, all @example.test:

| | |
| --- | --- |
| refused-sender, deferred-sender, drop-sender | MAIL: 550, 451, 421 |
| nobody, refused | RCPT: 550 5.1.1, 554 5.7.1 |
| tempfail, full, greylist | RCPT: 450, 452, 451 until two seconds later |
| drop, slow | RCPT: 421, 250 after a second |
| eodreject, eodtemp, eoddrop | after the data: 554, 451, 421 |
| prdrreject | after the data, for this recipient, if MAIL said PRDR: 550 |

A header X-Test-Reject: 550 after the data. Another domain: 550 5.7.1.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from django.core.mail import EmailMessage

from django_smtpauth.sending.results import Result
from django_smtpauth.smtp import Security
from tests.interop.daemons import (
    DOMAIN,
    Daemon,
    StartedServer,
    free_ports,
    give,
    write_certificates,
)
from tests.interop.server import Listener, User, wait_for

#: Compiled into Debian's program.
EXIM_USER = "Debian-exim"
CONFIGURATION = Path(__file__).with_name("exim.conf")

USERS = [
    User("alice@example.test", "wonderland-1", "alice@example.test"),
    User("bob", "Grüße aus Köln, 密码 50 €", "bob@example.test"),
    User("carol", 'p:w=d,"quoted" \\ back%20slash', "carol@example.test"),
    User("jürgen", "müller", "jürgen@example.test"),
]

_ADDED = re.compile(rb"Return-path: .*\nEnvelope-to: ((?:.*,\n\s+)*.*)\nReceived: .*\n(?:\t.*\n)*")
_COMPLETED = re.compile(r"^\S+ \S+ (\S+) Completed$", re.MULTILINE)
_RECEIVED = re.compile(r"^\S+ \S+ (\S+) <= (.*) for (.*)$", re.MULTILINE)
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_REPORT = re.compile(r"^\S+ \S+ (\S+) <= <> R=(\S+) ", re.MULTILINE)
_FIELD = re.compile(r' (\w+)=("[^"]*"|\S+)')


@dataclass(frozen=True)
class Reception:
    """One accepted message: Exim's log line.

    fields: P (esmtpsa ...), A (authenticator:login), X (TLS), DN, S (octets), M8S (BODY) ...
    chunking: it came by BDAT. pipelining: the client made use of it. prdr: as MAIL asked.
    """

    queue_id: str
    fields: dict[str, str]
    recipients: list[str]
    chunking: bool
    pipelining: bool
    prdr: bool


class Exim(StartedServer):
    """One running instance; a context manager. Needs root."""

    prefix = "exim-"

    def __init__(self, program: Path) -> None:
        self._program = program
        self.alice, self.bob, self.carol, self.jürgen = USERS
        self._copies: dict[str, tuple[list[str], bytes]] = {}

    def delivered(self, message: EmailMessage) -> dict[str, list[bytes]]:
        """Each address of the envelope with the copies it got, as they were sent.

        The lines that Exim puts first are gone; line ends are LF. An address without a copy is
        left out. Holds for messages whose last reply was seen.
        """
        result: Result = message.smtp_result  # type: ignore[attr-defined]
        copies = self.copies(result.message_id)
        return {address: copies[address] for address in result.recipients if address in copies}

    def copies(self, message_id: str) -> dict[str, list[bytes]]:
        """As `delivered()`, by Message-ID."""
        self._wait_until_completed({one.queue_id for one in self.receptions(message_id)})
        header = f"\nMessage-ID: {message_id}\n".encode()
        found: dict[str, list[bytes]] = {}
        for addresses, content in self._copies.values():
            if header in b"\n" + content[: content.find(b"\n\n") + 1]:
                for address in addresses:
                    found.setdefault(address, []).append(content)
        return found

    def reports(self, message_id: str) -> list[bytes]:
        """The delivery reports (RFC 3464) that the sender got, asked for by NOTIFY."""
        queue_ids = {one.queue_id for one in self.receptions(message_id)}
        self._wait_until_completed(queue_ids)
        reported = _REPORT.findall(self._log())
        self._wait_until_completed({report for report, about in reported if about in queue_ids})
        header = f"\nReferences: {message_id}\n".encode()
        return [content for _, content in self._copies.values() if header in content]

    def receptions(self, message_id: str) -> list[Reception]:
        """How the messages of that Message-ID came in; Exim logs it before it answers."""
        receptions = []
        for queue_id, line, recipients in _RECEIVED.findall(self._log()):
            words = line.split()
            fields = {name: value.strip('"') for name, value in _FIELD.findall(line)}
            if fields.get("id") == message_id.strip("<>"):
                receptions.append(
                    Reception(
                        queue_id,
                        fields,
                        recipients.split(),
                        chunking="K" in words,
                        # A dot or a star behind it tells of PIPECONNECT, a minus of no use.
                        pipelining=bool({"L", "L.", "L*"} & set(words)),
                        prdr="PRDR" in words,
                    )
                )
        return receptions

    def _log(self) -> str:
        octets = (self._folder / "log" / "main").read_bytes()
        return _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), octets).decode(
            "utf-8", "replace"
        )

    def _wait_until_completed(self, queue_ids: set[str]) -> None:
        """Then all that came of them is in `_copies`."""
        wait_for(
            lambda: queue_ids <= set(_COMPLETED.findall(self._log())), f"the end of {queue_ids}"
        )
        for file in (self._folder / "mail" / "new").iterdir():
            if file.name not in self._copies:
                stored = file.read_bytes()
                added = _ADDED.match(stored)
                assert added is not None
                addresses = added[1].decode().replace(",", " ").split()
                self._copies[file.name] = addresses, stored[added.end() :]

    def _write_files(self) -> None:
        folder = self._folder
        files = write_certificates(folder, self.alice.login, EXIM_USER)
        self.ca_file = str(files.ca_file)
        #: A client's certificate and key that stand for alice.
        self.certificate = (files.client_certificate, files.client_key)
        give(EXIM_USER, folder / "spool", folder / "log", folder / "mail")
        (folder / "users").write_text("".join(f'"{u.login}": {u.password}\n' for u in USERS))
        (folder / "sasl").mkdir()
        (folder / "sasl" / "exim.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {folder}/sasldb\n"
        )
        for user in USERS:
            program, name = self._program.with_name("saslpasswd2"), user.login.partition("@")[0]
            subprocess.run(
                [program, "-p", "-c", "-f", folder / "sasldb", "-u", DOMAIN, name],
                input=user.password.encode(),
                check=True,
                capture_output=True,
            )
        give(EXIM_USER, folder / "sasldb")

    def _start(self, stack: ExitStack) -> None:
        self._write_files()
        starttls, implicit, plain, small, bare = free_ports(5)
        self._listeners = {
            "starttls": Listener(starttls, Security.STARTTLS),
            "implicit": Listener(implicit, Security.IMPLICIT_TLS),
            "plain": Listener(plain, Security.NONE),
            "small": Listener(small, Security.STARTTLS),
            "bare": Listener(bare, Security.NONE),
        }
        macros = f"PROGRAM = {self._program}\nFOLDER = {self._folder}\nSASL_REALM = {DOMAIN}\n"
        macros += f"PORT_IMPLICIT = {implicit}\nPORT_PLAIN = {plain}\n"
        (self._folder / "exim.conf").write_text(macros + CONFIGURATION.read_text())
        for name, ports, option in (
            ("main", [starttls, implicit, plain], "-DMAIN"),
            ("small", [small], "-DSMALL"),
            ("bare", [bare], "-DBARE"),
        ):
            command: list[str | Path] = [self._program, "-bdf", option]
            command += ["-C", self._folder / "exim.conf", "-oP", self._folder / f"{name}.pid"]
            command += ["-oX", " : ".join(str(port) for port in ports)]
            environment = {"SASL_CONF_PATH": str(self._folder / "sasl")}
            daemon = Daemon(command, self._folder / f"{name}.output", environment)
            stack.enter_context(daemon).wait_for(*ports)
