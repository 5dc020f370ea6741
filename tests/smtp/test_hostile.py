"""Servers that are slow, mute, talkative, wrong or gone: an error names the stage, in bounded
time, and what is said of the message is true.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_smtpauth.smtp import (
    ConnectError,
    Content,
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    ProtocolError,
    Security,
    SMTPError,
    TimedOut,
    Timeouts,
    TLSError,
    TLSOptions,
    Transaction,
    connect,
)
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import (
    CLOSE,
    RESET,
    SILENCE,
    Answer,
    Drip,
    ScriptedServer,
    Then,
)
from tests.smtp.network import (
    BOUND,
    BRIEF,
    CREDENTIALS,
    PASSWORD,
    USER,
    Dialler,
    Peer,
    RawServer,
    endpoint,
    failure_of,
    loss_of,
    statuses,
    transaction,
)

pytestmark = [pytest.mark.usefixtures("nothing_leaks", "in_bounded_time")]

#: Octets or lines that come one at a time, so that a whole reply takes far longer than BRIEF
#: allows for it, while no single wait does.
SLOWLY = Drip(interval=0.02)
LINE_BY_LINE = Drip(interval=0.02, by="line")
LONG = b"x" * 500
#: More than all buffers between client and server hold.
HUGE = Content(lambda: (b"x" * 76 + b"\r\n" for _ in range(200_000)), None, eight_bit=False)

AUTH_SERVER: dict[str, Any] = {"users": {USER: PASSWORD}}


@pytest.fixture
def in_bounded_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND


def session_failure(server: ScriptedServer, *messages: Transaction, **options: Any) -> SMTPError:
    """The error of a session that logs in and sends."""
    with pytest.raises(SMTPError) as caught:
        attempt(server.port, *messages, **options)
    return caught.value


def attempt(port: int, *messages: Transaction, **options: Any) -> None:
    with connect(endpoint(port, **options)) as connection:
        connection.deliver(messages)


# -- one octet at a time

SLOW_REPLIES = {
    "GREETING": (b"220 " + LONG + b"\r\n", "GREETING"),
    "EHLO": (b"250-scripted.test\r\n250 " + LONG + b"\r\n", "EHLO"),
    "AUTH": (b"334 " + LONG + b"\r\n", "AUTH"),
    "AUTH-RESPONSE": (b"235 " + LONG + b"\r\n", "AUTH"),
    "MAIL": (b"250 " + LONG + b"\r\n", "MAIL"),
    "RCPT": (b"250 " + LONG + b"\r\n", "RCPT"),
    "DATA": (b"354 " + LONG + b"\r\n", "DATA"),
}


@pytest.mark.parametrize("key", SLOW_REPLIES)
def test_one_octet_at_a_time(scripted_server: ServerFactory, key: str) -> None:
    """The limit is for the whole reply: octets that drip in don't extend it."""
    reply, stage = SLOW_REPLIES[key]
    server = scripted_server(replies={key: Answer(reply, drip=SLOWLY)}, **AUTH_SERVER)
    message = transaction()
    error = session_failure(
        server,
        message,
        timeouts=BRIEF,
        credentials=CREDENTIALS,
        auth_mechanisms=("LOGIN",),
        pipelining=False,
    )
    assert isinstance(error, TimedOut)
    assert error.stage == stage
    assert error.transient
    assert not error.in_doubt
    assert not message.done
    assert server.messages == []


