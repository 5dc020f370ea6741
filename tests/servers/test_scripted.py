from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import threading
from typing import Literal

import pytest

from tests.servers.certificates import Certificates
from tests.servers.client import RawClient
from tests.servers.fixtures import ServerFactory
from tests.servers.records import Connection
from tests.servers.scripted import (
    CLOSE,
    ORDINARY,
    RESET,
    SILENCE,
    Answer,
    AuthAttempt,
    Behaviour,
    Drip,
    PlainCut,
    ScriptedServer,
    Then,
)

MAIL = b"MAIL FROM:<a@example.org>"
RCPT = b"RCPT TO:<b@example.org>"
CONTENT = b"Subject: hello\r\n\r\nbody\r\n"


def codes(replies: list[bytes]) -> list[int]:
    return [int(reply[:3]) for reply in replies]


def opened(server: ScriptedServer) -> RawClient:
    client = RawClient(server.port)
    client.reply()
    client.ask(b"EHLO client.test")
    return client


def deliver(client: RawClient, recipients: int = 1) -> list[int]:
    """One message, every command waited for."""
    replies = client.ask(MAIL)
    for _ in range(recipients):
        replies += client.ask(RCPT)
    replies += client.ask(b"DATA")
    client.send(CONTENT + b".\r\n")
    return codes([*replies, client.reply()])


