"""What a monitor may know of the accounts: JSON, and the text that Prometheus reads.

It tells what became of real mail and of the last check. No server is asked. Each request needs
the token of SMTPAUTH["MONITORING_TOKEN"]; without that setting the pages are not there.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from .conf import smtpauth_settings
from .models import SMTPAccount, SMTPAccountCheck, SMTPAccountHealth

View = Callable[[HttpRequest], HttpResponse]

#: The text format of Prometheus.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def _with_token(view: View) -> View:
    """Lets in who sends `Authorization: Bearer` and the token."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        token = smtpauth_settings.monitoring_token
        if not token:
            raise Http404
        scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not constant_time_compare(given.strip(), token):
            refused = HttpResponse("The token is missing or wrong.", status=401)
            refused["WWW-Authenticate"] = "Bearer"
            return refused
        return view(request)

    return never_cache(require_safe(guarded))


@_with_token
def accounts_as_json(_request: HttpRequest) -> HttpResponse:
    """Each enabled account's state. 503 while mail of one of them is not leaving, else 200."""
    states = [_state(account) for account in _accounts()]
    ok = not any(state["failing"] for state in states)
    return JsonResponse({"ok": ok, "accounts": states}, status=200 if ok else 503)


@_with_token
def accounts_as_metrics(_request: HttpRequest) -> HttpResponse:
    """The same for Prometheus."""
    lines = _metrics([_state(account) for account in _accounts()])
    return HttpResponse("".join(f"{line}\n" for line in lines), content_type=CONTENT_TYPE)


def _accounts() -> Iterable[SMTPAccount]:
    """One query."""
    enabled = SMTPAccount._default_manager.filter(enabled=True)
    return enabled.select_related("health", "last_check").order_by("scope", "slug")


def _state(account: SMTPAccount) -> dict[str, Any]:
    health: SMTPAccountHealth | None = getattr(account, "health", None)
    return {
        "account": account.slug,
        "scope": account.scope,
        "failing": bool(health and health.is_failing),
        "failures": health.failures if health else 0,
        "last_success": _iso(health.last_success_at if health else None),
        "last_failure": _iso(health.last_failure_at if health else None),
        "failure": _failure(health),
        "last_check": _check(getattr(account, "last_check", None)),
    }


def _failure(health: SMTPAccountHealth | None) -> dict[str, Any] | None:
    if health is None or not health.is_failing:
        return None
    return {
        "stage": health.failure_stage,
        "code": health.failure_code,
        "rule": health.failure_rule,
    }


def _check(check: SMTPAccountCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "at": _iso(check.at),
        "ok": check.ok,
        "stage": check.stage,
        "rule": check.rule,
        "certificate_ends": check.facts.get("certificate_ends"),
    }


def _iso(at: Any) -> str | None:
    return at.isoformat() if at else None


#: Name, help, and the value that a state has for it; None where there is none.
_GAUGES: Final[tuple[tuple[str, str, Callable[[dict[str, Any]], float | None]], ...]] = (
    ("smtpauth_account_failing", "1 while mail is not leaving.", lambda s: int(s["failing"])),
    ("smtpauth_account_failures", "Failures since the last success.", lambda s: s["failures"]),
    (
        "smtpauth_account_last_success_timestamp_seconds",
        "When mail was sent last.",
        lambda s: _seconds(s["last_success"]),
    ),
    (
        "smtpauth_account_last_failure_timestamp_seconds",
        "When mail failed last.",
        lambda s: _seconds(s["last_failure"]),
    ),
    ("smtpauth_check_ok", "1 if the last check was good.", lambda s: _of_check(s, "ok")),
    ("smtpauth_check_timestamp_seconds", "When it was made.", lambda s: _of_check(s, "at")),
    (
        "smtpauth_certificate_end_timestamp_seconds",
        "When the server's certificate ends, as the last check saw it.",
        lambda s: _of_check(s, "certificate_ends"),
    ),
)


def _of_check(state: dict[str, Any], name: str) -> float | None:
    value = (state["last_check"] or {}).get(name)
    return float(value) if isinstance(value, bool) else _seconds(value)


def _seconds(iso: str | None) -> float | None:
    at = parse_datetime(iso) if iso else None
    return at.timestamp() if at else None


def _metrics(states: list[dict[str, Any]]) -> Iterator[str]:
    for name, text, value_of in _GAUGES:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} gauge"
        for state in states:
            value = value_of(state)
            if value is not None:
                yield f"{name}{{{_labels(state)}}} {value:.15g}"


def _labels(state: dict[str, Any]) -> str:
    return ",".join(f'{name}="{_escaped(state[name])}"' for name in ("account", "scope"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
