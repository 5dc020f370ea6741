"""Failures of this site: its settings, its accounts, their secrets, and what it forbids itself."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from ...conf import mailers_configured
from ...sending.delivery import ALLOW_AUTH_WITHOUT_TLS
from .rule import Rule, engine, words

BACKEND: Final = "django_smtpauth.backends.EmailBackend"
#: Stands in `Rule.settings` for the lines that name a server.
EXAMPLE: Final = "example"

EMAIL_EXAMPLE: Final = f"""\
EMAIL_BACKEND = "{BACKEND}"
EMAIL_HOST, EMAIL_PORT, EMAIL_USE_TLS = "smtp.example.com", 587, True
EMAIL_HOST_USER = "you@example.com"
EMAIL_HOST_PASSWORD = os.environ["SMTP_PASSWORD"]"""

MAILERS_EXAMPLE: Final = f"""\
MAILERS = {{
    "default": {{
        "BACKEND": "{BACKEND}",
        "OPTIONS": {{
            "host": "smtp.example.com",
            "security": "starttls",
            "username": "you@example.com",
            "password": os.environ["SMTP_PASSWORD"],
        }},
    }},
}}"""

_SETTINGS = {"stage": "CONFIGURATION", "kind": "configuration"}
_SECRET = {"stage": "AUTH", "kind": "secret"}


def settings_example() -> str:
    """The lines that name a server, in the form that this site's settings have."""
    return MAILERS_EXAMPLE if mailers_configured() else EMAIL_EXAMPLE


