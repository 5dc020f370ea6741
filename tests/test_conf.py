"""The SMTPAUTH dict and the EMAIL_* settings, read at the moment of use."""

import warnings
from contextvars import ContextVar
from uuid import UUID

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

from django_smtpauth import conf
from django_smtpauth.conf import is_explicit, mail_setting, mailers_configured, smtpauth_settings

pytestmark = pytest.mark.filterwarnings("ignore:The EMAIL_.* setting is deprecated")


class Site:
    """An object with a text of its own, as a model's rows have one."""

    def __str__(self):
        return "north"


def test_defaults_apply_without_the_dict(settings):
    if hasattr(settings, "SMTPAUTH"):
        del settings.SMTPAUTH
    assert smtpauth_settings.ACCOUNT_REFRESH == 5.0
    assert smtpauth_settings.KEYS is None


def test_the_dict_is_read_at_the_moment_of_use(settings):
    settings.SMTPAUTH = {"ACCOUNT_REFRESH": 60}
    assert smtpauth_settings.ACCOUNT_REFRESH == 60
    settings.SMTPAUTH = {}
    assert smtpauth_settings.ACCOUNT_REFRESH == 5.0


def test_only_known_names_can_be_read():
    with pytest.raises(AttributeError):
        smtpauth_settings.NO_SUCH_KEY  # noqa: B018


def test_anything_but_a_dict_is_refused(settings):
    settings.SMTPAUTH = ["KEYS"]
    with pytest.raises(ImproperlyConfigured, match="must be a dict, not list"):
        smtpauth_settings.KEYS  # noqa: B018


@pytest.mark.parametrize(
    ("written", "scope"), [("north", "north"), (lambda: "south", "south"), (lambda: None, "")]
)
def test_the_scope_is_text_or_what_a_callable_returns(settings, written, scope):
    settings.SMTPAUTH = {"SCOPE": written}
    assert smtpauth_settings.scope == scope


@pytest.mark.parametrize(
    ("key", "scope"), [(7, "7"), (UUID(int=7), str(UUID(int=7))), (gettext_lazy("north"), "north")]
)
def test_a_key_of_a_tenant_becomes_text(settings, key, scope):
    settings.SMTPAUTH = {"SCOPE": lambda: key}
    assert smtpauth_settings.scope == scope


@pytest.mark.parametrize("value", [True, 1.5, b"north", object(), Site(), ["north"]])
def test_what_names_no_scope_is_refused(settings, value):
    settings.SMTPAUTH = {"SCOPE": lambda: value}
    with pytest.raises(ImproperlyConfigured, match=rf'"SCOPE"\] gave {type(value).__name__} '):
        smtpauth_settings.scope  # noqa: B018


def test_a_scope_that_can_not_be_told_names_the_setting_and_the_reason(settings):
    settings.SMTPAUTH = {"SCOPE": ContextVar("tenant").get}
    with pytest.raises(
        ImproperlyConfigured, match=r'SMTPAUTH\["SCOPE"\] failed: LookupError'
    ) as e:
        smtpauth_settings.scope  # noqa: B018
    assert isinstance(e.value.__cause__, LookupError)


@pytest.mark.parametrize("value", ["5", None, -1, True, float("nan")])
def test_account_refresh_must_be_seconds(settings, value):
    settings.SMTPAUTH = {"ACCOUNT_REFRESH": value}
    with pytest.raises(ImproperlyConfigured, match="number of seconds"):
        smtpauth_settings.account_refresh  # noqa: B018


def test_account_refresh_may_be_zero(settings):
    settings.SMTPAUTH = {"ACCOUNT_REFRESH": 0}
    assert smtpauth_settings.account_refresh == 0


def test_an_email_setting_is_read_without_a_warning(settings):
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    settings.EMAIL_HOST = "smtp.example.com"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mail_setting("EMAIL_HOST") == "smtp.example.com"
        assert is_explicit("EMAIL_HOST")
        assert mail_setting("EMAIL_PORT") == 25
        assert not is_explicit("EMAIL_PORT")


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1")
def test_under_mailers_there_are_no_email_settings(settings):
    settings.MAILERS = {}
    assert mailers_configured()
    assert mail_setting("EMAIL_HOST") is None


def test_before_django_6_1_mailers_means_nothing(settings, monkeypatch):
    monkeypatch.setattr(conf.django, "VERSION", (6, 0, 10, "final", 0))
    settings.MAILERS = {}
    assert not mailers_configured()
