"""The server's side of AUTH (RFC 4954): each mechanism is a generator.

It yields challenges, is sent the client's responses (both before base64), and returns the user
name and whether the password was right. A malformed response raises ValueError.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Generator, Mapping

from scramp import ScramException, ScramMechanism  # type: ignore[import-untyped]

Exchange = Generator[bytes, bytes, tuple[str, bool]]
Users = Mapping[str, str]


def decoded(word: str) -> bytes:
    """A response or initial response as sent; "=" stands for an empty one."""
    return b"" if word == "=" else base64.b64decode(word, validate=True)


def plain(users: Users, initial: bytes | None) -> Exchange:
    response = (yield b"") if initial is None else initial
    _, username, password = response.decode().split("\0")
    return username, users.get(username) == password


def login(users: Users, initial: bytes | None) -> Exchange:
    username = ((yield b"Username:") if initial is None else initial).decode()
    password = (yield b"Password:").decode()
    return username, users.get(username) == password


def cram_md5(users: Users, initial: bytes | None) -> Exchange:
    if initial is not None:
        raise ValueError("CRAM-MD5 has no initial response")
    challenge = b"<1896.697170952@scripted.test>"
    username, _, digest = (yield challenge).decode().rpartition(" ")
    expected = hmac.new(users.get(username, "").encode(), challenge, hashlib.md5).hexdigest()
    return username, username in users and digest == expected


def scram(name: str) -> Callable[[Users, bytes | None], Exchange]:
    """Without channel binding (RFC 5802, 7677), by an implementation that is not ours."""
    mechanism = ScramMechanism(name)

    def exchange(users: Users, initial: bytes | None) -> Exchange:
        first = ((yield b"") if initial is None else initial).decode()
        seen: list[str] = []

        def look_up(username: str) -> object:
            seen.append(username)
            return mechanism.make_auth_info(users.get(username, ""), iteration_count=4096)

        server = mechanism.make_server(look_up)
        try:
            server.set_client_first(first)
            server.set_client_final((yield server.get_server_first().encode()).decode())
        except ScramException:
            return "".join(seen), False
        yield server.get_server_final().encode()
        return seen[0], seen[0] in users

    return exchange


MECHANISMS: dict[str, Callable[[Users, bytes | None], Exchange]] = {
    "PLAIN": plain,
    "LOGIN": login,
    "CRAM-MD5": cram_md5,
    "SCRAM-SHA-1": scram("SCRAM-SHA-1"),
    "SCRAM-SHA-256": scram("SCRAM-SHA-256"),
    "SCRAM-SHA-512": scram("SCRAM-SHA-512"),
}
