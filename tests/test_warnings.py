"""No warning points at our modules, whatever form the settings have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import django
import pytest

import django_smtpauth
from django_smtpauth.secrets.keyring import generate_key

ROOT = Path(__file__).parents[1]
PACKAGE = Path(django_smtpauth.__file__).parent

LEGACY = """
EMAIL_BACKEND = "django_smtpauth.backends.EmailBackend"
EMAIL_HOST, EMAIL_PORT = "127.0.0.1", {port}
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = "club", "secret"
EMAIL_TIMEOUT = 10
"""
MAILERS = """
OPTIONS = {{"host": "127.0.0.1", "port": {port}, "username": "club", "password": "secret"}}
MAILERS = {{"default": {{"BACKEND": "django_smtpauth.backends.EmailBackend", "OPTIONS": OPTIONS}}}}
"""

#: A site's life: everything is imported, checked, migrated, sent through and administered.
SITE = """
import json, sys, warnings

with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    warnings.warn("warnings are seen")
    import pkgutil, django
    from pathlib import Path
    django.setup()
    import django_smtpauth
    for source in Path(django_smtpauth.__file__).parent.rglob("*.py"):
        compile(source.read_text(), str(source), "exec")  # whether or not it was compiled before
    for module in pkgutil.walk_packages(django_smtpauth.__path__, "django_smtpauth."):
        __import__(module.name)

    from django.core import mail
    from django.core.management import call_command
    call_command("check", "--deploy", fail_level="CRITICAL", stderr=sys.stderr)
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    call_command("migrate", verbosity=0)

    arguments = ("S", "B", "a@example.com", ["to@example.org"])
    assert mail.send_mail(*arguments) == 1
    assert mail.send_mail(*arguments, fail_silently=True) == 1
    assert mail.send_mail(*arguments, auth_user="club", auth_password="secret") == 1
    assert mail.send_mass_mail([arguments]) == 1
    backend = mail.get_connection(fail_silently=True)
    with backend:
        assert backend.send_messages([mail.EmailMessage(*arguments)]) == 1
    if django.VERSION >= (6, 1):
        with mail.mailers.default as backend:
            assert backend.send_messages([mail.EmailMessage(*arguments)]) == 1
    from django_smtpauth.backends import EmailBackend
    assert type(backend) is EmailBackend
    EmailBackend(host="127.0.0.1", fail_silently=True).close()

    from django.contrib.auth.models import User
    from django.test import Client
    from django_smtpauth.models import SMTPAccount
    account = SMTPAccount(slug="club", host="smtp.example.com", password="secret")
    account.save()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    pages = [f"{account.pk}/{name}/" for name in ("change", "history", "delete")]
    for page in ["", "add/", *pages]:
        answer = client.get("/admin/smtpauth/smtpaccount/" + page, secure=True)
        assert answer.status_code == 200, (page, answer.status_code)

print(json.dumps([[warning.filename, str(warning.message)] for warning in seen]))
"""


@pytest.fixture(params=["legacy", "mailers"])
def form(request):
    if request.param == "mailers" and django.VERSION < (6, 1):
        pytest.skip("MAILERS came with Django 6.1")
    return request.param


@pytest.fixture
def seen(form, scripted_server, tmp_path):
    """Every warning of a site's life: the file that it points at, and its text."""
    server = scripted_server(users={"club": "secret"})
    text = MAILERS if form == "mailers" else LEGACY
    settings = "from tests.file_database_settings import *\n" + text.format(port=server.port)
    (tmp_path / "site_settings.py").write_text(settings)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
        "SMTPAUTH_TEST_MAILERS": "1" if form == "mailers" else "",
        "TEST_DATABASE": str(tmp_path / "site.sqlite3"),
        "TEST_KEY": generate_key(),
    }
    done = subprocess.run(
        [sys.executable, "-c", SITE], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_warning_points_at_our_modules(seen, form):
    ours = [found for found in seen if Path(found[0]).is_relative_to(PACKAGE)]
    assert ours == []
    assert "warnings are seen" in [text for _, text in seen]
    # Django itself deprecates some of the calls above: those point at the site.
    if django.VERSION >= (6, 1):
        assert any("get_connection() is deprecated" in text for _, text in seen)
        assert any("EMAIL_HOST" in text for _, text in seen) == (form == "legacy")
