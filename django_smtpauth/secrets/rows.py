"""Rows that own sealed secrets: their identity, and what happens to it when one is copied."""

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_smtpauth.secrets.fields import EncryptedTextField
from django_smtpauth.secrets.secret import FreshSecret, hide
from django_smtpauth.secrets.token import SealingContext

if TYPE_CHECKING:
    _Manager = models.Manager[Any]
    _QuerySet = models.QuerySet[Any]
    _UUIDField = models.UUIDField[uuid.UUID, uuid.UUID]
else:
    _Manager, _QuerySet, _UUIDField = models.Manager, models.QuerySet, models.UUIDField


class RowUUIDField(_UUIDField):
    """The row's identity; a copy of a row gets a new one. Migrations see a plain UUIDField."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        if isinstance(model_instance, SealedRow):
            model_instance.become_own_row()
        return super().pre_save(model_instance, add)

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.UUIDField", args, kwargs


def _hidden(model: type[models.Model], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name of a model or a query, also those in `defaults`, without plaintext."""
    hidden = {**arguments}
    for name, value in arguments.items():
        if name in ("defaults", "create_defaults") and isinstance(value, Mapping):
            hidden[name] = _hidden(model, value)
    for field in model._meta.concrete_fields:
        if isinstance(field, EncryptedTextField) and field.attname in hidden:
            hidden[field.attname] = hide(hidden[field.attname])
    return hidden


def _hiding(name: str) -> Callable[..., Any]:
    """The method of this name, which is called with hidden secrets."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple(_hidden(self.model, a) if isinstance(a, Mapping) else a for a in args)
        kwargs = _hidden(self.model, kwargs)
        return getattr(super(_HidesSecrets, self), name)(*args, **kwargs)

    method.__name__ = name
    method.alters_data = True  # type: ignore[attr-defined]
    return method


class _HidesSecrets:
    """Whatever fails in the methods that take values, no frame shows a secret among these."""

    create, acreate = _hiding("create"), _hiding("acreate")
    update, aupdate = _hiding("update"), _hiding("aupdate")
    get_or_create, aget_or_create = _hiding("get_or_create"), _hiding("aget_or_create")
    update_or_create = _hiding("update_or_create")
    aupdate_or_create = _hiding("aupdate_or_create")


class SealedQuerySet(_HidesSecrets, _QuerySet):
    """Rows with secrets."""


class SealedManager(_HidesSecrets, _Manager):
    """Their manager. `from_queryset()` leaves its methods, or Django's frames would come first."""


class SealedRow(models.Model):
    """A model with EncryptedTextFields.

    A subclass has a `SealedManager`, and says in `sealing_context()` what its secrets are bound
    to. Saving a stored row anew (`pk = None`, or `_state.adding = True`, by `save()` or
    `bulk_create()`) makes a copy: it gets a uuid of its own, and its secrets are empty, unless new
    ones were assigned. The same holds for a row that was deleted and is saved again.
    """

    uuid = RowUUIDField(_("identity"), default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs:
            # Whatever fails from here on, Django's frames don't show a secret.
            kwargs = _hidden(type(self), kwargs)
        super().__init__(*args, **kwargs)

    def save(self, *args: Any, **kwargs: Any) -> None:
        fresh = {
            attname: self.__dict__[attname]
            for attname in self._secret_attnames()
            if isinstance(self.__dict__.get(attname), FreshSecret)
        }
        self.become_own_row()
        try:
            super().save(*args, **kwargs)
        except BaseException:
            # Sealed already, perhaps, for a destination that the caller corrects before the
            # next attempt.
            self.__dict__.update(fresh)
            raise
        self.__dict__.pop("_became_own", None)

    def sealing_context(self) -> SealingContext:
        """What the secrets of this row are bound to, from the attributes as they are now."""
        raise NotImplementedError

    def become_own_row(self) -> None:
        """Give a copy of a stored row its own uuid and take the secrets from it. Idempotent."""
        stored = self._state.db is not None and (self._state.adding or self.pk is None)
        if not stored or "_became_own" in self.__dict__:
            return
        self.__dict__["_became_own"] = True
        self.uuid = uuid.uuid4()
        for attname in self._secret_attnames():
            if not isinstance(self.__dict__.get(attname), FreshSecret):
                self.__dict__[attname] = None

    def validate_unique(self, exclude: Any = None) -> None:
        self.become_own_row()
        super().validate_unique(exclude)

    def _secret_attnames(self) -> list[str]:
        return [
            field.attname
            for field in self._meta.concrete_fields
            if isinstance(field, EncryptedTextField)
        ]