def test_one_octet_at_a_time_in_the_final_reply(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": Answer(b"250 " + LONG + b"\r\n", drip=SLOWLY)})
    message, behind = transaction(), transaction("b")
    error = session_failure(server, message, behind, timeouts=BRIEF)
    assert isinstance(error, TimedOut)
    assert statuses(message) == ["in_doubt"]
    assert isinstance(message.error, DeliveryInDoubt)
    assert not behind.done
    assert len(server.messages) == 1


def test_one_line_at_a_time(scripted_server: ServerFactory) -> None:
    """Each continuation line comes in time, the reply as a whole does not."""
    lines = b"".join(b"250-EXT%d\r\n" % number for number in range(500)) + b"250 END\r\n"
    server = scripted_server(replies={"EHLO": Answer(lines, drip=LINE_BY_LINE)})
    error = failure_of(server.port, timeouts=BRIEF)
    assert isinstance(error, TimedOut)
    assert error.stage == "EHLO"


def test_one_reply_at_a_time_is_bounded_by_the_time_until_content(
    scripted_server: ServerFactory,
) -> None:
    """Every reply comes in time, and yet the envelope does not take for ever."""
    server = scripted_server(replies={"RCPT": Answer(b"250 ok\r\n", drip=LINE_BY_LINE)})
    message = transaction("a", 250)
    hurried = Timeouts(dial=5, reply=10, until_content=0.5, content=10, verdict=10)
    error = session_failure(server, message, timeouts=hurried)
    assert isinstance(error, TimedOut)
    assert error.stage == "RCPT"
    assert not message.done


@pytest.mark.parametrize("security", [Security.IMPLICIT_TLS, Security.STARTTLS])
def test_one_octet_at_a_time_in_the_handshake(
    scripted_server: ServerFactory, certificates: Certificates, security: Security
) -> None:
    server = scripted_server(
        ssl_context=certificates.server(),
        implicit_tls=security is Security.IMPLICIT_TLS,
        handshake_drip=SLOWLY,
    )
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, timeouts=BRIEF, security=security, tls=tls)
    assert isinstance(error, TimedOut)
    assert error.stage == "TLS"


# -- silence

SILENT = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("key", SILENT)
def test_silence(scripted_server: ServerFactory, key: str) -> None:
    server = scripted_server(replies={key: SILENCE}, **AUTH_SERVER)
    message = transaction()
    error = session_failure(server, message, timeouts=BRIEF, credentials=CREDENTIALS)
    assert isinstance(error, TimedOut)
    assert error.stage == key
    assert not message.done


