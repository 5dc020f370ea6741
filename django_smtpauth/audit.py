"""Who made and changed a row, and its secrets, and when."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_smtpauth.secrets.rows import SealedRow

if TYPE_CHECKING:
    from datetime import datetime

    _DateTimeField = models.DateTimeField[datetime | None, datetime | None]
    _CharField = models.CharField[str, str]
else:
    _DateTimeField = models.DateTimeField
    _CharField = models.CharField

#: Characters of a user name, as Django has them.
MAX_NAME = 150


class AuditedRow(SealedRow):
    """A row with secrets that remembers who saved it.

    `actor` says who is at work: the admin and the commands set it before they save; what is
    saved without one was changed by nobody known. Names and not keys are kept, so that they
    outlive their users and need no table of users. `update()` and SQL leave no trace here.
    """

    created_at = _DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = _CharField(_("created by"), max_length=MAX_NAME, blank=True, editable=False)
    changed_at = _DateTimeField(_("changed"), default=timezone.now, editable=False)
    changed_by = _CharField(_("changed by"), max_length=MAX_NAME, blank=True, editable=False)
    secret_changed_at = _DateTimeField(_("secret changed"), null=True, editable=False)
    secret_changed_by = _CharField(
        _("secret changed by"), max_length=MAX_NAME, blank=True, editable=False
    )

    #: The user name of whoever is about to save this object.
    actor: str = ""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        stamped = self._stamp()
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], *stamped}
        super().save(*args, **kwargs)
        self.__dict__.pop("_secret_changed", None)

    def note_secret_change(self) -> None:
        """Called when a secret is assigned or removed; the next save says by whom."""
        self.__dict__["_secret_changed"] = True

    def _stamp(self) -> list[str]:
        """Fill in what this save is going to be; the names of the fields that say it."""
        now, actor = timezone.now(), self.actor[:MAX_NAME]
        if self._state.adding:
            self.created_at, self.created_by = now, actor
        self.changed_at, self.changed_by = now, actor
        if "_secret_changed" not in self.__dict__:
            return ["changed_at", "changed_by"]
        self.secret_changed_at, self.secret_changed_by = now, actor
        return ["changed_at", "changed_by", "secret_changed_at", "secret_changed_by"]
