"""Who is signed in to the admin, and the account that is there.

admin_client         a client that may do everything
staff(*codenames)    a client that may do this, and nothing else
account              a saved account with a password
"""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from tests.admin.pages import SECRET
from tests.backend_fixtures import mail_settings  # noqa: F401


@pytest.fixture(autouse=True)
def keys(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}


@pytest.fixture
def admin_client(client):
    """Signed in without a password, whose hashing would take most of the tests' time."""
    client.force_login(User.objects.create(username="admin", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff():
    """Each call signs in another user."""

    def sign_in(*codenames):
        user = User.objects.create(username=f"user{User.objects.count()}", is_staff=True)
        found = Permission.objects.filter(codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def account():
    return SMTPAccount.objects.create(
        slug="club",
        label="Club",
        host="smtp.example.com",
        username="club@example.com",
        password=SECRET,
    )
