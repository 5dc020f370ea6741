"""The accounts that an administrator keeps."""

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_smtpauth.choices import (
    ChoiceField,
    Chunks,
    Protocol,
    Recipients,
    Returned,
    Security,
    SecurityField,
    WordsField,
)
from django_smtpauth.secrets.destination import Destination, normalise_host, normalise_lines
from django_smtpauth.secrets.fields import EncryptedTextField
from django_smtpauth.secrets.rows import SealedRow
from django_smtpauth.secrets.token import SealingContext
from django_smtpauth.smtp.endpoint import is_path
from django_smtpauth.validators import (
    validate_certificates,
    validate_host,
    validate_notify,
    validate_sender,
)

if TYPE_CHECKING:
    _SlotCharField = models.CharField[str | None, str | None]
else:
    _SlotCharField = models.CharField


class SlotField(_SlotCharField):
    """A nullable unique text that only one row can hold. Migrations see a plain CharField."""

    def pre_save(self, model_instance: Any, add: bool) -> Any:
        # A history's copy of the row has no flags.
        if isinstance(model_instance, SMTPAccount):
            model_instance.sync_slot(self.attname)
        return super().pre_save(model_instance, add)

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


#: Flag -> the column that holds its slot.
SLOTS = {"is_default": "default_slot", "select_by_from": "sender_slot"}
_FLAGS = {slot: flag for flag, slot in SLOTS.items()}


