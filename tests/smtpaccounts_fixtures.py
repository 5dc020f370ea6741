"""How tests run `manage.py smtpaccounts`.

    run(*words, stdin=)       what it printed; its standard error is `run.err`
    refused(*words, stdin=)   the words with which it fails
    terminal(*answers)        from here on a person at a terminal gives these answers

A module imports the fixtures that it uses, under their names with an underscore; `_keys` is used
by itself.
"""

import io
import json
import sys

import pytest
from django.core.management import CommandError, call_command

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from tests.leaks import shown_by_trackers

SECRET = "Geheim-42-Wort"


@pytest.fixture(autouse=True)
def _keys(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()], "DEFAULTS": {"ehlo_name": "client.test"}}


@pytest.fixture(name="run")
def _run(capsys, monkeypatch):
    """Runs the command; gives what it printed. stdin: octets, or lines as objects for JSON."""

    def run(*words, stdin=b""):
        if not isinstance(stdin, bytes):
            stdin = "".join(json.dumps(line) + "\n" for line in stdin).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        call_command("smtpaccounts", *words)
        printed = capsys.readouterr()
        run.err = printed.err
        assert SECRET not in printed.out + printed.err
        return printed.out

    return run


@pytest.fixture(name="refused")
def _refused(run):
    """Runs the command, which fails; gives its words. No frame of it shows the secret."""

    def refused(*words, stdin=b""):
        with pytest.raises(CommandError) as caught:
            run(*words, stdin=stdin)
        said = str(caught.value)
        assert SECRET not in said
        if not any(SECRET in word for word in words):
            assert SECRET not in shown_by_trackers(caught.value)
        return said

    return refused


@pytest.fixture(name="terminal")
def _terminal(monkeypatch):
    """A person at the terminal who gives these answers."""

    def terminal(*answers):
        left = list(answers)
        monkeypatch.setattr("builtins.input", lambda _: left.pop(0))
        monkeypatch.setattr("getpass.getpass", lambda _: left.pop(0))
        monkeypatch.setattr(io.TextIOWrapper, "isatty", lambda self: True, raising=False)
        return left

    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    return terminal


def get(slug="billing", scope=""):
    return SMTPAccount.objects.get(slug=slug, scope=scope)


def create(slug="billing", **fields):
    values = {"host": "smtp.example.com", "username": "billing@example.com"}
    return SMTPAccount.objects.create(slug=slug, **{**values, "password": SECRET, **fields})
