from __future__ import annotations

import mmap
import re
import tracemalloc
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_smtpauth.smtp.content import (
    BLOCK,
    MAX_TEXT_LINE,
    Content,
    DotEncoder,
    has_long_lines,
    has_only_crlf,
    with_only_crlf,
)
from tests.smtp.sansio import pieces

GIBIBYTE = 1 << 30

#: Octets that matter to the codec, in every order, among some that don't.
texts = st.one_of(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.", b"\xff"])).map(
        b"".join
    ),
    st.binary(max_size=200),
)
cuts = st.lists(st.integers(0, 5), max_size=40)


def encode(*blocks: bytes) -> bytes:
    encoder = DotEncoder()
    return b"".join([*(encoder.encode(block) for block in blocks), encoder.end()])


def normalised(text: bytes) -> bytes:
    """The text with CRLF line ends, the last line included."""
    lines = re.split(rb"\r\n|\r|\n", text)
    if lines[-1] == b"":
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def received(wire: bytes) -> bytes:
    """What a server makes of it, line by line (RFC 5321 4.5.2)."""
    lines = wire.split(b"\r\n")
    assert lines.pop() == b""
    text = b""
    for number, line in enumerate(lines):
        assert b"\r" not in line
        assert b"\n" not in line
        if line == b".":
            assert number == len(lines) - 1, "the end comes before the end"
            return text
        text += line.removeprefix(b".") + b"\r\n"
    raise AssertionError("no end")


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a\r\n\r\n", b"a\r\n\r\n.\r\n"),
        (b"a\n", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"\r", b"\r\n.\r\n"),
        (b"a\nb\rc\r\nd\n\re\r\r\nf", b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\nf\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..a", b"...a\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n..\r\nQUIT\r\n.\r\n"),
        (b"a.b\r\n", b"a.b\r\n.\r\n"),
    ],
)
def test_the_form_on_the_wire(text: bytes, wire: bytes) -> None:
    assert encode(text) == wire
    assert encode(*(text[i : i + 1] for i in range(len(text)))) == wire
    assert b"".join(Content.of(text).encoded()) == wire


@given(texts, cuts)
@example(b"a\r\n.\r\nb", [1, 1, 1, 1, 1])
@example(b"\r\r\n\n.", [1, 1, 1, 1])
def test_any_split_gives_the_same_octets(text: bytes, sizes: list[int]) -> None:
    assert encode(*pieces(text, sizes)) == encode(text)


@given(texts, cuts)
def test_the_server_gets_the_text_back(text: bytes, sizes: list[int]) -> None:
    wire = encode(*pieces(text, sizes))

    assert received(wire) == normalised(text)
    assert wire.find(b"\r\n.\r\n") in (-1, len(wire) - 5)
    assert has_only_crlf(wire)
    # No extra blank line at the end.
    assert wire.endswith(b"\r\n\r\n.\r\n") == normalised(text).endswith(b"\r\n\r\n") or not text


@given(texts)
def test_content_of_octets_is_measured_as_the_server_counts_it(text: bytes) -> None:
    content = Content.of(text)
    plain = normalised(text)

    assert content.size == len(plain)
    assert content.eight_bit == any(octet > 127 for octet in text)
    assert content.long_lines == any(len(line) > 998 for line in plain.split(b"\r\n"))
    assert b"".join(content.encoded()) == encode(text)
    # The source is asked anew for each attempt.
    assert b"".join(content.encoded()) == encode(text)


def test_octets_with_crlf_alone_are_not_copied() -> None:
    octets = b"a\r\n" * 1_000

    (piece,) = Content.of(octets).source()
    assert piece is octets


@pytest.mark.parametrize(
    ("data", "only"),
    [
        (b"", True),
        (b"a", True),
        (b"a\r\nb", True),
        (b"\r", False),
        (b"\n", False),
        (b"\n\r", False),
        (b"\r\r\n", False),
        (b"\r\n\n", False),
    ],
)
def test_has_only_crlf(data: bytes, only: bool) -> None:
    assert has_only_crlf(data) is only


