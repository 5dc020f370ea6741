import pytest
from django.core.checks import run_checks

from django_smtpauth.secrets.keyring import generate_key


def found(deploy=False):
    messages = run_checks(include_deployment_checks=deploy)
    return {message.id: message for message in messages if message.id.startswith("smtpauth.")}


def test_a_usable_key_is_no_problem(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    assert found(deploy=True).keys() & {"smtpauth.E101", "smtpauth.W101", "smtpauth.W102"} == set()


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["env:SMTPAUTH_ABSENT"], "env:SMTPAUTH_ABSENT"),
        (["k1:c2VjcmV0"], "6 octets instead of 32"),
        ({"k1": "c2VjcmV0"}, "must be a list"),
    ],
)
def test_an_unusable_source_is_an_error(settings, keys, named):
    settings.SMTPAUTH = {"KEYS": keys}
    message = found()["smtpauth.E101"]
    assert named in message.msg
    assert "c2VjcmV0" not in message.msg
    assert "smtpkeys generate" in message.hint


def test_a_callable_is_not_called(settings):
    def vault():
        raise AssertionError

    settings.SMTPAUTH = {"KEYS": [vault]}
    assert "smtpauth.E101" not in found()


@pytest.mark.parametrize("keys", ["derive-from-secret-key", ["derive-from-secret-key"]])
def test_a_derived_key_is_a_warning(settings, keys):
    settings.SMTPAUTH = {"KEYS": keys}
    assert "SECRET_KEY_FALLBACKS" in found()["smtpauth.W101"].msg


def test_no_keys_is_a_warning_for_deployments(settings):
    settings.SMTPAUTH = {}
    assert "smtpauth.W102" in found(deploy=True)
    assert "smtpauth.W102" not in found()
    settings.DEBUG = True
    assert "smtpauth.W102" not in found(deploy=True)
