from __future__ import annotations

import pytest

from django_smtpauth.smtp.errors import NotSupported
from django_smtpauth.smtp.sasl import DEFAULT_ORDER, MECHANISMS, choose
from django_smtpauth.smtp.sasl.credentials import Kind
from django_smtpauth.smtp.tls import PeerFacts

#: Those that prove a user by password.
PASSWORDS = [name for name in DEFAULT_ORDER if MECHANISMS[name].needs == "password"]


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        (["LOGIN", "PLAIN", "CRAM-MD5"], None, "CRAM-MD5"),
        (["PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"], None, "SCRAM-SHA-256"),
        (["LOGIN", "PLAIN"], None, "PLAIN"),
        (["LOGIN"], None, "LOGIN"),
        (["GSSAPI", "NTLM", "LOGIN"], None, "LOGIN"),
        (["LOGIN", "PLAIN", "CRAM-MD5"], ["LOGIN", "PLAIN"], "LOGIN"),
        (["PLAIN", "CRAM-MD5"], ["LOGIN", "PLAIN"], "PLAIN"),
        (["PLAIN"], ["plain"], "PLAIN"),
    ],
)
def test_the_first_allowed_that_is_offered(
    offered: list[str], allowed: list[str] | None, chosen: str
) -> None:
    assert choose(offered, allowed, may_reveal=True) is MECHANISMS[chosen]


def test_strongest_first() -> None:
    scram = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]
    bound = [f"{name}-PLUS" for name in scram]
    passwords = [*bound, *scram, "CRAM-MD5", "PLAIN", "LOGIN"]
    assert list(DEFAULT_ORDER) == [*passwords, "OAUTHBEARER", "XOAUTH2", "EXTERNAL"]


def test_without_tls_the_secret_is_proven_or_kept() -> None:
    offered = ["PLAIN", "LOGIN", "CRAM-MD5"]

    assert choose(offered, None, may_reveal=False).name == "CRAM-MD5"
    assert choose(offered, ["PLAIN", "CRAM-MD5"], may_reveal=False).name == "CRAM-MD5"


@pytest.mark.parametrize(
    ("offered", "allowed", "named"),
    [
        (["PLAIN", "LOGIN"], None, "PLAIN"),
        (["LOGIN"], None, "LOGIN"),
        (["PLAIN", "CRAM-MD5"], ["PLAIN"], "PLAIN"),
    ],
)
def test_without_tls_the_refusal_prints_the_line_to_add(
    offered: list[str], allowed: list[str] | None, named: str
) -> None:
    with pytest.raises(NotSupported) as caught:
        choose(offered, allowed, may_reveal=False)

    assert caught.value.reason == "auth-without-tls"
    assert caught.value.stage == "AUTH"
    assert str(caught.value).splitlines() == [
        f"AUTH failed: {named} would send the password without TLS",
        "Use TLS, or set allow_auth_without_tls=True if the network is trusted.",
    ]


@pytest.mark.parametrize(
    ("offered", "allowed", "message"),
    [
        ([], None, f"the server offers no AUTH, allowed here: {', '.join(PASSWORDS)}"),
        (["NTLM", "GSSAPI"], ["PLAIN"], "the server offers NTLM, GSSAPI, allowed here: PLAIN"),
        (["PLAIN"], [], "the server offers PLAIN, allowed here: nothing"),
        (["XOAUTH2"], ["plain"], "the server offers XOAUTH2, allowed here: PLAIN"),
    ],
)
def test_nothing_in_common(offered: list[str], allowed: list[str] | None, message: str) -> None:
    for may_reveal in (True, False):
        with pytest.raises(NotSupported) as caught:
            choose(offered, allowed, may_reveal=may_reveal)
        assert caught.value.message == message
        assert caught.value.reason == "no-mechanism"


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(NotSupported) as caught:
        choose(["PLAIN"], ["PLAIN", "SCRAM", "plane"], may_reveal=True)

    assert caught.value.message == "auth_mechanisms names SCRAM, plane, which is not known here"
    assert caught.value.cure == f"Known are {', '.join(MECHANISMS)}."
    assert (caught.value.stage, caught.value.reason) == ("AUTH", "unknown-mechanism")


