"""For the tests of sites that send mail.

    from django_smtpauth.testing import recording_mail, smtp_outcomes

    with recording_mail(), smtp_outcomes(refuse={"bad@example.org": "550 5.1.1 No such user"}):
        ...

`recording_mail()` puts the `RecordingBackend` in place of every mailer, for Django's test set-up
has put locmem there. Accepted messages are in `django.core.mail.outbox`.

`pytest_plugins = ["django_smtpauth.testing.pytest_plugin"]` gives fixtures for it, and a real
SMTP server in the process (`testing.server`, which needs aiosmtpd).
"""

from __future__ import annotations

from .outcomes import smtp_outcomes
from .overriding import recording_mail
from .recording import RecordingBackend

__all__ = ["RecordingBackend", "recording_mail", "smtp_outcomes"]
