"""What logs in: a password, an access token or a client certificate, by the options."""

import functools

import pytest
from django.utils.functional import lazystr

from django_smtpauth.sending.mailer import (
    SERVER_OPTIONS,
    MailerOptions,
    backend_options,
    build_endpoint,
    endpoint,
    plain_settings,
)
from django_smtpauth.sending.option_values import AccessToken, InvalidOption, Password
from django_smtpauth.smtp.errors import NotSupported, SMTPError
from tests.leaks import shown_by_trackers

TOKEN = "ya29.a-token"


def options(**given):
    return backend_options({"host": "mx.example", **given})


# What may be written


@pytest.mark.parametrize("written", [TOKEN, lazystr(TOKEN), lambda: TOKEN, lambda: lazystr(TOKEN)])
def test_a_text_or_what_returns_one(written):
    read = options(access_token=written).access_token
    assert isinstance(read, AccessToken)
    assert read.reveal() == TOKEN


@pytest.mark.parametrize("written", [b"a-token", 90125, ["a-token"]])
def test_what_is_neither(written):
    with pytest.raises(InvalidOption, match="must be text, or a callable") as caught:
        options(access_token=written)
    assert repr(written) not in shown_by_trackers(caught.value)


@pytest.mark.parametrize("written", [None, ""])
def test_an_empty_one_is_none(written):
    assert options(access_token=written).access_token is None


def test_what_is_called_may_look_empty():
    class Source(list):
        def __call__(self):
            return TOKEN

    assert options(access_token=Source()).access_token.reveal() == TOKEN


def test_it_shows_nowhere():
    read = options(username="u", access_token=functools.partial(str, TOKEN))
    assert TOKEN not in repr(read) + repr(read.access_token) + str(vars(read))
    assert TOKEN not in repr(endpoint(read))


def test_tokens_compare_by_value():
    def source():
        return TOKEN

    assert AccessToken("a") == AccessToken("a") != AccessToken("b")
    assert AccessToken(source) == AccessToken(source) != AccessToken(lambda: TOKEN)
    assert hash(AccessToken(source)) == hash(AccessToken(source))
    assert AccessToken("a") != Password("a")
    assert len({AccessToken([]), AccessToken([])}) == 1


def test_it_is_asked_for_each_time():
    tokens = iter("ab")
    read = options(access_token=lambda: next(tokens)).access_token
    assert [read.reveal(), read.reveal()] == ["a", "b"]


# When it can't be had


def failure_of(source):
    with pytest.raises(SMTPError) as caught:
        options(access_token=source).access_token.reveal()
    return caught.value


@pytest.mark.parametrize(("kind", "transient"), [(KeyError, False), (ConnectionError, True)])
def test_a_callable_that_fails_is_named_by_its_place(kind, transient):
    def source():
        client_secret = "the-client-s-secret"
        raise kind(client_secret)

    error = failure_of(source)
    assert (error.stage, error.reason, error.transient) == ("AUTH", "secret-missing", transient)
    assert error.message.startswith(
        f"the callable of access_token failed: {kind.__name__} in {__name__}, line "
    )
    assert "the-client-s-secret" not in shown_by_trackers(error)
    assert error.__context__ is None


def test_an_smtp_error_of_the_callable_is_shown_as_it_is():
    def source():
        raise NotSupported("the grant was revoked", cure="Grant it again.")

    error = failure_of(source)
    assert isinstance(error, NotSupported)
    assert (error.message, error.stage, error.cure) == (
        "the grant was revoked",
        "AUTH",
        "Grant it again.",
    )


def test_the_causes_of_an_smtp_error_stay_behind():
    def source():
        try:
            raise LookupError("the-client-s-secret")
        except LookupError as error:
            raise NotSupported("the grant was revoked") from error

    assert "the-client-s-secret" not in shown_by_trackers(failure_of(source))


@pytest.mark.parametrize("returned", [None, b"a-token-in-octets", 7])
def test_a_callable_that_returns_no_text(returned):
    error = failure_of(lambda: returned)
    kind = type(returned).__name__
    assert error.message == f"the callable of access_token returned {kind} in place of a text"
    assert (error.stage, error.reason) == ("AUTH", "secret-missing")
    assert "a-token-in-octets" not in shown_by_trackers(error)


