"""The connection ends or stalls after any octet: the outcome is what the definition of doubt says.

What that is, and how it is found out, stands in `cut_sessions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.servers.cutting import CutAt
from tests.servers.fixtures import ProxyFactory, ServerFactory
from tests.smtp.cut_sessions import (
    FINAL,
    REPLIES,
    Direction,
    How,
    Reference,
    Sessions,
    batch,
    check,
    sweep,
)
from tests.smtp.network import PASSWORD, USER, statuses

SessionsWith = Callable[..., Sessions]

pytestmark = pytest.mark.usefixtures("nothing_leaks")

SERVER: dict[str, Any] = {
    "extensions": ["PIPELINING", "AUTH PLAIN"],
    "users": {USER: PASSWORD},
    "replies": REPLIES,
}


@pytest.fixture
def sessions_with(scripted_server: ServerFactory, cutting_proxy: ProxyFactory) -> SessionsWith:
    def start(behaviour: dict[str, Any], **options: Any) -> Sessions:
        server = scripted_server(**{**SERVER, **behaviour})
        return Sessions(server, cutting_proxy(server.port), batch, **options)

    return start


@pytest.mark.parametrize("direction", ["client", "server"])
@pytest.mark.parametrize(
    "how", ["close", "reset", "stall", pytest.param("half", marks=pytest.mark.slow)]
)
def test_every_octet(sessions_with: SessionsWith, direction: Direction, how: How) -> None:
    sweep(sessions_with({}), FINAL, direction, how)


def test_every_octet_that_the_transport_takes(sessions_with: SessionsWith) -> None:
    """The octet before the one that completes a message makes no doubt yet."""
    sessions = sessions_with({})
    for octet in range(len(Reference(sessions, FINAL).client)):
        run = sessions.run(None, takes=octet)
        assert len(run.taken) == octet
        check(run)


@pytest.mark.parametrize("direction", ["client", "server"])
def test_what_stays_open_can_be_sent_again(
    sessions_with: SessionsWith, direction: Direction
) -> None:
    """After any loss, the rest over a new connection: every message is there once, or in doubt."""
    sessions = sessions_with({})
    whole = Reference(sessions, FINAL).octets(direction)
    for octet in range(0, len(whole), 5):
        cut = sessions.run(CutAt(direction, octet, "reset"))
        rest = [message for message in cut.messages if not message.done]
        again = sessions.run(None, rest) if rest else cut
        delivered = [
            m.sender
            for run in {id(cut): cut, id(again): again}.values()
            for m in run.served.messages
            if m.accepted
        ]
        for message, final in zip(cut.messages, FINAL, strict=True):
            copies = delivered.count(message.envelope.sender)
            if "in_doubt" in statuses(message):
                assert copies <= 1
            else:
                assert statuses(message) == final
                assert copies == ("accepted" in final)


@pytest.mark.parametrize("direction", ["client", "server"])
@pytest.mark.parametrize("how", ["close", pytest.param("stall", marks=pytest.mark.slow)])
def test_every_octet_without_pipelining(
    sessions_with: SessionsWith, direction: Direction, how: How
) -> None:
    sweep(sessions_with({"extensions": ["AUTH PLAIN"]}), FINAL, direction, how)


@pytest.mark.parametrize("direction", [pytest.param("client", marks=pytest.mark.slow), "server"])
@pytest.mark.parametrize("how", ["close", pytest.param("stall", marks=pytest.mark.slow)])
def test_every_octet_with_a_server_that_refuses_streams(
    sessions_with: SessionsWith, direction: Direction, how: How
) -> None:
    """503 for what came behind a final dot is no verdict on that message."""
    sweep(sessions_with({"refuse_behind_dot": True, "quiet": 0.001}), FINAL, direction, how)