@pytest.mark.parametrize("length", [0, 1, MAX_TEXT_LINE - 1, MAX_TEXT_LINE])
def test_lines_that_are_not_too_long(length: int) -> None:
    line = b"x" * length

    for data in (line, line + b"\r\n", b"short\r\n" + line + b"\r\nshort", (line + b"\r\n") * 9):
        assert not has_long_lines(data)


def test_lines_that_are_too_long() -> None:
    line = b"x" * (MAX_TEXT_LINE + 1)

    for data in (line, line + b"\r\n", b"short\r\n" + line + b"\r\nshort", b"a\r\n" * 500 + line):
        assert has_long_lines(data)


@given(st.lists(st.integers(0, 1_200), max_size=6), st.booleans())
def test_long_lines_against_the_naive_way(lengths: list[int], ended: bool) -> None:
    data = b"\r\n".join(b"x" * length for length in lengths) + (b"\r\n" if ended else b"")

    assert has_long_lines(data) == any(len(line) > 998 for line in data.split(b"\r\n"))


def test_no_content_in_the_repr() -> None:
    content = Content.of(b"confidential")

    assert "confidential" not in repr(content)
    assert "lambda" not in repr(content)


def test_blocks_are_no_longer_than_a_block() -> None:
    content = Content(lambda: (b"x" * (3 * BLOCK + 1), b"", b"y"))

    assert [len(block) for block in content.blocks()] == [BLOCK, BLOCK, BLOCK, 1, 1]


# Memory: however the source cuts a gibibyte, the codec holds a block of it.


def one_buffer_again_and_again() -> Iterator[bytes]:
    piece = (b"x" * 98 + b"\r\n.") * 10_381
    for _ in range(GIBIBYTE // len(piece) + 1):
        yield piece


def one_huge_piece() -> Iterator[bytes]:
    # Pages that nobody wrote to cost no memory; any buffer will do for bytes.
    yield cast("bytes", mmap.mmap(-1, GIBIBYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


@pytest.mark.slow
@pytest.mark.parametrize("source", [one_buffer_again_and_again, one_huge_piece])
def test_a_gibibyte_passes_block_by_block(source: Callable[[], Iterator[bytes]]) -> None:
    total = largest = 0
    for block in Content(source).encoded():
        total += len(block)
        largest = max(largest, len(block))

    assert total > GIBIBYTE
    assert largest <= 2 * BLOCK


@pytest.mark.parametrize("line", [b"x" * 98 + b"\r\n", b".\n", b"\r"])
@pytest.mark.parametrize("split", [True, False])
def test_memory_stays_within_a_few_blocks(line: bytes, split: bool) -> None:
    piece = line * (BLOCK // len(line))
    source = [piece] * 64 if split else [piece * 64]
    largest = 0
    tracemalloc.start()
    try:
        for block in Content(lambda: source).encoded():
            largest = max(largest, len(block))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert largest <= 2 * BLOCK
    assert peak < 12 * BLOCK


# Chunks.


@given(pieces=st.lists(st.text("ab.\r\n", max_size=12).map(str.encode), max_size=8))
def test_chunks_of_text_are_the_same_text_without_doubled_dots(pieces: list[bytes]) -> None:
    content = Content(lambda: pieces)
    chunks = list(content.chunks())

    whole = with_only_crlf(b"".join(pieces))
    expected = whole if whole.endswith(b"\r\n") else whole + b"\r\n"
    assert b"".join(octets for octets, _ in chunks) == expected
    assert [last for _, last in chunks] == [False] * (len(chunks) - 1) + [True]


@given(pieces=st.lists(st.binary(max_size=2 * BLOCK), max_size=4))
def test_binary_chunks_are_the_same_octets(pieces: list[bytes]) -> None:
    chunks = list(Content(lambda: pieces, binary=True).chunks())

    assert b"".join(octets for octets, _ in chunks) == (b"".join(pieces) or b"\r\n")
    assert all(0 < len(octets) <= BLOCK for octets, _ in chunks)
    assert [last for _, last in chunks] == [False] * (len(chunks) - 1) + [True]


def test_binary_content_in_memory() -> None:
    content = Content.of_binary(b"\0\r\n\n")

    assert (content.size, content.binary) == (4, True)
    assert list(content.chunks()) == [(b"\0\r\n\n", True)]
