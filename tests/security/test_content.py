"""Duties of the content: it ends where the message ends, and none of it is run as a command."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from django_smtpauth.smtp import (
    Content,
    ContentRefused,
    Disconnected,
    Envelope,
    ProtocolError,
    SMTPError,
    Transaction,
    connect,
)
from django_smtpauth.smtp.dialling import dial
from tests.backend_fixtures import backend_for, fates, message
from tests.security.attacks import loss, verbs
from tests.servers.fixtures import ServerFactory
from tests.servers.records import Connection
from tests.servers.scripted import CLOSE, ScriptedServer
from tests.smtp.network import (
    Peer,
    RawServer,
    WatchedSocket,
    endpoint,
    loss_of,
    statuses,
    transaction,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")

BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
CHUNKING = ["PIPELINING", "SIZE 10240000", "8BITMIME", "CHUNKING"]
#: A second message, as whoever can write into the first one would have it.
SECOND = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<evil@y.test>\r\nDATA\r\nSubject: evil\r\n\r\nevil"
#: What some servers take for the end of the content.
ENDS = [
    *("\r\n.\r\n", "\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n"),
    *("\r\r\n.\r\r\n", "\n\r.\n\r", "\r\n\r.\r\n", "\x85.\x85", "\u2028.\u2028"),
]


def once(server: ScriptedServer) -> bytes:
    """The content of the one message, with only the commands that it needs."""
    [received] = server.accepted
    assert len(server.messages) == 1
    assert BARE.search(received.wire) is None
    assert set(verbs(server)) <= {"EHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "QUIT"}
    assert [line for line in server.commands if b"evil" in line] == []
    assert server.violations == []
    return received.content


def lines_of(text: str) -> bytes:
    """As the server should have it after un-stuffing."""
    return re.sub("\r\n|\r|\n", "\r\n", text).encode() + b"\r\n"


every_way = pytest.mark.parametrize("bdat", ["never", "after_rcpt"])


@every_way
@pytest.mark.parametrize("end", ENDS, ids=ascii)
@pytest.mark.parametrize("place", ["body", "text/plain", "message/rfc822"])
def test_smtp_smuggling(scripted_server: ServerFactory, end: str, place: str, bdat: str) -> None:
    """One message, whatever a body or an attachment holds (CVE-2023-51764)."""
    server = scripted_server(extensions=CHUNKING)
    text = f"Subject: a\n\nharmless{end}{SECOND}{end}"
    one = message(body=text if place == "body" else "Content\n")
    if place != "body":
        one.attach("a.txt", text, place)
    assert backend_for(server, bdat=bdat).send_messages([one]) == 1
    content = once(server)
    if place == "body" and end.isascii():
        assert content.rstrip().endswith(lines_of(text).rstrip())


@every_way
@pytest.mark.parametrize("end", ENDS, ids=ascii)
@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_smtp_smuggling_past_the_engine(
    scripted_server: ServerFactory, end: str, size: int | None, bdat: Any
) -> None:
    """Also with a first line that begins with a dot, and in pieces that part every line end."""
    server = scripted_server(extensions=CHUNKING)
    text = f".{end}{SECOND}{end}{SECOND}"
    octets = text.encode()
    step = size or len(octets)
    pieces = [octets[start : start + step] for start in range(0, len(octets), step)]
    content = Content(lambda: iter(pieces), None)
    one = Transaction(Envelope.of("a@example.org", ["b@example.org"]), content)
    with connect(endpoint(server.port, bdat=bdat)) as connection:
        connection.deliver([one, behind := transaction("behind")])
    assert statuses(one) == statuses(behind) == ["accepted"]
    first, second = server.accepted
    assert first.content == lines_of(text)
    assert second.sender == "behind@example.org"
    assert [line for line in server.commands if b"evil" in line] == []
    assert BARE.search(first.wire) is None


# -- chunks

COMMANDS = b"RSET\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<evil@y.test>\r\nBDAT 6 LAST\r\nevil\r\n"


def of_commands(pieces: Iterable[bytes] = (COMMANDS,), **details: Any) -> Transaction:
    """A message every line of which is a command."""
    known = list(pieces)
    content = Content(lambda: iter(known), **details)
    return Transaction(Envelope.of("a@example.org", ["b@example.org"]), content)


@pytest.mark.parametrize("size", [0, 1, 7, len(COMMANDS) - 1, len(COMMANDS) + 1, 5_000])
@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_chunk_desync(scripted_server: ServerFactory, size: int, bdat: Any) -> None:
    """The length that is told is the length that is sent, whatever a size was said to be."""
    server = scripted_server(extensions=CHUNKING)
    one = of_commands(COMMANDS.splitlines(keepends=True), size=size)
    with connect(endpoint(server.port, bdat=bdat)) as connection:
        connection.deliver([one, behind := transaction("behind")])
    assert statuses(one) == statuses(behind) == ["accepted"]
    assert server.accepted[0].content == COMMANDS
    assert [line for line in server.commands if b"evil" in line] == []
    assert server.violations == []


@pytest.mark.parametrize("bdat", ["never", "after_rcpt", "eager"])
@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_chunk_desync_of_a_source_that_breaks_off(
    scripted_server: ServerFactory, bdat: Any, blocks: int
) -> None:
    """Half a message is never completed: the connection is dropped."""

    def source() -> Iterator[bytes]:
        yield from [b"x" * 70 + b"\r\n" + b"y" * 64_000 + b"\r\n"] * blocks
        raise LookupError("the file is gone")

    server = scripted_server(extensions=CHUNKING)
    one = Transaction(Envelope.of("a@example.org", ["b@example.org"]), Content(source, 500))
    connection = connect(endpoint(server.port, bdat=bdat))
    with pytest.raises(LookupError):
        connection.deliver([one, transaction("behind")])
    assert not connection.usable
    assert not one.done
    server.settle()
    assert server.messages == []
    assert "QUIT" not in verbs(server)


def ran(server: ScriptedServer) -> list[bytes]:
    """The lines that a server took for commands, and that are none of the client's."""
    known = (b"EHLO ", b"MAIL FROM:<a@", b"RCPT TO:<", b"DATA", b"BDAT ", b"RSET", b"QUIT")
    return [line for line in server.commands if not line.startswith(known) or b"evil" in line]


