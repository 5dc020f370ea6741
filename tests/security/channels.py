"""Every way out of a process: what was rendered, logged, stored, raised, printed, or mailed.

    with Channels() as channels:
        channels.page(client.get(...))      a response, as it was sent
        channels.run("smtptest", "--account", "club")
        channels.catch(function)            gives its result; what it raises is taken apart
        channels.value(result)              as text, pickled, in containers, by its attributes
    channels.text()                         all of it, also what stands in the database by then

While it is open, all loggers log everything, SQL too, and errors are mailed to administrators.
"""

from __future__ import annotations

import io
import logging
import pickle
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponseBase
from django.test import RequestFactory
from django.utils.log import AdminEmailHandler
from django.views.debug import ExceptionReporter, technical_500_response

from tests.leaks import all_within, outside_tests, shown_of


class Channels:
    def __init__(self) -> None:
        # Each text once, in the order in which they came.
        self._shown: dict[str, dict[str, None]] = defaultdict(dict)
        self._stack = ExitStack()

    def __enter__(self) -> Channels:
        self._warned = self._stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        for handler in (_Records(self), _Mails(self)):
            self._log_to(handler)
        before, connection.force_debug_cursor = connection.force_debug_cursor, True
        self._stack.callback(setattr, connection, "force_debug_cursor", before)
        return self

    def __exit__(self, *_: object) -> None:
        self.add("queries", *map(str, connection.queries))
        self.add("warnings", *(f"{one.message!r} {one.source!r}" for one in self._warned))
        self._stack.close()
        self._read_what_is_stored()

    def _log_to(self, handler: logging.Handler) -> None:
        for name in ("", "django", "django.db.backends", "django_smtpauth"):
            logger = logging.getLogger(name)
            self._stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.DEBUG)
        logging.getLogger().addHandler(handler)
        self._stack.callback(logging.getLogger().removeHandler, handler)

    def add(self, channel: str, *texts: str) -> None:
        self._shown[channel] |= dict.fromkeys(texts)

    def names(self) -> set[str]:
        """The channels through which something came."""
        return {name for name, texts in self._shown.items() if any(texts)}

    def text(self) -> str:
        return "\n".join(f"{name}:\n" + "\n".join(t) for name, t in self._shown.items())

    # What is done

    def page(self, response: HttpResponseBase) -> Any:
        self.add("pages", response.getvalue().decode(), str(response.headers))
        self.add("cookies", response.cookies.output())
        return response

    def run(self, *words: Any, **options: Any) -> None:
        """A command; that it fails is no failure here."""
        out = io.StringIO()
        self.catch(lambda: call_command(*words, stdout=out, stderr=out, **options))
        self.add("commands", out.getvalue())

    def catch(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (Exception, SystemExit) as error:
            self.raised(error)
            return None

    def raised(self, error: BaseException) -> None:
        """An exception as trackers, Django's pages and queues show it."""
        outside_tests(error)
        triple = (type(error), error, error.__traceback__)
        with _without_logging():
            page = technical_500_response(RequestFactory().get("/"), *triple)
            mailed = ExceptionReporter(None, *triple).get_traceback_text()
        self.add("debug pages", page.content.decode(), mailed)
        self.add("exceptions", all_within(error), shown_of(error))

    def value(self, value: Any) -> None:
        self.add("values", shown_of(value))

    # What stands there afterwards

    def _read_what_is_stored(self) -> None:
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                self.add("tables", *map(repr, cursor.fetchall()))
        self.add("sessions", *(repr(one.get_decoded()) for one in Session.objects.all()))
        for cache in caches.all(initialized_only=True):
            self.add(
                "caches", *(repr(pickle.loads(one)) for one in vars(cache)["_cache"].values())
            )


class _Records(logging.Handler):
    """Log records as a formatter, a queue and a tracker see them."""

    def __init__(self, channels: Channels) -> None:
        super().__init__(logging.DEBUG)
        self._channels = channels

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "django.template":
            # It logs whole contexts, over and over.
            self._channels.add("log", *map(repr, record.args or ()))
            return
        arguments = record.args.values() if isinstance(record.args, dict) else record.args or ()
        texts = [record.getMessage(), repr(vars(record)), *map(repr, arguments)]
        if record.exc_info and record.exc_info[1]:
            texts.append(all_within(record.exc_info[1]))
        self._channels.add("log", *texts)


@contextmanager
def _without_logging() -> Iterator[None]:
    """While our own pages are made, templates log what is on them."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Mails(AdminEmailHandler):
    """The mails about errors that Django sends to ADMINS."""

    def __init__(self, channels: Channels) -> None:
        super().__init__(include_html=True)
        self.setLevel(logging.ERROR)
        self._channels = channels

    def emit(self, record: logging.LogRecord) -> None:
        with _without_logging():
            super().emit(record)

    def send_mail(self, subject: str, message: str, *args: Any, **kwargs: Any) -> None:
        self._channels.add("mails", subject, message, str(kwargs.get("html_message")))
