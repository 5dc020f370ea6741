"""EXTERNAL: the client's certificate logs in, where somebody wanted that."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any

import pytest

from django_smtpauth.smtp import Credentials, Endpoint, Security, TLSOptions, connect
from django_smtpauth.smtp.errors import AuthenticationRefused, NotSupported
from django_smtpauth.smtp.refusals import Refusals
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.smtp.openings import GREETING, SECRET, Opening, Turn, b64, endpoint, hello
from tests.smtp.sansio import Clock

SHOWN = TLSOptions(certificate_file="client.pem")
OFFERED = "EXTERNAL PLAIN"


def opening(credentials: Credentials | None, *turns: Turn, **options: Any) -> Opening:
    refusals = options.pop("refusals", None)
    options = {"security": Security.IMPLICIT_TLS, "tls": SHOWN, **options}
    given = Endpoint("mx.example", credentials=credentials, **options)
    return Opening(given, GREETING, hello(f"AUTH {OFFERED}"), *turns, refusals=refusals)


def never() -> str:
    raise AssertionError("the secret was asked for")


@pytest.mark.parametrize(
    ("username", "word"), [("", b"="), ("fred@mx.example", b64("fred@mx.example"))]
)
def test_the_certificate_is_all_there_is(username: str, word: bytes) -> None:
    result = opening(
        Credentials(username, kind="certificate"),
        (b"AUTH EXTERNAL " + word + b"\r\n", b"235 ok\r\n"),
    )

    assert result.opened is not None
    assert result.opened.mechanism == "EXTERNAL"


@pytest.mark.parametrize("kind", ["password", "token"])
def test_where_it_is_named_it_stands_in_for_the_secret(kind: Any) -> None:
    result = opening(
        Credentials("fred", never, kind),
        (b"AUTH EXTERNAL " + b64("fred") + b"\r\n", b"235 ok\r\n"),
        auth_mechanisms=("external", "PLAIN"),
    )

    assert result.opened is not None


def test_where_nobody_named_it_the_password_logs_in() -> None:
    result = opening(
        Credentials("fred", lambda: SECRET),
        (b"AUTH PLAIN " + b64(f"\0fred\0{SECRET}") + b"\r\n", b"235 ok\r\n"),
    )

    assert result.opened is not None
    assert result.opened.mechanism == "PLAIN"


def test_where_nobody_named_it_it_is_not_used_for_want_of_another() -> None:
    given = Endpoint(
        "mx.example",
        security=Security.IMPLICIT_TLS,
        tls=SHOWN,
        credentials=Credentials("fred", never),
    )
    error = Opening(given, GREETING, hello("AUTH EXTERNAL")).error

    assert isinstance(error, NotSupported)
    assert error.reason == "no-mechanism"


def test_a_certificate_alone_logs_nobody_in() -> None:
    assert opening(None).opened is not None


@pytest.mark.parametrize(
    "options", [{"tls": TLSOptions()}, {"security": Security.NONE}, {"auth_mechanisms": None}]
)
def test_without_a_certificate_inside_tls(options: dict[str, Any]) -> None:
    options = {"tls": TLSOptions(), "auth_mechanisms": ("EXTERNAL",), **options}
    error = opening(Credentials("fred", kind="certificate"), **options).error

    assert isinstance(error, NotSupported)
    assert error.reason == "no-client-certificate"
    assert "ssl_certfile" in error.cure


def test_without_a_certificate_the_other_one_that_is_allowed() -> None:
    result = Opening(
        endpoint(auth_mechanisms=("EXTERNAL", "PLAIN")),
        GREETING,
        hello(f"AUTH {OFFERED}"),
        (b"AUTH PLAIN " + b64(f"\0jürgen\0{SECRET}") + b"\r\n", b"235 ok\r\n"),
    )

    assert result.opened is not None


def test_a_refused_certificate_is_tried_again() -> None:
    # Nothing can be locked by that, and another certificate may have its name.
    refusals = Refusals(Clock())
    turn: Turn = (b"AUTH EXTERNAL =\r\n", b"535 5.7.8 no\r\n")
    for _ in range(2):
        error = opening(Credentials("", kind="certificate"), turn, refusals=refusals).error
        assert isinstance(error, AuthenticationRefused)
        assert error.reason == ""
    assert len(refusals) == 0


def test_a_real_certificate(scripted_server: ServerFactory, certificates: Certificates) -> None:
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    server = scripted_server(extensions=["AUTH EXTERNAL"], ssl_context=context, implicit_tls=True)
    given = Endpoint(
        server.host,
        server.port,
        Security.IMPLICIT_TLS,
        tls=TLSOptions(
            ca_file=certificates.ca_file,
            certificate_file=certificates.client_file,
            key_file=certificates.client_key_file,
        ),
        credentials=Credentials("client@example.org", kind="certificate"),
        ehlo_name="client.test",
    )
    with connect(given) as connection:
        assert connection.mechanism == "EXTERNAL"
    with connect(replace(given, credentials=Credentials("", kind="certificate"))) as connection:
        assert connection.mechanism == "EXTERNAL"
    names = [one.auth[0].username for one in server.connections]
    assert names == ["client@example.org", ""]
