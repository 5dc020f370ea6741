"""A client certificate whose key is kept as a secret text and not in a file.

OpenSSL, as Python offers it, reads keys from files only. So the key passes through a file that
only this user can read, encrypted under a pass phrase that exists for that moment alone, and
removed at once.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import os
import secrets
import ssl
import tempfile
from collections.abc import Callable, Hashable
from typing import Any, NoReturn

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from .secret import FreshSecret, Secret

logger = logging.getLogger("django_smtpauth")


class InvalidClientCertificate(ValueError):
    """A client certificate that can't be used. field: `certificate_text` or `key_text`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field = field

    def __str__(self) -> str:
        return ": ".join(self.args)


class ClientCertificate:
    """A client certificate and its key, for the option `client_certificate`.

    certificate_text: PEM; the client's own certificate first, then those of its authorities.
    key_text: PEM without a pass phrase; or a Secret or a callable that gives it when it is
    needed.

    Equal to another one with the same certificate and the same key, Secret or callable.
    """

    __slots__ = ("_certificate_text", "_key", "_key_value")

    def __init__(self, certificate_text: str, key_text: str | Secret | Callable[[], str]) -> None:
        self._certificate_text = certificate_text
        if isinstance(key_text, str):
            self._key: Secret | Callable[[], str] = FreshSecret(key_text)
            self._key_value: Hashable = _digest(key_text)
        else:
            self._key = self._key_value = key_text

    def identity(self) -> Hashable:
        """A digest of certificate and key as they are now. Raises what the key's source does."""
        return _digest(self._certificate_text), _digest(self._reveal())

    def check(self) -> None:
        """Raises InvalidClientCertificate for what can't be used, and what the key's source
        does."""
        self._use()

    def load_into(self, context: ssl.SSLContext) -> None:
        """Gives certificate and key to the context. Raises as `check()`, and ValueError when
        OpenSSL does not take them. An expired certificate is a warning in the log."""
        self._use(context)

    def _use(self, context: ssl.SSLContext | None = None) -> None:
        failure: Exception
        try:
            certificates = _read_certificates(self._certificate_text)
            key = _read_key(self._reveal(), certificates[0])
            if context is not None:
                _hand_over(context, certificates, key)
        except OSError as error:
            failure = ValueError(f"the client certificate can't be used: {error}")
        except Exception as error:
            failure = error.with_traceback(None)
            failure.__context__ = None
        else:
            return
        # Raised anew from here: the frames below have seen the key.
        raise failure

    def _reveal(self) -> str:
        return self._key.reveal() if isinstance(self._key, Secret) else self._key()

    def _value(self) -> tuple[str, Hashable]:
        return self._certificate_text, self._key_value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClientCertificate) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def __repr__(self) -> str:
        return "<ClientCertificate>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A client certificate can't be pickled: it holds a key.")

    def __copy__(self) -> ClientCertificate:
        return self

    def __deepcopy__(self, memo: object) -> ClientCertificate:
        return self


def _digest(text: str) -> bytes:
    # A key that is no text is refused by what reads it; here it must not show in an error.
    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).digest()


def _read_certificates(text: str) -> list[x509.Certificate]:
    if not isinstance(text, str):
        raise InvalidClientCertificate(
            "certificate_text", f"it must be text, not {type(text).__name__}."
        )
    if "PRIVATE KEY-----" in text:
        raise InvalidClientCertificate(
            "certificate_text", "it holds a private key, which belongs into key_text alone."
        )
    try:
        certificates = x509.load_pem_x509_certificates(text.encode("ascii", "replace"))
    except ValueError:
        certificates = []
    if not certificates:
        raise InvalidClientCertificate(
            "certificate_text",
            "it must be PEM, from '-----BEGIN CERTIFICATE-----' to '-----END CERTIFICATE-----'.",
        )
    try:
        certificates[0].public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidClientCertificate(
            "certificate_text", "the certificate's key is of a kind that can't be used."
        ) from None
    expired = certificates[0].not_valid_after_utc
    if expired < datetime.datetime.now(datetime.timezone.utc):
        logger.warning("The client certificate expired on %s UTC.", f"{expired:%Y-%m-%d %H:%M}")
    return certificates


def _read_key(text: str, certificate: x509.Certificate) -> Any:
    """The key, which is the certificate's."""
    if not isinstance(text, str):
        raise InvalidClientCertificate("key_text", f"it must be text, not {type(text).__name__}.")
    try:
        key: Any = load_pem_private_key(text.encode("ascii", "replace"), None)
    except TypeError:
        raise InvalidClientCertificate(
            "key_text", "the key has a pass phrase. Give it without one: it is stored encrypted."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidClientCertificate(
            "key_text", "it must be PEM, from '-----BEGIN PRIVATE KEY-----' to its end."
        ) from None
    if _public(key.public_key()) != _public(certificate.public_key()):
        raise InvalidClientCertificate(
            "key_text",
            "the key is not that of the certificate, or the client's certificate does not come "
            "first in certificate_text.",
        )
    return key


def _public(key: Any) -> bytes:
    octets: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return octets


def _hand_over(context: ssl.SSLContext, certificates: list[x509.Certificate], key: Any) -> None:
    pass_phrase = secrets.token_urlsafe(32)
    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(pass_phrase.encode())
    )
    # Readable by this user alone (0600) from its beginning.
    handle, path = tempfile.mkstemp(prefix="smtpauth-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b"".join(one.public_bytes(Encoding.PEM) for one in certificates) + sealed)
        context.load_cert_chain(path, password=pass_phrase)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
