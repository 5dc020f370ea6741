"""Duties of the application: no shell, no sending again in doubt, nothing for account editors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

import django_smtpauth
from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.smtp import DeliveryInDoubt
from tests.backend_fixtures import (
    PASSWORD,
    USER,
    backend_for,
    batch,
    failure_of,
    fates,
    message,
    parsed,
    senders,
)
from tests.security.attacks import received, verbs
from tests.servers.cutting import CutAt
from tests.servers.fixtures import ProxyFactory, ServerFactory
from tests.servers.scripted import CLOSE, RESET, SILENCE, Answer, Then

pytestmark = pytest.mark.usefixtures("nothing_leaks")

PACKAGE = Path(django_smtpauth.__file__).parent

# -- no shell

SHELLS = {"subprocess", "pty", "commands", "popen2", "pexpect", "sh", "plumbum", "code"}
CALLS = {"system", "popen", "startfile", "posix_spawn", "posix_spawnp", "fork", "forkpty"}
PREFIXES = ("exec", "spawn", "create_subprocess", "subprocess_")


def shells(source: str) -> Iterator[str]:
    """Whatever could start another program, or run text as code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in SHELLS)
        elif isinstance(node, ast.ImportFrom):
            if node.module in SHELLS and not node.level:
                yield node.module
            yield from (alias.name for alias in node.names if _starts(alias.name, node.module))
        elif isinstance(node, ast.Attribute) and _starts(node.attr, ast.unparse(node.value)):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("eval", "exec", "compile"):
            yield ast.unparse(node.func)
        elif isinstance(node, ast.keyword) and node.arg == "shell":
            yield "shell="


def _starts(name: str, owner: str | None) -> bool:
    return owner in ("os", "asyncio", "loop") and (name in CALLS or name.startswith(PREFIXES))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_shell(path: Path) -> None:
    """No program is ever started, so no argument can be one too many."""
    assert list(shells(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "def late():\n    from subprocess import run",
        "import os\nos.system('sendmail ' + address)",
        "from os import popen",
        "import os\nos.execvp('sendmail', [])",
        "run(command, shell=True)",
        "import asyncio\nasyncio.create_subprocess_shell('x')",
        "eval(text)",
    ],
)
def test_no_shell_would_be_missed(source: str) -> None:
    assert list(shells(source)) != []


# -- in doubt

LOSSES = {"close": CLOSE, "reset": RESET, "silence": SILENCE}


