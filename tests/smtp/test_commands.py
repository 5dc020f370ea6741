from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp import commands
from django_smtpauth.smtp.commands import MAX_COMMAND, REDACTED, Command, Verb


@pytest.mark.parametrize(
    ("command", "verb", "line", "shown"),
    [
        (commands.greeting(), Verb.GREETING, b"", ""),
        (commands.ehlo("[127.0.0.1]"), Verb.EHLO, b"EHLO [127.0.0.1]\r\n", "EHLO [127.0.0.1]"),
        (commands.helo("me.example"), Verb.HELO, b"HELO me.example\r\n", "HELO me.example"),
        (commands.starttls(), Verb.STARTTLS, b"STARTTLS\r\n", "STARTTLS"),
        (commands.auth("LOGIN", None), Verb.AUTH, b"AUTH LOGIN\r\n", "AUTH LOGIN"),
        (
            commands.auth("PLAIN", b"\0tim\0tanstaaftanstaaf"),
            Verb.AUTH,
            b"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n",
            f"AUTH PLAIN {REDACTED}",
        ),
        (
            commands.auth("EXTERNAL", b""),
            Verb.AUTH,
            b"AUTH EXTERNAL =\r\n",
            f"AUTH EXTERNAL {REDACTED}",
        ),
        (commands.response(b"secret"), Verb.RESPONSE, b"c2VjcmV0\r\n", REDACTED),
        (commands.response(b""), Verb.RESPONSE, b"\r\n", REDACTED),
        (commands.cancel(), Verb.RESPONSE, b"*\r\n", "*"),
        (commands.mail(""), Verb.MAIL, b"MAIL FROM:<>\r\n", "MAIL FROM:<>"),
        (
            commands.mail("a@b.example", ["SIZE=5", "BODY=8BITMIME"]),
            Verb.MAIL,
            b"MAIL FROM:<a@b.example> SIZE=5 BODY=8BITMIME\r\n",
            "MAIL FROM:<a@b.example> SIZE=5 BODY=8BITMIME",
        ),
        (
            commands.mail("ü@b.example", ["SMTPUTF8"], utf8=True),
            Verb.MAIL,
            "MAIL FROM:<ü@b.example> SMTPUTF8\r\n".encode(),
            "MAIL FROM:<ü@b.example> SMTPUTF8",
        ),
        (
            commands.rcpt('"two words"@b.example'),
            Verb.RCPT,
            b'RCPT TO:<"two words"@b.example>\r\n',
            'RCPT TO:<"two words"@b.example>',
        ),
        (commands.rcpt("Root"), Verb.RCPT, b"RCPT TO:<Root>\r\n", "RCPT TO:<Root>"),
        (commands.data(), Verb.DATA, b"DATA\r\n", "DATA"),
        (commands.content(5), Verb.CONTENT, b"", "[content, 5 octets]"),
        (commands.content(None), Verb.CONTENT, b"", "[content]"),
        (commands.rset(), Verb.RSET, b"RSET\r\n", "RSET"),
        (commands.quit_(), Verb.QUIT, b"QUIT\r\n", "QUIT"),
    ],
)
def test_what_is_sent_and_what_is_shown(
    command: Command, verb: Verb, line: bytes, shown: str
) -> None:
    assert (command.verb, command.line, command.shown) == (verb, line, shown)


def test_a_command_remembers_the_address_as_it_was_given() -> None:
    assert commands.rcpt('"a"@B.example').line == b"RCPT TO:<a@B.example>\r\n"
    assert commands.rcpt('"a"@B.example').argument == '"a"@B.example'
    assert commands.mail("a@b").argument == "a@b"


# RFC 2920 3.1 names RSET, MAIL FROM, SEND FROM, SOML FROM, SAML FROM and RCPT TO as allowed
# anywhere in a group, message content as allowed at its head; RFC 3207 4 puts STARTTLS last,
# RFC 4954 4 AUTH. After the greeting the client has to wait for the server anyway.
@pytest.mark.parametrize(
    ("verb", "ends"),
    [
        (Verb.GREETING, True),
        (Verb.EHLO, True),
        (Verb.HELO, True),
        (Verb.STARTTLS, True),
        (Verb.AUTH, True),
        (Verb.RESPONSE, True),
        (Verb.MAIL, False),
        (Verb.RCPT, False),
        (Verb.DATA, True),
        (Verb.CONTENT, False),
        (Verb.BDAT, False),
        (Verb.LAST, False),
        (Verb.PROBE, True),
        (Verb.LHLO, True),
        (Verb.RSET, False),
        (Verb.QUIT, True),
    ],
)
def test_which_commands_end_a_group(verb: Verb, ends: bool) -> None:
    assert Command(verb, b"", "").ends_group is ends


