import pytest

from django_smtpauth.secrets.keyring import generate_key
from tests.secrets.stored import make


@pytest.fixture
def sealing_key(settings):
    """One key in the settings; gives its text."""
    key = generate_key()
    settings.SMTPAUTH = {"KEYS": [key]}
    return key


@pytest.fixture
def account():
    """A saved account at smtp.example.com with the password hunter2."""
    saved = make()
    saved.save()
    return saved
