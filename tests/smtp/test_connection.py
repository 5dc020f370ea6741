"""The blocking driver: opening, delivering, closing, its limits, and nothing left behind."""

from __future__ import annotations

import base64
import pickle
import re
import select
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from django_smtpauth.smtp import (
    AuthenticationRefused,
    ConnectError,
    Connection,
    Content,
    ContentRefused,
    Credentials,
    DeliveryInDoubt,
    Dialled,
    Disconnected,
    NotSupported,
    ProtocolError,
    RecipientsRefused,
    Security,
    SenderRefused,
    SMTPError,
    TimedOut,
    TLSError,
    TLSOptions,
    commands,
    connect,
    connection,
)
from django_smtpauth.smtp.channel import Channel
from django_smtpauth.smtp.connection import reach
from django_smtpauth.smtp.dialling import dial
from django_smtpauth.smtp.probing import discards_chunks
from tests.leaks import shown_by_trackers
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import CLOSE, RESET, SILENCE, Answer, Drip, Then
from tests.smtp.network import (
    BOUND,
    BRIEF,
    CREDENTIALS,
    PASSWORD,
    USER,
    Dialler,
    WatchedSocket,
    endpoint,
    failure_of,
    loss_of,
    statuses,
    transaction,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")


@pytest.fixture(autouse=True)
def _certificates_first(certificates: Certificates) -> None:
    """Before the descriptors are counted."""


# -- in steps


def steps_of(connection: Connection) -> list[str]:
    with connection:
        return list(connection.opening())


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (Security.NONE, ["GREETING", "EHLO", "AUTH"]),
        (Security.STARTTLS, ["GREETING", "EHLO", "TLS", "EHLO", "AUTH"]),
        (Security.IMPLICIT_TLS, ["TLS", "GREETING", "EHLO", "AUTH"]),
    ],
)
def test_the_steps_of_an_opening(
    scripted_server: ServerFactory,
    certificates: Certificates,
    security: Security,
    expected: list[str],
) -> None:
    implicit = security is Security.IMPLICIT_TLS
    server = scripted_server(
        users={USER: PASSWORD}, ssl_context=certificates.server(), implicit_tls=implicit
    )
    tls = TLSOptions(ca_file=certificates.ca_file)
    where = endpoint(server.port, security=security, tls=tls, credentials=CREDENTIALS)
    assert steps_of(reach(where)) == expected
    server.settle()
    assert server.connections[0].verbs[-1] == "QUIT"


def test_an_opening_may_end_early(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD})
    with reach(endpoint(server.port, credentials=CREDENTIALS)) as opened:
        assert next(opened.opening()) == "GREETING"
    server.settle()
    assert server.commands == []


def test_a_dialogue_that_is_no_message(scripted_server: ServerFactory) -> None:
    server = scripted_server(extensions=["CHUNKING"])
    with connect(endpoint(server.port)) as opened:
        assert opened.talk(lambda wire: wire.ask(commands.rset())).code == 250
        assert opened.talk(discards_chunks)
        assert opened.usable
    assert server.messages == []


@pytest.mark.parametrize("silent_at", ["GREETING", "EHLO"])
def test_all_that_waits_ends_when_the_caller_says(
    scripted_server: ServerFactory, silent_at: str
) -> None:
    """Whatever the endpoint would wait, and however the server drips."""
    pace = threading.Semaphore(2)
    server = scripted_server(replies={silent_at: Answer(drip=Drip(pace=pace))})
    began = time.monotonic()
    with reach(endpoint(server.port)) as opened:
        opened.until = began + 0.2
        with pytest.raises(TimedOut) as caught:
            list(opened.opening())
    assert caught.value.stage == silent_at
    assert time.monotonic() - began < BOUND


