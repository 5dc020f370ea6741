"""Nodemailer's smtp-server on loopback, from the folder that SMTPAUTH_INTEROP_NODE names.

    nodemailer.backend("starttls", nodemailer.alice)     our backend on one of its ports
    nodemailer.received(message_id)                      what came in, in the order of arrival

| listener | TLS | AUTH | for |
| --- | --- | --- | --- |
| starttls | STARTTLS | after TLS XOAUTH2, CRAM-MD5, PLAIN, LOGIN | submission, REQUIRETLS |
| implicit | implicit | the same | the same |
| plain | none | none | |
| lmtp | none | none | LMTP |

All of them announce SIZE 1000000. The token of a user is `nodemailer.token(user)`; a wrong one is
answered with 334 and a JSON object, then 535. What an address provokes, all @example.test:

| | |
| --- | --- |
| refused-sender | MAIL: 550 |
| nobody, tempfail, full | RCPT: 550, 450, 452 |
| eodreject, eodtemp | after the data: 554, 451; LMTP: for this recipient alone |
"""

from __future__ import annotations

import base64
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django_smtpauth.smtp import Security
from tests.interop.daemons import Daemon, StartedServer, write_certificates
from tests.interop.server import Listener, User

SCRIPT = Path(__file__).with_name("nodemailer.js")

USERS = [
    User("alice@example.test", "wonderland-1", "alice@example.test"),
    User("bob", "Grüße aus Köln, 密码 50 €", "bob@example.test"),
]


@dataclass(frozen=True)
class Received:
    """One message that came in whole.

    sender, recipients: addresses. parameters: those of MAIL that the server took over, by its
    own names (bodyType, requireTLS, smtpUtf8, dsn). notify: DSN parameters of each recipient.
    protocol: as in a Received line (ESMTPSA ...). content: with CRLF, as sent.
    """

    sender: str
    recipients: list[str]
    parameters: dict[str, Any]
    notify: dict[str, Any]
    user: str
    protocol: str
    accepted: bool
    content: bytes


class Nodemailer(StartedServer):
    """One running instance; a context manager."""

    prefix = "nodemailer-"

    def __init__(self, modules: Path) -> None:
        self._modules = modules
        self.alice, self.bob = USERS

    def token(self, user: User) -> str:
        """The OAuth 2 access token that XOAUTH2 takes for this user."""
        return f"token-of-{user.login}"

    def received(self, message_id: str) -> list[Received]:
        """Everything that came in with this Message-ID, refused or not."""
        header = f"\r\nMessage-ID: {message_id}\r\n".encode()
        found = []
        for line in self._messages.read_text(encoding="utf-8").splitlines():
            one = _received(json.loads(line))
            if header in b"\r\n" + one.content.partition(b"\r\n\r\n")[0] + b"\r\n":
                found.append(one)
        return found

    def _start(self, stack: ExitStack) -> None:
        files = write_certificates(self._folder, self.alice.login)
        self.ca_file = str(files.ca_file)
        self._messages = self._folder / "messages"
        self._messages.touch()
        configuration, output = self._folder / "configuration", self._folder / "output"
        configuration.write_text(
            json.dumps(
                {
                    "key": str(files.key),
                    "cert": str(files.certificate),
                    "users": {user.login: user.password for user in USERS},
                    "tokens": {user.login: self.token(user) for user in USERS},
                }
            )
        )
        daemon = stack.enter_context(
            Daemon(
                ["node", SCRIPT, configuration, self._messages],
                output,
                {"NODE_PATH": str(self._modules / "node_modules")},
            )
        )
        daemon.wait_until(lambda: output.read_bytes().endswith(b"\n"), "the ports")
        ports = json.loads(output.read_text())
        self._listeners = {
            "starttls": Listener(ports["starttls"], Security.STARTTLS),
            "implicit": Listener(ports["implicit"], Security.IMPLICIT_TLS),
            "plain": Listener(ports["plain"], Security.NONE),
            "lmtp": Listener(ports["lmtp"], Security.NONE, "LHLO"),
        }


def _received(line: dict[str, Any]) -> Received:
    envelope = line["envelope"]
    recipients = envelope["rcptTo"]
    return Received(
        sender=envelope["mailFrom"]["address"],
        recipients=[recipient["address"] for recipient in recipients],
        parameters={
            name: value for name, value in envelope.items() if name not in ("mailFrom", "rcptTo")
        },
        notify={recipient["address"]: recipient.get("dsn") for recipient in recipients},
        user=line.get("user") or "",
        protocol=line["transmissionType"],
        accepted=line["accepted"],
        content=base64.b64decode(line["content"]),
    )
