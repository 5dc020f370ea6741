"""What `manage.py smtpaccounts` shows of accounts, from `provisioning.facts`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils import timezone

from django_smtpauth.choices import Security
from django_smtpauth.secrets.destination import Destination

#: A name for a heading, a text, whether it is bad news. A heading has no text.
Line = tuple[str, str, bool]


LIST_HEAD = ["ACCOUNT", "LABEL", "STATE", "SERVER", "SECURITY", "USER", "SECRET", "MAIL"]
UNVERIFIED = "certificate not verified"
#: What a narrow terminal does without, the first of them first.
LIST_SPARE = ["LABEL", "SECURITY", "USER"]


def list_row(known: dict[str, Any]) -> list[str]:
    fields = known["fields"]
    return [
        fields["slug"],
        fields["label"],
        _state(fields),
        _server(fields),
        fields["security"] + (", " + UNVERIFIED if is_unverified(fields) else ""),
        fields["username"],
        _secrets(known["secrets"]),
        _mail(known["health"]),
    ]


def show_lines(known: dict[str, Any]) -> Iterator[Line]:
    fields = known["fields"]
    yield fields["slug"], "", False
    for name, value in fields.items():
        warned = name == "verify" and is_unverified(fields)
        yield name, f"{_text(value)}: {UNVERIFIED}" if warned else _text(value), warned
    yield "Secrets", "", False
    for name, secret in known["secrets"].items():
        yield name, _secret(secret), secret["state"] == "unreadable"
    yield "Mail", "", False
    yield from _health(known["health"])
    yield "Audit", "", False
    audit = known["audit"]
    for what in ("created", "changed", "secret_changed"):
        at, by = _moment(audit[f"{what}_at"]), audit[f"{what}_by"]
        yield what, f"{at} by {by}" if by else at, False


def is_unverified(fields: dict[str, Any]) -> bool:
    """Whether TLS protects the connection from nobody who sits in between."""
    return fields["security"] != Security.NONE and not fields["verify"]


def _state(fields: dict[str, Any]) -> str:
    words = ["enabled" if fields["enabled"] else "disabled"]
    words += ["default"] if fields["is_default"] else []
    words += ["by From"] if fields["select_by_from"] else []
    return ", ".join(words)


def _server(fields: dict[str, Any]) -> str:
    return str(Destination(fields["host"], fields["port"], fields["security"]))


def _secrets(secrets: dict[str, Any]) -> str:
    """The worst of the states: an account is as good as its worst secret."""
    states = [secret["state"] for secret in secrets.values()]
    return next(state for state in ("unreadable", "stored", "not set") if state in states)


def _secret(secret: dict[str, str]) -> str:
    if secret["state"] == "stored":
        return f"stored for {secret['stored_for']}, opens with key {secret['key']}"
    return f"unreadable: {secret['why']}" if "why" in secret else secret["state"]


def _mail(health: dict[str, Any] | None) -> str:
    if health is None:
        return "-"
    if health["failures"]:
        return f"failing since {health['failures']}: {health['failure_stage']}"
    return f"ok {_moment(health['last_success_at'])}"


def _health(health: dict[str, Any] | None) -> Iterator[Line]:
    if health is None:
        yield "state", "nothing is known yet", False
        return
    yield (
        "last success",
        f"{_moment(health['last_success_at'])}, {health['successes']} in a row",
        False,
    )
    words = [_moment(health["last_failure_at"]), f"{health['failures']} in a row"]
    code = health["failure_code"]
    said = [
        health["failure_stage"],
        str(code or ""),
        health["failure_status"],
        health["failure_text"],
    ]
    words.append(" ".join(filter(None, said)))
    yield "last failure", ", ".join(filter(None, words)), health["failures"] > 0


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    lines = str(value).splitlines()
    if len(lines) > 1 and lines[0].startswith("-----BEGIN"):
        return f"{lines[0]} … ({len(lines)} lines)"
    return " | ".join(lines)


def _moment(text: str | None) -> str:
    if text is None:
        return "never"
    moment = datetime.fromisoformat(text)
    if timezone.is_aware(moment):
        moment = timezone.localtime(moment)
    return f"{moment:%Y-%m-%d %H:%M}"
