"""The tenants of the site."""

from __future__ import annotations

import importlib
from typing import Any

from django.conf import settings

_package: Any = importlib.import_module(f"{settings.PACKAGE}.models")
_Tenant: Any = getattr(_package, "TenantMixin", None) or _package.TenantModel


class Shop(_Tenant):
    """A tenant. Its schema is made, and migrated, when it is saved."""


if settings.PACKAGE == "django_tenants":

    class Domain(_package.DomainMixin):
        """Where django-tenants has the names of a tenant's hosts."""

elif settings.PACKAGE == "django_pgschemas":
    _routing: Any = importlib.import_module("django_pgschemas.routing.models")

    class Domain(_routing.DomainModel):  # type: ignore[no-redef]
        """Where django-pgschemas has the names of a tenant's hosts."""
