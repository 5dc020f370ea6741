"""TLS: which kind, how it is verified, and what the handshake showed.

Certificate and host name are verified unless the caller says otherwise; TLS 1.2 is the least.
"""

from __future__ import annotations

import enum
import os
import ssl
from dataclasses import dataclass, field
from functools import lru_cache


class Security(str, enum.Enum):
    """When TLS begins. Django's USE_SSL is IMPLICIT_TLS, its USE_TLS is STARTTLS."""

    IMPLICIT_TLS = "implicit_tls"
    STARTTLS = "starttls"
    NONE = "none"

    @property
    def default_port(self) -> int:
        """The port that goes with it: 465 (RFC 8314), 587 (RFC 6409), 25 (RFC 5321)."""
        return {"implicit_tls": 465, "starttls": 587, "none": 25}[self.value]


@dataclass(frozen=True)
class TLSOptions:
    """How the server is verified.

    ca_file, ca_text: own authorities (PEM file, PEM text) in place of the system's.
    verify: False switches verification off.
    minimum: "1.2" or "1.3".
    certificate_file, key_file: client certificate and key (PEM files).
    """

    ca_file: str | None = None
    ca_text: str | None = None
    verify: bool = True
    minimum: str = "1.2"
    certificate_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if self.minimum not in _VERSIONS:
            raise ValueError(f"tls_minimum must be '1.2' or '1.3', not {self.minimum!r}.")

    @property
    def has_client_certificate(self) -> bool:
        """Whether the client can show a certificate of its own."""
        return bool(self.certificate_file)

    def context(self) -> ssl.SSLContext:
        """An SSLContext, kept per process until one of the files changes.

        Raises OSError, ssl.SSLError or ValueError for files or text that can't be loaded.
        """
        files = (self.ca_file, self.certificate_file, self.key_file)
        return _context(self, tuple(_version_of(file) for file in files))


@dataclass(frozen=True)
class PeerFacts:
    """What the TLS handshake showed: version, cipher, the server's certificate as DER.

    tls_unique: the channel binding of that name (RFC 5929 3), which TLS 1.3 does not have.
    """

    version: str
    cipher: str
    certificate: bytes | None = field(default=None, repr=False)
    tls_unique: bytes | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, object]:
        """Version and cipher as JSON-ready values."""
        return {"version": self.version, "cipher": self.cipher}


_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def _version_of(path: str | None) -> tuple[int, int] | None:
    """Something that changes when the file does."""
    if path is None:
        return None
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _context(options: TLSOptions, _files: tuple[tuple[int, int] | None, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_file, cadata=options.ca_text or None)
    context.minimum_version = _VERSIONS[options.minimum]
    if options.certificate_file or options.key_file:
        # With no pass phrase given, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(options.certificate_file or "", options.key_file, password="")
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
