"""The pages of the accounts, and who may do what there."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_smtpauth import views
from django_smtpauth.forms import SMTPAccountForm
from django_smtpauth.forms.account import CHECK, SEND_TEST
from django_smtpauth.forms.proposals import propose
from django_smtpauth.models import SECRETS, SMTPAccount
from django_smtpauth.secrets.error_pages import hide_from_error_pages
from django_smtpauth.secrets.formfields import SecretState

from . import states
from .fieldsets import FIELDSETS, HISTORY, with_opened
from .filters import CheckFilter, DefaultFilter, MailFilter, ProviderFilter, ScopeFilter
from .pages import PIECES, RECIPIENT, DiagnosisPages

#: Secret -> what is shown in its place to somebody who may not change it.
_STATES = {name: f"{name}_state" for name in SECRETS}
PANEL = "admin/smtpauth/smtpaccount/panel.html"
#: What the form shows and nobody can change.
SHOWN_ONLY = [
    *("guide", *_STATES.values(), "last_success", "last_failure", "failure_place"),
    *("failure_words", "failure_cure", "failure_cure_with_words", "checked"),
    "checked_with_words",
    *("created", "changed", "secret_changed"),
]
#: The parameter of the list that asks who carries mail.
MAIL_FROM, MAIL_TO = "mail_from", "mail_to"


class AccountList(ChangeList):
    """The list, for which the question who carries mail is no filter."""

    def get_filters_params(self, params: Any = None) -> Any:
        asked = super().get_filters_params(params)
        return {name: value for name, value in asked.items() if name not in (MAIL_FROM, MAIL_TO)}


@admin.register(SMTPAccount)
class SMTPAccountAdmin(DiagnosisPages):
    """Lists and edits accounts. No page shows a secret, and nobody can lead one elsewhere.

    Beside the model's permissions: `change_secret_smtpaccount` to set and remove secrets,
    `use_internal_host` to let an account reach internal hosts, `test_smtpaccount` to have a
    server asked, and to see what it answered.
    """

    form = SMTPAccountForm
    change_list_template = "admin/smtpauth/smtpaccount/change_list.html"
    change_form_template = "admin/smtpauth/smtpaccount/change_form.html"
    list_display = ["name", "enabled", "mail", "check_state", "server", "log_in"]
    list_filter = [
        "enabled",
        DefaultFilter,
        MailFilter,
        CheckFilter,
        "security",
        "authentication",
        ProviderFilter,
        ("scope", ScopeFilter),
    ]
    list_select_related = ["health", "last_check"]
    search_fields = ["slug", "label", "host", "username", "from_email", "scope", "notes"]
    ordering = ["scope", "slug"]
    actions = ["enable", "disable"]
    fieldsets = FIELDSETS

    class Media:
        css = {"all": ["smtpauth/admin.css"]}
        js = ["smtpauth/account_form.js", "smtpauth/check.js"]

    # Who may do what

    def may(self, request: HttpRequest, permission: str) -> bool:
        """Whether the user has a permission of this app; superusers have all."""
        return request.user.has_perm(f"{self.opts.app_label}.{permission}")

    def _may_change_secrets(self, request: HttpRequest) -> bool:
        return self.may(request, "change_secret_smtpaccount")

    def get_exclude(self, request: HttpRequest, obj: SMTPAccount | None = None) -> Any:
        excluded = [*(super().get_exclude(request, obj) or ())]
        if not self._may_change_secrets(request):
            excluded += SECRETS
        if not self.may(request, "use_internal_host"):
            excluded.append("internal_host")
        return excluded

    def get_readonly_fields(self, request: HttpRequest, obj: SMTPAccount | None = None) -> Any:
        fields = [*super().get_readonly_fields(request, obj), *SHOWN_ONLY]
        return fields if self.may(request, "use_internal_host") else [*fields, "internal_host"]

    def get_fieldsets(self, request: HttpRequest, obj: SMTPAccount | None = None) -> Any:
        """Who may not change secrets sees their state, in place of the inputs."""
        fieldsets = [*super().get_fieldsets(request, obj)]
        if obj is not None:
            fieldsets.append(HISTORY)
        editable = obj is None or self.has_change_permission(request, obj)
        shown = {} if editable and self._may_change_secrets(request) else {**_STATES}
        if self.may(request, "test_smtpaccount"):
            shown["failure_place"] = "failure_words"
            shown["failure_cure"] = "failure_cure_with_words"
            shown["checked"] = "checked_with_words"
        return [
            (title, {**options, "fields": _replaced(options["fields"], shown)})
            for title, options in fieldsets
        ]

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        """The same form for `list_editable`, with the fields that the list has, and no others."""
        forbidden = {*self.get_exclude(request), *self.get_readonly_fields(request)}
        editable = [name for name in self.list_editable if name not in forbidden]
        form: Any = self.form
        listed = {"fields": editable, "exclude": [*forbidden]}
        body: dict[str, Any] = {
            name: None for name in form.declared_fields if name not in editable
        }
        body["Meta"] = type("Meta", (form.Meta,), listed)
        form = type("ListedAccountForm", (form,), body)
        return super().get_changelist_form(request, **{"form": form, **kwargs})

    # Pages

    def get_urls(self) -> Any:
        name = f"{self.opts.app_label}_{self.opts.model_name}_proposal"
        view = self.admin_site.admin_view(self.proposal_view)
        return [path("proposal/", view, name=name), *super().get_urls()]

    def proposal_view(self, request: HttpRequest) -> HttpResponse:
        """What follows from a provider or an address, for the form's script."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        return views.proposal(request)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        hide_from_error_pages(request, *SECRETS)
        if request.method == "POST" and (CHECK in request.POST or SEND_TEST in request.POST):
            return self._check_or_show(request, *args, **kwargs)
        return super().changeform_view(request, *args, **kwargs)

    def _check_or_show(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """The page of a check; or the form, which refuses to be saved then."""
        response = self.check_form(request, object_id)
        if response is None and PIECES in request.POST:
            # The script sends the form once more then, as a page.
            response = HttpResponse(status=204)
        return response or super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if self.may(request, "test_smtpaccount"):
            context |= self._check_context(request, kwargs.get("obj"))
        page = context["adminform"]
        page.fieldsets = with_opened(page.fieldsets, page.form)
        return super().render_change_form(request, context, *args, **kwargs)

    def _check_context(self, request: HttpRequest, account: SMTPAccount | None) -> dict[str, Any]:
        """What the buttons below the form need."""
        editable = (
            self.has_add_permission(request)
            if account is None
            else self.has_change_permission(request, account)
        )
        usual = getattr(request.user, "email", "")
        return {
            "check_wanted": True,
            # Who can't edit has no form to send; the account is checked as it is stored.
            "check_url": "" if editable or account is None else self._reverse("check", account.pk),
            "test_recipient": request.POST.get(RECIPIENT, usual),
        }

    def get_changelist(self, *_: Any, **__: Any) -> type[ChangeList]:
        return AccountList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        hide_from_error_pages(request, *SECRETS)
        context = {
            "settings_route": views.settings_route(),
            "explain_url": self._reverse("explain"),
            **(extra_context or {}),
        }
        if MAIL_FROM in request.GET:
            asked = [request.GET.get(name, "").strip() for name in (MAIL_FROM, MAIL_TO)]
            carrier = views.who_carries(*asked)
            context |= {"carrier": carrier, "carrier_url": self._url_of(carrier)}
        return super().changelist_view(request, context)

    def _url_of(self, carrier: views.Carrier) -> str:
        account = carrier.route.account if carrier.route else None
        if account is None:
            return ""
        pk = SMTPAccount.objects.filter(uuid=account.uuid).values_list("pk", flat=True).first()
        return self._reverse("change", pk) if pk else ""

    def _reverse(self, page: str, *args: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=args, current_app=self.admin_site.name)

    # Saving

    def save_model(self, request: HttpRequest, obj: SMTPAccount, form: Any, change: bool) -> None:
        obj.actor = request.user.get_username()
        super().save_model(request, obj, form, change)

    @admin.action(description=_("Enable selected accounts"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: Any) -> None:
        self._set_enabled(request, queryset, True)

    @admin.action(description=_("Disable selected accounts"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: Any) -> None:
        self._set_enabled(request, queryset, False)

    def _set_enabled(self, request: HttpRequest, queryset: Any, enabled: bool) -> None:
        # One by one: update() would leave no trace, and tell no process.
        changed = list(queryset.exclude(enabled=enabled))
        for account in changed:
            account.enabled, account.actor = enabled, request.user.get_username()
            account.save(update_fields=["enabled"])
            self.log_change(request, account, [{"changed": {"fields": ["enabled"]}}])
        number = len(changed)
        text = (
            ngettext("%d account was enabled.", "%d accounts were enabled.", number)
            if enabled
            else ngettext("%d account was disabled.", "%d accounts were disabled.", number)
        )
        self.message_user(request, text % number, messages.SUCCESS)

    # What is shown

    @admin.display(description=_("account"), ordering="slug")
    def name(self, account: SMTPAccount) -> SafeString:
        return states.name(account)

    @admin.display(description=_("server"), ordering="host")
    def server(self, account: SMTPAccount) -> SafeString:
        return states.server(account)

    @admin.display(description=_("log-in"), ordering="authentication")
    def log_in(self, account: SMTPAccount) -> SafeString | str:
        return states.log_in(account)

    @admin.display(description=_("real mail"), ordering="health__last_success_at")
    def mail(self, account: SMTPAccount) -> SafeString | str:
        return states.mail(account)

    @admin.display(description=_("last check"), ordering="last_check__at")
    def check_state(self, account: SMTPAccount) -> SafeString | str:
        return states.check(account)

    @admin.display(description=_("last check"))
    def checked(self, account: SMTPAccount) -> SafeString | str:
        return states.check_detail(account, with_words=False)

    @admin.display(description=_("last check"))
    def checked_with_words(self, account: SMTPAccount) -> SafeString | str:
        return states.check_detail(account, with_words=True)

    @admin.display(description=_("cause and cure"))
    def failure_cure(self, account: SMTPAccount) -> SafeString | str:
        return states.cure(account, with_words=False)

    @admin.display(description=_("cause and cure"))
    def failure_cure_with_words(self, account: SMTPAccount) -> SafeString | str:
        return states.cure(account, with_words=True)

    @admin.display(description=_("last mail sent"))
    def last_success(self, account: SMTPAccount) -> str:
        return states.last_success(account)

    @admin.display(description=_("last failure"))
    def last_failure(self, account: SMTPAccount) -> SafeString | str:
        return states.last_failure(account)

    @admin.display(description=_("failed at"))
    def failure_place(self, account: SMTPAccount) -> str:
        return states.failure_detail(account, with_text=False)

    @admin.display(description=_("failed at"))
    def failure_words(self, account: SMTPAccount) -> str:
        return states.failure_detail(account, with_text=True)

    @admin.display(description=_("created"))
    def created(self, account: SMTPAccount) -> str:
        return states.done(account.created_at, account.created_by)

    @admin.display(description=_("changed"))
    def changed(self, account: SMTPAccount) -> str:
        return states.done(account.changed_at, account.changed_by)

    @admin.display(description=_("secret changed"))
    def secret_changed(self, account: SMTPAccount) -> str:
        return states.done(account.secret_changed_at, account.secret_changed_by)

    @admin.display(description=_("password"))
    def password_state(self, account: SMTPAccount) -> str:
        return SecretState.of(account.password).describe()

    @admin.display(description=_("key of the client certificate"))
    def client_key_state(self, account: SMTPAccount) -> str:
        return SecretState.of(account.client_key).describe()

    @admin.display(description=_("what you need"))
    def guide(self, account: SMTPAccount) -> SafeString:
        has_own_server = bool(account.host and not account.preset)
        address = "" if has_own_server else account.address
        context = {
            **views.guide_context(propose(account.preset, address), address),
            "own_server": has_own_server,
            "guide": views.GUIDE,
            "url": self._reverse("proposal"),
            "adding": account.pk is None,
            "verified": account.verify,
        }
        return render_to_string(PANEL, context)


def _replaced(names: Any, shown: dict[str, str]) -> list[Any]:
    """The names of a fieldset's fields; some stand together on a line."""
    return [
        shown.get(name, name) if isinstance(name, str) else _replaced(name, shown)
        for name in names
    ]
