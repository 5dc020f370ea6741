import base64
import copy
import json
import pickle

import pytest
from django.core.serializers.json import DjangoJSONEncoder

from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.secrets.secret import FreshSecret, StoredSecret
from django_smtpauth.secrets.token import SealedToken, SealingContext, associated_data
from tests.leaks import shown_by_trackers

PURPOSE = "tests"
CONTEXT = SealingContext("row", {"host": "a.example"}, "a.example:587")


@pytest.fixture
def token(sealing_key):
    return FreshSecret("hunter2").seal(PURPOSE, CONTEXT)


def stored(token, context=CONTEXT, purpose=PURPOSE):
    return StoredSecret(token, purpose, lambda: context, owner=None)


def test_what_is_sealed_opens_in_the_same_context(token):
    assert stored(token).reveal() == "hunter2"


def test_any_text_survives(sealing_key):
    for text in ("ü€😀", " blank ", "line\nfeed", "x" * 100_000):
        assert stored(FreshSecret(text).seal(PURPOSE, CONTEXT)).reveal() == text


def test_the_token_says_version_key_and_server_in_clear(token, sealing_key):
    key_id = sealing_key.partition(":")[0]
    assert token.text.startswith(f"sa1.{key_id}.a.example:587.")
    assert (token.key_id, token.stored_for) == (key_id, "a.example:587")
    assert "hunter2" not in token.text


@pytest.mark.parametrize(
    "server", ["[::1]:25", "192.0.2.1:587", "", "a.b.c.d.example:1", "ü . space:5"]
)
def test_any_server_name_fits_into_the_token(sealing_key, server):
    context = SealingContext("row", {}, server)
    token = SealedToken(FreshSecret("hunter2").seal(PURPOSE, context).text)
    assert token.valid
    assert stored(token, context).reveal() == "hunter2"


@pytest.mark.parametrize(
    ("context", "purpose"),
    [
        (SealingContext("other row", CONTEXT.binding, CONTEXT.stored_for), PURPOSE),
        (SealingContext("row", {"host": "b.example"}, CONTEXT.stored_for), PURPOSE),
        (SealingContext("row", {**CONTEXT.binding, "port": 25}, CONTEXT.stored_for), PURPOSE),
        (CONTEXT, "another column"),
    ],
)
def test_it_does_not_open_in_another_context(token, context, purpose):
    with pytest.raises(SecretUnreadable, match=r"stored for a\.example:587") as error:
        stored(token, context, purpose).reveal()
    assert error.value.reason == "mismatch"
    assert not error.value.transient
    assert error.value.stored_for == "a.example:587"


def test_an_error_names_both_servers(token):
    with pytest.raises(SecretUnreadable, match=r"now points to b\.example:25"):
        stored(token, SealingContext("row", {}, "b.example:25")).reveal()


def test_every_part_of_the_token_is_authenticated(token, settings, sealing_key):
    version, key_id, rest = token.text.split(".", 2)
    server, _, payload = rest.rpartition(".")
    flipped = payload[:20] + ("A" if payload[20] != "A" else "B") + payload[21:]
    settings.SMTPAUTH = {"KEYS": [sealing_key, sealing_key.replace(key_id, "twin")]}
    for parts in (
        (version, "twin", server, payload),
        (version, key_id, "b.example:587", payload),
        (version, key_id, server, flipped),
        (version, key_id, server, payload[:-4]),
    ):
        with pytest.raises(SecretUnreadable):
            stored(SealedToken(".".join(parts))).reveal()


