from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.addresses import MAX_ADDRESS, Mailbox


@pytest.mark.parametrize(
    ("text", "mailbox", "written"),
    [
        ("a@b.example", Mailbox("a", "b.example"), "a@b.example"),
        ("A.b+c@B.Example", Mailbox("A.b+c", "B.Example"), "A.b+c@B.Example"),
        ("!#$%&'*+/=?^_`{|}~-@b", Mailbox("!#$%&'*+/=?^_`{|}~-", "b"), "!#$%&'*+/=?^_`{|}~-@b"),
        ("a@under_score.example", Mailbox("a", "under_score.example"), "a@under_score.example"),
        ("a@b.example.", Mailbox("a", "b.example."), "a@b.example."),
        ("a@[192.0.2.1]", Mailbox("a", "[192.0.2.1]"), "a@[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", Mailbox("a", "[IPv6:2001:db8::1]"), "a@[IPv6:2001:db8::1]"),
        ("Postmaster", Mailbox("Postmaster", ""), "Postmaster"),
        ('"two words"', Mailbox("two words", ""), '"two words"'),
        ('"two words"@b', Mailbox("two words", "b"), '"two words"@b'),
        ('"plain"@b', Mailbox("plain", "b"), "plain@b"),
        ('""@b', Mailbox("", "b"), '""@b'),
        (r'"a\"b\\c"@b', Mailbox('a"b\\c', "b"), r'"a\"b\\c"@b'),
        (r'"\a"@b', Mailbox("a", "b"), "a@b"),
        ('"a@evil.example"@b', Mailbox("a@evil.example", "b"), '"a@evil.example"@b'),
        ("a..b@c", Mailbox("a..b", "c"), '"a..b"@c'),
        (".a@c", Mailbox(".a", "c"), '".a"@c'),
        ("a.@c", Mailbox("a.", "c"), '"a."@c'),
        ("ü@b", Mailbox("ü", "b"), "ü@b"),
        ("a@bücher.example", Mailbox("a", "bücher.example"), "a@bücher.example"),
        ("用户@例子.广告", Mailbox("用户", "例子.广告"), "用户@例子.广告"),
    ],
)
def test_read_once_and_written_anew(text: str, mailbox: Mailbox, written: str) -> None:
    assert Mailbox.parse(text) == mailbox
    assert str(mailbox) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@b",
        "a@",
        "a b@c",
        " a@b",
        "a@b ",
        "a@b c",
        "a@b@c",
        "<a@b>",
        "Ann <a@b>",
        "a,b@c",
        "a@b,c@d",
        "a:b;",
        "a@b..c",
        "a@.b",
        "a@-b",
        "a@b-",
        "a@[b",
        "a@[]",
        "a@[1 2]",
        '"a@b',
        '"a"b@c',
        '"a" @c',
        '"a\\"@b',
        "(comment)a@b",
        "a@b(comment)",
        "a\\b@c",
        # What would become a parameter or a second command.
        "x> SIZE=1",
        "a@b> NOTIFY=NEVER",
        "a@b> NOTIFY=NEVER ORCPT=rfc822;x@y",
        "a@b>\r\nRCPT TO:<victim@c",
        '"a"@b> SIZE=1',
        "a@b>SIZE=1",
        "a@b\r\nDATA",
        "a@b\n",
        "a@b\r",
        "a\0@b",
        "a@b\0",
        '"a\r\nb"@c',
        '"a\0b"@c',
        '"a\\\nb"@c',
        "a@b\u2028c",
        "a\u2029@b",
        "a\x85@b",
        '"a\x9fb"@c',
        "a\x7f@b",
        "a\ud800@b",
        "a@b\udfff",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Mailbox.parse(text)


def test_parameters_inside_quotes_stay_inside_quotes() -> None:
    text = '"x> SIZE=1"@b.example'

    assert commands.mail(text).line == b'MAIL FROM:<"x> SIZE=1"@b.example>\r\n'
    assert Mailbox.parse(text).local == "x> SIZE=1"


# U+760A and U+760D are letters; an encoder that keeps the low octet makes LF and CR of them.
@pytest.mark.parametrize("character", ["\u760a", "\u760d"])
def test_wide_characters_are_text_and_stay_whole(character: str) -> None:
    mailbox = Mailbox.parse(f"a{character}RSET@b")

    assert mailbox.needs_utf8
    assert str(mailbox).encode() == b"a" + character.encode() + b"RSET@b"


def test_limits() -> None:
    assert Mailbox.parse("a" * (MAX_ADDRESS - 2) + "@b").domain == "b"
    with pytest.raises(ValueError, match=str(MAX_ADDRESS)):
        Mailbox.parse("a" * (MAX_ADDRESS - 1) + "@b")
    assert Mailbox.parse("a@" + "b" * 255).domain == "b" * 255
    with pytest.raises(ValueError, match="Not an e-mail address"):
        Mailbox.parse("a@" + "b" * 256)
    with pytest.raises(ValueError, match="Not an e-mail address"):
        Mailbox.parse("a@" + "ü" * 128)


def test_who_needs_smtputf8() -> None:
    assert Mailbox.parse("ü@b").needs_utf8
    assert not Mailbox.parse("a@bücher.example").needs_utf8


addresses = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from('ab.@"\\<> \r\n\0[]:;,()\u760a\u760d\u2028\x85ü'), max_size=20),
    st.builds(
        '"{}"@{}'.format,
        st.text(max_size=20).map(lambda t: re.sub(r'(["\\])', r"\\\1", t)),
        st.sampled_from(["b.example", "[192.0.2.1]", "b> SIZE=1", "", "ü"]),
    ),
    st.builds("{}@{}".format, st.text(max_size=10), st.text(max_size=10)),
)


def after_path(line: str) -> str:
    """What a server finds behind the path of `RCPT TO:<path>` (RFC 5321 4.1.2)."""
    assert line.startswith("RCPT TO:<")
    quoted = escaped = False
    for index, character in enumerate(line[9:], 9):
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character == ">":
            return line[index + 1 :]
        else:
            assert character not in "< \\\t(),;"
    raise AssertionError(f"no end of the path: {line!r}")


@given(addresses)
@example("x> SIZE=1")
@example("a@b> NOTIFY=NEVER")
@example('"x> SIZE=1"@b')
@example('"a\\\\"@b')
def test_whatever_is_accepted_is_one_path_and_the_same_mailbox(text: str) -> None:
    try:
        mailbox = Mailbox.parse(text)
    except ValueError:
        return
    written = str(mailbox)
    line = commands.rcpt(text, utf8=True).line.decode()

    assert Mailbox.parse(written) == mailbox
    assert str(Mailbox.parse(written)) == written
    assert line == f"RCPT TO:<{written}>\r\n"
    assert after_path(line) == "\r\n"
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", written)


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=40),
    st.sampled_from(["b", "b.example", "[192.0.2.1]", "bücher.example", ""]),
)
def test_every_local_part_can_be_written(local: str, domain: str) -> None:
    mailbox = Mailbox(local, domain)

    assert Mailbox.parse(str(mailbox)) == mailbox
