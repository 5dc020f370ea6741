"""Messages that a server in memory can tell apart: by the number in the sender's address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django_smtpauth.smtp.content import Content
from django_smtpauth.smtp.parameters import RecipientOptions, SenderOptions
from django_smtpauth.smtp.transaction import Envelope, Recipient, Transaction

BODIES = (b"text\r\n", b"", b".\r\n..\r\n.x\r\n", b"bare\nends\rhere\r\n", b"8-bit \xe4\r\n")
#: Octets of line after line: more than one block, so more than one chunk and one write.
LARGE = (b"." + b"x" * 60 + b"\r\n") * 1_100


@dataclass(frozen=True)
class Letter:
    """What is to be sent: choices only, so that hypothesis can draw and show it.

    domains: the domain of each recipient, by number, again and again for each of the crowd.
    all_or_none, dsn: as in the envelope.
    measured: whether its size is known beforehand. ended: whether its last line has a line end.
    """

    domains: tuple[int, ...] = (0,)
    crowd: int = 1
    body: int = 0
    large: bool = False
    measured: bool = True
    ended: bool = True
    all_or_none: bool = False
    dsn: bool = False

    def octets(self, number: int) -> bytes:
        body = BODIES[self.body] + (LARGE if self.large else b"")
        return body + tail(number) + (b"\r\n" if self.ended else b"")

    def arrives_as(self, number: int) -> bytes:
        """The octets that the server must end up with."""
        text = re.sub(rb"\r\n|\r|\n", b"\r\n", self.octets(number))
        return text if self.ended else text + b"\r\n"

    @property
    def eight_bit(self) -> bool:
        return b"\xe4" in BODIES[self.body]

    def transaction(self, number: int) -> Transaction:
        notify = RecipientOptions(notify=("FAILURE",)) if self.dsn else RecipientOptions()
        recipients = tuple(
            Recipient(f"r{index}@d{domain}.test", notify)
            for index, domain in enumerate(self.domains * self.crowd)
        )
        envelope = Envelope(
            sender_of(number),
            recipients,
            options=SenderOptions(envid=f"e{number}") if self.dsn else SenderOptions(),
            all_or_none=self.all_or_none,
        )
        content = Content(
            lambda: (self.octets(number),),
            len(self.arrives_as(number)) if self.measured else None,
            self.eight_bit,
        )
        return Transaction(envelope, content)


def sender_of(number: int) -> str:
    return f"m{number}@x.test"


def tail(number: int) -> bytes:
    """How the content of this message ends, and no other."""
    return b"end-of-m%d" % number
