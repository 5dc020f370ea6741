"""`manage.py smtpaccounts` as processes of their own: pipes, exit codes, docs/provisioning.md."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import django
import pytest

from django_smtpauth.management.commands.smtpaccounts import Command
from django_smtpauth.secrets.keyring import generate_key
from tests.backend_fixtures import MAILERS_MODE
from tests.test_docs import snippets

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/provisioning.md"
SECRET = "Geheim-42-Wort"

SETTINGS = """\
from tests.file_database_settings import *

DATABASES["other"] = {**DATABASES["default"], "NAME": DATABASES["default"]["NAME"] + ".other"}
if "MAILERS" in globals():
    MAILERS["default"]["OPTIONS"] = {"host": "smtp.example.com", "security": "starttls"}
else:
    EMAIL_HOST, EMAIL_USE_TLS = "smtp.example.com", True
"""
MANAGE = """\
import sys
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""


@pytest.fixture
def site(tmp_path):
    """Runs a line of the shell in a site's directory; `python` is this one."""
    (tmp_path / "site_settings.py").write_text(SETTINGS)
    (tmp_path / "manage.py").write_text(MANAGE)
    shim = tmp_path / "bin" / "python"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "TEST_DATABASE": str(tmp_path / "site.sqlite3"),
        "TEST_KEY": generate_key(),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "PATH": os.pathsep.join([str(shim.parent), os.environ["PATH"]]),
        "BILLING_PASSWORD": SECRET,
        "NEWS_PASSWORD": SECRET,
    }

    def site(line, stdin=b"", code=0, **more):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=tmp_path,
            env={**environment, **more},
            input=stdin,
            capture_output=True,
            timeout=120,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, out + err
        assert SECRET not in out + err
        return out, err

    return site


@pytest.fixture
def migrated(site):
    site("python manage.py migrate -v 0")
    return site


def test_the_page_s_commands(site, scripted_server, tmp_path):
    server = scripted_server(users={"ci": SECRET})
    where = {"SMTP_HOST": server.host, "SMTP_PORT": str(server.port)}
    (tmp_path / "billing").write_text(SECRET + "\n")
    (lines,) = snippets(PAGE, "json")
    lines = lines.replace("/run/secrets/billing", str(tmp_path / "billing"))
    (tmp_path / "accounts.jsonl").write_text(lines)
    first, deploy, ci, copy, move, settings = snippets(PAGE, "sh")
    site("python manage.py migrate -v 0")

    out, _ = site(first)
    assert out.startswith("billing: created\nbilling: changed (password)\n")
    assert "stored" in out

    out, _ = site(deploy)
    assert out.endswith("billing: unchanged\nnews: created\n")
    out, _ = site(deploy)
    assert out.endswith("billing: unchanged\nnews: unchanged\n")

    out, _ = site(ci, **where)
    assert out.startswith("staging: created\n")
    assert "log-in work" in out
    assert out.endswith("staging: deleted\n")

    out, _ = site(copy)
    assert out == "billing: unchanged\nnews: unchanged\n"

    out, _ = site(move)
    assert out.count("smtp.example.com  ->  smtp.example.net") == 2
    assert out.endswith("billing: changed (host, password)\n")

    out, _ = site(settings)
    assert out.count("main: created\n") == 2
    names = {}
    exec(out[out.index("# Django") :], names)
    assert list(names["MAILERS"]) == ["default", "billing", "main", "news"]


def test_the_page_s_task_for_ansible(migrated):
    (task,) = snippets(PAGE, "yaml")
    command = re.search(r"cmd: (.*)", task)[1]
    wanted = re.search(r"stdin: \"{{ (.*) \| to_json }}\"", task)[1]
    line = json.dumps(eval(wanted, {"billing_password": SECRET})) + "\n"
    line = line.replace('"password"', '"username": "club", "password"')
    results = [json.loads(migrated(command, line.encode())[0])["result"] for _ in "ab"]
    assert results == ["created", "unchanged"]


def test_the_page_names_every_action_and_option():
    text = PAGE.read_text()
    parser = Command().create_parser("manage.py", "smtpaccounts")
    (actions,) = (one.choices for one in parser._actions if one.dest == "action")
    assert len(actions) == 10
    for name, action in actions.items():
        assert f"`{name}" in text
        shown = re.findall(r"^  (--[a-z-]+)", action.format_help(), re.M)
        assert shown
        for option in shown:
            assert option in text, option


def test_a_secret_in_a_pipe_shows_nowhere(migrated):
    line = json.dumps({"slug": "billing", "host": "a b", "username": "x", "password": SECRET})
    for stdin in (line, line[:-1], line.replace("host", SECRET[:6])):
        _, err = migrated("python manage.py smtpaccounts set - --traceback", stdin.encode(), 1)
        assert "line 1" in err
        assert "Traceback" in err


def test_exit_codes_and_silence(migrated):
    migrated("python manage.py smtpaccounts frobnicate", code=2)
    migrated("python manage.py smtpaccounts set", code=1)
    _, err = migrated("python manage.py smtpaccounts enable nobody -v 0", code=1)
    assert "nobody: there is no such account" in err
    command = "python manage.py smtpaccounts set a host=smtp.example.com"
    assert migrated(f"{command} -v 0") == ("", "")
    assert migrated(f"{command} --no-color") == ("a: unchanged\n", "")


def test_another_database(migrated):
    command = "python manage.py smtpaccounts"
    migrated("python manage.py migrate -v 0 --database other")
    migrated(f"{command} set a host=smtp.example.com is_default=1")
    # Its own slugs, and its own default.
    out, _ = migrated(f"{command} set a host=smtp.example.org is_default=1 --database other")
    assert out == "a: created\n"
    out, _ = migrated(f"{command} set b host=smtp.example.org --database other")
    _, err = migrated(f"{command} set b is_default=1 --database other", code=1)
    assert "the account 'a' has this already" in err
    out, _ = migrated(f"{command} list --json")
    assert [json.loads(line)["fields"]["host"] for line in out.splitlines()] == [
        "smtp.example.com"
    ]


def test_a_terminal_without_the_letters(migrated):
    command = "python manage.py smtpaccounts"
    migrated(f"{command} set a host=smtp.example.com label=お知らせ")
    out, _ = migrated(f"{command} list", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert "\\u304a" in out


@pytest.mark.skipif(MAILERS_MODE or django.VERSION < (6, 1), reason="needs Django 6.1 only once")
def test_the_exported_setting_is_the_settings_of_a_site(migrated, tmp_path):
    migrated("python manage.py smtpaccounts set billing host=smtp.example.com")
    out, _ = migrated("python manage.py smtpaccounts export-mailers")
    (tmp_path / "new_settings.py").write_text(
        "import os\nos.environ['SMTPAUTH_TEST_MAILERS'] = '1'\n"
        f"from tests.file_database_settings import *\n{out}"
    )
    out, _ = migrated(
        "python -W error manage.py smtpaccounts import-settings --all && "
        "python -W error manage.py check --tag mail",
        DJANGO_SETTINGS_MODULE="new_settings",
    )
    assert "no issues" in out