@pytest.mark.parametrize("how", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_replay_after_ambiguity(
    scripted_server: ServerFactory, how: Any, bdat: str, protocol: str
) -> None:
    """The server has the message, the reply is lost: it is not sent again, and whoever does so
    himself sends the same Message-ID, by which servers and readers know it."""
    server = scripted_server(
        extensions=["PIPELINING", "CHUNKING"], replies={"CONTENT:b@example.com": how}
    )
    if protocol == "lmtp":
        server = scripted_server(
            extensions=["PIPELINING", "CHUNKING"], replies={"CONTENT:b@example.org": [how]}
        )
    messages = batch("abc")
    messages[1].to = ["b@example.org"]
    backend = backend_for(server, bdat=bdat, protocol=protocol, timeout=0.3)
    error = failure_of(backend, messages, DeliveryInDoubt)
    assert (error.in_doubt, error.transient) == (True, False)
    assert not isinstance(error, (ConnectionError, TimeoutError))
    assert fates(messages) == ["sent", "in doubt", "sent"]
    handed = [parsed(one)["Message-ID"] for one in server.messages]
    assert sorted(handed) == sorted(one.smtp_result.message_id for one in messages)
    if protocol == "lmtp":
        assert backend.send_messages([messages[1]]) == 1
        again = parsed(server.messages[-1])["Message-ID"]
        assert again == messages[1].smtp_result.message_id in handed


@pytest.mark.parametrize("bdat", ["never", "after_rcpt"])
def test_replay_after_a_cut_before_the_end(
    scripted_server: ServerFactory, cutting_proxy: ProxyFactory, bdat: str
) -> None:
    """Where nothing is in doubt it is sent once more, as the same message."""
    server = scripted_server(extensions=["PIPELINING", "CHUNKING"])
    proxy = cutting_proxy(server.port, CutAt("client", 600))
    # More than the system's buffers take, or the cut would leave the message in doubt.
    one = message(body=("x" * 75 + "\n") * 120_000)
    backend = EmailBackend("127.0.0.1", proxy.port, bdat=bdat, ehlo_name="client.test")
    assert backend.send_messages([one]) == 1
    server.settle(2)
    assert senders(server) == ["a"]
    lines = [line for line in received(server).split(b"\r\n") if line.startswith(b"Message-ID")]
    assert len(lines) == 2
    assert len(set(lines)) == 1


# -- account editors

LIST = "/admin/smtpauth/smtpaccount/"
BANNER = "internal-banner-7731"


@pytest.fixture
def editor(client: Any) -> Any:
    client.force_login(User.objects.create(username="editor", is_staff=True, is_superuser=True))
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("fails", [True, False])
def test_no_banner_is_shown_to_account_editors(
    scripted_server: ServerFactory,
    make_account: Any,
    mail_settings: Any,
    editor: Any,
    fails: bool,
) -> None:
    """What a server says, which may be one inside the network, is on no page of the admin."""
    ends = Answer(f"421 4.3.2 {BANNER}\r\n".encode(), Then.CLOSE)
    server = scripted_server(
        replies={
            "GREETING": f"220 {BANNER} ESMTP\r\n".encode(),
            "EHLO": f"250-{BANNER}\r\n250 PIPELINING\r\n".encode(),
            **({"MAIL": ends} if fails else {}),
        }
    )
    account = make_account("club", server, is_default=True)
    mail_settings()
    one = message()
    backend = EmailBackend(account="club", fail_silently=True, ehlo_name="client.test")
    assert backend.send_messages([one]) == (0 if fails else 1)
    assert BANNER in one.smtp_result.dialogue()
    pages = [LIST, f"{LIST}add/", reverse("admin:smtpauth_smtpaccount_change", args=[account.pk])]
    pages += [page + "?q=club" for page in pages[:1]]
    for page in [*pages, reverse("admin:smtpauth_smtpaccount_history", args=[account.pk])]:
        response = editor.get(page)
        assert response.status_code == 200
        assert BANNER not in response.content.decode()


HOSTS = [
    "http://169.254.169.254/latest",
    "smtp://mx.test",
    "mx.test/path",
    "mx.test:25",
    "user@mx.test",
    "mx test",
    "mx.test\r\nRCPT TO:<evil@x.test>",
    "mx.test\x00",
    "2130706433",
    "127.1",
    "mx..test",
    "-mx.test",
    "mx\u2100.test",
    "/run/mail\x00.sock",
    "a" * 64 + ".test",
]


@pytest.mark.django_db
@pytest.mark.parametrize("host", HOSTS, ids=ascii)
def test_hosts_of_accounts_are_validated(editor: Any, host: str) -> None:
    posted = {"slug": "club", "host": host, "port": "25", "security": "none", "protocol": "smtp"}
    response = editor.post(f"{LIST}add/", {**posted, "require_tls": "unknown"})
    assert "host" in response.context["adminform"].form.errors
    assert not SMTPAccount.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("moved", ["host", "port", "both"])
def test_a_password_does_not_follow_an_account_to_another_server(
    scripted_server: ServerFactory, make_account: Any, mail_settings: Any, moved: str
) -> None:
    """Who can write the server's name, but does not know the password, does not learn it."""
    home = scripted_server(users={USER: PASSWORD})
    away = scripted_server(users={USER: PASSWORD})
    account = make_account("club", home, username=USER, password=PASSWORD)
    changes = {"host": "localhost" if moved != "port" else account.host, "port": away.port}
    SMTPAccount.objects.filter(pk=account.pk).update(**changes)
    mail_settings()
    one = message()
    with pytest.raises(Exception) as caught:
        EmailBackend(account="club", ehlo_name="client.test").send_messages([one])
    assert PASSWORD not in str(caught.value)
    assert not {"AUTH", "MAIL"} & {verb for server in (home, away) for verb in verbs(server)}