def test_takes_a_message(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with RawClient(server.port) as client:
        assert client.reply() == b"220 scripted.test ESMTP\r\n"
        (ehlo,) = client.ask(b"ehlo client.test")
        assert ehlo == (
            b"250-scripted.test\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n"
            b"250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
        )
        assert deliver(client, recipients=2) == [250, 250, 250, 354, 250]
        assert codes(client.ask(b"QUIT")) == [221]
        assert client.receive() == b""
    server.settle(connections=1)
    (message,) = server.accepted
    assert message.sender == "a@example.org"
    assert message.recipients == ["b@example.org", "b@example.org"]
    assert message.sender_line == MAIL
    assert message.content == message.wire == CONTENT
    assert message.reply == b"250 2.0.0 Ok: queued as 00001-00001\r\n"
    (connection,) = server.connections
    assert connection.verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert connection.ended == "server"
    assert server.violations == []


def test_content_is_kept_as_sent_and_without_stuffed_dots(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with opened(server) as client:
        client.ask(MAIL, RCPT, b"DATA")
        client.send(b"..first\r\n...\r\nlast\r\n")
        client.send(b".\r")
        client.send(b"\n")
        assert codes([client.reply()]) == [250]
    (message,) = server.messages
    assert message.wire == b"..first\r\n...\r\nlast\r\n"
    assert message.content == b".first\r\n..\r\nlast\r\n"
    assert server.violations == []


def test_an_empty_content_is_a_lone_dot(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with opened(server) as client:
        client.ask(MAIL, RCPT, b"DATA")
        assert codes(client.ask(b".")) == [250]
    assert [message.content for message in server.messages] == [b""]


@pytest.mark.parametrize(
    ("sent", "violation"),
    [
        (b"a\nb\r\n", "bare LF at octet 1 of the content"),
        (b"a\rb\r\n", "bare CR at octet 1 of the content"),
        (b"a\n.\nb\r\n", "bare LF at octet 1 of the content"),
        (b"a\r\n.b\r\n", "a line of the content begins with a dot that was not doubled"),
        (b".b\r\n", "a line of the content begins with a dot that was not doubled"),
    ],
)
def test_a_breach_in_the_content_is_recorded(
    scripted_server: ServerFactory, sent: bytes, violation: str
) -> None:
    server = scripted_server()
    with opened(server) as client:
        client.ask(MAIL, RCPT, b"DATA")
        client.send(sent + b".\r\n")
        client.reply()
    assert violation in server.violations


@pytest.mark.parametrize(
    ("sent", "violation"),
    [
        (b"NOOP\n", "bare LF ends the command line b'NOOP'"),
        (b"NOOP \r x\r\n", "bare CR in the command line b'NOOP \\r x'"),
    ],
)
def test_a_breach_in_a_command_is_recorded(
    scripted_server: ServerFactory, sent: bytes, violation: str
) -> None:
    server = scripted_server()
    with opened(server) as client:
        client.send(sent)
        client.reply()
    assert server.violations == [violation]


def test_commands_in_the_wrong_order_are_refused(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with RawClient(server.port) as client:
        client.reply()
        assert codes(client.ask(MAIL)) == [503]
        client.ask(b"EHLO client.test")
        assert codes(client.ask(RCPT)) == [503]
        assert codes(client.ask(b"DATA")) == [503]
        assert codes(client.ask(MAIL, MAIL)) == [250, 503]
        assert codes(client.ask(b"DATA")) == [554]
        assert codes(client.ask(b"RSET", b"MAIL FROM:a@example.org")) == [250, 501]
        assert codes(client.ask(b"MAIL FROM:<a@example.org> RET=HDRS")) == [555]
        assert codes(client.ask(b"MAIL FROM:<a@example.org> SIZE=9 BODY=8BITMIME")) == [250]
        assert codes(client.ask(b"STARTTLS")) == [503]
        assert codes(client.ask(b"AUTH PLAIN AGEAYg==")) == [503]
        assert codes(client.ask(b"FROBNICATE")) == [500]
        assert codes(client.ask(b"VRFY a")) == [252]


def test_replies_are_scripted_per_command_and_address(scripted_server: ServerFactory) -> None:
    server = scripted_server(
        replies={"RCPT:bad@example.test": b"550 5.1.1 no\r\n", "RCPT": b"251 forwarded\r\n"}
    )
    with opened(server) as client:
        replies = client.ask(MAIL, b"RCPT TO:<bad@example.test>", RCPT)
        assert replies[1:] == [b"550 5.1.1 no\r\n", b"251 forwarded\r\n"]
        client.ask(b"DATA")
        client.ask(b".")
    assert server.messages[0].recipient_lines == [RCPT]


def test_a_list_is_used_up_across_connections(scripted_server: ServerFactory) -> None:
    busy = Answer(b"421 busy\r\n", Then.CLOSE)
    server = scripted_server(replies={"GREETING": [busy, ORDINARY, b"220 third\r\n"]})
    greetings = []
    for _ in range(4):
        with RawClient(server.port) as client:
            greetings.append(client.reply())
    ordinary = b"220 scripted.test ESMTP\r\n"
    assert greetings == [b"421 busy\r\n", ordinary, b"220 third\r\n", ordinary]


def test_a_callable_sees_the_record_and_the_line(scripted_server: ServerFactory) -> None:
    def verdict(connection: Connection, content: bytes) -> bytes | None:
        return None if content == b"go\r\n" else f"250 {len(connection.commands)}\r\n".encode()

    server = scripted_server(replies={"CONTENT": verdict})
    with opened(server) as client:
        client.ask(MAIL, RCPT, b"DATA")
        client.send(b"stay\r\n.\r\n")
        assert client.reply() == b"250 4\r\n"
        client.ask(MAIL, RCPT, b"DATA")
        client.send(b"go\r\n.\r\n")
        assert client.receive() == b""
    assert [message.accepted for message in server.messages] == [True, False]


def test_a_failing_callable_surfaces_at_exit() -> None:
    def fail(connection: Connection, line: bytes) -> bytes:
        raise AssertionError("not this one")

    server = ScriptedServer(Behaviour(replies={"NOOP": fail}))
    with opened(server) as client:
        client.send(b"NOOP\r\n")
        assert client.receive() == b""
    with pytest.raises(AssertionError, match="not this one"):
        server.__exit__(None, None, None)


def test_354_without_recipients_ends_with_a_lone_dot(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"RCPT": b"550 no\r\n", "DATA": b"354 go\r\n"})
    with opened(server) as client:
        assert codes(client.ask(MAIL, RCPT, b"DATA")) == [250, 550, 354]
        assert codes(client.ask(b".")) == [554]
    assert server.accepted == []


def test_ehlo_refused_helo_accepted(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"EHLO": b"502 no\r\n"})
    with RawClient(server.port) as client:
        client.reply()
        assert codes(client.ask(b"EHLO client.test")) == [502]
        assert codes(client.ask(b"HELO client.test")) == [250]
        assert deliver(client) == [250, 250, 354, 250]
    assert server.connections[0].announced == {}


def test_the_state_follows_what_was_answered(scripted_server: ServerFactory) -> None:
    refused = b"550 no\r\n"
    server = scripted_server(replies={"HELO": [refused], "RSET": [refused], "MAIL": [refused]})
    with RawClient(server.port) as client:
        client.reply()
        assert codes(client.ask(b"HELO client.test") + client.ask(MAIL)) == [550, 550]
        assert codes(client.ask(MAIL)) == [503]
        client.ask(b"HELO client.test")
        assert codes(client.ask(RCPT) + client.ask(MAIL)) == [503, 250]
        assert codes(client.ask(b"RSET") + client.ask(MAIL)) == [550, 503]
        assert codes(client.ask(b"RSET") + client.ask(MAIL)) == [250, 250]
    assert server.commands.count(MAIL) == 5


def test_line_feeds_only_and_bare_codes(scripted_server: ServerFactory) -> None:
    server = scripted_server(
        line_ending=b"\n", bare_codes=True, users={"a": "b"}, mechanisms=["LOGIN"]
    )
    with RawClient(server.port) as client:
        assert client.reply() == b"220\n"
        (ehlo,) = client.ask(b"EHLO client.test")
        assert ehlo.startswith(b"250-scripted.test\n250-PIPELINING\n")
        assert ehlo.endswith(b"250 AUTH LOGIN\n")
        replies = client.ask(b"AUTH LOGIN") + client.ask(b"YQ==") + client.ask(b"Yg==")
        assert replies == [b"334\n", b"334\n", b"235\n"]
        assert client.ask(MAIL) == [b"250\n"]


def test_extensions_are_announced_as_listed(scripted_server: ServerFactory) -> None:
    server = scripted_server(extensions=["auth=LOGIN", "Size"])
    with RawClient(server.port) as client:
        client.reply()
        (ehlo,) = client.ask(b"EHLO client.test")
        assert ehlo == b"250-scripted.test\r\n250-auth=LOGIN\r\n250 Size\r\n"
    assert server.connections[0].announced == {"AUTH": "LOGIN", "SIZE": ""}


def test_close_reset_and_silence(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"NOOP": [CLOSE, RESET, SILENCE]})
    with opened(server) as client:
        client.send(b"NOOP\r\n")
        assert client.receive() == b""
    with opened(server) as client:
        client.send(b"NOOP\r\n")
        with pytest.raises(ConnectionResetError):
            client.receive()
    with opened(server) as client:
        client.send(b"NOOP\r\nNOOP\r\n")
        client.limit_wait(0.05)
        with pytest.raises(TimeoutError):
            client.receive()
        client.send(b"still read")
    server.settle(connections=3)
    assert server.connections[2].received.endswith(b"NOOP\r\nstill read")
    assert [connection.ended for connection in server.connections] == ["server"] * 3


def test_closes_after_the_verdict(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"CONTENT": Answer(then=Then.CLOSE)})
    with opened(server) as client:
        assert deliver(client)[-1] == 250
        assert client.receive() == b""
    assert len(server.accepted) == 1


