"""The page on keys: its settings and commands, from top to bottom, do what it says."""

import base64
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import execute_from_command_line
from django.db import connection

from django_smtpauth.models import SMTPAccount

PAGE = Path(__file__).parents[1] / "docs/keys.md"
FOLDER = "/run/secrets"

pytestmark = pytest.mark.django_db


def steps(folder):
    """Language and text of each block of the page, with another folder for the keys."""
    text = PAGE.read_text().replace(FOLDER, str(folder))
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)


def make(slug, **fields):
    values = {"host": "smtp.example.com", "password": f"secret of {slug}", **fields}
    return SMTPAccount.objects.create(slug=slug, **values)


def manage(line):
    python, *arguments = shlex.split(line)
    assert python == "python"
    execute_from_command_line(arguments)


def test_the_page_from_top_to_bottom(settings, tmp_path, capsys):
    settings.SMTPAUTH = {}
    printed = {}
    for language, code in steps(tmp_path):
        if language == "python":
            names = {}
            exec(code, names)
            settings.SMTPAUTH = names["SMTPAUTH"]
            if not SMTPAccount.objects.exists():
                make("club")
        elif language == "sh":
            for line in code.splitlines():
                manage(line)
                printed.setdefault(line, []).append(capsys.readouterr().out)
                assert "secret of" not in printed[line][-1]

    old, new = ((tmp_path / name).read_text() for name in ("smtpauth", "smtpauth-new"))
    old_id, new_id = (key.partition(":")[0] for key in (old, new))
    prefix = "python manage.py smtpkeys"
    assert f"1 would be resealed with key {new_id}" in printed[f"{prefix} rotate --dry-run"][0]
    assert f"1 resealed with key {new_id}" in printed[f"{prefix} rotate"][0]
    assert f"Nothing in this database is sealed with: {old_id}" in printed[f"{prefix} status"][0]
    assert json.loads(printed[f"{prefix} status --json"][0])["keys"] == [new_id]
    assert all("1 open, 0 do not" in out for out in printed[f"{prefix} verify"])
    assert "no issues" in printed["python manage.py check --database default"][0]
    assert SMTPAccount.objects.get().password.reveal() == "secret of club"


def test_the_status_that_the_page_shows(settings, tmp_path, capsys):
    (shown,) = [code for language, code in steps(tmp_path) if language == "text"]
    new, old, foreign = (
        f"{name}:{base64.b64encode(os.urandom(32)).decode()}"
        for name in re.findall(r"^ +\d+  (k\w+)", shown, re.M)
    )
    for key, count in ((new, 9), (old, 2), (foreign, 1)):
        settings.SMTPAUTH = {"KEYS": [key]}
        for n in range(count):
            make(f"{key[:9]}-{n}")
    damaged = make("damaged")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE smtpauth_smtpaccount SET password = 'plain' WHERE id = %s", [damaged.pk]
        )
    settings.SMTPAUTH = {"KEYS": [new, old]}
    manage("python manage.py smtpkeys status")
    printed = capsys.readouterr().out
    assert all(part.strip("\n") in printed for part in shown.split("\n\n"))


def test_the_sources_and_numbers_of_the_page():
    from django_smtpauth.secrets import checks, keyring, rotation

    text = PAGE.read_text()
    assert f'"{keyring.DERIVE}"' in text
    assert f"how many rows ({rotation.BATCH_SIZE})" in text
    assert f"first {checks.MOST_SECRETS:,} secrets" in text
