"""What sites get for their own tests: the recording backend and the server of the process."""

import socket
import subprocess
import sys

import django
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.db import OperationalError

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.smtp.errors import (
    AuthenticationRefused,
    ContentRefused,
    DeliveryInDoubt,
    RecipientsRefused,
    TLSError,
)
from django_smtpauth.testing import RecordingBackend, recording_mail, smtp_outcomes
from django_smtpauth.testing.certificates import Authority
from django_smtpauth.testing.overriding import mail_through
from django_smtpauth.testing.server import MailServer

pytest_plugins = ["django_smtpauth.testing.pytest_plugin"]

BAD = "bad@example.org"
GOOD = "good@example.org"


@pytest.fixture(
    params=[
        "legacy",
        pytest.param(
            "mailers",
            marks=pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1"),
        ),
    ],
    autouse=True,
)
def mode(request, settings):
    """Both forms of settings, as Django's test set-up leaves them."""
    locmem = "django.core.mail.backends.locmem.EmailBackend"
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    if request.param == "mailers":
        settings.MAILERS = {"default": {"BACKEND": locmem}, "billing": {"BACKEND": locmem}}
    else:
        settings.EMAIL_BACKEND = locmem
    return request.param


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch):
    """Tests that want the database say so."""
    monkeypatch.setattr("django_smtpauth.sending.accounts.load_accounts", lambda *_: [])


def message(*to, **more):
    return EmailMessage("Grüße", "Hallo", "club@example.com", list(to) or [GOOD], **more)


# Recording


@pytest.mark.django_db
def test_accepted_messages_are_in_the_outbox(smtp_outbox):
    sent = EmailMultiAlternatives("Hi", "text", None, [GOOD], bcc=["hidden@example.org"])
    sent.attach_alternative("<p>html</p>", "text/html")
    assert sent.send() == 1
    (recorded,) = smtp_outbox
    assert recorded is mail.outbox[0]
    assert recorded.subject == "Hi"
    assert recorded.alternatives[0][0] == "<p>html</p>"
    assert recorded.recipients() == [GOOD, "hidden@example.org"]
    assert list(sent.smtp_result.recipients) == [GOOD, "hidden@example.org"]
    assert sent.smtp_result.queue_id.startswith("recorded-")


@pytest.mark.django_db
def test_the_recorded_message_is_as_it_was_when_sent(smtp_outbox):
    sent = message()
    sent.send()
    sent.to.append("later@example.org")
    assert smtp_outbox[0].to == [GOOD]


@pytest.mark.django_db
def test_nothing_but_send_mail_is_needed(smtp_outbox):
    assert send_mail("Hi", "text", "club@example.com", [GOOD]) == 1
    assert len(smtp_outbox) == 1


@pytest.mark.django_db
def test_recording_mail_ends_with_its_block(mode):
    with recording_mail():
        first = message()
        first.send()
    second = message()
    second.send()
    assert first.smtp_result.sent
    assert not hasattr(second, "smtp_result")


@pytest.mark.django_db
def test_every_mailer_records(mode, smtp_outbox):
    if mode == "legacy":
        pytest.skip("there is one mailer only")
    message().send(using="billing")
    assert smtp_outbox[0].sent_using == "billing"


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", ["no address@", "a@example.org\nBcc: x@example.org"])
def test_bad_addresses_raise(smtp_outbox, wrong):
    with pytest.raises(ValueError):
        message(wrong).send()
    assert smtp_outbox == []


@pytest.mark.django_db
def test_bad_headers_raise(smtp_outbox):
    with pytest.raises(ValueError, match="line end"):
        message(headers={"X-Visitor": "a\nb"}).send()
    assert smtp_outbox == []


@pytest.mark.django_db
def test_a_message_without_recipients_is_not_sent(smtp_outbox):
    empty = EmailMessage("Hi", "text", None, [])
    assert RecordingBackend().send_messages([empty, message()]) == 1
    assert len(smtp_outbox) == 1


@pytest.mark.django_db
def test_no_messages(smtp_outbox):
    assert RecordingBackend().send_messages([]) == 0


