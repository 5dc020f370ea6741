"""Options that one message carries to the backend, and what they make of its envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..smtp.parameters import Notification, RecipientOptions, SenderOptions
from ..smtp.transaction import Envelope, Recipient
from .addressing import envelope_address

__all__ = ["DSN", "MessageOptions", "RecipientOptions"]

Recipients = Literal["any", "all"]
_NO_OPTIONS = RecipientOptions()


@dataclass(frozen=True, kw_only=True)
class DSN:
    """Reports about the delivery (RFC 3461), for servers that offer DSN.

    notify: when, for every recipient: some of "SUCCESS", "FAILURE", "DELAY", or "NEVER" alone;
        empty: as the server likes.
    ret: how much of the message a report returns, "FULL" or "HDRS".
    envid: printable ASCII that reports repeat, so that they can be matched.

    Raises ValueError for what could not be written.
    """

    notify: tuple[Notification, ...] = ()
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.notify, list):
            object.__setattr__(self, "notify", tuple(self.notify))
        SenderOptions(ret=self.ret, envid=self.envid)
        RecipientOptions(notify=self.notify)


@dataclass(frozen=True, kw_only=True)
class MessageOptions:
    """Set as `message.smtp_options = MessageOptions(account="billing")`.

    What is None is as the account, the mailer or SMTPAUTH["DEFAULTS"] says. What the server does
    not offer and is demanded here is NotSupported, raised before anything is sent.

    account: the slug of the account that sends this message; None: by the usual rules.
    dsn: which reports about the delivery are wanted.
    require_tls: deliver over verified TLS all the way, or not at all (REQUIRETLS, RFC 8689).
    recipients: "any": who is accepted gets the message; "all": nobody, unless all are accepted.
    submitter: the mailbox that submitted the message, or "<>" (AUTH= on MAIL, RFC 4954 5).
    parameters: further parameters of MAIL, keyword -> value or None.
    recipient_options: by address, what is wanted for one recipient: `RecipientOptions(notify,
        orcpt, parameters)`; its `notify` wins over the one of `dsn`.

    Raises ValueError for what could not be written.
    """

    account: str | None = None
    dsn: DSN | None = None
    require_tls: bool | None = None
    recipients: Recipients | None = None
    submitter: str | None = None
    parameters: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    recipient_options: Mapping[str, RecipientOptions] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.recipients not in (None, "any", "all"):
            raise ValueError(f"recipients must be 'any' or 'all', not {self.recipients!r}.")
        SenderOptions(auth=self.submitter, parameters=self.parameters)

    def completed(
        self, dsn: DSN | None, require_tls: bool | None, recipients: Recipients | None
    ) -> MessageOptions:
        """These options; where they say nothing, what account and mailer say."""
        return replace(
            self,
            dsn=dsn if self.dsn is None else self.dsn,
            require_tls=require_tls if self.require_tls is None else self.require_tls,
            recipients=recipients if self.recipients is None else self.recipients,
        )

    def envelope(self, sender: str, recipients: tuple[str, ...], *, utf8: bool) -> Envelope:
        """An envelope with these options.

        sender, recipients: as they stand in commands. Raises ValueError for options that name an
        address which is no recipient.
        """
        dsn = self.dsn or DSN()
        own = {envelope_address(a): options for a, options in self.recipient_options.items()}
        strangers = own.keys() - set(recipients)
        if strangers:
            raise ValueError(
                "recipient_options of the message name an address that is not among its "
                f"recipients: {', '.join(sorted(strangers))}."
            )
        return Envelope(
            sender,
            tuple(Recipient(a, _with_notify(own.get(a), dsn)) for a in recipients),
            SenderOptions(
                ret=dsn.ret,
                envid=dsn.envid,
                auth=self.submitter,
                require_tls=bool(self.require_tls),
                parameters=self.parameters,
            ),
            utf8=utf8,
            all_or_none=self.recipients == "all",
        )


def _with_notify(options: RecipientOptions | None, dsn: DSN) -> RecipientOptions:
    options = options or _NO_OPTIONS
    return options if options.notify or not dsn.notify else replace(options, notify=dsn.notify)
