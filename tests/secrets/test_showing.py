"""Everything that shows an account, or a secret, shows nothing of the secret."""

import json
import logging
import pickle
import pprint
import sys

import pytest
from django.forms import model_to_dict
from django.template import Context, Template
from django.test import RequestFactory
from django.utils.html import json_script
from django.views.debug import SafeExceptionReporterFilter, technical_500_response
from django.views.decorators.debug import sensitive_variables

from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending.passwords import Password

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sealing_key")]

SECRET = "hunter2-and-more"


@pytest.fixture(params=["fresh", "stored", "loaded", "settings"])
def secret(request):
    """A secret of each kind."""
    if request.param == "settings":
        return Password(SECRET)
    account = SMTPAccount(slug="club", host="smtp.example.com", password=SECRET)
    if request.param != "fresh":
        account.save()
    if request.param == "loaded":
        account = SMTPAccount.objects.get()
    return account.password


@pytest.fixture
def account():
    return SMTPAccount.objects.create(slug="other", host="smtp.example.com", password=SECRET)


def test_as_text(secret):
    shown = [repr(secret), str(secret), f"{secret!s:>40}", f"{secret!r}", f"{secret:x}"]
    shown += ["%s %r" % (secret, secret), "{0} {0!r}".format(secret)]  # noqa: UP031, UP032
    shown += [pprint.pformat({"password": secret}), ascii(secret), str([secret]), str({1: secret})]
    assert SECRET not in "".join(shown)


@pytest.mark.parametrize(
    "use",
    [
        pickle.dumps,
        json.dumps,
        vars,
        iter,
        len,
        bytes,
        lambda secret: secret + "",
        lambda secret: "" + secret,
        lambda secret: "".join([secret]),
        lambda secret: secret[0],
        lambda secret: "h" in secret,
        lambda secret: secret < "i",
        lambda secret: sorted([secret, "i"]),
        lambda secret: json_script({"password": secret}),
    ],
)
def test_nothing_takes_it_for_a_text(secret, use):
    with pytest.raises(TypeError) as error:
        use(secret)
    assert SECRET not in str(error.value)


def test_it_compares_with_no_text(secret):
    assert secret != SECRET
    assert secret != SECRET.encode()
    assert SECRET not in [secret]


@pytest.mark.parametrize(
    "text",
    [
        "{{ secret }}",
        "{{ secret|safe }}",
        "{{ secret|pprint }}",
        "{{ secret|stringformat:'r' }}",
        "{{ secret|upper }}{{ secret|slice:':3' }}{{ secret|truncatechars:5 }}",
        "{{ secret.reveal }}",
        "{% for letter in secret.reveal %}{{ letter }}{% endfor %}",
        "{% if secret.reveal %}yes{% endif %}",
    ],
)
def test_no_template_reveals_it(secret, text):
    shown = Template(text).render(Context({"secret": secret}))
    assert "hun" not in shown.lower()
    assert "yes" not in shown


def test_log_records(secret, account, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("site").info("%r %s %r", secret, secret, account)
    logging.getLogger("site").info("%r", vars(account), extra={"account": account})
    logging.getLogger("site").info("%(password)s", {"password": account.password})
    assert len(caplog.records) == 3
    assert SECRET not in caplog.text
    assert SECRET not in "".join(repr(vars(record)) for record in caplog.records)


def test_queries_and_dicts(account):
    token = account.password.token.text
    shown = [
        SMTPAccount.objects.all(),
        list(SMTPAccount.objects.values()),
        list(SMTPAccount.objects.values_list()),
        list(SMTPAccount.objects.values_list("password", flat=True)),
        model_to_dict(account),
        vars(account),
    ]
    for one in shown:
        assert SECRET not in repr(one)
        # Not the ciphertext either.
        assert token not in repr(one)
    with pytest.raises(TypeError):
        json.dumps(list(SMTPAccount.objects.values("password")))


def raised_with(secret):
    """An exception with the secret among the variables of its frame, as it is and in use."""

    def send(password, account):
        values = {"password": password, "list": [password]}
        raise LookupError(f"{password} {values} {account}")

    try:
        send(secret, getattr(secret, "owner", None))
    except LookupError:
        return sys.exc_info()
    raise AssertionError


def test_the_debug_page(secret, settings):
    settings.DEBUG = True
    response = technical_500_response(RequestFactory().get("/"), *raised_with(secret))
    page = response.content.decode()
    assert "send" in page
    assert "&lt;Secret&gt;" in page
    assert SECRET not in page


def test_sensitive_variables_still_hide_it(secret):
    @sensitive_variables("password")
    def send(password):
        raise LookupError

    try:
        send(secret)
    except LookupError:
        frame = sys.exc_info()[2].tb_next.tb_next.tb_frame
    found = dict(SafeExceptionReporterFilter().get_traceback_frame_variables(None, frame))
    assert SECRET not in repr(found)