def test_silence_after_the_content(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": SILENCE})
    message = transaction()
    error = session_failure(server, message, timeouts=BRIEF)
    assert isinstance(error, TimedOut)
    assert error.stage == "CONTENT"
    assert statuses(message) == ["in_doubt"]


def test_no_end_of_tls_handshake(scripted_server: ServerFactory) -> None:
    """A server that waits for us to speak while we wait for its handshake."""
    server = scripted_server(replies={"GREETING": SILENCE})
    error = failure_of(server.port, security=Security.IMPLICIT_TLS, timeouts=BRIEF)
    assert isinstance(error, TimedOut)
    assert error.stage == "TLS"


# -- a server that does not read


@pytest.mark.parametrize("tls", [False, True])
def test_content_that_nobody_reads(
    scripted_server: ServerFactory, certificates: Certificates, tls: bool
) -> None:
    server = scripted_server(
        receive_buffer=4096,
        replies={"DATA": Answer(b"354 go\r\n", Then.STOP_READING)},
        ssl_context=certificates.server() if tls else None,
        implicit_tls=tls,
    )
    message = transaction("a", 1, HUGE)
    dialler = Dialler(send_buffer=4096)
    options: dict[str, Any] = {"timeouts": BRIEF_BUT_FOR_HANDSHAKES}
    if tls:
        options |= {
            "security": Security.IMPLICIT_TLS,
            "tls": TLSOptions(ca_file=certificates.ca_file),
        }
    connection = connect(endpoint(server.port, **options), dial=dialler)
    error = loss_of(connection, message)
    assert isinstance(error, TimedOut)
    assert error.stage == "CONTENT"
    assert not message.done
    # Memory stays bounded too: no more was made of 15 MB than the transport could take.
    assert len(dialler.taken) < 8_000_000


BRIEF_BUT_FOR_HANDSHAKES = Timeouts(dial=5, reply=10, until_content=20, content=0.3, verdict=0.3)


def test_a_small_content_that_nobody_reads_is_in_doubt(scripted_server: ServerFactory) -> None:
    """It was handed over whole: whether the server reads it after we left, nobody knows."""
    server = scripted_server(replies={"DATA": Answer(b"354 go\r\n", Then.STOP_READING)})
    message = transaction()
    error = session_failure(server, message, timeouts=BRIEF)
    assert isinstance(error, TimedOut)
    assert statuses(message) == ["in_doubt"]


# -- no deadlock


@pytest.mark.parametrize("recipients", [1, 1_000])
def test_a_server_that_does_not_read_while_its_replies_wait(recipients: int) -> None:
    """Neither side's buffers hold a group or its replies: only who reads while writing gets on."""
    text = b"250 " + b"x" * 200 + b"\r\n"
    seen: list[bytes] = []

    def serve(peer: Peer) -> None:
        peer.open()
        line = b""
        while line != b"DATA\r\n":
            line = peer.hear(b"\r\n")
            seen.append(line)
            peer.say(b"354 go\r\n" if line == b"DATA\r\n" else text)
        peer.hear(b"\r\n.\r\n")
        peer.say(b"250 ok\r\n")
        peer.hear(b"QUIT\r\n")

    message = transaction("a", recipients)
    with RawServer(serve, buffers=2_048) as server:
        dialler = Dialler(send_buffer=2_048, receive_buffer=2_048)
        with connect(endpoint(server.port), dial=dialler) as connection:
            connection.deliver([message])
    assert statuses(message) == ["accepted"] * recipients
    assert len(seen) == recipients + 2


def test_a_stream_of_large_messages_through_small_buffers(scripted_server: ServerFactory) -> None:
    server = scripted_server(receive_buffer=2_048)
    body = b"".join(b".line %d\r\n" % number for number in range(20_000))
    messages = [transaction(f"m{number}", 20, body) for number in range(5)]
    dialler = Dialler(send_buffer=2_048, receive_buffer=2_048)
    with connect(endpoint(server.port), dial=dialler) as connection:
        connection.deliver(messages)
    assert [statuses(message) for message in messages] == [["accepted"] * 20] * 5
    assert [message.content for message in server.accepted] == [body] * 5
    assert server.violations == []


# -- too much


@pytest.mark.parametrize("octets", [b"250-more\r\n", b"250 " + b"x" * 1_000, b"x", b"\0" * 4_096])
def test_endless_replies(octets: bytes) -> None:
    """Lines without an end, replies without an end, octets that are no reply."""

    def serve(peer: Peer) -> None:
        peer.say(b"220 hi\r\n")
        peer.hear(b"\r\n")
        peer.flood(octets)

    with RawServer(serve) as server:
        error = failure_of(server.port)
    assert isinstance(error, ProtocolError)
    assert error.stage == "EHLO"
    assert not error.transient


@pytest.mark.parametrize("octets", [b"250-more\r\n", b"250 " + b"x" * 1_000])
def test_an_endless_verdict_is_doubt(octets: bytes) -> None:
    def serve(peer: Peer) -> None:
        peer.open()
        peer.take_envelope()
        peer.hear(b"\r\n.\r\n")
        peer.flood(octets)

    message = transaction()
    with RawServer(serve) as server:
        error = loss_of(connect(endpoint(server.port)), message)
    assert isinstance(error, ProtocolError)
    assert statuses(message) == ["in_doubt"]


@pytest.mark.parametrize(
    "text", [b"hello\r\n", b"199 no\r\n", b"250+ok\r\n", b"250-a\r\n251 b\r\n"]
)
@pytest.mark.parametrize("key", ["GREETING", "EHLO", "MAIL", "DATA", "CONTENT"])
def test_garbage(scripted_server: ServerFactory, key: str, text: bytes) -> None:
    server = scripted_server(replies={key: text})
    message = transaction()
    error = session_failure(server, message)
    assert isinstance(error, ProtocolError)
    assert error.stage == key
    assert statuses(message) == ["in_doubt" if key == "CONTENT" else "open"]


# -- replies that nobody asked for


@pytest.mark.parametrize("key", ["GREETING", "EHLO", "AUTH"])
def test_a_reply_before_its_command(scripted_server: ServerFactory, key: str) -> None:
    """It would be taken for the answer to what is sent next."""
    usual = {
        "GREETING": b"220 hi\r\n",
        "EHLO": b"250-x\r\n250 AUTH PLAIN\r\n",
        "AUTH": b"235 welcome\r\n",
    }
    server = scripted_server(replies={key: usual[key] + b"250 early\r\n"}, **AUTH_SERVER)
    error = session_failure(server, credentials=CREDENTIALS)
    assert isinstance(error, ProtocolError)
    assert server.messages == []


def test_a_reply_behind_the_354(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"DATA": b"354 go\r\n250 queued already\r\n"})
    message = transaction()
    error = session_failure(server, message)
    assert isinstance(error, ProtocolError)
    assert not message.done
    server.settle()
    assert server.messages == []


