"""Certificates made for one test session: a private authority, and servers it should not trust.

    certificates = Certificates(directory)
    certificates.ca_file, certificates.ca_pem      what a client must trust (path, PEM text)
    certificates.server()                          context for localhost, 127.0.0.1 and ::1
    certificates.server_pem                        the certificate that it shows (PEM text)
    certificates.expired()                         the same names, ended yesterday
    certificates.wrong_host()                      valid, but for elsewhere.example only
    certificates.other_ca()                        the right names from an unknown authority
    certificates.other_ca_file, .other_ca_pem      that authority
    certificates.self_signed()                     the right names, signed by itself
    certificates.client_file, .client_key_file     a client's certificate and key (paths)
    certificates.client()                          client context that trusts `ca_file`

Every call gives a new context, so a test may change it (`maximum_version`, for instance).
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ("localhost", "127.0.0.1", "::1")


class Certificates:
    """Writes the authorities' PEM files into `directory`."""

    def __init__(self, directory: Path) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        self._ca = trustme.CA()
        self._other_ca = trustme.CA()
        self._server = self._ca.issue_cert(*NAMES)
        self._expired = self._ca.issue_cert(*NAMES, not_before=now - 2 * day, not_after=now - day)
        self._wrong_host = self._ca.issue_cert("elsewhere.example")
        self._unknown = self._other_ca.issue_cert(*NAMES)
        self.server_pem = self._server.cert_chain_pems[0].bytes().decode()
        self.ca_pem = self._ca.cert_pem.bytes().decode()
        self.other_ca_pem = self._other_ca.cert_pem.bytes().decode()
        self.client_file, self.client_key_file = self._client_files(directory)
        self._self_signed = self._self_signed_file(directory / "self-signed.pem", now, day)
        self.ca_file = self._written(directory / "ca.pem", self.ca_pem)
        self.other_ca_file = self._written(directory / "other-ca.pem", self.other_ca_pem)

    def server(self) -> ssl.SSLContext:
        return self._server_context(self._server)

    def expired(self) -> ssl.SSLContext:
        return self._server_context(self._expired)

    def wrong_host(self) -> ssl.SSLContext:
        return self._server_context(self._wrong_host)

    def other_ca(self) -> ssl.SSLContext:
        return self._server_context(self._unknown)

    def self_signed(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._self_signed)
        return context

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def _client_files(self, directory: Path) -> tuple[str, str]:
        issued = self._ca.issue_cert("client@example.org")
        certificate, key = directory / "client.pem", directory / "client-key.pem"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return str(certificate), str(key)

    @staticmethod
    def _self_signed_file(path: Path, now: datetime.datetime, day: datetime.timedelta) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in NAMES[1:]]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(NAMES[0]), *addresses]), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        pem += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(pem)
        return path

    @staticmethod
    def _written(path: Path, pem: str) -> str:
        path.write_text(pem)
        return str(path)

    @staticmethod
    def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        return context
