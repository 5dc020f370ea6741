"""The pages that ask and explain: checks, test messages, and errors that somebody pastes."""

from functools import partial
from typing import TYPE_CHECKING, Any

import django
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from django_smtpauth.diagnosis import last_check
from django_smtpauth.diagnosis.explain import explain
from django_smtpauth.diagnosis.failure import Failure
from django_smtpauth.diagnosis.pasted import MAX_PASTED
from django_smtpauth.forms.account import CHECK, SEND_TEST
from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.error_pages import hide_from_error_pages
from django_smtpauth.sending.addressing import envelope_address

from . import limits, notice
from .check_page import Page, whole
from .probing import BUDGET, Check

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[SMTPAccount]
else:
    _ModelAdmin = admin.ModelAdmin

_TEMPLATES = "admin/smtpauth/smtpaccount/"
#: The address that a test message goes to.
RECIPIENT = "_test_recipient"
#: The script asks for the pieces alone, to show them below the form.
PIECES = "_pieces"
#: In Django 6.1 the admin's breadcrumbs are a list.
_BREADCRUMBS_ARE_LIST = django.VERSION >= (6, 1)


class PasteForm(forms.Form):
    """Text that somebody pastes to have it explained."""

    text = forms.CharField(
        label=gettext_lazy("Error, bounce or log line"),
        max_length=MAX_PASTED,
        widget=forms.Textarea(
            attrs={"rows": 10, "class": "vLargeTextField", "spellcheck": "false"}
        ),
    )


class DiagnosisPages(_ModelAdmin):
    """What an admin of accounts can ask beside the list and the form."""

    if TYPE_CHECKING:

        def may(self, request: HttpRequest, permission: str) -> bool: ...
        def _reverse(self, page: str, *args: Any) -> str: ...

    def get_urls(self) -> Any:
        def url(route: str, view: Any, page: str) -> Any:
            name = f"{self.opts.app_label}_{self.opts.model_name}_{page}"
            return path(route, self.admin_site.admin_view(view), name=name)

        return [
            url("explain/", self.explain_view, "explain"),
            url("<path:object_id>/check/", require_POST(self.check_view), "check"),
            *super().get_urls(),
        ]

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        permissions = super().get_model_perms(request)
        if permissions["view"] and notice.is_wanted(request, self.admin_site.name):
            notice.tell(request, self.get_queryset(request), self._reverse("changelist"))
        return permissions

    # Checks

    def may_check(self, request: HttpRequest) -> bool:
        """Whether the user may have servers asked."""
        return self.may(request, "test_smtpaccount")

    def check_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Checks an account as it is stored."""
        account = self.get_object(request, unquote(object_id))
        if not (self.may_check(request) and self.has_view_permission(request, account)):
            raise PermissionDenied
        if account is None:
            raise Http404
        form_url = self._reverse("change", account.pk)
        problem = self._problem(request, account)
        if problem and PIECES in request.POST:
            return HttpResponse(status=204)
        if problem:
            messages.error(request, problem)
            return HttpResponseRedirect(form_url)
        return self._checked(request, account, form_url, stored=True)

    def check_form(self, request: HttpRequest, object_id: str | None) -> HttpResponse | None:
        """Checks what a form says, which is not saved; None: the form is to be shown, with what
        is wrong."""
        account = None if object_id is None else self.get_object(request, unquote(object_id))
        if object_id is not None and account is None:
            return None
        allowed = (
            self.has_add_permission(request)
            if account is None
            else self.has_change_permission(request, account)
        )
        if not (allowed and self.may_check(request)):
            raise PermissionDenied
        posted = request.POST.copy()
        for name in (CHECK, SEND_TEST):
            posted.pop(name, None)
        form: Any = self.get_form(request, account, change=account is not None)
        form = form(posted, request.FILES, instance=account)
        if not form.is_valid():
            return None
        problem = self._problem(request, account)
        if problem:
            if PIECES not in request.POST:
                messages.error(request, problem)
            return None
        stored = account is not None and not form.changed_data
        form_url = self._reverse("change", account.pk) if account else self._reverse("add")
        return self._checked(request, form.instance, form_url, stored=stored)

    def _problem(self, request: HttpRequest, account: SMTPAccount | None) -> str:
        """Why nothing is asked now, if so. Counts the check."""
        if SEND_TEST in request.POST:
            try:
                envelope_address(request.POST.get(RECIPIENT, "").strip())
            except ValueError:
                return _("Type one address that the test message goes to: name@example.com.")
        if limits.is_too_often(request.user.pk, account.uuid if account else "new"):
            return _(
                "You had this checked %(number)d times within a minute. Wait a minute: servers "
                "lock out whoever asks too often."
            ) % {"number": limits.MOST}
        return ""

    def _checked(
        self, request: HttpRequest, account: SMTPAccount, form_url: str, stored: bool
    ) -> HttpResponse:
        sends = SEND_TEST in request.POST
        recipient = request.POST.get(RECIPIENT, "").strip() if sends else ""
        by = request.user.get_username()
        page = Page(
            Check(account, recipient, request.get_host()),
            form_url,
            partial(last_check.store, account, by=by) if stored else None,
        )
        if sends and account.pk:
            self.log_change(request, account, _("Tried to send a test message."))
        if PIECES in request.POST:
            content = page.pieces()
        else:
            context = self._context(request, _("Check of “%s”") % account)
            content = whole(request, page, {**context, "form_url": form_url, "budget": BUDGET})
        response: Any
        if isinstance(request, WSGIRequest):
            response = StreamingHttpResponse(content)
        else:
            # Under ASGI Django gathers what a synchronous view streams, and warns of it.
            response = HttpResponse("".join(content))
        response["X-Accel-Buffering"] = "no"
        return response

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "media": self.media,
            "breadcrumbs_are_list": _BREADCRUMBS_ARE_LIST,
            "list_url": self._reverse("changelist"),
        }

    # What somebody pastes

    def explain_view(self, request: HttpRequest) -> HttpResponse:
        """Explains an error by the same rules as our own. Nothing is stored, nobody is asked."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        hide_from_error_pages(request, "text")
        form = PasteForm(request.POST if request.method == "POST" else None)
        finding = None
        if form.is_bound and form.is_valid():
            finding = explain(Failure.parse(form.cleaned_data["text"]))
        context = {
            **self._context(request, _("Explain an error or a bounce")),
            "form": form,
            "finding": finding,
        }
        return TemplateResponse(request, f"{_TEMPLATES}explain.html", context)