def test_stages() -> None:
    assert {verb.value: verb.stage for verb in Verb if verb.stage != verb.value} == {
        "HELO": "EHLO",
        "LHLO": "EHLO",
        "BDAT": "CONTENT",
        "LAST": "CONTENT",
        "RESPONSE": "AUTH",
        "STARTTLS": "TLS",
    }


def test_no_secret_in_the_repr_of_a_command() -> None:
    for command in (commands.auth("PLAIN", b"\0u\0secret"), commands.response(b"secret")):
        assert "secret" not in repr(command)
        assert base64.b64encode(b"secret").decode() not in repr(command)
        assert command.line.split()[-1].decode() not in repr(command)


CONTROLS = [*map(chr, range(32)), "\x7f"]


@pytest.mark.parametrize("control", CONTROLS)
def test_no_control_character_gets_into_a_line(control: str) -> None:
    with pytest.raises(ValueError, match="The EHLO command would contain a control character"):
        commands.ehlo(f"me{control}MAIL FROM:<x@y>")
    with pytest.raises(ValueError, match="control character"):
        commands.helo(f"me{control}")
    with pytest.raises(ValueError, match="control character"):
        commands.mail("a@b", [f"SIZE=1{control}RSET"])
    with pytest.raises(ValueError, match="control character"):
        commands.mail(f"a{control}@b")
    with pytest.raises(ValueError, match="control character"):
        commands.rcpt(f"a@b{control}", utf8=True)
    with pytest.raises(ValueError, match="control character"):
        commands.auth(f"LOGIN{control}", None)


# U+760A and U+760D end in the octets of LF and CR when they are cut down to eight bits.
@pytest.mark.parametrize("character", ["\u760a", "\u760d", "\u2028", "\u2029", "\xa0", "ü"])
def test_nothing_is_narrowed_to_ascii(character: str) -> None:
    with pytest.raises(ValueError, match="The EHLO command would contain a non-ASCII character"):
        commands.ehlo(f"me{character}MAIL")
    with pytest.raises(ValueError, match=r"ASCII|control"):
        commands.rcpt(f"a{character}@b")


@pytest.mark.parametrize("character", ["\u760a", "\u760d"])
def test_wide_characters_stay_wide_in_utf8(character: str) -> None:
    line = commands.rcpt(f"a{character}@b", utf8=True).line

    assert line == b"RCPT TO:<a" + character.encode() + b"@b>\r\n"
    assert line.count(b"\n") == line.count(b"\r") == 1


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match="non-ASCII"):
        commands.mail("a@b", ["X=\ud800"], utf8=True)


def test_the_longest_line() -> None:
    longest = "x" * (MAX_COMMAND - len("EHLO \r\n"))

    assert len(commands.ehlo(longest).line) == MAX_COMMAND
    with pytest.raises(ValueError, match=str(MAX_COMMAND)):
        commands.ehlo(longest + "x")


def test_the_longest_auth_line_and_response() -> None:
    # 12,288 octets with the line end: 9,213 octets in base64 have 12,284.
    assert len(commands.response(b"x" * 9_213).line) == 12_286
    with pytest.raises(ValueError, match=str(MAX_COMMAND)):
        commands.response(b"x" * 9_216)
    assert len(commands.auth("PLAIN", b"x" * 9_201).line) <= MAX_COMMAND
    with pytest.raises(ValueError, match=str(MAX_COMMAND)):
        commands.auth("PLAIN", b"x" * 9_213)


@given(st.text(), st.lists(st.text(), max_size=3), st.booleans())
def test_whatever_it_is_made_of_a_command_is_one_line(
    sender: str, parameters: list[str], utf8: bool
) -> None:
    try:
        line = commands.mail(sender, parameters, utf8=utf8).line
    except ValueError:
        return
    assert line.endswith(b"\r\n")
    assert not any(octet < 32 or octet == 127 for octet in line[:-2])
    assert utf8 or line.isascii()
