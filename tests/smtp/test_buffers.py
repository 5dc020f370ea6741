"""Neither side's buffers hold what is under way: only who reads while writing gets on.

The servers here do one thing at a time. They read one command or chunk, then say a reply of a few
hundred octets, and read nothing before it has left. (Groups and content behind DATA: see
`test_hostile`.)
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from django_smtpauth.smtp import Content, Security, TLSOptions, connect
from django_smtpauth.smtp.content import BLOCK
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.smtp.network import Dialler, Peer, RawServer, endpoint, statuses, transaction

pytestmark = pytest.mark.usefixtures("nothing_leaks")

SMALL = 2_048
WORDS = b" " + b"x" * 400 + b"\r\n"
CHUNK = re.compile(rb"BDAT (\d+)( LAST)?\r\n")


class Serial:
    """Serves one connection, step by step.

    heard: the first words of all commands; octets: of all chunks together.
    """

    def __init__(self, lmtp: bool = False) -> None:
        self.heard: list[bytes] = []
        self.octets = 0
        self._lmtp = lmtp
        self._accepted = 0

    def __call__(self, peer: Peer) -> None:
        peer.say(b"220 hi\r\n")
        peer.hear(b"LO client.test\r\n")
        peer.say(b"250-raw.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        while (line := peer.hear(b"\r\n")) != b"QUIT\r\n":
            self.heard.append(line.split()[0])
            self._answer(peer, line)

    def _answer(self, peer: Peer, line: bytes) -> None:
        match = CHUNK.fullmatch(line)
        if match is None:
            self._accepted = self._accepted + 1 if line.startswith(b"RCPT") else 0
            peer.say(b"250" + WORDS)
            return
        size = int(match[1])
        peer.take(size)
        if not self._accepted:
            peer.say(b"503" + WORDS)
            return
        self.octets += size
        verdicts = self._accepted if self._lmtp and match[2] else 1
        for _ in range(verdicts):
            peer.say(b"250" + WORDS)


@pytest.mark.parametrize(
    ("recipients", "options"),
    [
        (1_000, {"bdat": "after_rcpt"}),
        (1_000, {"bdat": "eager"}),
        (250, {"bdat": "eager"}),
        (250, {"bdat": "eager", "max_unanswered": 20}),
        (1, {"bdat": "eager", "max_unanswered": 20}),
        (500, {"bdat": "after_rcpt", "protocol": "lmtp"}),
        (250, {"bdat": "eager", "protocol": "lmtp", "max_unanswered": 20}),
    ],
)
def test_many_recipients_and_chunks(recipients: int, options: dict[str, Any]) -> None:
    text = b"".join(b".line %d\r\n" % number for number in range(300))
    number_of = 8 if recipients < 500 else 2
    messages = [transaction(f"m{number}", recipients, text) for number in range(number_of)]
    serve = Serial(lmtp="protocol" in options)
    with RawServer(serve, buffers=SMALL) as server:
        dialler = Dialler(send_buffer=SMALL, receive_buffer=SMALL)
        with connect(endpoint(server.port, **options), dial=dialler) as connection:
            connection.deliver(messages)
    assert [statuses(message) for message in messages] == [["accepted"] * recipients] * number_of
    assert serve.octets == number_of * len(text)
    assert serve.heard.count(b"RCPT") == number_of * recipients


@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_many_chunks(protocol: str) -> None:
    """Their replies alone are more than both buffers hold."""
    blocks = 100
    block = (b"x" * 62 + b"\r\n") * 1_024
    content = Content(lambda: (block for _ in range(blocks)), eight_bit=False)
    message = transaction("a", 3, content)
    serve = Serial(lmtp=protocol == "lmtp")
    with RawServer(serve, buffers=SMALL) as server:
        dialler = Dialler(send_buffer=SMALL, receive_buffer=SMALL)
        options: dict[str, Any] = {"bdat": "after_rcpt", "protocol": protocol}
        with connect(endpoint(server.port, **options), dial=dialler) as connection:
            connection.deliver([message])
    assert statuses(message) == ["accepted"] * 3
    assert serve.octets == blocks * BLOCK
    assert serve.heard.count(b"BDAT") == blocks


@pytest.mark.parametrize(
    "options", [{}, {"bdat": "after_rcpt"}, {"bdat": "eager", "max_unanswered": 5}]
)
def test_inside_tls(
    scripted_server: ServerFactory, certificates: Certificates, options: dict[str, Any]
) -> None:
    """There a record that waits to leave holds up the octets in it, and no reply."""
    server = scripted_server(
        extensions=["PIPELINING", "CHUNKING"],
        ssl_context=certificates.server(),
        implicit_tls=True,
        receive_buffer=SMALL,
        send_buffer=SMALL,
        replies={"RCPT": b"250" + WORDS},
    )
    text = b"".join(b".line %d\r\n" % number for number in range(2_000))
    messages = [transaction(f"m{number}", 100, text) for number in range(2)]
    dialler = Dialler(send_buffer=SMALL, receive_buffer=SMALL)
    secure = endpoint(
        server.port,
        security=Security.IMPLICIT_TLS,
        tls=TLSOptions(ca_file=certificates.ca_file),
        **options,
    )
    with connect(secure, dial=dialler) as connection:
        connection.deliver(messages)
    assert [statuses(message) for message in messages] == [["accepted"] * 100] * 2
    assert [message.content for message in server.accepted] == [text] * 2
    assert server.violations == []
