"""The server's side of AUTH (RFC 4954): each mechanism is a generator.

It yields challenges, is sent the client's responses (both before base64), and returns the user
name and whether the user was proven. A malformed response raises ValueError.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from scramp import ScramException, ScramMechanism  # type: ignore[import-untyped]

from tests.servers.records import TLSFacts

Exchange = Generator[bytes, bytes, tuple[str, bool]]
Mechanism = Callable[["Site", "bytes | None"], Exchange]

#: What a server says to a token that it does not take, before it refuses (RFC 7628 3.2.2).
TOKEN_REFUSED = {"status": "invalid_token", "schemes": "bearer", "scope": "mail"}


@dataclass(frozen=True)
class Site:
    """What the server knows.

    users, tokens: user name -> password, and -> access token
    tls: of this connection; certificate: the server's own (PEM), to bind exchanges to
    """

    users: Mapping[str, str]
    tokens: Mapping[str, str]
    tls: TLSFacts | None
    certificate: str

    def binding(self, type_: str) -> tuple[str, bytes] | None:
        """The channel binding of this type as `scramp` takes it, or any other that there is."""
        unique = self.tls.unique if self.tls is not None else None
        known = {"tls-unique": unique, "tls-server-end-point": server_end_point(self.certificate)}
        there = [(name, data) for name, data in known.items() if data]
        return next((pair for pair in there if pair[0] == type_), next(iter(there), None))


def server_end_point(pem: str) -> bytes | None:
    """The digest that RFC 5929 4.1 wants of a certificate, None where it wants none."""
    if not pem:
        return None
    certificate = x509.load_pem_x509_certificate(pem.encode())
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()


def decoded(word: str) -> bytes:
    """A response or initial response as sent; "=" stands for an empty one."""
    return b"" if word == "=" else base64.b64decode(word, validate=True)


def plain(site: Site, initial: bytes | None) -> Exchange:
    response = (yield b"") if initial is None else initial
    _, username, password = response.decode().split("\0")
    return username, site.users.get(username) == password


def login(site: Site, initial: bytes | None) -> Exchange:
    username = ((yield b"Username:") if initial is None else initial).decode()
    password = (yield b"Password:").decode()
    return username, site.users.get(username) == password


def cram_md5(site: Site, initial: bytes | None) -> Exchange:
    if initial is not None:
        raise ValueError("CRAM-MD5 has no initial response")
    challenge = b"<1896.697170952@scripted.test>"
    username, _, digest = (yield challenge).decode().rpartition(" ")
    expected = hmac.new(site.users.get(username, "").encode(), challenge, hashlib.md5).hexdigest()
    return username, username in site.users and digest == expected


def scram(name: str) -> Mechanism:
    """SCRAM by an independent implementation (RFC 5802, 7677)."""

    def exchange(site: Site, initial: bytes | None) -> Exchange:
        first = ((yield b"") if initial is None else initial).decode()
        wanted = re.match(r"p=([^,]*)", first)
        mechanism = ScramMechanism(name)
        binding = site.binding(wanted[1] if wanted else "") if mechanism.use_binding else None
        seen: list[str] = []

        def look_up(username: str) -> tuple[bytes, bytes, bytes, int]:
            seen.append(username)
            password = site.users.get(username, "nobody knows it")
            known: tuple[bytes, bytes, bytes, int] = mechanism.make_auth_info(password)
            return known

        server = mechanism.make_server(look_up, channel_binding=binding)
        try:
            server.set_client_first(first)
            final = yield server.get_server_first().encode()
            server.set_client_final(final.decode())
        except ScramException:
            proven = False
        else:
            proven = True
        if (yield server.get_server_final().encode()) != b"":
            raise ValueError("the last response is empty (RFC 5802 5)")
        return "".join(seen), proven and seen[0] in site.users

    return exchange


def oauthbearer(site: Site, initial: bytes | None) -> Exchange:
    header, *fields = ((yield b"") if initial is None else initial).decode().split("\x01")
    flag, identity, _ = header.split(",")
    keys = dict(field.split("=", 1) for field in fields if field)
    if flag != "n" or fields[-2:] != ["", ""] or not {"auth", "host", "port"} <= set(keys):
        raise ValueError("no message of RFC 7628 3.1")
    username = identity.removeprefix("a=").replace("=2C", ",").replace("=3D", "=")
    return (yield from _judge_token(site, username, keys["auth"], b"\x01"))


def xoauth2(site: Site, initial: bytes | None) -> Exchange:
    words = ((yield b"") if initial is None else initial).decode()
    match = re.fullmatch(r"user=([^\x01]*)\x01auth=([^\x01]*)\x01\x01", words)
    if match is None:
        raise ValueError("no message of XOAUTH2")
    return (yield from _judge_token(site, match[1], match[2], b""))


def _judge_token(site: Site, username: str, auth: str, acknowledgement: bytes) -> Exchange:
    scheme, _, token = auth.partition(" ")
    if scheme.lower() == "bearer" and token and site.tokens.get(username) == token:
        return username, True
    if (yield json.dumps(TOKEN_REFUSED).encode()) != acknowledgement:
        raise ValueError("not what a failure is answered with")
    return username, False


def external(site: Site, initial: bytes | None) -> Exchange:
    username = ((yield b"") if initial is None else initial).decode()
    return username, site.tls is not None and site.tls.client_certificate is not None


MECHANISMS: dict[str, Mechanism] = {
    "PLAIN": plain,
    "LOGIN": login,
    "CRAM-MD5": cram_md5,
    **{
        name: scram(name)
        for algorithm in ("SHA-1", "SHA-256", "SHA-512")
        for name in (f"SCRAM-{algorithm}", f"SCRAM-{algorithm}-PLUS")
    },
    "OAUTHBEARER": oauthbearer,
    "XOAUTH2": xoauth2,
    "EXTERNAL": external,
}
