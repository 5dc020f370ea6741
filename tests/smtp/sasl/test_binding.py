"""Channel binding: the digest of real certificates, and what the engine does with it."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported
from django_smtpauth.smtp.needs import Handshake
from django_smtpauth.smtp.sasl import server_end_point
from django_smtpauth.smtp.tls import PeerFacts, Security, TLSOptions
from tests.smtp.openings import GREETING, Opening, Turn, b64, endpoint, hello

NONCE = "rOprNGfwEbeRWgbNEkqO"
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())


def certificate(key: Any, digest: Any, pss: bool = False) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.example")])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now.replace(2027))
    options: dict[str, Any] = {}
    if pss and digest is not None:
        options["rsa_padding"] = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
    return builder.sign(key, digest, **options).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("octets", "algorithm"),
    [
        (certificate(RSA, hashes.SHA256()), "sha256"),
        (certificate(RSA, hashes.SHA384()), "sha384"),
        (certificate(RSA, hashes.SHA512()), "sha512"),
        (certificate(RSA, hashes.SHA256(), pss=True), "sha256"),
        (certificate(RSA, hashes.SHA384(), pss=True), "sha384"),
        (certificate(P256, hashes.SHA256()), "sha256"),
        (certificate(P256, hashes.SHA384()), "sha384"),
    ],
)
def test_the_hash_is_that_of_the_signature(octets: bytes, algorithm: str) -> None:
    found = server_end_point(octets)

    assert found is not None
    assert found.type == "tls-server-end-point"
    assert found.data == hashlib.new(algorithm, octets).digest()
    assert repr(found.data) not in repr(found)


def signed_by(algorithm: str) -> bytes:
    """No more of a certificate than the algorithm of its signature (DER in hex)."""
    octets = b"\x30\x00" + bytes.fromhex(algorithm)
    return b"\x30" + bytes([len(octets)]) + octets


@pytest.mark.parametrize(
    "algorithm",
    [
        "300d06092a864886f70d0101050500",  # RSA with SHA-1
        "300d06092a864886f70d0101040500",  # RSA with MD5
        "300906072a8648ce3d0401",  # ECDSA with SHA-1
        "300d06092a864886f70d01010a3000",  # RSASSA-PSS, SHA-1 by default
        "300b06092a864886f70d01010a",
        "301206092a864886f70d01010a3005a203020120",  # ... with a length of the salt alone
    ],
)
def test_sha_256_stands_in_for_weak_hashes(algorithm: str) -> None:
    octets = signed_by(algorithm)
    found = server_end_point(octets)

    assert found is not None
    assert found.data == hashlib.sha256(octets).digest()


def test_no_hash_no_binding() -> None:
    assert server_end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None
    for octets in (None, b"", b"DER", certificate(RSA, hashes.SHA256())[:-300]):
        assert server_end_point(octets) is None


# In an AUTH exchange.

CERTIFICATE = certificate(P256, hashes.SHA256())
PLUS = "SCRAM-SHA-256-PLUS"


@pytest.fixture(autouse=True)
def _fixed_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_urlsafe", lambda _: NONCE)


def first(flag: str, mechanism: str = "SCRAM-SHA-256") -> bytes:
    words = f"{flag},,n=jürgen,r={NONCE}"
    return f"AUTH {mechanism} ".encode() + b64(words) + b"\r\n"


def tls_opening(offered: str, *turns: Turn, der: bytes = CERTIFICATE, **options: Any) -> Opening:
    return Opening(
        endpoint(security=Security.IMPLICIT_TLS, **options),
        GREETING,
        hello(f"AUTH {offered}"),
        *turns,
        handshake=Handshake(PeerFacts("TLSv1.3", "AES", der)),
    )


REFUSAL = b"535 5.7.8 no\r\n"
BOUND = first("p=tls-server-end-point", PLUS)


@pytest.mark.parametrize(
    ("offered", "options", "said"),
    [
        ("SCRAM-SHA-256", {}, first("y")),
        ("SCRAM-SHA-256", {"der": b"no certificate"}, first("n")),
        (f"SCRAM-SHA-256 {PLUS}", {"der": b"no certificate"}, first("n")),
        (f"{PLUS} SCRAM-SHA-256", {"auth_mechanisms": ("SCRAM-SHA-256",)}, first("n")),
        (f"{PLUS} SCRAM-SHA-256", {"tls": TLSOptions(verify=False)}, BOUND),
        (f"{PLUS} SCRAM-SHA-256", {"auth_mechanisms": (PLUS,)}, BOUND),
        (f"{PLUS} SCRAM-SHA-1", {}, BOUND),
    ],
)
def test_what_is_said_of_binding(offered: str, options: dict[str, Any], said: bytes) -> None:
    assert isinstance(
        tls_opening(offered, (said, REFUSAL), **options).error, AuthenticationRefused
    )


UNSUPPORTED = b"334 " + b64("e=unsupported-channel-binding-type") + b"\r\n"
CANCELLED: Turn = (b"*\r\n", b"501 5.7.0 cancelled\r\n")


@pytest.mark.parametrize("turns", [[(BOUND, REFUSAL)], [(BOUND, UNSUPPORTED), CANCELLED]])
def test_a_type_that_the_server_lacks_is_left_once(turns: list[Turn]) -> None:
    opening = tls_opening(f"{PLUS} SCRAM-SHA-256", *turns, (first("n"), REFUSAL))

    assert isinstance(opening.error, AuthenticationRefused)
    assert opening.error.command == "AUTH SCRAM-SHA-256"
    note = f"{PLUS} is refused with tls-server-end-point: trying SCRAM-SHA-256"
    assert note in opening.transcript


@pytest.mark.parametrize("flags", ["e=channel-bindings-dont-match", "e=invalid-proof"])
def test_what_an_attacker_would_cause_ends_it(flags: str) -> None:
    said = b"334 " + b64(flags) + b"\r\n"
    opening = tls_opening(f"{PLUS} SCRAM-SHA-256", (BOUND, said), (b"\r\n", REFUSAL))

    assert isinstance(opening.error, AuthenticationRefused)
    assert opening.error.command == f"AUTH {PLUS}"


def test_a_temporary_refusal_says_nothing_of_the_binding() -> None:
    opening = tls_opening(f"{PLUS} SCRAM-SHA-256", (BOUND, b"454 later\r\n"))

    assert isinstance(opening.error, AuthenticationRefused)


def test_without_verification_the_refusal_stands() -> None:
    options: dict[str, Any] = {"tls": TLSOptions(verify=False)}
    turns: list[Turn] = [(BOUND, UNSUPPORTED), CANCELLED]
    opening = tls_opening(f"{PLUS} SCRAM-SHA-256", *turns, **options)

    assert isinstance(opening.error, NotSupported)
