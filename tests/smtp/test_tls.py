"""TLS over real sockets: who is trusted, which versions, any split of the octets, and its end."""

from __future__ import annotations

import os
import pickle
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from django_smtpauth.smtp import (
    ConnectError,
    Disconnected,
    NotSupported,
    Security,
    SMTPError,
    TLSError,
    TLSOptions,
    connect,
)
from django_smtpauth.smtp.channel import Channel
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import Answer, Drip, ScriptedServer, Then
from tests.smtp.network import (
    CREDENTIALS,
    PASSWORD,
    USER,
    Peer,
    RawServer,
    endpoint,
    failure_of,
    statuses,
    transaction,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")

BOTH = pytest.mark.parametrize("security", [Security.IMPLICIT_TLS, Security.STARTTLS])


@pytest.fixture(autouse=True)
def _certificates_first(certificates: Certificates) -> None:
    """Before the descriptors are counted."""


def started(
    scripted_server: ServerFactory, security: Security, context: ssl.SSLContext, **options: Any
) -> ScriptedServer:
    implicit = security is Security.IMPLICIT_TLS
    return scripted_server(ssl_context=context, implicit_tls=implicit, **options)


def delivered(server: ScriptedServer, **options: Any) -> None:
    """One message goes through."""
    message = transaction()
    with connect(endpoint(server.port, **options)) as connection:
        connection.deliver([message])
        assert connection.tls is not None
    assert statuses(message) == ["accepted"]
    assert server.violations == []


# -- who is trusted


@BOTH
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_that_verifies(
    scripted_server: ServerFactory, certificates: Certificates, security: Security, host: str
) -> None:
    server = started(scripted_server, security, certificates.server(), users={USER: PASSWORD})
    tls = TLSOptions(ca_file=certificates.ca_file)
    options = {"host": host, "tls": tls, "security": security, "credentials": CREDENTIALS}
    with connect(endpoint(server.port, **options)) as connection:
        facts = connection.tls
        assert connection.mechanism == "CRAM-MD5"
    assert facts is not None
    assert facts.version == "TLSv1.3"
    assert facts.cipher
    assert facts.certificate
    assert facts.to_dict() == {"version": facts.version, "cipher": facts.cipher}
    record = server.connections[0]
    assert record.tls is not None
    assert (record.tls.version, record.authenticated) == ("TLSv1.3", True)
    if security is Security.STARTTLS:
        assert record.verbs[:3] == ["EHLO", "STARTTLS", "EHLO"]


@BOTH
def test_authority_as_text(
    scripted_server: ServerFactory, certificates: Certificates, security: Security
) -> None:
    server = started(scripted_server, security, certificates.server())
    delivered(server, security=security, tls=TLSOptions(ca_text=certificates.ca_pem))


UNTRUSTED = {
    "wrong_host": "doesn't match|mismatch",
    "other_ca": "unable to get local issuer certificate",
    "expired": "certificate has expired",
}


@BOTH
@pytest.mark.parametrize("kind", UNTRUSTED)
def test_servers_that_do_not_verify(
    scripted_server: ServerFactory, certificates: Certificates, security: Security, kind: str
) -> None:
    """The message says what is wrong; the password was not sent."""
    server = started(
        scripted_server, security, getattr(certificates, kind)(), users={USER: PASSWORD}
    )
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, security=security, tls=tls, credentials=CREDENTIALS)
    assert isinstance(error, TLSError)
    assert isinstance(error, ssl.SSLError)
    assert (error.stage, error.reason, error.transient) == ("TLS", "certificate", False)
    assert re.search(UNTRUSTED[kind], str(error))
    assert "127.0.0.1" in str(error)
    assert not any(verb == "AUTH" for one in server.connections for verb in one.verbs)
    # OpenSSL's own error does not pickle; ours, raised because of it, does.
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.transcript) == (TLSError, str(error), error.transcript)


@BOTH
@pytest.mark.parametrize("kind", ["other_ca", "self_signed"])
def test_the_system_authorities_do_not_know_the_server(
    scripted_server: ServerFactory, certificates: Certificates, security: Security, kind: str
) -> None:
    context = getattr(certificates, kind)()
    server = started(scripted_server, security, context)
    error = failure_of(server.port, security=security)
    assert isinstance(error, TLSError)
    expected = "self-signed certificate" if kind == "self_signed" else "local issuer certificate"
    assert expected in str(error)


