"""What a message, an account or a mailer asks of the delivery, and what comes on the wire."""

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_smtpauth.sending.options import DSN, MessageOptions, RecipientOptions
from django_smtpauth.smtp import NotSupported, RecipientsRefused
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    default_backend,
    failure_of,
    fates,
    mail_settings,
    message,
    smtp_server,
)
from tests.servers.scripted import EXTENSIONS

EVERYTHING = (*EXTENSIONS, "DSN", "CHUNKING", "MT-PRIORITY", "AUTH PLAIN")
TO = ["a@example.org", "b@example.org", "c@example.org"]


def asking(**options):
    one = message(to=TO)
    one.smtp_options = MessageOptions(**options)
    return one


def envelope_of(server):
    (received,) = server.accepted
    return [received.sender_line.decode(), *(line.decode() for line in received.recipient_lines)]


def test_delivery_reports(scripted_server):
    server = scripted_server(extensions=EVERYTHING)
    one = asking(
        dsn=DSN(notify=("SUCCESS", "FAILURE"), ret="HDRS", envid="order 1+1"),
        recipient_options={
            "b@example.org": RecipientOptions(notify=("NEVER",)),
            "C <c@example.org>": RecipientOptions(orcpt="see@example.com"),
        },
    )
    assert backend_for(server).send_messages([one]) == 1
    mail, *rcpts = envelope_of(server)
    assert mail.endswith(" RET=HDRS ENVID=order+201+2B1")
    assert rcpts == [
        "RCPT TO:<a@example.org> NOTIFY=SUCCESS,FAILURE",
        "RCPT TO:<b@example.org> NOTIFY=NEVER",
        "RCPT TO:<c@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;see@example.com",
    ]
    assert server.violations == []


def test_submitter_and_further_parameters(scripted_server):
    server = scripted_server(extensions=EVERYTHING, users={"club": "geheim"})
    one = asking(submitter="me@example.com", parameters={"mt-priority": "2"})
    backend = backend_for(server, username="club", password="geheim")
    assert backend.send_messages([one]) == 1
    assert envelope_of(server)[0].endswith(" AUTH=me@example.com MT-PRIORITY=2")


@pytest.mark.parametrize(
    ("options", "keyword"),
    [
        ({"dsn": DSN(notify=("DELAY",))}, "DSN"),
        ({"require_tls": True}, "REQUIRETLS"),
        ({"parameters": {"X-NEW": None}}, "X-NEW"),
        ({"recipient_options": {TO[0]: RecipientOptions(parameters={"X-NEW": "1"})}}, "X-NEW"),
    ],
)
def test_what_the_server_lacks_is_said_before_anything_is_sent(scripted_server, options, keyword):
    server = scripted_server()
    demanding, plain = asking(**options), message()
    error = failure_of(backend_for(server), [demanding, plain], NotSupported)
    assert f"does not offer {keyword}," in str(error)
    assert fates([demanding, plain]) == ["failed", "sent"]
    assert [v for v in server.connections[0].verbs if v == "MAIL"] == ["MAIL"]


def test_all_or_none(scripted_server):
    server = scripted_server(replies={"RCPT:b@example.org": b"550 5.1.1 no\r\n"})
    together, apart = asking(recipients="all"), message(to=TO)
    error = failure_of(backend_for(server), [together, apart], RecipientsRefused)
    assert error is together.smtp_result.error
    assert fates([together, apart]) == ["failed", "sent"]
    assert [m.recipients for m in server.accepted] == [[TO[0], TO[2]]]
    assert {a: o.status.value for a, o in together.smtp_result.recipients.items()} == {
        TO[0]: "not_sent",
        TO[1]: "refused",
        TO[2]: "not_sent",
    }


def test_what_the_mailer_says_is_the_message_s_unless_it_says_otherwise(
    smtp_server,  # noqa: F811
    mail_settings,  # noqa: F811
):
    server = smtp_server(
        extensions=EVERYTHING, replies={"RCPT:b@example.org": b"550 5.1.1 no\r\n"}
    )
    mail_settings(
        host=server.host,
        port=server.port,
        recipients="all",
        dsn={"notify": ["FAILURE"], "ret": "HDRS"},
    )
    backend = default_backend()
    own = asking(recipients="any", dsn=DSN(ret="FULL"))
    assert failure_of(backend, [message(to=TO), own], RecipientsRefused)
    mail, *rcpts = envelope_of(server)
    assert mail.endswith(" RET=FULL")
    assert rcpts == ["RCPT TO:<a@example.org>", "RCPT TO:<c@example.org>"]


