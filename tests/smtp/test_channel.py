"""One socket: octets in order, what counts as handed over, losses told after what came first."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from django_smtpauth.smtp import Disconnected, TLSError
from django_smtpauth.smtp.channel import Channel
from tests.servers.certificates import Certificates
from tests.smtp.network import WatchedSocket

pytestmark = pytest.mark.usefixtures("nothing_leaks")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture(autouse=True)
def _certificates_first(certificates: Certificates) -> None:
    """Before the descriptors are counted."""


class Pair:
    """A channel and the far end of its connection."""

    def __init__(self, **details: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = WatchedSocket(**details)
            near.connect(listener.getsockname())
            self.far, _ = listener.accept()
        self.far.settimeout(10)
        self.near = near
        self.channel = Channel(near)

    def wait(self) -> None:
        """Until the channel has something to do."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, self.channel.wants)
            assert selector.select(10)

    def step(self) -> None:
        self.wait()
        self.channel.step()

    def step_until_fault(self) -> None:
        while self.channel.fault is None:
            self.step()

    def close(self) -> None:
        self.channel.abandon()
        self.far.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def make_pair() -> Iterator[Any]:
    pairs: list[Pair] = []

    def make(**details: Any) -> Pair:
        pairs.append(Pair(**details))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


def test_octets_pass_both_ways(pair: Pair) -> None:
    channel = pair.channel
    channel.queue(b"hello ")
    channel.queue(b"")
    channel.queue(b"world")
    assert channel.unsent
    assert channel.wants == READ | WRITE
    channel.flush()
    assert not channel.unsent
    assert channel.wants == READ
    assert channel.handed == 11
    assert pair.far.recv(100) == b"hello world"
    pair.far.sendall(b"250 ok\r\n")
    pair.step()
    assert channel.take() == b"250 ok\r\n"
    assert channel.take() == b""
    assert channel.fault is None


def test_a_step_without_anything_to_do(pair: Pair) -> None:
    pair.channel.step()
    assert pair.channel.take() == b""
    assert pair.channel.fault is None


def test_what_the_transport_does_not_take_waits(make_pair: Any) -> None:
    pair = make_pair()
    octets = b"x" * 30_000_000
    pair.channel.queue(octets)
    pair.channel.flush()
    assert pair.channel.unsent
    assert pair.channel.handed == len(pair.near.taken) < len(octets)
    received = 0
    while received < len(octets):
        received += len(pair.far.recv(1_000_000))
        if pair.channel.unsent:
            pair.channel.step()
    assert pair.channel.handed == len(octets)


def test_a_flood_is_read_in_portions(pair: Pair) -> None:
    """Whoever drives gets a look at what came, before more is read."""
    pair.far.setblocking(False)
    while True:
        try:
            pair.far.send(b"x" * 1_000_000)
        except BlockingIOError:
            break
    pair.step()
    portion = len(pair.channel.take())
    assert 0 < portion <= 4 * 65_536
    pair.step()
    assert pair.channel.take()


def test_the_end_comes_after_the_octets_before_it(pair: Pair) -> None:
    pair.far.sendall(b"421 bye\r\n")
    pair.far.shutdown(socket.SHUT_WR)
    pair.step_until_fault()
    assert pair.channel.take() == b"421 bye\r\n"
    assert isinstance(pair.channel.fault, Disconnected)
    assert "closed" in str(pair.channel.fault)


def test_a_reset_while_reading(pair: Pair) -> None:
    pair.channel.queue(b"unread")
    pair.channel.flush()
    assert pair.far.recv(1, socket.MSG_PEEK)
    pair.far.close()  # with octets unread: RST
    pair.step_until_fault()
    assert isinstance(pair.channel.fault, Disconnected)
    assert "reset" in str(pair.channel.fault)


def test_octets_before_a_failed_write_are_read(make_pair: Any) -> None:
    """A server often says why and hangs up while we write."""
    pair = make_pair(takes=3)
    pair.far.sendall(b"554 no\r\n")
    pair.wait()
    pair.channel.queue(b"content")
    pair.channel.flush()
    assert pair.channel.handed == 3
    assert pair.channel.take() == b"554 no\r\n"
    assert isinstance(pair.channel.fault, Disconnected)
    assert not pair.channel.unsent
    assert pair.channel.wants == READ
    pair.channel.step()  # nothing is done any more
    pair.channel.close()
    assert bytes(pair.near.taken) == b"con"


