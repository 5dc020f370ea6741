"""The settings of a process of the test site whose database is in PostgreSQL."""

import os

from tests.file_database_settings import *  # noqa: F403

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["TEST_PORT"],
        "NAME": os.environ["TEST_NAME"],
        "USER": os.environ["TEST_USER"],
        "PASSWORD": os.environ["TEST_PASSWORD"],
    }
}