def test_a_token_is_no_password() -> None:
    with pytest.raises(NotSupported) as caught:
        choose(["PLAIN"], ["PLAIN"], may_reveal=True, has=["token"])

    assert caught.value.message == "PLAIN needs a password, and there is a token"
    assert caught.value.reason == "wrong-kind-of-secret"


@pytest.mark.parametrize(
    ("has", "allowed", "chosen"),
    [
        (["password"], None, "PLAIN"),
        (["token"], None, "OAUTHBEARER"),
        (["certificate"], None, "EXTERNAL"),
        (["token"], ["XOAUTH2", "OAUTHBEARER"], "XOAUTH2"),
        (["token"], ["PLAIN", "XOAUTH2"], "XOAUTH2"),
        (["password", "certificate"], ["EXTERNAL", "PLAIN"], "EXTERNAL"),
        (["password", "certificate"], ["PLAIN", "EXTERNAL"], "PLAIN"),
    ],
)
def test_what_there_is_decides(has: list[Kind], allowed: list[str] | None, chosen: str) -> None:
    offered = ["EXTERNAL", "XOAUTH2", "OAUTHBEARER", "PLAIN"]

    assert choose(offered, allowed, may_reveal=True, has=has).name == chosen


def test_a_token_goes_where_a_password_may_go() -> None:
    with pytest.raises(NotSupported) as caught:
        choose(["OAUTHBEARER"], None, may_reveal=False, has=["token"])

    assert caught.value.message == "OAUTHBEARER would send the token without TLS"
    assert caught.value.reason == "auth-without-tls"


def test_external_needs_a_certificate() -> None:
    with pytest.raises(NotSupported) as caught:
        choose(["EXTERNAL"], ["EXTERNAL"], may_reveal=True)

    assert caught.value.message == "EXTERNAL needs a certificate, and there is a password"
    assert "ssl_certfile" in caught.value.cure


PLUS = "SCRAM-SHA-256-PLUS"
TLS_1_2 = PeerFacts("TLSv1.2", "AES", b"no hash in it", tls_unique=b"finished")
TLS_1_3 = PeerFacts("TLSv1.3", "AES", b"no hash in it")


@pytest.mark.parametrize("entry", [f"{PLUS}/tls-unique", f"{PLUS}/tls-unique".upper()])
def test_another_type_of_binding_is_named_with_the_mechanism(entry: str) -> None:
    chosen = choose([PLUS], [entry], may_reveal=True, facts=TLS_1_2)

    assert (chosen.name, chosen.binding) == (PLUS, "tls-unique")
    assert MECHANISMS[PLUS].binding == "tls-server-end-point"


@pytest.mark.parametrize("entry", ["PLAIN/tls-unique", f"{PLUS}/tls-exporter", f"{PLUS}/"])
def test_types_of_binding_that_are_none(entry: str) -> None:
    with pytest.raises(NotSupported) as caught:
        choose([PLUS, "PLAIN"], [entry], may_reveal=True, facts=TLS_1_2)

    assert caught.value.reason == "unknown-mechanism"
    assert caught.value.cure.endswith("Those with -PLUS may be followed by /tls-unique.")


@pytest.mark.parametrize(
    ("entry", "facts", "message", "cure"),
    [
        (PLUS, None, "tls-server-end-point: there is no TLS", "Use TLS."),
        (f"{PLUS}/tls-unique", None, "tls-unique: there is no TLS", "Use TLS."),
        (
            PLUS,
            TLS_1_2,
            "tls-server-end-point: the signature of the server's certificate has no hash of "
            "its own",
            "Allow a mechanism that needs no channel binding, too.",
        ),
        (
            f"{PLUS}/tls-unique",
            TLS_1_3,
            "tls-unique: it exists in TLS 1.2 only, and the server speaks TLSv1.3",
            f"Name {PLUS} without /tls-unique: that binds to the server's certificate.",
        ),
    ],
)
def test_binding_without_anything_to_bind_to(
    entry: str, facts: PeerFacts | None, message: str, cure: str
) -> None:
    assert choose([PLUS, "PLAIN"], [entry, "PLAIN"], may_reveal=True, facts=facts).name == "PLAIN"
    with pytest.raises(NotSupported) as caught:
        choose([PLUS, "PLAIN"], [entry], may_reveal=True, facts=facts)

    assert caught.value.message == f"{PLUS} needs the channel binding {message}"
    assert caught.value.reason == "no-channel-binding"
    assert caught.value.cure == cure