def test_an_end_found_by_a_failed_write_keeps_its_first_reason(make_pair: Any) -> None:
    pair = make_pair(takes=0)
    pair.far.shutdown(socket.SHUT_WR)
    pair.wait()
    pair.channel.queue(b"x")
    pair.channel.step()
    assert "the server closed the connection" in str(pair.channel.fault)


def test_peers() -> None:
    near, far = socket.socketpair()
    with far:
        channel = Channel(near)
        assert (channel.peer, channel.local_address) == ("", "")
        assert channel.is_local
        channel.abandon()


def test_peer_on_loopback(pair: Pair) -> None:
    assert pair.channel.peer == pair.channel.local_address == "127.0.0.1"
    assert pair.channel.is_local


def test_a_server_behind_a_relay_is_not_here() -> None:
    near, far = socket.socketpair()
    with far:
        channel = Channel(near, relayed=True)
        assert not channel.is_local
        channel.abandon()


class Elsewhere(WatchedSocket):
    """A socket that says where its peer is."""

    where: Any = ("192.0.2.1", 25)

    def getpeername(self) -> Any:
        if isinstance(self.where, Exception):
            raise self.where
        return self.where


@pytest.mark.parametrize(
    ("where", "peer", "local"),
    [
        (("192.0.2.1", 25), "192.0.2.1", False),
        (("127.9.9.9", 25), "127.9.9.9", True),
        (("::1", 25, 0, 0), "::1", True),
        (("::ffff:127.0.0.1", 25, 0, 0), "::ffff:127.0.0.1", True),
        (("::ffff:192.0.2.1", 25, 0, 0), "::ffff:192.0.2.1", False),
        (OSError("not connected"), "", False),
    ],
)
def test_who_is_local(where: Any, peer: str, local: bool) -> None:
    sock = Elsewhere()
    sock.where = where
    channel = Channel(sock)
    assert channel.peer == peer
    assert channel.is_local is local
    channel.abandon()


# -- TLS


class SecurePair(Pair):
    """The same inside TLS; the far end is driven by hand."""

    def __init__(self, certificates: Certificates, **details: Any) -> None:
        super().__init__(**details)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = certificates.server()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.channel.begin_tls(certificates.client(), "localhost")

    def shake_hands(self) -> None:
        facts = self.channel.handshake()
        while facts is None:
            self.answer()
            self.wait()
            facts = self.channel.handshake()
        self.answer()

    def answer(self) -> None:
        """One turn of the far end's handshake."""
        self.incoming.write(self.far.recv(65_536))
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.far.sendall(self.outgoing.read())

    def read(self) -> bytes:
        """What the far end can decrypt now."""
        try:
            return self.tls.read(1_000_000)
        except ssl.SSLWantReadError:
            return b""


@pytest.fixture
def make_secure_pair(certificates: Certificates) -> Iterator[Any]:
    pairs: list[SecurePair] = []

    def make(**details: Any) -> SecurePair:
        pairs.append(SecurePair(certificates, **details))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


def test_only_octets_in_complete_records_were_handed_over(make_secure_pair: Any) -> None:
    """For every octet at which the transport may stop: what counts is what the peer can read."""
    whole = make_secure_pair()
    whole.shake_hands()
    before = len(whole.near.taken)
    messages = [b"first\r\n", b"second\r\n.\r\n"]
    after = [before]
    for message in messages:
        whole.channel.queue(message)
        whole.channel.flush()
        after.append(len(whole.near.taken))
    assert whole.channel.handed == 18
    for stop in range(before, after[-1]):
        pair = make_secure_pair(takes=stop)
        pair.shake_hands()
        for message in messages:
            pair.channel.queue(message)
        pair.channel.flush()
        assert len(pair.near.taken) == stop
        assert pair.channel.handed == (7 if stop >= after[1] else 0)
        if stop > before:
            pair.incoming.write(pair.far.recv(65_536))
        assert len(pair.read()) == pair.channel.handed
        assert isinstance(pair.channel.fault, Disconnected)
        pair.close()


