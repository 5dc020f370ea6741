from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.smtp.errors import ProtocolError
from django_smtpauth.smtp.replies import (
    MAX_CHALLENGE_LINE,
    MAX_LINE,
    MAX_REPLY,
    EnhancedStatus,
    Reply,
    ReplyParser,
)
from tests.smtp.sansio import pieces


def parse(*chunks: bytes) -> list[Reply]:
    parser = ReplyParser()
    replies = []
    for chunk in chunks:
        parser.feed(chunk)
        while (reply := parser.next()) is not None:
            replies.append(reply)
    return replies


def octet_by_octet(octets: bytes) -> list[Reply]:
    return parse(*(octets[i : i + 1] for i in range(len(octets))))


def test_greeting_and_ehlo_answer_of_a_server_of_2002() -> None:
    octets = (
        b"220 Welcome to coremail System(With Anti-Spam) 2.1 for 263(040326)\r\n"
        b"250-192.168.30.29\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n"
        b"250-ETRN\r\n250-AUTH LOGIN\r\n250 8BITMIME\r\n"
    )
    replies = [
        Reply(220, ("Welcome to coremail System(With Anti-Spam) 2.1 for 263(040326)",)),
        Reply(
            250,
            ("192.168.30.29", "PIPELINING", "SIZE 10240000", "ETRN", "AUTH LOGIN", "8BITMIME"),
        ),
    ]

    assert parse(octets) == replies
    assert octet_by_octet(octets) == replies


# The five things on which a reader that trusts packets and texts hangs or dies.


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        pytest.param(b"354\r\n", Reply(354, ("",)), id="bare code"),
        pytest.param(b"250-\r\n250\r\n", Reply(250, ("", "")), id="bare codes, two lines"),
        pytest.param(b"334\r\n", Reply(334, ("",)), id="empty 334 without a space"),
        pytest.param(b"334 \r\n", Reply(334, ("",)), id="empty 334 with a space"),
        pytest.param(
            b"250 " + b"x" * 507 + b"\r\n", Reply(250, ("x" * 507,)), id="line of 513 octets"
        ),
        pytest.param(
            b"250 " + b"x" * 1_994 + b"\r\n", Reply(250, ("x" * 1_994,)), id="line of 2,000 octets"
        ),
        pytest.param(b"250-mx\n250 SIZE\n", Reply(250, ("mx", "SIZE")), id="LF-only lines"),
        pytest.param(b"250-mx\r\n250 SIZE\n", Reply(250, ("mx", "SIZE")), id="mixed line ends"),
    ],
)
def test_lines_that_unwary_readers_hang_on(octets: bytes, reply: Reply) -> None:
    assert parse(octets) == [reply]
    assert octet_by_octet(octets) == [reply]


@pytest.mark.parametrize("cut", range(1, 31))
def test_a_reply_split_across_packets(cut: int) -> None:
    octets = b"250-mx.example.com\r\n250 DSN\r\n220 go"

    assert parse(octets[:cut], octets[cut:]) == [Reply(250, ("mx.example.com", "DSN"))]


def test_several_replies_in_one_packet_come_in_order() -> None:
    assert [reply.code for reply in parse(b"250 a\r\n550-b\r\n550 c\r\n354 d\r\n25")] == [
        250,
        550,
        354,
    ]


replies = st.builds(
    Reply,
    st.integers(200, 559),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=60),
        min_size=1,
        max_size=5,
    ).map(tuple),
)


def octets_of(reply: Reply, line_end: bytes) -> bytes:
    *head, last = reply.lines
    lines = [f"{reply.code}-{line}" for line in head] + [f"{reply.code} {last}"]
    return b"".join(line.encode() + line_end for line in lines)


