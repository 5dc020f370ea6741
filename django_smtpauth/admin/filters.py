"""What the list of accounts can be narrowed down to."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_smtpauth import presets


class StateFilter(admin.SimpleListFilter):
    """Filters by a state that is told by conditions. answers: value -> label and conditions."""

    answers: Mapping[str, tuple[Any, Mapping[str, Any]]] = {}

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> Any:
        return [(value, label) for value, (label, _conditions) in self.answers.items()]

    def queryset(self, _request: HttpRequest, queryset: Any) -> Any:
        _label, conditions = self.answers.get(self.value() or "", ("", {}))
        return queryset.filter(**conditions)


class DefaultFilter(StateFilter):
    """Filters by whether an account is its scope's default."""

    title = _("default account")
    parameter_name = "default"
    answers = {
        "1": (_("Yes"), {"default_slot__isnull": False}),
        "0": (_("No"), {"default_slot__isnull": True}),
    }


class MailFilter(StateFilter):
    """Filters by what became of an account's last real mail."""

    title = _("last mail")
    parameter_name = "mail"
    answers = {
        "failed": (_("Failed"), {"health__failures__gt": 0}),
        "sent": (_("Sent"), {"health__failures": 0, "health__last_success_at__isnull": False}),
        "none": (
            _("None yet"),
            {"health__last_success_at": None, "health__last_failure_at": None},
        ),
    }


class CheckFilter(StateFilter):
    """Filters by how the last check ended."""

    title = _("last check")
    parameter_name = "check"
    answers = {
        "failed": (_("Failed"), {"last_check__ok": False}),
        "good": (_("Good"), {"last_check__ok": True}),
        "none": (_("None yet"), {"last_check__isnull": True}),
    }


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

    def queryset(self, _request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(preset=self.value()) if self.value() else queryset


def name_of_preset(slug: str) -> str:
    """How a provider is called; its slug, if it is known no more."""
    preset = presets.get(slug)
    return preset.name if preset else slug
