"""Duties of the log-in: one attempt, with the strongest mechanism, and no belief in the server."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from django_smtpauth.smtp import (
    AuthenticationRefused,
    Credentials,
    NotSupported,
    ProtocolError,
    Security,
    SMTPError,
    TLSOptions,
    connect,
)
from tests.backend_fixtures import PASSWORD, USER, batch, fates, message
from tests.security.attacks import EVIL, assert_nothing_secret, loss, received, user_of
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.proxies import HTTPProxy, Socks5Proxy
from tests.servers.records import Connection
from tests.servers.scripted import Answer, ScriptedServer, Then
from tests.smtp.network import endpoint

pytestmark = pytest.mark.usefixtures("certificates", "nothing_leaks")

STRONGEST_FIRST = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"]
TOKEN = "ya29." + "Geheim-42-Wort" * 30


def tried(server: ScriptedServer) -> list[str]:
    """The mechanism of every AUTH command."""
    return [line.split()[1].decode() for line in server.commands if line.startswith(b"AUTH ")]


REFUSALS = [b"535 5.7.8 no\r\n", b"534 5.7.9 weak\r\n", b"504 5.5.4 no\r\n", b"501 5.5.2 no\r\n"]


@pytest.mark.parametrize("number", range(len(STRONGEST_FIRST)))
@pytest.mark.parametrize("refusal", [*REFUSALS, b"454 4.7.0 later\r\n", b"432 4.7.12 change\r\n"])
def test_auth_downgrade(scripted_server: ServerFactory, number: int, refusal: bytes) -> None:
    """The strongest that is offered, in whatever order, and no weaker one after a refusal."""
    offered = STRONGEST_FIRST[number:]
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=[*reversed(offered), "X-UNKNOWN"],
        replies={"AUTH": refusal},
    )
    error = loss(user_of(server))
    assert isinstance(error, AuthenticationRefused)
    assert tried(server) == offered[:1]


def test_auth_downgrade_by_taking_the_offer_of_binding_away(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    """A client that could bind itself says so, and a server that offered it will notice."""
    server = scripted_server(
        ssl_context=certificates.server(),
        implicit_tls=True,
        certificate=certificates.server_pem,
        users={USER: PASSWORD},
        mechanisms=["SCRAM-SHA-256"],
    )
    assert user_of(server, use_ssl=True, ca_file=certificates.ca_file).send_messages([message()])
    [line] = [line for line in server.commands if line.startswith(b"AUTH ")]
    assert base64.b64decode(line.split()[2]).startswith(b"y,,")


@pytest.mark.parametrize("verify", [True, False])
def test_auth_downgrade_of_binding(
    scripted_server: ServerFactory, certificates: Certificates, verify: bool
) -> None:
    """A -PLUS that is refused may be followed by the unbound one, once, in verified TLS only."""
    server = scripted_server(
        ssl_context=certificates.server(),
        implicit_tls=True,
        certificate=certificates.server_pem,
        users={USER: PASSWORD},
        mechanisms=["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"],
        replies={"AUTH": b"535 5.7.8 no\r\n"},
    )
    options: dict[str, Any] = {"use_ssl": True, "verify": verify}
    if verify:
        options["ca_file"] = certificates.ca_file
    assert isinstance(loss(user_of(server, **options)), AuthenticationRefused)
    expected = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
    assert tried(server) == (expected if verify else expected[:1])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_lockout(scripted_server: ServerFactory, mechanism: str) -> None:
    """One attempt with a wrong password: for the batch, and for all that come after it."""
    server = scripted_server(users={USER: "another"}, mechanisms=[mechanism])
    messages = batch("abc")
    error = loss(user_of(server), *messages)
    assert isinstance(error, AuthenticationRefused)
    assert error.reply is not None
    assert (error.reply.code, error.transient) == (535, False)
    for _ in range(3):
        again = loss(user_of(server))
        assert isinstance(again, AuthenticationRefused)
        assert again.reason == "refused-before"
    assert tried(server) == [mechanism]
    assert fates(messages) == ["failed"] * 3
    # Another password is another credential.
    assert user_of(server, password="another").send_messages([message()]) == 1


def test_lockout_does_not_follow_from_trouble(scripted_server: ServerFactory) -> None:
    """What is no verdict on the credentials is not held against them."""
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=["PLAIN"],
        replies={"AUTH": [b"454 4.7.0 later\r\n", b"530 5.7.0 not so\r\n"]},
    )
    for _ in range(2):
        loss(user_of(server))
    assert user_of(server).send_messages([message()]) == 1


@pytest.fixture
def proxies() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", [HTTPProxy, Socks5Proxy])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("security", ["none", "opportunistic"])
def test_auth_data_in_clear(
    scripted_server: ServerFactory,
    proxies: ExitStack,
    kind: type[Any],
    mechanism: str,
    security: str,
) -> None:
    """A secret goes to another machine inside TLS only; one behind a proxy is another machine."""
    server = scripted_server(
        users={USER: PASSWORD}, tokens={USER: TOKEN}, mechanisms=[mechanism, "EXTERNAL"]
    )
    proxy = proxies.enter_context(kind({"mx.test": server.port}))
    name = "http" if kind is HTTPProxy else "socks5"
    options: dict[str, Any] = {
        "host": "mx.test",
        "security": security,
        "proxy": f"{name}://{proxy.host}:{proxy.port}",
    }
    if "AUTH" in mechanism:
        options |= {"password": None, "access_token": TOKEN}
    error = loss(user_of(server, **options))
    assert isinstance(error, NotSupported)
    assert error.reason == "auth-without-tls"
    assert tried(server) == []
    assert_nothing_secret(server, PASSWORD, TOKEN)
    # The site may say that it trusts the network.
    assert user_of(server, **options, allow_auth_without_tls=True).send_messages([message()])


# -- SCRAM


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


def challenge(text: str) -> Any:
    """An entry that says server-first, with `{}` for the client's nonce."""

    def entry(connection: Connection, line: bytes) -> bytes:
        first = base64.b64decode(line.split()[-1]).decode()
        nonce = first.partition(",r=")[2]
        return b"334 " + b64(text.replace("{}", nonce)) + b"\r\n"

    return entry


