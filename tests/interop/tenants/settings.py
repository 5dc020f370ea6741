"""The settings of the site; the environment says which package, and where PostgreSQL is."""

import os
from typing import Any

PACKAGE = os.environ["SMTPAUTH_TEST_TENANTS"]
#: Where the accounts are: "tenant" for a table in each schema, "shared" for one in public.
ACCOUNTS = os.environ["SMTPAUTH_TEST_ACCOUNTS"]

_SITE = "tests.interop.tenants"
_BACKENDS = {
    "django_tenants": "django_tenants.postgresql_backend",
    "tenant_schemas": "tenant_schemas.postgresql_backend",
    "django_pgschemas": "django_pgschemas.postgresql",
}
_ROUTERS = {
    "django_tenants": "django_tenants.routers.TenantSyncRouter",
    "tenant_schemas": "tenant_schemas.routers.TenantSyncRouter",
    "django_pgschemas": "django_pgschemas.routers.TenantAppsRouter",
}

SECRET_KEY = "tests-only-" + "x" * 40
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"

SHARED_APPS = [PACKAGE, _SITE, "django.contrib.contenttypes"]
TENANT_APPS = ["django.contrib.auth"]
(TENANT_APPS if ACCOUNTS == "tenant" else SHARED_APPS).append("django_smtpauth")
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
DATABASE_ROUTERS = [_ROUTERS[PACKAGE]]
DATABASES = {
    "default": {
        "ENGINE": _BACKENDS[PACKAGE],
        "HOST": os.environ["TEST_HOST"],
        "PORT": os.environ["TEST_PORT"],
        "NAME": os.environ["TEST_DATABASE"],
        "USER": os.environ["TEST_USER"],
        "PASSWORD": os.environ["TEST_PASSWORD"],
    }
}
TENANT_MODEL = "tenants.Shop"
TENANT_DOMAIN_MODEL = "tenants.Domain"
if PACKAGE == "django_pgschemas":
    _models = {"TENANT_MODEL": TENANT_MODEL, "DOMAIN_MODEL": TENANT_DOMAIN_MODEL}
    TENANTS: dict[str, dict[str, Any]] = {
        "public": {"APPS": SHARED_APPS},
        "default": {**_models, "APPS": TENANT_APPS, "URLCONF": ROOT_URLCONF},
    }

_OURS = "django_smtpauth.backends.EmailBackend"
_DEFAULTS = {"ehlo_name": "client.test"}
_PUBLIC_SERVER = int(os.environ["TEST_PUBLIC_SERVER"])
SMTPAUTH = {"KEYS": ["env:TEST_KEY"], "ACCOUNT_REFRESH": 1000, "DEFAULTS": _DEFAULTS}
if os.environ.get("SMTPAUTH_TEST_MAILERS"):
    _server = {"host": "127.0.0.1", "port": _PUBLIC_SERVER}
    SMTPAUTH["DEFAULTS"] = {**_DEFAULTS, **_server}
    MAILERS = {"default": {"BACKEND": _OURS}}
else:
    EMAIL_BACKEND = _OURS
    EMAIL_HOST, EMAIL_PORT = "127.0.0.1", _PUBLIC_SERVER