@BOTH
@pytest.mark.parametrize("kind", ["wrong_host", "other_ca", "expired", "self_signed"])
def test_verification_can_be_switched_off(
    scripted_server: ServerFactory, certificates: Certificates, security: Security, kind: str
) -> None:
    server = started(scripted_server, security, getattr(certificates, kind)())
    delivered(server, security=security, tls=TLSOptions(verify=False))


def test_a_client_certificate_is_shown(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    server = started(scripted_server, Security.IMPLICIT_TLS, context)
    pem, key = certificates.client_file, certificates.client_key_file
    tls = TLSOptions(ca_file=certificates.ca_file, certificate_file=pem, key_file=key)
    delivered(server, security=Security.IMPLICIT_TLS, tls=tls)
    facts = server.connections[0].tls
    assert facts is not None
    assert facts.client_certificate == ssl.PEM_cert_to_DER_cert(_first_certificate(pem))


def test_a_missing_client_certificate_is_an_error(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    """With TLS 1.3 the server says so only after the handshake."""
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    server = started(scripted_server, Security.IMPLICIT_TLS, context)
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, SMTPError)
    assert "certificate" in str(error).lower().replace("_", " ")


def _first_certificate(path: str) -> str:
    text = Path(path).read_text()
    start = text.index("-----BEGIN CERTIFICATE-----")
    return text[start : text.index("-----END CERTIFICATE-----") + 26]


@pytest.mark.parametrize(
    "options",
    [
        {"ca_text": "no certificate"},
        {"ca_file": os.devnull},
        {"ca_file": "/nowhere/ca.pem"},
        {"certificate_file": "/nowhere/client.pem"},
        {"key_file": "/nowhere/client.key"},
    ],
)
@BOTH
def test_files_that_cannot_be_loaded(
    scripted_server: ServerFactory,
    certificates: Certificates,
    security: Security,
    options: dict[str, str],
) -> None:
    server = started(scripted_server, security, certificates.server())
    error = failure_of(server.port, security=security, tls=TLSOptions(**options))
    assert isinstance(error, TLSError)
    assert error.reason == "tls-setup"
    assert not error.transient


# -- versions


def test_minimum_is_1_2(scripted_server: ServerFactory, certificates: Certificates) -> None:
    context = certificates.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = started(scripted_server, Security.STARTTLS, context)
    tls = TLSOptions(ca_file=certificates.ca_file)
    delivered(server, security=Security.STARTTLS, tls=tls)
    assert server.connections[0].tls is not None
    assert server.connections[0].tls.version == "TLSv1.2"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_a_server_with_1_1_only(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    context = certificates.server()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = started(scripted_server, Security.IMPLICIT_TLS, context)
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, TLSError)
    assert error.reason == "handshake"


def test_1_3_only(scripted_server: ServerFactory, certificates: Certificates) -> None:
    tls = TLSOptions(ca_file=certificates.ca_file, minimum="1.3")
    old = certificates.server()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    server = started(scripted_server, Security.IMPLICIT_TLS, old)
    error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, TLSError)
    assert "version" in str(error)
    delivered(
        started(scripted_server, Security.IMPLICIT_TLS, certificates.server()),
        security=Security.IMPLICIT_TLS,
        tls=tls,
    )


def test_other_minimums_do_not_exist() -> None:
    with pytest.raises(ValueError, match=r"'1\.2' or '1\.3', not '1\.1'"):
        TLSOptions(minimum="1.1")


