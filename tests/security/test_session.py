"""Duties of the session: TLS before everything, nothing from before it, nothing half open."""

from __future__ import annotations

import base64
import ssl
from typing import Any

import pytest

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import NotSupported, ProtocolError, TLSError
from django_smtpauth.smtp.channel import Channel
from tests.backend_fixtures import (
    PASSWORD,
    USER,
    backend_for,
    failure_of,
    fates,
    message,
)
from tests.security.attacks import (
    assert_nothing_secret,
    loss,
    received,
    user_of,
    verbs,
)
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import CLOSE, Answer, Then
from tests.smtp.network import Peer, RawServer

pytestmark = pytest.mark.usefixtures("certificates", "nothing_leaks")

SECRETS = (
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode(),
    base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode(),
)
CLEAR = ["PIPELINING", "AUTH PLAIN LOGIN SCRAM-SHA-256"]

STRIPPED: dict[str, dict[str, Any]] = {
    "not offered": {"extensions": CLEAR},
    "offered in another word": {"extensions": [*CLEAR, "XXXXXXXA", "STARTTLSX"]},
    "EHLO refused": {"extensions": CLEAR, "replies": {"EHLO": b"502 5.5.1 no\r\n"}},
    "refused for now": {"replies": {"STARTTLS": b"454 4.7.0 later\r\n"}},
    "refused for good": {"replies": {"STARTTLS": b"502 5.5.1 no\r\n"}},
    "answered by a challenge": {"replies": {"STARTTLS": b"334 \r\n"}},
    "answered by goodbye": {"replies": {"STARTTLS": Answer(b"421 4.3.2 bye\r\n", Then.CLOSE)}},
    "answered by nothing": {"replies": {"STARTTLS": CLOSE}},
}


@pytest.mark.parametrize("how", STRIPPED.values(), ids=STRIPPED.keys())
def test_starttls_stripping(scripted_server: ServerFactory, how: dict[str, Any]) -> None:
    """No log-in and no mail, though both would be welcome in clear."""
    server = scripted_server(
        **{"extensions": [*CLEAR, "STARTTLS"], "users": {USER: PASSWORD}, **how}
    )
    one = message()
    error = loss(user_of(server, use_tls=True), one)
    assert error.stage in ("TLS", "EHLO")
    assert fates([one]) == ["failed"]
    assert not {"AUTH", "MAIL", "HELO"} & set(verbs(server))
    assert_nothing_secret(server, *SECRETS)


def test_starttls_stripping_after_the_220(certificates: Certificates) -> None:
    """Someone swallows the handshake and goes on in clear."""
    heard = bytearray()

    def serve(peer: Peer) -> None:
        peer.open("STARTTLS")
        peer.hear(b"STARTTLS\r\n")
        peer.say(b"220 go\r\n")
        peer.hear(b"\x16\x03\x01")
        peer.say(b"250-raw.test\r\n250 AUTH PLAIN\r\n")
        while octets := peer.sock.recv(65_536):
            heard.extend(octets)

    with RawServer(serve) as server:
        backend = EmailBackend(
            "127.0.0.1", server.port, USER, PASSWORD, use_tls=True, ehlo_name="client.test"
        )
        error = failure_of(backend, [message()], ssl.SSLError)
    assert error.stage == "TLS"
    assert not any(word in heard for word in (b"EHLO", b"AUTH", b"MAIL", PASSWORD.encode()))


FORGED = b"250-evil.test\r\n250-XFORGED\r\n250 AUTH PLAIN\r\n"


@pytest.mark.parametrize("octets", [FORGED, b"250 evil\r\n", b"2", b"\r\n", FORGED * 30])
def test_response_injection_before_tls(
    scripted_server: ServerFactory, certificates: Certificates, octets: bytes
) -> None:
    """What stood behind the 220 must not be taken for the answer to EHLO inside TLS."""
    server = scripted_server(
        ssl_context=certificates.server(),
        users={USER: PASSWORD},
        replies={"STARTTLS": b"220 2.0.0 go\r\n" + octets},
    )
    error = loss(user_of(server, use_tls=True, ca_file=certificates.ca_file))
    assert isinstance(error, ProtocolError)
    assert (error.stage, error.reason) == ("TLS", "starttls-injection")
    assert verbs(server) == ["EHLO", "STARTTLS"]
    assert server.connections[0].tls is None


