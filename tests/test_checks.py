"""System checks of the settings."""

import warnings

import django
import pytest
from django.core.checks import CheckMessage
from django.core.checks.registry import registry

from django_smtpauth import checks
from django_smtpauth.backends import EmailBackend

pytestmark = pytest.mark.filterwarnings("ignore:The EMAIL_.* setting is deprecated")

needs_mailers = pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1")
CORE = "django.core.mail.backends.smtp.EmailBackend"


class OwnBackend(EmailBackend):
    """A site's subclass."""


@pytest.fixture
def legacy(settings):
    """The settings, without MAILERS."""
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    return settings


OURS = (checks.check_settings, checks.check_email_settings, checks.check_mailers)


def run() -> list[CheckMessage]:
    """What the checks find, themselves without a word of warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [message for check in OURS for message in check(None)]


def found() -> list[str]:
    """The ids of what the checks find."""
    return [message.id for message in run()]


def message() -> str:
    """Text and hint of the only thing found."""
    (only,) = run()
    return f"{only.msg} {only.hint}"


def test_the_checks_are_registered():
    assert registry.registered_checks.issuperset(OURS)


def test_nothing_is_wrong_with_no_settings_at_all(legacy):
    assert found() == []


def test_nothing_is_wrong_with_usual_settings(legacy):
    legacy.EMAIL_HOST = "smtp.example.com"
    legacy.EMAIL_PORT = 587
    legacy.EMAIL_USE_TLS = True
    legacy.SMTPAUTH = {"DEFAULTS": {"timeout": 5}, "SCOPE": "north", "ACCOUNT_REFRESH": 1}
    assert found() == []


@pytest.mark.parametrize(
    ("value", "ids"),
    [("staging@example.org", [checks.REDIRECTED]), ("", []), (None, []), ("nobody", [])],
)
def test_a_deployment_that_redirects_its_mail(settings, value, ids):
    """A value that is no address is told by the other check."""
    settings.SMTPAUTH = {"REDIRECT_TO": value}
    assert checks.check_redirection_for_deployment in registry.deployment_checks
    assert [message.id for message in checks.check_redirection_for_deployment(None)] == ids


def test_an_unknown_key(settings):
    settings.SMTPAUTH = {"KEY": "x"}
    assert found() == [checks.UNKNOWN_KEY]
    assert "'KEY'" in message()
    assert "KEYS" in message()


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"SCOPE": 3},
        {"ACCOUNT_REFRESH": "5"},
        {"ACCOUNT_REFRESH": -1},
        {"REDIRECT_TO": "nobody"},
        {"REDIRECT_TO": ["a@example.org"]},
    ],
)
def test_a_bad_value(settings, value):
    settings.SMTPAUTH = value
    assert found() == [checks.BAD_VALUE]


@pytest.mark.parametrize(
    ("defaults", "text"),
    [
        ({"hots": "x"}, '"hots"'),
        ({"timeout": "soon"}, "number of seconds"),
        ({"security": "tls"}, "Django's USE_TLS is 'starttls'"),
        ({"security": "starttls", "use_ssl": True}, "contradicts"),
        (["host"], "must be a dict"),
    ],
)
def test_bad_defaults(settings, defaults, text):
    settings.SMTPAUTH = {"DEFAULTS": defaults}
    assert found() == [checks.BAD_DEFAULTS]
    assert text in message()


@pytest.mark.parametrize(
    ("name", "value"),
    [("EMAIL_PORT", "smtp"), ("EMAIL_USE_TLS", "False"), ("EMAIL_HOST", "smtp://example.com")],
)
def test_a_bad_email_setting(legacy, name, value):
    setattr(legacy, name, value)
    assert found() == [checks.BAD_EMAIL_SETTING]
    assert message().startswith(name)


def test_both_kinds_of_tls(legacy):
    legacy.EMAIL_USE_TLS = legacy.EMAIL_USE_SSL = True
    assert found() == [checks.BAD_EMAIL_SETTING]


def test_both_kinds_of_tls_from_two_places(legacy):
    legacy.EMAIL_USE_TLS = True
    legacy.SMTPAUTH = {"DEFAULTS": {"use_ssl": True}}
    assert found() == [checks.BAD_EMAIL_SETTING]


def test_starttls_on_port_465_as_smtps_urls_give_it(legacy):
    legacy.EMAIL_USE_TLS = True
    legacy.EMAIL_PORT = 465
    assert found() == [checks.STARTTLS_ON_465]
    for word in ("EMAIL_USE_SSL", "smtps://", "django-environ", "dj-email-url"):
        assert word in message()


def test_opportunistic_on_port_465(legacy):
    legacy.SMTPAUTH = {"DEFAULTS": {"security": "opportunistic", "host": "smtp.example.com"}}
    legacy.EMAIL_PORT = 465
    assert checks.STARTTLS_ON_465 in found()


def test_implicit_tls_on_port_587(legacy):
    legacy.EMAIL_USE_SSL = True
    legacy.EMAIL_PORT = 587
    assert found() == [checks.IMPLICIT_TLS_ON_587]
    assert "EMAIL_USE_TLS" in message()


def test_the_port_may_come_from_the_defaults(legacy):
    legacy.EMAIL_USE_SSL = True
    legacy.SMTPAUTH = {"DEFAULTS": {"port": 587}}
    assert found() == [checks.IMPLICIT_TLS_ON_587]


@pytest.mark.parametrize("backend", [checks.BACKEND, f"{__name__}.OwnBackend"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"security": "tls"}, "security: 'tls' says too little"),
        ({"security": "none", "use_tls": True}, "contradicts"),
        ({"use_ssl": True, "use_tls": True}, "incompatible"),
        ({"account": "club", "host": "smtp.example.com"}, "'club' can't stand with host"),
        ({"port": "smtp"}, "port: must be a number"),
    ],
)
@needs_mailers
def test_bad_options_of_a_mailer_of_ours(settings, backend, options, text):
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    assert found() == [checks.BAD_MAILER]
    assert message().startswith("MAILERS['default']: ")
    assert text in message()


@needs_mailers
def test_an_unknown_option_is_ours_to_refuse_but_not_a_subclasses(settings):
    options = {"nope": 1, "fail_silently": True}
    settings.MAILERS = {"default": {"BACKEND": checks.BACKEND, "OPTIONS": options}}
    assert found() == [checks.BAD_MAILER]
    settings.MAILERS = {"default": {"BACKEND": f"{__name__}.OwnBackend", "OPTIONS": options}}
    assert found() == []


@pytest.mark.parametrize("backend", [CORE, "no.such.Backend", f"{__name__}.found", None])
@needs_mailers
def test_other_backends_are_left_alone(settings, backend):
    settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": {"port": "smtp"}}}
    assert found() == []


@needs_mailers
def test_mailers_of_ours_with_every_kind_of_option(settings):
    settings.MAILERS = {
        "default": {"BACKEND": checks.BACKEND},
        "club": {"BACKEND": checks.BACKEND, "OPTIONS": {"account": "club", "fail_silently": True}},
        "host": {"BACKEND": checks.BACKEND, "OPTIONS": {"host": "h", "security": "starttls"}},
        "core": {"OPTIONS": {"host": "h"}},
    }
    assert found() == []


@needs_mailers
def test_ports_of_mailers(settings):
    settings.MAILERS = {
        "default": {"BACKEND": checks.BACKEND, "OPTIONS": {"port": 465, "use_tls": True}},
        "other": {"BACKEND": checks.BACKEND, "OPTIONS": {"port": 587}},
    }
    settings.SMTPAUTH = {"DEFAULTS": {"security": "implicit_tls"}}
    assert found() == [checks.STARTTLS_ON_465, checks.IMPLICIT_TLS_ON_587]


def test_bad_defaults_are_reported_once(settings, legacy):
    legacy.SMTPAUTH = {"DEFAULTS": {"port": "smtp"}}
    assert found() == [checks.BAD_DEFAULTS]


@needs_mailers
def test_bad_defaults_are_reported_once_under_mailers(settings):
    settings.SMTPAUTH = {"DEFAULTS": {"port": "smtp"}}
    settings.MAILERS = {"default": {"BACKEND": checks.BACKEND}}
    assert found() == [checks.BAD_DEFAULTS]


def test_the_checks_need_no_database():
    # Without the db fixture every query is an error here.
    assert found() == []
