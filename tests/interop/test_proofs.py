"""The servers that docs/protocol.md names are those that the integration tests really drive."""

from __future__ import annotations

import aiosmtpd
import pytest

from tests.interop.postfix import Postfix
from tests.protocol_table import COMMAND, proofs

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


def test_the_installed_aiosmtpd_is_named() -> None:
    [server] = named("aiosmtpd")
    assert f"aiosmtpd {aiosmtpd.__version__}".startswith(f"{server}."), CURE
