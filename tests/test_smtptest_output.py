"""`manage.py smtptest`: what it shows, what it keeps back, what it writes into files."""

import base64
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from io import StringIO

import pytest
from django.core.management import call_command, get_commands, load_command_class

from django_smtpauth.diagnosis.report import STAGES
from django_smtpauth.management.smtptest import exits
from django_smtpauth.management.smtptest.arguments import epilog
from tests.requirements import require_server
from tests.servers.scripted import SILENCE
from tests.smtptest_fixtures import (
    OURS,
    _account,  # noqa: F401
    _server,  # noqa: F401
    _site,  # noqa: F401
    ending,
    failing,
    row,
    run,
    server_options,
    words,
)

TO = "you@example.org"
SECRET = "s3cr3t-pass"


@pytest.fixture
def here(site, server, certificates, settings):
    """The site's server; gives it."""
    settings.DEFAULT_FROM_EMAIL = "site@example.com"
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    return server


# How much


@pytest.mark.django_db
def test_the_more_is_asked_for_the_more_is_told(here):
    told = [run(TO, verbosity=verbosity) for verbosity in range(4)]
    assert [text.count("\n") > 1 for text in told] == [False, True, True, True]
    assert ["C: EHLO" in text for text in told] == [False, False, True, True]
    assert ["tls_minimum: 1.2" in text for text in told] == [False, False, False, True]
    assert ["Subject: Test message" in text for text in told] == [False, False, False, True]
    for text in told[1:]:
        assert max(map(len, text.splitlines())) < 80


@pytest.mark.django_db
def test_the_dialogue_has_the_time_of_each_answer(here):
    text = run(verbosity=2)
    assert re.search(r"^ +\d\.\d{3} +C: EHLO ", text, re.M)
    assert re.search(r"^ +\d\.\d{3} +\+\d\.\d{3} S: 250-scripted", text, re.M)


@pytest.mark.django_db
def test_the_message_can_be_hidden(here):
    assert "Subject: Test message" not in run(TO, "--hide-data", verbosity=3)


