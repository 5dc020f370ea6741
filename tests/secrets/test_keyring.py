import base64

import pytest
from cryptography.exceptions import InvalidTag

from django_smtpauth.secrets.errors import KeySourceError, NoSealingKey
from django_smtpauth.secrets.keyring import find_key, generate_key, get_sealer
from tests.leaks import shown_by_trackers

RAW = bytes(range(32))
ENCODED = base64.b64encode(RAW).decode()


@pytest.fixture
def keys(settings):
    def use(*sources):
        settings.SMTPAUTH = {"KEYS": list(sources)}

    return use


def test_a_generated_key_seals_and_opens(keys):
    keys(generate_key())
    sealer = get_sealer()
    sealed = sealer.seal(b"hunter2", b"bound")
    assert sealer.open(sealed, b"bound") == b"hunter2"
    assert b"hunter2" not in sealed
    with pytest.raises(InvalidTag):
        sealer.open(sealed, b"elsewhere")


def test_each_sealing_has_its_own_nonce(keys):
    keys(generate_key())
    assert get_sealer().seal(b"x", b"") != get_sealer().seal(b"x", b"")


def test_generated_keys_differ_and_have_32_octets():
    first, second = generate_key(), generate_key()
    assert first != second
    assert len(base64.b64decode(first.partition(":")[2])) == 32


def test_the_first_key_seals_and_every_key_opens(keys):
    new, old = generate_key(), generate_key()
    keys(new, old)
    assert get_sealer().id == new.partition(":")[0]
    assert find_key(old.partition(":")[0]).id == old.partition(":")[0]


@pytest.mark.parametrize("separator", ["\n", "\r\n", " ", ",", ", ", "\n\n"], ids=repr)
def test_a_source_holds_several_keys_and_trailing_newlines(keys, monkeypatch, separator):
    monkeypatch.setenv("SMTPAUTH_TEST_KEYS", f"k2:{ENCODED}{separator}k1:{ENCODED}\n\n")
    keys("env:SMTPAUTH_TEST_KEYS")
    assert get_sealer().id == "k2"
    assert find_key("k1").id == "k1"


def test_a_file_is_a_source(keys, tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"k1:{ENCODED}\n")
    keys(f"file:{path}")
    assert get_sealer().id == "k1"


@pytest.mark.parametrize(
    "value", [f"k1:{ENCODED}\n", [f"k1:{ENCODED}"], (f"k1:{ENCODED}", "")], ids=repr
)
def test_a_callable_is_a_source(keys, value):
    keys(lambda: value)
    assert get_sealer().id == "k1"


def test_one_source_needs_no_list(settings):
    settings.SMTPAUTH = {"KEYS": f"k1:{ENCODED}"}
    assert get_sealer().id == "k1"


def test_base64_may_be_url_safe_and_unpadded(keys):
    octets = b"\xff\xfe" * 16
    keys("k1:" + base64.urlsafe_b64encode(octets).decode().rstrip("="))
    sealed = get_sealer().seal(b"x", b"")
    keys("k1:" + base64.b64encode(octets).decode())
    assert get_sealer().open(sealed, b"") == b"x"


def test_an_unknown_key_id_makes_the_sources_be_read_once_more(keys):
    reads = []

    def vault():
        reads.append(1)
        return [f"k1:{ENCODED}"] if len(reads) == 1 else [f"k1:{ENCODED}", f"k2:{ENCODED}"]

    keys(vault)
    assert find_key("k1").id == "k1"
    assert len(reads) == 1
    assert find_key("k2").id == "k2"
    assert len(reads) == 2
    assert find_key("k3") is None
    assert len(reads) == 3


def test_known_keys_are_read_once(keys):
    reads = []

    def vault():
        reads.append(1)
        return f"k1:{ENCODED}"

    keys(vault)
    for _ in range(3):
        get_sealer()
        find_key("k1")
    assert len(reads) == 1


def test_without_keys_nothing_is_sealed_and_the_error_has_the_line_to_paste(settings):
    settings.SMTPAUTH = {}
    with pytest.raises(NoSealingKey) as error:
        get_sealer()
    assert "manage.py smtpkeys generate" in str(error.value)
    assert 'SMTPAUTH = {"KEYS": ["env:SMTPAUTH_KEYS"]}' in str(error.value)


def test_debug_seals_with_the_derived_key(settings):
    settings.SMTPAUTH = {}
    settings.DEBUG = True
    assert get_sealer().id.startswith("s")


