"""The server's side of each mechanism: who gets in, and what it does not understand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scramp import ScramClient  # type: ignore[import-untyped]

from tests.servers.records import TLSFacts
from tests.servers.sasl import MECHANISMS, Site

USER, PASSWORD, TOKEN = "jürgen", "Geheim-42", "ya29.token"
TLS = TLSFacts("TLSv1.2", "AES", b"DER", b"finished")
SITE = Site({USER: PASSWORD}, {USER: TOKEN}, TLS, "")
BARE = Site({USER: PASSWORD}, {USER: TOKEN}, None, "")


def verdict(mechanism: str, site: Site, *responses: bytes) -> tuple[str, bool]:
    """What comes of these responses; the first one is the initial response."""
    exchange = MECHANISMS[mechanism](site, responses[0])
    try:
        next(exchange)
        for response in responses[1:]:
            exchange.send(response)
    except StopIteration as done:
        result: tuple[str, bool] = done.value
        return result
    raise AssertionError("the server wants more")


@pytest.mark.parametrize(
    "name", [n for n in MECHANISMS if n.startswith("SCRAM") and not n.endswith("PLUS")]
)
@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize(
    ("user", "password", "accepted"),
    [(USER, PASSWORD, True), (USER, "wrong", False), ("nobody", PASSWORD, False)],
)
def test_scram(name: str, plus: bool, user: str, password: str, accepted: bool) -> None:
    name += "-PLUS" if plus else ""
    binding = ("tls-unique", b"finished") if plus else None
    client = ScramClient([name], user, password, channel_binding=binding)
    exchange = MECHANISMS[name](SITE, client.get_client_first().encode())
    client.set_server_first(next(exchange).decode())
    last = exchange.send(client.get_client_final().encode()).decode()
    with pytest.raises(StopIteration) as done:
        exchange.send(b"")

    assert last.startswith("v=" if accepted else "e=")
    assert done.value.value == (user, accepted)


@pytest.mark.parametrize("data", [b"other", b""])
def test_scram_with_another_binding(data: bytes) -> None:
    binding = ("tls-unique", data) if data else ("tls-server-end-point", b"digest")
    name = "SCRAM-SHA-256-PLUS"
    client = ScramClient([name], USER, PASSWORD, channel_binding=binding)
    exchange = MECHANISMS[name](SITE, client.get_client_first().encode())
    said = next(exchange).decode()
    if data:
        client.set_server_first(said)
        said = exchange.send(client.get_client_final().encode()).decode()

    assert said.startswith("e=channel-bindings-dont-match" if data else "e=unsupported-channel")


def oauthbearer(token: str) -> bytes:
    return f"n,a={USER},\x01host=mx\x01port=25\x01auth=Bearer {token}\x01\x01".encode()


def xoauth2(token: str) -> bytes:
    return f"user={USER}\x01auth=Bearer {token}\x01\x01".encode()


@pytest.mark.parametrize(
    ("name", "words", "acknowledgement"),
    [("OAUTHBEARER", oauthbearer, b"\x01"), ("XOAUTH2", xoauth2, b"")],
)
def test_tokens(name: str, words: Callable[[str], bytes], acknowledgement: bytes) -> None:
    assert verdict(name, BARE, words(TOKEN)) == (USER, True)
    assert verdict(name, BARE, words("other"), acknowledgement) == (USER, False)
    with pytest.raises(ValueError, match="not what a failure is answered with"):
        verdict(name, BARE, words("other"), b"*")


@pytest.mark.parametrize(
    ("name", "response"),
    [
        ("OAUTHBEARER", b""),
        ("OAUTHBEARER", b"y,a=me,\x01host=mx\x01port=25\x01auth=Bearer t\x01\x01"),
        ("OAUTHBEARER", b"n,a=me,\x01auth=Bearer t\x01\x01"),
        ("OAUTHBEARER", b"n,a=me,\x01host=mx\x01port=25\x01auth=Bearer t\x01"),
        ("XOAUTH2", b""),
        ("XOAUTH2", b"user=me\x01auth=Bearer t\x01"),
        ("XOAUTH2", b"user=me\x01auth=Bearer t\x01x=y\x01\x01"),
    ],
)
def test_what_is_no_message(name: str, response: bytes) -> None:
    with pytest.raises(ValueError):
        verdict(name, SITE, response)


@pytest.mark.parametrize(("site", "accepted"), [(SITE, True), (BARE, False)])
def test_external_goes_by_the_certificate(site: Site, accepted: bool) -> None:
    assert verdict("EXTERNAL", site, b"me") == ("me", accepted)