def runs_chunks(said: bytes) -> dict[str, Any]:
    """A server that knows CHUNKING by name only (emersion/go-smtp#315)."""
    return {
        "extensions": CHUNKING,
        "runs_refused_chunks": True,
        "replies": {"BDAT": said} if said else {},
    }


@pytest.mark.parametrize("said", [b"", b"500 5.5.1 what?\r\n", b"250 2.0.0 fine\r\n"])
@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("empty", [None, b""], ids=["says no", "is silent"])
def test_chunk_desync_of_a_server_that_runs_chunks_as_commands(
    scripted_server: ServerFactory, said: bytes, refuses: bool, empty: bytes | None
) -> None:
    """Eager costs such a server two harmless lines, and never a line of the message."""
    replies = runs_chunks(said)
    if refuses:
        replies["replies"]["RCPT"] = b"550 5.1.1 nobody\r\n"
    if empty is not None:
        # To an empty line: it looks as if it had been discarded.
        replies["replies"][""] = empty
    server = scripted_server(**replies)
    messages = [message("a", body=COMMANDS.decode()) for _ in range(3)]
    backend = backend_for(server, bdat="eager", max_unanswered=3)
    for one in messages:
        with contextlib.suppress(SMTPError):
            backend.send_messages([one])
    server.settle()
    assert [line for line in ran(server) if line not in (b"", b"X")] == []
    if not said and not refuses:
        assert set(fates(messages[1:])) == {"sent"}


class Narrow(WatchedSocket):
    """Takes a part of the first chunk, and no more before the server has answered it."""

    def send(self, data: Any, flags: int = 0) -> int:
        left = 10_000 - len(self.taken)
        if b"2.0.0" in self.given or b"5.3.4" in self.given or b"354" in self.given:
            return super().send(data, flags)
        if left <= 0:
            raise BlockingIOError
        return super().send(data[:left], flags)


def narrow(host: str, port: int, timeout: float, source_address: str | None) -> Narrow:
    sock = dial(host, port, timeout, source_address).sock
    return Narrow(sock.family, sock.type, fileno=sock.detach())


@pytest.mark.parametrize("early", [b"250 2.0.0 queued\r\n", b"552 5.3.4 no\r\n", b"354 go\r\n"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_chunk_answered_before_it_is_complete(early: bytes, chunks: int) -> None:
    """No acceptance is believed, a refusal is; the rest of the chunk is in the way of all else."""
    heard = bytearray()

    def serve(peer: Peer) -> None:
        peer.open("PIPELINING SIZE CHUNKING")
        peer.hear(b"RCPT TO:<to0@example.org>\r\n")
        peer.say(b"250 ok\r\n250 ok\r\n")
        peer.hear(b"\r\nx")
        peer.say(early)
        while octets := peer.sock.recv(65_536):
            heard.extend(octets)

    content = Content.of((b"x" * 76 + b"\r\n") * (840 * chunks))
    one, behind = transaction("a", 1, content), transaction("b")
    with RawServer(serve) as server:
        connection = connect(endpoint(server.port, bdat="after_rcpt"), dial=narrow)
        error = loss_of(connection, one, behind)
    assert not behind.done
    assert not any(word in heard for word in (b"MAIL", b"RSET", b"QUIT", b"BDAT"))
    if early.startswith(b"552"):
        assert isinstance(error, Disconnected)
        assert statuses(one) == ["refused"]
        assert isinstance(one.error, ContentRefused)
    else:
        assert isinstance(error, ProtocolError)
        assert statuses(one) == ["open"]


@pytest.mark.parametrize("reply", [b"250 ok\r\n250 again\r\n", b"354 go\r\n", b"not a reply\r\n"])
def test_chunk_desync_by_the_server_s_replies(
    scripted_server: ServerFactory, reply: bytes
) -> None:
    """Replies out of step end the connection before they are taken for another message's."""

    def wrong(connection: Connection, octets: bytes) -> bytes:
        return reply if b"hello" in octets else b"503 5.5.1 MAIL first\r\n"

    server = scripted_server(extensions=CHUNKING, replies={"BDAT": wrong, "MAIL:b@x": CLOSE})
    one, behind = transaction("a"), transaction("b")
    with pytest.raises(SMTPError), connect(endpoint(server.port, bdat="eager")) as connection:
        connection.deliver([one, behind])
    assert statuses(one) == (["accepted"] if reply.startswith(b"250") else ["in_doubt"])
    assert statuses(behind) in (["open"], ["in_doubt"])


def test_chunk_desync_of_a_message_that_the_server_breaks(scripted_server: ServerFactory) -> None:
    """A refused chunk is followed by no other, and the message is refused, not half sent."""
    replies = {"BDAT": [b"503 5.5.1 proof\r\n", b"503 5.5.1 proof\r\n", b"552 5.3.4 full\r\n"]}
    server = scripted_server(extensions=CHUNKING, replies=replies)
    text = COMMANDS.decode().replace("\r\n", "\n") * 3_000
    one = message("a", body=text)
    error = loss(backend_for(server, bdat="eager"), one)
    assert isinstance(error, ContentRefused)
    assert ran(server) == []
    assert server.accepted == []