def test_unknown_options_raise_as_with_the_real_backend(mode):
    if mode == "mailers":
        with pytest.raises(ImproperlyConfigured, match="'prot'"):
            RecordingBackend(prot=25, alias="default")
    with pytest.raises(ImproperlyConfigured, match="'tls' says too little"):
        RecordingBackend(security="tls")


@pytest.fixture
def account(db, settings, monkeypatch):
    monkeypatch.undo()
    settings.SMTPAUTH = {"KEYS": "derive-from-secret-key"}
    return SMTPAccount.objects.create(
        slug="billing", host="smtp.example.com", username="u", password="p"
    )


def test_the_account_is_chosen_as_in_earnest(account, smtp_outbox):
    sent = message()
    sent.smtp_options = MessageOptions(account="billing")
    sent.send()
    attempt = sent.smtp_result.attempts[-1]
    assert (attempt.account, attempt.server) == ("billing", "smtp.example.com:587")


def test_an_unknown_account_raises(account, smtp_outbox):
    sent = message()
    sent.smtp_options = MessageOptions(account="biling")
    with pytest.raises(ImproperlyConfigured, match="Enabled accounts: billing"):
        sent.send()


# Told to fail


@pytest.mark.django_db
def test_one_of_two_recipients_is_refused(smtp_outbox):
    sent = message(GOOD, BAD)
    with smtp_outcomes(refuse={"Bad@Example.org": "550 5.1.1 No such user"}):
        assert sent.send() == 1
    result = sent.smtp_result
    assert (result.accepted, result.refused) == ([GOOD], [BAD])
    assert result.recipients[BAD].reply.as_sent == "550 5.1.1 No such user"
    assert len(smtp_outbox) == 1


@pytest.mark.django_db
def test_the_only_recipient_is_refused(smtp_outbox):
    sent = message(BAD)
    with (
        smtp_outcomes(refuse={BAD: "550 5.1.1 No such user"}),
        pytest.raises(RecipientsRefused) as caught,
    ):
        sent.send()
    assert caught.value.recipients == {BAD: (550, b"5.1.1 No such user")}
    assert not caught.value.transient
    assert caught.value.failed_results == [sent.smtp_result]
    assert smtp_outbox == []


@pytest.mark.django_db
def test_a_recipient_is_deferred(smtp_outbox):
    with (
        smtp_outcomes(defer={BAD: "450 4.2.0 Greylisted"}),
        pytest.raises(RecipientsRefused) as caught,
    ):
        message(BAD).send()
    assert caught.value.transient


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("outcome", "code", "transient"),
    [({"refuse": "554 5.7.1 Spam"}, 554, False), ({"defer": "451 4.3.0 Full"}, 451, True)],
)
def test_the_message_as_a_whole_is_refused(smtp_outbox, outcome, code, transient):
    with smtp_outcomes(**outcome), pytest.raises(ContentRefused) as caught:
        message().send()
    assert caught.value.reply.code == code
    assert caught.value.transient is transient
    assert smtp_outbox == []


@pytest.mark.django_db
def test_in_doubt(smtp_outbox):
    sent = message(GOOD, BAD)
    outcomes = smtp_outcomes(in_doubt=True, refuse={BAD: "550 5.1.1 No"})
    with outcomes, pytest.raises(DeliveryInDoubt):
        sent.send()
    assert sent.smtp_result.in_doubt
    assert sent.smtp_result.refused == [BAD]
    assert smtp_outbox == []


@pytest.mark.django_db
def test_what_is_refused_can_not_be_in_doubt(smtp_outbox):
    outcomes = smtp_outcomes(in_doubt=True, refuse={BAD: "550 5.1.1 No"})
    with outcomes, pytest.raises(RecipientsRefused):
        message(BAD).send()


@pytest.mark.django_db
def test_fail_silently(smtp_outbox):
    with smtp_outcomes(refuse="554 5.7.1 Spam"):
        assert RecordingBackend(fail_silently=True).send_messages([message()]) == 0


