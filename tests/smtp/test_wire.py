from __future__ import annotations

import pytest

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.errors import Disconnected, ProtocolError, TimedOut
from django_smtpauth.smtp.needs import Arrival, Exchange, Handshake
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.timeouts import Timeouts
from django_smtpauth.smtp.wire import Wire
from tests.smtp.sansio import FACTS, Clock, Driver, Script, new_wire

GREETING = (b"", b"220 mx\r\n")


def greeted(clock: Clock | None = None, timeouts: Timeouts | None = None) -> Wire:
    wire = new_wire(clock, timeouts)
    Driver(Script(GREETING)).run(wire.ask(commands.greeting()))
    return wire


@pytest.mark.parametrize("trickle", [False, True])
def test_a_command_and_its_reply(trickle: bool) -> None:
    wire = new_wire()
    script = Script(GREETING, (b"EHLO me\r\n", b"250-mx\r\n250 DSN\r\n"))
    driver = Driver(script, trickle=trickle)

    assert driver.run(wire.ask(commands.greeting())).text == "mx"
    reply = driver.run(wire.ask(commands.ehlo("me")))

    assert reply.lines == ("mx", "DSN")
    assert "DSN" in wire.session.extensions
    assert wire.handed == len(b"EHLO me\r\n")
    assert script.finished


def test_a_reply_has_one_time_however_it_drips() -> None:
    clock = Clock()
    wire = new_wire(clock, Timeouts(reply=15, until_content=100))
    conversation = wire.ask(commands.greeting())
    need = next(conversation)
    for octet in b"220 very slow":
        assert isinstance(need, Exchange)
        assert need.timeout == 15 - (clock() - 1_000)
        clock.advance(1)
        need = conversation.send(Arrival(bytes([octet]), 0))
    clock.advance(100)
    need = conversation.send(Arrival(b"!", 0))

    assert isinstance(need, Exchange)
    assert need.timeout == 0
    with pytest.raises(TimedOut):
        conversation.send(Arrival(b"", 0, TimedOut("too slow")))


def test_each_reply_of_a_group_has_its_own_time() -> None:
    clock = Clock()
    wire = greeted(clock, Timeouts(reply=10, until_content=100))
    conversation = wire.ask(commands.ehlo("me"))
    next(conversation)
    clock.advance(8)
    with pytest.raises(StopIteration):
        conversation.send(Arrival(b"250 mx\r\n", 9))

    assert wire.patience.left() == 10


def test_nothing_waits_longer_than_the_time_until_content() -> None:
    clock = Clock()
    wire = new_wire(clock, Timeouts(reply=15, until_content=25))
    clock.advance(20)

    need = next(wire.ask(commands.greeting()))
    assert isinstance(need, Exchange)
    assert need.timeout == 5


def test_writing_goes_on_until_all_is_handed_over() -> None:
    wire = greeted()
    line = wire.session.send(commands.ehlo("me"))
    conversation = wire.write(line)

    assert next(conversation) == Exchange(line, want_reply=False, timeout=15)
    assert conversation.send(Arrival(b"", 3)) == Exchange(b"", want_reply=False, timeout=15)
    assert conversation.send(Arrival(b"", 8)) == Exchange(b"", want_reply=False, timeout=15)
    with pytest.raises(StopIteration):
        conversation.send(Arrival(b"", 9))
    assert not wire.settled()


def test_replies_that_come_while_writing_are_taken() -> None:
    wire = greeted()
    conversation = wire.write(wire.session.send(commands.ehlo("me")))
    next(conversation)
    with pytest.raises(StopIteration):
        conversation.send(Arrival(b"250 mx\r\n", 9))

    assert wire.settled()


@pytest.mark.parametrize("trickle", [False, True])
def test_a_silent_server(trickle: bool) -> None:
    wire = greeted()
    with pytest.raises(TimedOut) as caught:
        Driver(Script((b"EHLO me\r\n", b"")), trickle=trickle).run(wire.ask(commands.ehlo("me")))
    assert (caught.value.stage, caught.value.command) == ("EHLO", "EHLO me")
    assert wire.session.broken


