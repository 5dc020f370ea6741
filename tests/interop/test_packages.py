"""Queues of other people that send through our backend: what they do with each kind of failure.

Each queue is asked to send one message that goes well, one whose recipient is put off at first,
one to a server that is down, and one whose fate is unknown. None of the three queues knows the
last kind: they keep the message for another try like any other failure. How to leave it out is
shown for each of them.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.db.backends.signals import connection_created
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from django_smtpauth.smtp import DeliveryInDoubt
from tests.installing import installed
from tests.interop.conftest import MessageFactory
from tests.interop.postfix import comparable, own_bytes
from tests.requirements import require_package
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import CLOSE, ScriptedServer

OURS = "django_smtpauth.backends.EmailBackend"
YOU = "you@example.org"

# Django 6.1 deprecates what the packages do.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:get_connection\(\) is deprecated"),
    pytest.mark.filterwarnings("ignore:The EmailMessage.connection attribute is deprecated"),
]

Site = Callable[..., ScriptedServer]


@pytest.fixture
def site(scripted_server: ServerFactory, certificates: Certificates) -> Iterator[Site]:
    """Starts a server with STARTTLS and AUTH and points the site's settings to it."""
    overrides: list[override_settings] = []

    def start(**behaviour: Any) -> ScriptedServer:
        server = scripted_server(
            users={"club": "secret"}, ssl_context=certificates.server(), **behaviour
        )
        override = override_settings(
            EMAIL_HOST="localhost",
            EMAIL_PORT=server.port,
            EMAIL_HOST_USER="club",
            EMAIL_HOST_PASSWORD="secret",
            EMAIL_USE_TLS=True,
            SMTPAUTH={"DEFAULTS": {"ca_file": certificates.ca_file}},
        )
        override.enable()
        overrides.append(override)
        return server

    yield start
    for override in reversed(overrides):
        override.disable()


