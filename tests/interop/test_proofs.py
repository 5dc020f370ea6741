"""The servers that docs/protocol.md names are those that the integration tests really drive."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import aiosmtpd
import pytest

from tests.interop.postfix import Postfix
from tests.protocol_table import COMMAND, proofs
from tests.requirements import require_server

CURE = f"Name the server that runs in the markers `proves` of tests/interop, then: {COMMAND}"


def named(*products: str) -> set[str]:
    """Product and version of every server that is named, as `Postfix 3.7`."""
    servers = {server for proof in proofs() for server in proof.by.split(" + ")}
    return {server for server in servers if server.split(" ")[0] in products}


@pytest.mark.interop
def test_the_running_postfix_and_dovecot_are_named(postfix: Postfix) -> None:
    running = postfix.description["version"]
    servers = named("Postfix", "Dovecot")
    assert {server for server in servers if f"{server}." not in running} == set(), CURE
    assert len(servers) == 2, CURE


@pytest.mark.interop
def test_the_installed_smtp_server_is_named() -> None:
    folder = os.environ.get("SMTPAUTH_INTEROP_NODE")
    if not folder:
        require_server("SMTPAUTH_INTEROP_NODE names no folder with smtp-server")
    about = Path(folder, "node_modules/smtp-server/package.json").read_text(encoding="utf-8")
    [server] = named("smtp-server")
    assert f"smtp-server {json.loads(about)['version']}".startswith(f"{server}."), CURE


@pytest.mark.interop
@pytest.mark.parametrize(
    ("variable", "command", "said"),
    [
        ("SMTPAUTH_INTEROP_EXIM", [".", "-bV"], "Exim version {} "),
        ("SMTPAUTH_INTEROP_POSTGRESQL", ["postgres", "--version"], "(PostgreSQL) {}."),
    ],
)
def test_the_running_programs_are_named(variable: str, command: list[str], said: str) -> None:
    place = os.environ.get(variable)
    if not place:
        require_server(f"{variable} names nothing")
    program, *arguments = command
    told = subprocess.run([Path(place, program), *arguments], capture_output=True, check=False)
    [server] = named("Exim" if "EXIM" in variable else "PostgreSQL")
    assert said.format(server.partition(" ")[2]).encode() in told.stdout, CURE


def test_the_installed_aiosmtpd_is_named() -> None:
    [server] = named("aiosmtpd")
    assert f"aiosmtpd {aiosmtpd.__version__}".startswith(f"{server}."), CURE
