"""The test settings with a database in a file, as a process of its own uses them."""

import os

from tests.settings import *  # noqa: F403

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["TEST_DATABASE"]}
}
if "TEST_SECOND_DATABASE" in os.environ:
    DATABASES["second"] = {**DATABASES["default"], "NAME": os.environ["TEST_SECOND_DATABASE"]}
SMTPAUTH = {
    "KEYS": os.environ.get("TEST_KEY_SOURCES", "env:TEST_KEY").split(),
    "ACCOUNT_REFRESH": 0,
    "DEFAULTS": {"ehlo_name": "client.test"},
}