def test_stops_reading_and_the_client_blocks(scripted_server: ServerFactory) -> None:
    stop = Answer(b"354 go\r\n", Then.STOP_READING)
    server = scripted_server(receive_buffer=4096, replies={"DATA": stop})
    with opened(server) as client:
        assert codes(client.ask(MAIL, RCPT, b"DATA")) == [250, 250, 354]
        client.limit_wait(0.2)
        with pytest.raises(TimeoutError):
            client.send(bytes(16_000_000))


def test_octets_leave_when_the_test_says(scripted_server: ServerFactory) -> None:
    pace = threading.Semaphore(0)
    server = scripted_server(replies={"NOOP": Answer(b"250 ok\r\n", drip=Drip(pace=pace))})
    with opened(server) as client:
        client.send(b"NOOP\r\n")
        arrived = b""
        while len(arrived) < 8:
            pace.release()
            octet = client.receive()
            assert len(octet) == 1
            arrived += octet
        assert arrived == b"250 ok\r\n"
        assert codes(client.ask(b"RSET")) == [250]


def test_lines_drip_at_an_interval(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"EHLO": Answer(drip=Drip(interval=0.01, by="line"))})
    with RawClient(server.port) as client:
        client.reply()
        client.send(b"EHLO client.test\r\n")
        assert client.receive() == b"250-scripted.test\r\n"
        assert client.reply().startswith(b"250-PIPELINING\r\n")


