"""Dovecot on loopback, started by the tests from the installed packages: LMTP and submission.

    dovecot.lmtp_socket, dovecot.lmtp_port         where LMTP is spoken
    dovecot.copies(message_id)                     {address: [octets, ...]} by LMTP
    dovecot.backend("submission", dovecot.alice)   our backend; Exim gets what is sent there

| listener | TLS | AUTH | for |
| --- | --- | --- | --- |
| lmtp_socket, lmtp | none (STARTTLS offered) | none | rcpt0 ... rcpt999, alice, bob, carol |
| submission | STARTTLS | before TLS CRAM-MD5, DIGEST-MD5, SCRAM, then all | a proxy before Exim |
| implicit | implicit | all | the same |

Replies of LMTP that an address provokes, all @example.test:

| | |
| --- | --- |
| nobody | RCPT: 550 5.1.1 |
| full | after the data: 552 5.2.2 |
| broken | after the data: 451 4.2.0 |
"""

from __future__ import annotations

import base64
import pwd
import re
from contextlib import ExitStack
from pathlib import Path

from django_smtpauth.smtp import Security
from tests.interop.daemons import (
    DOMAIN,
    Daemon,
    StartedServer,
    free_ports,
    give,
    write_certificates,
)
from tests.interop.server import Listener, User

PROGRAM = Path("/usr/sbin/dovecot")
#: What must be installed: Dovecot's services are packages of their own.
SERVICES = [Path("/usr/lib/dovecot/lmtp"), Path("/usr/lib/dovecot/submission")]
CONFIGURATION = Path(__file__).with_name("dovecot.conf")
#: The owner of the mail.
MAIL_USER = "mail"

USERS = [
    User("alice@example.test", "wonderland-1", "alice@example.test"),
    User("bob@example.test", "Grüße aus Köln, 密码 50 €", "bob@example.test"),
    User("carol@example.test", 'p:w=d,"quoted" \\ back%20slash', "carol@example.test"),
]

_ADDED = re.compile(
    rb"(?:(?:Return-Path|Delivered-To|Received):.*\n(?:[ \t].*\n)*)+", re.IGNORECASE
)


class Dovecot(StartedServer):
    """One running instance; a context manager. Needs root.

    relay_port: the port of 127.0.0.1 that the submission service passes everything on to.
    """

    prefix = "dovecot-"

    def __init__(self, relay_port: int) -> None:
        self._relay_port = relay_port
        self.alice, self.bob, self.carol = USERS

    @property
    def lmtp_port(self) -> int:
        return self.port("lmtp")

    @property
    def lmtp_socket(self) -> Path:
        path = self.listener("lmtp_socket").port
        assert isinstance(path, Path)
        return path

    def copies(self, message_id: str) -> dict[str, list[bytes]]:
        """Each address with the copies in its Maildir: LMTP answers when they are there.

        The lines that Dovecot puts first are gone; line ends are LF.
        """
        header = f"\nMessage-ID: {message_id}\n".encode()
        found: dict[str, list[bytes]] = {}
        for file in self._mail.glob("*/Maildir/new/*"):
            content = as_sent(file.read_bytes())
            if header in b"\n" + content[: content.find(b"\n\n") + 1]:
                found.setdefault(file.parts[-4], []).append(content)
        return found

    def _write_files(self) -> None:
        folder, self._mail = self._folder, self._folder / "mail"
        files = write_certificates(folder, "client@example.test")
        self.ca_file = str(files.ca_file)
        give(MAIL_USER, self._mail)
        entry = pwd.getpwnam(MAIL_USER)
        # Its Maildir can't be made, for a file is there.
        (self._mail / f"broken@{DOMAIN}").write_text("")
        others = [f"rcpt{number}@{DOMAIN}" for number in range(1_000)]
        others += [f"full@{DOMAIN}", f"broken@{DOMAIN}"]
        passwords = {**dict.fromkeys(others, ""), **{u.login: u.password for u in USERS}}
        lines = []
        for login, password in passwords.items():
            coded = base64.b64encode(password.encode()).decode()
            quota = "1" if login.startswith("full@") else "50M"
            lines.append(
                f"{login}:{{PLAIN.b64}}{coded}:{entry.pw_uid}:{entry.pw_gid}"
                f"::{self._mail}/{login}::userdb_quota_rule=*:bytes={quota}\n"
            )
        users = folder / "users"
        users.write_text("".join(lines))
        users.chmod(0o644)

    def _start(self, stack: ExitStack) -> None:
        self._write_files()
        lmtp, submission, implicit = free_ports(3)
        path = self._folder / "run" / "lmtp"
        self._listeners = {
            "lmtp": Listener(lmtp, Security.NONE, "LHLO"),
            "lmtp_socket": Listener(path, Security.NONE, "LHLO"),
            "submission": Listener(submission, Security.STARTTLS),
            "implicit": Listener(implicit, Security.IMPLICIT_TLS),
        }
        text = CONFIGURATION.read_text().replace("FOLDER", str(self._folder))
        for word, port in (
            ("PORT_LMTP", lmtp),
            ("PORT_SUBMISSION", submission),
            ("PORT_IMPLICIT", implicit),
            ("PORT_RELAY", self._relay_port),
        ):
            text = text.replace(word, str(port))
        configuration = self._folder / "dovecot.conf"
        configuration.write_text(text)
        daemon = Daemon([PROGRAM, "-F", "-c", configuration], self._folder / "output")
        stack.enter_context(daemon).wait_for(lmtp, path, submission, implicit)


def as_sent(octets: bytes) -> bytes:
    """A message without the lines that Dovecot puts in front of what it stores or passes on."""
    added = _ADDED.match(octets)
    assert added is not None
    return octets[added.end() :]
