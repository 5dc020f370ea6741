"""What the demonstration needs in the database: tables, a key, accounts, a superuser."""

from io import StringIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils.crypto import get_random_string

from django_smtpauth.models import SMTPAccount
from django_smtpauth.testing.certificates import Authority

TRUSTED = "demo"
UNTRUSTED = "stranger"


def prepare():
    """The data folder with the key that seals the accounts' passwords, and the tables."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    key = settings.DATA_DIR / "smtpauth.key"
    if not key.exists():
        call_command("smtpkeys", "generate", output=key, stdout=StringIO(), stderr=StringIO())
    call_command("migrate", verbosity=0, interactive=False)


def create_accounts(server):
    """Two accounts of one server; only one knows the authority of its certificate."""
    SMTPAccount.objects.filter(slug__in=[TRUSTED, UNTRUSTED]).delete()
    SMTPAccount.objects.update(default_slot=None)
    common = {
        "host": server.host,
        "port": server.port,
        # The server is on this machine, where accounts reach nothing otherwise.
        "internal_host": True,
        "security": "starttls",
        "username": server.username,
        "password": server.password,
        "from_email": "club@example.com",
    }
    SMTPAccount.objects.create(
        slug=TRUSTED,
        label="Demo server",
        ca_text=server.ca_text,
        is_default=True,
        **common,
    )
    SMTPAccount.objects.create(
        slug=UNTRUSTED,
        label="Demo server, wrong authority",
        ca_text=Authority("Somebody else's authority").pem,
        **common,
    )


def create_superuser():
    """User name and password of a superuser, both new."""
    users = get_user_model().objects
    users.filter(username="demo").delete()
    password = get_random_string(12)
    users.create_superuser("demo", "demo@example.com", password)
    return "demo", password
