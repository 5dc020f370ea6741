"""The keys that seal and open secrets, read from `SMTPAUTH["KEYS"]`.

KEYS is an ordered list of sources; the first key seals, every key opens:

    "env:NAME"                 an environment variable
    "file:PATH"                a file
    "<id>:<base64>"            the key itself
    a callable                 returns any of the texts below, or an iterable of them
    "derive-from-secret-key"   the key derived from SECRET_KEY, as an explicit choice

An environment variable, a file or a callable may hold several keys `<id>:<base64>`, separated by
white space, newlines or commas. A key is 32 random octets (AES-256). Keys derived (HKDF-SHA256)
from SECRET_KEY and SECRET_KEY_FALLBACKS always open too, so that setting KEYS later orphans
nothing. An unknown key id makes the sources be read once more, which lets a running process
follow a rotation.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

from django_smtpauth.conf import smtpauth_settings
from django_smtpauth.secrets.errors import KeySourceError, NoSealingKey
from django_smtpauth.secrets.references import is_reference, read_reference

#: Octets of a key.
KEY_SIZE: Final = 32
DERIVE: Final = "derive-from-secret-key"

_NONCE_SIZE: Final = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")
_SEPARATORS = re.compile(r"[\s,]+")
_HKDF_INFO: Final = b"django-smtpauth: key that seals secrets, derived from SECRET_KEY"

SETTINGS_LINE: Final = 'SMTPAUTH = {"KEYS": ["env:SMTPAUTH_KEYS"]}'


class SealingKey:
    """One AES-256-GCM key with its id. Its repr shows the id only."""

    __slots__ = ("_aead", "_digest", "id")

    def __init__(self, key_id: str, octets: bytes) -> None:
        self.id = key_id
        self._aead = AESGCM(octets)
        self._digest = hashlib.sha256(octets).digest()

    def __repr__(self) -> str:
        return f"<SealingKey {self.id}>"

    def same_as(self, other: "SealingKey") -> bool:
        """Whether both hold the same key, whatever their ids."""
        return self._digest == other._digest

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """A random nonce followed by the ciphertext with its tag."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, plaintext, associated_data)

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """The plaintext. Raises cryptography's InvalidTag when anything was altered."""
        return self._aead.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], associated_data)


class Keyring:
    """The keys of one state of the settings. `configured` come from KEYS, in their order."""

    def __init__(self, configured: list[SealingKey], derived: list[SealingKey]) -> None:
        self.configured = configured
        self._by_id = {key.id: key for key in reversed([*configured, *derived])}
        self._derived = derived

    def sealer(self) -> SealingKey:
        """The key that seals. Raises NoSealingKey."""
        if self.configured:
            return self.configured[0]
        if settings.DEBUG:
            return self._derived[0]
        raise NoSealingKey(
            "There is no key to encrypt this secret with. Run `manage.py smtpkeys generate`, keep "
            "the line it prints in the environment variable SMTPAUTH_KEYS, and paste into the "
            f"settings: {SETTINGS_LINE}"
        )

    def get(self, key_id: str) -> SealingKey | None:
        """The key of this id, or None."""
        return self._by_id.get(key_id)


def generate_key() -> str:
    """A new random key as `<id>:<base64>`; the id is a short fingerprint of the key."""
    octets = os.urandom(KEY_SIZE)
    return f"k{_fingerprint(octets)}:{base64.b64encode(octets).decode()}"


def get_sealer() -> SealingKey:
    """The key that seals. Raises NoSealingKey or KeySourceError."""
    return _keyring().sealer()


def find_key(key_id: str) -> SealingKey | None:
    """The key of this id; its absence makes the sources be read once more."""
    return _keyring().get(key_id) or _keyring(again=True).get(key_id)


def configured_ids() -> list[str]:
    """The ids of the keys in SMTPAUTH["KEYS"], in their order. Raises KeySourceError."""
    return [key.id for key in _keyring().configured]


def source_problems() -> list[str]:
    """What is wrong with each source that can be read without running foreign code."""
    sources, problem = _sources()
    problems = [problem] if problem else []
    for position, source in enumerate(sources):
        if not callable(source):
            problem = _read(source)[1]
            if problem:
                problems.append(_complaint(source, position, problem))
    return problems


