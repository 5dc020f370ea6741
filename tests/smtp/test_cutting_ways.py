"""Cuts after any octet where content goes in chunks (BDAT), and where each recipient has a verdict
of their own (LMTP): the outcome is what the definition of doubt says, see `cut_sessions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_smtpauth.smtp import Transaction
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
from tests.smtp.network import statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")

CHUNKING = {"extensions": ["PIPELINING", "CHUNKING"]}
#: It answers when the client waits, so that messages really are unanswered together.
LATE = {"count_flights": True, "quiet": 0.001}


Start = Callable[[str], tuple[Sessions, list[list[str]]]]


def partly_delivered() -> list[Transaction]:
    """In LMTP: verdicts of all kinds for one message, streamed behind it another."""
    return [
        transaction("a", ["ok@x.test", "full@x.test", "no@x.test", "also@x.test"], b"a"),
        transaction("b", ["full@x.test"], b""),
    ]


PARTLY = [["accepted", "deferred", "refused", "accepted"], ["deferred"]]
LMTP_REPLIES = {
    **{f"RCPT:{name}@x.test": b"250 ok\r\n" for name in ("full", "also")},
    "CONTENT:full@x.test": b"452 4.2.2 full\r\n",
    "CONTENT:ok@x.test": b"250 ok\r\n",
    "CONTENT:also@x.test": b"250 ok\r\n",
    **REPLIES,
}


def rounds() -> list[Transaction]:
    """More recipients than the server takes at once, and another message."""
    return [transaction("a", ["ok@x.test", "also@x.test"], b"a"), transaction("b", 1, b"")]


ROUNDS = [["accepted", "accepted"], ["accepted"]]
ONE_AT_A_TIME = {"extensions": ["PIPELINING", "CHUNKING", "LIMITS RCPTMAX=1"]}

#: name -> what the server is like, what the client's options are
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "after_rcpt": (CHUNKING, {"bdat": "after_rcpt"}),
    "after_rcpt, one by one": ({"extensions": ["CHUNKING"]}, {"bdat": "after_rcpt"}),
    "eager": (CHUNKING, {"bdat": "eager"}),
    "eager, three unanswered": ({**CHUNKING, **LATE}, {"bdat": "eager", "max_unanswered": 3}),
    "lmtp": ({"extensions": ["PIPELINING"]}, {"protocol": "lmtp"}),
    "lmtp, after_rcpt": (CHUNKING, {"protocol": "lmtp", "bdat": "after_rcpt"}),
    "lmtp, eager": (CHUNKING, {"protocol": "lmtp", "bdat": "eager"}),
    "rounds": (ONE_AT_A_TIME, {}),
    "rounds, eager": (
        {**ONE_AT_A_TIME, **LATE},
        {"bdat": "eager", "max_unanswered": 3},
    ),
}
every_way = pytest.mark.parametrize("way", WAYS)
every_direction = pytest.mark.parametrize("direction", ["client", "server"])


@pytest.fixture
def start(scripted_server: ServerFactory, cutting_proxy: ProxyFactory) -> Start:
    """The sessions of a way, and how each ends."""

    def sessions(way: str) -> tuple[Sessions, list[list[str]]]:
        behaviour, options = WAYS[way]
        lmtp, several = way.startswith("lmtp"), way.startswith("rounds")
        server = scripted_server(replies=LMTP_REPLIES if lmtp else REPLIES, **behaviour)
        messages, final = (partly_delivered, PARTLY) if lmtp else (batch, FINAL)
        if several:
            messages, final = rounds, ROUNDS
        proxy = cutting_proxy(server.port)
        return Sessions(server, proxy, messages, credentials=None, **options), final

    return sessions


def behind_hello(whole: bytes) -> range:
    """Where opening is over: that part is cut elsewhere. 220 and 250, or the client's EHLO."""
    from_server = whole.startswith(b"220")
    start = whole.index(b"\r\n250 ") + 2 if from_server else whole.index(b"LO client")
    return range(whole.index(b"\r\n", start) + 2, len(whole))


@every_way
@every_direction
@pytest.mark.parametrize(
    "how",
    ["close", *(pytest.param(how, marks=pytest.mark.slow) for how in ("reset", "stall", "half"))],
)
def test_every_octet(start: Start, way: str, direction: Direction, how: How) -> None:
    sessions, final = start(way)
    sweep(sessions, final, direction, how, behind_hello)


@every_way
def test_every_octet_that_the_transport_takes(start: Start, way: str) -> None:
    sessions, final = start(way)
    for octet in behind_hello(Reference(sessions, final).client):
        run = sessions.run(None, takes=octet)
        check(run)


@pytest.mark.parametrize(
    "way", ["lmtp, eager", pytest.param("eager, three unanswered", marks=pytest.mark.slow)]
)
@every_direction
def test_silence_behind_every_octet(start: Start, way: str, direction: Direction) -> None:
    sessions, final = start(way)
    sweep(sessions, final, direction, "stall", behind_hello)


def test_several_messages_can_be_in_doubt_together(start: Start) -> None:
    """As many as the caller allows, and no more."""
    sessions, final = start("eager, three unanswered")
    most = 0
    for octet in behind_hello(Reference(sessions, final).client):
        run = sessions.run(None, takes=octet)
        most = max(most, sum("in_doubt" in statuses(message) for message in run.messages))
    assert most == 2, "with the third nothing is left to send, so nothing fails before its reply"
