"""A site whose secrets are looked for: an account with a password and a client key, and a server.

    site.account()      the account anew, from the database
    site.new()          an account with secrets that are typed, not saved
    site.send()         a message through the account; raises what that raises
    site.answer(AUTH=b"535 no\\r\\n")    from here on the server answers so
    site.leaks(text)    the secrets' forms that the text holds

The secrets stand in this module alone: error pages show the source around a frame.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

from django.core.mail import EmailMessage
from django.db import connection

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.accounts import source
from tests.leaks import found

USER = "club@example.com"
PASSWORD = "Geh=eim+42 <W\u00f6rt> 'it' & more"
TABLE = "smtpauth_smtpaccount"
SERVED = {USER: PASSWORD}


class Site:
    def __init__(
        self, settings: Any, environment: Any, directory: Path, certificates: Any, start: Any
    ) -> None:
        self.settings, self.environment, self.directory = settings, environment, directory
        self.certificates, self._start = certificates, start
        self._keys = generate_key()
        self._key = Path(certificates.client_key_file).read_text()
        environment.setenv("SMTPAUTH_TEST_KEYS", self._keys)
        environment.setenv("SMTPAUTH_TEST_PASSWORD", PASSWORD)
        settings.SMTPAUTH = {
            "KEYS": ["env:SMTPAUTH_TEST_KEYS"],
        }
        self.answer()

    def __repr__(self) -> str:
        return "<Site>"

    def answer(self, **replies: Any) -> None:
        """From here on the account is at a server that answers so, by command."""
        self.server = self._start(
            users=SERVED,
            ssl_context=self.certificates.server(),
            certificate=self.certificates.server_pem,
            replies={name.replace("_", "-"): reply for name, reply in replies.items()},
        )
        SMTPAccount.objects.all().delete()
        self.new().save()

    def fields(self, **changes: Any) -> dict[str, Any]:
        return {
            "slug": "club",
            "is_default": True,
            "host": self.server.host,
            "port": self.server.port,
            "security": "starttls",
            "timeout": 1,
            "internal_host": True,
            "ca_text": self.certificates.ca_pem,
            "username": USER,
            "password": PASSWORD,
            "client_certificate": Path(self.certificates.client_file).read_text(),
            "client_key": self._key,
            **changes,
        }

    def new(self, **changes: Any) -> SMTPAccount:
        return SMTPAccount(**self.fields(**changes))

    def posted(self, **changes: Any) -> dict[str, Any]:
        """What a browser sends: the account with its secrets typed anew."""
        ticked = {"is_default": "on", "internal_host": "on", "verify": "on", "enabled": "on"}
        rest = {"preset": "", "authentication": "password", "protocol": "smtp", "label": "Club"}
        rest |= {"require_tls": "unknown", "from_email": "", "recipients": "", "bdat": ""}
        return {**self.fields(), **ticked, **rest, **changes}

    def update(self, **changes: Any) -> None:
        """Changes the row past the model."""
        for name, value in changes.items():
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE {TABLE} SET {name} = %s", [value])
        source.invalidate()

    def account(self) -> SMTPAccount:
        return SMTPAccount.objects.get(slug="club")

    def message(self) -> EmailMessage:
        return EmailMessage("S", "B", "from@example.com", ["to@example.org"])

    def send(self, message: EmailMessage | None = None, **options: Any) -> EmailMessage:
        one = message or self.message()
        EmailBackend(**{"account": "club", **options}).send_messages([one])
        return one

    def plain(self, **options: Any) -> EmailBackend:
        """A backend without an account, which logs in with the same password."""
        where = {"host": self.server.host, "port": self.server.port, "security": "starttls"}
        known = {"ca_file": self.certificates.ca_file, "username": USER, "password": PASSWORD}
        return EmailBackend(**{**where, **known, "ehlo_name": "client.test", **options})

    def dialogue(self) -> str:
        """What somebody pastes who asks for help: a log-in in clear, and its refusal."""
        plain = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        return f"C: AUTH PLAIN {plain}\nS: 535 5.7.8 Authentication failed\n"

    def secrets(self) -> dict[str, str]:
        """Everything that must not show."""
        return {
            "password": PASSWORD,
            "client key": self._key,
            "key that seals": self._keys.partition(":")[2],
        }

    def leaks(self, text: str) -> list[str]:
        """Which secret shows, and where."""
        return [
            f"{name}: ...{text[max(0, place - 200) : place + 80]!r}"
            for name, secret in self.secrets().items()
            for form in found(secret, text, USER)
            for place in [re.search(re.escape(form), text).start()]  # type: ignore[union-attr]
        ][:6]