@pytest.fixture(scope="module")
def mailer_models(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[ModuleType]:
    require_package("mailer")
    with installed("mailer", django_db_blocker) as models:
        yield models


@pytest.fixture(scope="module")
def post_office_models(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[ModuleType]:
    require_package("post_office")
    with installed("post_office", django_db_blocker) as models:
        yield models


def rich(new_message: MessageFactory, to: str = YOU) -> EmailMultiAlternatives:
    message = new_message(to, "Grüße\n.\nEnde\n", from_email="me@example.org")
    message.attach_alternative("<p>Grüße</p>\n", "text/html")
    message.attach("octets.bin", bytes(range(256)), "application/octet-stream")
    return message


def received(server: ScriptedServer) -> list[bytes]:
    """Every message that came in whole, accepted or not, comparable."""
    return [comparable(m.content.replace(b"\r\n", b"\n")) for m in server.messages]


# --- django-mailer


@pytest.fixture
def mailer(mailer_models: ModuleType, db: None) -> Iterator[ModuleType]:
    with override_settings(
        EMAIL_BACKEND="mailer.backend.DbBackend",
        MAILER_EMAIL_BACKEND=OURS,
        MAILER_USE_FILE_LOCK=False,
    ):
        yield mailer_models


def send_mailer_queue() -> None:
    importlib.import_module("mailer.engine").send_all()


def test_mailer_sends(mailer: ModuleType, site: Site, new_message: MessageFactory) -> None:
    server, message = site(), rich(new_message)
    message.send()
    assert server.messages == []

    send_mailer_queue()

    assert received(server) == [own_bytes(message)]
    assert not mailer.Message.objects.exists()
    # It keeps the message as sent, with what our backend has told of it.
    log = mailer.MessageLog.objects.get()
    assert log.result == mailer.RESULT_SUCCESS
    assert log.email.smtp_result.accepted == [YOU]


def test_mailer_defers_what_was_refused(
    mailer: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server = site(replies={f"RCPT:{YOU}": [b"450 4.2.0 later\r\n"]})
    messages = [new_message(YOU), new_message("other@example.org")]
    for message in messages:
        message.send()

    send_mailer_queue()

    assert received(server) == [own_bytes(messages[1])]
    assert mailer.Message.objects.deferred().count() == 1
    log = mailer.MessageLog.objects.get(result=mailer.RESULT_FAILURE)
    assert log.log_message.startswith("RCPT refused: 450 4.2.0")

    mailer.Message.objects.retry_deferred()
    send_mailer_queue()

    assert received(server)[1:] == [own_bytes(messages[0])]
    assert not mailer.Message.objects.exists()


def test_mailer_defers_while_the_server_is_down(
    mailer: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    site().close()
    for _ in range(2):
        new_message(YOU).send()

    send_mailer_queue()

    assert mailer.Message.objects.deferred().count() == 2
    failures = mailer.MessageLog.objects.filter(result=mailer.RESULT_FAILURE)
    assert {log.log_message.partition(":")[0] for log in failures} == {"CONNECT failed"}


def test_mailer_defers_what_is_in_doubt_and_would_send_it_twice(
    mailer: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server, message = site(replies={"CONTENT": [CLOSE]}), new_message(YOU)
    message.send()

    send_mailer_queue()

    assert mailer.MessageLog.objects.get().log_message.startswith("CONTENT in doubt")
    assert mailer.Message.objects.deferred().count() == 1

    mailer.Message.objects.retry_deferred()
    send_mailer_queue()

    assert received(server) == [own_bytes(message)] * 2


def leave_doubt_out(mail_connection: object, message: Any, error: Exception) -> object:
    """A MAILER_ERROR_HANDLER: what may have been sent leaves the queue, the log keeps it."""
    engine = importlib.import_module("mailer.engine")
    handled = engine.handle_delivery_exception(mail_connection, message, error)
    if isinstance(error, DeliveryInDoubt):
        message.delete()
    return handled


def test_mailer_can_leave_out_what_is_in_doubt(
    mailer: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server = site(
        replies={"CONTENT": [CLOSE], "RCPT:nobody@example.org": b"550 5.1.1 unknown\r\n"}
    )
    doubtful, refused = new_message(YOU), new_message("nobody@example.org")
    for message in (doubtful, refused):
        message.send()

    with override_settings(MAILER_ERROR_HANDLER=f"{__name__}.leave_doubt_out"):
        send_mailer_queue()
        mailer.Message.objects.retry_deferred()
        send_mailer_queue()

    assert received(server) == [own_bytes(doubtful)]
    assert mailer.Message.objects.get().to_addresses == ["nobody@example.org"]


# --- django-post_office


@pytest.fixture
def post_office(post_office_models: ModuleType, transactional_db: None) -> Iterator[ModuleType]:
    with (
        closed_connections(),
        override_settings(
            EMAIL_BACKEND="post_office.EmailBackend",
            POST_OFFICE={
                "BACKENDS": {"default": OURS},
                "MAX_RETRIES": 3,
                "RETRY_INTERVAL": datetime.timedelta(0),
            },
        ),
    ):
        yield post_office_models


@contextlib.contextmanager
def closed_connections() -> Iterator[None]:
    """Closes what its threads open: Django keeps connections to SQLite in memory for ever."""
    opened: list[Any] = []

    def note(connection: Any, **_: object) -> None:
        opened.append(connection.connection)

    connection_created.connect(note)
    try:
        yield
    finally:
        connection_created.disconnect(note)
        for raw in opened:
            raw.close()


def send_post_office_queue() -> tuple[int, int, int]:
    """Counts of sent, failed and requeued messages."""
    counts: tuple[int, int, int] = importlib.import_module("post_office.mail").send_queued()
    return counts


def statuses(post_office: ModuleType) -> list[int]:
    return list(post_office.Email.objects.order_by("id").values_list("status", flat=True))


def test_post_office_sends(
    post_office: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server, messages = site(), [new_message(YOU, f"Number {n}\n") for n in range(12)]
    for message in messages:
        message.send()
    assert server.messages == []

    assert send_post_office_queue() == (12, 0, 0)

    assert sorted(received(server)) == sorted(own_bytes(message) for message in messages)
    # A connection for each of its five threads.
    assert len(server.connections) <= 5


def test_post_office_keeps_alternative_and_attachment(
    post_office: ModuleType, site: Site, new_message: MessageFactory, tmp_path: object
) -> None:
    server, message = site(), rich(new_message)

    with override_settings(MEDIA_ROOT=tmp_path):
        message.send()
        assert send_post_office_queue() == (1, 0, 0)

    assert received(server) == [own_bytes(message)]


def test_post_office_requeues_what_was_refused(
    post_office: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server = site(replies={f"RCPT:{YOU}": [b"450 4.2.0 later\r\n"]})
    message = new_message(YOU)
    message.send()

    assert send_post_office_queue() == (0, 0, 1)

    log = post_office.Log.objects.get()
    assert log.exception_type == "RecipientsRefused"
    assert log.message.startswith("RCPT refused: 450 4.2.0")
    assert send_post_office_queue() == (1, 0, 0)
    assert received(server) == [own_bytes(message)]


def test_post_office_requeues_while_the_server_is_down(
    post_office: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    site().close()
    new_message(YOU).send()

    assert send_post_office_queue() == (0, 0, 1)

    assert post_office.Log.objects.get().exception_type == "ConnectError"


def test_post_office_requeues_what_is_in_doubt_and_sends_it_twice(
    post_office: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server, message = site(replies={"CONTENT": [CLOSE]}), new_message(YOU)
    message.send()

    assert send_post_office_queue() == (0, 0, 1)

    assert post_office.Log.objects.get().exception_type == "DeliveryInDoubt"
    assert send_post_office_queue() == (1, 0, 0)
    assert received(server) == [own_bytes(message)] * 2


def test_post_office_can_leave_out_what_is_in_doubt(
    post_office: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server, message = site(replies={"CONTENT": [CLOSE]}), new_message(YOU)
    message.send()
    send_post_office_queue()

    # Before each run, in the same job:
    post_office.Email.objects.filter(
        status=post_office.STATUS.requeued, logs__exception_type="DeliveryInDoubt"
    ).update(status=post_office.STATUS.failed)

    assert send_post_office_queue() == (0, 0, 0)
    assert statuses(post_office) == [post_office.STATUS.failed]
    assert received(server) == [own_bytes(message)]


# --- django-celery-email-reboot

#: What the queue asked to be tried again: arguments of the task, and why.
retries: list[tuple[Any, Exception]] = []


@pytest.fixture(scope="module")
def celery_tasks() -> Iterator[ModuleType]:
    """A Celery app that runs tasks at once, and the task of the e-mail backend.

    Such an app does not come back to a retry that is asked for without raising, so the task's
    base class notes it.
    """
    celery = require_package("celery")
    require_package("djcelery_email")

    class RetryingTask(celery.Task):  # type: ignore[name-defined, misc]
        #: Errors after which there is no other try.
        final: tuple[type[Exception], ...] = ()

        def retry(self, args: Any = None, *rest: Any, exc: Any = None, **named: Any) -> Any:
            if isinstance(exc, self.final):
                return None
            retries.append((args, exc))
            return super().retry(args, *rest, exc=exc, **named)

    app = celery.Celery("site", broker="memory://", set_as_current=True)
    app.conf.task_always_eager = True
    with override_settings(
        CELERY_EMAIL_BACKEND=OURS,
        CELERY_EMAIL_CHUNK_SIZE=10,
        CELERY_EMAIL_MESSAGE_CLASS="django.core.mail.EmailMessage",
        CELERY_EMAIL_MESSAGE_EXTRA_ATTRIBUTES=None,
        CELERY_EMAIL_MULTI_ALTERNATIVES_CLASS="django.core.mail.EmailMultiAlternatives",
        CELERY_EMAIL_TASK_CONFIG={"base": RetryingTask},
    ):
        yield importlib.import_module("djcelery_email.tasks")


@pytest.fixture
def celery_email(celery_tasks: ModuleType) -> Iterator[ModuleType]:
    retries.clear()
    with override_settings(EMAIL_BACKEND="djcelery_email.backends.CeleryEmailBackend"):
        yield celery_tasks


def take_up_retries(tasks: ModuleType) -> None:
    """What a worker would do when the time has come."""
    asked, retries[:] = list(retries), []
    for arguments, _ in asked:
        tasks.send_emails.apply(arguments, retries=1)


def test_celery_sends(celery_email: ModuleType, site: Site, new_message: MessageFactory) -> None:
    server, message = site(), rich(new_message)

    message.send()

    assert received(server) == [own_bytes(message)]
    assert retries == []


def test_celery_tries_again_what_was_refused(
    celery_email: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server = site(replies={f"RCPT:{YOU}": [b"450 4.2.0 later\r\n"]})
    message = new_message(YOU)

    message.send()

    assert [str(error).partition("\n")[0] for _, error in retries] == [
        f"RCPT refused: 450 4.2.0 (localhost:{server.port})"
    ]
    take_up_retries(celery_email)
    assert received(server) == [own_bytes(message)]
    assert retries == []


def test_celery_tries_again_while_the_server_is_down(
    celery_email: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    site().close()

    new_message(YOU).send()

    [(_, error)] = retries
    assert isinstance(error, ConnectionError)


def test_celery_tries_again_what_is_in_doubt_and_sends_it_twice(
    celery_email: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    server, message = site(replies={"CONTENT": [CLOSE]}), new_message(YOU)

    message.send()
    take_up_retries(celery_email)

    assert received(server) == [own_bytes(message)] * 2


def test_celery_can_leave_out_what_is_in_doubt(
    celery_email: ModuleType,
    site: Site,
    new_message: MessageFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(celery_email.send_emails, "final", (DeliveryInDoubt,))
    server = site(replies={"CONTENT": [CLOSE], "RCPT:later@example.org": [b"450 4.2.0 later\r\n"]})
    doubtful, refused = new_message(YOU), new_message("later@example.org")

    doubtful.send()
    refused.send()
    take_up_retries(celery_email)

    assert received(server) == [own_bytes(doubtful), own_bytes(refused)]


def test_a_celery_task_of_the_site(
    celery_tasks: ModuleType, site: Site, new_message: MessageFactory
) -> None:
    """Two lines are enough where the site has a task of its own."""
    celery = require_package("celery")
    messages = {address: new_message(address) for address in (YOU, "later@example.org")}

    @celery.shared_task(
        autoretry_for=(OSError,), dont_autoretry_for=(DeliveryInDoubt,), retry_backoff=True
    )
    def send(address: str) -> None:
        messages[address].send()

    server = site(replies={"CONTENT": [CLOSE], "RCPT:later@example.org": [b"450 4.2.0 later\r\n"]})
    with override_settings(EMAIL_BACKEND=OURS):
        doubtful, put_off = send.delay(YOU), send.delay("later@example.org")

    assert isinstance(doubtful.result, DeliveryInDoubt)
    assert put_off.successful()
    assert received(server) == [own_bytes(message) for message in messages.values()]
