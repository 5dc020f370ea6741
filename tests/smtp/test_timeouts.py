from __future__ import annotations

import math

import pytest

from django_smtpauth.smtp.timeouts import Patience, Timeouts
from tests.smtp.sansio import Clock


def test_the_defaults_come_before_a_web_worker_is_killed() -> None:
    timeouts = Timeouts()

    assert (timeouts.dial, timeouts.reply, timeouts.until_content) == (10, 15, 25)
    assert (timeouts.content, timeouts.verdict) == (60, 120)
    assert timeouts.until_content < 30


def test_the_bulk_preset_follows_rfc_5321() -> None:
    # 4.5.3.2: greeting, MAIL and RCPT 5 minutes, a block of DATA 3, the final dot 10.
    assert Timeouts.BULK.reply >= 300
    assert Timeouts.BULK.content >= 180
    assert Timeouts.BULK.verdict >= 600


def test_one_number_replaces_every_limit() -> None:
    assert Timeouts.of(None) == Timeouts()
    assert Timeouts.of(3) == Timeouts(3, 3, 25, 3, 3)
    assert Timeouts.of(90) == Timeouts(90, 90, 90, 90, 90)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_a_limit_is_positive_and_never_infinite(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        Timeouts.of(seconds)


def test_every_limit_is_finite() -> None:
    for timeouts in (Timeouts(), Timeouts.BULK, Timeouts.of(1e9)):
        assert all(0 < limit < math.inf for limit in vars(timeouts).values())


def test_a_reply_has_its_time_however_many_octets_it_takes() -> None:
    clock = Clock()
    patience = Patience(Timeouts(), clock)

    assert patience.left() == 15
    clock.advance(10)
    assert patience.left() == 5
    clock.advance(10)
    assert patience.left() == 0
    assert patience.left() == 0


def test_all_replies_before_the_content_share_a_time() -> None:
    clock = Clock()
    patience = Patience(Timeouts(), clock)

    clock.advance(14)
    patience.expect(15)
    assert patience.left() == 11
    patience.flow()
    assert patience.left() == 15


def test_a_new_operation_has_all_its_time() -> None:
    clock = Clock()
    patience = Patience(Timeouts(), clock, deadline=20)
    clock.advance(18)
    patience.flow()
    patience.expect(60)
    assert patience.left() == 2

    patience.start()
    assert patience.left() == 15
    patience.expect(60)
    assert patience.left() == 20
    clock.advance(5)
    assert patience.left() == 15


def test_the_deadline_ends_the_content_too() -> None:
    clock = Clock()
    patience = Patience(Timeouts(), clock, deadline=30)

    patience.flow()
    patience.expect(120)
    assert patience.left() == 30


def test_opening_counts_from_dialling() -> None:
    clock = Clock(1_000)
    patience = Patience(Timeouts(), clock, deadline=12, began=992)

    assert patience.left() == 4
    patience = Patience(Timeouts(), clock, began=992)
    patience.expect(60)
    assert patience.left() == 17


def test_the_first_message_shares_the_time_until_content_with_opening() -> None:
    clock = Clock(1_000)
    patience = Patience(Timeouts(), clock, deadline=30)
    clock.advance(20)

    patience.start(began=1_000)
    assert patience.left() == 5
    patience.flow()
    patience.expect(60)
    assert patience.left() == 30


@pytest.mark.parametrize("deadline", [None, 20])
def test_what_the_caller_does_meanwhile_is_not_counted(deadline: float | None) -> None:
    clock = Clock()
    patience = Patience(Timeouts(), clock, deadline=deadline)
    with patience.suspended():
        clock.advance(100)
    assert patience.left() == 15
    patience.expect(60)
    assert patience.left() == (deadline or 25)


def test_content_that_flows_has_no_time_to_give_back() -> None:
    clock = Clock()
    patience = Patience(Timeouts(), clock)
    patience.flow()
    with patience.suspended():
        clock.advance(100)
    assert patience.left() == 15
