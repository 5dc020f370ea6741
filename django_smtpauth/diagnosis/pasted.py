"""What a pasted text tells of a failure.

People paste what they have: a traceback of smtplib, Django's error e-mail, a line of a mail log,
a bounce with its machine-readable part (RFC 3464), a dialogue. The text is cut to MAX_PASTED
characters first, and no expression here repeats without a bound inside a repetition, so the time
is linear in that. Nothing raises.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .providers import provider_of

#: Characters that are read: of a longer text the beginning and the end.
MAX_PASTED: Final = 40_000
_HEAD: Final = 20_000
#: Host names that are looked at.
_MOST_HOSTS: Final = 50
_LONGEST_WORDS: Final = 1_500

# What stands in front of a reply's code: the beginning of a line, or the end of an introduction.
_FRONT = r"(?:^|[:;'\"(\[#>] {0,2}|said |returned |[SC]: )"
_WITH_STATUS = re.compile(
    rf"{_FRONT}#?(?P<code>[45]\d\d)[ \-]#?(?P<enhanced>[245]\.\d{{1,3}}\.\d{{1,3}})(?!\d)", re.M
)
_WITHOUT_STATUS = re.compile(rf"{_FRONT}#?(?P<code>[45]\d\d)(?:[ \-]|, ?b?['\"])(?=\D)", re.M)
_TUPLE = re.compile(
    r"\((?P<code>[45]\d\d), {0,2}b?['\"]#?(?P<enhanced>[245]\.\d{1,3}\.\d{1,3})?(?!\d)"
)
_BARE_STATUS = re.compile(r"(?:Status: {0,3}|dsn=)(?P<enhanced>[45]\.\d{1,3}\.\d{1,3})(?!\d)")
_DIAGNOSTIC = re.compile(r"^Diagnostic-Code:", re.M | re.I)
_END = re.compile(r" \(in reply to|\r?\n\r?\n|\\n'|\)$|['\"][,)}]", re.M)
_AGAIN = re.compile(r"(?:\\r|\\n|\r|\n)[ \t]{0,8}(?:[45]\d\d[ \-])?(?:[245]\.\d{1,3}\.\d{1,3} ?)?")

_OURS = re.compile(
    r"^(?:\S{1,80}: )?(CONFIGURATION|DNS|CONNECT|GREETING|TLS|EHLO|AUTH|MAIL|RCPT|DATA"
    r"|CONTENT|QUIT)"
    r" (?:failed|refused|in doubt)",
    re.M,
)
_COMMAND = re.compile(
    r"(?:in reply to (?:the )?|mail server after |error from remote server for )"
    r"(?:pipelined |sending )?(initial|greeting|HELO|EHLO|STARTTLS|AUTH|MAIL|RCPT|DATA"
    r"|end of data|TEXT)",
    re.I,
)
_STAGE_OF_COMMAND: Final = {
    "initial": "GREETING",
    "greeting": "GREETING",
    "helo": "EHLO",
    "end of data": "CONTENT",
    "text": "CONTENT",
    "starttls": "TLS",
}
_CLASSES: Final = (
    ("SMTPAuthenticationError", "AUTH"),
    ("SMTPSenderRefused", "MAIL"),
    ("SMTPRecipientsRefused", "RCPT"),
    ("SMTPDataError", "CONTENT"),
    ("SMTPHeloError", "EHLO"),
    ("SMTPConnectError", "GREETING"),
)
#: Codes that belong to one stage (RFC 4954 6).
_AUTH_CODES: Final = frozenset({534, 535, 538})

#: Words of Python, OpenSSL and mail logs, with what they mean. The first that occurs counts.
_SIGNS: Final[tuple[tuple[re.Pattern[str], dict[str, Any]], ...]] = tuple(
    (re.compile(pattern, re.I), found)
    for pattern, found in (
        (r"certificate has expired", {"kind": "tls", "reason": "certificate", "verify_code": 10}),
        (
            r"certificate is not yet valid",
            {"kind": "tls", "reason": "certificate", "verify_code": 9},
        ),
        (r"Hostname mismatch", {"kind": "tls", "reason": "certificate", "verify_code": 62}),
        (r"IP address mismatch", {"kind": "tls", "reason": "certificate", "verify_code": 64}),
        (
            r"self[- ]signed certificate in certificate chain",
            {"kind": "tls", "reason": "certificate", "verify_code": 19},
        ),
        (
            r"self[- ]signed certificate",
            {"kind": "tls", "reason": "certificate", "verify_code": 18},
        ),
        (
            r"unable to get local issuer certificate",
            {"kind": "tls", "reason": "certificate", "verify_code": 20},
        ),
        (r"CERTIFICATE_VERIFY_FAILED", {"kind": "tls", "reason": "certificate"}),
        (
            r"could not be resolved|Name or service not known|nodename nor servname"
            r"|getaddrinfo failed|No address associated with hostname",
            {"kind": "connect", "reason": "dns", "stage": "CONNECT"},
        ),
        (
            r"no answer from DNS|Temporary failure in name resolution",
            {"kind": "timed-out", "reason": "dns", "stage": "CONNECT"},
        ),
        (
            r"STARTTLS extension not supported",
            {"kind": "not-supported", "reason": "starttls-missing", "stage": "TLS"},
        ),
        (
            r"SMTP AUTH extension not supported",
            {"kind": "not-supported", "reason": "no-mechanism", "stage": "AUTH"},
        ),
        (r"\[SSL[:\]]|wrong version number|alert protocol version", {"kind": "tls"}),
        (r"no SMTP reply", {"kind": "protocol"}),
        (r"Connection refused|actively refused", {"kind": "connect", "stage": "CONNECT"}),
        (
            r"Network is unreachable|No route to host|could not connect to",
            {"kind": "connect", "stage": "CONNECT"},
        ),
        (r"in doubt", {"kind": "in-doubt"}),
        (r"timed out|TimeoutError|did not answer in time|\bno answer\b", {"kind": "timed-out"}),
        (
            r"unexpectedly closed|Connection reset|lost connection|closed the connection|hung up",
            {"kind": "disconnected"},
        ),
    )
)

_HOST = re.compile(
    r"(?<![\w.@\-])((?:[a-z0-9][a-z0-9\-]{0,62}\.){1,8}[a-z]{2,24})(?![\w.\-]{0,80}@)", re.I
)
_NAMED_HOST = re.compile(
    r"(?:relay=|\bhost |\bH=|Remote-MTA: {0,3}dns; {0,3}|EMAIL_HOST'?\s{0,3}[=:]?\s{0,3}'"
    r"|\((?:account [\w\-]{1,63}, )?(?=[a-z0-9.\-]{1,253}:\d))"
    r"([a-z0-9.\-]{1,253})",
    re.I,
)
_PORT = re.compile(r"(?:\]:|EMAIL_PORT'?\s{0,3}[=:]?\s{0,3}|\bport |[a-z]:)(\d{2,5})\b", re.I)
_ACCOUNT = re.compile(r"\(account ([\w\-]{1,63}), ")
_SETTING = re.compile(r"EMAIL_USE_(SSL|TLS)'?\s{0,3}[=:]?\s{0,3}True")


def read(text: str) -> dict[str, Any]:
    """The fields of a Failure that a text tells."""
    text = _cut(text)
    reply = _reply(text)
    signs: dict[str, Any] = {} if reply["code"] else _signs(text)
    return {
        "kind": "refused" if reply["code"] else "other",
        **_server(text),
        **reply,
        **signs,
        "stage": _stage(text, reply["code"])
        or signs.get("stage", "TLS" if signs.get("kind") == "tls" else ""),
    }


def _cut(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if len(text) <= MAX_PASTED:
        return text
    return f"{text[:_HEAD]}\n{text[_HEAD - MAX_PASTED :]}"


def _signs(text: str) -> dict[str, Any]:
    return next((dict(found) for pattern, found in _SIGNS if pattern.search(text)), {})


def _reply(text: str) -> dict[str, Any]:
    """Code, enhanced code and words of the reply that matters most."""
    diagnostic = _DIAGNOSTIC.search(text)
    places = (text[diagnostic.start() :], text) if diagnostic else (text,)
    for place in places:
        for pattern in (_TUPLE, _WITH_STATUS, _WITHOUT_STATUS):
            if match := pattern.search(place):
                enhanced = match.groupdict().get("enhanced") or ""
                # Our own errors go on below their first line, which tells the server.
                own = _OURS.search(place)
                words = _words(place[match.end() :]) if own is None else _below(place, own.end())
                return {"code": int(match["code"]), "enhanced": enhanced, "text": words}
    bare = _BARE_STATUS.search(text)
    return {
        "code": None,
        "enhanced": bare["enhanced"] if bare else "",
        "text": " ".join(text[-_LONGEST_WORDS:].split()),
    }


def _words(rest: str) -> str:
    """The words of a reply, its further lines without their codes."""
    rest = rest[:_LONGEST_WORDS]
    end = _END.search(rest)
    return " ".join(_AGAIN.sub(" ", rest[: end.start()] if end else rest).split())


def _below(text: str, start: int) -> str:
    """What an error of ours says under its headline."""
    _, _, rest = text[start : start + _LONGEST_WORDS].partition("\n")
    return " ".join(rest.split())


def _stage(text: str, code: int | None) -> str:
    if ours := _OURS.search(text):
        return ours[1]
    if command := _COMMAND.search(text):
        word = command[1].lower()
        return _STAGE_OF_COMMAND.get(word, word.upper())
    for name, stage in _CLASSES:
        if name in text:
            return stage
    if code is not None:
        return "AUTH" if code in _AUTH_CODES else ""
    return _place_in_traceback(text)


def _place_in_traceback(text: str) -> str:
    """Where smtplib was, by the names of its methods."""
    for method, stage in (
        ("in starttls", "TLS"),
        ("in login", "AUTH"),
        ("create_connection", "CONNECT"),
        ("getreply", "GREETING"),
    ):
        if method in text:
            return stage
    return ""


def _server(text: str) -> dict[str, Any]:
    """The server as far as it is named, else one that gives its provider away."""
    named = _NAMED_HOST.search(text)
    host = named[1].lower().rstrip(".-") if named else ""
    if not provider_of(host):
        hosts = _HOST.finditer(text)
        seen = (match[1].lower() for _, match in zip(range(_MOST_HOSTS), hosts, strict=False))
        host = next((one for one in seen if provider_of(one)), host)
    port = _PORT.search(text)
    number = int(port[1]) if port else 0
    setting = _SETTING.search(text)
    account = _ACCOUNT.search(text)
    return {
        "host": host,
        "port": number if number <= 65535 else 0,
        "security": {"SSL": "implicit_tls", "TLS": "starttls"}[setting[1]] if setting else "",
        "account": account[1] if account else "",
    }
