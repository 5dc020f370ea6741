"""TLS: which kind, how it is verified, and what the handshake showed.

Certificate and host name are verified unless the caller says otherwise; TLS 1.2 is the least;
renegotiation and compression are off.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import os
import re
import ssl
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from . import der


class Security(str, enum.Enum):
    """When TLS begins. Django's USE_SSL is IMPLICIT_TLS, its USE_TLS is STARTTLS.

    OPPORTUNISTIC is STARTTLS where the server offers it, else no TLS. Whoever can change what
    passes on the network can take the offer away: it protects against nobody who is active.
    """

    IMPLICIT_TLS = "implicit_tls"
    STARTTLS = "starttls"
    OPPORTUNISTIC = "opportunistic"
    NONE = "none"

    @property
    def default_port(self) -> int:
        """The port that goes with it: 465 (RFC 8314), 587 (RFC 6409), else 25 (RFC 5321)."""
        return {"implicit_tls": 465, "starttls": 587}.get(self.value, 25)

    @property
    def ensures_tls(self) -> bool:
        """Whether nothing is sent without TLS."""
        return self in (Security.IMPLICIT_TLS, Security.STARTTLS)


class ClientCertificate(Protocol):
    """A client certificate whose key is in no file. Compared and hashed by value."""

    def identity(self) -> Hashable:
        """What changes when certificate or key does. May raise anything."""

    def load_into(self, context: ssl.SSLContext) -> None:
        """Gives certificate and key to the context. Raises ValueError, OSError, ssl.SSLError."""


@dataclass(frozen=True)
class TLSOptions:
    """How the server is verified, and how this client shows itself.

    ca_file, ca_text: own authorities (PEM file, PEM text) in place of the system's.
    verify: False switches verification off.
    minimum: "1.2" or "1.3".
    certificate_file, key_file: client certificate and key (PEM files).
    client_certificate: the same where they are not in files.
    pins: the server's public key must have one of these, whatever `verify` says: `sha256//` and
        the base64 of the SHA-256 of its SubjectPublicKeyInfo.
    new_context: makes a context that has its own authorities, in place of the system's.

    Raises ValueError for options that can't be, or can't stand together.
    """

    ca_file: str | None = None
    ca_text: str | None = None
    verify: bool = True
    minimum: str = "1.2"
    certificate_file: str | None = None
    key_file: str | None = None
    client_certificate: ClientCertificate | None = field(default=None, repr=False)
    pins: tuple[str, ...] = ()
    new_context: Callable[[], ssl.SSLContext] | None = None

    def __post_init__(self) -> None:
        if self.minimum not in _VERSIONS:
            raise ValueError(f"tls_minimum must be '1.2' or '1.3', not {self.minimum!r}.")
        if self.client_certificate and (self.certificate_file or self.key_file):
            raise ValueError("client_certificate can't stand with certificate_file or key_file.")
        if self.new_context and (self.ca_file or self.ca_text):
            raise ValueError("new_context can't stand with ca_file or ca_text.")
        object.__setattr__(self, "pins", tuple(map(read_pin, self.pins)))

    @property
    def has_client_certificate(self) -> bool:
        """Whether the client can show a certificate of its own."""
        return bool(self.certificate_file or self.client_certificate)

    def context(self) -> ssl.SSLContext:
        """An SSLContext, kept per process until a file or the client certificate changes.

        Raises OSError, ssl.SSLError or ValueError for files or text that can't be loaded, and
        what `client_certificate` and `new_context` raise.
        """
        files = (self.ca_file, self.certificate_file, self.key_file)
        shown = self.client_certificate.identity() if self.client_certificate else None
        return _context(self, (*map(_version_of, files), shown))


@dataclass(frozen=True)
class PeerFacts:
    """What the TLS handshake showed.

    certificate: the server's own (DER); chain: all that it sent (DER), its own first.
    tls_unique: the channel binding of that name (RFC 5929 3), which TLS 1.3 does not have.
    """

    version: str
    cipher: str
    certificate: bytes | None = field(default=None, repr=False)
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    tls_unique: bytes | None = field(default=None, repr=False)

    @property
    def pin(self) -> str:
        """The pin of the server's public key; empty when its certificate can't be read."""
        try:
            return pin_of(self.certificate or b"")
        except ValueError:
            return ""

    def to_dict(self) -> dict[str, object]:
        """Version and cipher as JSON-ready values."""
        return {"version": self.version, "cipher": self.cipher}


def pin_of(certificate: bytes) -> str:
    """The pin of a certificate's (DER) public key, as `TLSOptions.pins` has it: RFC 7469 2.4 in
    curl's form. Raises ValueError for what is no certificate."""
    return _pin(hashlib.sha256(der.subject_public_key_info(certificate)).digest())


def read_pin(text: str) -> str:
    """A pin in the form of `pin_of()`, from `sha256//BASE64` or `sha256/BASE64`.

    Raises ValueError.
    """
    found = _PIN.fullmatch(text)
    if found is None:
        raise ValueError(
            "a pin is 'sha256//' and 44 characters of base64, the SHA-256 of the public key, not "
            f"{text!r}."
        )
    return _pin(base64.b64decode(found[1]))


#: base64 may begin with a slash of its own.
_PIN = re.compile(r"sha256//?([A-Za-z0-9+/]{43}=)")
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _pin(digest: bytes) -> str:
    return "sha256//" + base64.b64encode(digest).decode()


def _version_of(path: str | None) -> tuple[int, int] | None:
    """Something that changes when the file does."""
    if path is None:
        return None
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _context(options: TLSOptions, _versions: tuple[Hashable, ...]) -> ssl.SSLContext:
    if options.new_context is not None:
        context = options.new_context()
    else:
        context = _with_authorities(options)
    context.minimum_version = _VERSIONS[options.minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if options.client_certificate is not None:
        options.client_certificate.load_into(context)
    elif options.certificate_file or options.key_file:
        _load_files(context, options.certificate_file or "", options.key_file)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _with_authorities(options: TLSOptions) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=options.ca_file, cadata=options.ca_text or None)
    except ssl.SSLError as error:
        where = f"ca_file {options.ca_file}" if options.ca_file else "the text of the authorities"
        raise ValueError(f"{where} has no PEM certificate that can be read: {error}") from None


def _load_files(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    try:
        # With no pass phrase given, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = "the key is not the certificate's"
        else:
            why = f"certificate and key must be PEM, the key without a pass phrase: {error}"
        files = f"{certificate} and {key}" if key else certificate
        raise ValueError(f"the client certificate in {files} can't be used: {why}") from None
