"""Parameters of MAIL and RCPT: their values, their encoding, what may not be written."""

from __future__ import annotations

import pickle
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.parameters import (
    RecipientOptions,
    SenderOptions,
    announced_as,
    xtext,
)

# RFC 3461 section 4, read the other way round.
HEXCHAR = re.compile(r"\+([0-9A-F]{2})")


def decoded(text: str) -> str:
    return HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)


@given(st.text(st.characters(max_codepoint=127)))
def test_xtext(text: str) -> None:
    encoded = xtext(text)

    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", encoded)
    assert decoded(encoded) == text


def test_what_mail_says() -> None:
    options = SenderOptions(
        ret="HDRS",
        envid="id+1 = a",
        auth="me+x@example.org",
        require_tls=True,
        parameters={"mt-priority": "3", "X-FLAG": None},
    )

    assert list(options.words()) == [
        "RET=HDRS",
        "ENVID=id+2B1+20+3D+20a",
        "AUTH=me+2Bx@example.org",
        "REQUIRETLS",
        "MT-PRIORITY=3",
        "X-FLAG",
    ]
    assert list(SenderOptions(auth="<>").words()) == ["AUTH=<>"]
    assert list(SenderOptions().words()) == []


def test_what_rcpt_says() -> None:
    options = RecipientOptions(
        notify=("SUCCESS", "DELAY", "SUCCESS"), orcpt="you+x@example.org", parameters={"RRVS": "x"}
    )

    assert list(options.words()) == [
        "NOTIFY=SUCCESS,DELAY",
        "ORCPT=rfc822;you+2Bx@example.org",
        "RRVS=x",
    ]
    assert list(RecipientOptions(notify=("NEVER",)).words()) == ["NOTIFY=NEVER"]
    assert list(RecipientOptions().words()) == []


@pytest.mark.parametrize(
    ("orcpt", "written"),
    [
        ("a@b", "rfc822;a@b"),
        ("x400;/c=de/s=me", "x400;/c+3Dde/s+3Dme"),
        ("jürgen@example.org", r"utf-8;j\x{FC}rgen@example.org"),
        ("密+\\=@b", r"utf-8;\x{5BC6}\x{2B}\x{5C}\x{3D}@b"),
        ("a b> NOTIFY=NEVER", "rfc822;a+20b>+20NOTIFY+3DNEVER"),
    ],
)
def test_the_original_recipient(orcpt: str, written: str) -> None:
    assert list(RecipientOptions(orcpt=orcpt).words()) == [f"ORCPT={written}"]


@given(st.text(min_size=1, max_size=500))
def test_no_original_recipient_leaves_its_parameter(text: str) -> None:
    try:
        (word,) = RecipientOptions(orcpt=text).words()
    except ValueError:
        assert any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
        return

    assert re.fullmatch("ORCPT=[!-~]+", word)
    line = commands.rcpt("a@b", [word]).line
    assert line == f"RCPT TO:<a@b> {word}\r\n".encode()


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (lambda: SenderOptions(ret="ALL"), "ret must be 'FULL' or 'HDRS', not 'ALL'."),
        (lambda: SenderOptions(envid=""), "envid must be 1 to 100 printable ASCII characters."),
        (lambda: SenderOptions(envid="x" * 101), "envid must be 1 to 100"),
        (lambda: SenderOptions(envid="x\r\n"), "envid must be 1 to 100"),
        (lambda: SenderOptions(envid="ü"), "envid must be 1 to 100"),
        (lambda: SenderOptions(auth="jürgen@x"), "auth must be an ASCII mailbox, or '<>'."),
        (lambda: SenderOptions(auth="a b@x"), "Not an e-mail address"),
        (lambda: SenderOptions(auth="a@x\r\n"), "control character"),
        (lambda: RecipientOptions(notify=("ALWAYS",)), "notify must list some of SUCCESS, "),
        (lambda: RecipientOptions(notify="NEVER"), "notify must list some of SUCCESS, "),
        (lambda: RecipientOptions(notify=("NEVER", "DELAY")), "notify: NEVER stands alone."),
        (lambda: RecipientOptions(orcpt=""), "orcpt must have 1 to 500 characters"),
        (lambda: RecipientOptions(orcpt="x" * 501), "orcpt must have 1 to 500 characters"),
        (lambda: RecipientOptions(orcpt="a@b\r\nDATA"), "no control among them."),
        (lambda: RecipientOptions(orcpt="a@b\0"), "no control among them."),
        (lambda: RecipientOptions(orcpt="ü\x85"), "no control among them."),
    ],
)
def test_what_could_not_be_written(made: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        made()  # type: ignore[operator]


@pytest.mark.parametrize("kind", [SenderOptions, RecipientOptions])
@pytest.mark.parametrize(
    ("keyword", "value", "complaint"),
    [
        ("", "x", "'' is no keyword"),
        ("-X", "x", "'-X' is no keyword"),
        ("X Y", "x", "'X Y' is no keyword"),
        ("X\r\n", "x", "is no keyword"),
        ("Ü", "x", "is no keyword"),
        ("size", "1", "SIZE is not for parameters: the engine writes it itself."),
        ("NOTIFY", "NEVER", "NOTIFY is not for parameters"),
        ("PRDR", None, "PRDR changes the dialogue"),
        ("X", "", "The value of X must be printable ASCII without spaces and '='."),
        ("X", "a b", "The value of X"),
        ("X", "a=b", "The value of X"),
        ("X", "a\r\nDATA", "The value of X"),
        ("X", "a\0", "The value of X"),
        ("X", "ü", "The value of X"),
    ],
)
def test_parameters_that_are_none(
    kind: type[SenderOptions | RecipientOptions], keyword: str, value: str | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        kind(parameters={keyword: value})


@given(st.dictionaries(st.text(), st.none() | st.text(), max_size=3))
def test_whatever_is_taken_stays_one_line_of_words(parameters: dict[str, str | None]) -> None:
    try:
        options = SenderOptions(parameters=parameters)
    except ValueError:
        return
    words = list(options.words())
    line = commands.mail("a@b", words).line
    assert line.count(b"\r\n") == 1
    assert line.rstrip().split(b" ") == [b"MAIL", b"FROM:<a@b>", *map(str.encode, words)]


@pytest.mark.parametrize(
    ("word", "keyword"),
    [
        ("RET=HDRS", "DSN"),
        ("ENVID=x", "DSN"),
        ("NOTIFY=NEVER", "DSN"),
        ("ORCPT=rfc822;a", "DSN"),
        ("AUTH=<>", "AUTH"),
        ("REQUIRETLS", "REQUIRETLS"),
        ("BY=120;R", "DELIVERBY"),
        ("HOLDFOR=60", "FUTURERELEASE"),
        ("HOLDUNTIL=x", "FUTURERELEASE"),
        ("SOLICIT=x", "NO-SOLICITING"),
        ("MT-PRIORITY=3", "MT-PRIORITY"),
        ("X-OWN", "X-OWN"),
    ],
)
def test_what_a_server_announces_for_it(word: str, keyword: str) -> None:
    assert announced_as(word) == keyword


def test_options_survive_pickle_and_can_be_compared() -> None:
    sender = SenderOptions(envid="x", parameters={"A": None})
    recipient = RecipientOptions(notify=("DELAY",), parameters={"A": "1"})

    assert pickle.loads(pickle.dumps((sender, recipient))) == (sender, recipient)
    assert hash(sender) == hash(SenderOptions(envid="x"))
    assert sender != SenderOptions(envid="x")
