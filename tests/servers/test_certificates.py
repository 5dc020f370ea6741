from __future__ import annotations

import ssl
import threading

import pytest

from tests.servers.certificates import Certificates
from tests.servers.client import RawClient
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import Behaviour, Drip, ScriptedServer
from tests.servers.test_scripted import MAIL, RCPT, codes, deliver


def test_starttls(scripted_server: ServerFactory, certificates: Certificates) -> None:
    server = scripted_server(
        ssl_context=certificates.server(), extensions_after_tls=["AUTH PLAIN"], users={"a": "b"}
    )
    with RawClient(server.port) as client:
        client.reply()
        (ehlo,) = client.ask(b"EHLO client.test")
        assert ehlo.endswith(b"250-AUTH PLAIN LOGIN CRAM-MD5\r\n250 STARTTLS\r\n")
        assert codes(client.ask(b"STARTTLS")) == [220]
        client.start_tls(certificates.client())
        assert codes(client.ask(MAIL)) == [503]
        assert client.ask(b"EHLO client.test") == [b"250-scripted.test\r\n250 AUTH PLAIN\r\n"]
        assert codes(client.ask(b"AUTH PLAIN AGEAYg==")) == [235]
        assert deliver(client) == [250, 250, 354, 250]
    (connection,) = server.connections
    assert connection.tls is not None
    assert connection.tls.version == "TLSv1.3"
    assert connection.tls.cipher
    assert connection.tls.client_certificate is None
    assert server.violations == []


def test_implicit_tls_and_flights(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(
        ssl_context=certificates.server(), implicit_tls=True, count_flights=True
    )
    with RawClient(server.port, certificates.client()) as client:
        client.reply()
        (ehlo,) = client.ask(b"EHLO client.test")
        assert b"STARTTLS" not in ehlo
        client.ask(MAIL, RCPT, b"DATA")
        client.send(b"x" * 100_000 + b"\r\n.\r\n")
        client.reply()
        client.ask(b"QUIT")
        assert client.receive() == b""
    assert server.flights[1:] == [("MAIL", "RCPT", "DATA"), ("CONTENT",), ("QUIT",)]
    assert len(server.accepted[0].content) == 100_002


def test_octets_in_clear_behind_starttls(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(ssl_context=certificates.server())
    with RawClient(server.port) as client:
        client.reply()
        client.ask(b"EHLO client.test")
        client.send(b"STARTTLS\r\nNOOP\r\n")
        client.reply()
        client.start_tls(certificates.client())
        assert codes(client.ask(b"RSET")) == [250]
    assert server.violations == ["octets in clear behind STARTTLS"]
    assert server.connections[0].verbs == ["EHLO", "STARTTLS", "RSET"]


def test_octets_injected_before_tls(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(
        ssl_context=certificates.server(),
        replies={"STARTTLS": b"220 go\r\n250 injected\r\n"},
    )
    with RawClient(server.port) as client:
        client.reply()
        client.ask(b"EHLO client.test")
        client.send(b"STARTTLS\r\n")
        assert client.receive() == b"220 go\r\n250 injected\r\n"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("expired", "certificate has expired"),
        ("wrong_host", "Hostname mismatch|hostname mismatch"),
        ("other_ca", "unable to get local issuer certificate|self.signed certificate"),
    ],
)
def test_a_client_refuses(certificates: Certificates, name: str, complaint: str) -> None:
    context = getattr(certificates, name)()
    with ScriptedServer(Behaviour(ssl_context=context, implicit_tls=True)) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
            RawClient(server.port, certificates.client())
        server.settle(connections=1)
    (connection,) = server.connections
    assert connection.ended == "lost"
    assert connection.error is not None


def test_the_other_authority_can_be_trusted(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(ssl_context=certificates.other_ca(), implicit_tls=True)
    by_text = ssl.create_default_context(cadata=certificates.other_ca_pem)
    by_file = ssl.create_default_context(cafile=certificates.other_ca_file)
    for context in (by_text, by_file):
        with RawClient(server.port, context) as client:
            assert codes([client.reply()]) == [220]


def test_a_dripping_handshake_succeeds(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(
        ssl_context=certificates.server(), implicit_tls=True, handshake_drip=Drip()
    )
    with RawClient(server.port, certificates.client()) as client:
        assert codes([client.reply()]) == [220]


def test_a_silent_handshake(scripted_server: ServerFactory, certificates: Certificates) -> None:
    never = Drip(pace=threading.Semaphore(0))
    server = scripted_server(
        ssl_context=certificates.server(), implicit_tls=True, handshake_drip=never
    )
    with RawClient(server.port) as client:
        client.limit_wait(0.05)
        with pytest.raises(TimeoutError):
            client.start_tls(certificates.client())


def test_tls_without_a_context_is_the_tests_mistake() -> None:
    server = ScriptedServer(Behaviour(replies={"STARTTLS": b"220 go\r\n"}))
    with RawClient(server.port) as client:
        client.reply()
        client.ask(b"STARTTLS")
        assert client.receive() == b""
    with pytest.raises(ValueError, match=r"Behaviour\.ssl_context"):
        server.__exit__(None, None, None)
