from __future__ import annotations

import pytest

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.commands import REDACTED, Command, Verb
from django_smtpauth.smtp.errors import ProtocolError
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.session import Session, State
from tests.smtp.sansio import Clock, Someone


def at(*turns: tuple[Command, bytes]) -> Session:
    """A session after this dialogue, each turn waited for."""
    session = Session(Clock())
    for command, reply in turns:
        session.send(command)
        list(session.receive(reply, session.queued))
    return session


GREETED = (commands.greeting(), b"220 mx\r\n")
HELLO = (commands.ehlo("me"), b"250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
MAIL = (commands.mail("a@b"), b"250 ok\r\n")
RCPT = (commands.rcpt("c@d"), b"250 ok\r\n")
DATA = (commands.data(), b"354 go\r\n")


def texts(session: Session) -> list[str]:
    return [f"{event.direction} {event.stage} {event.text}".strip() for event in session.events]


def test_a_whole_session_in_the_log() -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(3))
    assert session.content(b"x\r\n.\r\n", complete=True) == b"x\r\n.\r\n"
    list(session.receive(b"250 queued\r\n", session.queued))

    assert texts(session) == [
        "S GREETING 220 mx",
        "C EHLO EHLO me",
        "S EHLO 250-mx\n250-PIPELINING\n250 STARTTLS",
        "C MAIL MAIL FROM:<a@b>",
        "S MAIL 250 ok",
        "C RCPT RCPT TO:<c@d>",
        "S RCPT 250 ok",
        "C DATA DATA",
        "S DATA 354 go",
        "C CONTENT [content, 3 octets]",
        "S CONTENT 250 queued",
    ]
    assert session.reusable


def test_each_owner_has_a_log_of_its_own() -> None:
    session, owner = at(GREETED, HELLO), Someone()
    session.events.clear()
    session.send(MAIL[0], owner)
    list(session.receive(b"250 ok\r\n", session.queued))

    assert not session.events
    assert [event.text for event in owner.events] == ["MAIL FROM:<a@b>", "250 ok"]


def test_extensions_come_from_ehlo_and_are_forgotten_by_helo_and_tls() -> None:
    session = at(GREETED, HELLO)
    assert session.extensions.pipelining

    session.send(commands.starttls())
    assert session.stage == "TLS"
    list(session.receive(b"220 go\r\n", session.queued))
    assert session.stage == "TLS"
    assert not session.reusable
    session.secured("TLSv1.3")
    assert not session.extensions.keywords
    assert (session.state, session.written, session.stage) == (State.HELLO, State.HELLO, "")

    helo = (commands.helo("me"), b"250-mx\r\n250 STARTTLS\r\n")
    assert not at(GREETED, helo).extensions.keywords
    assert texts(session)[-1] == "* TLS TLSv1.3 established"


def test_implicit_tls_comes_before_the_greeting() -> None:
    session = Session(Clock())
    session.secured("TLSv1.3")

    assert session.state is State.GREETING


@pytest.mark.parametrize(
    "behind", [b"2", b"250", b"250 evil\r\n", b"\x16\x03", b"250-evil\r\n250 AUTH PLAIN\r\n"]
)
def test_octets_behind_the_answer_to_starttls(behind: bytes) -> None:
    session = at(GREETED, HELLO)
    session.send(commands.starttls())
    received = session.receive(b"220 go\r\n" + behind, session.queued)

    assert next(received).reply.code == 220
    with pytest.raises(ProtocolError) as caught:
        next(received)
    assert (caught.value.reason, caught.value.stage) == ("starttls-injection", "TLS")
    assert session.broken


@pytest.mark.parametrize("cut", range(1, 20))
def test_octets_behind_the_answer_to_starttls_in_two_packets(cut: int) -> None:
    session = at(GREETED, HELLO)
    session.send(commands.starttls())
    octets = b"220 go\r\n250 evil\r\n"

    def receive_in_two() -> None:
        for piece in (octets[:cut], octets[cut:]):
            list(session.receive(piece, session.queued))

    with pytest.raises(ProtocolError) as caught:
        receive_in_two()
    assert caught.value.stage == "TLS"
    assert session.broken


def test_a_refused_starttls_leaves_the_session_as_it_was() -> None:
    session = at(GREETED, HELLO, (commands.starttls(), b"454 not now\r\n"))

    assert session.state is State.READY
    assert session.extensions.starttls


def test_a_reply_before_its_command_was_handed_over() -> None:
    session = at(GREETED, HELLO)
    line = session.send(commands.mail("a@b"))

    with pytest.raises(ProtocolError, match="answered MAIL before it was sent") as caught:
        list(session.receive(b"250 ok\r\n", session.queued - len(line) + 3))
    assert caught.value.stage == "MAIL"
    assert session.broken
    with pytest.raises(RuntimeError):
        session.send(commands.rcpt("c@d"))