def test_the_context_is_kept_until_a_file_changes(
    certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(certificates.ca_pem)
    options = TLSOptions(ca_file=str(path))
    first = options.context()
    assert options.context() is first
    path.write_text(certificates.ca_pem + certificates.other_ca_pem)
    second = options.context()
    assert second is not first
    assert len(second.get_ca_certs()) == 2


# -- octets


@BOTH
@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_octet_alone(
    scripted_server: ServerFactory,
    certificates: Certificates,
    security: Security,
    maximum: ssl.TLSVersion,
) -> None:
    """The handshake and every reply in packets of one octet."""
    context = certificates.server()
    context.maximum_version = maximum
    server = started(scripted_server, security, context, handshake_drip=Drip(), drip=Drip())
    delivered(server, security=security, tls=TLSOptions(ca_file=certificates.ca_file))


def test_a_large_content_inside_tls(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    """Many records, and a server that reads in small pieces."""
    body = b"".join(b"%d\r\n" % number for number in range(100_000))
    server = started(
        scripted_server, Security.IMPLICIT_TLS, certificates.server(), receive_buffer=4096
    )
    message = transaction("a", 1, body)
    tls = TLSOptions(ca_file=certificates.ca_file)
    with connect(endpoint(server.port, security=Security.IMPLICIT_TLS, tls=tls)) as connection:
        connection.deliver([message])
    assert statuses(message) == ["accepted"]
    assert server.accepted[0].content == body


def test_close_notify_is_sent_and_understood(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = started(scripted_server, Security.IMPLICIT_TLS, certificates.server())
    tls = TLSOptions(ca_file=certificates.ca_file)
    delivered(server, security=Security.IMPLICIT_TLS, tls=tls)
    server.settle()
    assert server.commands[-1] == b"QUIT"
    assert server.connections[0].error is None


def shaken_hands(peer: Peer, context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """The server's side of TLS, and where its octets to be sent are found."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            peer.say(outgoing.read())
            incoming.write(peer.sock.recv(65_536))
        else:
            return tls, outgoing


def test_close_notify_alone_is_the_end(certificates: Certificates) -> None:
    """A server that ends TLS but keeps the TCP connection open is not waited for."""
    context = certificates.server()

    def serve(peer: Peer) -> None:
        tls, outgoing = shaken_hands(peer, context)
        tls.write(b"220 hi\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        peer.say(outgoing.read())
        peer.hear_the_end()

    tls = TLSOptions(ca_file=certificates.ca_file)
    with RawServer(serve) as server:
        error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, ConnectError)
    assert "the server closed the connection" in str(error)


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
def test_a_reply_just_before_the_end(
    scripted_server: ServerFactory, certificates: Certificates, then: Then
) -> None:
    """What the server said before it left is read."""
    server = started(
        scripted_server,
        Security.IMPLICIT_TLS,
        certificates.server(),
        replies={"EHLO": Answer(b"421 4.3.2 bye\r\n", then)},
    )
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, Disconnected)
    assert error.reply is not None
    assert error.reply.code == 421


# -- what is no TLS


def test_a_plain_server_on_the_port_of_implicit_tls(scripted_server: ServerFactory) -> None:
    error = failure_of(scripted_server().port, security=Security.IMPLICIT_TLS)
    assert isinstance(error, TLSError)
    assert "use security 'starttls'" in error.cure
    assert error.cure in str(error)


def test_a_server_without_starttls(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={USER: PASSWORD})
    error = failure_of(server.port, security=Security.STARTTLS, credentials=CREDENTIALS)
    assert isinstance(error, NotSupported)
    assert error.reason == "starttls-missing"
    assert b"AUTH" not in b" ".join(server.commands)


def test_a_server_that_hangs_up_in_the_handshake() -> None:
    def serve(peer: Peer) -> None:
        peer.hear(b"\x16\x03\x01")

    with RawServer(serve) as server:
        error = failure_of(server.port, security=Security.IMPLICIT_TLS)
    assert isinstance(error, Disconnected)
    assert error.stage == "TLS"


def test_tls_that_breaks_in_the_session(certificates: Certificates) -> None:
    """A forged record ends the connection."""
    context = certificates.server()

    def serve(peer: Peer) -> None:
        tls, outgoing = shaken_hands(peer, context)
        tls.write(b"220 hi\r\n")
        peer.say(outgoing.read())
        peer.say(b"\x17\x03\x03\x00\x20" + b"forged".ljust(32))
        peer.hear_the_end()

    tls = TLSOptions(ca_file=certificates.ca_file)
    with RawServer(serve) as server:
        error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, Disconnected)
    assert "TLS broke" in str(error)


def test_default_ports() -> None:
    assert [(s.value, s.default_port) for s in Security] == [
        ("implicit_tls", 465),
        ("starttls", 587),
        ("opportunistic", 25),
        ("none", 25),
    ]


def test_channel_needs_no_tls_to_close() -> None:
    """`close()` never raises, whatever the socket's state."""
    near, far = socket.socketpair()
    far.close()
    channel = Channel(near)
    channel.queue(b"QUIT\r\n")
    channel.close()
    assert channel.fileno() == -1
