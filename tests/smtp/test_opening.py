from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import (
    ConnectError,
    Disconnected,
    HelloRefused,
    NotSupported,
    ProtocolError,
    TimedOut,
    TLSError,
)
from django_smtpauth.smtp.needs import Handshake
from django_smtpauth.smtp.session import State
from django_smtpauth.smtp.tls import PeerFacts, Security, TLSOptions, pin_of
from tests.smtp.openings import GREETING, Opening, endpoint, hello
from tests.smtp.sansio import FACTS
from tests.smtp.x509 import CERTIFICATE

PLAIN_TEXT = Endpoint("mx.example", security=Security.NONE)
STARTTLS = Endpoint("mx.example")
OPPORTUNISTIC = Endpoint("mx.example", security=Security.OPPORTUNISTIC)
IMPLICIT = Endpoint("mx.example", security=Security.IMPLICIT_TLS)

both_ways = pytest.mark.parametrize("trickle", [False, True], ids=["whole", "octet by octet"])


# The dialogue of a Chinese article of 2002, when hosts began to demand AUTH, byte for byte.


@both_ways
def test_the_login_of_2002(trickle: bool) -> None:
    opening = Opening(
        endpoint(lambda: "password:", "username:"),
        (b"", b"220 Welcome to coremail System(With Anti-Spam) 2.1 for 263(040326)\r\n"),
        (
            b"EHLO me.example\r\n",
            b"250-192.168.30.29\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n"
            b"250-ETRN\r\n250-AUTH LOGIN\r\n250 8BITMIME\r\n",
        ),
        (b"AUTH LOGIN\r\n", b"334 dXNlcm5hbWU6\r\n"),
        (b"dXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"),
        (b"cGFzc3dvcmQ6\r\n", b"235 Authentication successful\r\n"),
        trickle=trickle,
    )

    assert opening.opened is not None
    assert opening.opened.mechanism == "LOGIN"
    assert opening.opened.tls is None
    assert opening.wire.session.state is State.READY
    assert opening.wire.session.extensions.size == 10_240_000


# Greeting.


@both_ways
def test_the_greeting_may_have_several_lines(trickle: bool) -> None:
    opening = Opening(
        PLAIN_TEXT, (b"", b"220-mx ESMTP\r\n220-no spam\r\n220\r\n"), hello(), trickle=trickle
    )

    assert opening.opened is not None
    assert opening.opened.greeting is not None
    assert opening.opened.greeting.lines == ("mx ESMTP", "no spam", "")


@pytest.mark.parametrize(
    ("reply", "transient"), [(b"554 5.7.1 go away\r\n", False), (b"450 later\r\n", True)]
)
def test_an_unfriendly_greeting(reply: bytes, transient: bool) -> None:
    error = Opening(PLAIN_TEXT, (b"", reply)).error

    assert isinstance(error, ConnectError)
    assert error.stage == "GREETING"
    assert error.reply is not None
    assert error.transient is transient


def test_a_busy_server() -> None:
    error = Opening(PLAIN_TEXT, (b"", b"421 4.3.2 too many connections\r\n")).error

    assert isinstance(error, ConnectError)
    assert error.headline == "GREETING refused: 421 4.3.2"
    assert error.transient


def test_a_server_that_hangs_up_at_once() -> None:
    error = Opening(PLAIN_TEXT, (b"", None)).error

    assert isinstance(error, ConnectError)
    assert (error.stage, error.reply, error.transient) == ("GREETING", None, True)


def test_a_server_that_never_greets() -> None:
    error = Opening(PLAIN_TEXT, (b"", b"")).error

    assert isinstance(error, TimedOut)
    assert error.stage == "GREETING"


def test_something_else_than_smtp() -> None:
    error = Opening(PLAIN_TEXT, (b"", b"SSH-2.0-OpenSSH_9.6\r\n")).error

    assert isinstance(error, ProtocolError)
    assert error.stage == "GREETING"


# EHLO and HELO.

HELO = b"HELO me.example\r\n"


@pytest.mark.parametrize("code", [b"500", b"501", b"502", b"504", b"550"])
@both_ways
def test_helo_where_ehlo_is_refused(code: bytes, trickle: bool) -> None:
    opening = Opening(
        PLAIN_TEXT,
        GREETING,
        (b"EHLO me.example\r\n", code + b" what?\r\n"),
        (HELO, b"250-mx\r\n250 PIPELINING\r\n"),
        trickle=trickle,
    )

    assert opening.opened is not None
    assert opening.wire.session.state is State.READY
    # Text that follows HELO says nothing about extensions (RFC 5321 4.1.1.1).
    assert not opening.wire.session.extensions.keywords


def test_no_helo_where_ehlo_is_put_off() -> None:
    error = Opening(PLAIN_TEXT, GREETING, (b"EHLO me.example\r\n", b"451 later\r\n")).error

    assert isinstance(error, HelloRefused)
    assert (error.stage, error.transient) == ("EHLO", True)


