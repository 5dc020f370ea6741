"""What can go wrong, as one tree. Each class also inherits what callers already catch.

    SMTPError                    smtplib.SMTPException (an OSError)
    ├── ConnectError             smtplib.SMTPConnectError, ConnectionError
    ├── TLSError                 ssl.SSLError
    ├── TimedOut                 smtplib.SMTPServerDisconnected, TimeoutError
    ├── Disconnected             smtplib.SMTPServerDisconnected, ConnectionError
    ├── ProtocolError            -
    ├── NotSupported             smtplib.SMTPNotSupportedError
    ├── DeliveryInDoubt          -
    └── Refused                  -
        ├── HelloRefused         smtplib.SMTPHeloError
        ├── AuthenticationRefused  smtplib.SMTPAuthenticationError
        ├── SenderRefused        smtplib.SMTPSenderRefused
        ├── RecipientsRefused    smtplib.SMTPRecipientsRefused
        └── ContentRefused       smtplib.SMTPDataError

DeliveryInDoubt inherits no class that retry rules usually name (connection lost, timed out):
a message whose fate is unknown must not be sent again by habit.

Every error survives pickle, and its text names no e-mail address: the addresses that the
server repeats in its words are masked.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .replies import Reply
    from .transcript import Event

# Matches begin where a word begins, and quotes are bounded: the time stays linear in what a server
# wrote.
_ADDRESS = re.compile(
    r"""
    <? (?: (?<![^\s<>"(),:;]) [^\s<>"(),:;]+ | "(?:[^"\\\n]|\\.){0,256}" ) @ [^\s<>"(),:;]+ >?
    | < [^\s<>]* >
    """,
    re.VERBOSE,
)


def without_addresses(text: str, shown: Callable[[str], str] = lambda _: "<…>") -> str:
    """The text with every e-mail address replaced by `<…>`, or by what `shown` makes of it."""
    return _ADDRESS.sub(lambda found: shown(found[0]), text)


class SMTPError(smtplib.SMTPException):
    """Base of every error of the engine.

    message: one sentence for people; no secret, no address.
    stage: where it happened: CONNECT, GREETING, TLS, EHLO, AUTH, MAIL, RCPT, DATA, CONTENT ...
    command: the command that met the error, redacted.
    reply: the server's Reply, if there was one.
    transient: whether trying the same again later makes sense.
    in_doubt: whether the message may have been accepted although this was raised.
    peer: which server (and account) this was, for example `account club, smtp.example.com:587`.
    cure: what to change, as one sentence, where the engine knows it.
    reason: a stable word for causes that the engine found itself.
    transcript: the redacted dialogue, a tuple of Event.
    finding: cause and cure, by whoever uses the engine and knows more; None if nobody does. Its
        text is the second line of this error's.
    """

    finding: object | None = None

    def __init__(
        self,
        message: str = "",
        *,
        stage: str = "",
        command: str = "",
        reply: Reply | None = None,
        transient: bool | None = None,
        in_doubt: bool = False,
        peer: str = "",
        cure: str = "",
        reason: str = "",
        transcript: tuple[Event, ...] = (),
    ) -> None:
        message = without_addresses(message)
        OSError.__init__(self, message)
        self.message = message
        self.stage = stage
        self.command = command
        self.reply = reply
        self.in_doubt = in_doubt
        self.peer = peer
        self.cure = cure
        self.reason = reason
        self.transcript = transcript
        self._transient = transient
        # What smtplib's classes promise to their callers; they don't agree on the types.
        words = "\n".join(reply.lines) if reply else message
        self.__dict__.update(smtp_code=reply.code if reply else -1, smtp_error=words.encode())

    @property
    def transient(self) -> bool:
        """Whether the same may succeed later: told by the reply, else by the class."""
        if self._transient is not None:
            return self._transient
        if self.reply is not None:
            return self.reply.klass == 4
        return isinstance(self, (ConnectError, TimedOut, Disconnected))

    @property
    def headline(self) -> str:
        """The stable first line of the text."""
        where = f" ({self.peer})" if self.peer else ""
        stage = f"{self.stage} " if self.stage else ""
        return f"{stage}{self._outcome()}{where}"

    def _outcome(self) -> str:
        verb = "failed" if self.reply is None else "refused"
        return f"{verb}: {self.reply.status}" if self.reply else f"{verb}: {self.message}"

    def __str__(self) -> str:
        lines = [self.headline]
        lines += [str(self.finding)] if self.finding is not None else []
        if self.reply is not None:
            lines += [self.message] if self.message else []
            lines += [self.reply.text] if self.reply.text.strip() else []
        # The cure is our own sentence; it names an address where nothing else would help.
        return "\n".join(filter(None, [without_addresses("\n".join(lines)), self.cure]))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {without_addresses(self.headline)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))

    def to_dict(self) -> dict[str, object]:
        """The error as JSON-ready values, without secrets or addresses."""
        return {
            "error": type(self).__name__,
            "text": str(self),
            "stage": self.stage,
            "command": without_addresses(self.command),
            "reply": {"code": self.reply.code, "enhanced": _text(self.reply.enhanced)}
            if self.reply
            else None,
            "transient": self.transient,
            "in_doubt": self.in_doubt,
            "reason": self.reason,
        }


class ConnectError(SMTPError, smtplib.SMTPConnectError, ConnectionError):
    """No connection, or a greeting other than 220. Nothing was sent."""


class TLSError(SMTPError, ssl.SSLError):
    """TLS was refused, failed, or the certificate did not verify. Nothing was sent.

    host: the name or IP address that the certificate should be for.
    chain: the certificates that the server sent (DER), its own first; empty when none came, or
        where this Python can't tell.
    verify_code: why the certificate did not verify, by OpenSSL's number (X509_V_ERR_...); else 0.
    """

    def __init__(
        self,
        message: str = "",
        *,
        host: str = "",
        chain: tuple[bytes, ...] = (),
        verify_code: int = 0,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.host = host
        self.chain = chain
        self.verify_code = verify_code

    @property
    def certificate(self) -> bytes | None:
        """The server's own certificate (DER)."""
        return self.chain[0] if self.chain else None


