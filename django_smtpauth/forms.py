"""The form in which people edit an account."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.text import get_text_list
from django.utils.translation import gettext_lazy as _

from django_smtpauth.choices import AS_THE_SETTINGS, SECURITY_HINT, Notification
from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.models import SLOTS, SMTPAccount
from django_smtpauth.secrets.formfields import SecretInput, SecretState
from django_smtpauth.secrets.keyring import get_sealer
from django_smtpauth.secrets.secret import FreshSecret

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[SMTPAccount]
else:
    _ModelForm = forms.ModelForm


class WordsFormField(forms.MultipleChoiceField):
    """Boxes to tick; the value is a text, the ticked words with commas in between."""

    # The admin's style for lists of boxes, or long labels are broken.
    widget = forms.CheckboxSelectMultiple(attrs={"class": "radiolist"})

    def prepare_value(self, value: Any) -> Any:
        return _words(value)

    def clean(self, value: Any) -> Any:
        return ",".join(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(_words(initial), data)


class YesNoOrUnsaid(forms.NullBooleanSelect):
    """A choice of yes, no, and what the settings say."""

    def __init__(self, attrs: Any = None) -> None:
        super().__init__(attrs)
        self.choices = [("unknown", AS_THE_SETTINGS), *list(self.choices)[1:]]


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

    dsn_notify = WordsFormField(
        label=_("Delivery reports"),
        choices=Notification.choices,
        required=False,
        help_text=_(
            "When the sender wants to hear from the recipient's server. Nothing ticked: as the "
            "site's settings say, else as servers usually do. Through a server that can't "
            "promise it (DSN) nothing is sent."
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
            "protocol",
            "recipients",
            "require_tls",
            "dsn_notify",
            "dsn_ret",
            "bdat",
        ]
        widgets = {
            "password": SecretInput(attrs={"class": "vTextField"}),
            "require_tls": YesNoOrUnsaid,
        }
        error_messages = {"security": {"invalid_choice": SECURITY_HINT}}
        help_texts = {
            "scope": _("The tenant this account belongs to. Empty on a site without tenants."),
            "slug": _("How code and commands call this account, for example “billing”."),
            "label": _("How people call this account, for example “Invoices”."),
            "enabled": _("An account that is not enabled sends nothing."),
            "host": _(
                "For example smtp.example.com, an IP address, or the path of a Unix socket."
            ),
            "port": _(
                "587 with STARTTLS, 465 with implicit TLS, often 24 for LMTP, unless your "
                "provider differs. A Unix socket has none: this is ignored then."
            ),
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
            "protocol": _(
                "LMTP is for the program that puts mail into mailboxes, such as Dovecot. It "
                "delivers to its own mailboxes only, never to the rest of the world."
            ),
            "recipients": _(
                "What becomes of a message to several people if the server refuses one of them."
            ),
            "require_tls": _(
                "“Yes”: the message travels encrypted to its destination, or is not delivered "
                "(REQUIRETLS). Few servers can promise it; through the others nothing is sent."
            ),
            "dsn_ret": _("How much of the message comes back with a report of failure."),
            "bdat": _(
                "A faster way to hand over content, used where the server offers it (CHUNKING). "
                "If in doubt, leave it as it is."
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


def _words(value: Any) -> Any:
    """The words of a text with commas in between; a list stays."""
    return value.split(",") if isinstance(value, str) and value else value
