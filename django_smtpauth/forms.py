"""The form in which people edit an account."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.text import get_text_list
from django.utils.translation import gettext_lazy as _

from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.models import SECURITY_HINT, SLOTS, SMTPAccount
from django_smtpauth.secrets.formfields import SecretInput, SecretState
from django_smtpauth.secrets.keyring import get_sealer
from django_smtpauth.secrets.secret import FreshSecret

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[SMTPAccount]
else:
    _ModelForm = forms.ModelForm


class SMTPAccountForm(_ModelForm):
    """Edits an account. The password goes in and never comes out.

    A stored password is asked for again when the destination changes, since it would not open
    there. The first account of a scope is proposed as its default.
    """

    is_default = forms.BooleanField(
        label=_("Default account"),
        required=False,
        help_text=_("Mail that names no account goes through this one. One account per scope."),
    )
    select_by_from = forms.BooleanField(
        label=_("Choose by From address"),
        required=False,
        help_text=_(
            "Mail whose From is exactly the address above goes through this account. Leave it "
            "off if visitors can write the From of your site's mail."
        ),
    )

    class Meta:
        model = SMTPAccount
        fields = [
            "label",
            "slug",
            "enabled",
            "host",
            "port",
            "security",
            "username",
            "password",
            "from_email",
            "is_default",
            "select_by_from",
            "scope",
            "verify",
            "ca_text",
            "allow_auth_without_tls",
            "timeout",
        ]
        widgets = {"password": SecretInput(attrs={"class": "vTextField"})}
        error_messages = {"security": {"invalid_choice": SECURITY_HINT}}
        help_texts = {
            "scope": _("The tenant this account belongs to. Empty on a site without tenants."),
            "slug": _("How code and commands call this account, for example “billing”."),
            "label": _("How people call this account, for example “Invoices”."),
            "enabled": _("An account that is not enabled sends nothing."),
            "host": _(
                "For example smtp.example.com, an IP address, or the path of a Unix socket."
            ),
            "port": _("587 with STARTTLS, 465 with implicit TLS, unless your provider differs."),
            "security": _(
                "What Django's settings call EMAIL_USE_TLS is STARTTLS here, EMAIL_USE_SSL is "
                "implicit TLS."
            ),
            "verify": _(
                "Without it, whoever sits between this site and the server can read the password "
                "and the mail."
            ),
            "ca_text": _(
                "PEM text of the authority that signed the server's certificate. Empty: the "
                "authorities that this computer trusts."
            ),
            "allow_auth_without_tls": _(
                "Only for a server on a network that you trust, such as a mail catcher: the "
                "password travels in clear."
            ),
            "timeout": _("Seconds to wait for the server. Empty: sensible values for each step."),
            "username": _("Often the whole e-mail address. Empty if the server asks for none."),
            "password": _(
                "Empty keeps what is stored; it is never shown. Many providers want an “app "
                "password” made for sending."
            ),
            "from_email": _("The address this account sends from: billing@example.com."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = self.instance
        self._sealed_for = account.destination() if account.password else None
        if "password" in self.fields:
            self.initial["password"] = SecretState.of(account.password)
        if "username" in self.fields:
            # Or the browser fills in the visitor's own name beside the empty password.
            self.fields["username"].widget.attrs["autocomplete"] = "off"
        if account.pk is None:
            self._propose(account)
        for flag in SLOTS:
            self.initial.setdefault(flag, getattr(account, flag))

    def _propose(self, account: SMTPAccount) -> None:
        scope = self.initial.get("scope") or smtpauth_settings.scope
        self.initial["scope"] = scope
        if "is_default" not in self.initial:
            others = SMTPAccount.objects.filter(scope=scope, default_slot__isnull=False)
            self.initial["is_default"] = account.is_default or not others.exists()

    def clean_password(self) -> Any:
        """Refuse a new password while there is no key to seal it with."""
        value = self.cleaned_data["password"]
        if isinstance(value, FreshSecret):
            try:
                get_sealer()
            except ImproperlyConfigured as error:
                raise ValidationError(str(error), code="no_key") from error
        return value

    def _get_validation_exclusions(self) -> set[str]:
        # Not in the form, but validated: their errors are named after the flags, which are.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded - set(SLOTS.values())

    def _post_clean(self) -> None:
        for flag in SLOTS:
            if flag in self.cleaned_data:
                setattr(self.instance, flag, self.cleaned_data[flag])
        super()._post_clean()  # type: ignore[misc]
        self._ask_for_password()

    def _ask_for_password(self) -> None:
        """An error at the password if it is stored for another destination than the form's."""
        if self._sealed_for is None or "password" not in self.cleaned_data:
            return
        if self.cleaned_data["password"] is not None:
            return
        changed = self.instance.destination().changes_from(self._sealed_for)
        if changed:
            labels = [str(self.fields[name].label) for name in changed if name in self.fields]
            message = _(
                "Enter the password again, or remove it: it was stored for %(server)s and is not "
                "sent anywhere else. You changed: %(fields)s."
            )
            parameters = {
                "server": self._sealed_for,
                "fields": get_text_list(labels, str(_("and"))),
            }
            self.add_error(
                "password", ValidationError(message, code="destination", params=parameters)
            )
