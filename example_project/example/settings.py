"""Settings of the example site. What concerns mail is at the end."""

import os
from pathlib import Path

import django
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
# Database and keys: nothing of it belongs into a repository.
DATA_DIR = Path(os.environ.get("EXAMPLE_DATA", BASE_DIR / "data"))

# Sessions of the example end with the process. A real site keeps its key.
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_smtpauth",
    "demo",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "example.urls"
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
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "site.sqlite3"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"

# Mail: one line, and where the keys are that seal the accounts' passwords.
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django_smtpauth.backends.EmailBackend"}}
else:
    EMAIL_BACKEND = "django_smtpauth.backends.EmailBackend"

SMTPAUTH = {"KEYS": [f"file:{DATA_DIR / 'smtpauth.key'}"]}
DEFAULT_FROM_EMAIL = "Zoë at the club <club@example.com>"