def test_a_reply_behind_the_verdict(scripted_server: ServerFactory) -> None:
    """The verdict stands; nothing more is trusted to this connection."""
    server = scripted_server(replies={"CONTENT": b"250 queued\r\n250 and more\r\n"})
    message = transaction()
    error = session_failure(server, message)
    assert isinstance(error, ProtocolError)
    assert statuses(message) == ["accepted"]


def test_an_acceptance_before_the_end_of_the_content() -> None:
    """Nobody can have accepted what was not sent yet."""

    def serve(peer: Peer) -> None:
        peer.open("PIPELINING SIZE")
        peer.take_envelope()
        peer.hear(b"\r\n")
        peer.say(b"250 queued\r\n")
        peer.hear_the_end()

    message = transaction("a", 1, HUGE)
    with RawServer(serve) as server:
        error = loss_of(connect(endpoint(server.port)), message)
    assert isinstance(error, ProtocolError)
    assert error.stage == "CONTENT"
    assert not message.done


@pytest.mark.parametrize("reads_on", [True, False])
def test_a_refusal_before_the_end_of_the_content(reads_on: bool) -> None:
    """It is the verdict, even if the server then resets the connection under our writing."""

    def serve(peer: Peer) -> None:
        peer.open("PIPELINING SIZE")
        peer.take_envelope()
        peer.hear(b"\r\n")
        peer.say(b"552 5.3.4 too big\r\n")
        if reads_on:
            peer.hear_the_end()

    message, behind = transaction("a", 1, HUGE), transaction("b")
    with RawServer(serve) as server:
        error = loss_of(connect(endpoint(server.port)), message, behind)
    assert isinstance(error, Disconnected)
    assert statuses(message) == ["refused"]
    assert isinstance(message.error, ContentRefused)
    assert message.final is not None
    assert message.final.code == 552
    assert not behind.done


# -- STARTTLS


@pytest.mark.parametrize("behind", [b"250 evil\r\n", b"2"])
def test_plain_octets_behind_the_220(
    scripted_server: ServerFactory, certificates: Certificates, behind: bytes
) -> None:
    """In the same packet: they would be taken for what was said inside TLS."""
    server = scripted_server(
        replies={"STARTTLS": b"220 go\r\n" + behind}, ssl_context=certificates.server()
    )
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, security=Security.STARTTLS, tls=tls)
    assert isinstance(error, ProtocolError)
    assert error.reason == "starttls-injection"
    assert error.stage == "TLS"


