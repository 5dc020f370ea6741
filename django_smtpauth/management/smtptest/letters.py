"""The message that `manage.py smtptest` sends."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import Message
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.management.base import CommandError

from django_smtpauth.conf import is_explicit
from django_smtpauth.diagnosis.plan import sender_of
from django_smtpauth.sending.composition import author, compose
from django_smtpauth.sending.routing import Route
from django_smtpauth.smtp.errors import SMTPError

BODY: Final = """\
This is a test message from the Django site "{site}" on {host}.

Somebody ran "manage.py smtptest" there on {date} to see whether the site
can send mail. It can: there is nothing to do, and no need to answer.

Server: {server}
"""
#: Octets of a line of filler, with its line end.
_FILLER: Final = 76
#: Octets of a file that is sent at most; what servers take is less.
_MOST: Final = 256 * 2**20


class Ready(EmailMessage):
    """A message that a file holds; it goes out as it is there."""

    def __init__(self, content: bytes, **more: Any) -> None:
        super().__init__(**more)
        self._content = content

    def message(self, **_: Any) -> Message:  # type: ignore[override]
        """What the file holds."""
        return message_from_bytes(self._content, policy=policy.SMTP)


class Letters:
    """Makes messages after the options of the command; files are read once."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises CommandError for what can't be read."""
        self._options = options
        self._body = _text("body", options["body"])
        self._html = _text("html", options["html"])
        self._headers = dict(map(_header, options["header"] or ()))
        self._files = [
            (Path(name).name, _read("--attach", name), None) for name in options["attach"] or ()
        ]
        self._eml = _read("--eml", options["eml"]) if options["eml"] else None

    def draft(self) -> EmailMessage:
        """As much as a route is chosen by: sender and recipients."""
        options = self._options
        envelope: dict[str, Any] = {
            "from_email": options["sender"] or self._author_of_file(),
            "to": options["addresses"],
            "cc": options["cc"] or (),
            "bcc": options["bcc"] or (),
        }
        if self._eml is not None:
            return Ready(self._eml, **envelope)
        return EmailMultiAlternatives(**envelope)

    def message(self, route: Route) -> EmailMessage:
        """A whole message for this route."""
        message = self.draft()
        if not message.from_email or (not self._options["sender"] and self._eml is None):
            message.from_email = self.sender(route)
        if isinstance(message, EmailMultiAlternatives):
            self._write(message, route)
        return message

    def sender(self, route: Route) -> str:
        """--from, else DEFAULT_FROM_EMAIL, unless the account that was named, or Django's
        default, says less; to a server that is not the site's, the user name if it is one."""
        own = route.account.address if route.account else ""
        named = self._options["account"] or self._options["every"]
        if self._options["sender"]:
            return str(self._options["sender"])
        if self._options["host"]:
            with suppress(ValueError):
                return sender_of(route)
        if own and (named or not is_explicit("DEFAULT_FROM_EMAIL")):
            return own
        return str(settings.DEFAULT_FROM_EMAIL)

    def _author_of_file(self) -> str | None:
        if self._eml is None:
            return None
        return message_from_bytes(self._eml, policy=policy.SMTP)["From"]

    def _write(self, message: EmailMultiAlternatives, route: Route) -> None:
        site = os.environ.get(ENVIRONMENT_VARIABLE, "").partition(".")[0] or "site"
        host = socket.gethostname()
        subject = self._options["subject"]
        message.subject = f"Test message from {site} on {host}" if subject is None else subject
        message.extra_headers.update({"Auto-Submitted": "auto-generated", **self._headers})
        message.body = BODY.format(
            site=site, host=host, date=formatdate(localtime=True), server=route.endpoint.name
        )
        if self._body is not None:
            message.body = self._body
        message.body += _filler((self._options["size"] or 0) - len(message.body.encode()))
        if self._html is not None:
            message.attach_alternative(self._html, "text/html")
        for attachment in self._files:
            message.attach(*attachment)


def author_of(message: EmailMessage, route: Route) -> str:
    """From as the account sends it; if it does not, that is told when the message fails."""
    try:
        return author(message, route.account)
    except (SMTPError, ValueError):
        return str(message.from_email)


def octets_of(message: EmailMessage, route: Route) -> bytes:
    """What would be sent; nothing if it can't be composed, which is told elsewhere."""
    try:
        return b"".join(compose(message, account=route.account).content.source())
    except (SMTPError, ValueError):
        return b""


def _filler(size: int) -> str:
    lines, rest = divmod(max(size, 0), _FILLER)
    return ("x" * (_FILLER - 2) + "\r\n") * lines + "x" * rest


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise CommandError(f"--header: write 'Name: text', not {text!r}.")
    return name.strip(), value.strip()


def _text(name: str, given: str | None) -> str | None:
    """The text of an option, or of the file behind its @."""
    if given is None or not given.startswith("@"):
        return given
    try:
        return _read(f"--{name}", given[1:]).decode()
    except UnicodeDecodeError:
        raise CommandError(f"--{name}: {given[1:]} is not text in UTF-8.") from None


def _read(option: str, name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            content = file.read(_MOST + 1)
    except OSError as error:
        raise CommandError(f"{option}: {name} can't be read: {error.strerror}.") from None
    if len(content) > _MOST:
        raise CommandError(f"{option}: {name} has more than {_MOST:,} octets.")
    return content
