from __future__ import annotations

import copy
import json
import pickle
import re
import smtplib
import ssl
import time

import pytest

from django_smtpauth.smtp import errors
from django_smtpauth.smtp.errors import (
    AuthenticationRefused,
    ConnectError,
    ContentRefused,
    DeliveryInDoubt,
    Disconnected,
    HelloRefused,
    NotSupported,
    ProtocolError,
    RecipientsRefused,
    Refused,
    SenderRefused,
    SMTPError,
    TimedOut,
    TLSError,
    without_addresses,
)
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.transcript import Event

# The tree as callers rely on it: class -> what they already catch.
TWINS: dict[type[SMTPError], set[type[Exception]]] = {
    SMTPError: {smtplib.SMTPException, OSError},
    ConnectError: {smtplib.SMTPConnectError, ConnectionError},
    TLSError: {smtplib.SMTPException, ssl.SSLError},
    TimedOut: {smtplib.SMTPServerDisconnected, TimeoutError},
    Disconnected: {smtplib.SMTPServerDisconnected, ConnectionError},
    ProtocolError: {smtplib.SMTPException},
    NotSupported: {smtplib.SMTPNotSupportedError},
    DeliveryInDoubt: {smtplib.SMTPException},
    Refused: {smtplib.SMTPException},
    HelloRefused: {Refused, smtplib.SMTPHeloError, smtplib.SMTPResponseException},
    AuthenticationRefused: {Refused, smtplib.SMTPAuthenticationError},
    SenderRefused: {Refused, smtplib.SMTPSenderRefused},
    RecipientsRefused: {Refused, smtplib.SMTPRecipientsRefused},
    ContentRefused: {Refused, smtplib.SMTPDataError},
}
CLASSES = list(TWINS)


def subclasses(cls: type[SMTPError]) -> set[type[SMTPError]]:
    return {cls}.union(*(subclasses(sub) for sub in cls.__subclasses__()))


def test_the_tree_is_complete_and_drawn() -> None:
    ours = {cls for cls in subclasses(SMTPError) if cls.__module__ == errors.__name__}

    assert ours == set(TWINS)
    for cls in CLASSES:
        assert re.search(rf"^ .*\b{cls.__name__}\b", errors.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize("cls", CLASSES)
def test_each_class_is_what_callers_already_catch(cls: type[SMTPError]) -> None:
    assert all(issubclass(cls, twin) for twin in TWINS[cls])
    with pytest.raises(smtplib.SMTPException):
        raise cls("x")


def test_doubt_is_no_class_that_retry_rules_name() -> None:
    for cls in (ConnectionError, TimeoutError, smtplib.SMTPServerDisconnected, Refused):
        assert not issubclass(DeliveryInDoubt, cls)


def full(cls: type[SMTPError]) -> SMTPError:
    details = {
        "stage": "MAIL",
        "command": "MAIL FROM:<me@example.com>",
        "reply": Reply(451, ("4.3.0 later, me@example.com",)),
        "transient": True,
        "in_doubt": False,
        "peer": "account club, smtp.example.com:587",
        "cure": "Wait.",
        "reason": "a-word",
        "transcript": (Event(1.0, "S", "MAIL", "451 4.3.0 later"),),
    }
    if cls is SenderRefused:
        details["sender"] = "me@example.com"
    if cls is RecipientsRefused:
        details["recipients"] = {"you@example.org": (550, b"no")}
    return cls("a sentence", **details)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive_pickle(cls: type[SMTPError], protocol: int) -> None:
    for error in (cls(), full(cls)):
        twin = pickle.loads(pickle.dumps(error, protocol))

        assert type(twin) is cls
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
        assert twin.args == error.args
        assert twin.transient == error.transient


@pytest.mark.parametrize("cls", CLASSES)
def test_errors_survive_copy(cls: type[SMTPError]) -> None:
    assert vars(copy.copy(full(cls))) == vars(full(cls))


@pytest.mark.parametrize("cls", CLASSES)
def test_smtplib_s_attributes(cls: type[SMTPError]) -> None:
    error, silent = full(cls), cls("a sentence")

    assert vars(error)["smtp_code"] == 451
    assert vars(error)["smtp_error"] == b"4.3.0 later, me@example.com"
    assert vars(silent)["smtp_code"] == -1
    assert vars(silent)["smtp_error"] == b"a sentence"


def test_who_was_refused() -> None:
    refused = RecipientsRefused(recipients={"a@b": (550, b"no")})

    assert refused.recipients == {"a@b": (550, b"no")}
    assert RecipientsRefused().recipients == {}
    assert SenderRefused(sender="a@b").sender == "a@b"


def test_the_first_line_is_stable() -> None:
    error = AuthenticationRefused(
        stage="AUTH",
        reply=Reply(535, ("5.7.8 Authentication failed", "5.7.8 for me@example.com")),
        peer="account club, smtp.example.com:587",
        cure="Check the password.",
    )

    assert str(error).splitlines() == [
        "AUTH refused: 535 5.7.8 (account club, smtp.example.com:587)",
        "Authentication failed",
        "for <…>",
        "Check the password.",
    ]
    assert error.headline == str(error).splitlines()[0]
    assert repr(error) == (
        "<AuthenticationRefused: AUTH refused: 535 5.7.8 (account club, smtp.example.com:587)>"
    )


def test_the_first_line_without_a_reply() -> None:
    error = TimedOut("no answer", stage="EHLO", peer="mx:25", cure="Wait.")

    assert str(error) == "EHLO failed: no answer (mx:25)\nWait."
    assert str(SMTPError("no answer")) == "failed: no answer"
    assert str(SMTPError("why", reply=Reply(550, ("",)))) == "refused: 550\nwhy"


def test_the_first_line_of_a_doubt() -> None:
    error = DeliveryInDoubt("the connection was lost", stage="CONTENT", peer="mx:25")

    assert str(error) == "CONTENT in doubt: the connection was lost (mx:25)"
    assert error.in_doubt
    assert not error.transient


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no such user me@example.com here", "no such user <…> here"),
        ("<me@example.com>: rejected", "<…>: rejected"),
        ("550 <me>... unknown", "550 <…>... unknown"),
        ("(me@example.com)", "(<…>)"),
        ("user=me+tag@example.com;x", "user=<…>;x".replace("user=<…>", "<…>")),
        ("a@b, c@d", "<…>, <…>"),
        ("=?utf-8?q?a?=@b x'a@b' a@b@c", "<…> <…> <…>"),
        ("mail to a@[192.0.2.1]!", "mail to <…>"),
        ('<"two words"@b.example> no', "<…> no"),
        ('"x> \\"y"@b.example no', "<…> no"),
        ("nothing here", "nothing here"),
    ],
)
def test_addresses_are_masked(text: str, masked: str) -> None:
    assert without_addresses(text) == masked


