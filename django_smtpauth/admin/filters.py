"""What the list of accounts can be narrowed down to."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_smtpauth import presets


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


class MailFilter(admin.SimpleListFilter):
    """Filters by what became of an account's last real mail."""

    title = _("last mail")
    parameter_name = "mail"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # noqa: ARG002
        return [("failed", _("Failed")), ("sent", _("Sent")), ("none", _("None yet"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        conditions: dict[str, dict[str, Any]] = {
            "failed": {"health__failures__gt": 0},
            "sent": {"health__failures": 0, "health__last_success_at__isnull": False},
            "none": {"health__last_success_at": None, "health__last_failure_at": None},
        }
        return queryset.filter(**conditions.get(self.value() or "", {}))


class CheckFilter(admin.SimpleListFilter):
    """Filters by how the last check ended."""

    title = _("last check")
    parameter_name = "check"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:  # noqa: ARG002
        return [("failed", _("Failed")), ("good", _("Good")), ("none", _("None yet"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        conditions: dict[str, dict[str, Any]] = {
            "failed": {"last_check__ok": False},
            "good": {"last_check__ok": True},
            "none": {"last_check__isnull": True},
        }
        return queryset.filter(**conditions.get(self.value() or "", {}))


class ScopeFilter(admin.AllValuesFieldListFilter):
    """Filters by scope, on sites that have several."""

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1


class ProviderFilter(admin.SimpleListFilter):
    """Filters by provider, of which only those in use are offered."""

    title = _("provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        used = model_admin.get_queryset(request).order_by("preset")
        slugs = used.exclude(preset="").values_list("preset", flat=True).distinct()
        return [(slug, name_of_preset(slug)) for slug in slugs]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        return queryset.filter(preset=self.value()) if self.value() else queryset


def name_of_preset(slug: str) -> str:
    """How a provider is called; its slug, if it is known no more."""
    preset = presets.get(slug)
    return preset.name if preset else slug