def test_capabilities_from_before_tls_are_forgotten(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    """A forged offer in clear would downgrade the log-in, or lift a limit."""
    server = scripted_server(
        ssl_context=certificates.server(),
        users={USER: PASSWORD},
        extensions=["STARTTLS", "XFORGED", "PIPELINING", "SMTPUTF8", "AUTH PLAIN LOGIN"],
        extensions_after_tls=["8BITMIME", "AUTH SCRAM-SHA-256"],
    )
    with user_of(server, use_tls=True, ca_file=certificates.ca_file) as backend:
        assert backend.connection is not None
        assert set(backend.connection.extensions.keywords) == {"8BITMIME", "AUTH"}
        assert backend.connection.mechanism == "SCRAM-SHA-256"
        assert backend.send_messages([message()]) == 1
    assert verbs(server)[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert server.violations == []


def test_capabilities_that_tls_takes_away_are_gone(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(
        ssl_context=certificates.server(),
        extensions=["STARTTLS", "AUTH PLAIN"],
        extensions_after_tls=["8BITMIME"],
    )
    error = loss(user_of(server, use_tls=True, ca_file=certificates.ca_file))
    assert isinstance(error, NotSupported)
    assert "AUTH" not in verbs(server)
    assert_nothing_secret(server, *SECRETS)


HALF_OPEN: dict[str, dict[str, Any]] = {
    "STARTTLS refused": {"replies": {"STARTTLS": b"454 4.7.0 later\r\n"}},
    "STARTTLS not offered": {"extensions": CLEAR},
    "the certificate is another's": {"certificate": "wrong_host"},
    "EHLO inside TLS refused": {"extensions_after_tls": CLEAR},
    "AUTH refused": {"users": {USER: "another"}},
    "AUTH refused for now": {"replies": {"AUTH": b"454 4.7.0 later\r\n"}},
}


@pytest.mark.parametrize("how", HALF_OPEN.values(), ids=HALF_OPEN.keys())
@pytest.mark.parametrize("silently", [True, False])
def test_a_half_open_connection_is_not_reused(
    scripted_server: ServerFactory, certificates: Certificates, how: dict[str, Any], silently: bool
) -> None:
    """Django's backend once kept the connection on which STARTTLS had failed, and used it."""
    how = dict(how)
    context = getattr(certificates, how.pop("certificate", "server"))()
    if "extensions_after_tls" in how:
        how["replies"] = {"EHLO": [Answer(), b"421 4.3.2 no\r\n"] * 2}
    server = scripted_server(**{"ssl_context": context, "users": {USER: PASSWORD}, **how})
    backend = user_of(server, use_tls=True, ca_file=certificates.ca_file, fail_silently=silently)
    one = message()
    if silently:
        assert backend.open() is None
        assert backend.connection is None
        assert backend.send_messages([one]) == 0
    else:
        with pytest.raises(OSError):
            backend.open()
        assert backend.connection is None
        loss(backend, one)
    assert backend.connection is None
    server.settle(2)
    assert len(server.connections) == 2
    assert "MAIL" not in verbs(server)
    assert b"Content" not in received(server)
    assert fates([one]) == ["failed"]


BOTH_WAYS = pytest.mark.parametrize("security", ["implicit_tls", "starttls"])


@BOTH_WAYS
@pytest.mark.parametrize("kind", ["expired", "wrong_host", "other_ca", "self_signed"])
def test_tls_is_verified(
    scripted_server: ServerFactory, certificates: Certificates, security: str, kind: str
) -> None:
    context = getattr(certificates, kind)()
    server = scripted_server(
        ssl_context=context, implicit_tls=security == "implicit_tls", users={USER: PASSWORD}
    )
    error = loss(user_of(server, security=security, ca_file=certificates.ca_file))
    assert isinstance(error, TLSError)
    assert (error.stage, error.reason) == ("TLS", "certificate")
    assert not {"AUTH", "MAIL"} & set(verbs(server))
    assert_nothing_secret(server, *SECRETS)


@BOTH_WAYS
@pytest.mark.django_db
def test_tls_is_verified_for_accounts(
    scripted_server: ServerFactory,
    certificates: Certificates,
    make_account: Any,
    mail_settings: Any,
    security: str,
) -> None:
    """By default, by the system's authorities, and by an account's own."""
    server = scripted_server(
        ssl_context=certificates.server(),
        implicit_tls=security == "implicit_tls",
        users={USER: PASSWORD},
    )
    login = {"username": USER, "password": PASSWORD, "security": security}
    make_account("unknown", server, **login)
    make_account("known", server, **login, ca_text=certificates.ca_pem)
    mail_settings()
    error = loss(EmailBackend(account="unknown", ehlo_name="client.test"))
    assert isinstance(error, TLSError)
    assert error.reason == "certificate"
    assert "AUTH" not in verbs(server)
    assert EmailBackend(account="known", ehlo_name="client.test").send_messages([message()]) == 1


EARLY = {
    "to the greeting": {"GREETING": b"220 hi\r\n250-evil\r\n250 AUTH PLAIN\r\n"},
    "to EHLO": {"EHLO": b"250-x\r\n250 AUTH PLAIN\r\n235 2.7.0 welcome\r\n"},
    "to AUTH": {"AUTH": b"235 2.7.0 welcome\r\n250 2.1.0 early\r\n"},
    "to MAIL": {"MAIL": b"250 2.1.0 ok\r\n250 2.1.5 early\r\n"},
    "to RCPT": {"RCPT": b"250 2.1.5 ok\r\n354 early\r\n"},
    "to DATA": {"DATA": b"354 go\r\n250 2.0.0 queued early\r\n"},
}


@pytest.mark.parametrize("replies", EARLY.values(), ids=EARLY.keys())
def test_renegotiation_and_early_replies(
    scripted_server: ServerFactory, certificates: Certificates, replies: dict[str, bytes]
) -> None:
    """Inside TLS a reply before its command is one that somebody put there (CVE-2009-3555)."""
    server = scripted_server(
        ssl_context=certificates.server(),
        implicit_tls=True,
        users={USER: PASSWORD},
        replies=replies,
    )
    options = {"use_ssl": True, "ca_file": certificates.ca_file, "pipelining": False}
    one = message()
    error = loss(user_of(server, **options), one)
    assert isinstance(error, ProtocolError)
    assert fates([one]) == ["failed"]
    assert server.accepted == []


@BOTH_WAYS
def test_renegotiation_is_off(
    scripted_server: ServerFactory,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    security: str,
) -> None:
    """And TLS is 1.2 at least, whichever way it begins."""
    used: list[ssl.SSLContext] = []
    begin_tls = Channel.begin_tls

    def watched(channel: Channel, context: ssl.SSLContext, host: str) -> None:
        used.append(context)
        begin_tls(channel, context, host)

    monkeypatch.setattr(Channel, "begin_tls", watched)
    server = scripted_server(
        ssl_context=certificates.server(), implicit_tls=security == "implicit_tls"
    )
    options = {"security": security, "ca_file": certificates.ca_file}
    assert backend_for(server, **options).send_messages([message()]) == 1
    [context] = used
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
