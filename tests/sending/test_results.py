"""What became of a message: queue ids, outcomes, and forms that can be stored."""

import json
import pickle

import pytest

from django_smtpauth.sending.results import Attempt, Result, queue_id
from django_smtpauth.smtp import Disconnected, RecipientsRefused
from django_smtpauth.smtp.replies import Reply, ReplyParser
from django_smtpauth.smtp.transaction import RecipientOutcome, Status
from django_smtpauth.smtp.transcript import Event


def reply(text: str) -> Reply:
    parser = ReplyParser()
    parser.feed(text.encode() + b"\r\n")
    parsed = parser.next()
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ12AbCdz9", "4XyZ12AbCdz9"),
        ("250 Ok: queued as <abc.1@mx.example>", "abc.1@mx.example"),
        ("250 OK id=1tXyZ1-000000001Ab-2CdE", "1tXyZ1-000000001Ab-2CdE"),
        ("250 2.0.0 4ANLxyz0012345 Message accepted for delivery", "4ANLxyz0012345"),
        ("250 2.0.0 OK 1732354800 d2e1a72fcca58-7af.12 - gsmtp", "d2e1a72fcca58-7af.12"),
        ("250 Ok 0100018f3ec2d4c5-1a2b3c4d-000000", "0100018f3ec2d4c5-1a2b3c4d-000000"),
        ("250-2.0.0 Thank you\r\n250 2.0.0 Queued as 77aa88bb", "77aa88bb"),
        ("250 2.6.0 Message received", ""),
        ("250", ""),
        ("250 2.0.0 Ok", ""),
        ("451 4.3.0 queued as 4XyZ12AbCdz9", ""),
    ],
)
def test_the_server_s_name_for_a_message(text, name):
    assert queue_id(reply(text)) == name


def test_without_a_reply_there_is_no_queue_id():
    assert queue_id(None) == ""


YES, NO = reply("250 2.0.0 Ok"), reply("550 5.1.1 No such user")
LATER = reply("450 4.2.1 Later")


def result(**statuses: Status) -> Result:
    replies = {Status.ACCEPTED: YES, Status.REFUSED: NO, Status.DEFERRED: LATER}
    outcomes = {
        f"{name}@example.org": RecipientOutcome(status, replies.get(status), 1)
        for name, status in statuses.items()
    }
    return Result("<1@example.com>", outcomes)


def test_sent_means_accepted_for_somebody():
    one = result(a=Status.REFUSED, b=Status.ACCEPTED, c=Status.DEFERRED)
    assert one.sent
    assert not one.in_doubt
    assert one.accepted == ["b@example.org"]
    assert one.refused == ["a@example.org", "c@example.org"]


@pytest.mark.parametrize(
    ("status", "sent", "in_doubt"),
    [
        (Status.ACCEPTED, True, False),
        (Status.REFUSED, False, False),
        (Status.DEFERRED, False, False),
        (Status.NOT_SENT, False, False),
        (Status.IN_DOUBT, False, True),
    ],
)
def test_each_status(status, sent, in_doubt):
    one = result(a=status)
    assert (one.sent, one.in_doubt) == (sent, in_doubt)


def test_nothing_is_known_at_first():
    one = Result()
    assert (one.sent, one.in_doubt, one.queue_id, one.dialogue()) == (False, False, "", "")


def test_the_queue_id_is_the_last_attempt_s():
    attempts = [Attempt("", "", "mx:25", queue_id="old"), Attempt("", "", "mx:25", queue_id="new")]
    assert Result(attempts=attempts).queue_id == "new"


def test_the_dialogue_is_in_order_of_time():
    session = [Event(1.0, "S", "GREETING", "220 hello"), Event(4.0, "C", "QUIT", "QUIT")]
    own = [Event(2.0, "C", "MAIL", "MAIL FROM:<a@example.com>")]
    one = Result(logs=(session, own))
    assert [event.time for event in one.transcript] == [1.0, 2.0, 4.0]
    assert one.dialogue().splitlines() == [
        "   0.000 S: 220 hello",
        "   1.000 C: MAIL FROM:<a@example.com>",
        "   3.000 C: QUIT",
    ]


def full() -> Result:
    one = result(a=Status.ACCEPTED, b=Status.REFUSED)
    one.attempts = [
        Attempt("club", "From", "mx:25", "192.0.2.1", error="lost"),
        Attempt("club", "From", "mx:25", reply=YES, queue_id="q1", seconds=0.12345),
    ]
    one.error = RecipientsRefused("no", stage="RCPT", reply=NO)
    one.logs = ([Event(1.0, "S", "GREETING", "220 hello")],)
    return one


def test_it_can_be_written_as_json():
    written = json.loads(json.dumps(full().to_dict()))
    assert written["message_id"] == "<1@example.com>"
    assert (written["sent"], written["in_doubt"], written["queue_id"]) == (True, False, "q1")
    assert written["recipients"]["b@example.org"]["status"] == "refused"
    assert written["recipients"]["b@example.org"]["reply"]["code"] == 550
    assert [attempt["error"] for attempt in written["attempts"]] == ["lost", ""]
    assert written["attempts"][1]["seconds"] == 0.123
    assert written["error"]["error"] == "RecipientsRefused"


def test_foreign_errors_are_written_too():
    one = Result(error=ValueError("Not an address"))
    assert one.to_dict()["error"] == {"error": "ValueError", "text": "Not an address"}
    assert Result().to_dict()["error"] is None


def test_it_survives_pickle():
    before = full()
    after = pickle.loads(pickle.dumps(before))
    assert after.to_dict() == before.to_dict()
    assert after.dialogue() == before.dialogue()


def test_an_error_that_carries_results_survives_pickle():
    error = Disconnected("gone", stage="MAIL")
    error.failed_results = [full()]
    after = pickle.loads(pickle.dumps(error))
    assert after.failed_results[0].to_dict() == full().to_dict()