@pytest.mark.django_db
def test_what_a_server_says_does_not_reach_the_terminal_as_orders(site, scripted_server):
    server = scripted_server(replies={"MAIL": b"550 5.7.1 \x1b[2J\x07No\r\n"})
    site.use(OURS, host=server.host, port=server.port)
    for verbosity in range(4):
        text, _ = failing(TO, verbosity=verbosity)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[2J" in text or verbosity == 0


@pytest.mark.django_db
@pytest.mark.parametrize("given", [("-v3",), ("--json",), ("--hide-addresses", "-v3")])
def test_no_option_shows_a_secret(here, site, certificates, tmp_path, given):
    path = tmp_path / "dialogue"
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        out = run(TO, *given, "--mechanism", mechanism, "--transcript", str(path))
        for shown in (out, path.read_text()):
            assert SECRET not in shown
            assert base64.b64encode(SECRET.encode()).decode() not in shown
            plain = f"\0club@example.com\0{SECRET}".encode()
            assert base64.b64encode(plain).decode() not in shown


# Addresses


@pytest.mark.django_db
@pytest.mark.parametrize("given", [("-v3",), ("--json",), ("-v0",)])
def test_addresses_can_be_hidden_everywhere(here, tmp_path, given):
    path = tmp_path / "dialogue"
    text = run(TO, "--hide-addresses", "--transcript", str(path), *given)
    for shown in (text, path.read_text()):
        assert not re.search(r"\w@\w", shown)
    assert "RCPT TO:<address " in path.read_text()


@pytest.mark.django_db
def test_a_user_name_that_is_no_address_is_hidden_as_well(site, scripted_server):
    server = scripted_server(users={"clubhouse": SECRET})
    site.use(OURS, host=server.host, port=server.port, username="clubhouse", password=SECRET)
    assert "username: clubhouse" in run("-v3")
    assert "clubhouse" not in run("-v3", "--hide-addresses")


# JSON


@pytest.mark.django_db
def test_the_json_is_one_object_with_the_documented_keys(here):
    told = json.loads(run(TO, "--json", "--count", "2"))
    assert {"ok", "target", "began", "seconds", "stages", "findings", "result", "transcript"} == (
        told.keys() - {"count"}
    )
    assert told["ok"]
    assert told["count"]["sent"] == 2
    assert told["result"]["queue_id"] == "4bXyZ1"


@pytest.mark.django_db
def test_the_json_of_a_failure_has_cause_and_cure(here):
    text, error, code = ending("nobody@example.org", "--json")
    told = json.loads(text.splitlines()[0])
    assert not told["ok"]
    assert [one["rule"] for one in told["findings"] if one["severity"] == "error"]
    assert (error, code) == ("RCPT failed: no message was sent.", 24)


def test_the_json_where_there_is_no_server(site, account):
    text, _, code = ending("--account", "clubb", "--json")
    told = json.loads(text)
    assert told["target"] == {"kind": "account", "name": "clubb", "server": "", "rule": ""}
    assert told["stages"][0]["name"] == "CONFIGURATION"
    assert told["stages"][0]["status"] == "failed"
    assert code == 1


# Changes


@pytest.fixture
def refusals(site, scripted_server, settings):
    """A server that takes, refuses as often as it is told to, and then takes again."""
    settings.DEFAULT_FROM_EMAIL = "site@example.com"

    def start(*answers):
        # The address of the server is part of what a failure is known by.
        server = scripted_server(replies={"MAIL": list(answers)})
        site.use(OURS, host=server.host, port=server.port)
        return server

    return start


OK = b"250 2.1.0 Ok\r\n"
NO = b"550 5.7.1 Not you\r\n"
OTHER = b"452 4.3.1 Out of space\r\n"


@pytest.mark.django_db
def test_changes_tell_a_failure_once(refusals, tmp_path):
    refusals(OK, NO, NO, OTHER, OK, NO)
    path = tmp_path / "state"
    given = ("--check", "--changes", str(path))
    assert run(*given) == ""
    text, error, code = ending(*given)
    assert row(text, "FAILED").startswith("MAIL: the server said: 550")
    assert (error, code) == ("MAIL failed: nothing was sent.", 23)
    assert run(*given) == ""
    # Another failure is news, and so is the same one after a good run.
    assert "452" in failing(*given)[0]
    assert run(*given) == ""
    assert "550" in failing(*given)[0]
    assert "@" not in path.read_text()
    assert os.listdir(tmp_path) == ["state"]


def test_changes_of_all(site, account, tmp_path):
    site.use(OURS)
    given = ("--all", "--changes", str(tmp_path / "state"))
    assert run(*given) == ""
    account.port, account.password = 1, SECRET
    account.save()
    assert "account club" in failing(*given)[0]
    assert run(*given) == ""


@pytest.mark.django_db
@pytest.mark.parametrize("content", ["", "{}", '{"smtptest": 2}', "[1]"])
def test_a_file_that_is_not_of_changes_is_left_alone(here, tmp_path, content):
    path = tmp_path / "precious"
    path.write_text(content)
    _, error = failing("--changes", str(path))
    assert error.startswith(f"--changes: {path} can't be used: ")
    assert path.read_text() == content


# Somebody looks


@pytest.mark.django_db
@pytest.mark.parametrize("is_terminal", [True, False])
def test_there_is_a_bar_where_somebody_looks(here, is_terminal):
    class Errors(StringIO):
        def isatty(self):
            return is_terminal

    errors = Errors()
    call_command("smtptest", TO, count=3, stdout=StringIO(), stderr=errors)
    assert ("3 of 3" in errors.getvalue()) == is_terminal


@pytest.mark.django_db
def test_ctrl_c_leaves_json(site, scripted_server):
    def press(*_):
        os.kill(os.getpid(), signal.SIGINT)
        return SILENCE

    server = scripted_server(replies={"MAIL": press})
    site.use(OURS, host=server.host, port=server.port)
    text, error, code = ending("--check", "--json")
    told = json.loads(text)
    assert (told["ok"], told["interrupted"]) == (False, True)
    assert [one["name"] for one in told["stages"] if one["status"] == "ok"][-1] == "EHLO"
    assert (error, code) == ("Interrupted.", 130)


# The transcript


@pytest.mark.django_db
def test_the_transcript_goes_into_a_file(here, tmp_path):
    path = tmp_path / "dialogue"
    failing("nobody@example.org", "--transcript", str(path))
    text = path.read_text()
    assert f", {here.host}:{here.port}, 20" in text.splitlines()[0]
    assert "C: RCPT TO:<nobody@example.org>" in text
    _, error = failing("--transcript", str(tmp_path))
    assert error.startswith("--transcript: ")


@pytest.mark.django_db
@pytest.mark.parametrize("verbosity", [1, 2])
def test_its_own_output_can_be_explained(here, tmp_path, verbosity):
    path = tmp_path / "told"
    path.write_text(failing("nobody@example.org", verbosity=verbosity)[0])
    assert run("--explain", str(path)).strip().startswith("There is no such mailbox.")


# swaks


@pytest.mark.django_db
def test_the_line_for_swaks_says_the_same_without_the_password(here, certificates):
    line = run(TO, "--as-swaks", "--subject", "It's", "--mechanism", "PLAIN")
    assert shlex.split(line) == [
        *("swaks", "--server", here.host, "--port", str(here.port), "--timeout", "15s"),
        *("--tls", "--tls-verify", "--tls-ca-path", certificates.ca_file),
        *("--auth", "PLAIN", "--auth-user", "club@example.com"),
        *("--protect-prompt", "--auth-hide-password"),
        *("--from", "site@example.com", "--to", TO, "--header", "Subject: It's"),
    ]
    assert here.connections == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "--quit-after AUTH"),
        (("--check", TO), "--quit-after RCPT"),
        (("--stop-after", "greeting"), "--quit-after CONNECT"),
        (("--tls-min", "1.3"), "--tls-protocol tlsv1_3"),
        (("--lmtp", "-4"), "--protocol LMTP -4"),
        (("--ehlo", "me.example.com"), "--ehlo me.example.com"),
        (("--mechanism", "SCRAM-SHA-256"), "swaks has none of SCRAM-SHA-256: others are named."),
    ],
)
def test_what_the_line_for_swaks_says(here, given, told):
    assert told in words(run("--as-swaks", *given))


@pytest.mark.django_db
def test_swaks_takes_the_line(site, scripted_server, settings):
    if shutil.which("swaks") is None:
        require_server("swaks is absent: apt-get install swaks")
    settings.DEFAULT_FROM_EMAIL = "site@example.com"
    server = scripted_server()
    site.use(OURS, host=server.host, port=server.port)
    line = run(TO, "--as-swaks", "--body", "Hello", "--header", "X-Trial: yes")
    done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"X-Trial: yes" in server.messages[0].content
    assert server.messages[0].recipients == [TO]


# Help


def test_the_help_has_the_table_of_what_is_done():
    command = load_command_class(get_commands()["smtptest"], "smtptest")
    text = command.create_parser("manage.py", "smtptest").format_help()
    assert epilog() in text
    assert max(map(len, epilog().splitlines())) < 80


def test_every_stage_has_its_exit_code():
    assert exits.CODES.keys() == {*STAGES, "CONTENT"}
    assert not {exits.LOST, exits.INTERRUPTED, 0, 2} & set(exits.CODES.values())
