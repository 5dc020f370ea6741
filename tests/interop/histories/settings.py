"""A site that keeps the history of its accounts in both of the usual ways."""

from tests.file_database_settings import *  # noqa: F403
from tests.file_database_settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "simple_history", "reversion", "tests.interop.histories"]
