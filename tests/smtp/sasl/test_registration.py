"""Mechanisms of third parties: how they are added, and what the engine takes from them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from django_smtpauth.smtp.commands import REDACTED
from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported, ProtocolError
from django_smtpauth.smtp.needs import Call
from django_smtpauth.smtp.sasl import MECHANISMS, Dialogue, Login, Mechanism, choose, register
from tests.leaks import shown_by_trackers
from tests.smtp.openings import GREETING, SECRET, Opening, Turn, b64, endpoint, hello

PAGE = Path(__file__).parents[3] / "docs/engine.md"


def opening(start: Callable[[Login], Dialogue], *turns: Turn, **options: Any) -> Opening:
    register(Mechanism("X-OWN", start, reveals_secret=False))
    given = endpoint(auth_mechanisms=["X-OWN"], **options)
    return Opening(given, GREETING, hello("AUTH PLAIN X-OWN"), *turns)


def test_the_example_of_the_documentation() -> None:
    code = PAGE.read_text().split("## A mechanism of your own")[1].split("```python\n")[1]
    names: dict[str, Any] = {}
    exec(code.split("```")[0], names)
    reversed_secret = b64(SECRET[::-1])
    result = Opening(
        endpoint(auth_mechanisms=["X-REVERSE"]),
        GREETING,
        hello("AUTH X-REVERSE"),
        (b"AUTH X-REVERSE " + b64("jürgen") + b"\r\n", b"334 " + b64("go on") + b"\r\n"),
        (reversed_secret + b"\r\n", b"235 ok\r\n"),
    )

    assert result.opened is not None
    assert result.opened.mechanism == "X-REVERSE"
    assert "the server said go on" in result.transcript
    assert reversed_secret.decode() not in result.transcript


@pytest.mark.parametrize("name", ["", "x-own", "X OWN", "X-OWN\r\n", "X" * 21, "Ä"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name!r} is no name")):
        register(Mechanism(name, MECHANISMS["PLAIN"].start, reveals_secret=True))


def test_names_that_are_taken() -> None:
    register(MECHANISMS["PLAIN"])
    with pytest.raises(ValueError, match="There is a mechanism PLAIN already"):
        register(Mechanism("PLAIN", MECHANISMS["LOGIN"].start, reveals_secret=True))


def test_what_is_registered_is_used_only_where_it_is_named() -> None:
    register(Mechanism("X-OWN", MECHANISMS["PLAIN"].start, reveals_secret=False))

    assert choose(["X-OWN", "PLAIN"], None, may_reveal=True).name == "PLAIN"
    assert choose(["X-OWN", "PLAIN"], ["x-own"], may_reveal=True).name == "X-OWN"


def test_what_a_mechanism_is_given() -> None:
    seen: list[Login] = []

    def start(login: Login) -> Dialogue:
        seen.append(login)
        yield b""

    result = opening(start, (b"AUTH X-OWN =\r\n", b"235 ok\r\n"), port=2525)

    assert result.opened is not None
    assert seen == [Login("jürgen", SECRET, "mx.example", 2525, None)]
    assert SECRET not in repr(seen)


def test_long_computations_are_the_driver_s_business() -> None:
    def start(_: Login) -> Dialogue:
        first = yield Call(lambda: b"first")
        challenge = yield first
        second = yield Call(lambda: challenge * 2)
        assert (yield second) is None
        yield Call(threading.Event().is_set)

    result = opening(
        start,
        (b"AUTH X-OWN " + b64("first") + b"\r\n", b"334 " + b64("ab") + b"\r\n"),
        (b64("abab") + b"\r\n", b"235 ok\r\n"),
    )

    assert result.opened is not None


class VaultError(Exception):
    """The vault is closed."""


def closed_vault() -> bytes:
    raise VaultError


def test_a_computation_that_fails_is_the_caller_s_error() -> None:
    def start(_: Login) -> Dialogue:
        yield (yield Call(closed_vault))

    with pytest.raises(VaultError):
        opening(start)


def test_notes_go_to_the_transcript_and_explain_a_refusal() -> None:
    def start(login: Login) -> Dialogue:
        login.note(f"the key is {login.secret}\r\n235 ok")
        yield b""
        login.note("x" * 1_000)

    refusal = (b"", b"535 no\r\n")
    result = opening(start, (b"AUTH X-OWN =\r\n", b"334 \r\n"), (b"*\r\n", b"501 no\r\n"))
    assert f"*: the key is {REDACTED}??235 ok\n" in result.transcript
    assert f" {'x' * 500}\n" in result.transcript
    assert isinstance(result.error, ProtocolError)

    MECHANISMS.pop("X-OWN")
    error = opening(start, (b"AUTH X-OWN =\r\n", refusal[1])).error
    assert isinstance(error, AuthenticationRefused)
    assert str(error) == f"AUTH refused: 535\nthe key is {REDACTED}??235 ok\nno"


def test_success_that_comes_too_early() -> None:
    def start(_: Login) -> Dialogue:
        yield b""
        yield b"more"

    result = opening(start, (b"AUTH X-OWN =\r\n", b"235 ok\r\n"))

    assert isinstance(result.error, ProtocolError)
    assert result.error.message == "The server reported success before X-OWN was done."
    assert (result.error.stage, result.error.command) == ("AUTH", "AUTH X-OWN")
    assert not result.wire.session.reusable


def test_a_mechanism_may_doubt_success() -> None:
    def start(_: Login) -> Dialogue:
        if (yield b"") is None:
            raise ProtocolError("no proof")

    result = opening(start, (b"AUTH X-OWN =\r\n", b"235 ok\r\n"))

    assert isinstance(result.error, ProtocolError)
    assert result.error.message == "no proof"
    assert not result.wire.session.reusable


def test_a_mechanism_may_give_up() -> None:
    def start(_: Login) -> Dialogue:
        yield b""
        raise NotSupported("too much", stage="VAULT", command="OPEN")

    result = opening(start, (b"AUTH X-OWN =\r\n", b"334 \r\n"), (b"*\r\n", b"501 no\r\n"))

    assert isinstance(result.error, NotSupported)
    assert (result.error.stage, result.error.command) == ("VAULT", "OPEN")


def test_a_mistake_of_a_mechanism_is_named_by_its_place() -> None:
    def start(login: Login) -> Dialogue:
        key = login.secret.encode()
        yield b""
        raise KeyError(key)

    error = opening(start, (b"AUTH X-OWN =\r\n", b"334 \r\n"), (b"*\r\n", b"501 no\r\n")).error

    assert error is not None
    assert re.fullmatch(
        r"the mechanism X-OWN failed: KeyError in tests\.smtp\.sasl\.test_registration, "
        r"line \d+",
        error.message,
    )
    assert error.reason == "mechanism-failed"
    assert SECRET not in shown_by_trackers(error)


def test_a_mechanism_that_fails_before_its_first_word() -> None:
    def start(login: Login) -> Dialogue:
        raise RuntimeError(login.secret)

    error = opening(start).error

    assert error is not None
    assert error.message.startswith("the mechanism X-OWN failed: RuntimeError")
    assert SECRET not in shown_by_trackers(error)


def test_a_mechanism_that_says_nothing() -> None:
    def start(_: Login) -> Dialogue:
        yield from ()

    error = opening(start).error

    assert error is not None
    assert error.message == "the mechanism X-OWN says nothing"


@pytest.mark.parametrize("turn", [0, 1])
def test_words_too_long_for_a_line(turn: int) -> None:
    def start(_: Login) -> Dialogue:
        yield b"x" * 9_300 if turn == 0 else b""
        yield b"x" * 9_300

    turns: list[Turn] = [(b"AUTH X-OWN =\r\n", b"334 \r\n"), (b"*\r\n", b"501 no\r\n")]
    error = opening(start, *turns[: 2 * turn]).error

    assert isinstance(error, NotSupported)
    assert error.reason == "credentials-too-long"
