"""What X.509 certificates say: facts for people, and why one does not verify.

Certificates come from servers that may be hostile: what can't be read is left out, and no text is
longer than a line.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from .smtp.errors import TLSError
from .smtp.tls import pin_of

T = TypeVar("T")

#: Names that a sentence lists, and characters of one name.
_MOST_NAMES = 5
_LONGEST = 255

# OpenSSL's numbers (X509_V_ERR_...).
NOT_YET_VALID = frozenset({9})
EXPIRED = frozenset({10})
SELF_SIGNED = frozenset({18})
UNKNOWN_ISSUER = frozenset({2, 19, 20, 21})
OTHER_NAME = frozenset({62, 64})


@dataclass(frozen=True)
class CertificateFacts:
    """One certificate. Texts are printable, and empty where the certificate can't be read.

    subject, issuer: distinguished names (RFC 4514). common_name: of the subject.
    names, addresses: DNS names and IP addresses that it is for (subjectAltName).
    not_before, not_after: in UTC, inclusive. serial: hexadecimal.
    key: kind and size, for example "RSA 2048" or "EC secp256r1".
    signature_hash: for example "sha256"; empty where the signature has none of its own.
    pin: its public key as the option `tls_pin` takes it.
    fingerprint: SHA-256 of the whole certificate, hexadecimal.
    """

    subject: str
    issuer: str
    common_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    not_before: datetime.datetime
    not_after: datetime.datetime
    self_signed: bool
    serial: str
    key: str
    signature_hash: str
    pin: str
    fingerprint: str

    @classmethod
    def of(cls, der: bytes) -> CertificateFacts:
        """From DER. Raises ValueError for what is no certificate."""
        try:
            return cls._of(x509.load_der_x509_certificate(der), der)
        except Exception as error:
            # Not all of cryptography's errors are of one kind, and a site may make errors of its
            # warnings.
            raise ValueError(f"This certificate can't be read: {error}") from None

    @classmethod
    def _of(cls, certificate: x509.Certificate, der: bytes) -> CertificateFacts:
        return cls(
            subject=_part(lambda: _line(certificate.subject.rfc4514_string()), ""),
            issuer=_part(lambda: _line(certificate.issuer.rfc4514_string()), ""),
            common_name=_part(lambda: _common_name(certificate), ""),
            names=_part(lambda: _names(certificate, x509.DNSName), ()),
            addresses=_part(lambda: _names(certificate, x509.IPAddress), ()),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            self_signed=_part(lambda: _is_self_signed(certificate), False),
            serial=f"{certificate.serial_number:x}",
            key=_part(lambda: _key(certificate), ""),
            signature_hash=_part(lambda: _hash(certificate), ""),
            pin=_part(lambda: pin_of(der), ""),
            fingerprint=hashlib.sha256(der).hexdigest(),
        )

    def days_left(self, now: datetime.datetime | None = None) -> int:
        """Whole days until it expires; negative when it has. now: aware; None: this moment."""
        return (self.not_after - (now or _now())).days

    def to_dict(self, now: datetime.datetime | None = None) -> dict[str, object]:
        """Everything as JSON-ready values, dates in ISO 8601."""
        return {
            **asdict(self),
            "names": list(self.names),
            "addresses": list(self.addresses),
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
            "days_left": self.days_left(now),
        }


def read_chain(chain: Iterable[bytes]) -> tuple[CertificateFacts, ...]:
    """Facts of the certificates (DER) that can be read, in their order."""
    facts = []
    for der in chain:
        with contextlib.suppress(ValueError):
            facts.append(CertificateFacts.of(der))
    return tuple(facts)


def names_of(certificate: CertificateFacts) -> str:
    """The host names and addresses that it is for, in one line; empty for none."""
    found = [*certificate.names, *certificate.addresses]
    more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return ", ".join(found[:_MOST_NAMES]) + more


def explain(error: TLSError, now: datetime.datetime | None = None) -> str:
    """Why a certificate does not verify: which names it has, since when it is expired, whose it
    is. Empty where OpenSSL's words say all that is known.
    """
    chain = read_chain(error.chain)
    if error.reason != "certificate" or not chain:
        return ""
    for codes, why in _REASONS:
        if error.verify_code in codes and (reason := why(chain, now or _now())):
            return f"the certificate of {error.host} does not verify: {reason}"
    return ""


Chain = Sequence[CertificateFacts]


def _other_name(chain: Chain, _: datetime.datetime) -> str:
    own = chain[0]
    if found := names_of(own):
        return f"it is for {found}"
    common_name = f" (its common name {own.common_name} does not count)" if own.common_name else ""
    return f"it names no host{common_name}"


def _expired(chain: Chain, now: datetime.datetime) -> str:
    for one in chain:
        if one.not_after < now:
            return f"{_which(one, chain)} expired on {_moment(one.not_after)}"
    return ""


def _not_yet_valid(chain: Chain, now: datetime.datetime) -> str:
    for one in chain:
        if one.not_before > now:
            since = _moment(one.not_before)
            return f"{_which(one, chain)} is not valid before {since}; here it is {_moment(now)}"
    return ""


def _self_signed(chain: Chain, _: datetime.datetime) -> str:
    return f"it is self-signed ({chain[0].subject or 'without a name'}) and not trusted here"


def _unknown_issuer(chain: Chain, _: datetime.datetime) -> str:
    top = _top(chain)
    if top.self_signed:
        return f"its authority {top.subject} is not trusted here"
    return f"its issuer {top.issuer} is not known here, and the server sent no certificate of it"


_REASONS: tuple[tuple[frozenset[int], Callable[[Chain, datetime.datetime], str]], ...] = (
    (OTHER_NAME, _other_name),
    (EXPIRED, _expired),
    (NOT_YET_VALID, _not_yet_valid),
    (SELF_SIGNED, _self_signed),
    (UNKNOWN_ISSUER, _unknown_issuer),
)


def _which(one: CertificateFacts, chain: Chain) -> str:
    return "it" if one is chain[0] else f"the certificate of its authority {one.subject}"


def _top(chain: Chain) -> CertificateFacts:
    """The end of the way from issuer to issuer; a server may send them in any order."""
    top, left = chain[0], list(chain[1:])
    while issuer := next((one for one in left if one.subject == top.issuer), None):
        left.remove(issuer)
        top = issuer
    return top


def _moment(time: datetime.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _part(read: Callable[[], T], otherwise: T) -> T:
    """What is read, or `otherwise` where the certificate is damaged or of an unknown kind."""
    try:
        return read()
    except Exception:
        return otherwise


def _line(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return _line(str(found[0].value)) if found else ""


def _names(certificate: x509.Certificate, kind: type[x509.GeneralName]) -> tuple[str, ...]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return tuple(_line(str(name.value)) for name in extension.value if isinstance(name, kind))


def _is_self_signed(certificate: x509.Certificate) -> bool:
    """Raises when it is not."""
    certificate.verify_directly_issued_by(certificate)
    return True


def _key(certificate: x509.Certificate) -> str:
    key: Any = certificate.public_key()
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    size = getattr(key, "key_size", None)
    return f"{kind} {size}" if size else kind


def _hash(certificate: x509.Certificate) -> str:
    algorithm = certificate.signature_hash_algorithm
    return algorithm.name if algorithm else ""
