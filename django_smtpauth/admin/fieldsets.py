"""In which order an account's fields stand, and what is folded away."""

from typing import Any

from django.contrib.admin.utils import flatten
from django.utils.translation import gettext_lazy as _

from django_smtpauth import presets
from django_smtpauth.models import SECRETS, SMTPAccount

FOLDED = "collapse"

FIELDSETS: list[Any] = [
    (None, {"fields": ["preset", "from_email", "password", "label", "guide"]}),
    (_("Mail server"), {"classes": [FOLDED], "fields": ["host", "port", "security"]}),
    (
        _("Log-in"),
        {
            "classes": [FOLDED],
            "fields": [
                "authentication",
                "username",
                "auth_mechanisms",
                "client_certificate",
                "client_key",
                "allow_auth_without_tls",
            ],
        },
    ),
    (
        _("Sender"),
        {
            "classes": [FOLDED],
            "fields": ["from_name", "select_by_from", "may_send_as", "foreign_from"],
        },
    ),
    (
        _("Use"),
        {"classes": [FOLDED], "fields": ["slug", "enabled", "is_default", "scope", "notes"]},
    ),
    (
        _("Delivery"),
        {
            "classes": [FOLDED],
            "description": _(
                "What the server speaks, and what is asked of it. What a message asks for "
                "itself wins over this."
            ),
            "fields": ["protocol", "recipients", "require_tls", "dsn_notify", "dsn_ret", "bdat"],
        },
    ),
    (
        _("Advanced"),
        {
            "classes": [FOLDED],
            "fields": [
                "verify",
                "ca_text",
                "tls_pin",
                "tls_minimum",
                "internal_host",
                "proxy",
                "source_address",
                "ehlo_name",
                "timeout",
            ],
        },
    ),
]

#: What only an account that is stored has to show.
HISTORY = (
    _("History"),
    {
        "fields": [
            "last_success",
            "last_failure",
            "failure_place",
            "failure_cure",
            "checked",
            "created",
            "changed",
            "secret_changed",
        ]
    },
)

#: Values that say nothing about whether a fieldset is worth opening.
_USUAL = {"slug", "is_default"}


def with_opened(fieldsets: Any, form: Any) -> list[Any]:
    """The fieldsets; open is what holds a value that differs from the usual one."""
    return [
        (title, _opened(options) if _differs(form, options["fields"]) else options)
        for title, options in fieldsets
    ]


def _opened(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "classes": [name for name in options.get("classes", ()) if name != FOLDED]}


def _differs(form: Any, names: Any) -> bool:
    usual = usual_values(form.instance)
    return any(_value(form, name) != usual[name] for name in flatten(names) if name in usual)


def _value(form: Any, name: str) -> Any:
    value = getattr(form.instance, name)
    if name in SECRETS:
        return bool(value)
    return value if form.is_bound else form.initial.get(name, value)


def usual_values(account: SMTPAccount) -> dict[str, Any]:
    """What an account of this provider and address has in its fields if nobody changes them."""
    usual = {
        field.name: field.get_default()
        for field in SMTPAccount._meta.concrete_fields
        if field.editable and field.name not in _USUAL
    }
    usual |= dict.fromkeys(("select_by_from", *SECRETS), False)
    preset = presets.get(account.preset)
    if preset is None:
        return usual | {"username": account.from_email}
    return usual | {
        "host": preset.host,
        "port": preset.port,
        "security": preset.server.security.value,
        "username": preset.username.for_address(account.from_email),
        "internal_host": preset.internal,
    }
