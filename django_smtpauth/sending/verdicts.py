"""What a failure says: something of the account and its server, or of one message only.

A visitor's mistyped address must not make an account look broken, and an account that can't send
must not look sound. So of the failures of real mail these speak of the account:

- whatever happens before a message is under way: no connection, a proxy's failure, TLS, a refused
  greeting, EHLO or log-in;
- a secret that is missing, damaged, or was stored for another destination;
- a lost connection, a time-out, a broken protocol, 421, doubt;
- a refusal of the sender, of all recipients, or of the content.

These speak of the message only, and are not counted:

- it could not be composed;
- it needs what the server does not offer (size, UTF-8, eight bits, reports), unless the account
  itself asks for that;
- it is too big or its form is refused: 552, x.2.3 (of the content), x.3.4, x.6.x;
- its sender's address is refused (x.1.x), and is not the account's own;
- every recipient is refused for being who it is: address x.1.x, mailbox x.2.x, the way there
  x.4.1 and x.4.4, too many at once x.5.3; without such a code 450, 550, 551, 552, 553.

Neither is a key that this process lacks or can't read: that is this process's fault.
The codes are those of RFC 3463 and RFC 5321 4.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..secrets.errors import SecretUnreadable
from ..smtp.errors import (
    ContentRefused,
    NotSupported,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
    without_addresses,
)
from ..smtp.replies import Reply
from .accounts import Account
from .addressing import normalized_address
from .explaining import finding_of
from .results import Result

#: Characters of a failure's text.
MAX_TEXT = 300

#: `reason` of what ails this process's keys, and not the account.
_OUR_KEYS = frozenset({"unknown_key", "keys"})
#: `reason` of what the account may ask of every message.
_WISHES = frozenset({"requiretls", "extension-missing"})
#: Stages of one message; what is not supported there is what the message needs.
_OF_A_MESSAGE = frozenset({"MAIL", "RCPT", "DATA", "CONTENT"})

_MAILBOX_CODES = frozenset({450, 550, 551, 552, 553})
_MAILBOX_SUBJECTS = frozenset({1, 2})
_MAILBOX_DETAILS = frozenset({(4, 1), (4, 4), (5, 3)})
_SIZE_DETAILS = frozenset({(2, 3), (3, 4)})
_TOO_BIG = 552
_ADDRESSING, _CONTENT = 1, 6

_UNREADABLE = {
    "mismatch": "the stored secret was stored for another destination, or for another row",
    "damaged": "the stored secret is damaged",
    "missing": "the account has no password",
}


@dataclass(frozen=True)
class Failure:
    """What is kept of a failure.

    stage: as the engine calls it. code, status: of the server's reply, None and "" without one.
    text: one line without addresses and secrets. rule: the id of the rule that explained it,
    empty if nobody did.
    """

    stage: str
    code: int | None = None
    status: str = ""
    text: str = ""
    rule: str = ""


def failure_of(result: Result, account: Account) -> Failure | None:
    """What a message that was not sent says of its account; None: nothing."""
    error = result.error
    if error is None:
        return None
    if isinstance(error, RecipientsRefused):
        replies = [o.reply for o in result.recipients.values() if o.reply and o.reply.klass != 2]
        if replies and all(_is_of_a_mailbox(reply) for reply in replies):
            return None
    return failure(error, account)


def failure(error: Exception, account: Account) -> Failure | None:
    """What an error says of the account that was used; None: nothing."""
    found, explained = _failure(error, account), finding_of(error)
    return replace(found, rule=explained.rule) if found and explained else found


def _failure(error: Exception, account: Account) -> Failure | None:
    if isinstance(error, SecretUnreadable):
        if error.reason in _OUR_KEYS:
            return None
        return Failure("AUTH", text=f"AUTH failed: {_UNREADABLE.get(error.reason, error.reason)}")
    if isinstance(error, SMTPError):
        return None if _is_of_the_message(error, account) else _of_smtp(error)
    if isinstance(error, OSError):
        return Failure("CONNECT", text=_line(f"CONNECT failed: {type(error).__name__}"))
    return None


def _of_smtp(error: SMTPError) -> Failure:
    reply = error.reply
    return Failure(
        stage=error.stage or "SMTP",
        code=reply.code if reply else None,
        status=str(reply.enhanced) if reply and reply.enhanced else "",
        text=_line(error.headline),
    )


def _line(text: str) -> str:
    """A text that every database takes, in one line."""
    printable = "".join(c if c.isprintable() else " " for c in without_addresses(text))
    return " ".join(printable.split())[:MAX_TEXT]


def _is_of_the_message(error: SMTPError, account: Account) -> bool:
    reply = error.reply
    if reply is not None and reply.code == 421:
        return False
    if reply is not None and isinstance(error, (SenderRefused, ContentRefused)):
        foreign = isinstance(error, SenderRefused) and _is_foreign(error.sender, account)
        return _is_of_content(reply) or (foreign and _subject(reply) == _ADDRESSING)
    if isinstance(error, ContentRefused):
        # The engine itself compared its size with what the server takes.
        return True
    if isinstance(error, NotSupported) and error.stage in _OF_A_MESSAGE:
        asks = bool(account.require_tls or account.dsn_notify or account.dsn_ret)
        return not (asks and error.reason in _WISHES)
    return False


def _is_foreign(sender: str, account: Account) -> bool:
    own = normalized_address(account.address)
    return bool(own) and normalized_address(sender) != own


def _subject(reply: Reply) -> int | None:
    return reply.enhanced.subject if reply.enhanced else None


def _is_of_a_mailbox(reply: Reply) -> bool:
    if reply.code == 421:
        return False
    if reply.enhanced is None:
        return reply.code in _MAILBOX_CODES
    told = reply.enhanced.subject, reply.enhanced.detail
    return told[0] in _MAILBOX_SUBJECTS or told in _MAILBOX_DETAILS or _is_of_content(reply)


def _is_of_content(reply: Reply) -> bool:
    if reply.enhanced is None:
        return reply.code == _TOO_BIG
    told = reply.enhanced.subject, reply.enhanced.detail
    return told[0] == _CONTENT or told in _SIZE_DETAILS