def test_no_helo_after_a_goodbye() -> None:
    error = Opening(PLAIN_TEXT, GREETING, (b"EHLO me.example\r\n", b"421 bye\r\n")).error

    assert isinstance(error, Disconnected)
    assert error.stage == "EHLO"


def test_no_helo_after_a_loss() -> None:
    error = Opening(PLAIN_TEXT, GREETING, (b"EHLO me.example\r\n", None)).error

    assert isinstance(error, Disconnected)
    assert error.stage == "EHLO"


def test_helo_refused_too() -> None:
    error = Opening(
        PLAIN_TEXT, GREETING, (b"EHLO me.example\r\n", b"502 no\r\n"), (HELO, b"550 no\r\n")
    ).error

    assert isinstance(error, HelloRefused)
    assert error.headline == "EHLO refused: 550"


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (STARTTLS, "STARTTLS"),
        (endpoint(), "AUTH"),
        (endpoint(security=Security.STARTTLS), "STARTTLS and AUTH"),
        (endpoint(security=Security.IMPLICIT_TLS), "AUTH"),
    ],
)
def test_helo_can_not_give_what_is_demanded(wanted: Endpoint, missing: str) -> None:
    error = Opening(wanted, GREETING, (b"EHLO me.example\r\n", b"502 no\r\n")).error

    assert isinstance(error, NotSupported)
    assert error.message == f"the server refused EHLO, so it has no {missing}"
    assert (error.stage, error.reason) == ("EHLO", "no-esmtp")


# TLS.


@both_ways
def test_starttls_and_ehlo_again(trickle: bool) -> None:
    opening = Opening(
        STARTTLS,
        GREETING,
        hello("STARTTLS", "AUTH LOGIN", "XEVIL"),
        (b"STARTTLS\r\n", b"220 2.0.0 go\r\n"),
        hello("PIPELINING"),
        trickle=trickle,
    )

    assert opening.opened is not None
    assert opening.opened.tls == FACTS
    assert dict(opening.wire.session.extensions.keywords) == {"PIPELINING": ""}
    assert "TLSv1.3 (TLS_AES_256_GCM_SHA384) established" in opening.transcript