def test_plain_octets_in_the_handshake() -> None:
    """In a later packet: they are no TLS."""

    def serve(peer: Peer) -> None:
        peer.open("STARTTLS")
        peer.hear(b"STARTTLS\r\n")
        peer.say(b"220 go\r\n")
        peer.hear(b"\x16\x03\x01")  # the handshake has begun: the 220 was read alone
        peer.say(b"250-evil\r\n250 AUTH PLAIN\r\n")
        peer.hear_the_end()

    with RawServer(serve) as server:
        error = failure_of(server.port, security=Security.STARTTLS)
    assert isinstance(error, TLSError)
    assert error.stage == "TLS"


@pytest.mark.parametrize("reply", [b"454 4.7.0 not now\r\n", b"502 no\r\n"])
def test_starttls_refused(scripted_server: ServerFactory, reply: bytes) -> None:
    server = scripted_server(replies={"STARTTLS": reply}, extensions=["STARTTLS"])
    error = failure_of(server.port, security=Security.STARTTLS, credentials=CREDENTIALS)
    assert isinstance(error, TLSError)
    assert error.transient == reply.startswith(b"4")
    assert b"AUTH" not in b"".join(server.commands)


# -- the end, at every stage

STAGES = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["close", "reset"])
@pytest.mark.parametrize("key", STAGES)
def test_the_server_leaves(scripted_server: ServerFactory, key: str, end: Answer) -> None:
    server = scripted_server(replies={key: end}, **AUTH_SERVER)
    message = transaction()
    error = session_failure(server, message, credentials=CREDENTIALS)
    assert isinstance(error, ConnectError if key == "GREETING" else Disconnected)
    # A reset may come before it is even seen that the connection was made.
    too_early = key == "GREETING" and end is RESET
    assert error.stage in ((key, "CONNECT") if too_early else (key,))
    assert error.transient
    assert not message.done


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["close", "reset"])
def test_the_server_leaves_instead_of_a_verdict(
    scripted_server: ServerFactory, end: Answer
) -> None:
    server = scripted_server(replies={"CONTENT": end})
    message, behind = transaction(), transaction("b")
    error = session_failure(server, message, behind)
    assert isinstance(error, Disconnected)
    assert error.stage == "CONTENT"
    assert statuses(message) == ["in_doubt"]
    assert isinstance(message.error, DeliveryInDoubt)
    assert not message.error.transient
    assert not behind.done


@pytest.mark.parametrize("end", [Then.CLOSE, Then.RESET])
def test_the_server_leaves_after_its_verdict(scripted_server: ServerFactory, end: Then) -> None:
    server = scripted_server(replies={"CONTENT": Answer(None, end)})
    message, behind = transaction(), transaction("b")
    error = session_failure(server, message, behind)
    assert isinstance(error, Disconnected)
    assert statuses(message) == ["accepted"]
    assert not behind.done


def test_the_server_leaves_between_deliveries(scripted_server: ServerFactory) -> None:
    """Nothing was handed over: a new connection can do it."""
    server = scripted_server(replies={"CONTENT": Answer(None, Then.CLOSE)})
    connection = connect(endpoint(server.port))
    connection.deliver([transaction()])
    message = transaction("b")
    error = loss_of(connection, message)
    assert isinstance(error, Disconnected)
    assert not message.done


GOODBYE = Answer(b"421 4.3.2 shutting down\r\n", Then.CLOSE)


@pytest.mark.parametrize("key", STAGES)
def test_421(scripted_server: ServerFactory, key: str) -> None:
    server = scripted_server(replies={key: [GOODBYE]}, **AUTH_SERVER)
    message = transaction()
    error = session_failure(server, message, credentials=CREDENTIALS)
    assert isinstance(error, ConnectError if key == "GREETING" else Disconnected)
    assert error.reply is not None
    assert error.reply.code == 421
    assert error.stage == key
    assert error.transient
    assert not message.done
    attempt(server.port, message, credentials=CREDENTIALS)
    assert statuses(message) == ["accepted"]
    assert len(server.accepted) == 1


