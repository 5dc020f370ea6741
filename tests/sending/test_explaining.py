"""Cause and cure hang on what a send raises, and stand in the log."""

from __future__ import annotations

import logging
import pickle
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import send_mail

from django_smtpauth.backends import EmailBackend
from django_smtpauth.diagnosis.explain import explain_error
from django_smtpauth.diagnosis.finding import Finding
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.sending import explaining
from django_smtpauth.sending.explaining import explain_failure, finding_of
from django_smtpauth.smtp.errors import SMTPError
from tests.backend_fixtures import (  # noqa: F401
    AccountFactory,
    MailSettings,
    _fresh_process,
    default_backend,
    mail_settings,
    make_account,
    message,
    smtp_server,
)
from tests.servers.fixtures import ServerFactory

NOT_OWNED = b"553 5.7.1 <jo@example.org>: Sender address rejected: not owned by user club\r\n"


@pytest.fixture
def explainer() -> Iterator[Callable[..., None]]:
    yield explaining.register
    explaining.register(explain_error)


def failing(error: type[Exception] = SMTPError, **options: Any) -> Any:
    with pytest.raises(error) as caught:
        send_mail("Hello", "Text", "jo@example.org", ["you@example.net"], **options)
    return caught.value


@pytest.mark.django_db
def test_the_finding_of_a_failed_send(
    smtp_server: Callable[..., Any],  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    smtp_server(replies={"MAIL": NOT_OWNED})
    error = failing()
    assert isinstance(error.finding, Finding)
    assert error.finding.rule == "mail.not-owned"
    first, second, *rest = str(error).splitlines()
    assert first.startswith("MAIL refused: 553 5.7.1 (")
    assert second.startswith("The log-in may not send as this From. Send from an address")
    assert "Sender address rejected" in "\n".join(rest)
    assert "@" not in str(error)
    assert error.to_dict()["text"] == str(error)
    (record,) = caplog.records
    assert record.smtp_rule == "mail.not-owned"  # type: ignore[attr-defined]
    assert "may not send as" not in record.getMessage()


@pytest.mark.django_db
def test_it_survives_pickle(smtp_server: Callable[..., Any]) -> None:  # noqa: F811
    smtp_server(replies={"MAIL": NOT_OWNED})
    error = failing()
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.finding.to_dict() == error.finding.to_dict()


@pytest.mark.django_db
def test_it_knows_the_account(
    scripted_server: ServerFactory,
    make_account: AccountFactory,  # noqa: F811
    mail_settings: MailSettings,  # noqa: F811
) -> None:
    mail_settings(account="club")
    make_account("club", scripted_server(replies={"MAIL": NOT_OWNED}))
    assert "of the account club" in str(failing().finding)


@pytest.mark.django_db
def test_opening_is_explained_as_well(
    smtp_server: Callable[..., Any],  # noqa: F811
) -> None:
    server = smtp_server(replies={"EHLO": b"501 Syntactically invalid EHLO argument(s)\r\n"})
    backend = EmailBackend(host=server.host, port=server.port, security="starttls")
    with pytest.raises(SMTPError) as caught:
        backend.open()
    finding = finding_of(caught.value)
    assert finding is not None
    assert finding.rule == "ehlo.name-refused"


@pytest.mark.django_db
def test_settings_without_a_server(mail_settings: MailSettings) -> None:  # noqa: F811
    mail_settings(host="")
    assert failing(ImproperlyConfigured).finding.rule == "site.no-server"


def test_each_message_of_a_server_that_is_down_has_the_same_finding(
    mail_settings: MailSettings,  # noqa: F811
) -> None:
    messages = [message(), message()]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        mail_settings(host="127.0.0.1", port=nobody.getsockname()[1])
        with pytest.raises(SMTPError):
            default_backend().send_messages(messages)
    rules = {one.smtp_result.error.finding.rule for one in messages}  # type: ignore[attr-defined]
    assert rules == {"connect.nobody-here"}


def test_without_an_explainer_errors_say_what_the_engine_says(
    explainer: Callable[..., None],
) -> None:
    explainer(None)
    error = SMTPError("It failed.", stage="AUTH")
    explain_failure(error)
    assert finding_of(error) is None
    assert str(error) == "AUTH failed: It failed."


def test_an_explainer_that_fails_hides_nothing(
    explainer: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(error: Exception, route: object) -> None:
        raise RuntimeError("broken")

    explainer(broken)
    error = SMTPError("It failed.")
    with caplog.at_level(logging.DEBUG):
        explain_failure(error)
    assert finding_of(error) is None
    assert "could not be explained" in caplog.text


def test_the_first_explanation_stays() -> None:
    error = SecretUnreadable("It does not open.", reason="mismatch")
    explain_failure(error)
    first = finding_of(error)
    explain_failure(error)
    assert first is not None
    assert finding_of(error) is first
    assert first.rule == "secret.mismatch"
    assert pickle.loads(pickle.dumps(error)).finding.rule == "secret.mismatch"


def test_a_mistake_of_the_program_has_none() -> None:
    error = ValueError("no address")
    explain_failure(error)
    assert finding_of(error) is None
