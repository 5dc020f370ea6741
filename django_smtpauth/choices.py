"""What an account can choose from, and the fields that take nothing else."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_smtpauth import presets

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField

#: Why "tls" is refused as a value of `security`.
SECURITY_HINT = _(
    "Choose implicit_tls, starttls, opportunistic or none. Django's EMAIL_USE_TLS is starttls; "
    "its EMAIL_USE_SSL is implicit_tls; “tls” could mean either."
)
#: What people choose where an account says nothing of its own.
AS_THE_SETTINGS = _("As the site's settings say")


class Choices(models.TextChoices):
    """Choices that a field asks for when it needs them, so that a new one is no migration."""

    @classmethod
    def listed(cls) -> Any:
        """Value and label of each. A migration knows this function, and not its result."""
        return cls.choices


class Security(Choices):
    """How the connection is protected."""

    STARTTLS = "starttls", _("STARTTLS (usual on port 587)")
    IMPLICIT_TLS = "implicit_tls", _("Implicit TLS (usual on port 465)")
    OPPORTUNISTIC = "opportunistic", _("Opportunistic: not encrypted if the server offers no TLS")
    NONE = "none", _("None: not encrypted")


class Authentication(Choices):
    """How an account logs in."""

    PASSWORD = "password", _("User name and password")
    NONE = "none", _("Not at all: the server knows this machine by its address")
    CERTIFICATE = "certificate", _("Client certificate")


class ForeignFrom(Choices):
    """What becomes of a message whose From is not an address of the account."""

    UNSAID = "", _("As the provider needs it")
    REFUSE = "refuse", _("Refuse it")
    REWRITE = "rewrite", _("Send from the account's address; the author gets the replies")
    ALLOW = "allow", _("Send it as it is")


class TLSMinimum(Choices):
    """The oldest version of TLS that is spoken."""

    UNSAID = "", AS_THE_SETTINGS
    TLS_1_2 = "1.2", _("TLS 1.2")
    TLS_1_3 = "1.3", _("TLS 1.3")


class Protocol(Choices):
    """What the server speaks."""

    SMTP = "smtp", _("SMTP: a mail server (usual)")
    LMTP = "lmtp", _("LMTP: the delivery agent of local mailboxes")


class Chunks(Choices):
    """When the content goes in chunks (BDAT)."""

    UNSAID = "", AS_THE_SETTINGS
    NEVER = "never", _("Never")
    AFTER_RCPT = "after_rcpt", _("Once the server has answered for the recipients")
    EAGER = "eager", _("At once, together with sender and recipients (fastest)")


class Recipients(Choices):
    """Who gets a message of which a recipient was refused."""

    UNSAID = "", AS_THE_SETTINGS
    ANY = "any", _("Everybody else still gets the message")
    ALL = "all", _("Nobody gets the message")


class Notification(Choices):
    """When a delivery report is wanted."""

    SUCCESS = "SUCCESS", _("When the message was delivered")
    FAILURE = "FAILURE", _("When it could not be delivered")
    DELAY = "DELAY", _("When it is delayed")
    NEVER = "NEVER", _("Never, not even of failures")


class Returned(Choices):
    """How much of the message a delivery report contains."""

    UNSAID = "", AS_THE_SETTINGS
    FULL = "FULL", _("The whole message")
    HDRS = "HDRS", _("Its header only")


def listed_presets() -> Any:
    """Slug and name of each provider; a migration knows this function only."""
    return presets.choices()


class CheckedField(_CharField):
    """A text that no path to the database can bring in unchecked.

    Migrations see a plain CharField.
    """

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if isinstance(value, str):
            try:
                value = self.clean(value, None)
            except ValidationError as error:
                raise ValueError(f"{self.name}={value!r}: {' '.join(error.messages)}") from None
        return super().get_db_prep_save(value, connection)

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class ChoiceField(CheckedField):
    """One of its `choices`."""

    default_error_messages = {"invalid_choice": _("Choose one of: %(choices)s.")}

    def validate(self, value: Any, model_instance: Any) -> None:
        try:
            super().validate(value, model_instance)
        except ValidationError as error:
            if error.code == "invalid_choice":
                values = ", ".join(value for value, _label in self.flatchoices if value)
                error.params = {"value": value, "choices": values}
            raise


class SecurityField(ChoiceField):
    """One of `Security`; what else people write is explained to them."""

    default_error_messages = {"invalid_choice": SECURITY_HINT}


class WordsField(CheckedField):
    """Words with commas in between; kept once each, in upper case, without spaces."""

    def clean(self, value: Any, model_instance: Any) -> Any:
        if isinstance(value, str):
            words = dict.fromkeys(word.strip().upper() for word in value.split(","))
            value = ",".join(filter(None, words))
        return super().clean(value, model_instance)
