"""The same faults for `swaks` and for `manage.py smtptest`, on scripted servers of loopback.

    told(fault, certificates)    what smtptest tells, and its exit code; needs a database
    swaks_told(...)              the same of swaks, which has to be installed

What differs from run to run (ports, serial numbers of test certificates) is replaced.
"""

from __future__ import annotations

import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError
from django.test.utils import override_settings

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from tests.servers.certificates import Certificates
from tests.servers.scripted import CLOSE, SILENCE, Answer, Behaviour, ScriptedServer, Then

PASSWORD = "not-a-real-one"
TO = "you@example.org"
USER = "shop@example.com"
#: What is offered without TLS, and inside it.
CLEAR = ("PIPELINING", "SIZE 10240000", "STARTTLS")
INSIDE = ("PIPELINING", "SIZE 10240000", "AUTH PLAIN LOGIN")
#: What swaks marks as an error, of itself or of the server.
_ERRORS = re.compile(r"^(?:\*\*\*|<\*\*|<~\*)")


@dataclass(frozen=True)
class Fault:
    """Something that is wrong.

    behaviour: of the server. context: the method of Certificates that makes its TLS, or "old".
    account: what the account says, over one that would be right. shown_port: the port that stands
    in the page. closed: nobody listens.
    """

    title: str
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)
    context: str = "server"
    shown_port: int = 587
    closed: bool = False


def _refuses(title: str, verb: str, words: bytes, **more: Any) -> Fault:
    return Fault(title, {"replies": {verb: words + b"\r\n"}}, **more)


FAULTS = (
    Fault("Nobody listens at the port", closed=True),
    Fault("The server says nothing", {"replies": {"GREETING": SILENCE}}, {"timeout": 1}),
    Fault(
        "TLS from the first octet, on a port that begins without",
        account={"security": "implicit_tls"},
    ),
    Fault(
        "STARTTLS, on a port that begins with TLS",
        {"implicit_tls": True},
        {"timeout": 1},
        shown_port=465,
    ),
    Fault("STARTTLS is not offered", {"extensions": INSIDE}),
    Fault("The certificate has ended", context="expired"),
    Fault("The certificate is for another name", context="wrong_host"),
    Fault("The certificate is self-signed", context="self_signed"),
    Fault("The certificate's authority is not known", context="other_ca"),
    Fault("The server has TLS 1.2, and 1.3 is asked for", context="old"),
    Fault("No log-in is offered", {"extensions_after_tls": INSIDE[:2]}),
    Fault(
        "Only mechanisms that need a token are offered",
        {"extensions_after_tls": (*INSIDE[:2], "AUTH XOAUTH2")},
    ),
    _refuses("The password is wrong", "AUTH", b"535 5.7.8 Error: authentication failed"),
    _refuses(
        "An app password is needed",
        "AUTH",
        b"534-5.7.9 Application-specific password required. For more information, go to\r\n"
        b"534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor",
    ),
    _refuses(
        "Microsoft has switched passwords off",
        "AUTH",
        b"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
        b"Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.",
    ),
    Fault(
        "Too many connections",
        {"replies": {"GREETING": Answer(b"421 4.7.0 Too many connections\r\n", Then.CLOSE)}},
    ),
    _refuses(
        "The log-in does not own the sender",
        "MAIL",
        b"553 5.7.1 <shop@example.com>: Sender address rejected: not owned by user shop",
    ),
    _refuses(
        "There is no such recipient",
        "RCPT",
        b"550 5.1.1 <you@example.org>: Recipient address rejected: User unknown",
    ),
    _refuses("Relaying is denied", "RCPT", b"554 5.7.1 <you@example.org>: Relay access denied"),
    _refuses(
        "Greylisting",
        "RCPT",
        b"450 4.2.0 <you@example.org>: Recipient address rejected: Greylisted",
    ),
    _refuses("The message is too large", "CONTENT", b"552 5.3.4 Message size exceeds fixed limit"),
    _refuses("The content is taken for spam", "CONTENT", b"554 5.7.1 Spam message rejected"),
    Fault("The connection is lost at MAIL", {"replies": {"MAIL": CLOSE}}),
    Fault("The connection is lost after the final dot", {"replies": {"CONTENT": CLOSE}}),
)


def told(fault: Fault, certificates: Certificates) -> tuple[int, str]:
    """The exit code of smtptest, and what it says from the failure on."""
    with _site(fault, certificates) as port:
        out = StringIO()
        code = _ends(("--account", "shop", TO), out)
    text = re.sub(r".*?(?=^FAILED)", "", out.getvalue(), count=1, flags=re.S | re.M)
    return code, _same(text, port, fault)


def swaks_told(fault: Fault, certificates: Certificates) -> tuple[int, str]:
    """The exit code of swaks, and the lines that it marks as errors."""
    with _site(fault, certificates) as port:
        out = StringIO()
        _ends(("--account", "shop", TO, "--as-swaks"), out)
        words = [*shlex.split(out.getvalue()), "--auth-password", PASSWORD]
        words += ["--tls-ca-path", certificates.ca_file]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, _same("\n".join(filter(_ERRORS.match, lines)), port, fault)


@contextmanager
def _site(fault: Fault, certificates: Certificates) -> Iterator[int]:
    """The server, and the account shop, which leads to it; gives the port."""
    with ExitStack() as stack:
        stack.enter_context(override_settings(SMTPAUTH={"KEYS": [generate_key()]}))
        if fault.closed:
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
        else:
            port = stack.enter_context(ScriptedServer(_behaviour(fault, certificates))).port
        account = SMTPAccount(
            **{
                "slug": "shop",
                "host": "localhost",
                "port": port,
                "username": USER,
                "password": PASSWORD,
                "from_email": USER,
                "ca_text": certificates.ca_pem,
                "internal_host": True,
                **fault.account,
            }
        )
        if fault.context == "old":
            account.tls_minimum = "1.3"
        account.save()
        stack.callback(account.delete)
        yield port


def _behaviour(fault: Fault, certificates: Certificates) -> Behaviour:
    context = certificates.server() if fault.context == "old" else None
    if context is not None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        context = getattr(certificates, fault.context)()
    given = {
        "users": {USER: PASSWORD},
        "extensions": CLEAR,
        "extensions_after_tls": INSIDE,
        "ssl_context": context,
        **fault.behaviour,
    }
    return Behaviour(**given)


def _ends(words: tuple[str, ...], out: StringIO) -> int:
    try:
        call_command("smtptest", *words, stdout=out, stderr=StringIO(), no_color=True)
    except CommandError as error:
        return error.returncode
    return 0


def _same(text: str, port: int, fault: Fault) -> str:
    """The text without what differs from run to run."""
    text = re.sub(rf"\b{port}\b", str(fault.shown_port), text)
    text = re.sub(r"(Testing (?:CA|cert)) #[\w-]+", r"\1", text)
    text = re.sub(r"\b20\d\d-\d\d-\d\d\b", "2026-01-01", text)
    text = re.sub(r"\b\d\d:\d\d UTC", "12:00 UTC", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
