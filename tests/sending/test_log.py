"""One warning for each failure, also when the log itself is sent by mail."""

import logging
import threading

import pytest

from django_smtpauth.sending.log import inform, logger, warn


class Handler(logging.Handler):
    """Calls a function for each record."""

    def __init__(self, react):
        super().__init__()
        self.react = react
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())
        self.react(record)


@pytest.fixture
def handle():
    added = []

    def add(react=lambda record: None):
        handler = Handler(react)
        logger.addHandler(handler)
        added.append(handler)
        return handler

    yield add
    for handler in added:
        logger.removeHandler(handler)


def test_it_warns(handle, caplog):
    handler = handle()
    warn("Message %s was not sent", "<1@example.com>")
    assert handler.texts == ["Message <1@example.com> was not sent"]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("django_smtpauth", "WARNING")


def test_it_informs(caplog):
    caplog.set_level(logging.INFO, logger.name)
    inform("All %s is redirected", "mail")
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname) == ("All mail is redirected", "INFO")


def test_what_the_handler_sends_is_not_logged(handle):
    handler = handle(lambda record: warn("the handler's own mail failed"))
    warn("first")
    warn("second")
    assert handler.texts == ["first", "second"]


def test_a_handler_that_raises_is_ignored(handle):
    def fail(record):
        raise RuntimeError("the handler is broken")

    handler = handle(fail)
    warn("first")
    warn("second")
    assert handler.texts == ["first", "second"]


def test_an_interrupt_in_a_handler_is_not_ignored(handle):
    def interrupt(record):
        raise KeyboardInterrupt

    handler = handle(interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            warn("text")
    assert len(handler.texts) == 2


def test_other_threads_log_meanwhile(handle):
    def warn_elsewhere(record):
        if record.getMessage() == "here":
            thread = threading.Thread(target=warn, args=("elsewhere",))
            thread.start()
            handler.release()
            thread.join()
            handler.acquire()

    handler = handle(warn_elsewhere)
    warn("here")
    assert handler.texts == ["here", "elsewhere"]