@pytest.mark.parametrize("code", [b"450", b"552"])
def test_a_refusal_may_come_before_the_content_is_complete(code: bytes) -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(6))
    session.content(b"xxxxxx\r\n.\r\n", complete=True)

    (answer,) = session.receive(code + b" too much\r\n", session.queued - 1)
    assert answer.command.verb is Verb.CONTENT
    # But the rest of the content would be read as commands.
    assert session.broken
    assert not session.reusable


@pytest.mark.parametrize("code", [b"250", b"552"])
def test_content_is_not_complete_because_all_of_it_so_far_was_handed_over(code: bytes) -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(6))
    session.content(b"xxx", complete=False)

    if code == b"250":
        with pytest.raises(ProtocolError, match="before it was sent"):
            list(session.receive(b"250 ok\r\n", session.queued))
    else:
        assert len(list(session.receive(b"552 no\r\n", session.queued))) == 1
    assert session.broken


@pytest.mark.parametrize("code", [b"250", b"354"])
def test_an_acceptance_may_not_come_before_the_content_is_complete(code: bytes) -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(6))
    session.content(b"xxxxxx\r\n.\r\n", complete=True)

    with pytest.raises(ProtocolError, match="before it was sent"):
        list(session.receive(code + b" ok\r\n", session.queued - 1))


@pytest.mark.parametrize("complete", [False, True])
def test_goodbye_to_content_that_was_not_handed_over_is_no_verdict(complete: bool) -> None:
    session, owner = at(GREETED, HELLO, MAIL, RCPT, DATA), Someone()
    session.send(commands.content(3), owner)
    handed = session.queued
    session.content(b"xxx\r\n.\r\n", complete=complete)

    (answer,) = session.receive(b"421 4.3.2 bye\r\n", handed)
    assert (answer.command.verb, answer.owner, answer.reply.code) == (Verb.CONTENT, None, 421)
    assert session.state is State.CLOSED


def test_goodbye_without_being_asked() -> None:
    session = at(GREETED, HELLO)

    (answer,) = session.receive(b"421 idle\r\n", session.queued)
    assert (answer.command.verb, answer.owner, answer.reply.code) == (Verb.QUIT, None, 421)
    assert session.state is State.CLOSED
    assert not session.reusable
    assert texts(session)[-1] == "S  421 idle"


def test_goodbye_ends_all_that_is_in_flight() -> None:
    session = at(GREETED, HELLO)
    owners = [Someone(), Someone()]
    session.send(MAIL[0], owners[0])
    session.send(RCPT[0], owners[1])

    (answer,) = session.receive(b"421 bye\r\n550 no\r\nnonsense\r\n", session.queued)
    assert answer.owner is owners[0]
    assert not session.in_flight
    assert (session.state, session.written) == (State.CLOSED, State.CLOSED)


def test_octets_that_are_no_reply_break_the_session() -> None:
    session = at(GREETED, HELLO)
    session.send(MAIL[0])

    with pytest.raises(ProtocolError) as caught:
        list(session.receive(b"HTTP/1.1 400\r\n", session.queued))
    assert caught.value.stage == "MAIL"
    assert session.broken


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (commands.mail("a@b"), b"354 go\r\n"),
        (commands.starttls(), b"334 \r\n"),
        (commands.rset(), b"354 go\r\n"),
        (commands.quit_(), b"354 go\r\n"),
    ],
)
def test_a_reply_that_is_no_answer_to_the_command(command: Command, reply: bytes) -> None:
    session = at(GREETED, HELLO)
    session.send(command)

    with pytest.raises(ProtocolError, match=f"no answer to {command.verb.value} in READY"):
        list(session.receive(reply, session.queued))
    assert session.broken


def test_recipients_are_not_accepted_without_a_sender() -> None:
    session = at(GREETED, HELLO)
    session.send(MAIL[0])
    session.send(RCPT[0])

    with pytest.raises(ProtocolError, match="250 is no answer to RCPT in READY"):
        list(session.receive(b"550 no\r\n250 ok\r\n", session.queued))


def test_replies_before_the_broken_one_are_answers() -> None:
    session = at(GREETED, HELLO)
    session.send(MAIL[0])
    session.send(RCPT[0])
    received = session.receive(b"250 ok\r\n999 no\r\n", session.queued)

    assert next(received).command.verb is Verb.MAIL
    with pytest.raises(ProtocolError):
        next(received)


def test_half_a_reply_makes_a_session_unfit_for_reuse() -> None:
    session = at(GREETED, HELLO)
    assert session.reusable

    list(session.receive(b"4", session.queued))
    assert not session.reusable


# When RSET must stand in front of the next MAIL.


def test_a_new_session_needs_no_reset() -> None:
    session = at(GREETED, HELLO)
    assert session.fresh

    session.send(MAIL[0])
    assert not session.fresh


