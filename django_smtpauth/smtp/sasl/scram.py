"""SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password; nobody sends it.

The server's signature and its share of the nonce are checked before its success is believed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Final

from ..errors import NotSupported, ProtocolError
from ..needs import Call
from .dialogue import Dialogue, Login, after_failure
from .prep import prepared

#: Rounds of PBKDF2 that a server may ask for: fewer are too weak (RFC 7677 section 4), more
#: would take long, and no deadline can interrupt them.
MIN_ITERATIONS: Final = 4_096
MAX_ITERATIONS: Final = 1_000_000
#: The reason of the error that says: the server can't do our type of channel binding.
BINDING_TYPE_REFUSED: Final = "channel-binding-type"

_FIRST: Final = re.compile(r"r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,.*)?")
_FINAL: Final = re.compile(r"v=([A-Za-z0-9+/=]+)(?:,.*)?")


def new_nonce() -> str:
    """144 random bits, without a comma."""
    return secrets.token_urlsafe(18)


def scram(
    algorithm: str, *, plus: bool = False, nonce: Callable[[], str] = new_nonce
) -> Callable[[Login], Dialogue]:
    """What starts the mechanism with this hash; plus: bound to the TLS connection."""

    def start(login: Login) -> Dialogue:
        return _Client(algorithm, login, plus, nonce()).dialogue()

    return start


class _Client:
    """One exchange. What is derived from the password stands in attributes, not in frames."""

    def __init__(self, algorithm: str, login: Login, plus: bool, nonce: str) -> None:
        self._algorithm = algorithm
        self._login = login
        self._plus = plus
        self._nonce = nonce
        name = _prepared(login, "user name", login.username, stored=False)
        self._bare = f"n={saslname(name)},r={nonce}"
        self._server_first = self._server_nonce = ""
        self._salt = self._salted = b""
        self._iterations = 0

    def dialogue(self) -> Dialogue:
        """Client-first, client-final, and the empty response to the server's signature."""
        challenge = yield self._header() + self._bare.encode()
        words = _words(challenge)
        if words.startswith("e="):
            if self._plus and words[2:] == "unsupported-channel-binding-type":
                raise NotSupported("The server said e=" + words[2:], reason=BINDING_TYPE_REFUSED)
            yield from after_failure(self._login, f"the server says: {words[2:]}", b"")
            return
        self._read_first(words)
        yield Call(self._stretch)
        challenge = yield self._final()
        words = _words(challenge)
        if words.startswith("e="):
            yield from after_failure(self._login, f"the server says: {words[2:]}", b"")
            return
        self._verify(words)
        yield b""

    def _header(self) -> bytes:
        """The GS2 header: how the exchange is bound (RFC 5802 section 6)."""
        binding = self._login.channel_binding
        if not self._plus:
            return b"n,," if binding is None else b"y,,"
        if binding is None:
            raise NotSupported("there is no channel binding", reason="no-channel-binding")
        return f"p={binding.type},,".encode()

    def _read_first(self, words: str) -> None:
        """Nonce, salt and rounds of server-first."""
        if words.startswith("m="):
            raise ProtocolError("The server demands a SCRAM extension that nobody has defined.")
        found = _FIRST.fullmatch(words)
        if found is None:
            raise ProtocolError("The server's first SCRAM message can't be read.")
        self._server_first = words
        self._server_nonce = found[1]
        if not found[1].startswith(self._nonce) or found[1] == self._nonce:
            raise ProtocolError("The server's nonce does not continue ours.")
        self._salt = _octets(found[2])
        self._iterations = int(found[3])
        if not MIN_ITERATIONS <= self._iterations <= MAX_ITERATIONS:
            raise ProtocolError(
                f"The server asks for {self._iterations} rounds of PBKDF2; between "
                f"{MIN_ITERATIONS} and {MAX_ITERATIONS} are accepted.",
                reason="scram-iterations",
            )

    def _stretch(self) -> None:
        """The long computation."""
        self._salted = hashlib.pbkdf2_hmac(
            self._algorithm, self._password(), self._salt, self._iterations
        )

    def _password(self) -> bytes:
        return _prepared(self._login, "password", self._login.secret, stored=True).encode()

    def _final(self) -> bytes:
        """Client-final: the binding again, the nonce, and the proof."""
        key = self._hmac(self._salted, b"Client Key")
        signature = self._hmac(hashlib.new(self._algorithm, key).digest(), self._auth_message())
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return self._without_proof() + b",p=" + base64.b64encode(proof)

    def _without_proof(self) -> bytes:
        binding = self._login.channel_binding
        data = binding.data if self._plus and binding else b""
        bound = base64.b64encode(self._header() + data)
        return b"c=" + bound + b",r=" + self._server_nonce.encode()

    def _auth_message(self) -> bytes:
        said = self._bare.encode(), self._server_first.encode(), self._without_proof()
        return b",".join(said)

    def _verify(self, words: str) -> None:
        """The server's signature."""
        found = _FINAL.fullmatch(words)
        if found is None:
            raise ProtocolError("The server's last SCRAM message can't be read.")
        key = self._hmac(self._salted, b"Server Key")
        if not hmac.compare_digest(self._hmac(key, self._auth_message()), _octets(found[1])):
            raise ProtocolError(
                "The server does not know the password: its signature is wrong.",
                reason="server-signature",
            )

    def _hmac(self, key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, self._algorithm).digest()


def saslname(name: str) -> str:
    """A user name as RFC 5801 section 4 quotes it."""
    return name.replace("=", "=3D").replace(",", "=2C")


def _prepared(login: Login, what: str, text: str, *, stored: bool) -> str:
    """The text by SASLprep; as it is where that refuses, since servers then do so too."""
    result = prepared(text, stored=stored)
    if result:
        return result
    if text:
        login.note(f"the {what} has characters that SASLprep (RFC 4013) refuses: used as it is")
    return text


def _words(challenge: bytes | None) -> str:
    if challenge is None:
        raise ProtocolError(
            "The server reported success without a proof that it knows the password.",
            reason="server-signature",
        )
    try:
        return challenge.decode()
    except UnicodeDecodeError:
        raise ProtocolError("The server's SCRAM message is not UTF-8.") from None


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ProtocolError("The server's SCRAM message has bad base64.") from None