def test_a_server_that_hangs_up() -> None:
    wire = greeted()
    driver = Driver(Script((b"EHLO me\r\n", None)))

    with pytest.raises(Disconnected) as caught:
        driver.run(wire.ask(commands.ehlo("me")))
    assert caught.value.stage == "EHLO"
    assert not wire.session.reusable


def test_what_was_said_before_the_loss_counts() -> None:
    wire = greeted()
    conversation = wire.ask(commands.ehlo("me"))
    next(conversation)

    with pytest.raises(Disconnected):
        conversation.send(Arrival(b"250 mx\r\n", 9, Disconnected("gone")))
    assert wire.settled()
    assert wire.session.broken


def test_a_loss_with_nothing_in_flight_keeps_its_own_stage() -> None:
    wire = greeted()
    conversation = wire.write(b"")
    next(conversation)

    with pytest.raises(Disconnected) as caught:
        conversation.send(Arrival(b"", 0, Disconnected("gone", stage="CONNECT")))
    assert (caught.value.stage, caught.value.command) == ("CONNECT", "")


def test_goodbye_in_answer_to_a_command() -> None:
    wire = greeted()

    with pytest.raises(Disconnected) as caught:
        Driver(Script((b"EHLO me\r\n", b"421 4.3.2 bye\r\n"))).run(wire.ask(commands.ehlo("me")))
    error = caught.value
    assert (error.stage, error.command) == ("EHLO", "EHLO me")
    assert error.reply is not None
    assert error.reply.code == 421
    assert error.transient
    assert str(error).startswith("EHLO refused: 421 4.3.2\nthe server ended the session")


def test_goodbye_out_of_the_blue() -> None:
    wire = greeted()
    conversation = wire.write(b"")
    next(conversation)

    with pytest.raises(Disconnected) as caught:
        conversation.send(Arrival(b"421 idle\r\n", 0, Disconnected("gone")))
    assert caught.value.stage == ""
    assert caught.value.reply is not None


def test_nonsense() -> None:
    wire = greeted()

    with pytest.raises(ProtocolError):
        Driver(Script((b"EHLO me\r\n", b"hello!\r\n"))).run(wire.ask(commands.ehlo("me")))
    assert wire.session.broken


def test_what_needs_show() -> None:
    assert "secret" not in repr(Exchange(b"secret", want_reply=True, timeout=1))
    assert "secret" not in repr(Arrival(b"secret", 0))
    assert Handshake(FACTS).facts is FACTS


# Several commands in one write.

HELLO = (b"EHLO me\r\n", b"250 mx\r\n")
ENVELOPE = [commands.mail("a@example.org"), commands.rset()]


def group_of(answer: bytes, replies: list[Reply], *, trickle: bool = False) -> Script:
    """An envelope in one write, answered like this."""
    wire = new_wire()
    script = Script(GREETING, HELLO, (b"MAIL FROM:<a@example.org>\r\nRSET\r\n", answer))
    driver = Driver(script, trickle=trickle)
    driver.run(wire.ask(commands.greeting()))
    driver.run(wire.ask(commands.ehlo("me")))
    driver.run(wire.ask_together(ENVELOPE, replies))
    return script


@pytest.mark.parametrize("trickle", [False, True])
def test_a_group_leaves_in_one_write_and_its_replies_keep_their_order(trickle: bool) -> None:
    replies = list[Reply]()
    script = group_of(b"250 sender\r\n250 reset\r\n", replies, trickle=trickle)
    assert [reply.text for reply in replies] == ["sender", "reset"]
    assert script.finished


def test_the_replies_before_a_failure_are_known() -> None:
    replies = list[Reply]()
    with pytest.raises(Disconnected):
        group_of(b"250 sender\r\n421 4.3.2 bye\r\n", replies)
    assert [reply.code for reply in replies] == [250, 421]