def test_a_handshake_ends_when_the_caller_says(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    drip = Drip(pace=threading.Semaphore(0))
    server = scripted_server(
        ssl_context=certificates.server(), implicit_tls=True, handshake_drip=drip
    )
    with reach(endpoint(server.port, security=Security.IMPLICIT_TLS)) as opened:
        opened.until = time.monotonic() + 0.2
        with pytest.raises(TimedOut) as caught:
            list(opened.opening())
    assert caught.value.stage == "TLS"


# -- sending


def test_one_message(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD})
    with connect(endpoint(server.port, credentials=CREDENTIALS)) as opened:
        assert opened.usable
        assert opened.tls is None
        assert opened.mechanism == "CRAM-MD5"
        assert opened.extensions.pipelining
        message = opened.send("a@example.org", ["b@example.org"], b"Subject: x\r\n\r\n.dot")
    assert not opened.usable
    assert statuses(message) == ["accepted"]
    assert message.final is not None
    assert message.final.code == 250
    server.settle()
    (received,) = server.accepted
    assert (received.sender, received.recipients) == ("a@example.org", ["b@example.org"])
    assert received.content == b"Subject: x\r\n\r\n.dot\r\n"
    assert server.connections[0].verbs[-1] == "QUIT"
    assert server.violations == []


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ({"MAIL": b"550 5.7.1 no\r\n"}, SenderRefused),
        ({"RCPT": b"550 5.1.1 no\r\n"}, RecipientsRefused),
        ({"DATA": b"451 later\r\n"}, ContentRefused),
        ({"CONTENT": b"554 5.6.0 no\r\n"}, ContentRefused),
        ({"CONTENT": CLOSE}, DeliveryInDoubt),
        ({"MAIL": RESET}, Disconnected),
        ({"RCPT": b"hm\r\n"}, ProtocolError),
        ({"EHLO": b"250-x\r\n250 SIZE 5\r\n"}, ContentRefused),
        ({"EHLO": b"250 x\r\n"}, NotSupported),
    ],
)
def test_one_message_that_fails(
    scripted_server: ServerFactory, replies: dict[str, Any], kind: type[SMTPError]
) -> None:
    """The error says all by itself, and survives pickle."""
    server = scripted_server(replies=replies)
    with (
        connect(endpoint(server.port)) as opened,
        pytest.raises(kind) as caught,
    ):
        opened.send("a@example.org", ["b@example.org"], b"Subject: \xc3\xa4\r\n\r\nx")
    error = caught.value
    assert error.peer == "the test server"
    assert "(the test server)" in str(error).splitlines()[0]
    assert "@" not in str(error)
    assert error.transcript
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.transcript == error.transcript
    assert (again.transient, again.in_doubt) == (error.transient, error.in_doubt)
    assert error.in_doubt == (kind is DeliveryInDoubt)


def test_a_connection_lost_behind_a_verdict_is_no_failure(
    scripted_server: ServerFactory,
) -> None:
    server = scripted_server(replies={"CONTENT": Answer(b"250 ok\r\n250 more\r\n")})
    opened = connect(endpoint(server.port))
    message = opened.send("a@example.org", ["b@example.org"], b"x")
    assert statuses(message) == ["accepted"]
    assert not opened.usable


def test_transcript(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD})
    options = {"credentials": CREDENTIALS, "auth_mechanisms": ("LOGIN",)}
    with connect(endpoint(server.port, **options)) as opened:
        message, other = transaction("a"), transaction("b")
        opened.deliver([message, other])
        whole = opened.transcript(message)
    times = [event.time for event in whole]
    assert times == sorted(times)
    texts = "\n".join(f"{event.direction}: {event.text}" for event in whole)
    assert texts.startswith("*: connected to 127.0.0.1\nS: 220 scripted.test ESMTP")
    assert "MAIL FROM:<a@example.org>" in texts
    assert "b@example.org" not in texts
    for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode()):
        assert secret not in texts


def test_on_done_is_told_each_message_as_soon_as_it_is_known(
    scripted_server: ServerFactory,
) -> None:
    server = scripted_server()
    messages = [transaction(f"m{number}") for number in range(3)]
    order: list[str] = []

    def source() -> Iterator[Any]:
        for message in messages:
            order.append(f"made {message.envelope.sender}")
            yield message

    with connect(endpoint(server.port)) as opened:
        opened.deliver(source(), lambda done: order.append(f"done {done.envelope.sender}"))
    assert order == [
        "made m0@example.org",
        "made m1@example.org",
        "done m0@example.org",
        "made m2@example.org",
        "done m1@example.org",
        "done m2@example.org",
    ]


