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

from django_smtpauth.secrets.destination import normalise_host
from django_smtpauth.smtp.endpoint import MAX_PATH, is_path
from django_smtpauth.smtp.parameters import RecipientOptions

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC: Final = re.compile(r"[0-9.]+")
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