def test_an_interrupt_is_not_caught():
    def source():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        options(access_token=source).access_token.reveal()


# Token or password


def test_both_in_one_place_are_an_error():
    with pytest.raises(InvalidOption, match="password and access_token exclude") as caught:
        options(password="a-password", access_token=TOKEN)
    shown = shown_by_trackers(caught.value)
    assert "a-password" not in shown
    assert TOKEN not in shown


def test_an_empty_password_contradicts_nothing():
    assert options(password="", access_token=TOKEN).access_token.reveal() == TOKEN


@pytest.mark.parametrize(
    ("upper", "lower", "left"),
    [
        ({"access_token": "t"}, {"password": "p"}, (None, "t")),
        ({"password": "p"}, {"access_token": "t"}, ("p", None)),
        ({"password": ""}, {"access_token": "t"}, ("", "t")),
        ({"port": 25}, {"access_token": "t"}, (None, "t")),
        ({"access_token": "u"}, {"access_token": "t"}, (None, "u")),
        ({"port": 25}, {"password": "p"}, ("p", None)),
    ],
)
def test_the_upper_layer_decides(upper, lower, left):
    both = backend_options(upper).over(backend_options(lower))
    found = (both.password, both.access_token)
    assert tuple(one if one is None else one.reveal() for one in found) == left


def test_in_the_defaults(settings):
    settings.SMTPAUTH = {"DEFAULTS": {"username": "u", "access_token": lambda: TOKEN}}
    assert plain_settings().access_token.reveal() == TOKEN


def test_it_describes_a_server():
    assert "access_token" in SERVER_OPTIONS
    with pytest.raises(InvalidOption, match="'club' can't stand with access_token"):
        backend_options({"account": "club", "access_token": TOKEN})


# What the engine gets


def test_the_engine_gets_a_token():
    credentials = endpoint(options(username="u", access_token=TOKEN)).credentials
    assert (credentials.username, credentials.kind) == ("u", "token")
    assert credentials.secret() == TOKEN


def test_a_token_is_somebody_s():
    with pytest.raises(InvalidOption, match="access_token needs username"):
        endpoint(options(access_token=TOKEN))


def test_an_empty_user_name_switches_log_in_off():
    assert endpoint(options(username="", access_token=TOKEN)).credentials is None


CERTIFICATE = {"ssl_certfile": "client.pem", "security": "implicit_tls"}


@pytest.mark.parametrize("mechanisms", [["EXTERNAL"], ["external", "PLAIN"]])
@pytest.mark.parametrize(
    ("given", "username"), [({}, ""), ({"username": ""}, ""), ({"username": "u"}, "u")]
)
def test_a_certificate_logs_in_where_external_is_named(mechanisms, given, username):
    read = endpoint(options(auth_mechanisms=mechanisms, **CERTIFICATE, **given))
    assert (read.credentials.username, read.credentials.kind) == (username, "certificate")


@pytest.mark.parametrize(
    "given", [{}, {"username": "u"}, {"username": "u", "auth_mechanisms": ["PLAIN"]}]
)
def test_a_certificate_alone_logs_nobody_in(given):
    assert endpoint(options(**CERTIFICATE, **given)).credentials is None


def test_a_password_stays_beside_external():
    given = {"auth_mechanisms": ["EXTERNAL", "PLAIN"], "username": "u", "password": "p"}
    read = endpoint(options(**CERTIFICATE, **given))
    assert read.credentials.kind == "password"
    assert endpoint(options(**given)).credentials.kind == "password"


def test_external_alone_needs_a_certificate():
    with pytest.raises(InvalidOption, match="give ssl_certfile"):
        endpoint(options(auth_mechanisms=["EXTERNAL"], username="u", password="p"))


def test_an_account_may_log_in_with_a_certificate():
    given = MailerOptions(host="mx.example", username="u", ssl_certfile="client.pem")
    assert build_endpoint(given, "account club", None).credentials is None
    named = MailerOptions(
        host="mx.example",
        username="u",
        ssl_certfile="client.pem",
        auth_mechanisms=("EXTERNAL",),
    )
    assert build_endpoint(named, "account club", None).credentials.kind == "certificate"
