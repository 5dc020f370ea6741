from __future__ import annotations

import pytest

from django_smtpauth.smtp.errors import NotSupported
from django_smtpauth.smtp.sasl import DEFAULT_ORDER, MECHANISMS, Mechanism, choose, register


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
    assert list(DEFAULT_ORDER) == [*bound, *scram, "CRAM-MD5", "PLAIN", "LOGIN"]


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
        ([], None, f"the server offers no AUTH, allowed here: {', '.join(DEFAULT_ORDER)}"),
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


def test_binding_without_anything_to_bind_to() -> None:
    register(Mechanism("X-PLUS", MECHANISMS["PLAIN"].start, reveals_secret=False, binds=True))
    wanted = ["X-PLUS", "PLAIN"]

    assert choose(["X-PLUS"], wanted, may_reveal=True, may_bind=True).name == "X-PLUS"
    assert choose(["X-PLUS", "PLAIN"], wanted, may_reveal=True).name == "PLAIN"
    with pytest.raises(NotSupported) as caught:
        choose(["X-PLUS"], wanted, may_reveal=True)
    assert caught.value.message == "X-PLUS needs TLS, and a certificate that it can be bound to"
    assert caught.value.reason == "no-channel-binding"