@pytest.mark.django_db
def test_a_failure_leaves_the_other_messages_alone(smtp_outbox):
    messages = [message(BAD), message(GOOD)]
    with smtp_outcomes(refuse={BAD: "550 No"}), pytest.raises(RecipientsRefused):
        RecordingBackend().send_messages(iter(messages))
    assert [recorded.to for recorded in smtp_outbox] == [[GOOD]]


@pytest.mark.django_db
def test_the_innermost_outcomes_count_until_their_end(smtp_outbox):
    with smtp_outcomes(refuse="554 outer"):
        with smtp_outcomes():
            assert message().send() == 1
        with pytest.raises(ContentRefused):
            message().send()
    assert message().send() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"refuse": "no such user"},
        {"refuse": {BAD: "450 later"}},
        {"defer": "550 never"},
        {"refuse": {"no address@": "550 No"}},
        {"refuse": "550 No", "defer": "450 Later"},
    ],
)
def test_outcomes_that_mean_nothing(wrong):
    with pytest.raises(ValueError), smtp_outcomes(**wrong):
        pass


# A real server


@pytest.mark.django_db
def test_mail_reaches_the_server(smtp_server):
    sent = message(GOOD)
    sent.send()
    (received,) = smtp_server.messages
    assert received.sender == "club@example.com"
    assert received.recipients == (GOOD,)
    assert received.username == smtp_server.username
    assert received.tls == "TLSv1.3"
    assert received.message["Subject"] == "Grüße"
    assert received.queue_id == sent.smtp_result.queue_id
    assert smtp_server.password not in repr(received)


@pytest.mark.django_db
def test_the_server_refuses_whom_it_is_told_to(smtp_server):
    smtp_server.refuse[BAD] = "550 5.1.1 No such user"
    sent = message(GOOD, BAD)
    sent.send()
    assert sent.smtp_result.refused == [BAD]
    assert smtp_server.messages[0].recipients == (GOOD,)


def through(server, tmp_path, ca_text=None, **changes):
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(ca_text or server.ca_text)
    return mail_through(
        **{
            "host": server.host,
            "port": server.port,
            "username": server.username,
            "password": server.password,
            "ca_file": str(ca_file),
            **changes,
        }
    )


@pytest.mark.django_db
def test_the_log_in_is_real(tmp_path, caplog):
    with MailServer() as server:
        for changes in ({"password": "wrong"}, {"username": "somebody"}):
            with through(server, tmp_path, **changes), pytest.raises(AuthenticationRefused):
                message().send()
    assert server.messages == []
    assert {record.name for record in caplog.records} == {"django_smtpauth"}


@pytest.mark.django_db
def test_the_certificate_is_verified(tmp_path, caplog):
    with (
        MailServer() as server,
        through(server, tmp_path, ca_text=Authority().pem),
        pytest.raises(TLSError),
    ):
        message().send()
    assert {record.name for record in caplog.records} == {"django_smtpauth"}


@pytest.mark.django_db
def test_a_server_without_log_in():
    with MailServer(log_in=False) as server:
        EmailBackend(host=server.host, port=server.port).send_messages([message()])
    (received,) = server.messages
    assert (received.username, received.tls) == ("", "")


def test_a_stopped_server_is_gone_and_may_be_stopped_again():
    server = MailServer().start()
    address = (server.host, server.port)
    with socket.create_connection(address, timeout=10) as client:
        assert client.recv(100).startswith(b"220 localhost ")
        server.stop()
        assert client.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)
    server.stop()


@pytest.mark.django_db
def test_a_site_whose_accounts_can_not_be_read_can_still_be_tested(smtp_outbox, monkeypatch):
    def no_table(*_):
        raise OperationalError("no such table")

    monkeypatch.setattr("django_smtpauth.sending.accounts.source._load", no_table)
    assert message().send() == 1


def test_without_aiosmtpd_the_server_says_what_to_install():
    code = (
        "import sys\n"
        "sys.modules['aiosmtpd.smtp'] = None\n"
        "import django_smtpauth.testing.pytest_plugin\n"
        "import django_smtpauth.testing.server\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'django-smtpauth[demo]'" in done.stderr