FIRST = {
    "a nonce of its own": "r=0123456789abcdef,s=c2FsdHNhbHQ=,i=4096",
    "our nonce alone": "r={},s=c2FsdHNhbHQ=,i=4096",
    "our nonce behind": "r=x{},s=c2FsdHNhbHQ=,i=4096",
    "too few rounds": "r={}x,s=c2FsdHNhbHQ=,i=4095",
    "one round": "r={}x,s=c2FsdHNhbHQ=,i=1",
    "no round": "r={}x,s=c2FsdHNhbHQ=,i=0",
    "too many rounds": "r={}x,s=c2FsdHNhbHQ=,i=1000001",
    "rounds for ever": "r={}x,s=c2FsdHNhbHQ=,i=9999999999",
    "rounds beyond all numbers": "r={}x,s=c2FsdHNhbHQ=,i=" + "9" * 4_000,
    "negative rounds": "r={}x,s=c2FsdHNhbHQ=,i=-4096",
    "no salt": "r={}x,s=,i=4096",
    "a salt that is none": "r={}x,s=***,i=4096",
    "an extension": "m=x,r={}x,s=c2FsdHNhbHQ=,i=4096",
    "nothing": "",
    "nonsense": "\x00\x01",
}


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("words", FIRST.values(), ids=FIRST.keys())
def test_scram_checks(scripted_server: ServerFactory, mechanism: str, words: str) -> None:
    """No proof, which could be guessed at, for a server that bends the exchange."""
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=[mechanism, "PLAIN"],
        replies={"AUTH": challenge(words), "AUTH-RESPONSE": b"501 5.7.0 cancelled\r\n"},
    )
    error = loss(user_of(server))
    assert isinstance(error, ProtocolError)
    assert error.stage == "AUTH"
    assert tried(server) == [mechanism]
    server.settle()
    assert server.commands[2] == b"*"
    assert b64("c=")[:3] not in received(server)


SUCCESS = b"235 2.7.0 welcome\r\n"
LAST = {
    "a signature of another": b"334 " + b64("v=" + "A" * 43 + "=") + b"\r\n",
    "an empty signature": b"334 " + b64("v=") + b"\r\n",
    "no signature": SUCCESS,
    "an error": b"334 " + b64("e=other-error") + b"\r\n",
    "the first message again": b"334 " + b64("r=x,s=c2FsdA==,i=4096") + b"\r\n",
}


@pytest.mark.parametrize("last", LAST.values(), ids=LAST.keys())
def test_scram_checks_the_server(scripted_server: ServerFactory, last: bytes) -> None:
    """Its success is not believed before it has proven that it knows the password."""
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=["SCRAM-SHA-256"],
        replies={
            "AUTH": challenge("r={}server,s=c2FsdHNhbHQ=,i=4096"),
            "AUTH-RESPONSE": [last, SUCCESS, SUCCESS],
        },
    )
    one = message()
    error = loss(user_of(server), one)
    assert isinstance(error, ProtocolError)
    assert fates([one]) == ["failed"]
    assert b"MAIL" not in received(server)


def test_scram_checks_success_at_once(scripted_server: ServerFactory) -> None:
    server = scripted_server(
        users={USER: PASSWORD}, mechanisms=["SCRAM-SHA-256"], replies={"AUTH": SUCCESS}
    )
    error = loss(user_of(server))
    assert isinstance(error, ProtocolError)
    assert error.reason == "server-signature"
    assert b"MAIL" not in received(server)


# -- access tokens

