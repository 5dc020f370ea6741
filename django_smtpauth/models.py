"""The accounts that an administrator keeps."""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from email.utils import quote
from typing import TYPE_CHECKING, Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.mail import EmailMessage, send_mail
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_smtpauth import presets
from django_smtpauth.audit import MAX_NAME, AuditedRow
from django_smtpauth.choices import (
    Authentication,
    ChoiceField,
    Chunks,
    ForeignFrom,
    Protocol,
    Recipients,
    Returned,
    Security,
    SecurityField,
    TLSMinimum,
    WordsField,
    listed_presets,
)
from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.current import smtp_account
from django_smtpauth.names import ExactCharField, ExactSlugField
from django_smtpauth.secrets.client_certificate import ClientCertificate, InvalidClientCertificate
from django_smtpauth.secrets.destination import Destination, normalise_host, normalise_lines
from django_smtpauth.secrets.fields import EncryptedTextField
from django_smtpauth.secrets.rows import SealedManager, SealedQuerySet
from django_smtpauth.secrets.secret import FreshSecret
from django_smtpauth.secrets.token import SealingContext
from django_smtpauth.smtp.addresses import Mailbox
from django_smtpauth.smtp.endpoint import is_path
from django_smtpauth.validators import (
    is_sender,
    validate_certificates,
    validate_client_name,
    validate_host,
    validate_ip_address,
    validate_mechanisms,
    validate_name,
    validate_notify,
    validate_pins,
    validate_proxy,
    validate_sender,
    validate_senders,
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


#: Characters of a rule's id and of a finding's title, as a check keeps them.
MAX_RULE, MAX_TITLE = 64, 200

#: Flag -> the column that holds its slot.
SLOTS = {"is_default": "default_slot", "select_by_from": "sender_slot"}
_FLAGS = {slot: flag for flag, slot in SLOTS.items()}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: What a client certificate calls its parts -> the columns that hold them.
_CERTIFICATE_FIELDS = {"certificate_text": "client_certificate", "key_text": "client_key"}


class AccountQuerySet(SealedQuerySet):
    """Accounts, as code asks for them."""

    def enabled(self) -> "AccountQuerySet":
        """Those that may send."""
        return self.filter(enabled=True)

    def in_scope(self, scope: str | None = None) -> "AccountQuerySet":
        """Those of a tenant; without one, of the current tenant."""
        return self.filter(scope=smtpauth_settings.scope if scope is None else scope)

    def default(self, scope: str | None = None) -> "SMTPAccount | None":
        """The enabled default account of a tenant; without one, of the current tenant."""
        holders = self.enabled().in_scope(scope).filter(default_slot__isnull=False)
        return next((account for account in holders if account.is_default), None)


AccountManager = SealedManager.from_queryset(AccountQuerySet)


def _check(name: str, condition: models.Q) -> models.CheckConstraint:
    return models.CheckConstraint(condition=condition, name=f"smtpauth_account_{name}")


class SMTPAccount(AuditedRow):
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

    **The secrets** (`password`, `client_key`) are bound to the destination: host, port,
    security, username, verify, ca_text, tls_pin, allow_auth_without_tls, proxy, internal_host.
    After any of them changed a secret does not open until it is entered again. Saving a copy of
    an account leaves the copy's secrets empty.

    **The provider** (`preset`) fills in host, port and security where no host is given.
    """

    scope = ExactCharField(_("scope"), max_length=63, blank=True, default="")
    slug = ExactSlugField(_("short name"), max_length=63, db_index=False)
    label = models.CharField(_("label"), max_length=100, blank=True)
    notes = models.TextField(_("notes"), blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)

    preset = models.CharField(
        _("provider"), max_length=40, blank=True, default="", choices=listed_presets
    )
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
    tls_pin = models.TextField(_("pinned keys"), blank=True, validators=[validate_pins])
    tls_minimum = ChoiceField(
        _("oldest TLS"),
        max_length=8,
        choices=TLSMinimum.listed,
        blank=True,
        default=TLSMinimum.UNSAID,
    )
    allow_auth_without_tls = models.BooleanField(_("allow a password without TLS"), default=False)
    internal_host = models.BooleanField(_("internal host"), default=False)
    proxy = models.CharField(_("proxy"), max_length=300, blank=True, validators=[validate_proxy])
    source_address = models.CharField(
        _("source address"), max_length=45, blank=True, validators=[validate_ip_address]
    )
    ehlo_name = models.CharField(
        _("own name (EHLO)"), max_length=253, blank=True, validators=[validate_client_name]
    )
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

    authentication = ChoiceField(
        _("log-in"),
        max_length=16,
        choices=Authentication.listed,
        default=Authentication.PASSWORD,
    )
    auth_mechanisms = WordsField(
        _("allowed mechanisms"),
        max_length=200,
        blank=True,
        default="",
        validators=[validate_mechanisms],
    )
    username = models.CharField(_("user name"), max_length=254, blank=True)
    password = EncryptedTextField(_("password"), purpose="smtp account password", blank=True)
    client_certificate = models.TextField(
        _("client certificate"), blank=True, validators=[validate_certificates]
    )
    client_key = EncryptedTextField(
        _("key of the client certificate"), purpose="smtp account client key", blank=True
    )

    from_email = models.CharField(
        _("From address"), max_length=254, blank=True, validators=[validate_sender]
    )
    from_name = models.CharField(
        _("From name"), max_length=100, blank=True, validators=[validate_name]
    )
    may_send_as = models.TextField(_("may send as"), blank=True, validators=[validate_senders])
    foreign_from = ChoiceField(
        _("another From"),
        max_length=16,
        choices=ForeignFrom.listed,
        blank=True,
        default=ForeignFrom.UNSAID,
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

    objects = AccountManager()

    class Meta:
        verbose_name = _("SMTP account")
        verbose_name_plural = _("SMTP accounts")
        ordering = ["scope", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["scope", "slug"], name="smtpauth_account_slug"),
            _check("names", ~models.Q(slug="") & ~models.Q(host="")),
            _check("port", models.Q(port__gte=1, port__lte=65535)),
            _check("timeout", models.Q(timeout__isnull=True) | models.Q(timeout__range=(1, 3600))),
            _check(
                "certificate",
                ~models.Q(authentication="certificate") | ~models.Q(security="none"),
            ),
        ]
        permissions = [
            ("test_smtpaccount", _("Can test SMTP accounts")),
            ("change_secret_smtpaccount", _("Can change the secrets of SMTP accounts")),
            ("use_internal_host", _("Can let SMTP accounts reach internal hosts")),
        ]

    def __str__(self) -> str:
        return self.label or self.slug

    @property
    def address(self) -> str:
        """The address it sends from: `from_email`, or a user name that is one; else empty."""
        if self.from_email or not is_sender(self.username):
            return self.from_email
        return self.username

    @property
    def sender(self) -> str | None:
        """Name and address for a From; None when no address is known."""
        if not self.address or not self.from_name:
            return self.address or None
        # formataddr() takes ASCII addresses only.
        return f'"{quote(self.from_name)}" <{self.address}>'

    def send(self, message: EmailMessage) -> int:
        """Send through this account as it is now, saved or not; what `message.send()` returns.

        It goes through the site's mailer, so that tests and development catch it as all mail.
        """
        with smtp_account(self, only=True):
            return message.send()

    def send_mail(
        self,
        subject: str,
        message: str,
        from_email: str | None = None,
        recipient_list: Sequence[str] = (),
        **kwargs: Any,
    ) -> int:
        """Django's `send_mail()` through this account; by default from its address."""
        with smtp_account(self, only=True):
            return send_mail(subject, message, from_email or self.sender, recipient_list, **kwargs)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.fill_from_preset()
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
        return Destination.of(self._python_value)

    def sealing_context(self) -> SealingContext:
        destination = self.destination()
        row = str(self._python_value("uuid"))
        return SealingContext(row, destination.binding(), str(destination))

    def _python_value(self, name: str) -> Any:
        """An attribute as the database would give it back: 587 for "587"."""
        field: Any = self._meta.get_field(name)
        value = field.to_python(getattr(self, name))
        return "" if value is None and field.empty_strings_allowed else value

    # Validation

    def fill_from_preset(self) -> None:
        """Take the provider's server, and the user name that goes with the address, if no host
        is given."""
        preset = presets.get(self.preset)
        if preset is None or self.host:
            return
        self.host, self.port, self.security = preset.host, preset.port, preset.security
        self.username = self.username or preset.username.for_address(self.from_email)

    def clean(self) -> None:
        super().clean()
        self.host = self.host.strip()
        self.from_email = self.from_email.strip()
        for name in ("ca_text", "client_certificate", "tls_pin", "may_send_as"):
            setattr(self, name, normalise_lines(getattr(self, name)))

    def clean_fields(self, exclude: Any = None) -> None:
        self.fill_from_preset()
        errors: dict[str, Any] = {}
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as error:
            errors = error.update_error_dict(errors)
        for name, contradiction in self._contradictions():
            if name not in (exclude or ()) and name not in errors:
                errors[name] = [contradiction]
        if errors:
            raise ValidationError(errors)

    def _contradictions(self) -> Iterator[tuple[str, ValidationError]]:
        """What does not go together: the field to correct, and how."""
        if self.select_by_from and not self.from_email:
            message = _("An account that is chosen by its From address needs one.")
            yield "from_email", ValidationError(message, code="missing")
        yield from self._log_in_contradictions()
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

    def _log_in_contradictions(self) -> Iterator[tuple[str, ValidationError]]:
        if self.authentication == Authentication.PASSWORD and self.password and not self.username:
            message = _("A password needs its user name.")
            yield "username", ValidationError(message, code="missing")
        yield from self._broken_lines()
        if bool(self.client_key) != bool(self.client_certificate):
            missing, message = (
                ("client_certificate", _("A key needs its certificate."))
                if self.client_key
                else ("client_key", _("A certificate needs its key."))
            )
            yield missing, ValidationError(message, code="missing")
        yield from self._unfit_certificate()
        if self.authentication != Authentication.CERTIFICATE:
            return
        if not self.client_certificate:
            message = _("Paste the certificate that logs in, and its key.")
            yield "client_certificate", ValidationError(message, code="missing")
        if self.security == Security.NONE:
            message = _("A client certificate needs TLS: choose STARTTLS or implicit TLS.")
            yield "security", ValidationError(message, code="certificate")

    def _broken_lines(self) -> Iterator[tuple[str, ValidationError]]:
        """A user name, or a password that was just given, with more than one line: as of a file
        that was read with the line end at its end.
        """
        message = _("Remove line ends and control characters.")
        if _CONTROL.search(self.username):
            yield "username", ValidationError(message, code="line")
        if isinstance(self.password, FreshSecret) and _CONTROL.search(self.password.reveal()):
            yield "password", ValidationError(message, code="line")

    def _unfit_certificate(self) -> Iterator[tuple[str, ValidationError]]:
        """A key that was just given and can't be used with the certificate."""
        key = self.client_key
        if not self.client_certificate or not isinstance(key, FreshSecret):
            return
        try:
            ClientCertificate(self.client_certificate, key).check()
        except InvalidClientCertificate as error:
            name, message = _CERTIFICATE_FIELDS[error.field], error.args[1]
        else:
            return
        yield name, ValidationError(message, code="certificate")

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
            errors: dict[str, Any] = {}
            for fault in error.error_dict[NON_FIELD_ERRORS]:
                if fault.code == "unique_together":
                    message = _("Another account of this scope has this short name.")
                    errors["slug"] = [ValidationError(message, code=fault.code)]
                else:
                    errors.setdefault(NON_FIELD_ERRORS, []).append(fault)
            raise ValidationError(errors) from None

    def _taken(self, flag: str) -> str:
        holder = type(self)._base_manager.filter(**{SLOTS[flag]: self._slot_text(flag)}).first()
        message = (
            _("“%(account)s” is the default account of this scope. Change that one first.")
            if flag == "is_default"
            else _("“%(account)s” is chosen by this From address already. Change that one first.")
        )
        return str(message) % {"account": holder}


#: The fields of an account that hold secrets.
SECRETS = tuple(
    field.name for field in SMTPAccount._meta.local_fields if isinstance(field, EncryptedTextField)
)


class SMTPAccountHealth(models.Model):
    """What became of an account's real mail. Written apart from the account, so that a form that
    was open for an hour does not turn it back.

    successes, failures: how many since the last one of the other kind. failure_stage,
    failure_code, failure_status: where mail failed last, and the server's reply, if there was one.
    failure_text: one line without addresses. failure_rule: the id of the rule that knew the
    failure, empty if none was asked.
    """

    account = models.OneToOneField(
        SMTPAccount, models.CASCADE, primary_key=True, related_name="health"
    )
    last_success_at = models.DateTimeField(null=True)
    successes = models.PositiveIntegerField(default=0)
    last_failure_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    failure_stage = models.CharField(max_length=16, blank=True)
    failure_code = models.PositiveSmallIntegerField(null=True)
    failure_status = models.CharField(max_length=16, blank=True)
    failure_text = models.CharField(max_length=300, blank=True)
    failure_rule = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name = _("state of an SMTP account")
        verbose_name_plural = _("states of SMTP accounts")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.account)

    @property
    def is_failing(self) -> bool:
        """Whether the last thing that is known is a failure."""
        return self.failures > 0