def test_accepted_content_and_reset_leave_nothing_behind() -> None:
    for code, fresh in ((b"250", True), (b"550", False)):
        session = at(GREETED, HELLO, MAIL, RCPT, DATA)
        session.send(commands.content(0))
        session.content(b".\r\n", complete=True)
        list(session.receive(code + b" x\r\n", session.queued))
        assert session.fresh is fresh

    assert at(GREETED, HELLO, MAIL, (commands.rset(), b"250 ok\r\n")).fresh
    assert not at(GREETED, HELLO, (MAIL[0], b"550 no\r\n"), (commands.rset(), b"502 no\r\n")).fresh


def test_a_mail_that_is_under_way_already_counts() -> None:
    session = at(GREETED, HELLO, MAIL, RCPT, DATA)
    session.send(commands.content(0))
    session.content(b".\r\n", complete=True)
    session.send(MAIL[0])
    list(session.receive(b"250 ok\r\n", session.queued))

    assert not session.fresh
    assert session.stage == "MAIL"


def test_a_reset_that_fails_in_a_transaction_closes() -> None:
    session = at(GREETED, HELLO, MAIL, (commands.rset(), b"500 what?\r\n"))

    assert session.state is State.CLOSED
    assert not session.reusable
    # What else was in flight when it failed is answered to nobody.
    session = at(GREETED, HELLO, MAIL)
    session.send(commands.rset())
    session.send(MAIL[0])
    assert len(list(session.receive(b"500 what?\r\n250 ok\r\n", session.queued))) == 1
    assert not session.in_flight


# Redaction.


def authenticating(*hidden: str) -> Session:
    session = at(GREETED, (commands.ehlo("me"), b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n"))
    session.hide(*hidden)
    return session


def test_a_connection_lost_between_a_challenge_and_its_response_was_lost_in_auth() -> None:
    session = authenticating()
    session.send(commands.auth("LOGIN", None))
    (_,) = session.receive(b"334 VXNlcm5hbWU6\r\n", session.queued)

    assert not session.in_flight
    assert session.stage == "AUTH"


def test_challenges_never_get_into_the_log() -> None:
    session = authenticating()
    session.send(commands.auth("LOGIN", None))
    (answer,) = session.receive(b"334 VXNlcm5hbWU6\r\n", session.queued)
    session.send(commands.response(b"hunter2"))

    assert answer.reply == Reply(334, ("VXNlcm5hbWU6",))
    assert texts(session)[-3:] == [
        "C AUTH AUTH LOGIN",
        f"S AUTH 334 {REDACTED}",
        f"C AUTH {REDACTED}",
    ]


def test_what_the_server_echoes_of_the_exchange_is_hidden_from_log_and_reply() -> None:
    session = authenticating("hunter2", "", "aHVudGVyMg==")
    session.send(commands.auth("PLAIN", b"x"))
    (answer,) = session.receive(
        b"535-no user has hunter2\r\n535 nor aHVudGVyMg==!\r\n", session.queued
    )

    assert answer.reply == Reply(535, (f"no user has {REDACTED}", f"nor {REDACTED}!"))
    assert texts(session)[-1] == f"S AUTH 535-no user has {REDACTED}\n535 nor {REDACTED}!"


def test_a_short_form_does_not_uncover_the_rest_of_a_longer_one() -> None:
    # A password that is the head of what the client sent, and a letter of what stands for it.
    session = authenticating("AHVz", "e", "AHVzAEFIVno=")
    session.send(commands.auth("PLAIN", b"x"))
    (answer,) = session.receive(b"535 no: AHVzAEFIVno=\r\n", session.queued)

    assert answer.reply.text == f"no: {REDACTED}"


def test_what_is_hidden_is_forgotten_with_the_exchange() -> None:
    session = authenticating("a")
    session.send(commands.auth("PLAIN", b"x"))
    list(session.receive(b"235 a\r\n", session.queued))
    assert texts(session)[-1] == f"S AUTH 235 {REDACTED}"

    session.hide()
    session.send(commands.rset())
    (answer,) = session.receive(b"250 a\r\n", session.queued)
    assert answer.reply.text == "a"
    assert texts(session)[-1] == "S RSET 250 a"


@pytest.mark.parametrize(
    "octets",
    [
        b"999 hunter2\r\n",
        b"hunter2\r\n",
        b"535hunter2\r\n",
        b"535-x\r\n334 hunter2\r\n",
        b"235 ok\r\n250 hunter2\r\n",
        b"235 ok\r\n334 hunter2\r\n",
        b"235 ok\r\nhunter2\r\n",
    ],
)
def test_no_broken_answer_shows_what_is_hidden(octets: bytes) -> None:
    session = authenticating("hunter2")
    session.send(commands.auth("PLAIN", b"x"))

    with pytest.raises(ProtocolError) as caught:
        list(session.receive(octets, session.queued))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(texts(session))
    assert caught.value.__context__ is None
    assert session.broken
