"""What is known of a provider of mail, as a value.

A preset holds facts and no behaviour: nothing here is asked while mail is sent. A fact that no
source confirms is None, and not a guess.
"""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

from django_smtpauth.smtp.tls import Security

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    #: A sentence for people, translated when it is shown.
    Sentence = str | _StrPromise


class Kind(enum.Enum):
    """What sort of provider it is; the groups in which people look for one, in this order."""

    MAILBOX = "mailbox"
    RELAY = "relay"
    HOSTING = "hosting"
    TESTING = "testing"

    @property
    def label(self) -> Sentence:
        return _LABELS[self]


_LABELS: dict[Kind, Sentence] = {
    Kind.MAILBOX: _("Mailboxes"),
    Kind.RELAY: _("Delivery services"),
    Kind.HOSTING: _("Web hosting"),
    Kind.TESTING: _("Testing"),
}


class UsernameForm(enum.Enum):
    """What the provider wants as user name."""

    ADDRESS = "address"
    #: What stands before the @ of the address.
    LOCAL_PART = "local part"
    #: The same word for every customer: `Username.word`.
    FIXED = "fixed"
    #: Something the provider shows: `Username.hint` says where.
    SHOWN = "shown"


@dataclass(frozen=True)
class Username:
    """The user name that goes with a preset. word: with FIXED; hint: with SHOWN."""

    form: UsernameForm = UsernameForm.ADDRESS
    word: str = ""
    hint: Sentence = ""

    @classmethod
    def fixed(cls, word: str) -> Username:
        return cls(UsernameForm.FIXED, word=word)

    @classmethod
    def shown(cls, hint: Sentence) -> Username:
        return cls(UsernameForm.SHOWN, hint=hint)

    def for_address(self, address: str) -> str:
        """The user name of who sends as this address; empty if only the provider can tell."""
        if self.form is UsernameForm.ADDRESS:
            return address
        if self.form is UsernameForm.LOCAL_PART:
            return address.rpartition("@")[0]
        return self.word


class SenderPolicy(str, enum.Enum):
    """What an account does with a From that is not its own."""

    REFUSE = "refuse"
    #: The account's address takes its place; the author stays reachable in Reply-To.
    REWRITE = "rewrite"
    ALLOW = "allow"


@dataclass(frozen=True)
class Server:
    """A way to the provider. host: a name as A-label, or an IP address."""

    host: str
    port: int
    security: Security


@dataclass(frozen=True)
class Credential:
    """Where the password comes from. steps: in order, one sentence each; url: where to begin."""

    title: Sentence
    steps: tuple[Sentence, ...]
    url: str


@dataclass(frozen=True)
class Limits:
    """What the provider publishes. None: it publishes nothing, or nothing that was found.

    recipients: of one message. messages_per_day: of one account in 24 hours. connections: of one
    account at once. octets: of one message as it is sent; a megabyte counts 1,000,000.
    """

    recipients: int | None = None
    messages_per_day: int | None = None
    connections: int | None = None
    octets: int | None = None


# Compared as the object that it is: sentences compare by what they say in the current language.
@dataclass(frozen=True, eq=False)
class Preset:
    """A provider of mail.

    server: the way that the provider names first; alternatives: the others.
    domains: addresses that belong to the provider, exactly; A-labels in lower case.
    mx_suffixes: names below which the mail exchangers of domains lie that are hosted there.
    authentication: which way to log in works, and what was or will be retired, with dates.
    spf_include: the name that a domain's SPF record includes so that the provider may send for it.
    passwords_end: passwords still work and are being withdrawn.
    internal: the server runs on the site's own machine.
    source: the page that says so. checked: when that was last compared.
    """

    slug: str
    name: str
    kind: Kind
    server: Server
    credential: Credential
    source: str
    checked: datetime.date
    alternatives: tuple[Server, ...] = ()
    username: Username = field(default_factory=Username)
    domains: tuple[str, ...] = ()
    mx_suffixes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    authentication: tuple[Sentence, ...] = ()
    passwords_end: bool = False
    spf_include: str = ""
    sender_policy: SenderPolicy = SenderPolicy.REWRITE
    internal: bool = False

    # Without the sentences, which can't be shown before translations are ready.
    def __repr__(self) -> str:
        return f"<Preset {self.slug}: {self.host}:{self.port}>"

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def security(self) -> str:
        """As the field of an account takes it: "starttls", "implicit_tls" or "none"."""
        return self.server.security.value


def starttls(host: str, port: int = 587) -> Server:
    """A server whose connections begin in the clear and must go on in TLS."""
    return Server(host, port, Security.STARTTLS)


def implicit_tls(host: str, port: int = 465) -> Server:
    """A server whose connections begin with TLS (RFC 8314)."""
    return Server(host, port, Security.IMPLICIT_TLS)


#: When the entries of the first release were compared with their sources.
FIRST_CHECK = datetime.date(2026, 11, 25)