@pytest.mark.parametrize("error", [RuntimeError("broken source"), KeyboardInterrupt()])
def test_a_source_that_fails_ends_the_connection(
    scripted_server: ServerFactory, error: BaseException
) -> None:
    """Half a content can't be taken back; nothing of it is delivered."""

    def pieces() -> Iterator[bytes]:
        yield b"x\r\n" * 50_000
        raise error

    server = scripted_server()
    message = transaction("a", 1, Content(pieces, None, eight_bit=False))
    opened = connect(endpoint(server.port))
    with pytest.raises(type(error)):
        opened.deliver([message])
    assert not opened.usable
    assert not message.done
    server.settle()
    assert server.messages == []


def test_closing_twice(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    opened = connect(endpoint(server.port))
    opened.close()
    opened.close()
    server.settle()
    assert [line for line in server.commands if line == b"QUIT"] == [b"QUIT"]


def test_what_was_learnt_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MAX_TRAITS", 3)
    for port in range(1, 6):
        connection._traits_of(endpoint(port))
    assert list(connection._traits) == [("127.0.0.1", port) for port in (3, 4, 5)]


# -- a connection that changed while nobody looked


class Watched(Dialler):
    """Lets a test wait until the server's next octets, or its end, have arrived."""

    def wait(self) -> None:
        assert select.select([self.sockets[-1]], [], [], 10)[0]


def test_the_end_while_the_content_is_made_is_no_doubt(scripted_server: ServerFactory) -> None:
    """Nothing more is handed to a server that has gone: another connection may have it all."""
    server = scripted_server(replies={"DATA": Answer(b"354 go\r\n", Then.CLOSE)})
    dialler = Watched()

    def pieces() -> Iterator[bytes]:
        dialler.wait()
        yield b"x"

    opened = connect(endpoint(server.port), dial=dialler)
    message = transaction("a", 1, Content(pieces, None, eight_bit=False))
    error = loss_of(opened, message)
    assert isinstance(error, Disconnected)
    assert not message.done
    assert dialler.taken.endswith(b"DATA\r\n")


def test_a_reply_that_came_between_deliveries(scripted_server: ServerFactory) -> None:
    """It is no answer to what is sent after it."""
    server = scripted_server()
    dialler = Watched()
    opened = connect(endpoint(server.port), dial=dialler)
    # Behind the engine's back: what the server answers was not asked for by the engine.
    dialler.sockets[-1].sendall(b"NOOP\r\n")
    dialler.wait()
    message = transaction()
    error = loss_of(opened, message)
    assert isinstance(error, ProtocolError)
    assert not message.done
    assert b"MAIL" not in dialler.taken


def test_421_that_came_between_deliveries(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"NOOP": Answer(b"421 4.4.2 idle\r\n", Then.CLOSE)})
    dialler = Watched()
    opened = connect(endpoint(server.port), dial=dialler)
    dialler.sockets[-1].sendall(b"NOOP\r\n")
    dialler.wait()
    message = transaction()
    error = loss_of(opened, message)
    assert isinstance(error, Disconnected)
    assert error.reply is not None
    assert error.reply.code == 421
    assert not message.done
    assert b"MAIL" not in dialler.taken


# -- limits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_deadline_bounds_each_message(scripted_server: ServerFactory) -> None:
    """A message whose time is over is not completed: that would only make doubt."""
    server = scripted_server()
    clock, dialler = Clock(), Dialler()

    def slowly() -> Iterator[bytes]:
        clock.now += 40
        yield b"x"

    opened = connect(endpoint(server.port, deadline=30), dial=dialler, clock=clock)
    first, second = transaction("a"), transaction("b", 1, Content(slowly, None, eight_bit=False))
    error = loss_of(opened, first, second)
    assert isinstance(error, TimedOut)
    assert statuses(first) == ["accepted"]
    assert not second.done
    server.settle()
    assert len(server.messages) == 1