def test_every_reply_octet_by_octet(scripted_server: ServerFactory) -> None:
    server = scripted_server(drip=Drip())
    with opened(server) as client:
        assert deliver(client) == [250, 250, 354, 250]


def test_a_waiting_drip_ends_with_the_server() -> None:
    with ScriptedServer(Behaviour(drip=Drip(pace=threading.Semaphore(0)))) as server:
        client = RawClient(server.port)
    with client:
        assert client.receive() == b""
    assert server.connections[0].ended == "stopped"


def test_a_client_that_never_reads_does_not_hold_the_server() -> None:
    with ScriptedServer(Behaviour(replies={"NOOP": bytes(16_000_000)})) as server:
        client = opened(server)
        client.send(b"NOOP\r\n")
        client.receive()
    with client:
        assert 0 < len(client.rest()) < 16_000_000
    assert server.connections[0].ended == "stopped"


def test_421_after_refused_recipients(scripted_server: ServerFactory) -> None:
    server = scripted_server(refusals_before_421=2, replies={"RCPT": b"550 no\r\n"})
    with opened(server) as client:
        client.send(b"\r\n".join([MAIL, RCPT, RCPT, RCPT, RCPT, b"DATA", b""]))
        assert codes(client.replies(4)) == [250, 550, 550, 421]
        assert client.receive() == b""


def test_refuses_what_comes_with_the_final_dot(scripted_server: ServerFactory) -> None:
    server = scripted_server(refuse_behind_dot=True)
    with opened(server) as client:
        client.ask(MAIL, RCPT, b"DATA")
        client.send(CONTENT + b".\r\n" + MAIL + b"\r\n" + RCPT + b"\r\nDATA\r\n")
        assert codes(client.replies(4)) == [250, 503, 503, 503]
        assert deliver(client) == [250, 250, 354, 250]
    assert len(server.accepted) == 2


def test_auth_mechanisms(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={"club": "geheim €"})
    encoded = base64.b64encode
    password = "geheim €".encode()
    with opened(server) as client:
        assert codes(client.ask(b"AUTH PLAIN")) == [334]
        assert codes(client.ask(encoded(b"\0club\0wrong"))) == [535]
        assert codes(client.ask(b"AUTH PLAIN " + encoded(b"\0club\0" + password))) == [235]
        assert codes(client.ask(b"AUTH PLAIN")) == [503]
    with opened(server) as client:
        assert client.ask(b"AUTH LOGIN") == [b"334 VXNlcm5hbWU6\r\n"]
        assert client.ask(encoded(b"club")) == [b"334 UGFzc3dvcmQ6\r\n"]
        assert codes(client.ask(encoded(password))) == [235]
    with opened(server) as client:
        (reply,) = client.ask(b"AUTH CRAM-MD5")
        digest = hmac.new(password, base64.b64decode(reply[4:]), hashlib.md5).hexdigest()
        assert codes(client.ask(encoded(b"club " + digest.encode()))) == [235]
    with opened(server) as client:
        assert codes(client.ask(b"AUTH LOGIN " + encoded(b"club"))) == [334]
        assert codes(client.ask(b"*")) == [501]
        assert codes(client.ask(b"AUTH LOGIN")) == [334]
        assert codes(client.ask(b"%%%")) == [501]
        assert codes(client.ask(b"AUTH PLAIN =")) == [501]
        assert codes(client.ask(b"AUTH CRAM-MD5 YQ==")) == [501]
        assert codes(client.ask(b"AUTH XOAUTH2 x")) == [504]
    plain, login, cram, odd = (connection.auth for connection in server.connections)
    assert plain[:2] == [AuthAttempt("PLAIN", "club", False), AuthAttempt("PLAIN", "club", True)]
    assert login == [AuthAttempt("LOGIN", "club", True)]
    assert cram == [AuthAttempt("CRAM-MD5", "club", True)]
    assert not any(attempt.accepted for attempt in odd)
    assert server.connections[1].commands[1:] == [b"AUTH LOGIN", b"Y2x1Yg==", encoded(password)]


