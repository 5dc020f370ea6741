"""Log-in through the backend: access tokens, certificates, and what was refused before."""

import smtplib
import ssl

import pytest

from django_smtpauth.backends import EmailBackend
from django_smtpauth.diagnosis.plan import Plan
from django_smtpauth.diagnosis.probe import probe
from django_smtpauth.smtp import AuthenticationRefused, SMTPError, Status
from tests.backend_fixtures import (  # noqa: F401
    PASSWORD,
    USER,
    _fresh_process,
    backend_for,
    batch,
    default_backend,
    failure_of,
    fates,
    mail_settings,
    message,
)
from tests.leaks import shown_by_trackers

TOKEN = "ya29.Geheim-42-Wort"
MECHANISMS = ["PLAIN", "OAUTHBEARER", "XOAUTH2"]
LOG_IN = Plan(stop_after="AUTH")


@pytest.fixture
def server(scripted_server):
    return scripted_server(tokens={USER: TOKEN}, mechanisms=MECHANISMS)


def attempts(server):
    return [(one.mechanism, one.accepted) for c in server.connections for one in c.auth]


@pytest.mark.parametrize("token", [TOKEN, lambda: TOKEN], ids=["text", "callable"])
@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_a_token_logs_in(server, token, mechanism):
    one = message()
    backend = backend_for(server, username=USER, access_token=token, auth_mechanisms=[mechanism])
    assert backend.send_messages([one]) == 1
    assert one.smtp_result.attempts[0].mechanism == mechanism
    assert attempts(server) == [(mechanism, True)]
    assert TOKEN not in one.smtp_result.dialogue()


def test_the_settings_may_have_it(server, mail_settings):  # noqa: F811
    mail_settings(host=server.host, port=server.port, username=USER, access_token=lambda: TOKEN)
    assert default_backend().send_messages([message()]) == 1
    assert attempts(server) == [("OAUTHBEARER", True)]


def test_a_token_is_asked_for_once_a_log_in(server):
    asked = []

    def token():
        asked.append(1)
        return TOKEN

    backend = backend_for(server, username=USER, access_token=token)
    assert asked == []
    assert backend.send_messages(batch("abc")) == 3
    assert len(asked) == 1
    assert backend.send_messages([message()]) == 1
    assert len(asked) == 2


def test_no_token_for_a_server_that_takes_none(scripted_server):
    server = scripted_server(users={USER: PASSWORD}, mechanisms=["PLAIN"])

    def never():
        raise AssertionError("the token was asked for")

    error = failure_of(backend_for(server, username=USER, access_token=never), [message()])
    assert (error.stage, error.reason) == ("AUTH", "no-mechanism")


def test_a_token_that_can_not_be_had_fails_the_batch_and_no_more(server):
    def token():
        client_secret = "Geheim-der-Anwendung"
        raise LookupError(client_secret)

    messages = batch("ab")
    error = failure_of(backend_for(server, username=USER, access_token=token), messages)
    assert isinstance(error, smtplib.SMTPException)
    assert error.stage == "AUTH"
    assert "LookupError in tests.test_backend_log_in, line " in str(error)
    assert "Geheim-der-Anwendung" not in shown_by_trackers(error)
    assert [one.smtp_result.error for one in messages] == [error, error]
    assert fates(messages) == ["failed", "failed"]
    assert attempts(server) == []


@pytest.mark.parametrize(
    "bad", [{"port": "x"}, {"password": PASSWORD}, {"auth_mechanisms": "PLAIN"}, {"account": "a"}]
)
def test_a_bad_option_shows_no_token(bad):
    with pytest.raises(ValueError) as caught:
        EmailBackend(username=USER, access_token=TOKEN, **bad)
    assert TOKEN not in shown_by_trackers(caught.value)
    assert PASSWORD not in shown_by_trackers(caught.value)


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_a_refusal_shows_no_token(scripted_server, mechanism):
    server = scripted_server(tokens={USER: "other"}, mechanisms=[mechanism])
    one = message()
    error = failure_of(backend_for(server, username=USER, access_token=TOKEN), [one])
    assert isinstance(error, AuthenticationRefused)
    assert "invalid_token (the token is expired" in str(error)
    said = server.connections[0].commands[1].split()[-1].decode()
    for text in (shown_by_trackers(error), str(one.smtp_result.to_dict())):
        assert TOKEN not in text
        assert said not in text


def test_a_certificate_logs_in(scripted_server, certificates):
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    server = scripted_server(extensions=["AUTH EXTERNAL"], ssl_context=context, implicit_tls=True)
    options = {
        "security": "implicit_tls",
        "ca_file": certificates.ca_file,
        "ssl_certfile": certificates.client_file,
        "ssl_keyfile": certificates.client_key_file,
    }
    named = backend_for(server, **options, auth_mechanisms=["EXTERNAL"])
    assert named.send_messages([message()]) == 1
    assert backend_for(server, **options).send_messages([message()]) == 1
    assert [len(one.auth) for one in server.connections] == [1, 0]


# What was refused before


def test_a_wrong_password_is_tried_once(scripted_server):
    server = scripted_server(users={USER: "right"})
    one = message()
    for reason in ("", "refused-before", "refused-before"):
        error = failure_of(backend_for(server, username=USER, password=PASSWORD), [one])
        assert isinstance(error, AuthenticationRefused)
        assert (error.reason, error.smtp_code) == (reason, 535)
    assert "is not tried again before" in str(error)
    assert one.smtp_result.recipients["to@example.org"].status is Status.REFUSED
    assert attempts(server) == [("CRAM-MD5", False)]
    assert PASSWORD not in shown_by_trackers(error)
    backend = backend_for(server, username=USER, password="right")
    assert backend.send_messages([message()]) == 1


def test_a_check_asks_the_server(scripted_server):
    server = scripted_server(users={USER: "right"})
    backend = backend_for(server, username=USER, password=PASSWORD)
    failure_of(backend, [message()])
    for _ in range(2):
        error = probe(backend.route(), LOG_IN).error
        assert isinstance(error, SMTPError)
        assert error.reason == ""
    assert attempts(server) == [("CRAM-MD5", False)] * 3


def test_a_check_that_succeeds_lets_mail_through_at_once(scripted_server):
    users = {USER: "right"}
    server = scripted_server(users=users)
    backend = backend_for(server, username=USER, password=PASSWORD)
    failure_of(backend, [message()])
    users[USER] = PASSWORD  # the provider repaired it
    assert failure_of(backend, [message()]).reason == "refused-before"
    assert probe(backend.route(), LOG_IN).error is None
    assert backend.send_messages([message()]) == 1
