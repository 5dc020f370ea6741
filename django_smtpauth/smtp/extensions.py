"""What a server said it can do: the keywords of its EHLO reply (RFC 5321 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .replies import Reply

#: At most 20 digits (RFC 1870 section 4).
_SIZE = re.compile("[0-9]{1,20}")
_OLD_AUTH = re.compile("^AUTH=", re.IGNORECASE)
#: RFC 9422 section 3: a limit is a number of at most six digits, and not zero.
_LIMIT = re.compile("0*[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class Limits:
    """What a server said it takes at most (RFC 9422 section 4); None: not told.

    mails: MAIL commands of one session. recipients: RCPT commands of one transaction.
    domains: different domains among the recipients of one session.
    """

    mails: int | None = None
    recipients: int | None = None
    domains: int | None = None

    @classmethod
    def parse(cls, parameters: str) -> Limits:
        """Reads the parameters of LIMITS; what is unknown or malformed is passed over."""
        values = {}
        for word in parameters.split():
            name, _, value = word.partition("=")
            if _LIMIT.fullmatch(value):
                values[name.upper()] = int(value)
        return cls(values.get("MAILMAX"), values.get("RCPTMAX"), values.get("RCPTDOMAINMAX"))


@dataclass(frozen=True)
class Extensions:
    """Keywords in upper case, each with the text of its parameters; empty after HELO."""

    keywords: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, reply: Reply) -> Extensions:
        """Reads every continuation line; keywords are case-insensitive, the last of two wins.

        `AUTH=LOGIN PLAIN`, the form of servers older than RFC 2554, counts as AUTH.
        """
        keywords: dict[str, str] = {}
        for line in reply.lines[1:]:
            words = _OLD_AUTH.sub("AUTH ", line.strip(), count=1)
            keyword, _, parameters = words.partition(" ")
            keyword = keyword.upper()
            if keyword == "AUTH":
                parameters = f"{keywords.get('AUTH', '')} {parameters}"
            if keyword:
                keywords[keyword] = parameters.strip()
        return cls(keywords)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @cached_property
    def auth(self) -> tuple[str, ...]:
        """SASL mechanisms in upper case, in the server's order (RFC 4954 section 3)."""
        return tuple(dict.fromkeys(self.keywords.get("AUTH", "").upper().split()))

    @cached_property
    def size(self) -> int | None:
        """The largest message in octets, or None: not told or unlimited (RFC 1870)."""
        words = self.keywords.get("SIZE", "").split()
        limit = int(words[0]) if words and _SIZE.fullmatch(words[0]) else 0
        return limit or None

    @property
    def pipelining(self) -> bool:
        """Whether commands may be sent in groups (RFC 2920)."""
        return "PIPELINING" in self.keywords

    @property
    def starttls(self) -> bool:
        """Whether STARTTLS is offered (RFC 3207)."""
        return "STARTTLS" in self.keywords

    @property
    def eight_bit(self) -> bool:
        """Whether content may have octets above 127 (RFC 6152)."""
        return "8BITMIME" in self.keywords

    @property
    def smtputf8(self) -> bool:
        """Whether addresses and headers may be UTF-8 (RFC 6531)."""
        return "SMTPUTF8" in self.keywords

    @property
    def chunking(self) -> bool:
        """Whether content may be sent by BDAT (RFC 3030)."""
        return "CHUNKING" in self.keywords

    @property
    def binary(self) -> bool:
        """Whether content may be any octets, without lines (RFC 3030 section 3)."""
        return self.chunking and "BINARYMIME" in self.keywords

    @cached_property
    def limits(self) -> Limits:
        """The limits that the server told (RFC 9422)."""
        return Limits.parse(self.keywords.get("LIMITS", ""))

    def to_dict(self) -> dict[str, str]:
        """The keywords as JSON-ready values."""
        return dict(self.keywords)