def test_auth_can_be_scripted(scripted_server: ServerFactory) -> None:
    challenges: list[bytes | Answer] = [b"334 eA==\r\n", b"334\r\n", b"235 fine\r\n"]
    server = scripted_server(
        replies={"AUTH:XOAUTH2": b"334 \r\n", "AUTH-RESPONSE": list(challenges)}
    )
    with opened(server) as client:
        replies = client.ask(b"AUTH XOAUTH2") + client.ask(b"x") + client.ask(b"x")
        assert codes(replies + client.ask(b"x")) == [334, 334, 334, 235]
    assert server.connections[0].authenticated


def test_bdat(scripted_server: ServerFactory) -> None:
    server = scripted_server(extensions=["PIPELINING", "CHUNKING"])
    with opened(server) as client:
        client.send(b"BDAT 2 LAST\r\n\r\n")
        assert codes([client.reply()]) == [503]
        client.ask(MAIL, RCPT)
        client.send(b"BDAT 4\r\nab\r\nBDAT 3 LA")
        assert codes([client.reply()]) == [250]
        client.send(b"ST\r\n.\r\n")
        client.send(MAIL + b"\r\n")
        assert codes(client.replies(2)) == [250, 250]
        client.ask(RCPT)
        client.send(b"BDAT 1\r\nx")
        client.reply()
        assert codes(client.ask(b"DATA")) == [503]
    (message,) = server.accepted
    assert message.content == message.wire == b"ab\r\n.\r\n"
    assert message.chunks == [4, 3]


def test_bdat_refused_ends_the_transaction(scripted_server: ServerFactory) -> None:
    server = scripted_server(extensions=["CHUNKING"], replies={"BDAT": [b"452 full\r\n"]})
    with opened(server) as client:
        client.ask(MAIL)
        client.ask(RCPT)
        client.send(b"BDAT 6\r\nNOOP\r\n")
        assert codes([client.reply()]) == [452]
        client.send(b"BDAT 6 LAST\r\nNOOP\r\n")
        assert codes([client.reply()]) == [503]
        assert codes(client.ask(b"BDAT many")) == [501]
        assert codes(client.ask(MAIL)) == [250]
    assert server.messages == []


def test_bdat_unannounced_runs_its_octets_as_commands(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with opened(server) as client:
        client.send(b"BDAT 6 LAST\r\nNOOP\r\n")
        assert codes(client.replies(2)) == [500, 250]


def test_a_refused_connection_is_no_failure_of_the_server(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    with socket.create_connection((server.host, server.port)):
        pass
    server.settle(connections=1)
    assert server.connections[0].ended in ("client", "lost")


def test_settle_gives_up() -> None:
    with ScriptedServer() as server, pytest.raises(TimeoutError, match="still open after"):
        server.settle(connections=1, timeout=0.01)


@pytest.mark.parametrize("inside_tls", [False, True])
@pytest.mark.parametrize("how", ["close", "truncate", "reset"])
def test_a_session_is_cut_short(
    scripted_server: ServerFactory,
    certificates: Certificates,
    how: Literal["close", "truncate", "reset"],
    inside_tls: bool,
) -> None:
    """Counted in octets of SMTP, also inside TLS."""
    context = certificates.server() if inside_tls else None
    trust = certificates.client() if inside_tls else None
    for direction, octet in (("server", 6), ("client", 4)):
        server = scripted_server(
            replies={"GREETING": b"220 hello\r\n"},
            ssl_context=context,
            implicit_tls=inside_tls,
            plain_cut=PlainCut(direction, octet, how),  # type: ignore[arg-type]
        )
        heard = b""
        # A reset may come before the client has said a word, or even knows that it is connected.
        try:
            with RawClient(server.port, trust) as client:
                client.send(b"NOOP\r\nNOOP\r\n")
                heard = client.rest()
        except (ConnectionError, ssl.SSLError):
            assert how == "reset" or (inside_tls and how == "truncate")
        assert b"220 hello\r\n".startswith(heard)
        server.settle(1)
        connection = server.connections[0]
        assert connection.ended == "server"
        assert bytes(connection.received) == (b"NOOP" if direction == "client" else b"")