TELLING = {
    "as documented": json.dumps({"status": "401", "schemes": "bearer", "scope": "mail"}),
    "nested too deep": "[" * 4_000,
    "objects in objects": '{"status":' * 800,
    "a number without end": '{"status": ' + "9" * 5_000 + "}",
    "not a number": '{"status": NaN, "scope": Infinity}',
    "half a character": '{"status": "\\ud800\\u0000\\n\\r250 ok", "scope": "\\u2028x"}',
    "terminal": '{"status": "\\u001b[2J\\u009b31m"}',
    "a long text": json.dumps({"status": "x" * 8_000}),
    "other types": '{"status": [1], "scope": {"a": 1}, "schemes": null}',
    "not an object": '"401"',
    "no JSON": "denied",
    "nothing": "",
    "the token": '{"status": "TOKEN", "scope": "x TOKEN y", "schemes": "zTOKEN"}',
    "the token behind words": '{"scope": "' + "x" * 100 + 'TOKEN"}',
    "the token in base64": '{"scope": "BASE64"}',
}


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("told", TELLING.values(), ids=TELLING.keys())
@pytest.mark.parametrize("token", [TOKEN, TOKEN[:40]], ids=["long", "short"])
def test_xoauth2_error_challenge(
    scripted_server: ServerFactory, mechanism: str, told: str, token: str
) -> None:
    """It is acknowledged, the refusal behind it is read, and its words are shown with care."""
    told = told.replace("TOKEN", token).replace("BASE64", b64(token).decode())
    server = scripted_server(
        tokens={USER: token},
        mechanisms=[mechanism],
        replies={
            "AUTH": b"334 " + b64(told) + b"\r\n",
            "AUTH-RESPONSE": b"535 5.7.8 no\r\n",
        },
    )
    one = message()
    error = loss(user_of(server, password=None, access_token=token), one)
    assert isinstance(error, AuthenticationRefused)
    assert error.reply is not None
    assert error.reply.code == 535
    acknowledged = b"" if mechanism == "XOAUTH2" else base64.b64encode(b"\x01")
    assert server.commands[2] == acknowledged
    shown = f"{error}\n{one.smtp_result.dialogue()}\n{one.smtp_result.to_dict()}"
    assert "the server does not take the token" in shown
    assert len(shown) < 5_000
    assert all(character.isprintable() or character == "\n" for character in shown)
    # Not even a part of it.
    assert token[:24] not in shown
    assert b64(token).decode()[:24] not in shown


# -- names that could be more than a name

NAMES = [
    "club,n=admin",
    "club=2Cadmin",
    "n=admin,r=x",
    f"club\x01auth=Bearer {EVIL}\x01\x01",
    "club\x01",
    "club\0admin",
    "\0admin",
    f"club\r\n{EVIL}",
    f"club {EVIL}",
    "jürgen",
    "\u760d\u760a",
    "club@example.com",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize(
    "mechanism",
    ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"],
)
def test_names_with_separators(scripted_server: ServerFactory, mechanism: str, name: str) -> None:
    """The server sees this very name, or nothing of it."""
    server = scripted_server(users={name: PASSWORD}, tokens={name: TOKEN}, mechanisms=[mechanism])
    token = "OAUTH" in mechanism
    kind: Any = "token" if token else "password"
    credentials = Credentials(name, lambda: TOKEN if token else PASSWORD, kind=kind)
    refused: SMTPError | None = None
    try:
        connect(endpoint(server.port, credentials=credentials)).close()
    except SMTPError as error:
        refused = error
    server.settle()
    if isinstance(refused, NotSupported):
        assert refused.reason == "credentials-not-text"
        assert re.search(r"[\x00-\x1f]", name)
        assert tried(server) == []
    elif refused is not None:
        # The server's own library is stricter about names than RFC 5802 asks.
        assert mechanism == "SCRAM-SHA-256"
    for line in [line for line in server.commands if line.startswith(b"AUTH SCRAM")]:
        flag, identity, user, _ = base64.b64decode(line.split()[2]).decode().split(",")
        assert (flag, identity, user[:2]) == ("n", "", "n=")
        assert user[2:].replace("=2C", ",").replace("=3D", "=") == name
    for attempt in server.connections[0].auth:
        assert mechanism == "SCRAM-SHA-256" or (attempt.username, attempt.accepted) == (name, True)
    assert not any(line.startswith(EVIL.encode()) for line in server.commands)


def test_auth_data_in_clear_after_tls_broke_off(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    """A log-in that was cut inside TLS is never tried again outside of it."""
    server = scripted_server(
        ssl_context=certificates.server(),
        users={USER: PASSWORD},
        mechanisms=["PLAIN"],
        replies={"AUTH": [Answer(b"", Then.CLOSE)]},
    )
    error = loss(user_of(server, use_tls=True, ca_file=certificates.ca_file))
    assert error.stage == "AUTH"
    assert len(server.connections) == 1
    tls = TLSOptions(ca_file=certificates.ca_file)
    credentials = Credentials(USER, lambda: PASSWORD)
    secure = endpoint(server.port, security=Security.STARTTLS, tls=tls, credentials=credentials)
    connect(secure).close()
    server.settle(2)
    assert all(one.tls is not None for one in server.connections)