def test_extensions_from_before_tls_do_not_count() -> None:
    opening = Opening(
        endpoint(security=Security.STARTTLS),
        GREETING,
        hello("STARTTLS", "AUTH PLAIN"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
        hello(),
    )

    assert isinstance(opening.error, NotSupported)
    assert opening.error.reason == "no-mechanism"


def test_ehlo_refused_inside_tls() -> None:
    error = Opening(
        STARTTLS,
        GREETING,
        hello("STARTTLS"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
        (b"EHLO me.example\r\n", b"550 no\r\n"),
    ).error

    assert isinstance(error, NotSupported)


def test_implicit_tls() -> None:
    opening = Opening(IMPLICIT, GREETING, hello("STARTTLS"))

    assert opening.opened is not None
    assert opening.opened.tls == FACTS


def test_starttls_not_offered() -> None:
    error = Opening(STARTTLS, GREETING, hello("PIPELINING")).error

    assert isinstance(error, NotSupported)
    assert (error.stage, error.reason) == ("TLS", "starttls-missing")
    assert "465" in error.cure


@pytest.mark.parametrize(("reply", "transient"), [(b"454 no\r\n", True), (b"502 no\r\n", False)])
def test_starttls_refused(reply: bytes, transient: bool) -> None:
    error = Opening(STARTTLS, GREETING, hello("STARTTLS"), (b"STARTTLS\r\n", reply)).error

    assert isinstance(error, TLSError)
    assert (error.stage, error.command, error.transient) == ("TLS", "STARTTLS", transient)


@pytest.mark.parametrize(
    "behind", [b"250 evil\r\n", b"2", b"250-evil\r\n250 AUTH PLAIN\r\n", b"\x16\x03\x03"]
)
def test_octets_behind_the_220_end_it(behind: bytes) -> None:
    opening = Opening(
        STARTTLS, GREETING, hello("STARTTLS"), (b"STARTTLS\r\n", b"220 go\r\n" + behind)
    )

    assert isinstance(opening.error, ProtocolError)
    assert (opening.error.stage, opening.error.reason) == ("TLS", "starttls-injection")
    assert opening.wire.session.broken


@pytest.mark.parametrize("wanted", [STARTTLS, IMPLICIT])
def test_a_handshake_that_fails(wanted: Endpoint) -> None:
    turns = [GREETING, hello("STARTTLS"), (b"STARTTLS\r\n", b"220 go\r\n")]
    if wanted is IMPLICIT:
        turns = []
    for fault in (TLSError("bad certificate"), TimedOut("slow", stage="TLS"), None):
        opening = Opening(wanted, *turns, handshake=Handshake(None, fault))

        assert isinstance(opening.error, type(fault) if fault else TLSError)
        assert opening.error.stage == "TLS"
        assert opening.wire.session.broken
        assert not opening.wire.session.reusable


# Opportunistic TLS.


@both_ways
def test_starttls_is_used_where_it_is_offered(trickle: bool) -> None:
    opening = Opening(
        OPPORTUNISTIC,
        GREETING,
        hello("STARTTLS", "XEVIL"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
        hello("PIPELINING"),
        trickle=trickle,
    )

    assert opening.opened is not None
    assert opening.opened.tls == FACTS
    assert "without TLS" not in opening.transcript


@both_ways
def test_without_an_offer_it_goes_on_in_clear(trickle: bool) -> None:
    opening = Opening(OPPORTUNISTIC, GREETING, hello("PIPELINING"), trickle=trickle)

    assert opening.opened is not None
    assert opening.opened.tls is None
    assert opening.wire.session.state is State.READY
    assert "no STARTTLS is offered: going on without TLS" in opening.transcript


def test_helo_offers_no_starttls() -> None:
    opening = Opening(
        OPPORTUNISTIC,
        GREETING,
        (b"EHLO me.example\r\n", b"502 no\r\n"),
        (HELO, b"250 mx\r\n"),
    )

    assert opening.opened is not None
    assert opening.opened.tls is None


@pytest.mark.parametrize("reply", [b"454 not now\r\n", b"502 no\r\n"])
def test_an_offer_that_is_not_kept_is_an_error(reply: bytes) -> None:
    error = Opening(OPPORTUNISTIC, GREETING, hello("STARTTLS"), (b"STARTTLS\r\n", reply)).error

    assert isinstance(error, TLSError)
    assert error.stage == "TLS"


def test_a_handshake_that_fails_is_never_followed_by_clear_text() -> None:
    opening = Opening(
        OPPORTUNISTIC,
        GREETING,
        hello("STARTTLS"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
        handshake=Handshake(None, TLSError("bad certificate")),
    )

    assert isinstance(opening.error, TLSError)
    assert opening.wire.session.broken


def test_no_password_goes_in_clear_because_the_offer_is_missing() -> None:
    wanted = endpoint(security=Security.OPPORTUNISTIC, allow_auth_without_tls=False)
    opening = Opening(wanted, GREETING, hello("AUTH PLAIN"))

    assert isinstance(opening.error, NotSupported)
    assert opening.error.reason == "auth-without-tls"


# Pins.

PINNED_FACTS = PeerFacts("TLSv1.3", "cipher", CERTIFICATE, (CERTIFICATE, b"authority"))
PIN = pin_of(CERTIFICATE)
OTHER_PIN = f"sha256//{'A' * 43}="


def pinned(wanted: Endpoint, *pins: str, verify: bool = True) -> Endpoint:
    return replace(wanted, tls=TLSOptions(pins=pins, verify=verify))


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("pins", [(PIN,), (OTHER_PIN, PIN), (PIN.replace("//", "/", 1),)])
def test_the_pinned_key(pins: tuple[str, ...], verify: bool) -> None:
    wanted = pinned(IMPLICIT, *pins, verify=verify)
    opening = Opening(wanted, GREETING, hello(), handshake=Handshake(PINNED_FACTS))

    assert opening.error is None


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("wanted", [STARTTLS, IMPLICIT])
def test_another_key_ends_it_before_a_word_is_said(wanted: Endpoint, verify: bool) -> None:
    turns = [GREETING, hello("STARTTLS"), (b"STARTTLS\r\n", b"220 go\r\n")]
    opening = Opening(
        pinned(wanted, OTHER_PIN, verify=verify),
        *(turns if wanted is STARTTLS else []),
        handshake=Handshake(PINNED_FACTS),
    )

    error = opening.error
    assert isinstance(error, TLSError)
    assert (error.stage, error.reason, error.transient) == ("TLS", "pin", False)
    assert f"its pin is {PIN}\n" in str(error)
    assert error.cure
    assert error.certificate == CERTIFICATE
    assert opening.wire.session.broken
    assert "established" not in opening.transcript
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.chain, again.host) == (str(error), error.chain, "mx.example")


@pytest.mark.parametrize("certificate", [None, b"DER"])
def test_a_certificate_that_can_not_be_read_has_no_pin(certificate: bytes | None) -> None:
    facts = PeerFacts("TLSv1.3", "cipher", certificate)
    error = Opening(pinned(IMPLICIT, PIN), handshake=Handshake(facts)).error

    assert isinstance(error, TLSError)
    assert "unknown" in str(error)
    assert error.certificate is None


@pytest.mark.parametrize("security", [Security.OPPORTUNISTIC, Security.NONE])
def test_a_pin_needs_tls(security: Security) -> None:
    with pytest.raises(ValueError, match=f"A pin needs TLS, but security is '{security.value}'"):
        Endpoint("mx.example", security=security, tls=TLSOptions(pins=(PIN,)))