class SMTPAccountCheck(models.Model):
    """The last check that somebody made of an account, in the admin. It holds neither secrets nor
    addresses. Written apart from the account, as its health is.

    at, by: when, and the user's name. ok: whether no stage failed. stage, rule, title: where it
    failed, and the rule that knew why. facts: what the server showed, see
    `diagnosis.last_check`. good_at, good_facts: the same of the last check without a failure.
    """

    account = models.OneToOneField(
        SMTPAccount, models.CASCADE, primary_key=True, related_name="last_check"
    )
    at = models.DateTimeField()
    by = models.CharField(max_length=MAX_NAME, blank=True)
    ok = models.BooleanField()
    stage = models.CharField(max_length=16, blank=True)
    rule = models.CharField(max_length=MAX_RULE, blank=True)
    title = models.CharField(max_length=MAX_TITLE, blank=True)
    facts = models.JSONField(default=dict)
    good_at = models.DateTimeField(null=True)
    good_facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("check of an SMTP account")
        verbose_name_plural = _("checks of SMTP accounts")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.account)


def normalise_sender(address: str) -> str:
    """An address for comparison: lower case, without quotes that it does not need, its domain as
    A-label.
    """
    local, _at, domain = address.strip().rpartition("@")
    with contextlib.suppress(ValueError):
        local = str(Mailbox.parse(local))
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