def test_records_are_made_a_few_at_a_time(make_secure_pair: Any) -> None:
    """Memory stays bounded; all arrives in order."""
    pair = make_secure_pair()
    pair.shake_hands()
    octets = bytes(range(256)) * 80_000
    pair.channel.queue(octets)
    pair.channel.flush()
    assert pair.channel.unsent
    received = bytearray()
    while len(received) < len(octets):
        pair.incoming.write(pair.far.recv(1_000_000))
        while chunk := pair.read():
            received += chunk
        assert pair.channel.handed >= len(received)
        pair.channel.step()
    assert received == octets
    assert pair.channel.handed == len(octets)
    assert not pair.channel.unsent


def test_octets_before_the_end_of_tls(make_secure_pair: Any) -> None:
    pair = make_secure_pair()
    pair.shake_hands()
    pair.tls.write(b"421 bye\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        pair.tls.unwrap()
    pair.far.sendall(pair.outgoing.read())
    pair.step_until_fault()
    assert pair.channel.take() == b"421 bye\r\n"
    assert isinstance(pair.channel.fault, Disconnected)


def test_first_words_together_with_the_end_of_the_handshake(make_secure_pair: Any) -> None:
    """With TLS 1.2 the server speaks last, and its greeting may be in the same packet."""
    pair = make_secure_pair()
    context = pair.tls.context
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    pair.tls = context.wrap_bio(pair.incoming, pair.outgoing, server_side=True)
    assert pair.channel.handshake() is None
    pair.answer()
    pair.wait()
    assert pair.channel.handshake() is None
    pair.incoming.write(pair.far.recv(65_536))
    pair.tls.do_handshake()
    pair.tls.write(b"220 hi\r\n")
    pair.far.sendall(pair.outgoing.read())
    pair.wait()
    facts = pair.channel.handshake()
    assert facts is not None
    assert facts.version == "TLSv1.2"
    assert pair.channel.take() == b"220 hi\r\n"


def test_a_handshake_that_the_transport_does_not_take(make_secure_pair: Any) -> None:
    pair = make_secure_pair(takes=20)
    with pytest.raises(Disconnected, match="lost"):
        pair.channel.handshake()


def test_a_handshake_that_must_wait_to_write(make_secure_pair: Any) -> None:
    """The transport is full: the handshake goes on when it can be written again."""
    pair = make_secure_pair()
    full = pair.near.send
    turns = iter([True])

    def send(data: Any, flags: int = 0) -> int:
        if next(turns, False):
            raise BlockingIOError
        return int(full(data, flags))

    pair.near.send = send
    assert pair.channel.handshake() is None
    assert pair.channel.wants == READ | WRITE
    pair.shake_hands()


def test_an_alert_that_cannot_be_sent(certificates: Certificates) -> None:
    """The certificate is refused, and the transport has gone as well: the certificate counts."""
    pair = SecurePair(certificates)
    try:
        pair.channel.begin_tls(ssl.create_default_context(), "localhost")
        assert pair.channel.handshake() is None
        pair.answer()
        pair.wait()

        def send(data: Any, flags: int = 0) -> int:
            raise BrokenPipeError

        pair.near.send = send  # type: ignore[method-assign]
        with pytest.raises(TLSError) as caught:
            pair.channel.handshake()
        assert caught.value.reason == "certificate"
    finally:
        pair.close()


def test_close_says_goodbye_in_tls(make_secure_pair: Any) -> None:
    pair = make_secure_pair()
    pair.shake_hands()
    pair.step()  # session tickets: a close with octets unread would be a reset
    pair.channel.queue(b"QUIT\r\n")
    pair.channel.close()
    while octets := pair.far.recv(65_536):
        pair.incoming.write(octets)
    assert pair.read() == b"QUIT\r\n"
    assert pair.tls.read(1) == b""  # close_notify, not a mere end of the stream


def test_close_does_not_wait(make_secure_pair: Any) -> None:
    """What can't be sent at once is not said."""
    pair = make_secure_pair()
    pair.shake_hands()
    pair.channel.queue(b"x" * 30_000_000)
    pair.channel.close()
    assert pair.near.fileno() == -1


def test_abandon_says_nothing(pair: Pair) -> None:
    pair.channel.queue(b"QUIT\r\n")
    pair.channel.abandon()
    assert pair.far.recv(100) == b""
