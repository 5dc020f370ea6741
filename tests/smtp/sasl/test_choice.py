from __future__ import annotations

import pytest

from django_smtpauth.smtp.errors import NotSupported
from django_smtpauth.smtp.sasl import MECHANISMS, choose


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        (["LOGIN", "PLAIN", "CRAM-MD5"], None, "CRAM-MD5"),
        (["LOGIN", "PLAIN"], None, "PLAIN"),
        (["LOGIN"], None, "LOGIN"),
        (["GSSAPI", "NTLM", "LOGIN"], None, "LOGIN"),
        (["LOGIN", "PLAIN", "CRAM-MD5"], ["LOGIN", "PLAIN"], "LOGIN"),
        (["PLAIN", "CRAM-MD5"], ["LOGIN", "PLAIN"], "PLAIN"),
        (["PLAIN"], ["plain"], "PLAIN"),
        (["PLAIN"], ["XOAUTH2", "PLAIN"], "PLAIN"),
    ],
)
def test_the_first_allowed_that_is_offered(
    offered: list[str], allowed: list[str] | None, chosen: str
) -> None:
    assert choose(offered, allowed, may_reveal=True) is MECHANISMS[chosen]


def test_strongest_first() -> None:
    assert list(MECHANISMS) == ["CRAM-MD5", "PLAIN", "LOGIN"]


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
        ([], None, "the server offers no AUTH, allowed here: CRAM-MD5, PLAIN, LOGIN"),
        (["NTLM", "GSSAPI"], ["PLAIN"], "the server offers NTLM, GSSAPI, allowed here: PLAIN"),
        (["PLAIN"], [], "the server offers PLAIN, allowed here: nothing"),
        (["XOAUTH2"], ["xoauth2"], "the server offers XOAUTH2, allowed here: XOAUTH2"),
    ],
)
def test_nothing_in_common(offered: list[str], allowed: list[str] | None, message: str) -> None:
    for may_reveal in (True, False):
        with pytest.raises(NotSupported) as caught:
            choose(offered, allowed, may_reveal=may_reveal)
        assert caught.value.message == message
        assert caught.value.reason == "no-mechanism"
