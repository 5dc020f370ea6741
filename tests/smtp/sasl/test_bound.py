"""SCRAM-...-PLUS over real TLS, against an independent server half that checks the binding."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from django_smtpauth.smtp import Credentials, Endpoint, Security, TLSOptions, connect
from django_smtpauth.smtp.connection import Connection
from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported
from tests.leaks import shown_by_trackers
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import ScriptedServer

USER, PASSWORD = "jürgen", "Jürgens Passwort"
SIZES = ["SHA-1", "SHA-256", "SHA-512"]
PLUS = [f"SCRAM-{size}-PLUS" for size in SIZES]
UNBOUND = [f"SCRAM-{size}" for size in SIZES]


def log_in(server: ScriptedServer, ca_file: str, *mechanisms: str, **tls: Any) -> Connection:
    return connect(
        Endpoint(
            "localhost",
            server.port,
            Security.STARTTLS,
            tls=TLSOptions(ca_file=ca_file, **tls),
            credentials=Credentials(USER, lambda: PASSWORD),
            auth_mechanisms=mechanisms or None,
            ehlo_name="client.test",
        )
    )


# tls-server-end-point: every kind of signature that servers have.

RSA_KEY = rsa.generate_private_key(65537, 2048)


class Own:
    """A server whose certificate is signed by itself in the way of the test."""

    def __init__(self, directory: Path, key: Any, digest: Any, **options: Any) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        builder = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        ).add_extension(names, critical=False)
        if isinstance(digest, hashes.SHA1):
            octets = signed_with_sha_1(builder, key)
        else:
            octets = builder.sign(key, digest, **options).public_bytes(Encoding.DER)
        self.pem = ssl.DER_cert_to_PEM_cert(octets)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.file = directory / "server.pem"
        self.file.write_text(self.pem + private)

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # A server of old does not mind its old signature.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.load_cert_chain(self.file)
        return context


def signed_with_sha_1(builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey) -> bytes:
    """What `cryptography` refuses to make: the signature of one with SHA-256 is replaced."""
    strong, weak = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    made = builder.sign(key, hashes.SHA256())
    signed = made.tbs_certificate_bytes.replace(strong, weak)
    octets = made.public_bytes(Encoding.DER).replace(strong, weak)
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    return octets[: -len(signature)] + signature


PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@pytest.mark.parametrize(
    ("key", "digest", "options"),
    [
        (RSA_KEY, hashes.SHA256(), {}),
        (RSA_KEY, hashes.SHA384(), {}),
        (RSA_KEY, hashes.SHA1(), {}),
        (RSA_KEY, hashes.SHA256(), {"rsa_padding": PSS}),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384(), {}),
    ],
    ids=["RSA-SHA256", "RSA-SHA384", "RSA-SHA1", "RSA-PSS", "ECDSA-SHA384"],
)
@pytest.mark.parametrize("mechanism", PLUS)
def test_bound_to_the_certificate(
    scripted_server: ServerFactory,
    tmp_path: Path,
    key: Any,
    digest: Any,
    options: dict[str, Any],
    mechanism: str,
) -> None:
    own = Own(tmp_path, key, digest, **options)
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=["PLAIN", mechanism, mechanism.removesuffix("-PLUS")],
        ssl_context=own.server(),
        certificate=own.pem,
    )
    with log_in(server, str(own.file)) as connection:
        assert connection.mechanism == mechanism
    [attempt] = server.connections[0].auth
    assert (attempt.mechanism, attempt.username, attempt.accepted) == (mechanism, USER, True)


def test_a_signature_without_a_hash_can_not_be_bound_to(
    scripted_server: ServerFactory, tmp_path: Path
) -> None:
    own = Own(tmp_path, ed25519.Ed25519PrivateKey.generate(), None)
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=[*PLUS, *UNBOUND],
        ssl_context=own.server(),
        certificate=own.pem,
    )
    with log_in(server, str(own.file)) as connection:
        assert connection.mechanism == "SCRAM-SHA-512"
    with pytest.raises(NotSupported) as caught:
        log_in(server, str(own.file), *PLUS)

    assert caught.value.reason == "no-channel-binding"


def test_someone_in_between_does_not_get_through(
    scripted_server: ServerFactory, certificates: Certificates, tmp_path: Path
) -> None:
    """The server binds to its certificate; the client saw another one, which it trusts."""
    own = Own(tmp_path, RSA_KEY, hashes.SHA256())
    server = scripted_server(
        users={USER: PASSWORD},
        mechanisms=[*PLUS, *UNBOUND, "PLAIN"],
        ssl_context=certificates.server(),
        certificate=own.pem,
    )
    with pytest.raises(AuthenticationRefused) as caught:
        log_in(server, certificates.ca_file)

    assert caught.value.message == "the server says: channel-bindings-dont-match"
    assert len(server.connections[0].auth) == 1
    assert PASSWORD not in shown_by_trackers(caught.value)


# tls-unique: of TLS 1.2, where it is named.


def server_of(
    scripted_server: ServerFactory,
    certificates: Certificates,
    version: ssl.TLSVersion,
    **behaviour: Any,
) -> ScriptedServer:
    context = certificates.server()
    context.maximum_version = version
    defaults = {"users": {USER: PASSWORD}, "mechanisms": [*PLUS, *UNBOUND, "PLAIN"]}
    return scripted_server(ssl_context=context, **{**defaults, **behaviour})


@pytest.mark.parametrize("mechanism", PLUS)
@pytest.mark.parametrize("suffix", ["/tls-unique", "/TLS-UNIQUE"])
def test_bound_to_the_handshake(
    scripted_server: ServerFactory, certificates: Certificates, mechanism: str, suffix: str
) -> None:
    server = server_of(scripted_server, certificates, ssl.TLSVersion.TLSv1_2)
    with log_in(server, certificates.ca_file, mechanism + suffix) as connection:
        assert connection.mechanism == mechanism
        assert connection.tls is not None
        assert connection.tls.tls_unique
        assert repr(connection.tls.tls_unique) not in repr(connection.tls)
    [attempt] = server.connections[0].auth
    assert (attempt.mechanism, attempt.username, attempt.accepted) == (mechanism, USER, True)


def test_it_is_not_used_where_nobody_named_it(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = server_of(scripted_server, certificates, ssl.TLSVersion.TLSv1_2)
    with log_in(server, certificates.ca_file) as connection:
        # The server knows no other type: it was asked for the certificate's first.
        assert connection.mechanism == "SCRAM-SHA-512"
    mechanisms = [attempt.mechanism for attempt in server.connections[0].auth]
    assert mechanisms == ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-512"]


def test_a_server_without_it(
    scripted_server: ServerFactory, certificates: Certificates, tmp_path: Path
) -> None:
    refusal = b"334 " + b"ZT11bnN1cHBvcnRlZC1jaGFubmVsLWJpbmRpbmctdHlwZQ==" + b"\r\n"
    server = server_of(
        scripted_server,
        certificates,
        ssl.TLSVersion.TLSv1_2,
        replies={"AUTH:SCRAM-SHA-256-PLUS": refusal},
    )
    entry = "SCRAM-SHA-256-PLUS/tls-unique"
    with log_in(server, certificates.ca_file, entry, "SCRAM-SHA-256") as connection:
        assert connection.mechanism == "SCRAM-SHA-256"
        note = "SCRAM-SHA-256-PLUS is refused with tls-unique: trying SCRAM-SHA-256"
        assert note in [event.text for event in connection.transcript()]
    with pytest.raises(NotSupported):
        log_in(server, certificates.ca_file, entry)


def test_tls_1_3_does_not_have_it(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = server_of(
        scripted_server,
        certificates,
        ssl.TLSVersion.TLSv1_3,
        certificate=certificates.server_pem,
    )
    entry = "SCRAM-SHA-256-PLUS/tls-unique"
    with pytest.raises(NotSupported) as caught:
        log_in(server, certificates.ca_file, entry)

    assert caught.value.message == (
        "SCRAM-SHA-256-PLUS needs the channel binding tls-unique: it exists in TLS 1.2 only, and "
        "the server speaks TLSv1.3"
    )
    assert "Name SCRAM-SHA-256-PLUS without /tls-unique" in caught.value.cure
    assert server.connections[0].auth == []
    with log_in(server, certificates.ca_file, entry, "SCRAM-SHA-256-PLUS") as connection:
        assert connection.mechanism == "SCRAM-SHA-256-PLUS"
        assert connection.tls is not None
        assert connection.tls.tls_unique is None
