"""Text columns that tell names apart letter by letter, on every database.

MySQL and MariaDB compare by the collation of the database, which takes “cafe”, “Cafe” and “café”
for one name: then one tenant would see the accounts of another.
"""

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
    _SlugField = models.SlugField[str, str]
else:
    _CharField = models.CharField
    _SlugField = models.SlugField

_EXACT = {"mysql": "utf8mb4_bin"}


class ExactCharField(_CharField):
    """A short text that equals nothing but itself."""

    def db_parameters(self, connection: Any) -> Any:
        return _exact(super().db_parameters(connection), connection)


class ExactSlugField(_SlugField):
    """A slug that equals nothing but itself."""

    def db_parameters(self, connection: Any) -> Any:
        return _exact(super().db_parameters(connection), connection)


def _exact(parameters: Any, connection: Any) -> Any:
    collation = _EXACT.get(connection.vendor)
    return {**parameters, "collation": collation} if collation else parameters
