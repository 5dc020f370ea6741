"""What the list and the form say of an account, in words."""

from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext

from django_smtpauth.choices import Authentication, Protocol, Security
from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.diagnosis.explain import explain_again
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.finding import Finding
from django_smtpauth.diagnosis.last_check import certificate_end, changes
from django_smtpauth.models import SMTPAccount, SMTPAccountCheck, SMTPAccountHealth
from django_smtpauth.secrets.formfields import SecretState

#: What stands for nothing.
NOTHING = "–"


def warning(text: Any) -> SafeString:
    """A text that catches the eye, by more than its colour."""
    return format_html('<strong class="smtpauth-bad">⚠&nbsp;{}</strong>', text)


def quiet(text: Any) -> SafeString:
    """A text that does not."""
    return format_html('<span class="smtpauth-quiet">{}</span>', text)


def name(account: SMTPAccount) -> SafeString:
    """How people and code call it, whom it sends as, and whether it is the default."""
    parts = [account.slug, account.address]
    known = " · ".join(part for part in parts if part and part != str(account))
    default = format_html("★ {}", gettext("default")) if account.is_default else ""
    lines = [_second_line(quiet(text)) for text in (known, default) if text]
    return format_html("{}{}", account, format_html_join("", "{}", ((line,) for line in lines)))


def server(account: SMTPAccount) -> SafeString:
    """The server, how the connection is protected, and what is amiss there."""
    lmtp = " · lmtp" if account.protocol == Protocol.LMTP else ""
    security = format_html("{}{} {}", account.security, lmtp, _protection(account))
    return format_html("{}{}", account.destination(), _second_line(security))


def _second_line(text: Any) -> SafeString:
    return format_html('<span class="smtpauth-second">{}</span>', text)


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
    elif smtpauth_settings.CREDENTIALS and not certificate:
        word = gettext("kept elsewhere")
    else:
        # Without a user name nothing is sent anyway.
        missing = gettext("not set")
        word = warning(missing) if certificate or account.username else missing
    return format_html("{}: {}", kind, word)


def health_of(account: SMTPAccount) -> SMTPAccountHealth | None:
    """What is known of its real mail, if anything."""
    return getattr(account, "health", None)


def mail(account: SMTPAccount) -> SafeString | str:
    """When real mail was sent last, when it failed, and how often since."""
    lines = [line for line in (_sent(account), _failed(account)) if line]
    states = format_html_join("", "{}", ((_second_line(line),) for line in lines)) or NOTHING
    return format_html("{}{}", states, _cause(finding(account, with_words=False)))


def _cause(found: Finding | None) -> SafeString | str:
    """Why mail is not leaving; the steps are folded away."""
    if found is None:
        return ""
    steps = format_html_join("", "<li>{}</li>", ((step,) for step in found.steps))
    return format_html(
        '<details class="smtpauth-cause"><summary>{}</summary><ol>{}</ol></details>',
        found.title,
        steps,
    )


def _sent(account: SMTPAccount) -> SafeString | str:
    health = health_of(account)
    if health is None or health.last_success_at is None:
        return ""
    count = f" ({health.successes})" if health.successes > 1 else ""
    return _ago(gettext("sent"), health.last_success_at, count)


def _failed(account: SMTPAccount) -> SafeString | str:
    health = health_of(account)
    if health is None or health.last_failure_at is None:
        return ""
    if not health.is_failing:
        return quiet(_ago(gettext("failed"), health.last_failure_at))
    number = health.failures
    count = ngettext(" (%d time)", " (%d times)", number) % number
    return warning(_ago(gettext("failed"), health.last_failure_at, count))


def last_success(account: SMTPAccount) -> str:
    """When real mail was sent last, and how often since the last failure."""
    health = health_of(account)
    if health is None or health.last_success_at is None:
        return NOTHING
    number = health.successes
    since = ngettext(
        "%d message since the last failure", "%d messages since the last failure", number
    )
    return f"{done(health.last_success_at, '')}, {since % number}"