def test_derivation_can_be_chosen(settings):
    settings.SMTPAUTH = {"KEYS": "derive-from-secret-key"}
    assert get_sealer().id.startswith("s")


def test_keys_derived_from_old_and_new_secret_keys_always_open(settings):
    settings.SMTPAUTH = {"KEYS": "derive-from-secret-key"}
    settings.SECRET_KEY = "old" * 20
    sealer = get_sealer()
    sealed = sealer.seal(b"hunter2", b"")

    settings.SMTPAUTH = {"KEYS": [generate_key()]}
    assert find_key(sealer.id).open(sealed, b"") == b"hunter2"

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new" * 20, ["old" * 20]
    assert find_key(sealer.id).open(sealed, b"") == b"hunter2"
    assert get_sealer().id != sealer.id

    settings.SECRET_KEY_FALLBACKS = []
    assert find_key(sealer.id) is None


def test_a_derived_key_is_not_the_secret_key_itself(settings):
    settings.SMTPAUTH = {"KEYS": "derive-from-secret-key"}
    settings.SECRET_KEY = RAW.decode("latin-1")
    sealed = get_sealer().seal(b"x", b"")
    settings.SMTPAUTH = {"KEYS": [f"k1:{ENCODED}"]}
    with pytest.raises(InvalidTag):
        get_sealer().open(sealed, b"")


SECRET_PART = "c2VjcmV0LWtleS1tYXRlcmlhbA"


def broken():
    raise RuntimeError(SECRET_PART)


@pytest.mark.parametrize(
    ("source", "name", "fault"),
    [
        ("env:SMTPAUTH_ABSENT", "env:SMTPAUTH_ABSENT", "not set"),
        ("env:SMTPAUTH_EMPTY", "env:SMTPAUTH_EMPTY", "no key"),
        ("env:SMTPAUTH_BAD", "env:SMTPAUTH_BAD", "<id>:<base64>"),
        ("file:/nonexistent/keys", "file:/nonexistent/keys", "No such file"),
        (SECRET_PART, "entry 1", "<id>:<base64>"),
        (f"k1:{SECRET_PART}", "entry 1", "octets instead of 32"),
        (f"k1:!{SECRET_PART}", "entry 1", "k1 is not base64"),
        ("k1:A" + SECRET_PART[:4], "entry 1", "k1 is not base64"),
        (f"k 1!{SECRET_PART}:x", "entry 1", "<id>:<base64>"),
        (f"k.1:{SECRET_PART}", "entry 1", "key id"),
        (broken, "callable broken", "raised RuntimeError"),
        (lambda: 5, "callable <lambda>", "must return"),
        (lambda: [5], "callable <lambda>", "must return"),
        (5, "entry 1", "not int"),
        (b"k1:" + SECRET_PART.encode(), "entry 1", "not bytes"),
    ],
)
def test_a_bad_source_is_named_and_never_quoted(keys, monkeypatch, source, name, fault):
    monkeypatch.setenv("SMTPAUTH_EMPTY", "\n")
    monkeypatch.setenv("SMTPAUTH_BAD", SECRET_PART)
    keys(source)
    with pytest.raises(KeySourceError) as error:
        get_sealer()
    assert name in str(error.value)
    assert fault in str(error.value)
    assert SECRET_PART not in shown_by_trackers(error.value)


def test_a_file_that_is_no_text_is_named(keys, tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(b"\xff\xfe\xfa")
    keys(f"file:{path}")
    with pytest.raises(KeySourceError, match="not text"):
        get_sealer()


def test_keys_of_a_wrong_type_are_refused(settings):
    settings.SMTPAUTH = {"KEYS": {"k1": ENCODED}}
    with pytest.raises(KeySourceError, match="not dict") as error:
        get_sealer()
    assert ENCODED not in str(error.value)


def test_one_id_for_two_keys_is_refused(keys):
    other = base64.b64encode(b"\1" * 32).decode()
    keys(f"k1:{ENCODED}", f"k1:{other}")
    with pytest.raises(KeySourceError, match="entry 2: the key id k1 stands for another key"):
        get_sealer()


def test_the_same_key_twice_is_one_key(keys):
    keys(f"k1:{ENCODED}", f"k1:{ENCODED}")
    assert get_sealer().id == "k1"


def test_a_key_does_not_show_itself(keys):
    keys(f"k1:{ENCODED}")
    assert repr(get_sealer()) == "<SealingKey k1>"
