from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp.extensions import Extensions, Limits
from django_smtpauth.smtp.replies import Reply


def offered(*lines: str) -> Extensions:
    return Extensions.parse(Reply(250, ("mx.example.com", *lines)))


def test_a_server_of_2002() -> None:
    extensions = offered("PIPELINING", "SIZE 10240000", "ETRN", "AUTH LOGIN", "8BITMIME")

    assert extensions.pipelining
    assert extensions.size == 10_240_000
    assert "ETRN" in extensions
    assert extensions.auth == ("LOGIN",)
    assert extensions.eight_bit
    assert not extensions.starttls
    assert not extensions.smtputf8
    assert "DSN" not in extensions


def test_keywords_are_case_insensitive() -> None:
    extensions = offered("pipelining", "StartTLS", "8bitMime", "smtpUTF8", "size 5", "auth plain")

    assert extensions.pipelining
    assert extensions.starttls
    assert extensions.eight_bit
    assert extensions.smtputf8
    assert extensions.size == 5
    assert extensions.auth == ("PLAIN",)


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        (["AUTH=LOGIN"], ("LOGIN",)),
        (["auth=login plain"], ("LOGIN", "PLAIN")),
        (["AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"], ("LOGIN", "PLAIN")),
        (["AUTH=LOGIN", "AUTH CRAM-MD5"], ("LOGIN", "CRAM-MD5")),
        (["AUTH   PLAIN   LOGIN  "], ("PLAIN", "LOGIN")),
        (["AUTH"], ()),
        ([], ()),
    ],
)
def test_auth_in_all_its_spellings(lines: list[str], mechanisms: tuple[str, ...]) -> None:
    assert offered(*lines).auth == mechanisms


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        (["SIZE"], None),
        (["SIZE 0"], None),
        (["SIZE many"], None),
        (["SIZE -5"], None),
        (["SIZE ²"], None),
        (["SIZE 35882577 "], 35_882_577),
        (["SIZE " + "9" * 20], 10**20 - 1),
        (["SIZE " + "9" * 5_000], None),
        (["SIZE 1", "SIZE 2"], 2),
        ([], None),
    ],
)
def test_size(lines: list[str], size: int | None) -> None:
    assert offered(*lines).size == size


def test_the_first_line_and_empty_lines_are_no_keywords() -> None:
    extensions = Extensions.parse(Reply(250, ("PIPELINING", "", "  ", "DSN")))

    assert dict(extensions.keywords) == {"DSN": ""}


def test_nothing_is_offered_without_ehlo() -> None:
    assert Extensions() == Extensions.parse(Reply(250, ("mx",)))
    assert not Extensions().pipelining


def test_as_data() -> None:
    assert json.loads(json.dumps(offered("LIMITS RCPTMAX=20", "DSN").to_dict())) == {
        "LIMITS": "RCPTMAX=20",
        "DSN": "",
    }


@given(st.lists(st.text(max_size=30), max_size=6))
def test_no_answer_to_ehlo_breaks_it(lines: list[str]) -> None:
    extensions = offered(*lines)

    assert all(name == name.upper() for name in extensions.auth)
    assert extensions.size is None or extensions.size > 0


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("LIMITS MAILMAX=5 RCPTMAX=100 RCPTDOMAINMAX=1", Limits(5, 100, 1)),
        ("limits rcptmax=007 X-OTHER NEW=1", Limits(recipients=7)),
        ("LIMITS RCPTMAX=0 MAILMAX=-1", Limits()),
        ("LIMITS RCPTMAX=1234567 MAILMAX=x RCPTDOMAINMAX", Limits()),
        ("LIMITS RCPTMAX=1=2", Limits()),
        ("LIMITS", Limits()),
        ("SIZE", Limits()),
    ],
)
def test_limits(line: str, limits: Limits) -> None:
    assert Extensions.parse(Reply(250, ("mx", line))).limits == limits


@pytest.mark.parametrize(
    ("lines", "chunking", "binary"),
    [
        (["CHUNKING", "BINARYMIME"], True, True),
        (["CHUNKING"], True, False),
        (["BINARYMIME"], False, False),
        ([], False, False),
    ],
)
def test_binary_content_needs_chunks(lines: list[str], chunking: bool, binary: bool) -> None:
    extensions = Extensions.parse(Reply(250, ("mx", *lines)))

    assert (extensions.chunking, extensions.binary) == (chunking, binary)
