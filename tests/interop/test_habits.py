"""How real servers take what the documents leave open, asked with raw octets.

The engine relies on these answers, or takes care because of them. What a server says here is no
merit and no fault of ours: a new version may change it, and then the engine is to be looked at.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable

import pytest

from tests.interop.dovecot import Dovecot
from tests.interop.exim import Exim
from tests.interop.nodemailer import Nodemailer
from tests.interop.postfix import Postfix
from tests.servers.client import RawClient

pytestmark = pytest.mark.interop

MAIL = b"MAIL FROM:<alice@example.test>\r\n"
ENVELOPE = MAIL + b"RCPT TO:<rcpt1@example.test>\r\n"
REFUSED = MAIL + b"RCPT TO:<nobody@example.test>\r\n"
#: Takes the chunk of two octets, whatever became of the transaction.
EMPTY_CHUNK = b"BDAT 2 LAST\r\n\r\n"

Opening = Callable[[], RawClient]

CHUNKING = ["postfix", "exim", "lmtp", "submission"]
ALL = [*CHUNKING, "nodemailer"]


@pytest.fixture
def client(request: pytest.FixtureRequest) -> RawClient:
    """A raw client of the server that the test names, past EHLO, TLS and log-in."""
    name = request.param
    if name in ("postfix", "nodemailer", "exim"):
        server: Postfix | Nodemailer | Exim = request.getfixturevalue(name)
        return server.raw("plain")
    dovecot: Dovecot = request.getfixturevalue("dovecot")
    opened = dovecot.raw(name)
    if name == "submission":
        login, password = dovecot.alice.login, dovecot.alice.password
        token = base64.b64encode(f"\0{login}\0{password}".encode())
        assert opened.ask(b"AUTH PLAIN " + token)[0].startswith(b"235 ")
    return opened


def message() -> bytes:
    return b"Message-ID: <%s@client.example>\r\n\r\n.\r\n" % uuid.uuid4().hex.encode()


def codes(client: RawClient, octets: bytes, count: int) -> list[int]:
    """Send in one write, read so many replies."""
    client.send(octets)
    return [int(reply[:3]) for reply in client.replies(count)]


@pytest.mark.parametrize("client", CHUNKING, indirect=True)
def test_a_chunk_outside_a_transaction_is_swallowed_and_refused(client: RawClient) -> None:
    with client:
        assert codes(client, EMPTY_CHUNK + b"RSET\r\n", 2) == [503, 250]


@pytest.mark.parametrize("client", CHUNKING, indirect=True)
def test_a_chunk_without_a_recipient_is_swallowed_and_refused(client: RawClient) -> None:
    with client:
        mail, rcpt, chunk, reset = codes(client, REFUSED + EMPTY_CHUNK + b"RSET\r\n", 4)

    assert (mail, rcpt, reset) == (250, 550, 250)
    assert chunk in (503, 554)


@pytest.mark.parametrize("client", ALL, indirect=True)
def test_an_envelope_may_come_with_the_final_dot(client: RawClient) -> None:
    with client:
        assert codes(client, ENVELOPE + b"DATA\r\n", 3) == [250, 250, 354]
        content = message()
        assert codes(client, content + b"RSET\r\n" + ENVELOPE + b"DATA\r\n", 5) == [
            *(250, 250, 250, 250, 354)
        ]


@pytest.mark.parametrize("client", CHUNKING, indirect=True)
def test_an_envelope_may_come_with_the_last_chunk(client: RawClient) -> None:
    chunk = b"BDAT 12 LAST\r\nSubject: x\r\n"
    with client:
        assert codes(client, ENVELOPE + chunk + b"RSET\r\n" + ENVELOPE + chunk, 7) == [250] * 7


@pytest.mark.parametrize("client", CHUNKING, indirect=True)
def test_the_last_chunk_may_be_empty(client: RawClient) -> None:
    with client:
        octets = ENVELOPE + b"BDAT 12\r\nSubject: x\r\nBDAT 0 LAST\r\nNOOP\r\n"
        assert codes(client, octets, 5) == [250] * 5


def test_dovecot_dies_of_an_envelope_behind_a_message_without_reset(dovecot: Dovecot) -> None:
    """Why RSET goes in front of every MAIL of a stream. The message is relayed, unanswered."""
    token = base64.b64encode(f"\0{dovecot.alice.login}\0{dovecot.alice.password}".encode())
    with dovecot.raw("submission") as client:
        assert client.ask(b"AUTH PLAIN " + token)[0].startswith(b"235 ")
        assert codes(client, ENVELOPE + b"DATA\r\n", 3) == [250, 250, 354]
        client.send(message() + ENVELOPE)
        assert client.rest() == b""


def test_dovecot_dies_of_a_chunk_behind_a_refused_sender(dovecot: Dovecot) -> None:
    """Where the server behind it refuses: not even that refusal is passed on."""
    token = base64.b64encode(f"\0{dovecot.alice.login}\0{dovecot.alice.password}".encode())
    with dovecot.raw("submission") as client:
        assert client.ask(b"AUTH PLAIN " + token)[0].startswith(b"235 ")
        client.send(ENVELOPE.replace(b"alice", b"refused-sender") + EMPTY_CHUNK)
        assert client.rest() == b""


def test_exim_hangs_up_when_a_command_is_none(exim: Exim) -> None:
    """An octet too many behind a chunk ends the session: 554, a matter of synchronisation."""
    with exim.raw("plain") as client:
        assert codes(client, EMPTY_CHUNK + b"\r\nRSET\r\n", 2) == [503, 554]
        assert client.rest() == b""


def test_lmtp_answers_for_each_accepted_recipient(dovecot: Dovecot) -> None:
    names = [b"rcpt1", b"nobody", b"full", b"broken", b"rcpt2"]
    recipients = b"".join(b"RCPT TO:<%s@example.test>\r\n" % name for name in names)
    content = message()
    with dovecot.raw("lmtp_socket") as client:
        assert codes(client, MAIL + recipients + b"DATA\r\n", 7) == [
            *(250, 250, 550, 250, 250, 250, 354)
        ]
        assert codes(client, content, 4) == [250, 552, 451, 250]

    message_id = content.split(b" ")[1].split(b"\r")[0].decode()
    assert set(dovecot.copies(message_id)) == {"rcpt1@example.test", "rcpt2@example.test"}


def test_exim_reports_delivery_when_asked(exim: Exim) -> None:
    content = message()
    with exim.raw("plain") as client:
        mail = MAIL.replace(b"\r\n", b" RET=HDRS ENVID=one+2Btwo\r\n")
        rcpt = b"RCPT TO:<rcpt1@example.test> NOTIFY=SUCCESS ORCPT=rfc822;first@example.test\r\n"
        assert codes(client, mail + rcpt + b"DATA\r\n", 3) == [250, 250, 354]
        assert codes(client, content, 1) == [250]

    [report] = exim.reports(content.split(b" ")[1].split(b"\r")[0].decode())
    assert b"\nOriginal-Recipient: rfc822;first@example.test\n" in report
    assert b"\nAction: delivered\n" in report
