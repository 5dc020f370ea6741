"""An app that a few tests install into the test site, with its tables."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from types import ModuleType

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.test import override_settings
from pytest_django import DjangoDbBlocker


@contextlib.contextmanager
def installed(path: str, blocker: DjangoDbBlocker, **overrides: object) -> Iterator[ModuleType]:
    """Installs the app of this dotted path for a block, outside of transactions; its models."""
    label = path.rpartition(".")[2]
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, path], **overrides):
        models = list(apps.get_app_config(label).get_models())
        with blocker.unblock(), connection.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        yield importlib.import_module(f"{path}.models")
        with blocker.unblock(), connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)
