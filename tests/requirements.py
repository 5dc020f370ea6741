"""What a test needs beside Python: real servers, and packages that few tox environments have.

On a user's machine a test whose need is absent is skipped with the reason. Where the need was
promised (in CI every server, in tox's interop environments every package) it fails instead, so
that a green run can't be one that tested nothing.
"""

import importlib
import os
from types import ModuleType
from typing import NoReturn

import pytest


def require_server(reason: str) -> NoReturn:
    """End the test because its server isn't there: failed when CI=true, else skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def require_package(module: str) -> ModuleType:
    """Import a package that an integration test drives; without it the test is skipped.

    With SMTPAUTH_TEST_PACKAGES=1 (tox's interop environments) its absence is a failure.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        reason = f"{module} can't be imported: {error}"
        if os.environ.get("SMTPAUTH_TEST_PACKAGES") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
