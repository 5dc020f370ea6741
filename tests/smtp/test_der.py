from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp import der


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
