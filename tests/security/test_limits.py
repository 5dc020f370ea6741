"""Duties towards hostile servers: memory and time are bounded, and outcomes stay true."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from django_smtpauth.smtp import (
    DeliveryInDoubt,
    Disconnected,
    ProtocolError,
    TimedOut,
    connect,
)
from django_smtpauth.smtp.replies import MAX_LINE, MAX_REPLY
from tests.backend_fixtures import (
    PASSWORD,
    USER,
    backend_for,
    failure_of,
    fates,
    message,
)
from tests.security.attacks import loss, user_of, verbs
from tests.servers.fixtures import ServerFactory
from tests.servers.records import Connection
from tests.servers.scripted import Answer, Drip, Then
from tests.smtp.network import BRIEF, Peer, RawServer, endpoint, loss_of, statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")

STAGES = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT"]
AUTH: dict[str, Any] = {"users": {USER: PASSWORD}, "mechanisms": ["PLAIN"]}


def reply_of(
    octets: int, code: bytes = b"550", filling: bytes = b"x", width: int = 1_000
) -> bytes:
    """A reply of exactly so many octets, in lines of `width` octets."""
    line = code + b"-" + (filling * width)[: width - 6] + b"\r\n"
    lines = line * ((octets - 7) // width)
    rest = octets - len(lines) - 6
    return lines + code + b" " + (filling * rest)[:rest] + b"\r\n"


#: Texts that patterns may take long to look through.
POISON = [
    b"x",
    b"<",
    b'"',
    b'"\\',
    b"a@",
    b"<a",
    b" ",
    b"5.7.1 ",
    b"\xff",
    b"\0",
    b"queued as ",
    b"@",
]


@pytest.mark.parametrize("filling", POISON)
def test_hostile_server_with_the_longest_replies(
    scripted_server: ServerFactory, filling: bytes
) -> None:
    """They are read, and what is made of them takes neither long nor much room."""
    server = scripted_server(
        replies={"RCPT": reply_of(MAX_REPLY, filling=filling, width=MAX_LINE)}
    )
    one = message()
    began = time.monotonic()
    error = loss(backend_for(server), one)
    texts = [str(error), repr(error), str(error.to_dict()), one.smtp_result.dialogue()]
    assert time.monotonic() - began < 3
    assert max(map(len, texts)) < 10 * MAX_REPLY
    assert one.smtp_result.refused == ["to@example.org"]


@pytest.mark.parametrize("key", STAGES)
@pytest.mark.parametrize(
    "reply",
    [reply_of(MAX_REPLY + 1), b"550 " + b"x" * MAX_LINE + b"\r\n", b"550-x\r\n" * 20_000],
    ids=["one octet more", "a line too long", "lines without end"],
)
def test_hostile_server_with_longer_replies(
    scripted_server: ServerFactory, key: str, reply: bytes
) -> None:
    server = scripted_server(replies={key: reply}, **AUTH)
    one = message()
    error = loss(user_of(server), one)
    doubt = key == "CONTENT"
    assert isinstance(error, DeliveryInDoubt if doubt else ProtocolError)
    assert fates([one]) == ["in doubt" if doubt else "failed"]


@pytest.mark.parametrize("octets", [b"x" * 1_000, b"250-x\r\n" * 100, b"\0" * 4_096, b"334 " * 99])
@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "AUTH", "CONTENT"])
def test_hostile_server_without_an_end(octets: bytes, stage: str) -> None:
    """A flood ends the connection soon, before it fills the memory."""

    def serve(peer: Peer) -> None:
        if stage != "GREETING":
            peer.say(b"220 raw.test\r\n")
            peer.hear(b"\r\n")
        if stage in ("AUTH", "CONTENT"):
            peer.say(b"250-raw.test\r\n250-PIPELINING\r\n250 AUTH LOGIN\r\n")
            peer.hear(b"AUTH LOGIN\r\n")
        if stage == "CONTENT":
            peer.say(b"334 \r\n")
            peer.hear(b"\r\n")
            peer.say(b"334 \r\n")
            peer.hear(b"\r\n")
            peer.say(b"235 ok\r\n")
            peer.take_envelope()
            peer.hear(b"\r\n.\r\n")
        peer.flood(octets)

    one = message()
    with RawServer(serve) as server:
        backend = user_of(_At(server.port))
        tracemalloc.start()
        try:
            error = failure_of(backend, [one], OSError)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(error, DeliveryInDoubt if stage == "CONTENT" else ProtocolError)
    assert peak < 4_000_000


class _At:
    """Where a raw server listens, as a backend is told."""

    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port


@pytest.mark.parametrize("by", ["octet", "line"])
@pytest.mark.parametrize("key", STAGES)
def test_hostile_server_that_drips(scripted_server: ServerFactory, key: str, by: Any) -> None:
    """Octets that come in time do not extend the time of a reply."""
    codes = {"GREETING": b"220", "AUTH": b"235", "DATA": b"354"}
    reply = reply_of(30_000, codes.get(key, b"250"))
    server = scripted_server(replies={key: Answer(reply, drip=Drip(0.02, by=by))}, **AUTH)
    one = message()
    began = time.monotonic()
    error = loss(user_of(server, timeout=0.25), one)
    assert isinstance(error, DeliveryInDoubt if key == "CONTENT" else TimedOut)
    assert time.monotonic() - began < 2
    assert error.in_doubt == (key == "CONTENT")


# -- EHLO

SIZE = b"250-SIZE 10240000\r\n"
OFFERS = {
    "thousands of keywords": b"".join(b"250-X%d\r\n" % number for number in range(6_000)),
    "thousands of mechanisms": b"250-AUTH" + b" X-ANY" * 1_300 + b"\r\n",
    "AUTH a thousand times": b"250-AUTH X\r\n" * 4_000,
    "AUTH= a thousand times": b"250-AUTH=X Y Z\r\n" * 3_000,
    "one long keyword": b"250-" + b"X" * 8_000 + b"\r\n",
    "spaces": b"250-SIZE" + b" " * 8_000 + b"\r\n" + b"250-" + b" " * 8_000 + b"\r\n",
    "control characters": b"250-X\0\r\n250-S\x1bI\x08ZE 1\r\n250-\x1b[2J\r\n250-\x07\x7f\r\n",
    "carriage returns": b"250-PIPELINING\rSIZE 1\r\n250-8BITMIME\r\r\n",
    "no ASCII": "250-S\u0130ZE 1\r\n250-\uff33\uff29\uff3a\uff25 1\r\n".encode()
    + b"250-\xff\xfe\r\n",
    "empty lines": b"250-\r\n250-\n" * 100,
    "sizes": b"250-SIZE -1\r\n250-SIZE 1e9\r\n250-SIZE " + b"9" * 5_000 + b"\r\n",
    "size of no digit": "250-SIZE \u0661\u0662\r\n250-SIZE \u00b2\r\n".encode(),
    "everything without anything": b"250-AUTH\r\n250-SIZE\r\n250-LIMITS\r\n250-DSN\r\n250-=\r\n",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS.keys())
def test_hostile_server_in_its_offers(scripted_server: ServerFactory, offer: bytes) -> None:
    server = scripted_server(replies={"EHLO": b"250-scripted.test\r\n" + offer + b"250 XEND\r\n"})
    one = message()
    began = time.monotonic()
    assert backend_for(server).send_messages([one]) == 1
    assert not any(c in one.smtp_result.dialogue() for c in "\0\x07\x08\x1b\x7f\r")
    error = loss(user_of(server))
    assert error.stage == "AUTH"
    assert len(str(error)) < 2 * MAX_REPLY
    assert time.monotonic() - began < 2


LIMITS = {
    "nothing": "RCPTMAX=0 MAILMAX=0 RCPTDOMAINMAX=0",
    "less than nothing": "RCPTMAX=-1 MAILMAX=-99 RCPTDOMAINMAX=-1",
    "more than anything": f"RCPTMAX={'9' * 4_000} MAILMAX=1{'0' * 400}",
    "no numbers": "RCPTMAX=one MAILMAX= RCPTDOMAINMAX== RCPTMAX MAILMAX=1e3 RCPTDOMAINMAX=\u0663",
    "thousands of words": " ".join(f"X{number}=1" for number in range(900)),
    "again and again": "RCPTMAX=5 " * 500 + "RCPTMAX=0",
    "controls": "RCPTMAX=\x001 MAILMAX=1\x00",
}


@pytest.mark.parametrize("words", LIMITS.values(), ids=LIMITS.keys())
def test_hostile_server_with_absurd_limits(scripted_server: ServerFactory, words: str) -> None:
    offer = f"250-scripted.test\r\n250-PIPELINING\r\n250 LIMITS {words}\r\n".encode()
    server = scripted_server(replies={"EHLO": offer})
    people = [f"to{number}@d{number}.example" for number in range(20)]
    messages = [message(to=people), message("b", to=people)]
    assert backend_for(server).send_messages(messages) == 2
    assert all(one.smtp_result.accepted == people for one in messages)
    assert len(server.connections) == 1


def test_hostile_server_with_the_smallest_limits(scripted_server: ServerFactory) -> None:
    """One of everything: as many connections as there are recipients, and no more."""
    server = scripted_server(
        extensions=["PIPELINING", "LIMITS RCPTMAX=1 MAILMAX=1 RCPTDOMAINMAX=1"]
    )
    people = [f"to{number}@d{number}.example" for number in range(10)]
    one = message(to=people)
    assert backend_for(server).send_messages([one]) == 1
    assert one.smtp_result.accepted == people
    assert len(server.connections) == len(people)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_hostile_server_with_endless_challenges(
    scripted_server: ServerFactory, mechanism: str
) -> None:
    for challenge in (b"334 \r\n", b"334 UGFzc3dvcmQ6\r\n"):
        replies = {"AUTH": challenge, "AUTH-RESPONSE": challenge}
        server = scripted_server(users=AUTH["users"], mechanisms=[mechanism], replies=replies)
        assert isinstance(loss(user_of(server)), ProtocolError)
        server.settle()
        assert len(server.commands) < 20


# -- rounds


def every_second() -> Any:
    """452 to the second, fourth ... RCPT that it hears, for ever."""
    heard = 0

    def answer(connection: Connection, line: bytes) -> bytes | Answer:
        nonlocal heard
        heard += 1
        return b"452 4.5.3 too many\r\n" if heard % 2 == 0 else b"250 2.1.5 ok\r\n"

    return answer


def all_but_the_first() -> Any:
    def answer(connection: Connection, line: bytes) -> bytes:
        message = connection.open_message
        taken = message is not None and message.recipient_lines
        return b"452 4.5.3 too many\r\n" if taken else b"250 2.1.5 ok\r\n"

    return answer


@pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])
@pytest.mark.parametrize(("answer", "rounds"), [(every_second, 7), (all_but_the_first, 40)])
def test_hostile_server_with_452_for_ever(
    scripted_server: ServerFactory, answer: Any, rounds: int, bdat: str
) -> None:
    """Each round takes a recipient at least: there are no more rounds than recipients."""
    server = scripted_server(extensions=["PIPELINING", "CHUNKING"], replies={"RCPT": answer()})
    people = [f"to{number}@example.org" for number in range(40)]
    one = message(to=people)
    assert backend_for(server, bdat=bdat).send_messages([one]) == 1
    delivered = [address for each in server.accepted for address in each.recipients]
    assert sorted(one.smtp_result.accepted) == sorted(delivered)
    # Alone in its round and still not taken: then there is nothing to be split any more.
    assert len(one.smtp_result.refused) <= 1
    assert len(delivered) + len(one.smtp_result.refused) == len(people)
    assert verbs(server).count("MAIL") <= rounds


@pytest.mark.parametrize(
    "reply", [b"452 4.5.3 too many\r\n", b"452 too many\r\n", b"552 5.5.3 no\r\n"]
)
def test_hostile_server_with_452_for_everybody(
    scripted_server: ServerFactory, reply: bytes
) -> None:
    """Who is first in a round and is not taken has a verdict."""
    server = scripted_server(replies={"RCPT": reply})
    people = [f"to{number}@example.org" for number in range(40)]
    one = message(to=people)
    loss(backend_for(server), one)
    assert verbs(server).count("MAIL") == 1
    assert len(one.smtp_result.refused) == 40


def test_hostile_server_with_421_for_ever(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"RCPT": Answer(b"421 4.3.2 bye\r\n", Then.CLOSE)})
    messages = [message(to=[f"to{n}@example.org" for n in range(40)]) for _ in range(20)]
    loss(backend_for(server), *messages)
    assert set(fates(messages)) == {"failed"}
    assert len(server.connections) <= 4


# -- LMTP: replies to the content, by recipient

LMTP: dict[str, Any] = {"protocol": "lmtp", "timeouts": BRIEF}
every_way = pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])


def verdicts(*replies: bytes, then: Then = Then.GO_ON) -> dict[str, Any]:
    """What is said for the first recipients, one after the other."""
    left = list(replies)

    def answer(connection: Connection, content: bytes) -> Answer:
        reply = left.pop(0) if left else b""
        return Answer(reply, Then.GO_ON if left else then)

    return {"extensions": ["PIPELINING", "CHUNKING"], "replies": {"CONTENT": answer}}


OK, NO = b"250 2.0.0 ok\r\n", b"550 5.7.1 no\r\n"


@every_way
@pytest.mark.parametrize("number", [1, 2, 50])
def test_hostile_server_with_more_verdicts_than_recipients(
    scripted_server: ServerFactory, bdat: Any, number: int
) -> None:
    """Those that were due stand, and the connection is not trusted with another message."""
    server = scripted_server(**verdicts(OK, NO + OK * number))
    one = transaction("a", 2)
    error = loss_of(connect(endpoint(server.port, bdat=bdat, **LMTP)), one)
    assert isinstance(error, ProtocolError)
    assert statuses(one) == ["accepted", "refused"]


@every_way
@pytest.mark.parametrize("given", [0, 1, 2])
@pytest.mark.parametrize("then", [Then.SILENCE, Then.CLOSE, Then.RESET])
def test_hostile_server_with_fewer_verdicts_than_recipients(
    scripted_server: ServerFactory, bdat: Any, given: int, then: Then
) -> None:
    """Who has none is in doubt, who has one is not."""
    server = scripted_server(**verdicts(*[OK, NO][:given], b"", then=then))
    one, behind = transaction("a", 3), transaction("b")
    error = loss_of(connect(endpoint(server.port, bdat=bdat, **LMTP)), one, behind)
    assert isinstance(error, TimedOut if then is Then.SILENCE else Disconnected)
    # What a reset overtakes is lost for the client.
    expected = ["accepted", "refused"][:given] + ["in_doubt"] * (3 - given)
    assert statuses(one) in ([expected, ["in_doubt"] * 3] if then is Then.RESET else [expected])
    assert statuses(behind) == ["open"]


@every_way
@pytest.mark.parametrize("before", [0, 1, 2])
def test_hostile_server_that_leaves_amid_its_verdicts(
    scripted_server: ServerFactory, bdat: Any, before: int
) -> None:
    goodbye = b"421 4.3.2 bye\r\n"
    server = scripted_server(**verdicts(*[OK, NO][:before], goodbye, then=Then.CLOSE))
    one, behind = transaction("a", 3), transaction("b")
    error = loss_of(connect(endpoint(server.port, bdat=bdat, **LMTP)), one, behind)
    assert isinstance(error, Disconnected)
    found = statuses(one)
    assert found[:before] == ["accepted", "refused"][:before]
    assert found[before] == "deferred"
    assert set(found[before + 1 :]) <= {"in_doubt"}
    assert statuses(behind) == ["open"]


@every_way
@pytest.mark.parametrize("first", [OK, NO])
def test_hostile_server_with_one_verdict_for_all(
    scripted_server: ServerFactory, bdat: Any, first: bytes
) -> None:
    """A server for SMTP that calls itself LMTP: nobody's acceptance is taken from a reply to
    the next message."""
    server = scripted_server(**verdicts(first, b""))
    one, behind = transaction("a", 2), transaction("b", 2)
    loss_of(connect(endpoint(server.port, bdat=bdat, **LMTP)), one, behind)
    assert statuses(one) == ["accepted" if first == OK else "refused", "in_doubt"]
