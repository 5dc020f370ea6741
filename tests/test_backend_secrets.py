"""What leaves the backend shows no secret: errors, their frames, results."""

import smtplib

import pytest

from django_smtpauth.backends import EmailBackend
from django_smtpauth.smtp import AuthenticationRefused, RecipientsRefused
from tests.backend_fixtures import (  # noqa: F401
    PASSWORD,
    USER,
    _fresh_process,
    backend_for,
    default_backend,
    mail_settings,
    make_account,
    message,
    needs_legacy,
)
from tests.leaks import all_within, found
from tests.servers.scripted import Answer, Then


def leaving(function, *arguments, **keywords):
    with pytest.raises(Exception) as caught:
        function(*arguments, **keywords)
    return caught.value


def test_a_leak_would_be_found():
    namespace = {"__name__": "elsewhere"}
    exec("def fail(password):\n    raise LookupError", namespace)
    assert leaks(leaving(namespace["fail"], PASSWORD)) == [PASSWORD]


def leaks(error):
    return found(PASSWORD, all_within(error), USER)


@pytest.mark.parametrize(
    "options",
    [
        {"use_tls": True, "use_ssl": True},
        {"security": "tls"},
        {"port": "x"},
        {"account": "club"},
        {"host": "no such host"},
        {"auth_mechanisms": "PLAIN"},
    ],
)
def test_a_bad_option_shows_no_password(options):
    error = leaving(EmailBackend, username=USER, password=PASSWORD, **options)
    assert isinstance(error, ValueError)
    assert leaks(error) == []


def test_a_password_of_the_wrong_type_is_not_shown():
    error = leaving(EmailBackend, username=USER, password=PASSWORD.encode())
    assert "must be text" in str(error)
    assert leaks(error) == []


@needs_legacy
@pytest.mark.parametrize(
    "bad",
    [
        {"EMAIL_USE_TLS": True, "EMAIL_USE_SSL": True},
        {"EMAIL_PORT": "x"},
        {"EMAIL_HOST_PASSWORD": PASSWORD.encode()},
        {"SMTPAUTH": {"DEFAULTS": {"colour": "red"}}},
    ],
)
def test_bad_settings_show_no_password(settings, bad):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = USER, PASSWORD
    for name, value in bad.items():
        setattr(settings, name, value)
    assert leaks(leaving(EmailBackend)) == []


@pytest.mark.parametrize("bad", [{"port": "x"}, {"colour": "red"}, {"password": b"x" * 9}])
def test_bad_defaults_show_no_password(settings, bad):
    settings.SMTPAUTH = {"DEFAULTS": {"username": USER, "password": PASSWORD, **bad}}
    assert leaks(leaving(EmailBackend)) == []


FAILURES = [
    {"AUTH": b"535 5.7.8 Wrong\r\n", "AUTH-RESPONSE": b"535 5.7.8 Wrong\r\n"},
    {"AUTH": Answer(b"", Then.CLOSE)},
    {"AUTH-RESPONSE": Answer(b"", Then.RESET), "AUTH": b"334 \r\n"},
    {"MAIL": b"550 5.7.1 No\r\n"},
    {"CONTENT": Answer(b"", Then.CLOSE)},
]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
@pytest.mark.parametrize("replies", FAILURES)
def test_no_frame_of_a_failed_send_shows_the_password(scripted_server, replies, mechanism):
    server = scripted_server(users={USER: PASSWORD}, mechanisms=[mechanism], replies=replies)
    backend = backend_for(server, username=USER, password=PASSWORD, auth_mechanisms=[mechanism])
    with pytest.raises(smtplib.SMTPException) as caught:
        backend.send_messages([message()])
    assert leaks(caught.value) == []


@pytest.mark.parametrize("replies", FAILURES[:3])
def test_no_frame_of_a_failed_open_shows_the_password(scripted_server, replies):
    server = scripted_server(users={USER: PASSWORD}, replies=replies)
    with pytest.raises(smtplib.SMTPException) as caught:
        backend_for(server, username=USER, password=PASSWORD).open()
    assert leaks(caught.value) == []


@pytest.mark.django_db
@pytest.mark.parametrize("replies", FAILURES)
def test_no_frame_shows_the_password_of_an_account(
    scripted_server,
    make_account,  # noqa: F811
    mail_settings,  # noqa: F811
    replies,
):
    server = scripted_server(users={USER: PASSWORD}, replies=replies)
    make_account("club", server, username=USER, password=PASSWORD, is_default=True)
    mail_settings()
    one = message()
    error = leaving(default_backend().send_messages, [one])
    assert leaks(error) == []
    assert PASSWORD not in str(one.smtp_result.to_dict())


def test_results_and_errors_show_no_password(scripted_server):
    refusal = {"AUTH": b"535 5.7.8 Wrong\r\n", "AUTH-RESPONSE": b"535 5.7.8 Wrong\r\n"}
    server = scripted_server(users={USER: PASSWORD}, replies=refusal)
    one = message()
    error = leaving(backend_for(server, username=USER, password=PASSWORD).send_messages, [one])
    assert isinstance(error, AuthenticationRefused)
    for text in (repr(one.smtp_result), one.smtp_result.dialogue(), repr(error.to_dict())):
        assert found(PASSWORD, text, USER) == []


def test_an_error_names_the_server_but_no_address(scripted_server):
    server = scripted_server(replies={"RCPT": b"550 5.1.1 <to@example.org> unknown\r\n"})
    error = leaving(backend_for(server).send_messages, [message()])
    assert isinstance(error, RecipientsRefused)
    assert str(error).splitlines()[0] == f"RCPT refused: 550 5.1.1 (127.0.0.1:{server.port})"
    assert "example.org" not in str(error)
