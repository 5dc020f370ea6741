"""A check that runs beside the page that shows it.

The page is written while the server is asked, and waits for no more than `BUDGET` and a little,
even where a callable of the site (a vault) never comes back: that one's thread is left alone.
"""

import contextvars
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _

from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.diagnosis.report import Report, StageReport
from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending.accounts import account_of, close_connections
from django_smtpauth.sending.routing import Route, account_route

#: Seconds that a check takes at most, and one of its stages.
BUDGET: Final = 20.0
STAGE_BUDGET: Final = 8.0
#: Seconds that its page waits longer.
GRACE: Final = 2.0


class NeverEnded(Exception):
    """The check did not end in its time."""


@dataclass(frozen=True)
class Check:
    """What is to be checked.

    account: as it is stored, or with the values of a form that nobody has saved.
    recipient: of a test message; empty for none. site: how the message calls this site.
    """

    account: SMTPAccount
    recipient: str = ""
    site: str = ""

    def route(self) -> Route:
        """The way to the account's server. Raises InvalidOption."""
        return account_route(account_of(self.account))

    def plan(self) -> Plan:
        """A message is sent only to a recipient; then the sender's domain is looked at, too."""
        message = self._message() if self.recipient else None
        return Plan(
            message=message,
            sender_dns=message is not None,
            stage_seconds=STAGE_BUDGET,
            total_seconds=BUDGET,
        )

    def _message(self) -> EmailMessage:
        body = _(
            "Somebody sent this from the admin of %(site)s, to see whether the account "
            "“%(account)s” can send mail. It can: there is nothing to do, and no need to answer."
        )
        values = {"site": self.site, "account": str(self.account)}
        return EmailMessage(
            _("Test message from %(site)s") % values,
            f"{body % values}\n",
            self.account.sender or settings.DEFAULT_FROM_EMAIL,
            [self.recipient],
            headers={"Auto-Submitted": "auto-generated"},
        )


def run(check: Check) -> Iterator[StageReport | Report]:
    """Each stage when it has ended, and the report.

    Raises InvalidOption, NeverEnded, and what a callable of the site raises.
    """
    told: queue.SimpleQueue[StageReport | Report | Exception] = queue.SimpleQueue()
    route, plan = check.route(), check.plan()

    def work() -> None:
        try:
            told.put(probe(route, plan, told.put))
        except Exception as error:
            told.put(error)
        finally:
            close_connections()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="smtpauth-check", daemon=True).start()
    ends = time.monotonic() + BUDGET + GRACE
    while True:
        try:
            one = told.get(timeout=max(ends - time.monotonic(), 0))
        except queue.Empty:
            raise NeverEnded from None
        if isinstance(one, Exception):
            raise one
        yield one
        if isinstance(one, Report):
            return
