"""What the list and the form say of an account, in words."""

from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext

from django_smtpauth.choices import Authentication, Protocol, Security
from django_smtpauth.models import SMTPAccount, SMTPAccountHealth
from django_smtpauth.secrets.formfields import SecretState

#: What stands for nothing.
NOTHING = "–"


def warning(text: Any) -> SafeString:
    """A text that catches the eye, by more than its colour."""
    return format_html('<strong class="smtpauth-bad">⚠ {}</strong>', text)


def quiet(text: Any) -> SafeString:
    """A text that does not."""
    return format_html('<span class="smtpauth-quiet">{}</span>', text)


def server(account: SMTPAccount) -> SafeString:
    """The server, how the connection is protected, and what is amiss there."""
    lmtp = " · lmtp" if account.protocol == Protocol.LMTP else ""
    return format_html(
        "{} · {}{} {}", account.destination(), account.security, lmtp, _protection(account)
    )


def _protection(account: SMTPAccount) -> SafeString | str:
    if account.security == Security.NONE:
        return "" if account.host.startswith("/") else warning(gettext("not encrypted"))
    return "" if account.verify else warning(gettext("certificate not verified"))


def log_in(account: SMTPAccount) -> SafeString | str:
    """How it logs in, and whether the secret for that is there and opens."""
    if account.authentication == Authentication.NONE:
        return gettext("None")
    certificate = account.authentication == Authentication.CERTIFICATE
    state = SecretState.of(account.client_key if certificate else account.password)
    kind = gettext("Client certificate") if certificate else gettext("Password")
    if state.problem:
        word: SafeString | str = warning(gettext("unreadable"))
    elif state.stored:
        word = gettext("stored")
    else:
        # Without a user name nothing is sent anyway.
        missing = gettext("not set")
        word = warning(missing) if certificate or account.username else missing
    return format_html("{}: {}", kind, word)


def health_of(account: SMTPAccount) -> SMTPAccountHealth | None:
    """What is known of its real mail, if anything."""
    return getattr(account, "health", None)


def last_success(account: SMTPAccount) -> SafeString | str:
    """When real mail was sent last, and how often since the last failure."""
    health = health_of(account)
    if health is None or health.last_success_at is None:
        return NOTHING
    number = health.successes
    since = ngettext("%d since a failure", "%d since a failure", number) % number
    return format_html(
        "{}{}", _ago(health.last_success_at), quiet(f" · {since}") if number > 1 else ""
    )


def last_failure(account: SMTPAccount) -> SafeString | str:
    """When real mail failed last, and how often since the last success."""
    health = health_of(account)
    if health is None or health.last_failure_at is None:
        return NOTHING
    if not health.is_failing:
        return _ago(health.last_failure_at)
    number = health.failures
    since = ngettext("%d since a success", "%d since a success", number) % number
    return format_html("{} {}", _ago(health.last_failure_at), warning(since))


def failure_detail(account: SMTPAccount, with_text: bool) -> str:
    """Where mail failed last. with_text: with the server's words, too."""
    health = health_of(account)
    if health is None or health.last_failure_at is None:
        return ""
    parts = [health.failure_stage, health.failure_code, health.failure_status]
    text = " ".join(str(part) for part in parts if part)
    if with_text and health.failure_text:
        text = f"{text}: {health.failure_text}" if text else health.failure_text
    return text


def done(at: Any, by: str) -> str:
    """Who did something, and when."""
    if at is None:
        return NOTHING
    when = date_format(timezone.localtime(at) if timezone.is_aware(at) else at, "DATETIME_FORMAT")
    return gettext("%(when)s by %(who)s") % {"when": when, "who": by} if by else when


def _ago(at: Any) -> SafeString:
    return format_html(
        '<span title="{}">{}</span>', done(at, ""), gettext("%s ago") % timesince(at)
    )
