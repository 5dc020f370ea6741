"""Validators of an account's fields. Each raises ValidationError with a text that says what to
type.
"""

import ipaddress
import os
import re
import ssl
from typing import Any, Final

import idna
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _

from django_smtpauth.secrets.destination import normalise_host, normalise_lines
from django_smtpauth.smtp.endpoint import MAX_PATH, is_path
from django_smtpauth.smtp.parameters import RecipientOptions
from django_smtpauth.smtp.sasl import MECHANISMS
from django_smtpauth.smtp.tls import read_pin

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC: Final = re.compile(r"[0-9.]+")
_PROXY: Final = re.compile(
    r"(socks5h?|http)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}/?"
)
_CONTROL_OR_SPACE = re.compile(r"[\s\x00-\x1f\x7f]")


def validate_host(host: str) -> None:
    """A host name (international ones too), an IP address, or the path of a Unix socket; no
    scheme, no port."""
    if _is_address(host):
        return
    if is_path(host):
        _validate_path(host)
        return
    if "://" in host or "/" in host:
        raise ValidationError(
            _("Type the name only, without “smtp://” or a path: smtp.example.com."), code="scheme"
        )
    if _CONTROL_OR_SPACE.search(host):
        raise ValidationError(_("A host name has no spaces."), code="space")
    if "@" in host:
        raise ValidationError(
            _("This is an e-mail address. Type the server's name: smtp.example.com."),
            code="address",
        )
    if ":" in host:
        raise ValidationError(
            _("Type the name or address only; the port has a field of its own."), code="port"
        )
    if not _is_name(host):
        raise ValidationError(
            _("Type a host name such as smtp.example.com, or an IP address."), code="host"
        )


def validate_sender(address: str) -> None:
    """One plain e-mail address without a display name; both parts may be international."""
    local, at, domain = address.rpartition("@")
    ascii_local = re.sub(r"[^\x00-\x7f]", "x", local)
    EmailValidator(_("Type one plain address: name@example.com."))(ascii_local + at + domain)


def is_sender(text: str) -> bool:
    """Whether `validate_sender()` takes it."""
    try:
        validate_sender(text)
    except ValidationError:
        return False
    return True


def validate_name(name: str) -> None:
    """A display name: one line without control characters."""
    if not name.isprintable():
        raise ValidationError(_("A name has no line ends or control characters."), code="name")


def validate_certificates(text: str) -> None:
    """PEM certificates that OpenSSL loads, and no private key."""
    if "PRIVATE KEY-----" in text:
        raise ValidationError(
            _("This contains a private key. Paste certificates only."), code="private_key"
        )
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ValidationError(
            _(
                "Paste the certificate as PEM text, from “-----BEGIN CERTIFICATE-----” to "
                "“-----END CERTIFICATE-----”."
            ),
            code="pem",
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ValidationError(
            _("This certificate can't be read. Paste the whole PEM text."), code="pem"
        ) from error


def validate_notify(text: str) -> None:
    """Some of SUCCESS, FAILURE and DELAY with commas in between, or NEVER alone."""
    words: Any = tuple(text.split(","))
    try:
        RecipientOptions(notify=words)
    except ValueError:
        raise ValidationError(
            _("Choose some of SUCCESS, FAILURE and DELAY, or NEVER alone."), code="notify"
        ) from None


def _validate_path(path: str) -> None:
    if not path.isprintable():
        raise ValidationError(_("A path has no control characters."), code="path")
    if len(os.fsencode(path)) > MAX_PATH:
        raise ValidationError(
            _("The path of a Unix socket has %(limit)d octets at most."),
            code="path",
            params={"limit": MAX_PATH},
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    if _NUMERIC.fullmatch(host):
        return False
    if not host.isascii():
        try:
            idna.encode(host, uts46=True, transitional=False)
        except idna.IDNAError:
            return False
    name = normalise_host(host).removesuffix(".")
    return len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split("."))


def validate_client_name(name: str) -> None:
    """How this client calls itself (EHLO): a host name in ASCII, or an address literal."""
    if not (name.isascii() and name.isprintable() and " " not in name):
        raise ValidationError(
            _("Type this site's host name in ASCII, for example www.example.com."), code="name"
        )


def validate_ip_address(text: str) -> None:
    """An IPv4 or IPv6 address."""
    if not _is_address(text):
        raise ValidationError(_("Type an IP address of this machine."), code="address")


def validate_pins(text: str) -> None:
    """Pins of a server's public key, one a line."""
    for line in normalise_lines(text).splitlines():
        try:
            read_pin(line)
        except ValueError:
            raise ValidationError(
                _(
                    "A pin is “sha256//” and 44 characters of base64, the SHA-256 of the public "
                    "key; not “%(pin)s”."
                ),
                code="pin",
                params={"pin": line},
            ) from None


def validate_mechanisms(text: str) -> None:
    """Names of SASL mechanisms that are known here, with commas in between."""
    for entry in text.split(","):
        if entry.strip().partition("/")[0].upper() not in MECHANISMS:
            raise ValidationError(
                _("“%(name)s” is not known here. Known are: %(known)s."),
                code="mechanism",
                params={"name": entry.strip(), "known": ", ".join(MECHANISMS)},
            )


def validate_senders(text: str) -> None:
    """Addresses and domains, one a line: name@example.com, example.org, and .example.org for what
    lies below a domain."""
    for line in filter(None, normalise_lines(text).splitlines()):
        if "@" in line[1:]:
            validate_sender(line)
        elif not _is_name(line[line.startswith(("@", ".")) :]):
            raise ValidationError(
                _("Type one address or domain a line; “%(line)s” is neither."),
                code="sender",
                params={"line": line},
            )


def validate_proxy(url: str) -> None:
    """The URL of a proxy with its port, and without user name and password."""
    found = _PROXY.fullmatch(url)
    if found is None or found["host"].startswith("-"):
        if "@" in url:
            raise ValidationError(
                _(
                    "User name and password of a proxy are not kept here: give such a proxy in "
                    'the settings, as SMTPAUTH["DEFAULTS"]["proxy"].'
                ),
                code="credentials",
            )
        raise ValidationError(
            _("Type a URL with a port: socks5://proxy.example.com:1080."), code="proxy"
        )