def test_an_unknown_key_is_named(token, settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    with pytest.raises(SecretUnreadable) as error:
        stored(token).reveal()
    assert error.value.reason == "unknown_key"
    assert error.value.transient
    assert f"sealed with key {token.key_id}, which this process does not have" in str(error.value)
    assert "a.example:587" in str(error.value)


def test_unreadable_key_sources_make_the_secret_unreadable(token, settings):
    settings.SMTPAUTH = {"KEYS": ["env:SMTPAUTH_ABSENT"]}
    with pytest.raises(SecretUnreadable, match="env:SMTPAUTH_ABSENT") as error:
        stored(token).reveal()
    assert error.value.reason == "keys"
    assert error.value.transient


@pytest.mark.parametrize(
    "text", ["hunter2", "sa1", "sa1..x.", "sa2.k1.a:1." + "A" * 60, "sa1.k1.a b.AAAA", "\0"]
)
def test_a_text_that_is_no_token_is_damaged(sealing_key, text):
    with pytest.raises(SecretUnreadable) as error:
        stored(SealedToken(text)).reveal()
    assert error.value.reason == "damaged"
    assert text == "sa1" or text not in str(error.value)


def test_impossible_base64_is_unreadable(token):
    with pytest.raises(SecretUnreadable):
        stored(SealedToken(f"sa1.{token.key_id}.a.example:587." + "A" * 41)).reveal()


def test_the_format_is_stable(settings):
    """Sealed by the first release; it must open for ever."""
    settings.SMTPAUTH = {"KEYS": ["k1:" + base64.b64encode(bytes(range(32))).decode()]}
    context = SealingContext(
        "00000000-0000-4000-8000-000000000001",
        {"host": "smtp.example.com", "port": 587, "security": "starttls", "verify": False},
        "smtp.example.com:587",
    )
    assert associated_data("k1", "smtp.example.com:587", "smtp account password", context) == (
        b'["sa1","k1","smtp.example.com:587","smtp account password",'
        b'"00000000-0000-4000-8000-000000000001",'
        b'{"host":"smtp.example.com","port":587,"security":"starttls","verify":false}]'
    )
    token = SealedToken(
        "sa1.k1.smtp.example.com:587.AAECAwQFBgcICQoLL3e4b6CX8N1LKaTSYpYTiG8x5F1t2yI"
    )
    assert stored(token, context, "smtp account password").reveal() == "hunter2"


@pytest.mark.parametrize("kind", ["fresh", "stored"])
def test_nothing_shows_a_secret(token, kind):
    secret = FreshSecret("hunter2") if kind == "fresh" else stored(token)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", "%s" % secret]  # noqa: UP031
    shown.append(repr([secret]) + repr({"password": secret}))
    assert not any("hunter2" in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret, cls=DjangoJSONEncoder)
    with pytest.raises(TypeError):
        vars(secret)
    assert secret != "hunter2"
    assert secret != FreshSecret("hunter2")
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret]) == [secret]


def test_equal_tokens_are_equal_secrets(token, sealing_key):
    assert stored(token) == stored(SealedToken(token.text))
    assert hash(stored(token)) == hash(stored(SealedToken(token.text)))
    assert stored(token) != stored(FreshSecret("hunter2").seal(PURPOSE, CONTEXT))


def test_a_token_is_no_text_and_pickles(token):
    assert not isinstance(token, str)
    assert pickle.loads(pickle.dumps(token)) == token
    assert token.text not in repr(token)


def test_errors_pickle(token):
    error = stored(token, SealingContext("row", {}, "b.example:25")).problem()
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.stored_for, again.key_id) == (
        str(error),
        "mismatch",
        "a.example:587",
        token.key_id,
    )
    assert stored(token).problem() is None


def test_no_frame_of_a_failed_opening_or_sealing_holds_the_secret(token, settings, sealing_key):
    key_material = sealing_key.partition(":")[2]
    problems = [stored(token, SealingContext("row", {}, "b.example:25")).problem()]
    settings.SMTPAUTH = {}
    try:
        FreshSecret("hunter2").seal(PURPOSE, CONTEXT)
    except Exception as error:
        problems.append(error)
    assert len(problems) == 2
    for problem in problems:
        shown = shown_by_trackers(problem)
        assert "hunter2" not in shown
        assert key_material not in shown
        assert repr(base64.b64decode(key_material)) not in shown
