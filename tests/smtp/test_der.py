from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp import der
from tests.smtp.x509 import CERTIFICATE, KEYS, as_version_1, made, public_key


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        ("2a864886f70d01010b", "1.2.840.113549.1.1.11"),
        ("2b6570", "1.3.101.112"),
        ("00", "0.0"),
        ("883703", "2.999.3"),
    ],
)
def test_identifiers(octets: str, name: str) -> None:
    assert der.identifier(bytes.fromhex(octets)) == name


@pytest.mark.parametrize("octets", ["", "2a86", "ff" * 30 + "01"])
def test_identifiers_that_are_none(octets: str) -> None:
    with pytest.raises(ValueError, match="object identifier"):
        der.identifier(bytes.fromhex(octets))


def test_elements() -> None:
    assert der.read(b"\x04\x01ab") == (4, b"a", b"b")
    assert der.read(b"\x04\x82\x01\x00" + b"x" * 257) == (4, b"x" * 256, b"x")


@pytest.mark.parametrize(
    "octets", ["", "30", "3001", "3081", "3080", "30820100", "3085000000000100", "04020000"]
)
def test_elements_that_are_none(octets: str) -> None:
    with pytest.raises(ValueError, match="The DER"):
        der.expect(bytes.fromhex(octets), der.SEQUENCE)


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    for certificate in (octets, b"\x30\x81\x80" + octets.ljust(128, b"\0")[:128]):
        try:
            name, _ = der.signature_algorithm(certificate)
        except ValueError:
            continue
        assert name


# The public key, against what `cryptography` reads.


@pytest.mark.parametrize("kind", KEYS)
def test_the_public_key(kind: str) -> None:
    one = made(kind)
    octets = one.public_bytes(Encoding.DER)
    assert der.subject_public_key_info(octets) == public_key(one)


@pytest.mark.parametrize("kind", KEYS)
def test_the_public_key_of_version_1(kind: str) -> None:
    """Without the tag of the version, which such certificates leave out."""
    octets = as_version_1(made(kind).public_bytes(Encoding.DER))
    read = x509.load_der_x509_certificate(octets)
    assert read.version is x509.Version.v1
    assert der.subject_public_key_info(octets) == public_key(read)


@given(
    kind=st.sampled_from(sorted(KEYS)),
    serial=st.integers(min_value=1, max_value=2**159 - 1),
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=16),
    comment=st.none() | st.integers(0, 70_000).map(lambda size: b"\0" * size),
)
def test_the_public_key_of_any_certificate(
    kind: str, serial: int, name: str, comment: bytes | None
) -> None:
    one = made(kind, serial, name, comment)
    octets = one.public_bytes(Encoding.DER)
    assert der.subject_public_key_info(octets) == public_key(one)
    first = as_version_1(octets)
    assert der.subject_public_key_info(first) == public_key(one)


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused(data: st.DataObject) -> None:
    octets = bytearray(CERTIFICATE)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    for damaged in (bytes(octets), bytes(octets[:cut])):
        try:
            found = der.subject_public_key_info(damaged)
        except ValueError:
            continue
        assert der.read(found).tag == der.SEQUENCE


@pytest.mark.parametrize("octets", [b"", b"DER", b"\x30\x00", b"\x30\x02\x30\x00"])
def test_no_public_key_in_garbage(octets: bytes) -> None:
    with pytest.raises(ValueError, match="The DER"):
        der.subject_public_key_info(octets)
