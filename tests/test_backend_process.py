"""Inside a Django process: logging, handlers that mail, transactions, coroutines, no database."""

import asyncio
import logging

import pytest
from asgiref.sync import sync_to_async
from django.core.mail import send_mail
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponse
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.log import AdminEmailHandler

from django_smtpauth.models import SMTPAccount
from django_smtpauth.smtp import ConnectError, DeliveryInDoubt
from tests.backend_fixtures import (  # noqa: F401
    MAILERS_MODE,
    _fresh_process,
    backend_for,
    default_backend,
    dials,
    mail_settings,
    make_account,
    message,
    needs_legacy,
    people,
    run_site,
    senders,
    smtp_server,
)
from tests.servers.scripted import CLOSE

REFUSED = b"550 5.1.1 <to@example.org> unknown here\r\n"


def send(name="a"):
    return send_mail("Subject", "Body", f"{name}@example.com", ["to@example.org"])


# Logging


def test_one_warning_for_each_failed_message(scripted_server, caplog):
    caplog.set_level(logging.DEBUG)
    server = scripted_server(replies={"RCPT": [REFUSED], "CONTENT:c@example.com": CLOSE})
    messages = [message(name, body="Confidential") for name in "abc"]
    with pytest.raises(OSError):
        backend_for(server).send_messages(messages)
    ours = [record for record in caplog.records if record.name.startswith("django_smtpauth")]
    assert [record.levelname for record in ours] == ["WARNING", "WARNING"]
    refused, doubtful = (record.getMessage() for record in ours)
    where = f"(127.0.0.1:{server.port})"
    assert refused == (
        f"Message {messages[0].smtp_result.message_id} was not sent: "
        f"RCPT refused: 550 5.1.1 {where}"
    )
    assert messages[2].smtp_result.message_id in doubtful
    assert "may or may not have been sent: CONTENT in doubt" in doubtful
    for text in (refused, doubtful):
        assert "example.org" not in text
        assert "example.com" not in text
        assert "Confidential" not in text
    assert not any(record.exc_info for record in ours)


def test_a_successful_message_is_not_logged(scripted_server, caplog):
    caplog.set_level(logging.INFO)
    backend_for(scripted_server()).send_messages([message()])
    assert caplog.records == []


def test_the_log_tells_nothing_of_what_a_visitor_typed(scripted_server, caplog):
    backend = backend_for(scripted_server())
    with pytest.raises(ValueError):
        backend.send_messages([message(subject="typed\nby a visitor")])
    (record,) = caplog.records
    assert record.getMessage() == "Message (not composed) was not sent: ValueError"


def test_a_server_that_is_down_is_logged_for_each_message(scripted_server, caplog):
    server = scripted_server()
    server.close()
    with pytest.raises(ConnectError):
        backend_for(server).send_messages([message(), message()])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


# Handlers that mail


@pytest.fixture
def mailing_log(settings):
    """AdminEmailHandler on the root logger, for every level."""
    settings.ADMINS = people("root@example.org")
    handler = AdminEmailHandler()
    logging.root.addHandler(handler)
    yield handler
    logging.root.removeHandler(handler)


@pytest.mark.django_db
def test_a_log_that_mails_cant_recurse(smtp_server, mailing_log, dials):  # noqa: F811
    smtp_server().close()
    messages = [message("a"), message("b")]
    with pytest.raises(ConnectError) as caught:
        default_backend().send_messages(messages)
    # One for the batch, and one for each of the two records that the handler mails.
    assert len(dials) == 3
    assert caught.value is messages[0].smtp_result.error
    assert [one.smtp_result.sent for one in messages] == [False, False]


@pytest.mark.django_db
def test_a_log_that_mails_tells_the_staff(smtp_server, mailing_log):  # noqa: F811
    server = smtp_server(replies={"MAIL:a@example.com": b"550 5.7.1 Not you\r\n"})
    one = message("a")
    with pytest.raises(OSError):
        default_backend().send_messages([one, message("b")])
    assert sorted(senders(server)) == ["b", "root"]
    notice = next(m for m in server.accepted if m.sender.startswith("root@"))
    assert b"was not sent" in notice.content
    assert notice.recipients == ["root@example.org"]


@pytest.mark.django_db
def test_a_handler_that_raises_changes_no_outcome(smtp_server):  # noqa: F811
    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError("the handler is broken")

    handler = Broken()
    logging.root.addHandler(handler)
    try:
        server = smtp_server(replies={"MAIL:a@example.com": b"550 5.7.1 Not you\r\n"})
        messages = [message("a"), message("b")]
        with pytest.raises(OSError, match=r"550 5\.7\.1"):
            default_backend().send_messages(messages)
    finally:
        logging.root.removeHandler(handler)
    assert senders(server) == ["b"]


@needs_legacy
@pytest.mark.django_db
def test_a_log_that_mails_while_the_database_is_down(
    smtp_server,  # noqa: F811
    mailing_log,
    stopped_database,
):
    server = smtp_server()
    assert send() == 1
    # What the accounts' own warning says is mailed, too, without another look at the database.
    assert sorted(senders(server)) == ["a", "root"]


# The database


@pytest.fixture
def stopped_database(monkeypatch):
    """Every query fails, on every connection."""

    def refuse(self, *args, **kwargs):
        raise OperationalError("could not connect to server: Connection refused")

    monkeypatch.setattr(BaseDatabaseWrapper, "_cursor", refuse)