def test_the_deadline_does_not_bound_a_batch(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    clock = Clock()
    messages = [transaction(f"m{number}") for number in range(5)]

    def source() -> Iterator[Any]:
        for message in messages:
            clock.now += 20
            yield message

    opened = connect(endpoint(server.port, deadline=30), clock=clock)
    with opened:
        opened.deliver(source())
    assert [statuses(message) for message in messages] == [["accepted"]] * 5


def test_the_deadline_bounds_opening(scripted_server: ServerFactory) -> None:
    server = scripted_server(replies={"GREETING": SILENCE})
    error = failure_of(server.port, deadline=0.1)
    assert isinstance(error, TimedOut)
    assert error.stage == "GREETING"


def test_time_spent_dialling_counts(scripted_server: ServerFactory) -> None:
    """What remains after a long search for an address is all that opening has."""
    server = scripted_server()
    clock, dialler = Clock(), Dialler()
    limits: list[float] = []

    def dial(host: str, port: int, seconds: float, source: str | None) -> socket.socket:
        limits.append(seconds)
        clock.now += 8
        return dialler(host, port, 10, source)

    plan = endpoint(server.port, deadline=7)
    with pytest.raises(TimedOut):
        connect(plan, dial=dial, clock=clock)
    assert limits == [7]


# -- names


@pytest.mark.parametrize(
    ("name", "found", "said"),
    [
        ("given.example", "web1.example.org", b"EHLO given.example"),
        ("", "web1.example.org", b"EHLO web1.example.org"),
        ("", "", b"EHLO [127.0.0.1]"),
    ],
)
def test_ehlo_name(
    scripted_server: ServerFactory,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    found: str,
    said: bytes,
) -> None:
    monkeypatch.setattr(connection, "local_name", lambda: found)
    server = scripted_server()
    connect(endpoint(server.port, ehlo_name=name)).close()
    assert server.commands[0] == said


@pytest.mark.parametrize(
    ("address", "said"), [("::1", b"EHLO [IPv6:::1]"), ("/", b"EHLO localhost")]
)
def test_ehlo_name_by_the_kind_of_socket(
    scripted_server: ServerFactory,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    address: str,
    said: bytes,
) -> None:
    """RFC 5321 4.1.3 for IPv6; a Unix socket has no address that could be told."""
    monkeypatch.setattr(connection, "local_name", lambda: "")
    host = str(tmp_path / "smtp") if address == "/" else address
    server = scripted_server(address=host)
    connect(endpoint(server.port, host=host, ehlo_name="")).close()
    assert server.commands[0] == said


@pytest.mark.parametrize(
    ("address", "literal"),
    [
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("fe80::1%eth0", "[IPv6:fe80::1]"),
        ("", "localhost"),
    ],
)
def test_address_literals(address: str, literal: str) -> None:
    assert connection._literal(address) == literal


# -- passwords in clear


class Remote(WatchedSocket):
    """Loopback that looks like another machine."""

    def getpeername(self) -> Any:
        return "192.0.2.1", 25


def dial_remote(host: str, port: int, timeout: float, source: str | None) -> socket.socket:
    sock = Remote()
    sock.connect((host, port))
    return sock


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_password_in_clear_stays_on_this_machine(
    scripted_server: ServerFactory, mechanism: str
) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=[mechanism])
    plan = endpoint(server.port, credentials=CREDENTIALS)
    with connect(plan) as opened:
        assert opened.mechanism == mechanism
    with pytest.raises(NotSupported) as caught:
        connect(plan, dial=dial_remote)
    assert caught.value.reason == "auth-without-tls"
    assert "allow_auth_without_tls" in str(caught.value)
    assert server.connections[1].verbs == ["EHLO"]


def test_a_password_in_clear_can_be_allowed(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])
    plan = endpoint(server.port, credentials=CREDENTIALS, allow_auth_without_tls=True)
    with connect(plan, dial=dial_remote) as opened:
        assert opened.mechanism == "PLAIN"


def test_a_mechanism_that_hides_the_password_needs_no_permission(
    scripted_server: ServerFactory,
) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN", "CRAM-MD5"])
    with connect(endpoint(server.port, credentials=CREDENTIALS), dial=dial_remote) as opened:
        assert opened.mechanism == "CRAM-MD5"


def test_a_password_in_clear_does_not_go_through_a_relay_of_this_machine(
    scripted_server: ServerFactory,
) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])

    def relayed(host: str, port: int, timeout: float, source: str | None) -> Dialled:
        return replace(dial(host, port, timeout, source), via="socks5://127.0.0.1:1080")

    plan = endpoint(server.port, credentials=CREDENTIALS, label="")
    with pytest.raises(NotSupported) as caught:
        connect(plan, dial=relayed)
    assert caught.value.reason == "auth-without-tls"
    assert caught.value.transcript[0].text == (
        f"connected to 127.0.0.1:{server.port} through socks5://127.0.0.1:1080"
    )


# -- no secret in a frame

MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5"]
FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"AUTH": None},
    "reset": {"AUTH": RESET},
    "silence": {"AUTH": SILENCE},
    "garbage": {"AUTH": b"what?\r\n"},
    "421": {"AUTH": Answer(b"421 bye\r\n", Then.CLOSE)},
    "bad challenge": {"AUTH": b"334 no base64!\r\n"},
    "endless challenges": {"AUTH": b"334 YQ==\r\n", "AUTH-RESPONSE": b"334 YQ==\r\n"},
    "reset in the middle": {"AUTH": b"334 YQ==\r\n", "AUTH-RESPONSE": RESET},
    "later": {"MAIL": RESET},
}


def forms_of(secret: str) -> list[str]:
    """What must not be seen: the secret, and what it is part of in base64."""
    plain = f"\0{USER}\0{secret}".encode()
    return [
        secret,
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(plain).decode(),
        repr(plain)[2:-1],
    ]


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("kind", FAILURES)
def test_no_secret_in_what_leaves(
    scripted_server: ServerFactory, mechanism: str, kind: str
) -> None:
    """Error pages and trackers show every local variable of every frame."""
    replies = {key: entry for key, entry in FAILURES[kind].items() if entry is not None}
    users = {USER: "another"} if kind == "refused" else {USER: PASSWORD}
    server = scripted_server(users=users, mechanisms=[mechanism], replies=replies)
    plan = endpoint(server.port, credentials=CREDENTIALS, timeouts=BRIEF)
    with pytest.raises(SMTPError) as caught:
        attempt(plan)
    shown = shown_by_trackers(caught.value) + repr(caught.value.to_dict())
    shown += "".join(traceback.format_exception(caught.value))
    for form in forms_of(PASSWORD):
        assert form not in shown
    if kind == "refused":
        assert isinstance(caught.value, AuthenticationRefused)
        first = str(caught.value).splitlines()[0]
        assert first == "AUTH refused: 535 5.7.8 (the test server)"
    pickle.loads(pickle.dumps(caught.value))


def attempt(plan: Any) -> None:
    with connect(plan) as opened:
        opened.deliver([transaction()])


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(
    "secret", ["x" * 12_000, "y" * 9_200, "half\ud800surrogate", "nul\0inside"]
)
def test_no_secret_in_what_leaves_when_it_is_unfit(
    scripted_server: ServerFactory, mechanism: str, secret: str
) -> None:
    server = scripted_server(users={USER: PASSWORD}, mechanisms=[mechanism])
    credentials = Credentials(USER, lambda: secret)
    error = failure_of(server.port, credentials=credentials)
    assert isinstance(error, NotSupported)
    shown = shown_by_trackers(error) + "".join(traceback.format_exception(error))
    assert secret[:40] not in shown
    assert not re.search(r"x{50}|y{50}", shown)


def test_a_secret_that_cannot_be_had(scripted_server: ServerFactory) -> None:
    """The callable's own exception leaves, and the connection is closed."""

    class VaultError(Exception):
        pass

    def ask() -> str:
        raise VaultError("sealed")

    server = scripted_server(users={USER: PASSWORD})
    with pytest.raises(VaultError, match="sealed"):
        connect(endpoint(server.port, credentials=Credentials(USER, ask)))
    server.settle()
    assert server.connections[0].ended == "client"
    assert b"AUTH" not in b"".join(server.commands)


# -- errors of real connections survive pickle


def test_errors_of_opening_survive_pickle(scripted_server: ServerFactory) -> None:
    refusing = scripted_server(replies={"GREETING": b"554 5.7.1 go away\r\n"}).port
    usual = scripted_server().port
    errors = [
        failure_of(refusing),
        failure_of(usual, security=Security.IMPLICIT_TLS),
        failure_of(usual, security=Security.STARTTLS),
        failure_of(usual, security=Security.IMPLICIT_TLS, tls=TLSOptions(ca_text="none")),
        failure_of(scripted_server(replies={"EHLO": b"421 bye\r\n"}).port),
        failure_of(scripted_server(replies={"EHLO": SILENCE}).port, timeouts=BRIEF),
        failure_of(scripted_server(replies={"EHLO": b"451 later\r\n"}).port),
    ]
    assert any(isinstance(error, TLSError) for error in errors)
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again).keys() == vars(error).keys()
        assert again.to_dict() == error.to_dict()
        assert error.__cause__ is None
        assert error.__context__ is None


