"""Certificates made for one test session: a private authority, and servers it should not trust.

    certificates = Certificates(directory)
    certificates.ca_file, certificates.ca_pem      what a client must trust (path, PEM text)
    certificates.server()                          context for localhost, 127.0.0.1 and ::1
    certificates.expired()                         the same names, ended yesterday
    certificates.wrong_host()                      valid, but for elsewhere.example only
    certificates.other_ca()                        the right names from an unknown authority
    certificates.other_ca_file, .other_ca_pem      that authority
    certificates.client()                          client context that trusts `ca_file`

Every call gives a new context, so a test may change it (`maximum_version`, for instance).
"""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "::1")


class Certificates:
    """Writes the authorities' PEM files into `directory`."""

    def __init__(self, directory: Path) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        self._ca = trustme.CA()
        self._other_ca = trustme.CA()
        self._server = self._ca.issue_cert(*NAMES)
        self._expired = self._ca.issue_cert(*NAMES, not_before=now - 2 * day, not_after=now - day)
        self._wrong_host = self._ca.issue_cert("elsewhere.example")
        self._unknown = self._other_ca.issue_cert(*NAMES)
        self.ca_pem = self._ca.cert_pem.bytes().decode()
        self.other_ca_pem = self._other_ca.cert_pem.bytes().decode()
        self.ca_file = self._written(directory / "ca.pem", self.ca_pem)
        self.other_ca_file = self._written(directory / "other-ca.pem", self.other_ca_pem)

    def server(self) -> ssl.SSLContext:
        return self._server_context(self._server)

    def expired(self) -> ssl.SSLContext:
        return self._server_context(self._expired)

    def wrong_host(self) -> ssl.SSLContext:
        return self._server_context(self._wrong_host)

    def other_ca(self) -> ssl.SSLContext:
        return self._server_context(self._unknown)

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    @staticmethod
    def _written(path: Path, pem: str) -> str:
        path.write_text(pem)
        return str(path)

    @staticmethod
    def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        return context
