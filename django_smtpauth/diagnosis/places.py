"""What a setting is called where it has to be mended: in the account, or in the settings."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from ..conf import mailers_configured
from ..sending.mailer import EMAIL_SETTINGS, OPTIONS

#: Options that have another name than the account's field.
_OPTIONS = {"ca_text": "ca_file"}
#: Django's own settings that say the same as a field.
_SETTINGS = {**EMAIL_SETTINGS, "security": "EMAIL_USE_TLS, EMAIL_USE_SSL"}


def option_of(field: str) -> str:
    """The option that says the same as a field of the account; empty where there is none."""
    name = _OPTIONS.get(field, field)
    return name if name in OPTIONS else ""


@dataclass(frozen=True)
class Place:
    """Where to mend a field. It is rendered when it is shown; `place[other]` is another field.

    account: the slug of the account that was used; empty for the server of the settings.
    """

    field: str
    account: str = ""

    def __getitem__(self, field: str) -> Place:
        return Place(field, self.account)

    def __str__(self) -> str:
        if self.account:
            return _('"{label}" of the account {account}').format(
                label=self.label, account=self.account
            )
        if self.field == "from_email":
            return _("the setting {name}").format(name="DEFAULT_FROM_EMAIL")
        option = option_of(self.field)
        if not option:
            return _('"{label}" of the account').format(label=self.label)
        told = _("the option {option}").format(option=option)
        also = "" if mailers_configured() else _SETTINGS.get(option, "")
        return f"{told} ({also})" if also else told

    @property
    def label(self) -> str:
        """What the field is called in the admin."""
        # Models can't be imported before the apps are ready; sentences are shown later.
        from ..models import SMTPAccount

        return str(SMTPAccount._meta.get_field(self.field).verbose_name)  # type: ignore[union-attr]
