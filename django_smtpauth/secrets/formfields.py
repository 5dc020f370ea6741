"""Form field and widget of a secret: it goes in, and never comes out."""

from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_smtpauth.secrets.secret import FreshSecret, Secret, StoredSecret, hide, is_redaction


class _Choice:
    """A choice of the user that is no text."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: The user ticked the box that removes the stored secret.
CLEAR: Final = _Choice("CLEAR")
#: The user ticked it and typed a new secret too.
CONTRADICTION: Final = _Choice("CONTRADICTION")


def refuse_redaction(value: Any) -> None:
    """A validator: stars and bullets, which stand for a hidden secret, are no secret.

    Takes a text or a FreshSecret. Raises ValidationError.
    """
    text = value.reveal() if isinstance(value, FreshSecret) else value
    if isinstance(text, str) and is_redaction(text):
        raise ValidationError(
            _("These stars stand for a secret that is hidden. Enter the secret itself."),
            code="redaction",
        )


@dataclass(frozen=True)
class SecretState:
    """What a form shows of a secret: whether one is stored, and why it can't be opened."""

    stored: bool = False
    problem: str = ""

    @classmethod
    def of(cls, value: Any) -> "SecretState":
        """The state of an attribute's value. Opens the secret, and forgets it."""
        if isinstance(value, cls):
            return value
        if isinstance(value, StoredSecret):
            return cls(stored=True, problem=str(value.problem() or ""))
        return cls()

    def describe(self) -> str:
        """One sentence for people."""
        if self.problem:
            return str(_("Stored, but unreadable. %(problem)s")) % {"problem": self.problem}
        return str(_("Stored.") if self.stored else _("Not set."))


class SecretWidget(forms.Widget):
    """An always empty input, the state of what is stored, and a box to remove it."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        state = SecretState.of(value)
        attrs = {**(attrs or {})}
        state_id = f"{attrs.get('id', name)}-state"
        described = f"{attrs.get('aria-describedby', '')} {state_id}".strip()
        attrs["aria-describedby"] = described
        parts = [super().render(name, None, attrs, renderer), self._state(state, state_id)]
        if state.stored and not self.is_required:
            parts.append(self._clear_box(name, attrs))
        content = format_html_join("", "{}", ((part,) for part in parts))
        return format_html('<div class="smtpauth-secret">{}</div>', content)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """A FreshSecret, None (keep), CLEAR or CONTRADICTION."""
        text = data.get(name)
        clear = forms.CheckboxInput().value_from_datadict(data, files, self.clear_name(name))
        if clear and not self.is_required:
            return CONTRADICTION if text else CLEAR
        return hide(text) if text else None

    @staticmethod
    def clear_name(name: str) -> str:
        """The name of the box that removes the secret."""
        return f"{name}-clear"

    @staticmethod
    def _state(state: SecretState, state_id: str) -> SafeString:
        if state.problem:
            return format_html(
                '<div class="errornote" id="{}">{}</div>', state_id, state.describe()
            )
        # Django's admin indents a div of this class, since it expects it beside a label.
        return format_html(
            '<div><span class="help" id="{}">{}</span></div>', state_id, state.describe()
        )

    def _clear_box(self, name: str, attrs: dict[str, Any]) -> SafeString:
        clear_name = self.clear_name(name)
        clear_id = f"{attrs.get('id', name)}-clear"
        return format_html(
            # The class lets Django's admin set the label beside the box.
            '<div><span class="clearable-file-input"><input type="checkbox" name="{}" id="{}"> '
            '<label for="{}">{}</label></span></div>',
            clear_name,
            clear_id,
            clear_id,
            _("Remove what is stored"),
        )


class SecretInput(SecretWidget, forms.PasswordInput):
    """The one for a secret of one line."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "new-password", **(attrs or {})}, render_value=False)


class SecretTextarea(SecretWidget, forms.Textarea):
    """The one for a secret of several lines, such as a key in PEM: an `<input>` would lose their
    ends.
    """

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "off", "spellcheck": "false", **(attrs or {})})


class SecretFormField(forms.Field):
    """Cleans to a FreshSecret, None (keep what is stored) or CLEAR. Blank keeps.

    A required field must be typed anew each time and can't be cleared.
    """

    widget = SecretInput
    default_validators = [refuse_redaction]
    default_error_messages = {
        "contradiction": _("Type a new value or tick the box that removes it, not both."),
    }

    def clean(self, value: Any) -> Any:
        if isinstance(value, str):
            value = FreshSecret(value) if value else None
        if value is CONTRADICTION:
            raise ValidationError(self.error_messages["contradiction"], code="contradiction")
        if value is CLEAR:
            return value
        return super().clean(value)

    def bound_data(self, data: Any, initial: Any) -> Any:  # noqa: ARG002
        """What is shown after a failed submit: the stored state, not what was typed."""
        return initial

    def prepare_value(self, value: Any) -> SecretState:
        return SecretState.of(value)

    def has_changed(self, initial: Any, data: Any) -> bool:  # noqa: ARG002
        return isinstance(data, (Secret, _Choice)) or bool(data)


def hide_typed(form: forms.BaseForm) -> None:
    """Replace the secrets among a form's data, which error trackers may show of a form, by
    FreshSecrets. What belongs to the request stays as it is.
    """
    names = [
        form.add_prefix(name)
        for name, field in form.fields.items()
        if isinstance(field, SecretFormField)
    ]
    data: Any = form.data
    typed = {name: hide(data[name]) for name in names if data.get(name)}
    if typed:
        form.data = data = data.copy()
        for name, secret in typed.items():
            data[name] = secret