class SMTPAccount(SealedRow):
    """One identity at one SMTP server.

    **What is unique.** A slug within its scope; and two promises with a condition: one default
    account per scope, and one account per scope and From address that is chosen by that address.
    Conditional constraints are not enforced by every database, so each promise is a *slot*: a
    nullable unique column that holds a digest of what is promised. The slot is the only stored
    truth. `is_default` and `select_by_from` are properties: true if the row holds the slot that
    its own scope (and From address) calls for. Hence no path can break a promise: there is no
    column `is_default` that `update()` could set in two rows, and a row whose scope or address
    is changed past `save()` merely stops being the default or being chosen. They can be given to
    the constructor and assigned; `save()`, `create()` and `bulk_create()` fill the slots and
    raise IntegrityError when another row holds one. In queries use `default_slot__isnull` and
    `sender_slot__isnull`.

    **The password** is bound to the destination: host, port, security, username, verify,
    ca_text, allow_auth_without_tls. After any of them changed it does not open until it is
    entered again. Saving a copy of an account leaves the copy's password empty.
    """

    scope = models.CharField(_("scope"), max_length=63, blank=True, default="")
    slug = models.SlugField(_("short name"), max_length=63, db_index=False)
    label = models.CharField(_("label"), max_length=100, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)

    host = models.CharField(_("server"), max_length=253, validators=[validate_host])
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    security = SecurityField(
        _("security"), max_length=16, choices=Security.listed, default=Security.STARTTLS
    )
    verify = models.BooleanField(_("verify the certificate"), default=True)
    ca_text = models.TextField(
        _("own certificate authority"), blank=True, validators=[validate_certificates]
    )
    allow_auth_without_tls = models.BooleanField(_("allow a password without TLS"), default=False)
    timeout = models.FloatField(
        _("time-out"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
    )

    protocol = ChoiceField(
        _("protocol"), max_length=16, choices=Protocol.listed, default=Protocol.SMTP
    )
    bdat = ChoiceField(
        _("send content in chunks"),
        max_length=16,
        choices=Chunks.listed,
        blank=True,
        default=Chunks.UNSAID,
    )
    recipients = ChoiceField(
        _("if a recipient is refused"),
        max_length=16,
        choices=Recipients.listed,
        blank=True,
        default=Recipients.UNSAID,
    )
    require_tls = models.BooleanField(_("demand TLS all the way"), null=True, blank=True)
    dsn_notify = WordsField(
        _("delivery reports"),
        max_length=32,
        blank=True,
        default="",
        validators=[validate_notify],
    )
    dsn_ret = ChoiceField(
        _("delivery reports contain"),
        max_length=16,
        choices=Returned.listed,
        blank=True,
        default=Returned.UNSAID,
    )

    username = models.CharField(_("user name"), max_length=254, blank=True)
    password = EncryptedTextField(_("password"), purpose="smtp account password", blank=True)

    from_email = models.CharField(
        _("From address"), max_length=254, blank=True, validators=[validate_sender]
    )

    default_slot = SlotField(
        _("default account"), max_length=64, null=True, blank=True, unique=True, editable=False
    )
    sender_slot = SlotField(
        _("chosen by its From address"),
        max_length=64,
        null=True,
        blank=True,
        unique=True,
        editable=False,
    )

    class Meta:
        verbose_name = _("SMTP account")
        verbose_name_plural = _("SMTP accounts")
        ordering = ["scope", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["scope", "slug"], name="smtpauth_account_slug")
        ]

    def __str__(self) -> str:
        return self.label or self.slug

    def save(self, *args: Any, **kwargs: Any) -> None:
        update_fields = kwargs.get("update_fields")
        if update_fields is not None:
            kwargs["update_fields"] = _with_slots(update_fields)
        super().save(*args, **kwargs)

    # Flags and slots

    @property
    def is_default(self) -> bool:
        """Whether this is the default account of its scope."""
        return self._flag("is_default")

    @is_default.setter
    def is_default(self, value: bool) -> None:
        self.__dict__[_wish("is_default")] = bool(value)

    @property
    def select_by_from(self) -> bool:
        """Whether a message whose From is `from_email` goes through this account."""
        return self._flag("select_by_from")

    @select_by_from.setter
    def select_by_from(self, value: bool) -> None:
        self.__dict__[_wish("select_by_from")] = bool(value)

    def sync_slot(self, slot: str) -> None:
        """Let a slot's column say what its flag says. Called before each save."""
        flag = _FLAGS[slot]
        setattr(self, slot, self._slot_text(flag) if self._flag(flag) else None)

    def _flag(self, flag: str) -> bool:
        wish: bool | None = self.__dict__.get(_wish(flag))
        if wish is not None:
            return wish
        held = getattr(self, SLOTS[flag])
        return held is not None and held == self._slot_text(flag)

    def _slot_text(self, flag: str) -> str | None:
        if flag == "is_default":
            return _digest("default", self.scope or "")
        if not self.from_email:
            return None
        return _digest("from", self.scope or "", normalise_sender(self.from_email))

    def _remember_flags(self) -> None:
        """Turn loaded slots into wishes, so that editing the From address keeps its flag."""
        for flag in SLOTS:
            self.__dict__.pop(_wish(flag), None)
            if {SLOTS[flag], "scope", "from_email"} <= self.__dict__.keys():
                self.__dict__[_wish(flag)] = self._flag(flag)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> "SMTPAccount":
        account = super().from_db(*args, **kwargs)
        account._remember_flags()
        return account

    def refresh_from_db(
        self, using: str | None = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        names = None if fields is None else set(fields)
        super().refresh_from_db(using, names, from_queryset)
        if names is None or names & _FLAGS.keys():
            self._remember_flags()

    # Sealing

    def destination(self) -> Destination:
        """Where this account's password may go, from the attributes as they are now."""
        return Destination(
            host=normalise_host(self._python_value("host") or ""),
            port=self._python_value("port"),
            security=self._python_value("security"),
            username=self._python_value("username") or "",
            verify=self._python_value("verify"),
            ca_text=normalise_lines(self._python_value("ca_text") or ""),
            allow_auth_without_tls=self._python_value("allow_auth_without_tls"),
        )

    def sealing_context(self) -> SealingContext:
        destination = self.destination()
        row = str(self._python_value("uuid"))
        return SealingContext(row, destination.binding(), str(destination))

    def _python_value(self, name: str) -> Any:
        """An attribute as the database would give it back: 587 for "587"."""
        field: Any = self._meta.get_field(name)
        return field.to_python(getattr(self, name))

    # Validation

    def clean(self) -> None:
        super().clean()
        self.host = self.host.strip()
        self.from_email = self.from_email.strip()
        self.ca_text = normalise_lines(self.ca_text)

    def clean_fields(self, exclude: Any = None) -> None:
        errors: dict[str, Any] = {}
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        for name, contradiction in self._contradictions():
            if name not in (exclude or ()):
                errors.setdefault(name, []).append(contradiction)
        if errors:
            raise ValidationError(errors)

    def _contradictions(self) -> Iterator[tuple[str, ValidationError]]:
        """What does not go together: the field to correct, and how."""
        if self.select_by_from and not self.from_email:
            message = _("An account that is chosen by its From address needs one.")
            yield "from_email", ValidationError(message, code="required")
        unprotected = self.security == Security.NONE
        if is_path(self.host) and not unprotected:
            message = _(
                "A Unix socket has no name that a certificate could be checked against: "
                "choose “None”. What is sent there does not leave this machine."
            )
            yield "security", ValidationError(message, code="path")
        if self.require_tls and (unprotected or not self.verify):
            message = _(
                "Over a connection without TLS, or without verification of the certificate, no "
                "message could be sent then: choose STARTTLS or implicit TLS and verify the "
                "certificate, or demand nothing here."
            )
            yield "require_tls", ValidationError(message, code="unprotected")

    def validate_unique(self, exclude: Any = None) -> None:
        for slot in _FLAGS:
            self.sync_slot(slot)
        try:
            super().validate_unique(exclude)
        except ValidationError as error:
            errors = error.update_error_dict({})
            for flag, slot in SLOTS.items():
                if errors.pop(slot, None):
                    errors[flag] = [ValidationError(self._taken(flag), code="unique")]
            raise ValidationError(errors) from None

    def validate_constraints(self, exclude: Any = None) -> None:
        try:
            super().validate_constraints(exclude)
        except ValidationError as error:
            errors = error.update_error_dict({})
            if errors.pop(NON_FIELD_ERRORS, None):
                message = _("Another account of this scope has this short name.")
                errors["slug"] = [ValidationError(message, code="unique_together")]
            raise ValidationError(errors) from None

    def _taken(self, flag: str) -> str:
        holder = type(self)._base_manager.filter(**{SLOTS[flag]: self._slot_text(flag)}).first()
        message = (
            _("“%(account)s” is the default account of this scope. Change that one first.")
            if flag == "is_default"
            else _("“%(account)s” is chosen by this From address already. Change that one first.")
        )
        return str(message) % {"account": holder}


def normalise_sender(address: str) -> str:
    """An address for comparison: lower case, its domain as A-label."""
    local, _at, domain = address.strip().rpartition("@")
    return f"{local.lower()}@{normalise_host(domain)}"


def _wish(flag: str) -> str:
    return f"_{flag}"


def _digest(*parts: str) -> str:
    """A text of fixed length that no database's collation takes for another one."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _with_slots(update_fields: Any) -> set[str]:
    """The fields to update, with each slot that depends on one of them."""
    names = set(update_fields)
    if names & {"scope", "is_default"}:
        names.add("default_slot")
    if names & {"scope", "from_email", "select_by_from"}:
        names.add("sender_slot")
    return names - SLOTS.keys()