@pytest.mark.parametrize("bdat", ["after_rcpt", "eager"])
def test_chunks(scripted_server, bdat):
    server = scripted_server(extensions=EVERYTHING)
    messages = [message(), message(body=".\n..dots\n" + "ü" * 90_000)]
    messages[1].body = "\n".join(messages[1].body[i : i + 90] for i in range(0, 90_000, 90))
    assert backend_for(server, bdat=bdat).send_messages(messages) == 2
    assert "DATA" not in server.connections[0].verbs
    assert [len(m.chunks) > 1 for m in server.accepted] == [False, True]
    assert server.violations == []


def test_lmtp(scripted_server, caplog):
    server = scripted_server(
        replies={
            "CONTENT:b@example.org": b"452 4.2.2 full\r\n",
            "EHLO": b"502 5.5.1 LHLO, please\r\n",
        }
    )
    one = message(to=TO)
    with caplog.at_level(logging.WARNING, "django_smtpauth"):
        assert backend_for(server, protocol="lmtp").send_messages([one]) == 1
    result = one.smtp_result
    assert result.accepted == [TO[0], TO[2]]
    assert result.recipients[TO[1]].reply.code == 452
    assert result.queue_id
    (record,) = caplog.records
    assert "2 of 3 recipients; the others: refused with 452 4.2.2 (1)" in record.getMessage()
    assert server.violations == []


def test_a_server_with_limits(scripted_server):
    server = scripted_server(extensions=["PIPELINING", "LIMITS MAILMAX=2 RCPTMAX=2"])
    messages = [message("a", to=TO), message("b"), message("c")]
    assert backend_for(server).send_messages(messages) == 3
    assert fates(messages) == ["sent"] * 3
    assert messages[0].smtp_result.accepted == TO
    assert len(server.connections) == 2
    assert sorted(m.recipients for m in server.accepted) == sorted(
        [TO[:2], TO[2:], ["to@example.org"], ["to@example.org"]]
    )
    # Its recipients went out over two connections.
    assert len(messages[0].smtp_result.attempts) == 2
    assert all(attempt.queue_id for attempt in messages[0].smtp_result.attempts)


def test_a_server_for_which_every_message_needs_a_connection(scripted_server):
    server = scripted_server(extensions=["PIPELINING", "LIMITS MAILMAX=1"])
    messages = [message(name) for name in "abcd"]
    with backend_for(server) as backend:
        assert backend.send_messages(messages) == 4
        assert backend.send_messages([message()]) == 1
    assert len(server.connections) == 5


def test_too_many_recipients_at_once(scripted_server):
    def answer(connection, line):
        full = len(connection.open_message.recipient_lines) >= 2
        return b"452 4.5.3 Too many\r\n" if full else b"250 2.1.5 Ok\r\n"

    server = scripted_server(replies={"RCPT": answer})
    one = message(to=TO)
    assert backend_for(server).send_messages([one]) == 1
    assert one.smtp_result.accepted == TO
    assert [m.recipients for m in server.accepted] == [TO[:2], TO[2:]]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"protocol": "uucp"}, "protocol: must be 'smtp' or 'lmtp', not 'uucp'."),
        ({"bdat": True}, "bdat: must be 'never', 'after_rcpt' or 'eager', not True."),
        ({"recipients": ["a@b"]}, "recipients: must be 'any' or 'all', not ['a@b']."),
        ({"dsn": {"when": "always"}}, "dsn: must be a dict with 'notify', 'ret' and 'envid'"),
        ({"dsn": "FAILURE"}, "dsn: must be a dict with 'notify', 'ret' and 'envid'"),
        ({"dsn": {"notify": ["SOMETIMES"]}}, "dsn: notify must list some of SUCCESS"),
        ({"dsn": {"envid": "ü"}}, "dsn: envid must be 1 to 100 printable ASCII"),
        ({"require_tls": "perhaps"}, "require_tls: must be True or False"),
    ],
)
def test_options_that_are_none(scripted_server, options, complaint):
    server = scripted_server()
    with pytest.raises(ImproperlyConfigured) as caught:
        backend_for(server, **options)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"recipients": "most"}, "recipients must be 'any' or 'all', not 'most'."),
        ({"submitter": "a b"}, "Not an e-mail address"),
        ({"parameters": {"SIZE": "1"}}, "SIZE is not for parameters"),
    ],
)
def test_message_options_that_are_none(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        MessageOptions(**options)


def test_options_for_somebody_who_gets_nothing(scripted_server):
    server = scripted_server(extensions=EVERYTHING)
    one = asking(recipient_options={"z@example.org": RecipientOptions(notify=("NEVER",))})
    error = failure_of(backend_for(server, fail_silently=True), [one], ValueError)
    assert "not among its recipients: z@example.org" in str(error)
    assert server.connections == []
