"""Certificates of every kind of key, for tests of what is read from them."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from django_smtpauth.smtp import der

KEYS: dict[str, Any] = {
    "RSA 2048": rsa.generate_private_key(65537, 2048),
    "RSA 1024": rsa.generate_private_key(65537, 1024),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}
WITHOUT_HASH = {"Ed25519", "Ed448"}
START = datetime.datetime(2020, 1, 1)


def made(
    kind: str, serial: int = 1, name: str = "mx.example", comment: bytes | None = None
) -> x509.Certificate:
    """Signed by itself; comment: content of an extension."""
    key = KEYS[kind]
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(START + datetime.timedelta(days=20_000))
    )
    if comment is not None:
        about = x509.ObjectIdentifier("1.2.3.4")
        builder = builder.add_extension(x509.UnrecognizedExtension(about, comment), critical=False)
    return builder.sign(key, None if kind in WITHOUT_HASH else hashes.SHA256())


def public_key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def encoded(tag: int, content: bytes) -> bytes:
    """One element of DER."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def as_version_1(octets: bytes) -> bytes:
    """The certificate without version and extensions; its signature is not right any more."""
    whole = der.read(der.read(octets).content)
    version = der.read(whole.content)
    public = der.subject_public_key_info(octets)
    end = version.rest.index(public) + len(public)
    return encoded(der.SEQUENCE, encoded(der.SEQUENCE, version.rest[:end]) + whole.rest)


CERTIFICATE = made("P-256").public_bytes(Encoding.DER)