def test_421_for_the_content_is_a_verdict(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": GOODBYE})
    message, behind = transaction(), transaction("b")
    error = session_failure(server, message, behind)
    assert isinstance(error, Disconnected)
    assert statuses(message) == ["deferred"]
    assert not behind.done


def test_421_after_a_verdict(scripted_server: ServerFactory) -> None:
    """Verdicts given stand; the rest goes on elsewhere."""
    server = scripted_server(replies={"RSET": [GOODBYE]})
    message, behind = transaction(), transaction("b")
    error = session_failure(server, message, behind)
    assert isinstance(error, Disconnected)
    assert error.stage == "RSET"
    assert statuses(message) == ["accepted"]
    assert not behind.done


def test_421_while_nothing_was_asked() -> None:
    """A server that shuts down says so at any time (RFC 5321 3.8)."""

    def serve(peer: Peer) -> None:
        peer.open()
        peer.take_envelope()
        peer.hear(b"\r\n.\r\n")
        peer.say(b"250 ok\r\n421 4.3.2 shutting down\r\n")
        peer.hear_the_end()

    message = transaction()
    with RawServer(serve) as server:
        error = loss_of(connect(endpoint(server.port)), message)
    assert isinstance(error, Disconnected)
    assert error.reply is not None
    assert error.reply.code == 421
    assert statuses(message) == ["accepted"]


def test_421_for_a_recipient_twice_settles_it(scripted_server: ServerFactory) -> None:
    """One recipient at whom the server leaves must not keep the others waiting for ever."""
    server = scripted_server(replies={"RCPT:to1@example.org": GOODBYE})
    message = transaction("a", 3)
    session_failure(server, message)
    assert statuses(message) == ["open", "open", "open"]
    session_failure(server, message)
    assert statuses(message) == ["open", "deferred", "open"]
    attempt(server.port, message)
    assert statuses(message) == ["accepted", "deferred", "accepted"]


def test_421_after_too_many_refused_recipients(scripted_server: ServerFactory) -> None:
    refused = {f"RCPT:to{number}@example.org": b"550 5.1.1 no\r\n" for number in range(3)}
    server = scripted_server(refusals_before_421=3, replies=refused)
    message = transaction("a", 5)
    session_failure(server, message)
    assert statuses(message) == ["refused"] * 3 + ["open"] * 2
    attempt(server.port, message)
    assert statuses(message) == ["refused"] * 3 + ["accepted"] * 2
    assert server.accepted[0].recipients == ["to3@example.org", "to4@example.org"]


@pytest.mark.parametrize("greeting", [b"554 5.7.1 go away\r\n", b"451 later\r\n"])
def test_a_greeting_that_refuses(scripted_server: ServerFactory, greeting: bytes) -> None:
    server = scripted_server(replies={"GREETING": greeting})
    error = failure_of(server.port)
    assert isinstance(error, ConnectError)
    assert error.stage == "GREETING"
    assert error.transient == greeting.startswith(b"4")


def test_rset_refused_where_nothing_is_held(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"RSET": b"500 what?\r\n"}, extensions=[])
    messages = [transaction("a"), transaction("b")]
    attempt(server.port, *messages)
    assert [statuses(message) for message in messages] == [["accepted"]] * 2


@pytest.mark.parametrize("extensions", [[], ["PIPELINING"]])
def test_rset_refused_amid_a_transaction(
    scripted_server: ServerFactory, extensions: list[str]
) -> None:
    """Nobody knows what the server still holds: only a new connection is clean."""
    server = scripted_server(
        replies={"RCPT": [b"550 no\r\n"], "RSET": b"500 what?\r\n"}, extensions=extensions
    )
    refused, behind = transaction("a"), transaction("b")
    error = session_failure(server, refused, behind)
    assert isinstance(error, SMTPError)
    assert statuses(refused) == ["refused"]
    assert not behind.done
    assert server.accepted == []
