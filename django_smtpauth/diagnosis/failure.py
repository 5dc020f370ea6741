"""What went wrong, as a value that rules can be compared with.

    Failure.of(error, route)        from an exception of a send or a check
    Failure.parse(text)             from pasted text: a traceback, a log line, a bounce

Both are bounded, and neither raises.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured

from ..certificates import names_of, read_chain
from ..secrets.errors import SecretUnreadable
from ..sending.routing import AccountNotFound, Route, says_no_server
from ..smtp import errors
from ..smtp.endpoint import is_path
from ..smtp.replies import Reply
from .pasted import read
from .providers import provider_of

#: Characters of the server's words that are kept and compared with the rules.
MAX_TEXT: Final = 2_000
#: Characters of one fact.
MAX_FACT: Final = 500

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_KINDS: Final[tuple[tuple[type[errors.SMTPError], str], ...]] = (
    (errors.DeliveryInDoubt, "in-doubt"),
    (errors.TimedOut, "timed-out"),
    (errors.Disconnected, "disconnected"),
    (errors.TLSError, "tls"),
    (errors.ConnectError, "connect"),
    (errors.ProtocolError, "protocol"),
    (errors.NotSupported, "not-supported"),
    (errors.Refused, "refused"),
)


@dataclass(frozen=True)
class Failure:
    """One failure, at one stage.

    stage: as the engine calls it: CONFIGURATION, DNS, CONNECT, GREETING, TLS, EHLO, AUTH, MAIL,
        RCPT, DATA, CONTENT, QUIT ...; empty when unknown.
    kind: "refused", "timed-out", "disconnected", "connect", "tls", "protocol", "not-supported",
        "in-doubt", "secret", "configuration" or "other".
    code, enhanced: of the reply, if there was one: 535, "5.7.8".
    text: the server's words, else the error's; at most MAX_TEXT characters.
    reason: the engine's stable word.
    host, port, security, protocol: of the server that was tried. port: 0 when unknown.
    log_in: "password", "token", "certificate", or empty without one.
    account, preset: slugs. verify_code: OpenSSL's, of a certificate that did not verify.
    transient: whether the same may succeed later.
    facts: what a rule's sentences need besides: sender, names, cure, settings, message ...
    """

    stage: str = ""
    kind: str = "other"
    code: int | None = None
    enhanced: str = ""
    text: str = ""
    reason: str = ""
    host: str = ""
    port: int = 0
    security: str = ""
    protocol: str = "smtp"
    log_in: str = ""
    account: str = ""
    preset: str = ""
    verify_code: int = 0
    transient: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        facts = {name: str(value)[:MAX_FACT] for name, value in self.facts.items()}
        object.__setattr__(self, "text", self.text[:MAX_TEXT])
        object.__setattr__(self, "facts", facts)
        if not self.preset and self.host:
            object.__setattr__(self, "preset", provider_of(self.host))

    @property
    def words(self) -> str:
        """What patterns are compared with: the text, and what the engine said of it."""
        return f"{self.text}\n{self.facts.get('message', '')}"

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine itself."""
        return self.host in _LOCAL

    @property
    def server(self) -> str:
        """host:port as far as known, or the path of a Unix socket."""
        if not self.port or is_path(self.host):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Failure:
        """From text that somebody pasted. What it does not tell stays empty."""
        return cls(**read(text))

    @classmethod
    def of(cls, error: BaseException, route: Route | None = None) -> Failure:
        """From an exception. route: the server that was tried, or was to be."""
        failure = cls(**_read_error(error))
        return replace(failure, **_where(route)) if route is not None else failure


def _where(route: Route) -> dict[str, Any]:
    endpoint, account = route.endpoint, route.account
    host, port = endpoint.address
    credentials = endpoint.credentials
    return {
        "host": host,
        "port": port,
        "security": endpoint.security.value,
        "protocol": endpoint.protocol,
        "log_in": credentials.kind if credentials else "",
        "account": account.slug if account else "",
        "preset": (account.preset if account else "") or provider_of(host),
    }


def _read_error(error: BaseException) -> dict[str, Any]:
    if isinstance(error, errors.SMTPError):
        return _read_ours(error)
    if isinstance(error, SecretUnreadable):
        return {
            "stage": "AUTH",
            "kind": "secret",
            "text": str(error),
            "reason": error.reason,
            "transient": error.transient,
        }
    if isinstance(error, ImproperlyConfigured):
        return {
            "stage": "CONFIGURATION",
            "kind": "configuration",
            "text": str(error),
            "reason": _reason(error),
        }
    if isinstance(error, (OSError, smtplib.SMTPException)):
        return _read_foreign(error)
    return {"text": str(error)}


def _reason(error: ImproperlyConfigured) -> str:
    if says_no_server(error):
        return "no-server"
    return "account-not-found" if isinstance(error, AccountNotFound) else ""


def _read_ours(error: errors.SMTPError) -> dict[str, Any]:
    reply = error.reply
    facts = {
        "message": error.message,
        "cure": error.cure,
        "settings": getattr(error, "settings", ""),
        "sender": getattr(error, "sender", ""),
        **_certificate(error),
    }
    return {
        "stage": error.stage,
        "kind": _kind(error),
        "code": reply.code if reply else None,
        "enhanced": str(reply.enhanced or "") if reply else "",
        "text": _text(reply) if reply else error.message,
        "reason": error.reason,
        "verify_code": getattr(error, "verify_code", 0),
        "transient": error.transient,
        "facts": {name: value for name, value in facts.items() if value},
    }


def _kind(error: errors.SMTPError) -> str:
    if error.in_doubt:
        return "in-doubt"
    if error.reason == "secret-missing":
        return "secret"
    if isinstance(error, errors.ConnectError) and error.reply is not None:
        return "refused"
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), "other")


def _text(reply: Reply) -> str:
    return " ".join(reply.text.split())


def _certificate(error: errors.SMTPError) -> dict[str, str]:
    """What the certificate says that did not verify."""
    chain = read_chain(getattr(error, "chain", ()))
    if not chain or not getattr(error, "verify_code", 0):
        return {}
    own = chain[0]
    return {
        "names": names_of(own) or own.common_name,
        "ended": f"{own.not_after:%Y-%m-%d}",
    }


def _read_foreign(error: OSError | smtplib.SMTPException) -> dict[str, Any]:
    """Of smtplib, ssl and socket: their tracebacks are read as text that is pasted."""
    name = type(error).__name__
    if isinstance(error, ssl.SSLError):
        name = f"ssl.{name}"
    found = read(f"{name}: {error}")
    words = getattr(error, "smtp_error", None)
    if isinstance(error, smtplib.SMTPResponseException):
        said = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words or "")
        found = {**read(f"{error.smtp_code} {said}"), "stage": found["stage"]}
    found["stage"] = found["stage"] or ("CONNECT" if not re.match(r"SMTP", name) else "")
    return found
