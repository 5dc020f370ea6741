"""The example site: its demonstration, its page, and the way they end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MANAGE = Path(__file__).resolve().parents[1] / "example_project" / "manage.py"


@pytest.fixture
def environment(tmp_path):
    """The data of the example site in a place of its own; the tests' settings forgotten."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO", "SMTPAUTH"))}
    root = str(MANAGE.parent.parent)
    return {**kept, "EXAMPLE_DATA": str(tmp_path / "data"), "PYTHONPATH": root}


def command(*arguments):
    return [sys.executable, "-u", "-X", "dev", "-W", "error", str(MANAGE), *arguments]


def manage(environment, *arguments, **options):
    return subprocess.run(
        command(*arguments),
        env=environment,
        cwd=environment["EXAMPLE_DATA"].rpartition(os.sep)[0],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_the_demonstration(environment):
    first = manage(environment, "demo")
    assert (first.returncode, first.stderr) == (0, "")
    shown = first.stdout
    assert "C: AUTH PLAIN [redacted]" in shown
    assert re.search(r"Accepted +juergen@example\.org: 250 2\.0\.0 OK: queued as \w+", shown)
    assert "\n| .profile is not the end of this message." in shown
    assert shown.count("\n  ok  ") == 8
    assert "WRONG" not in shown
    assert re.search(r"with another authority: the certificate of localhost does not", shown)
    # The account of the first run is replaced: its server is gone.
    second = manage(environment, "demo")
    assert (second.returncode, second.stderr) == (0, "")


def test_a_difference_is_a_failure(environment, tmp_path):
    (tmp_path / "spoilt.py").write_text(
        "from example.settings import *\n"
        "import demo.message\n"
        "demo.message.RenderedMessage.own_octets = lambda self: b'something else'\n"
    )
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    done = manage(environment, "demo", "--settings=spoilt")
    assert done.returncode == 1
    assert re.search(r"WRONG +14 octets arrived", done.stdout)
    assert done.stderr == "CommandError: 1 of 8 things did not come out as they must.\n"


PAGE = """
from django.test import Client
from demo.site import create_accounts, prepare
from django_smtpauth.models import SMTPAccount
from django_smtpauth.testing.server import MailServer

prepare()
with MailServer() as server:
    server.refuse["nobody@example.org"] = "550 5.1.1 Nobody"
    create_accounts(server)
    client = Client()
    data = {"to": "a@example.org, nobody@example.org", "account": "", "subject": "Hi", "body": "x"}
    for changes in ({}, {"account": "stranger"}, {"to": "not an address"}):
        print(client.post("/", {**data, **changes}).content.decode(), "=" * 20)
    account = SMTPAccount.objects.get(slug="demo")
    account.username = "other"
    account.save()
    print(client.post("/", data).content.decode(), "=" * 20)
    assert len(server.messages) == 1
"""


def test_the_page_shows_the_outcome(environment):
    done = manage(environment, "shell", "-v", "0", "-c", PAGE)
    assert done.returncode == 0, done.stderr
    partly, untrusted, invalid, shut, _ = done.stdout.split("=" * 20)
    assert "but not to everybody" in partly
    assert '<span class="good">accepted</span>' in partly
    assert '<span class="bad">refused</span>' in partly
    assert "550 5.1.1 Nobody" in partly
    assert "AUTH PLAIN [redacted]" in partly
    assert '<span class="bad">Not sent</span>' in untrusted
    assert "does not verify" in untrusted
    assert "C: STARTTLS" in untrusted
    assert "Not a single e-mail address" in invalid
    assert "Dialogue" not in invalid
    assert '<span class="bad">Not sent</span>' in shut
    assert "The secret does not open" in shut


def _heed_ctrl_c():
    # Whoever runs the tests in the background runs them, and their children, without Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_serving_tells_where_to_click_and_ends_with_ctrl_c(environment):
    with subprocess.Popen(
        command("demo", "--serve", "0"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_heed_ctrl_c,
    ) as process:
        shown = ""
        assert process.stdout is not None
        for line in process.stdout:
            shown += line
            if "Quit the server with" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert re.search(r"Send mail +http://127\.0\.0\.1:\d+/\n", shown)
    assert re.search(r"Accounts +http://127\.0\.0\.1:\d+/admin/smtpauth/smtpaccount/\n", shown)
    assert re.search(r"Log-in +demo, password \w{12}\n", shown)
    assert "Traceback" not in shown
