"""Credentials that a server refused: what is remembered, for how long, and who is asked anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from django_smtpauth.smtp import Credentials, connect, connection
from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported, SMTPError
from django_smtpauth.smtp.refusals import MAX_ENTRIES, REMEMBERED, Refusals, is_final
from django_smtpauth.smtp.replies import Reply
from tests.leaks import shown_by_trackers
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import ScriptedServer
from tests.smtp.network import endpoint as network_endpoint
from tests.smtp.openings import (
    GREETING,
    SECRET,
    Opening,
    Turn,
    b64,
    endpoint,
    forms_of_the_secret,
    hello,
)
from tests.smtp.sansio import Clock

REFUSED = Reply(535, ("5.7.8 no",))
ADDRESS = ("mx.example", 587)


# The memory itself.


def test_a_refusal_is_remembered_for_a_while() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    digest = refusals.digest(ADDRESS, "me", "password", SECRET)
    assert refusals.find(digest) is None
    refusals.add(digest, REFUSED)
    clock.advance(100)

    found = refusals.find(digest)
    assert found is not None
    assert found.reply == REFUSED
    assert (refusals.age(found), refusals.left(found)) == (100, REMEMBERED - 100)
    clock.advance(REMEMBERED - 100.5)
    assert refusals.find(digest) is not None
    clock.advance(0.5)
    assert refusals.find(digest) is None


def test_a_success_and_a_reset_forget() -> None:
    refusals = Refusals(Clock())
    digests = [refusals.digest(ADDRESS, name) for name in ("a", "b")]
    for digest in digests:
        refusals.add(digest, REFUSED)
    refusals.forget(digests[0])
    refusals.forget(digests[0])

    assert [refusals.find(digest) is None for digest in digests] == [True, False]
    refusals.clear()
    assert len(refusals) == 0


def test_every_word_makes_another_credential() -> None:
    refusals = Refusals(Clock())
    digests = {
        refusals.digest(("mx.example", 587), "me", "password", "ab"),
        refusals.digest(("mx.example", 465), "me", "password", "ab"),
        refusals.digest(("my.example", 587), "me", "password", "ab"),
        refusals.digest(("mx.example", 587), "mea", "password", "b"),
        refusals.digest(("mx.example", 587), "me", "passworda", "b"),
        refusals.digest(("mx.example", 587), "me", "token", "ab"),
        refusals.digest(("mx.example", 587), "me", "password", "ac"),
    }

    assert len(digests) == 7
    assert refusals.digest(("MX.example", 587), "me", "password", "ab") in digests


def test_digests_are_of_this_process_alone() -> None:
    one, other = Refusals(Clock()), Refusals(Clock())

    assert one.digest(ADDRESS, "me", SECRET) != other.digest(ADDRESS, "me", SECRET)


def test_no_secret_is_kept() -> None:
    refusals = Refusals(Clock())
    refusals.add(refusals.digest(ADDRESS, "me", "password", SECRET), REFUSED)

    assert not any(form in repr(vars(refusals)) for form in forms_of_the_secret())


def test_the_oldest_go_first() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    digests = [refusals.digest(ADDRESS, str(number)) for number in range(MAX_ENTRIES + 1)]
    for digest in digests[:-1]:
        refusals.add(digest, REFUSED)
    refusals.add(digests[0], REFUSED)  # it is the youngest now
    refusals.add(digests[-1], REFUSED)

    assert len(refusals) == MAX_ENTRIES
    assert refusals.find(digests[0]) is not None
    assert refusals.find(digests[1]) is None
    clock.advance(REMEMBERED)
    refusals.add(digests[5], REFUSED)
    assert len(refusals) == 1


def test_threads_share_it() -> None:
    refusals = Refusals(Clock())
    mistakes: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(300):
                digest = refusals.digest(ADDRESS, name, str(number))
                refusals.add(digest, REFUSED)
                assert refusals.find(digest) is not None
        except BaseException as error:
            mistakes.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert mistakes == []
    assert len(refusals) == MAX_ENTRIES


@pytest.mark.parametrize(
    ("code", "final"),
    [
        (535, True),
        (534, True),
        (525, True),
        (550, True),
        (554, True),
        (454, False),
        (432, False),
        (421, False),
        (500, False),
        (501, False),
        (504, False),
        (530, False),
        (538, False),
    ],
)
def test_which_replies_judge_the_credentials(code: int, final: bool) -> None:
    assert is_final(Reply(code, ("words",))) is final


def test_no_reply_no_verdict() -> None:
    assert not is_final(None)


# In an opening.


def opened(refusals: Refusals, *turns: Turn, **options: Any) -> Opening:
    return Opening(
        endpoint(**options), GREETING, hello("AUTH PLAIN XOAUTH2"), *turns, refusals=refusals
    )


def plain(secret: str = SECRET, reply: bytes = b"535 5.7.8 no\r\n", user: str = "jürgen") -> Turn:
    return b"AUTH PLAIN " + b64(f"\0{user}\0{secret}") + b"\r\n", reply


def test_what_was_refused_is_not_sent_again() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    first = opened(refusals, plain()).error
    clock.advance(12)
    again = opened(refusals)

    assert isinstance(first, AuthenticationRefused)
    assert first.reason == ""
    assert isinstance(again.error, AuthenticationRefused)
    assert again.error.reason == "refused-before"
    assert (again.error.stage, again.error.reply, again.error.transient) == (
        "AUTH",
        first.reply,
        False,
    )
    assert again.error.message == (
        "the server refused this user name with this password 12 seconds ago; to keep the mailbox "
        "from being locked it is not tried again before 288 seconds have passed"
    )
    assert again.error.cure == "Another user name or password is tried at once."
    assert again.error.message in again.transcript
    assert "C: AUTH" not in again.transcript
    shown = shown_by_trackers(again.error) + again.transcript
    assert not any(form in shown for form in forms_of_the_secret())


def test_after_a_while_it_is_tried_again() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    opened(refusals, plain())
    clock.advance(REMEMBERED - 1)
    opened(refusals)
    clock.advance(1)

    # Not being tried did not make it last longer.
    assert opened(refusals, plain(reply=b"235 ok\r\n")).opened is not None


@pytest.mark.parametrize(
    "other",
    [
        lambda refusals: opened(refusals, plain("other"), secret=lambda: "other"),
        lambda refusals: opened(refusals, plain(user="bob"), username="bob"),
        lambda refusals: opened(refusals, plain(), port=2525),
        lambda refusals: opened(refusals, plain(), ask_again=True),
    ],
    ids=["password", "user", "port", "asked to"],
)
def test_another_credential_is_tried_at_once(other: Callable[[Refusals], Opening]) -> None:
    refusals = Refusals(Clock())
    opened(refusals, plain())
    error = other(refusals).error

    assert isinstance(error, AuthenticationRefused)
    assert error.reason == ""


def test_a_token_is_remembered_until_it_is_renewed() -> None:
    def said(token: str) -> bytes:
        return b"AUTH XOAUTH2 " + b64(f"user=me\x01auth=Bearer {token}\x01\x01") + b"\r\n"

    refusals = Refusals(Clock())
    old: dict[str, Any] = {"secret": lambda: "old", "username": "me", "kind": "token"}
    opened(refusals, (said("old"), b"334 e30=\r\n"), (b"\r\n", b"535 no\r\n"), **old)
    error = opened(refusals, **old).error

    assert error is not None
    assert error.reason == "refused-before"
    assert "this user name with this token" in error.message
    renewed = {**old, "secret": lambda: "new"}
    assert opened(refusals, (said("new"), b"235 ok\r\n"), **renewed).opened is not None


def test_a_success_forgets_the_refusal() -> None:
    refusals = Refusals(Clock())
    opened(refusals, plain())
    opened(refusals, plain(reply=b"235 ok\r\n"), ask_again=True)

    assert len(refusals) == 0
    assert opened(refusals, plain(reply=b"235 ok\r\n")).opened is not None


def test_a_refusal_of_one_who_asked_again_counts() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    opened(refusals, plain())
    clock.advance(REMEMBERED - 1)
    opened(refusals, plain(), ask_again=True)
    clock.advance(10)
    error = opened(refusals).error

    assert error is not None
    assert "10 seconds ago" in error.message


@pytest.mark.parametrize(
    "reply", [b"454 4.7.0 later\r\n", b"504 5.5.4 what?\r\n", b"538 TLS first\r\n"]
)
def test_other_failures_are_not_remembered(reply: bytes) -> None:
    refusals = Refusals(Clock())
    for _ in range(2):
        error = opened(refusals, plain(reply=reply)).error
        assert isinstance(error, AuthenticationRefused)
        assert error.reason == ""


def test_a_failure_of_the_mechanism_is_not_remembered() -> None:
    refusals = Refusals(Clock())
    error = opened(refusals, secret=lambda: "two words", kind="token").error

    assert isinstance(error, NotSupported)
    assert len(refusals) == 0


# In a process.


def failure_at(server: ScriptedServer, **changes: Any) -> SMTPError:
    credentials = Credentials("club", lambda: SECRET)
    given = replace(network_endpoint(server.port), credentials=credentials, **changes)
    with pytest.raises(SMTPError) as caught:
        connect(given)
    return caught.value


def test_one_process_asks_a_server_once(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={"club": "other"})
    reasons = [failure_at(server).reason for _ in range(3)]

    assert reasons == ["", "refused-before", "refused-before"]
    attempts = [len(one.auth) for one in server.connections]
    assert attempts == [1, 0, 0]
    assert failure_at(server, ask_again=True).reason == ""
    assert len(connection.refusals) == 1


def test_no_frame_shows_what_was_refused(scripted_server: ServerFactory) -> None:
    server = scripted_server(users={"club": "other"})
    failure_at(server)
    error = failure_at(server)

    shown = shown_by_trackers(error)
    assert error.peer == "the test server"
    assert not any(form in shown for form in forms_of_the_secret())
