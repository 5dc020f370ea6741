"""`EncryptedTextField`: a text column whose content only this row's owner can open.

What an attribute, a column and each way between them hold:

    assigned str                   plaintext, always, also when it looks like a token; ValueError
                                   for stars, which stand for a hidden secret
    attribute                      None or a Secret
    column, values()               a SealedToken's text; NULL when there is no secret
    save(), bulk_create()          seal (`pre_save`, which alone knows the row)
    update(), bulk_update(), raw   take tokens and None; TypeError for a text or a fresh secret
    loaddata                       takes tokens; they open only in the row they were sealed for
"""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db import models
from django.db.models.expressions import Case, Value
from django.db.models.functions import Cast
from django.db.models.query_utils import DeferredAttribute

from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.formfields import (
    CLEAR,
    SecretFormField,
    SecretInput,
    SecretWidget,
    refuse_redaction,
)
from django_smtpauth.secrets.secret import (
    FreshSecret,
    Secret,
    StoredSecret,
    Unfit,
    hide,
    is_redaction,
)
from django_smtpauth.secrets.token import SealedToken, SealingContext

if TYPE_CHECKING:
    _TextField = models.TextField[Secret | SealedToken | str | None, Secret | None]
else:
    _TextField = models.TextField


class SecretAttribute(DeferredAttribute):
    """Keeps None, a SealedToken or a FreshSecret in the instance; hands out Secrets."""

    field: "EncryptedTextField"

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, SealedToken):
            return StoredSecret(value, self.field.purpose, lambda: _context_of(instance), instance)
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        value = hide(value)
        kept, before = self._kept(instance, value), instance.__dict__.get(self.field.attname)
        instance.__dict__[self.field.attname] = kept
        if isinstance(kept, FreshSecret) or (kept is None and before is not None):
            note_secret_change = getattr(instance, "note_secret_change", None)
            if note_secret_change is not None:
                note_secret_change()

    def _kept(self, instance: Any, value: Any) -> SealedToken | FreshSecret | None:
        if value is None or isinstance(value, SealedToken):
            return value
        if isinstance(value, FreshSecret):
            return self._typed(value)
        if isinstance(value, StoredSecret):
            return self._moved(instance, value)
        kind = value.kind if isinstance(value, Unfit) else type(value).__name__
        raise TypeError(
            f"{self.field} takes a text or None, not {kind}; an expression would be stored "
            "unencrypted."
        )

    def _typed(self, secret: FreshSecret) -> FreshSecret | None:
        if is_redaction(secret.reveal()):
            raise ValueError(
                f"{self.field} was given the stars that stand for a hidden secret. Assign the "
                "secret itself, or leave the attribute alone to keep what is stored."
            )
        return secret if secret else None

    def _moved(self, instance: Any, secret: StoredSecret) -> SealedToken | None:
        """What remains of a row's secret that is assigned to `instance`."""
        if _are_one_row(secret.owner, instance):
            return secret.token
        if instance._state.adding:
            return None
        raise TypeError(
            "The sealed secret of one row does not open in another. Assign the text itself: "
            ".reveal()"
        )


class EncryptedTextField(_TextField):
    """A nullable text column, sealed with AES-256-GCM and bound to its row.

    `purpose` is a fixed text, a part of what is sealed: it must never change, and differ between
    the columns of one model. The model is a `SealedRow`, or has `sealing_context()` and a uuid.
    An empty text is no secret and is stored as NULL. The only lookup is `isnull`.
    """

    descriptor_class = SecretAttribute
    default_validators = [refuse_redaction]

    def __init__(self, *args: Any, purpose: str, **kwargs: Any) -> None:
        self.purpose = purpose
        kwargs["null"] = True
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["null"]
        kwargs["purpose"] = self.purpose
        return name, path, args, kwargs

    # From the database, from a fixture

    def from_db_value(self, value: str | None, *_: Any) -> SealedToken | None:
        return SealedToken(value) if value else None

    def to_python(self, value: Any) -> Any:
        """A token, if the deserialiser brings one. A plaintext passes and is refused later,
        since an error raised here would be printed with the value.
        """
        if isinstance(value, str):
            token = SealedToken(value)
            return token if token.valid else value
        return value

    # To the database, to a fixture

    def pre_save(self, model_instance: Any, add: bool) -> Any:  # noqa: ARG002
        become_own_row = getattr(model_instance, "become_own_row", None)
        if become_own_row is not None:
            become_own_row()
        value = getattr(model_instance, self.attname)
        if isinstance(value, FreshSecret):
            token = value.seal(self.purpose, model_instance.sealing_context()) if value else None
            setattr(model_instance, self.attname, token)
            return token
        return value

    def get_db_prep_value(
        self,
        value: Any,
        connection: Any,  # noqa: ARG002
        prepared: bool = False,  # noqa: ARG002
    ) -> Any:
        if isinstance(value, StoredSecret):
            value = value.token
        if isinstance(value, SealedToken):
            return value.text
        if value is None:
            return None
        raise TypeError(
            f"{self} stores sealed secrets only, and a secret is sealed when its row is saved: "
            "assign the text to the attribute and call save(). update(), bulk_update() and "
            "fixtures can't do it."
        )

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if hasattr(value, "as_sql") and not _made_by_bulk_update(value):
            raise TypeError(f"{self} can't be set from an expression: it would not be encrypted.")
        return super().get_db_prep_save(value, connection)

    def value_to_string(self, obj: Any) -> str:
        text: str = self.get_db_prep_value(self.value_from_object(obj), connection=None)
        return text

    # Queries and forms

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(
                f"{self} is encrypted: the only lookup is isnull, not {lookup_name!r}."
            )
        return super().get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> Any:
        raise FieldError(f"{self} is encrypted: the only lookup is isnull, not {lookup_name!r}.")

    def formfield(self, **kwargs: Any) -> Any:
        """A write-only field: what an admin or a form proposes as widget would show the value."""
        widget = kwargs.get("widget")
        if not isinstance(widget, SecretWidget):
            kwargs["widget"] = SecretInput
        kwargs["form_class"] = SecretFormField
        return models.Field.formfield(self, **kwargs)

    def save_form_data(self, instance: Any, data: Any) -> None:
        if data is CLEAR:
            setattr(instance, self.name, None)
        elif data:
            setattr(instance, self.name, data)


def _are_one_row(one: Any, other: Any) -> bool:
    """Whether two instances stand for the same row; a history's table keeps its uuid only."""
    if type(one) is type(other) and one.pk == other.pk:
        return True
    return str(one.uuid) == str(other.uuid)


def _context_of(instance: Any) -> SealingContext:
    """Asked at use: a migration's model has no such method, nor has a history's, and yet both
    save their rows.
    """
    sealing_context = getattr(instance, "sealing_context", None)
    if sealing_context is None:
        raise SecretUnreadable(
            f"A secret does not open in {instance._meta.label}, whose rows are copies: it opens "
            "in the row that it was stored for.",
            reason="mismatch",
        )
    context: SealingContext = sealing_context()
    return context


def _made_by_bulk_update(expression: Any) -> bool:
    """Whether this is the CASE of bulk_update(), whose values are prepared by the field."""
    if isinstance(expression, Cast):
        (expression,) = expression.get_source_expressions()
    return isinstance(expression, Case) and all(
        isinstance(case.result, Value)
        and isinstance(getattr(case.result, "_output_field_or_none", None), EncryptedTextField)
        for case in expression.cases
    )
