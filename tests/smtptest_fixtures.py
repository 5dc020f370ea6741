"""How tests run `manage.py smtptest`.

    run(*words, **options)       what it printed
    failing(*words, **options)   what it printed, and the words with which it failed
    ending(*words, **options)    the same, and the exit code
    row(text, label)             what stands beside a label;   words(text)   without line breaks

A module imports the fixtures that it uses, under their names with an underscore.
"""

import socket
from io import StringIO

import django
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from django_smtpauth.models import SMTPAccount

OURS = "django_smtpauth.backends.EmailBackend"
CONSOLE = "django.core.mail.backends.console.EmailBackend"
USERS = {"club@example.com": "s3cr3t-pass"}


class Site:
    """The settings of a site in one of Django's two forms."""

    def __init__(self, settings, mailers):
        self.settings = settings
        self.mailers = mailers
        settings.SMTPAUTH = {"KEYS": "derive-from-secret-key"}
        if hasattr(settings, "MAILERS"):
            del settings.MAILERS
        self.use(OURS)

    def use(self, backend, **options):
        """This backend, with Django's options or ours."""
        if self.mailers:
            self.settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
            return
        self.settings.EMAIL_BACKEND = backend
        names = {"username": "HOST_USER", "password": "HOST_PASSWORD"}
        for name in ("host", "port", "username", "password"):
            if name in options:
                setting = f"EMAIL_{names.get(name, name.upper())}"
                setattr(self.settings, setting, options.pop(name))
        self.settings.SMTPAUTH = {**self.settings.SMTPAUTH, "DEFAULTS": options}


@pytest.fixture(
    name="site",
    params=[
        "legacy",
        pytest.param(
            "mailers",
            marks=pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1"),
        ),
    ],
)
def _site(request, settings):
    return Site(settings, mailers=request.param == "mailers")


@pytest.fixture(name="server")
def _server(scripted_server, certificates):
    """A server that wants TLS and a log-in, and refuses one address."""
    return scripted_server(
        users=USERS,
        ssl_context=certificates.server(),
        replies={
            "RCPT:nobody@example.org": b"550 5.1.1 No such user here\r\n",
            "CONTENT": b"250 2.0.0 Ok: queued as 4bXyZ1\r\n",
        },
    )


@pytest.fixture(name="closed_port")
def _closed_port():
    """A port of this machine that is taken, but where nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def server_options(server, **more):
    return {
        "host": server.host,
        "port": server.port,
        "username": "club@example.com",
        "password": "s3cr3t-pass",
        "security": "starttls",
        **more,
    }


def run(*arguments, **options):
    out = StringIO()
    call_command("smtptest", *arguments, stdout=out, stderr=out, no_color=True, **options)
    return out.getvalue()


def failing(*arguments, **options):
    """The text and the message of a run that fails."""
    return ending(*arguments, **options)[:2]


def ending(*arguments, **options):
    """Text, message and exit code of a run that fails."""
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("smtptest", *arguments, stdout=out, stderr=out, no_color=True, **options)
    return out.getvalue(), str(caught.value), caught.value.returncode


def row(text, label):
    """What stands beside a label."""
    return next(line[12:].strip() for line in text.splitlines() if line[:12].rstrip() == label)


def words(text):
    """The text without its line breaks."""
    return " ".join(text.split())


@pytest.fixture(name="account")
def _account(server, certificates, db):
    return SMTPAccount.objects.create(
        slug="club",
        host=server.host,
        port=server.port,
        username="club@example.com",
        password="s3cr3t-pass",
        ca_text=certificates.ca_pem,
        from_email="office@example.com",
        internal_host=True,
    )