def last_failure(account: SMTPAccount) -> SafeString | str:
    """When real mail failed last, and how often since the last success."""
    health = health_of(account)
    if health is None or health.last_failure_at is None:
        return NOTHING
    when, number = done(health.last_failure_at, ""), health.failures
    if not health.is_failing:
        return when
    since = ngettext(
        "%d failure since the last success", "%d failures since the last success", number
    )
    return format_html("{}, {}", when, warning(since % number))


def failure_detail(account: SMTPAccount, with_text: bool) -> str:
    """Where mail failed last. with_text: with the server's words, too."""
    health = health_of(account)
    if health is None or health.last_failure_at is None:
        return NOTHING
    parts = [health.failure_stage, health.failure_code, health.failure_status]
    text = " ".join(str(part) for part in parts if part)
    if with_text and health.failure_text:
        text = f"{text}: {health.failure_text}" if text else health.failure_text
    return text or NOTHING


def finding(account: SMTPAccount, with_words: bool) -> Finding | None:
    """Cause and cure of the last failure; None while mail is leaving.

    with_words: the server's own words may be in it.
    """
    health = health_of(account)
    if health is None or not health.is_failing:
        return None
    if not (health.failure_rule or health.failure_stage):
        return None
    failure = Failure(
        stage=health.failure_stage,
        kind="refused" if health.failure_code else "other",
        code=health.failure_code,
        enhanced=health.failure_status,
        text=health.failure_text if with_words else "",
        host=account.host,
        port=account.port or 0,
        security=account.security,
        protocol=account.protocol,
        log_in="" if account.authentication == Authentication.NONE else account.authentication,
        account=account.slug,
        preset=account.preset,
    )
    return explain_again(health.failure_rule, failure)


def cure(account: SMTPAccount, with_words: bool) -> SafeString | str:
    """Why mail is not leaving, and the steps to mend that."""
    found = finding(account, with_words)
    if found is None:
        return NOTHING
    context = {"finding": found, "form_url": "", "linked": True}
    return render_to_string("admin/smtpauth/smtpaccount/finding.html", context)


def check_of(account: SMTPAccount) -> SMTPAccountCheck | None:
    """Its last check, if there was one."""
    return getattr(account, "last_check", None)


def check(account: SMTPAccount) -> SafeString | str:
    """How the last check ended, and when."""
    last = check_of(account)
    if last is None:
        return NOTHING
    lines: list[str] = [_ago(gettext("good"), last.at)]
    if not last.ok:
        lines = [warning(_ago(gettext("failed"), last.at, f" ({last.stage})")), last.title]
    if old := _is_old(account, last):
        lines.append(quiet(old))
    return format_html_join("", "{}", ((_second_line(line),) for line in lines if line))


def _is_old(account: SMTPAccount, last: SMTPAccountCheck) -> str:
    changed = account.changed_at
    return gettext("before the account was changed") if changed and changed > last.at else ""


def check_detail(account: SMTPAccount, with_words: bool) -> SafeString | str:
    """The same with who made it. with_words: with what the server offers otherwise since then."""
    last = check_of(account)
    if last is None:
        return NOTHING
    end = certificate_end(last.facts)
    texts = [
        gettext("Good.") if last.ok else warning(f"{last.stage}: {last.title}"),
        done(last.at, last.by),
        gettext("The certificate ends on %s.") % end if end else "",
        quiet(old) if (old := _is_old(account, last)) else "",
        *(changes(last.good_facts, last.facts) if with_words else ()),
    ]
    if not last.ok and last.good_at:
        texts.append(gettext("The last good check was on %s.") % done(last.good_at, ""))
    return format_html_join("", "{}", ((_second_line(text),) for text in texts if text))


def done(at: Any, by: str) -> str:
    """Who did something, and when."""
    if at is None:
        return NOTHING
    when = date_format(timezone.localtime(at) if timezone.is_aware(at) else at, "DATETIME_FORMAT")
    return gettext("%(when)s by %(who)s") % {"when": when, "who": by} if by else when


def _ago(word: str, at: Any, count: str = "") -> SafeString:
    ago = gettext("%s ago") % timesince(at, depth=1)
    return format_html('<span title="{}">{} {}{}</span>', done(at, ""), word, ago, count)
