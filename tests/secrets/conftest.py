import pytest

from django_smtpauth.secrets.keyring import generate_key


@pytest.fixture
def sealing_key(settings):
    """One key in the settings; gives its text."""
    key = generate_key()
    settings.SMTPAUTH = {"KEYS": [key]}
    return key
