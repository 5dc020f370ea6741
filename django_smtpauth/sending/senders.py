"""As whom an account sends: what becomes of a From that is not the account's.

`judged()` is a pure function of what a message says of its sender and of the account that carries
it. Three places name a sender: the envelope (MAIL), the header From, which names the author, and
the header Sender. Each address in them is one of

- none: nothing at all, or one of Django's placeholders (the defaults of DEFAULT_FROM_EMAIL and
  SERVER_EMAIL). The account's address takes its place, whatever the policy.
- the account's own, or one that it may send as. It is sent as it is.
- foreign. The policy says what becomes of it. What can't be read as an address is foreign, so that
  nothing passes here that a mail program would understand in another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .. import presets
from ..choices import ForeignFrom
from ..smtp.errors import NotSupported
from .accounts import Account
from .addressing import (
    as_phrase,
    decoded_name,
    display_name,
    envelope_address,
    envelope_sender,
    listed_mailboxes,
    normalized_address,
)
from .domains import a_label
from .option_values import InvalidOption

#: Django's defaults for DEFAULT_FROM_EMAIL and SERVER_EMAIL: nobody's address.
PLACEHOLDERS = frozenset({"webmaster@localhost", "root@localhost"})
#: The reason of the error that says: the account does not send as this address.
FOREIGN_FROM = "foreign-from"

_ENCODED_WORD = "=?"


@dataclass(frozen=True)
class Senders:
    """Who sends a message, as texts of addresses.

    envelope: for MAIL, one mailbox; "<>" is the null reverse-path. author: the header From.
    sender: the header Sender; empty: there is none. reply_to: where replies go, if not to the
    author.
    """

    envelope: str
    author: str
    sender: str = ""
    reply_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """As whom an account sends.

    account: its slug. address: its own, as for the envelope; empty: it has none. name: the display
    name that goes with it, as a phrase. others: what else it may send as: addresses, `@domain`,
    `.domain` for what lies below a domain. foreign: what becomes of another From.
    """

    account: str
    address: str
    name: str
    others: frozenset[str]
    foreign: str

    @property
    def says_something(self) -> bool:
        """Whether anything is known to compare a sender with."""
        return bool(self.address or self.others)

    def covers(self, address: str) -> bool:
        """Whether an address, in the form for comparing, is one to send as."""
        if not address:
            return False
        if self.is_own(address) or address in self.others:
            return True
        domain = address.rpartition("@")[2]
        labels = domain.split(".")
        above = ("." + ".".join(labels[i:]) for i in range(1, len(labels)))
        return f"@{domain}" in self.others or any(name in self.others for name in above)

    def is_nobodys(self, address: str) -> bool:
        """Whether the account's address takes the place of this one, whatever the policy."""
        return bool(self.address) and address in PLACEHOLDERS

    def is_own(self, address: str) -> bool:
        """Whether it is the account's address."""
        return bool(address) and address == self.address.lower()

    def forbids(self, text: str) -> bool:
        """Whether a header of addresses names a foreign one that may not stay."""
        return (
            self.says_something
            and self.foreign != ForeignFrom.ALLOW
            and bool(_foreign(text, self))
        )

    def written(self, name: str = "") -> str:
        """The account's address with a name in front."""
        return written(name, self.address)


def written(name: str, address: str) -> str:
    """A mailbox with a phrase in front of the address, if there is one."""
    return f"{name} <{address}>" if name else address


def policy_of(account: Account) -> Policy:
    """The policy of an account; where it does not say it, its provider's, else `allow`.

    Raises InvalidOption for a value that got into the database past the forms.
    """
    preset = presets.get(account.preset) if account.preset else None
    provider = preset.sender_policy.value if preset else "allow"
    try:
        foreign = ForeignFrom(account.foreign_from or provider)
    except ValueError:
        raise InvalidOption(
            f"account {account.slug}, foreign_from must be 'refuse', 'rewrite' or 'allow', not "
            f"{account.foreign_from!r}."
        ) from None
    return _policy(account.slug, account.address, account.from_name, account.may_send_as, foreign)


@lru_cache(maxsize=256)
def _policy(slug: str, address: str, name: str, others: str, foreign: str) -> Policy:
    try:
        address = envelope_address(address) if address else ""
    except ValueError:
        address = ""
    entries = map(_entry, others.splitlines())
    return Policy(slug, address, as_phrase(name), frozenset(filter(None, entries)), foreign)


def _entry(line: str) -> str:
    """One line of `may_send_as` in the form for comparing; empty if it is none."""
    line = line.strip()
    if "@" in line[1:]:
        return normalized_address(line)
    sign = "." if line.startswith(".") else "@"
    try:
        domain = a_label(line[line.startswith(("@", ".")) :]).lower()
    except ValueError:
        return ""
    return sign + domain if domain else ""


def judged(said: Senders, account: Account | None) -> Senders:
    """What is sent in place of what a message says, through an account.

    An account that has neither an address nor others that it may send as, and a server from the
    settings (None), send everything as it is. Equal to `said` when nothing has to change.

    Raises NotSupported when the policy refuses, and when there is no address to rewrite to;
    ValueError when the sender of the envelope is no single address.
    """
    policy = policy_of(account) if account is not None else None
    if policy is None or not policy.says_something:
        return said
    if said.envelope:
        envelope_sender(said.envelope)
    _refuse_foreign(said, policy)
    author = _judged_author(said.author, policy)
    return Senders(
        envelope=author
        if said.envelope == said.author and not _is_null(said.envelope)
        else _judged_envelope(said.envelope, policy),
        author=author,
        sender=_judged_sender(said.sender, author, policy),
        reply_to=said.reply_to or _replies(said.author, author, policy),
    )


