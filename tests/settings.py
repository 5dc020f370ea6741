"""Settings of the test suite.

SMTPAUTH_TEST_MAILERS=1 selects Django 6.1's MAILERS form. SMTPAUTH_TEST_DATABASE is the setting
DATABASES["default"] as JSON; without it the tests use SQLite in memory.
"""

import json
import os

SECRET_KEY = "tests-only-" + "x" * 40
DEBUG = False
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_smtpauth",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": json.loads(
        os.environ.get("SMTPAUTH_TEST_DATABASE")
        or '{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}'
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.mysql":
    # It needs no compiler, as mysqlclient, which Django knows, does on Linux.
    import pymysql

    pymysql.install_as_MySQLdb()
STATIC_URL = "static/"

if os.environ.get("SMTPAUTH_TEST_MAILERS"):
    MAILERS = {"default": {"BACKEND": "django_smtpauth.backends.EmailBackend", "OPTIONS": {}}}
else:
    EMAIL_BACKEND = "django_smtpauth.backends.EmailBackend"