@pytest.mark.django_db
def test_with_the_database_stopped_the_settings_are_used(
    smtp_server,  # noqa: F811
    stopped_database,
    caplog,
):
    server = smtp_server()
    assert send() == send() == 1
    assert len(server.accepted) == 2
    if not MAILERS_MODE:  # with a host of its own, a mailer asks no database
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert "could not be read" in record.getMessage()


@pytest.mark.django_db
def test_with_the_database_stopped_the_known_accounts_are_used(
    scripted_server,
    make_account,  # noqa: F811
    mail_settings,  # noqa: F811
    settings,
    monkeypatch,
):
    server = scripted_server(users={"club": "secret"})
    make_account("club", server, username="club", password="secret", is_default=True)
    mail_settings()
    settings.SMTPAUTH = {**settings.SMTPAUTH, "ACCOUNT_REFRESH": 0}
    assert send() == 1

    def refuse(self, *args, **kwargs):
        raise OperationalError("gone")

    monkeypatch.setattr(BaseDatabaseWrapper, "_cursor", refuse)
    assert send("b") == 1
    assert senders(server) == ["a", "b"]
    assert all(one.authenticated for one in server.connections)


@pytest.mark.django_db
def test_a_send_costs_no_query(scripted_server, make_account, mail_settings):  # noqa: F811
    server = scripted_server()
    make_account("club", server, is_default=True)
    mail_settings()
    send()
    with CaptureQueriesContext(connection) as queries:
        assert send() == 1
    assert queries.captured_queries == []


@pytest.mark.django_db
def test_in_an_atomic_block_after_an_integrity_error(
    scripted_server,
    make_account,  # noqa: F811
    mail_settings,  # noqa: F811
):
    server = scripted_server()
    make_account("club", server, is_default=True)
    mail_settings()
    send()
    with transaction.atomic():
        with pytest.raises(IntegrityError):
            make_account("club", server)
        with pytest.raises(DatabaseError):
            SMTPAccount.objects.count()
        assert send("b") == 1
        transaction.set_rollback(True)
    assert senders(server) == ["a", "b"]


# In a process of its own, with a database in a file


def test_the_caller_s_transaction_is_left_alone(run_site):  # noqa: F811
    run_site(
        """
        from django.db import IntegrityError

        with transaction.atomic(), CaptureQueriesContext(connection) as queries:
            try:
                account(slug="club").save()
            except IntegrityError:
                pass
            before = len(queries.captured_queries)
            assert send("a") == 1
            assert send("b") == 1
            assert len(queries.captured_queries) == before
            transaction.set_rollback(True)
        assert connection.connection is not None
        """
    )
    assert senders(run_site.server) == ["a", "b"]
    assert all(one.authenticated for one in run_site.server.connections)


def test_a_coroutine_sends_over_an_account(run_site):  # noqa: F811
    run_site(
        """
        import asyncio

        async def main():
            assert send("a") == 1

        asyncio.run(main())
        """
    )
    assert senders(run_site.server) == ["a"]
    assert run_site.server.connections[0].authenticated


def test_a_database_that_goes_away_stops_no_mail(run_site):  # noqa: F811
    done = run_site(
        """
        assert send("a") == 1
        connection.close()
        with open(settings.DATABASES["default"]["NAME"], "wb") as file:
            file.write(b"no database any more" * 1000)
        assert send("b") == 1
        assert send("c") == 1
        """
    )
    assert senders(run_site.server) == ["a", "b", "c"]
    assert all(one.authenticated for one in run_site.server.connections)
    assert done.stderr.count("could not be read") == 1


def test_an_account_is_used_once_it_is_committed(run_site):  # noqa: F811
    run_site(
        """
        from django.core.mail import EmailMessage

        def used():
            message = EmailMessage("S", "B", "a@example.com", ["to@example.org"])
            message.send()
            return message.smtp_result.attempts[0].account

        def other_is_default():
            SMTPAccount.objects.filter(slug="club").delete()
            account(slug="other", is_default=True).save()

        with transaction.atomic():
            other_is_default()
            # Nobody but this transaction sees the change yet.
            assert used() == "club"
            transaction.set_rollback(True)
        assert used() == "club"
        with transaction.atomic():
            other_is_default()
        assert used() == "other"
        """
    )


# Coroutines


@pytest.mark.django_db
def test_send_mail_in_a_coroutine(smtp_server):  # noqa: F811
    server = smtp_server()

    async def main():
        return send("direct"), await sync_to_async(send)("threaded")

    assert asyncio.run(main()) == (1, 1)
    assert senders(server) == ["direct", "threaded"]


async def view(request):
    return HttpResponse(str(send("view")))


urlpatterns = [path("send/", view)]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_send_mail_in_an_async_view(smtp_server):  # noqa: F811
    server = smtp_server()

    async def main():
        return await AsyncClient().get("/send/")

    assert asyncio.run(main()).content == b"1"
    assert senders(server) == ["view"]


def test_doubt_in_a_coroutine_is_raised_as_anywhere(smtp_server):  # noqa: F811
    smtp_server(replies={"CONTENT": CLOSE})

    async def main():
        send()

    with pytest.raises(DeliveryInDoubt):
        asyncio.run(main())