def has_address(account: Account) -> bool:
    """Whether it is known from which address the account sends."""
    return bool(policy_of(account).address)


def refuse_other_senders(rendered: str, meant: str, account: Account) -> None:
    """Raises NotSupported when a foreign sender got into a header after it was judged: by a
    message's own code, or by an encoded word that was decoded.

    rendered: the header From or Sender as it was rendered. meant: as it was to be.
    """
    addresses = _addresses(rendered)
    if addresses == _addresses(meant):
        return
    policy = policy_of(account)
    if policy.forbids(rendered) or any(map(policy.is_nobodys, addresses)):
        raise _refusal(
            policy,
            "The message came out with a From or Sender that is not its from_email or header: "
            "let its message() leave them alone, and write names as plain text.",
        )


def _refuse_foreign(said: Senders, policy: Policy) -> None:
    if policy.foreign == ForeignFrom.ALLOW:
        return
    places = (said.envelope, said.author, said.sender)
    foreign = [one for text in places for one in _foreign(text, policy)]
    if not foreign:
        return
    if policy.foreign == ForeignFrom.REFUSE:
        raise _refusal(policy, _cure(foreign[0], policy))
    if not policy.address:
        raise _refusal(
            policy, f"Give the account {policy.account} a From address to send from instead."
        )


def _refusal(policy: Policy, cure: str) -> NotSupported:
    return NotSupported(
        f"the account {policy.account} does not send as another than its own addresses",
        stage="MAIL",
        reason=FOREIGN_FROM,
        cure=cure,
    )


def _cure(foreign: str, policy: Policy) -> str:
    address = normalized_address(foreign)
    add = f'Add {address} to "may send as" of' if address else 'Choose for "another From" of'
    rest = '. Or choose for "another From" to rewrite it' if address else " to rewrite it"
    own = f", or send from {policy.address}" if policy.address else ""
    return f"{add} the account {policy.account}{rest}{own}."


def _judged_author(text: str, policy: Policy) -> str:
    if not policy.address:
        return text
    addresses = _addresses(text)
    if not addresses or any(map(policy.is_nobodys, addresses)):
        return policy.written(policy.name or _name(text))
    if _is_rewritten(text, policy):
        return policy.written(_name(text) or policy.name)
    if len(addresses) == 1 and policy.covers(addresses[0]):
        return _with_a_name(text, policy)
    return text


def _with_a_name(text: str, policy: Policy) -> str:
    """A mailbox to send as, with the account's name if it is its own and has none."""
    if policy.name and not display_name(text) and policy.is_own(normalized_address(text)):
        return policy.written(policy.name)
    return _in_plain_words(text)


def _in_plain_words(mailbox: str) -> str:
    """The same mailbox, its name decoded and in quotes if it has an encoded word.

    Some versions of Python write what such a word hides, and a comma in it would begin another
    mailbox.
    """
    name, address = display_name(mailbox), normalized_address(mailbox)
    if _ENCODED_WORD not in name or not address:
        return mailbox
    return written(as_phrase(decoded_name(name)), envelope_address(mailbox))


def _judged_envelope(text: str, policy: Policy) -> str:
    if not policy.address or _is_null(text):
        return text
    is_nobodys = not text or policy.is_nobodys(normalized_address(text))
    return policy.address if is_nobodys or _is_rewritten(text, policy) else text


def _judged_sender(text: str, author: str, policy: Policy) -> str:
    """RFC 5322 3.6.2: a Sender that only repeats From is left out."""
    addresses = _addresses(text)
    if not any(map(policy.is_nobodys, addresses)) and not _is_rewritten(text, policy):
        return text
    return "" if policy.is_own(normalized_address(author)) else policy.address


def _replies(text: str, author: str, policy: Policy) -> tuple[str, ...]:
    """The authors that From does not name any more."""
    return () if author == text else tuple(map(_in_plain_words, _foreign(text, policy)))


def _is_rewritten(text: str, policy: Policy) -> bool:
    return policy.foreign == ForeignFrom.REWRITE and bool(_foreign(text, policy))


def _foreign(text: str, policy: Policy) -> list[str]:
    """Those mailboxes of a text that are neither nobody's nor the account's."""
    return [
        mailbox
        for mailbox in _mailboxes(text)
        if not policy.is_nobodys(address := normalized_address(mailbox))
        and not policy.covers(address)
    ]


def _addresses(text: str) -> list[str]:
    return [normalized_address(mailbox) for mailbox in _mailboxes(text)]


def _mailboxes(text: str) -> list[str]:
    return [] if not text.strip() or _is_null(text) else listed_mailboxes(text)


def _is_null(text: str) -> bool:
    return text.strip(" ") == "<>"


def _name(text: str) -> str:
    """The display name to keep in front of another address.

    One that holds an address is not kept: mail programs and filters take it for a forgery.
    """
    name = display_name(_in_plain_words(text))
    return "" if "@" in name else name