@given(
    st.lists(replies, max_size=4),
    st.lists(st.integers(0, 40), max_size=20),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_any_split_gives_the_same_replies(
    sent: list[Reply], sizes: list[int], line_end: bytes
) -> None:
    octets = b"".join(octets_of(reply, line_end) for reply in sent)

    assert parse(octets) == sent
    assert octet_by_octet(octets) == sent
    assert parse(*pieces(octets, sizes)) == sent


@given(st.binary(max_size=200), st.lists(st.integers(0, 40), max_size=20))
def test_arbitrary_octets_are_a_reply_or_a_protocol_error_however_they_are_split(
    octets: bytes, sizes: list[int]
) -> None:
    def outcome(*chunks: bytes) -> list[object]:
        parser = ReplyParser()
        seen: list[object] = []
        try:
            for chunk in chunks:
                parser.feed(chunk)
                while (reply := parser.next()) is not None:
                    seen.append(reply)
        except ProtocolError as error:
            seen.append(error.message)
        return seen

    assert outcome(octets) == outcome(*pieces(octets, sizes))


def test_text_that_could_forge_a_log_line_is_replaced() -> None:
    (reply,) = parse("250 a\rb\x00c\x1b[2Jd\x85e\u2028f\u2029g\th\r\n".encode())

    assert reply.lines == ("a�b�c�[2Jd�e�f�g\th",)


def test_octets_that_are_not_utf8_are_replaced() -> None:
    assert parse(b"250 caf\xe9\r\n") == [Reply(250, ("caf�",))]


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"\r\n",
        b"25\r\n",
        b"25x ok\r\n",
        b"\xb2\xb3\xb4 ok\r\n",
        b"150 ok\r\n",
        b"650 ok\r\n",
        b"2500 ok\r\n",
        b"250+ok\r\n",
        b"250\tok\r\n",
        b"250-a\r\n251 b\r\n",
        b"250-a\r\n b\r\n",
        b"\x15\x03\x01\x00\x02\x02F\n",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_what_is_no_reply(octets: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(octets)
    with pytest.raises(ProtocolError):
        octet_by_octet(octets)


def test_what_is_no_reply_is_shown_in_a_printable_form() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(b"\x1b[31m" + b"x" * 100 + b"\r\n")

    assert r"\x1b[31m" in str(caught.value)
    assert "x" * 60 not in str(caught.value)


@pytest.mark.parametrize(("code", "limit"), [(b"250 ", MAX_LINE), (b"334 ", MAX_CHALLENGE_LINE)])
def test_the_longest_line(code: bytes, limit: int) -> None:
    line = code + b"x" * (limit - 6) + b"\r\n"

    assert len(line) == limit
    assert len(parse(line)[0].lines[0]) == limit - 6
    with pytest.raises(ProtocolError, match=str(limit)):
        parse(line[:-2] + b"x\r\n")


@pytest.mark.parametrize(("code", "limit"), [(b"250 ", MAX_LINE), (b"334 ", MAX_CHALLENGE_LINE)])
def test_a_line_without_end_is_not_collected_for_ever(code: bytes, limit: int) -> None:
    parser = ReplyParser()
    parser.feed(code)
    octets = len(code)

    def collect() -> None:
        nonlocal octets
        while octets <= limit + 1_000:
            parser.feed(b"x" * 1_000)
            octets += 1_000
            parser.next()

    with pytest.raises(ProtocolError, match=str(limit)):
        collect()

    assert limit < octets <= limit + 1_000


def test_a_reply_without_end_is_not_collected_for_ever() -> None:
    parser = ReplyParser()
    line = b"250-" + b"x" * 1_018 + b"\r\n"
    assert len(line) * 64 == MAX_REPLY

    parser.feed(line * 64)
    assert parser.next() is None
    parser.feed(b"250 x\r\n")
    with pytest.raises(ProtocolError, match=str(MAX_REPLY)):
        parser.next()


def test_the_limit_of_a_reply_counts_anew_for_the_next() -> None:
    one = b"250-" + b"x" * 4_000 + b"\r\n"

    assert len(parse((one * 15 + b"250 end\r\n") * 3)) == 3


def test_empty_means_that_nothing_is_under_way() -> None:
    parser = ReplyParser()
    assert parser.empty

    parser.feed(b"250-a\r\n")
    assert not parser.empty
    parser.next()
    assert not parser.empty

    parser.feed(b"250 b\r\n")
    parser.next()
    assert parser.empty

    parser.feed(b"2")
    assert not parser.empty


@pytest.mark.parametrize(
    ("reply", "enhanced", "status", "text"),
    [
        (
            Reply(535, ("5.7.8 bad password",)),
            EnhancedStatus(5, 7, 8),
            "535 5.7.8",
            "bad password",
        ),
        (Reply(250, ("2.1.5",)), EnhancedStatus(2, 1, 5), "250 2.1.5", ""),
        (Reply(451, ("4.4.2\tidle",)), EnhancedStatus(4, 4, 2), "451 4.4.2", "idle"),
        (Reply(550, ("2.1.5 lies",)), None, "550", "2.1.5 lies"),
        (Reply(550, ("5.1.1234 x",)), None, "550", "5.1.1234 x"),
        (Reply(550, ("5.1.1x",)), None, "550", "5.1.1x"),
        (Reply(354, ("3.0.0 go",)), None, "354", "3.0.0 go"),
        (
            Reply(550, ("5.1.1 no such", "5.1.1 user", "here")),
            EnhancedStatus(5, 1, 1),
            "550 5.1.1",
            "no such\nuser\nhere",
        ),
    ],
)
def test_enhanced_status(
    reply: Reply, enhanced: EnhancedStatus | None, status: str, text: str
) -> None:
    assert (reply.enhanced, reply.status, reply.text) == (enhanced, status, text)


def test_reply_as_text_and_as_data() -> None:
    reply = Reply(550, ("5.1.1 no such", "5.1.1 user"))

    assert reply.klass == 5
    assert str(reply) == "550 5.1.1 no such 5.1.1 user"
    assert str(Reply(354)) == "354"
    assert reply.to_dict() == {"code": 550, "enhanced": "5.1.1", "text": "no such\nuser"}
    assert Reply(354).to_dict() == {"code": 354, "enhanced": None, "text": ""}