@pytest.mark.parametrize("piece", ["x", "<", '"', '\\"', "@", '"@', "x@", "x<"])
def test_masking_takes_a_time_that_a_server_can_not_stretch(piece: str) -> None:
    text = piece * (65_536 // len(piece))
    began = time.process_time()
    without_addresses(text)

    # Each start to its end would be thousands of millions of steps: half a minute.
    assert time.process_time() - began < 5


@pytest.mark.parametrize("cls", CLASSES)
def test_no_address_in_what_people_read(cls: type[SMTPError]) -> None:
    error = full(cls)
    shown = [str(error), repr(error), error.headline, json.dumps(error.to_dict())]

    assert not any("@example" in text for text in shown)
    assert "@example" not in str(cls("Bad: me@example.com"))


def test_a_cure_may_name_the_address_that_it_is_about() -> None:
    error = NotSupported("<me@example.com> needs SMTPUTF8", cure="Write me@example.com in ASCII.")
    assert str(error).splitlines() == [
        "failed: <…> needs SMTPUTF8",
        "Write me@example.com in ASCII.",
    ]


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (Refused(reply=Reply(451)), True),
        (Refused(reply=Reply(550)), False),
        (Refused(reply=Reply(550), transient=True), True),
        (ConnectError("x"), True),
        (ConnectError(reply=Reply(554)), False),
        (TimedOut("x"), True),
        (Disconnected("x"), True),
        (TLSError("x"), False),
        (ProtocolError("x"), False),
        (NotSupported("x"), False),
        (DeliveryInDoubt("x"), False),
    ],
)
def test_what_is_worth_a_second_try(error: SMTPError, transient: bool) -> None:
    assert error.transient is transient


def test_errors_as_data() -> None:
    assert json.loads(json.dumps(full(Refused).to_dict())) == {
        "error": "Refused",
        "text": "MAIL refused: 451 4.3.0 (account club, smtp.example.com:587)\n"
        "a sentence\nlater, <…>\nWait.",
        "stage": "MAIL",
        "command": "MAIL FROM:<…>",
        "reply": {"code": 451, "enhanced": "4.3.0"},
        "transient": True,
        "in_doubt": False,
        "reason": "a-word",
    }
    assert SMTPError("x").to_dict()["reply"] is None
    assert Refused(reply=Reply(550)).to_dict()["reply"] == {"code": 550, "enhanced": None}
