"""Parameters of MAIL and RCPT as values: what they say, and what the server must offer for them.

A value that may hold any character travels as xtext (RFC 3461 section 4). What has no field of
its own goes through `parameters`, a mapping of keyword to value (None: a keyword alone), checked
against the syntax of RFC 5321 4.1.2 when it is made, and against what the server announced before
anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from .addresses import Mailbox

#: Characters of ENVID and ORCPT before encoding (RFC 3461 4.4, 4.2).
MAX_ENVID: Final = 100
MAX_ORCPT: Final = 500

#: Parameter -> the keyword that a server announces for it, where that is another word.
_ANNOUNCED_AS: Final = {
    "AUTH": "AUTH",
    "BY": "DELIVERBY",
    "ENVID": "DSN",
    "HOLDFOR": "FUTURERELEASE",
    "HOLDUNTIL": "FUTURERELEASE",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
    "RET": "DSN",
    "SOLICIT": "NO-SOLICITING",
}
#: Parameters that the engine writes itself, from a field or from the content.
_OWN: Final = frozenset(
    {"AUTH", "BODY", "ENVID", "NOTIFY", "ORCPT", "REQUIRETLS", "RET", "SIZE", "SMTPUTF8"}
)
#: With these a server expects another dialogue than the one that follows.
_OTHER_DIALOGUE: Final = frozenset({"PRDR"})

_KEYWORD = re.compile("[A-Z0-9][A-Z0-9-]*")
_VALUE = re.compile(r"[!-<>-~]+")
_PRINTABLE = re.compile("[ -~]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ADDRESS_TYPE = re.compile("[A-Za-z0-9-]+;.+", re.DOTALL)

Notification = Literal["SUCCESS", "FAILURE", "DELAY", "NEVER"]
_NOTIFICATIONS: Final = ("SUCCESS", "FAILURE", "DELAY", "NEVER")


@dataclass(frozen=True)
class SenderOptions:
    """What MAIL says besides the sender.

    ret: how much of the message a failure report returns, "FULL" or "HDRS" (RFC 3461 4.3).
    envid: printable ASCII that reports repeat, so that they can be matched (RFC 3461 4.4).
    auth: the mailbox that submitted the message, or "<>" for one that is not known
        (RFC 4954 section 5).
    require_tls: deliver over verified TLS all the way, or not at all (RFC 8689).
    parameters: any others, keyword -> value or None.

    Raises ValueError for what could not be written.
    """

    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    auth: str | None = None
    require_tls: bool = False
    parameters: Mapping[str, str | None] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.ret not in (None, "FULL", "HDRS"):
            raise ValueError(f"ret must be 'FULL' or 'HDRS', not {self.ret!r}.")
        if self.envid is not None and not (
            1 <= len(self.envid) <= MAX_ENVID and _PRINTABLE.fullmatch(self.envid)
        ):
            raise ValueError(f"envid must be 1 to {MAX_ENVID} printable ASCII characters.")
        if self.auth not in (None, "<>"):
            self._check_submitter(str(self.auth))
        object.__setattr__(self, "parameters", _checked(self.parameters))

    def words(self) -> Iterator[str]:
        """The parameters as they stand in the command."""
        if self.ret:
            yield f"RET={self.ret}"
        if self.envid is not None:
            yield f"ENVID={xtext(self.envid)}"
        if self.auth is not None:
            yield f"AUTH={self.auth if self.auth == '<>' else xtext(self.auth)}"
        if self.require_tls:
            yield "REQUIRETLS"
        yield from _written(self.parameters)

    @staticmethod
    def _check_submitter(mailbox: str) -> None:
        if not mailbox.isascii():
            raise ValueError("auth must be an ASCII mailbox, or '<>'.")
        Mailbox.parse(mailbox)


@dataclass(frozen=True)
class RecipientOptions:
    """What RCPT says besides the recipient.

    notify: when a report is wanted: some of "SUCCESS", "FAILURE", "DELAY", or "NEVER" alone;
        empty: as the server likes (RFC 3461 4.1).
    orcpt: the original recipient, as an address, or as `type;address` (RFC 3461 4.2).
    parameters: any others, keyword -> value or None.

    Raises ValueError for what could not be written.
    """

    notify: tuple[Notification, ...] = ()
    orcpt: str | None = None
    parameters: Mapping[str, str | None] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        unknown = [word for word in self.notify if word not in _NOTIFICATIONS]
        if unknown or isinstance(self.notify, str):
            raise ValueError(f"notify must list some of {', '.join(_NOTIFICATIONS)}.")
        if "NEVER" in self.notify and len(self.notify) > 1:
            raise ValueError("notify: NEVER stands alone.")
        if self.orcpt is not None and not (
            1 <= len(self.orcpt) <= MAX_ORCPT and not _CONTROL.search(self.orcpt)
        ):
            raise ValueError(
                f"orcpt must have 1 to {MAX_ORCPT} characters, no control among them."
            )
        object.__setattr__(self, "notify", tuple(dict.fromkeys(self.notify)))
        object.__setattr__(self, "parameters", _checked(self.parameters))

    def words(self) -> Iterator[str]:
        """The parameters as they stand in the command."""
        if self.notify:
            yield f"NOTIFY={','.join(self.notify)}"
        if self.orcpt is not None:
            yield f"ORCPT={_original_recipient(self.orcpt)}"
        yield from _written(self.parameters)


def announced_as(word: str) -> str:
    """The keyword that a server announces if it takes this parameter (`KEYWORD[=value]`)."""
    keyword = word.partition("=")[0]
    return _ANNOUNCED_AS.get(keyword, keyword)


def xtext(text: str) -> str:
    """ASCII text without spaces, "+" and "=" (RFC 3461 section 4)."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def _original_recipient(text: str) -> str:
    """Type and address; an address that is not ASCII in the form of RFC 6533 section 3."""
    if not _ADDRESS_TYPE.fullmatch(text):
        text = f"rfc822;{text}" if text.isascii() else f"utf-8;{text}"
    kind, _, address = text.partition(";")
    if not address.isascii():
        return f"{kind};{_utf8_xtext(address)}"
    return f"{kind};{xtext(address)}"


def _utf8_xtext(text: str) -> str:
    """The form of RFC 6533 section 3 that needs no SMTPUTF8: `\\x{…}` for other characters."""
    return "".join(
        c if "!" <= c <= "~" and c not in "\\+=" else rf"\x{{{ord(c):02X}}}" for c in text
    )


def _checked(parameters: Mapping[str, str | None]) -> dict[str, str | None]:
    """A copy with keywords in upper case. Raises ValueError."""
    checked = {keyword.upper(): value for keyword, value in parameters.items()}
    for keyword, value in checked.items():
        if not _KEYWORD.fullmatch(keyword):
            raise ValueError(f"{keyword!r} is no keyword of a parameter (RFC 5321 4.1.2).")
        if keyword in _OWN:
            raise ValueError(f"{keyword} is not for parameters: the engine writes it itself.")
        if keyword in _OTHER_DIALOGUE:
            raise ValueError(f"{keyword} changes the dialogue in a way that is not spoken here.")
        if value is not None and not _VALUE.fullmatch(value):
            raise ValueError(
                f"The value of {keyword} must be printable ASCII without spaces and '='."
            )
    return checked


def _written(parameters: Mapping[str, str | None]) -> Iterator[str]:
    for keyword, value in parameters.items():
        yield keyword if value is None else f"{keyword}={value}"
