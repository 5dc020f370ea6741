"""The little of DER (X.690) that is needed of a certificate: which algorithm signed it (channel
binding), and its public key (pins).

Bounded by the octets it is given: every length is checked, and nothing recurses.
"""

from __future__ import annotations

from typing import NamedTuple

INTEGER = 0x02
SEQUENCE = 0x30
#: The version of a certificate, tagged explicitly; version 1 leaves it out (RFC 5280 4.1).
VERSION = 0xA0
OBJECT_IDENTIFIER = 0x06
#: The first field of RSASSA-PSS-params, hashAlgorithm, tagged explicitly (RFC 4055 3.1).
PSS_HASH = 0xA0
RSASSA_PSS = "1.2.840.113549.1.1.10"


class Element(NamedTuple):
    """One element: its tag, its content, and what follows it."""

    tag: int
    content: bytes
    rest: bytes


def read(octets: bytes) -> Element:
    """The first element. Raises ValueError for what is not DER, or longer than there is."""
    if len(octets) < 2:
        raise ValueError("The DER ends too early.")
    start, length = 2, octets[1]
    if length >= 0x80:
        start += length & 0x7F
        if not 1 <= length & 0x7F <= 4:
            raise ValueError("The DER has a length that is too long.")
        length = int.from_bytes(octets[2:start], "big")
    if start + length > len(octets):
        raise ValueError("The DER ends too early.")
    return Element(octets[0], octets[start : start + length], octets[start + length :])


def expect(octets: bytes, tag: int) -> Element:
    """The first element, which has this tag. Raises ValueError."""
    element = read(octets)
    if element.tag != tag:
        raise ValueError(f"The DER has tag {element.tag:#x} instead of {tag:#x}.")
    return element


def identifier(content: bytes) -> str:
    """An OBJECT IDENTIFIER as numbers with dots. Raises ValueError."""
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if value >= 1 << 64:
            raise ValueError("The DER has an object identifier that is too long.")
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    if not arcs or content[-1] & 0x80:
        raise ValueError("The DER has an object identifier that does not end.")
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def signature_algorithm(certificate: bytes) -> tuple[str, str | None]:
    """The identifier of a certificate's signature algorithm (RFC 5280 4.1.1.2), and for
    RSASSA-PSS that of its hash, if it names one. Raises ValueError."""
    signed = expect(expect(certificate, SEQUENCE).content, SEQUENCE)
    algorithm = expect(signed.rest, SEQUENCE).content
    name, parameters = _named(algorithm)
    if name != RSASSA_PSS or not parameters:
        return name, None
    fields = expect(parameters, SEQUENCE).content
    if not fields or read(fields).tag != PSS_HASH:
        return name, None
    return name, _named(expect(read(fields).content, SEQUENCE).content)[0]


def subject_public_key_info(certificate: bytes) -> bytes:
    """A certificate's public key with its algorithm (RFC 5280 4.1.2.7), as it stands in the
    certificate. Raises ValueError."""
    rest = expect(expect(certificate, SEQUENCE).content, SEQUENCE).content
    if read(rest).tag == VERSION:
        rest = read(rest).rest
    # Serial number, signature, issuer, validity, subject.
    for tag in (INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE):
        rest = expect(rest, tag).rest
    behind = expect(rest, SEQUENCE).rest
    return rest[: len(rest) - len(behind)]


def _named(algorithm: bytes) -> tuple[str, bytes]:
    """The identifier and the parameters of an AlgorithmIdentifier's content."""
    name = expect(algorithm, OBJECT_IDENTIFIER)
    return identifier(name.content), name.rest
