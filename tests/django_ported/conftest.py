"""The fixtures of the tests of behaviour that Django's own suite demands of its SMTP backend."""

import pytest

from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    mail_settings,
    smtp_server,
)


@pytest.fixture
def server(smtp_server):  # noqa: F811
    """The site's server: every message that is sent in the test goes there."""
    return smtp_server()