# A traceback that leaves this module must not have a frame with a key's text among its local
# variables. Hence everything below that touches one returns what is wrong instead of raising it.

_cached: tuple[list[Any], Keyring] | None = None


def _keyring(*, again: bool = False) -> Keyring:
    keyring, problem = _current(again)
    if keyring is None:
        raise KeySourceError(problem)
    return keyring


def _current(again: bool) -> tuple[Keyring | None, str]:
    global _cached
    sources, problem = _sources()
    if problem:
        return None, problem
    signature = [*sources, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if not again and _cached is not None and _cached[0] == signature:
        return _cached[1], ""
    keyring, problem = _build(sources)
    if keyring is not None:
        _cached = (signature, keyring)
    return keyring, problem


def _sources() -> tuple[list[Any], str]:
    value = smtpauth_settings.KEYS
    if value is None:
        return [], ""
    if isinstance(value, str) or callable(value):
        return [value], ""
    if isinstance(value, (list, tuple)):
        return list(value), ""
    return [], f'SMTPAUTH["KEYS"] must be a list of key sources, not {type(value).__name__}.'


def _build(sources: list[Any]) -> tuple[Keyring | None, str]:
    configured: dict[str, SealingKey] = {}
    for position, source in enumerate(sources):
        keys, problem = _read(source)
        if problem:
            return None, _complaint(source, position, problem)
        for key in keys:
            if not configured.setdefault(key.id, key).same_as(key):
                problem = f"the key id {key.id} stands for another key already."
                return None, _complaint(source, position, problem)
    derived = [_derive(secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return Keyring(list(configured.values()), derived), ""


def _derive(secret: str | bytes) -> SealingKey:
    octets = HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=None, info=_HKDF_INFO).derive(
        force_bytes(secret)
    )
    return SealingKey(f"s{_fingerprint(octets)}", octets)


def _fingerprint(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()[:8]


def _complaint(source: Any, position: int, problem: str) -> str:
    """The message about a source, which it quotes only where that can't be a key."""
    name = f"entry {position + 1}"
    if is_reference(source):
        name = source
    elif callable(source):
        name = f"callable {getattr(source, '__qualname__', type(source).__name__)}"
    return f'SMTPAUTH["KEYS"], {name}: {problem}'


def _read(source: Any) -> tuple[list[SealingKey], str]:
    if source == DERIVE:
        return [_derive(settings.SECRET_KEY)], ""
    text, problem = _text(source)
    if problem:
        return [], problem
    found = [_parse(item) for item in _SEPARATORS.split(text) if item]
    if not found:
        return [], "it holds no key."
    problem = next((result for result in found if isinstance(result, str)), "")
    return [result for result in found if isinstance(result, SealingKey)], problem


def _text(source: Any) -> tuple[str, str]:
    """The text that a source holds, and what is wrong with it."""
    if callable(source):
        return _call(source)
    if not isinstance(source, str):
        return "", f"a source is a text or a callable, not {type(source).__name__}."
    if is_reference(source):
        return read_reference(source)
    return source, ""


def _call(source: Any) -> tuple[str, str]:
    try:
        value = source()
    except Exception as error:
        # The message of a foreign error may quote what the callable read.
        return "", f"it raised {type(error).__name__}."
    if isinstance(value, str):
        return value, ""
    if isinstance(value, Iterable):
        items = list(value)
        if all(isinstance(item, str) for item in items):
            return "\n".join(items), ""
    return "", "it must return a text or an iterable of texts."


def _parse(item: str) -> SealingKey | str:
    """The key that `<id>:<base64>` (either alphabet, padded or not) stands for, or the fault."""
    key_id, colon, encoded = item.partition(":")
    if not colon:
        return "a key is written <id>:<base64>; `manage.py smtpkeys generate` makes one."
    if not _KEY_ID.fullmatch(key_id):
        return "a key id has 1 to 32 letters, digits, - or _."
    plain = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    if not _BASE64.fullmatch(plain):
        return f"the key {key_id} is not base64."
    try:
        octets = base64.b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        return f"the key {key_id} is not base64."
    if len(octets) != KEY_SIZE:
        return f"the key {key_id} has {len(octets)} octets instead of {KEY_SIZE}."
    return SealingKey(key_id, octets)
