"""The form in which people edit an account: what it fills in, and what it asks for."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.text import get_text_list
from django.utils.translation import gettext_lazy as _

from django_smtpauth import presets
from django_smtpauth.choices import SECURITY_HINT, Authentication, Notification
from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.models import SECRETS, SLOTS, SMTPAccount
from django_smtpauth.secrets.destination import normalise_host
from django_smtpauth.secrets.formfields import SecretInput, SecretState, SecretTextarea, hide_typed
from django_smtpauth.secrets.keyring import get_sealer
from django_smtpauth.secrets.secret import FreshSecret
from django_smtpauth.sending.accounts import account_of
from django_smtpauth.sending.guard import NotAllowed, guard_of
from django_smtpauth.smtp.endpoint import LMTP_PORT
from django_smtpauth.smtp.tls import Security
from django_smtpauth.validators import is_sender

from .fields import WordsFormField, YesNoOrUnsaid
from .proposals import SERVER, Proposal, look_up, propose, propose_label, propose_slug
from .texts import HELP_TEXTS, LABELS, NEW_PASSWORD, NO_PRESET

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[SMTPAccount]
else:
    _ModelForm = forms.ModelForm

#: The name of the button that asks the DNS for the server.
LOOK_UP = "_look_up"
#: The names of the buttons that have the form's values checked, and a test message sent.
CHECK, SEND_TEST = "_check", "_send_test"
#: What leads an account that may reach internal hosts to another one.
_WAY = {"host", "port", "proxy"}


class SMTPAccountForm(_ModelForm):
    """Edits an account. The secrets go in and never come out.

    Where something is left empty that follows from the provider or the address, it is filled in.
    A stored secret is asked for again when the destination changes, since it would not open
    there. The first account of a scope is proposed as its default.

    A form without the field of a secret is for somebody who may not change secrets, and one
    without `internal_host` for somebody who may not grant that: what would need it is refused.
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
            *("preset", "from_email", "password", "label"),
            *("host", "port", "security"),
            *("authentication", "username", "auth_mechanisms"),
            *("client_certificate", "client_key", "allow_auth_without_tls"),
            *("from_name", "may_send_as", "foreign_from", "select_by_from"),
            *("slug", "enabled", "is_default", "scope", "notes"),
            *("protocol", "recipients", "require_tls", "dsn_notify", "dsn_ret", "bdat"),
            *("verify", "ca_text", "tls_pin", "tls_minimum", "internal_host", "proxy"),
            *("source_address", "ehlo_name", "timeout"),
        ]
        widgets = {
            "password": SecretInput(attrs={"class": "vTextField"}),
            "client_key": SecretTextarea(attrs={"rows": 4, "class": "vLargeTextField"}),
            "require_tls": YesNoOrUnsaid,
            "may_send_as": forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
            "tls_pin": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            "notes": forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        }
        labels = LABELS
        help_texts = HELP_TEXTS
        error_messages = {"security": {"invalid_choice": SECURITY_HINT}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hide_typed(self)
        # If something fails below, this frame does not show what was typed.
        del args, kwargs
        account = self.instance
        self._adding = account.pk is None
        self._stored = [name for name in SECRETS if getattr(account, name)]
        self._before = None if self._adding else account.destination()
        for name in set(SECRETS) & self.fields.keys():
            self.initial[name] = SecretState.of(getattr(account, name))
        if "preset" in self.fields:
            preset: Any = self.fields["preset"]
            preset.choices = [("", NO_PRESET), *presets.choices()]
        for name in ("username", "from_email"):
            if name in self.fields:
                # Or the browser fills in the visitor's own name beside the empty password.
                self.fields[name].widget.attrs["autocomplete"] = "off"
        if "from_email" in self.fields:
            self.fields["from_email"].widget.attrs["inputmode"] = "email"
        for name in ("host", "port") + (("slug",) if self._adding else ()):
            if name in self.fields:
                self.fields[name].required = False
        if self._adding:
            self._propose(account)
            if "password" in self.fields:
                self.fields["password"].help_text = NEW_PASSWORD
        for flag in SLOTS:
            self.initial.setdefault(flag, getattr(account, flag))

    def _propose(self, account: SMTPAccount) -> None:
        scope = self.initial.get("scope") or smtpauth_settings.scope
        self.initial["scope"] = scope
        if "is_default" not in self.initial:
            others = SMTPAccount.objects.filter(scope=scope, default_slot__isnull=False)
            self.initial["is_default"] = account.is_default or not others.exists()

    # Cleaning

    def clean_password(self) -> Any:
        """Refuse a new password while there is no key to seal it with."""
        return self._sealable("password")

    def clean_client_key(self) -> Any:
        """The same for the key of the client certificate."""
        return self._sealable("client_key")

    def _sealable(self, name: str) -> Any:
        value = self.cleaned_data[name]
        if isinstance(value, FreshSecret):
            try:
                get_sealer()
            except ImproperlyConfigured as error:
                raise ValidationError(str(error), code="no_key") from error
        return value

    def clean(self) -> Any:
        super().clean()
        if CHECK in self.data or SEND_TEST in self.data:
            # Whoever checks does not mean to save; a form without an error would be saved.
            message = _("Nothing was checked, and nothing was saved.")
            self.add_error(None, ValidationError(message, code="check"))
        if self.fields.keys() >= {"preset", *SERVER}:
            if LOOK_UP in self.data:
                self._look_up()
            elif not self.errors.keys() & {"preset", *SERVER, "from_email"}:
                self._fill_in_server()
        if self._adding:
            self._fill_in_names()
            self._demand_password()
        return self.cleaned_data

    def _fill_in_server(self) -> None:
        data = self.cleaned_data
        proposal = propose(data["preset"], self._address())
        provider_changed = "preset" in self.changed_data and data["preset"]
        server_changed = set(SERVER) & set(self.changed_data)
        if not data.get("host") or (provider_changed and not server_changed):
            self._take_server(proposal)
        elif not data["preset"] and _is_server_of(proposal, data["host"]):
            data["preset"] = proposal.values()["preset"]
        if data.get("host") and data.get("port") is None:
            lmtp = data.get("protocol") == "lmtp"
            data["port"] = LMTP_PORT if lmtp else Security(data["security"]).default_port
        if self._adding or provider_changed:
            self._fill_in_username(proposal)

    def _address(self) -> str:
        """Whose account it is: the address, or a user name that is one."""
        data = self.cleaned_data
        username: str = data.get("username") or ""
        return data.get("from_email") or (username if is_sender(username) else "")

    def _take_server(self, proposal: Proposal) -> None:
        if proposal.server is None:
            message = _(
                "Which server? No provider is known for this address: choose one above, or type "
                "the name of the server here."
            )
            self.add_error("host", ValidationError(message, code="required"))
            return
        for name, value in proposal.values().items():
            if name != "username" and name in self.fields:
                self.cleaned_data[name] = value

    def _fill_in_username(self, proposal: Proposal) -> None:
        data = self.cleaned_data
        if data.get("authentication") != Authentication.PASSWORD or "username" not in data:
            return
        before = propose(self.initial.get("preset") or "", self._address())
        follows = not self._adding and data["username"] == before.username
        if not data["username"] or (follows and proposal.username):
            data["username"] = proposal.username
        if not data["username"] and proposal.preset is not None:
            hint = proposal.preset.username.hint
            message = _("%(provider)s has a user name of its own for you. %(hint)s")
            parameters = {"provider": proposal.preset.name, "hint": hint}
            self.add_error("username", ValidationError(message, "required", parameters))

    def _fill_in_names(self) -> None:
        data = self.cleaned_data
        if data.get("slug") == "":
            rows = SMTPAccount.objects.filter(scope=data.get("scope", ""))
            data["slug"] = propose_slug(data, rows.values_list("slug", flat=True))
        if data.get("label") == "":
            data["label"] = propose_label(data)

    def _demand_password(self) -> None:
        data = self.cleaned_data
        wanted = data.get("authentication") == Authentication.PASSWORD
        if not wanted or data.get("password", "absent") is not None:
            return
        if not smtpauth_settings.CREDENTIALS:
            message = _("Type the password, or choose under “Log-in” that none is needed.")
            self.add_error("password", ValidationError(message, code="required"))

    def _look_up(self) -> None:
        """Ask the DNS for the server, and bring the form back with the answer."""
        proposal = look_up(self._address())
        if proposal.server is None:
            message = proposal.problem or _(
                "The domain of this address names no server. Type its name here."
            )
        else:
            message = _("The domain names this server. Look whether it is right before you save.")
            data: Any = self.data
            self.data = data = data.copy()
            for name, value in proposal.values().items():
                if name != "username" or not self.cleaned_data.get(name):
                    data[self.add_prefix(name)] = str(value)
        self.add_error("host", ValidationError(message, code="looked_up"))

    # What the instance says then

    def _get_validation_exclusions(self) -> set[str]:
        # Not in the form, but validated: their errors are named after the flags, which are.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded - set(SLOTS.values())

    def _post_clean(self) -> None:
        for flag in SLOTS:
            if flag in self.cleaned_data:
                setattr(self.instance, flag, self.cleaned_data[flag])
        super()._post_clean()  # type: ignore[misc]
        if self._before is None:
            self._keep_in_reach()
            return
        changed = self.instance.destination().changes_from(self._before)
        if changed:
            self._keep_within(changed)
            self._keep_in_reach()
            self._ask_for_secrets(changed)

    def _ask_for_secrets(self, changed: list[str]) -> None:
        """An error where a secret is stored for another destination than the form's."""
        fields = get_text_list(
            [str(self.fields[name].label) for name in changed if name in self.fields],
            str(_("and")),
        )
        parameters = {"server": self._before, "fields": fields}
        for name in self._stored:
            if name not in self.fields:
                message = _(
                    "A secret is stored for %(server)s and is not sent anywhere else. Only "
                    "somebody who may change secrets can change this. You changed: %(fields)s."
                )
                error = ValidationError(message, code="secret", params=parameters)
                self.add_error(next(filter(self.fields.__contains__, changed), None), error)
                return
            if self.cleaned_data.get(name, "wrong") is None:
                self.add_error(
                    name, ValidationError(_ASK[name], code="destination", params=parameters)
                )

    def _keep_in_reach(self) -> None:
        """What no connection would be made to is refused here already, as far as it shows."""
        account = self.instance
        if "host" in self.errors or "port" in self.errors or not account.host:
            return
        try:
            guard = guard_of(account_of(account))
            if guard is not None:
                guard.check_at_sight(account.host, account.port)
        except NotAllowed as refusal:
            name = "port" if refusal.reason == "port" else "host"
            text = f"{refusal.message[:1].upper()}{refusal.message[1:]}. {refusal.cure}"
            error = ValidationError(text, code=refusal.reason)
            self.add_error(name if name in self.fields else None, error)
        except ImproperlyConfigured as problem:
            self.add_error(None, ValidationError(str(problem), code="settings"))

    def _keep_within(self, changed: list[str]) -> None:
        """Who may not grant access to internal hosts can't turn a granted one elsewhere."""
        if not self.instance.internal_host or "internal_host" in self.fields:
            return
        message = _(
            "This account may reach internal hosts. Only somebody who may grant that can lead it "
            "to another one."
        )
        for name in changed:
            if name in _WAY and name in self.fields:
                self.add_error(name, ValidationError(message, code="internal_host"))


_ASK = {
    "password": _(
        "Enter the password again, or remove it: it was stored for %(server)s and is not sent "
        "anywhere else. You changed: %(fields)s."
    ),
    "client_key": _(
        "Paste the key again, or remove it: it was stored for %(server)s and is not used "
        "anywhere else. You changed: %(fields)s."
    ),
}


def _is_server_of(proposal: Proposal, host: str) -> bool:
    return proposal.server is not None and normalise_host(host) == proposal.server.host