SITE: Final = (
    Rule(
        "site.no-server",
        _("No mail server is named"),
        _("Neither the settings nor an account say where mail is to go."),
        (
            _("Name the server of your mail provider in {place}, for example as below."),
            _("Or add an account in the admin and make it the default."),
        ),
        reasons=("no-server",),
        field="host",
        settings=EXAMPLE,
        sources=(
            engine(
                "There is no server to send through. Name a 'host' in EMAIL_HOST or "
                'SMTPAUTH["DEFAULTS"], or add an account in the admin and make it the default.',
                reason="no-server",
                **_SETTINGS,
            ),
        ),
    ),
    Rule(
        "site.account-disabled",
        _("The account is switched off"),
        _("Code asked for an account that nobody may use at the moment."),
        (
            _("Tick {place}, or let the code ask for another account."),
            _("Find out first who switched it off, and why: its notes may tell."),
        ),
        kinds=("configuration",),
        pattern=words(r"is switched off\. Enable it"),
        field="enabled",
        sources=(
            engine(
                "The account club is switched off. Enable it to send.",
                reason="account-not-found",
                **_SETTINGS,
            ),
        ),
    ),
    Rule(
        "site.account-missing",
        _("There is no such account"),
        _("Code or settings ask for an account by a short name that no enabled account has."),
        (
            _("Correct the name where the account is asked for; the error lists those there are."),
            _("Or add an account of that name in the admin, and tick {place}."),
        ),
        reasons=("account-not-found",),
        field="enabled",
        sources=(
            engine(
                "There is no enabled account 'shop'. Enabled accounts: club. Correct the name, or "
                "add and enable the account in the admin.",
                reason="account-not-found",
                **_SETTINGS,
            ),
        ),
    ),
    Rule(
        "guard.internal-host",
        _("This site does not let accounts reach internal hosts"),
        _("Whoever edits accounts could otherwise look around in the site's own network."),
        (
            _("Correct {place} if it should be a public server."),
            _(
                "If it is meant to be internal: somebody with the permission use_internal_host "
                'ticks "internal host" on the account {account}, or settings.py gets the '
                "line below."
            ),
        ),
        reasons=("internal-host",),
        field="host",
        settings="{settings}",
        sources=(
            engine(
                "localhost leads to an address that is not public, and accounts of this site "
                "reach public servers only",
                "CONNECT",
                "connect",
                reason="internal-host",
            ),
        ),
    ),
    Rule(
        "guard.port",
        _("Accounts of this site may not use port {port}"),
        _("Only the usual ports of mail are allowed, so that an account reaches nothing else."),
        (
            _("Correct {place}: usual are 587 (STARTTLS) and 465 (implicit TLS)."),
            _("If the port is right, add the line below to settings.py."),
        ),
        reasons=("port",),
        field="port",
        settings="{settings}",
        sources=(
            engine(
                "port 8025 is none that accounts of this site may use",
                "CONNECT",
                "connect",
                reason="port",
                port=8025,
            ),
        ),
    ),
    Rule(
        "guard.foreign-from",
        _("The account does not send as this From"),
        _("Its list of addresses does not have the one that the message bears."),
        ("{cure}", _("Look at {place}: it lists what the account sends as besides its own.")),
        reasons=("foreign-from",),
        field="may_send_as",
        sources=(
            engine(
                "the account shop does not send as another than its own addresses",
                "MAIL",
                "not-supported",
                reason="foreign-from",
            ),
        ),
    ),
    Rule(
        "secret.unknown-key",
        _("The key of the stored password is not here"),
        _("The password was sealed with a key that this process does not have."),
        (
            _('Add that key to SMTPAUTH["KEYS"], on every machine that sends mail.'),
            _("If the key is lost, enter {place} anew."),
            _("Run manage.py smtpkeys status to see which keys are needed."),
        ),
        kinds=("secret",),
        reasons=("unknown_key",),
        field="password",
        sources=(
            engine(
                "The secret stored for smtp.example.com was sealed with key k1, which this "
                "process "
                'does not have. Add that key to SMTPAUTH["KEYS"], or enter the secret again.',
                reason="unknown_key",
                **_SECRET,
            ),
        ),
    ),
    Rule(
        "secret.keys-unreadable",
        _("The keys of the stored passwords can't be read"),
        _('A source that SMTPAUTH["KEYS"] names is missing or has something else in it.'),
        (
            _("Repair the source of the keys that the error names."),
            _("Check that the user that runs this site may read it."),
        ),
        kinds=("secret",),
        reasons=("keys",),
        sources=(
            engine(
                "The secret stored for smtp.example.com can't be opened, because the keys "
                "can't be "
                "read.",
                reason="keys",
                **_SECRET,
            ),
        ),
    ),
    Rule(
        "secret.mismatch",
        _("The stored password belongs to another server"),
        _(
            "A password opens only for the server that it was stored for. The account was changed "
            "since, past its form, or its row is a copy."
        ),
        (
            _("Enter {place} again, if the server that the account names now is the right one."),
            _("Otherwise set the account back to what it was."),
        ),
        kinds=("secret",),
        reasons=("mismatch",),
        field="password",
        sources=(
            engine(
                "The secret does not open: it was stored for smtp.example.com, but under other "
                "settings. Enter the secret again.",
                reason="mismatch",
                **_SECRET,
            ),
        ),
    ),
    Rule(
        "secret.damaged",
        _("The stored password is damaged"),
        _("What the database holds is no sealed secret: it was cut, or written past Django."),
        (_("Enter {place} again in the admin."),),
        kinds=("secret",),
        reasons=("damaged", "changed"),
        field="password",
        sources=(
            engine(
                "The stored value is damaged or was written past Django: it is no sealed secret. "
                "Enter the secret again.",
                reason="damaged",
                **_SECRET,
            ),
        ),
    ),
    Rule(
        "secret.missing",
        _("The account has a user name but no password"),
        _("A copy of an account, for example, begins without secrets."),
        (
            _("Enter {place}."),
            _("Or choose a log-in without one in {place[authentication]}."),
        ),
        kinds=("secret",),
        reasons=("missing",),
        field="password",
        sources=(
            engine(
                "The account club has no password. Enter it, or choose a log-in without one.",
                reason="missing",
                **_SECRET,
            ),
        ),
    ),
    Rule(
        "secret.source-failed",
        _("The password could not be fetched"),
        _("It is kept outside: in a file, a variable, or behind a callable that did not give it."),
        (
            "{cure}",
            _("Check what {place} refers to, as the user that runs this site."),
        ),
        kinds=("secret",),
        reasons=("secret-missing",),
        field="password",
        sources=(
            engine(
                "the callable of password failed: LookupError in site.vault, line 7",
                reason="secret-missing",
                **_SECRET,
            ),
        ),
    ),
    Rule(
        "secret.not-text",
        _("User name or password is nothing that a server could read"),
        _("It has a NUL or another character that UTF-8 can't express, or it is far too long."),
        (_("Enter {place} again, and take care that only its characters are copied."),),
        stages=("AUTH",),
        reasons=("credentials-not-text", "credentials-too-long", "token-not-a-word"),
        field="password",
        sources=(
            engine(
                "user name and secret must be text that UTF-8 can express, without NUL",
                "AUTH",
                "not-supported",
                reason="credentials-not-text",
            ),
        ),
    ),
    Rule(
        "auth.without-tls",
        _("The password would travel in clear"),
        _("Without TLS everybody on the way can read it, so it was not sent."),
        (
            _("Use TLS: set {place[security]} to STARTTLS (port 587) or implicit TLS (port 465)."),
            _(
                "Only if the network up to the server is trusted (a mail catcher in a container): "
                "tick {place}."
            ),
        ),
        reasons=("auth-without-tls",),
        account=True,
        field="allow_auth_without_tls",
        sources=(
            engine(
                "PLAIN would send the password without TLS",
                "AUTH",
                "not-supported",
                reason="auth-without-tls",
                account="club",
            ),
        ),
    ),
    Rule(
        "auth.without-tls-settings",
        _("The password would travel in clear"),
        _("Without TLS everybody on the way can read it, so it was not sent."),
        (
            _("Use TLS: set {place[security]} to STARTTLS (port 587) or implicit TLS (port 465)."),
            _(
                "Only if the network up to the server is trusted (a mail catcher in a container): "
                "write the line below into settings.py, which sets {place}."
            ),
        ),
        reasons=("auth-without-tls",),
        account=False,
        field="allow_auth_without_tls",
        settings=ALLOW_AUTH_WITHOUT_TLS.replace("{", "{{").replace("}", "}}"),
        sources=(
            engine(
                "PLAIN would send the password without TLS",
                "AUTH",
                "not-supported",
                reason="auth-without-tls",
            ),
        ),
    ),
)
