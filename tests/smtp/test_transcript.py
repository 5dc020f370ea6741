from __future__ import annotations

import pickle

from django_smtpauth.smtp.transcript import MAX_EVENTS, Event, merged, new_log, render


def test_render_counts_from_the_first_event() -> None:
    events = [Event(70.0, "S", "GREETING", "220 mx"), Event(71.5, "C", "EHLO", "EHLO me")]

    assert render(events) == "   0.000 S: 220 mx\n   1.500 C: EHLO me"
    assert render([]) == ""


def test_render_shows_every_line_of_a_reply_on_its_own() -> None:
    assert render([Event(70.0, "S", "EHLO", "250-mx\n250 DSN")]) == (
        "   0.000 S: 250-mx\n   0.000 S: 250 DSN"
    )


def test_logs_are_merged_in_order_of_time_and_otherwise_of_the_logs() -> None:
    session = [Event(0, "S", "GREETING", "a"), Event(3, "C", "QUIT", "d")]
    message = [Event(1, "C", "MAIL", "b"), Event(3, "S", "MAIL", "e")]

    assert [event.text for event in merged(session, message)] == ["a", "b", "d", "e"]
    assert merged() == ()


def test_a_log_keeps_the_latest_events() -> None:
    log = new_log()
    for number in range(MAX_EVENTS + 5):
        log.append(Event(number, "S", "", ""))

    assert len(log) == MAX_EVENTS
    assert log[0].time == 5


def test_events_survive_pickle() -> None:
    event = Event(1.0, "*", "TLS", "TLSv1.3 established")

    assert pickle.loads(pickle.dumps(event)) == event
