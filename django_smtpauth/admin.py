"""The accounts in Django's admin."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from django_smtpauth.choices import Protocol
from django_smtpauth.forms import SMTPAccountForm
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.error_pages import hide_from_error_pages

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[SMTPAccount]
else:
    _ModelAdmin = admin.ModelAdmin


class DefaultFilter(admin.SimpleListFilter):
    """Filters by whether an account is its scope's default."""

    title = _("default account")
    parameter_name = "default"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # noqa: ARG002
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        if self.value() in ("0", "1"):
            return queryset.filter(default_slot__isnull=self.value() == "0")
        return queryset


class ScopeFilter(admin.AllValuesFieldListFilter):
    """Filters by scope, on sites that have several."""

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1


@admin.register(SMTPAccount)
class SMTPAccountAdmin(_ModelAdmin):
    """Lists and edits accounts. No page shows a password; the list does not open any."""

    form = SMTPAccountForm
    list_display = ["name", "default", "enabled", "server", "from_email", "stored_password"]
    list_filter = ["enabled", DefaultFilter, "security", ("scope", ScopeFilter)]
    search_fields = ["slug", "label", "host", "username", "from_email", "scope"]
    ordering = ["scope", "slug"]
    prepopulated_fields = {"slug": ["label"]}
    fieldsets = [
        (None, {"fields": ["label", "slug", "enabled"]}),
        (_("Mail server"), {"fields": ["host", "port", "security"]}),
        (_("Signing in"), {"fields": ["username", "password"]}),
        (_("Sending"), {"fields": ["from_email", "is_default", "select_by_from"]}),
        (
            _("Delivery"),
            {
                "classes": ["collapse"],
                "description": _(
                    "What the server speaks, and what is asked of it. What a message asks for "
                    "itself wins over this."
                ),
                "fields": [
                    "protocol",
                    "recipients",
                    "require_tls",
                    "dsn_notify",
                    "dsn_ret",
                    "bdat",
                ],
            },
        ),
        (
            _("Advanced"),
            {
                "classes": ["collapse"],
                "fields": ["scope", "verify", "ca_text", "allow_auth_without_tls", "timeout"],
            },
        ),
    ]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        hide_from_error_pages(request, "password")
        return super().changeform_view(request, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: SMTPAccount | None = None) -> Any:
        """Who may only look sees whether a password is stored, in place of the input."""
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj) or obj is None:
            return fieldsets
        return [
            (title, {**options, "fields": _without_input(options["fields"])})
            for title, options in fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: SMTPAccount | None = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "stored_password"]

    @admin.display(description=_("account"), ordering="slug")
    def name(self, account: SMTPAccount) -> str:
        return str(account)

    @admin.display(description=_("server"), ordering="host")
    def server(self, account: SMTPAccount) -> str:
        spoken = " · lmtp" if account.protocol == Protocol.LMTP else ""
        return f"{account.destination()} · {account.security}{spoken}"

    @admin.display(description=_("default"), boolean=True, ordering="default_slot")
    def default(self, account: SMTPAccount) -> bool:
        return account.is_default

    @admin.display(description=_("password"))
    def stored_password(self, account: SMTPAccount) -> str:
        return str(_("Stored") if account.password else _("Not set"))


def _without_input(fields: Any) -> list[Any]:
    return ["stored_password" if name == "password" else name for name in fields]
