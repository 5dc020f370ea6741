"""What certificates say, in facts and in sentences."""

import datetime
import ipaddress
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.certificates import CertificateFacts, explain, names_of, read_chain
from django_smtpauth.smtp import TLSError
from django_smtpauth.smtp.tls import pin_of
from tests.smtp.x509 import CERTIFICATE, KEYS, as_version_1, made

NOW = datetime.datetime(2026, 5, 17, 12, 30, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())


def issued(
    name="mx.example.com",
    issuer=None,
    names=(),
    key=KEY,
    signer=None,
    after=NOW - DAY,
    until=NOW + 30 * DAY,
):
    """DER; signed by itself unless issuer or signer is given. The SAN is left out for no names."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer or name))
        .public_key(key.public_key())
        .serial_number(0xABC123)
        .not_valid_before(after)
        .not_valid_after(until)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([general(name) for name in names]), critical=False
        )
    signer = signer or (ec.generate_private_key(ec.SECP256R1()) if issuer else key)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm).public_bytes(Encoding.DER)


def named(text):
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, text)] if text else []
    return x509.Name(names)


def general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# Facts


def test_facts():
    der = issued(names=["mx.example.com", "*.example.net", "192.0.2.1", "2001:db8::1"])
    facts = CertificateFacts.of(der)
    assert facts.subject == facts.issuer == "CN=mx.example.com"
    assert facts.common_name == "mx.example.com"
    assert facts.names == ("mx.example.com", "*.example.net")
    assert facts.addresses == ("192.0.2.1", "2001:db8::1")
    assert (facts.not_before, facts.not_after) == (NOW - DAY, NOW + 30 * DAY)
    assert (facts.self_signed, facts.serial) == (True, "abc123")
    assert (facts.key, facts.signature_hash) == ("EC secp256r1", "sha256")
    assert facts.pin == pin_of(der)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    assert facts.fingerprint == digest.finalize().hex()


def test_facts_as_json():
    facts = CertificateFacts.of(issued(names=["mx.example.com", "::1"]))
    told = json.loads(json.dumps(facts.to_dict(NOW)))
    assert told["not_after"] == "2026-06-16T12:30:00+00:00"
    assert (told["names"], told["addresses"], told["days_left"]) == (
        ["mx.example.com"],
        ["::1"],
        30,
    )
    assert told.keys() > {"subject", "issuer", "serial", "key", "pin", "fingerprint"}


@pytest.mark.parametrize(("until", "days"), [(DAY, 1), (DAY / 2, 0), (-DAY / 2, -1), (-DAY, -1)])
def test_days_left(until, days):
    der = issued(after=NOW - 9 * DAY, until=NOW + until)
    assert CertificateFacts.of(der).days_left(NOW) == days


def test_days_left_from_now_on():
    now = datetime.datetime.now(datetime.timezone.utc)
    assert CertificateFacts.of(issued(until=now + 30.5 * DAY, after=now - DAY)).days_left() == 30


@pytest.mark.parametrize(
    ("key", "words", "algorithm"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA 2048", "sha256"),
        (ec.generate_private_key(ec.SECP384R1()), "EC secp384r1", "sha256"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", ""),
    ],
)
def test_kinds_of_keys(key, words, algorithm):
    facts = CertificateFacts.of(issued(key=key))
    assert (facts.key, facts.signature_hash) == (words, algorithm)


def test_a_name_that_is_its_own_issuer_by_name_only():
    der = issued(signer=ec.generate_private_key(ec.SECP256R1()))
    assert not CertificateFacts.of(der).self_signed


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_version_1(kind):
    facts = CertificateFacts.of(as_version_1(made(kind).public_bytes(Encoding.DER)))
    assert (facts.names, facts.addresses, facts.common_name) == ((), (), "mx.example")
    assert facts.pin


def test_names_are_one_printable_line():
    der = issued(name="evil\nname\x1b[31m", names=["a" * 300])
    facts = CertificateFacts.of(der)
    assert facts.common_name == "evil?name?[31m"
    assert "\n" not in facts.subject
    assert len(facts.names[0]) == 256


#: A version that does not exist; a serial number below zero, of which cryptography warns.
VERSION_1B = issued().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")
NEGATIVE = issued().replace(b"\x02\x04\x00\xab\xc1\x23", b"\x02\x04\x80\xab\xc1\x23")


@pytest.mark.parametrize("der", [b"", b"DER", CERTIFICATE[:-1], VERSION_1B, NEGATIVE])
def test_what_is_no_certificate(der):
    with pytest.raises(ValueError):
        CertificateFacts.of(der)
    assert read_chain([der, CERTIFICATE]) == read_chain([CERTIFICATE])


WHOLE = issued(names=["mx.example.com", "::1"])


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused(data):
    octets = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        facts = CertificateFacts.of(bytes(octets))
    except ValueError:
        return
    assert json.dumps(facts.to_dict(NOW))
    assert explain(failed(62, bytes(octets)), NOW)


# Sentences


def failed(code, *chain, host="mx.example.com", reason="certificate"):
    return TLSError("OpenSSL's words", reason=reason, host=host, chain=chain, verify_code=code)


OURS = "the certificate of mx.example.com does not verify: "


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["mail.example.org", "*.example.net"], "it is for mail.example.org, *.example.net"),
        (["192.0.2.1", "a.example"], "it is for a.example, 192.0.2.1"),
        ([f"{n}.example" for n in range(5)], "it is for 0.example, 1.example, 2.example, "
         "3.example, 4.example"),
        ([f"{n}.example" for n in range(99)], "it is for 0.example, 1.example, 2.example, "
         "3.example, 4.example and 94 more"),
        ([], "it names no host (its common name old.example does not count)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", [62, 64])
def test_another_name(code, names, told):
    assert explain(failed(code, issued("old.example", names=names)), NOW) == OURS + told


def test_no_name_at_all():
    assert explain(failed(62, issued("")), NOW) == OURS + "it names no host"
    assert names_of(CertificateFacts.of(issued(""))) == ""


def test_expired():
    der = issued(after=NOW - 9 * DAY, until=NOW - 2 * DAY)
    assert explain(failed(10, der), NOW) == OURS + "it expired on 2026-05-15 12:30 UTC"


def test_an_expired_authority():
    chain = issued(issuer="Old CA"), issued("Old CA", after=NOW - 9 * DAY, until=NOW - DAY)
    told = explain(failed(10, *chain), NOW)
    assert (
        told == OURS + "the certificate of its authority CN=Old CA expired on 2026-05-16 12:30 UTC"
    )


def test_not_yet_valid():
    der = issued(after=NOW + DAY)
    told = "it is not valid before 2026-05-18 12:30 UTC; here it is 2026-05-17 12:30 UTC"
    assert explain(failed(9, der), NOW) == OURS + told


def test_self_signed():
    told = "it is self-signed (CN=mx.example.com) and not trusted here"
    assert explain(failed(18, issued()), NOW) == OURS + told
    assert "(without a name)" in explain(failed(18, issued("")), NOW)


@pytest.mark.parametrize("code", [2, 19, 20, 21])
def test_an_unknown_issuer(code):
    leaf = issued(issuer="Between")
    between = issued("Between", issuer="Root")
    told = "its issuer CN=Root is not known here, and the server sent no certificate of it"
    assert explain(failed(code, leaf, between), NOW) == OURS + told


@pytest.mark.parametrize("code", [19, 20])
def test_an_authority_that_is_not_trusted(code):
    """In whatever order the server sent them."""
    leaf, between = issued(issuer="Between"), issued("Between", issuer="Root")
    for chain in ([leaf, between, issued("Root")], [leaf, issued("Root"), between]):
        told = explain(failed(code, *chain), NOW)
        assert told == OURS + "its authority CN=Root is not trusted here"


def test_issuers_in_a_circle():
    one, other = issued("A", issuer="B"), issued("B", issuer="A")
    assert "its issuer CN=A is not known here" in explain(failed(20, one, other), NOW)


@pytest.mark.parametrize(
    "error",
    [
        failed(62),
        failed(62, b"DER"),
        failed(62, CERTIFICATE, reason="pin"),
        failed(23, CERTIFICATE),
        failed(0, CERTIFICATE),
        # The clock here does not explain it.
        failed(9, issued()),
        failed(10, issued()),
    ],
)
def test_where_openssl_says_all_that_is_known(error):
    assert explain(error, NOW) == ""


def test_the_time_is_now():
    now = datetime.datetime.now(datetime.timezone.utc)
    error = failed(10, issued(after=now - 2 * DAY, until=now - DAY))
    assert f"expired on {now - DAY:%Y-%m-%d %H:%M} UTC" in explain(error)