def test_a_connection_is_made_of_a_channel_only(scripted_server: ServerFactory) -> None:
    """`Connection` opens nothing by itself: whoever has a socket can use it."""
    server = scripted_server()
    sock = Dialler()("127.0.0.1", server.port, 5, None)
    opened = Connection(endpoint(server.port), Channel(sock), Clock())
    opened.open()
    opened.close()
    assert opened.peer == "127.0.0.1"


# -- what remains usable


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ({"RCPT": [b"550 5.1.1 no\r\n"]}, RecipientsRefused),
        ({"CONTENT": [b"554 5.6.0 no\r\n"]}, ContentRefused),
    ],
)
def test_a_refused_message_leaves_the_connection_open(
    scripted_server: ServerFactory, replies: dict[str, Any], kind: type[SMTPError]
) -> None:
    server = scripted_server(replies=replies)
    with connect(endpoint(server.port)) as opened:
        with pytest.raises(kind) as caught:
            opened.send("me@example.org", ["a@example.org"], b"x")
        assert "RCPT TO:<a@example.org>" in [event.text for event in caught.value.transcript]
        assert opened.usable
        opened.send("me@example.org", ["a@example.org"], b"x")
    assert len(server.accepted) == 1
    assert server.violations == []


def test_421_amid_the_content_is_no_verdict(scripted_server: ServerFactory) -> None:
    server = scripted_server(
        replies={"DATA": Answer(b"354 go\r\n421 4.3.2 bye\r\n", Then.CLOSE)},
    )
    message = transaction()
    loss_of(connect(endpoint(server.port)), message)
    assert statuses(message) == ["open"]


def test_an_interrupt_ends_the_connection(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    opened = connect(endpoint(server.port))

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.deliver([transaction()], interrupt)
    assert not opened.usable
    opened.close()


def test_an_own_way_to_dial(scripted_server: ServerFactory) -> None:
    server = scripted_server()
    asked: list[tuple[str, int]] = []
    dialler = Dialler()

    def through_a_tunnel(
        host: str, port: int, timeout: float, source_address: str | None
    ) -> socket.socket:
        asked.append((host, port))
        return dialler("127.0.0.1", server.port, timeout, source_address)

    with connect(endpoint(25, host="mx.example.org"), dial=through_a_tunnel) as opened:
        opened.send("me@example.org", ["a@example.org"], b"x")
    assert asked == [("mx.example.org", 25)]
    assert len(server.accepted) == 1


# Limits of the server (RFC 9422).

LIMITED = {"extensions": ["PIPELINING", "LIMITS MAILMAX=1 RCPTMAX=2"]}


def test_a_connection_that_a_limit_ends_takes_nothing_more(scripted_server: ServerFactory) -> None:
    server = scripted_server(**LIMITED)
    with connect(endpoint(server.port)) as connection:
        first, second = transaction("a"), transaction("b")
        connection.deliver([first, second])
        assert statuses(first) == ["accepted"]
        assert not second.done
        assert not connection.usable
        with pytest.raises(Disconnected) as caught:
            connection.send("me@example.org", ["you@example.org"], b"")
    assert caught.value.reason == "limits"
    server.settle(1)
    assert server.connections[0].verbs[-1] == "QUIT"


def test_a_message_that_a_limit_splits_says_who_got_it(scripted_server: ServerFactory) -> None:
    server = scripted_server(**LIMITED)
    with connect(endpoint(server.port)) as connection:
        sent = connection.send("me@x.test", ["a@x.test", "b@x.test", "c@x.test"], b"")
    assert statuses(sent) == ["accepted", "accepted", "not_sent"]


@pytest.mark.parametrize(("deadline", "left"), [(None, 10.0), (7.0, 1.0), (100.0, 10.0)])
def test_a_further_try_has_what_the_first_left_of_the_deadline(
    deadline: float | None, left: float
) -> None:
    asked: list[float] = []

    def refuse(host: str, port: int, timeout: float, source: str | None) -> socket.socket:
        asked.append(timeout)
        raise ConnectError("no")

    with pytest.raises(ConnectError):
        connect(endpoint(25, deadline=deadline), dial=refuse, clock=lambda: 1_000.0, began=994.0)
    assert asked == [left]
