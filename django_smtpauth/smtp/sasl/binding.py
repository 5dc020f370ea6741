"""Channel bindings (RFC 5929): what ties an exchange to its TLS connection.

`tls-server-end-point` is the server's certificate, `tls-unique` the handshake itself.
"""

from __future__ import annotations

import hashlib
from typing import Final

from .. import der
from ..tls import PeerFacts
from .dialogue import ChannelBinding

#: Identifiers of hashes, and of signatures with one hash, with the hash to use: RFC 5929 puts
#: SHA-256 in the place of MD5 and SHA-1.
_HASHES: Final = {
    "1.2.840.113549.2.5": "sha256",
    "1.3.14.3.2.26": "sha256",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.4": "sha224",
    # RSA
    "1.2.840.113549.1.1.4": "sha256",
    "1.2.840.113549.1.1.5": "sha256",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.113549.1.1.14": "sha224",
    # ECDSA
    "1.2.840.10045.4.1": "sha256",
    "1.2.840.10045.4.3.1": "sha224",
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}
_SHA_1: Final = "1.3.14.3.2.26"

SERVER_END_POINT: Final = "tls-server-end-point"
UNIQUE: Final = "tls-unique"


def channel_binding(type_: str, facts: PeerFacts | None) -> ChannelBinding | None:
    """The binding of this type that a connection has, or None.

    facts: of the TLS handshake; None without TLS.
    """
    if facts is None:
        return None
    if type_ == UNIQUE:
        return ChannelBinding(UNIQUE, facts.tls_unique) if facts.tls_unique else None
    return server_end_point(facts.certificate)


def why_missing(type_: str, facts: PeerFacts | None) -> str:
    """What a connection lacks that has no binding of this type, for people."""
    if facts is None:
        return "there is no TLS"
    if type_ == UNIQUE:
        return f"it exists in TLS 1.2 only, and the server speaks {facts.version}"
    return "the signature of the server's certificate has no hash of its own"


def server_end_point(certificate: bytes | None) -> ChannelBinding | None:
    """The binding to a certificate (DER), or None where RFC 5929 4 defines none: its signature
    has no hash of its own (Ed25519), one that is not known here, or can't be read."""
    try:
        signature, hashed = der.signature_algorithm(certificate or b"")
    except ValueError:
        return None
    if signature == der.RSASSA_PSS:
        signature = hashed or _SHA_1
    if signature not in _HASHES:
        return None
    digest = hashlib.new(_HASHES[signature], certificate or b"").digest()
    return ChannelBinding(SERVER_END_POINT, digest)