class TimedOut(SMTPError, smtplib.SMTPServerDisconnected, TimeoutError):
    """The server was silent, or too slow, for longer than the limit of the stage."""


class Disconnected(SMTPError, smtplib.SMTPServerDisconnected, ConnectionError):
    """The connection was lost, or the server ended it (421)."""


class ProtocolError(SMTPError):
    """The server broke the protocol; the connection can't be trusted any more."""


class NotSupported(SMTPError, smtplib.SMTPNotSupportedError):
    """The server does not offer, or local policy does not allow, what was asked for."""


class DeliveryInDoubt(SMTPError):
    """The connection was lost after the message was complete and before its reply came.

    The server may have accepted the message, so sending it again may deliver it twice.
    """

    def __init__(self, message: str = "", **details: Any) -> None:
        details.setdefault("in_doubt", True)
        details.setdefault("transient", False)
        super().__init__(message, **details)

    def _outcome(self) -> str:
        return f"in doubt: {self.message}"


class Refused(SMTPError):
    """The server answered 4xx or 5xx; `.reply` tells which."""


class HelloRefused(Refused, smtplib.SMTPHeloError):
    """EHLO, and HELO after it, were refused (RFC 5321 4.1.1.1)."""


class AuthenticationRefused(Refused, smtplib.SMTPAuthenticationError):
    """The credentials were refused (RFC 4954); final for this credential if permanent."""


class SenderRefused(Refused, smtplib.SMTPSenderRefused):
    """MAIL was refused; `.sender` is the address."""

    def __init__(self, message: str = "", *, sender: str = "", **details: Any) -> None:
        super().__init__(message, **details)
        self.sender = sender


class RecipientsRefused(Refused, smtplib.SMTPRecipientsRefused):
    """No recipient was accepted; `.recipients` maps address to (code, text as bytes)."""

    def __init__(
        self,
        message: str = "",
        *,
        recipients: dict[str, tuple[int, bytes]] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.recipients = recipients or {}


class ContentRefused(Refused, smtplib.SMTPDataError):
    """DATA, or the content after it, was refused."""


def _rebuild(cls: type[SMTPError], state: dict[str, Any]) -> SMTPError:
    error = cls.__new__(cls, state.get("message", ""))
    OSError.__init__(error, state.get("message", ""))
    error.__dict__.update(state)
    return error


def _text(value: object) -> str | None:
    return None if value is None else str(value)
