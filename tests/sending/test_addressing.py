"""Addresses for the envelope and for the header carry the same A-label."""

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st

from django_smtpauth.sending.addressing import (
    HeaderAddresses,
    as_phrase,
    decoded_name,
    display_name,
    envelope_address,
    envelope_sender,
    listed_mailboxes,
)
from django_smtpauth.smtp.addresses import Mailbox

CONTROLS = [chr(n) for n in (*range(0x20), 0x7F, 0x85, 0x9F, 0x2028, 0x2029, 0xDC80)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("jane@example.org", "jane@example.org"),
        ("  jane@example.org ", "jane@example.org"),
        ("<jane@example.org>", "jane@example.org"),
        ("Jane Doe <jane@example.org>", "jane@example.org"),
        ("J. Doe Inc. <jane@example.org>", "jane@example.org"),
        ('"Doe, Jane <x@y>" <jane@example.org>', "jane@example.org"),
        (r'"a \" b" <jane@example.org>', "jane@example.org"),
        ("jane@example.org (Jane)", "jane@example.org"),
        ("Jane (work) <jane@example.org> (1)", "jane@example.org"),
        ("=?utf-8?q?J=C3=BCrgen?= <j@example.org>", "j@example.org"),
        ("Jürgen <j@example.org>", "j@example.org"),
        ('"jane doe"@example.org', '"jane doe"@example.org'),
        ('Jane <"jane>doe"@example.org>', '"jane>doe"@example.org'),
        ('"jane"@example.org', "jane@example.org"),
        ("JANE@Example.ORG", "JANE@Example.ORG"),
        ("jane@under_score.example", "jane@under_score.example"),
        ("jane+tag@example.org", "jane+tag@example.org"),
        ("jane@[192.0.2.1]", "jane@[192.0.2.1]"),
        ("webmaster", "webmaster"),
        ("jane@faß.de", "jane@xn--fa-hia.de"),
        ("Jane <jane@BÜCHER.example>", "jane@xn--bcher-kva.example"),
        ("jane@例え。テスト", "jane@xn--r8jz45g.xn--zckzah"),
        ("jürgen@faß.de", "jürgen@xn--fa-hia.de"),
        ("用户@example.org", "用户@example.org"),
    ],
)
def test_an_envelope_address_is_bare_with_an_ascii_domain(text: str, address: str) -> None:
    assert envelope_address(text) == address


def test_a_lazily_translated_address_is_an_address() -> None:
    assert envelope_address(gettext_lazy("Jane <jane@example.org>")) == "jane@example.org"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "@",
        "<>",
        "to@",
        "@example.org",
        "to@other.com@example.org",
        "to@other.com <to@example.org>",
        "a@example.org, b@example.org",
        "a@example.org b@example.org",
        "<a@example.org> <b@example.org>",
        "Doe, Jane <jane@example.org>",
        "group: a@example.org;",
        "group:;",
        "jane@example..org",
        "jane doe@example.org",
        '"jane@example.org',
        "jane@example.org> SIZE=1",
        "<jane@example.org",
        "<@relay.example:jane@example.org>",
        "=?utf-8?q?jane=40evil.example=3E?=@example.org",
        "jane@=?utf-8?q?evil?=.example",
        "[Site] <jane@example.org>",
        "jane@\u00fc..example",
        "jane@" + "\u00fc" * 64 + ".example",
        "jane@\uff0f\u00fc.example",
        "jane@example.org\u00a0",
    ],
)
def test_anything_but_one_address_is_a_value_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        envelope_address(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("control", CONTROLS, ids=repr)
@pytest.mark.parametrize("form", ["{}a@b.c", "a{}a@b.c", "a@b{}.c", "a@b.c{}", "N{}N <a@b.c>"])
def test_a_control_character_is_refused_wherever_it_stands(control: str, form: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        envelope_address(form.format(control))


def test_the_null_reverse_path_is_a_sender_and_no_recipient() -> None:
    assert envelope_sender("<>") == ""
    assert envelope_sender("Jane <jane@example.org>") == "jane@example.org"
    with pytest.raises(ValueError, match="address"):
        envelope_sender("")


_pieces = st.lists(
    st.sampled_from([*'<>@,;:()[]"\\ .=?\r\n\t', "a", "ü", "faß.de", "b.c", "=?utf-8?q?", "=40"]),
    max_size=14,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(_pieces | st.text(max_size=30))
def test_what_passes_is_one_mailbox_with_an_ascii_domain(text: str) -> None:
    try:
        address = envelope_address(text)
    except ValueError:
        return
    mailbox = Mailbox.parse(address)
    assert str(mailbox) == address
    assert mailbox.domain.isascii()
    assert mailbox.local in text.replace("\\", "")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Jane <jane@example.org>", "Jane <jane@example.org>"),
        ("Jürgen <j@example.org>", "Jürgen <j@example.org>"),
        ("Jürgen <j@faß.de>", "Jürgen <j@xn--fa-hia.de>"),
        ("a@faß.de, B <b@bücher.de>", "a@xn--fa-hia.de, B <b@xn--bcher-kva.de>"),
        ("Freunde: a@faß.de, b@c.de;", "Freunde: a@xn--fa-hia.de, b@c.de;"),
        ('"x@faß.de" <j@faß.de>', '"x@faß.de" <j@xn--fa-hia.de>'),
        ("j@faß.de (bei faß@faß.de)", "j@xn--fa-hia.de (bei faß@faß.de)"),
        ("undisclosed-recipients:;", "undisclosed-recipients:;"),
        ("=?utf-8?q?J=C3=BC?= <j@faß.de>", "=?utf-8?q?J=C3=BC?= <j@xn--fa-hia.de>"),
    ],
)
def test_header_addresses_change_only_their_domains(text: str, rendered: str) -> None:
    addresses = HeaderAddresses()
    assert addresses.ascii(text) == rendered
    assert not addresses.need_utf8


@pytest.mark.parametrize("local", ["jürgen", '"jürgen x"', "用户.名"])
@pytest.mark.parametrize("domain", ["example.org", "[192.0.2.1]"])
def test_a_local_part_outside_ascii_stands_aside_while_rendering(local: str, domain: str) -> None:
    addresses = HeaderAddresses()
    text = addresses.ascii(f"Jürgen <{local}@{domain}>, k@example.org")
    stand_in = text.removeprefix("Jürgen <").partition("@")[0]
    assert addresses.need_utf8
    assert stand_in.isascii()
    block = f"To: x <{stand_in}@{domain}>\r\n\r\n{stand_in}\r\n"
    restored = addresses.restore(block.encode()).decode()
    assert restored == f"To: x <{local}@{domain}>\r\n\r\n{stand_in}\r\n"


@pytest.mark.parametrize(
    "text",
    ['Jürgen" <j@faß.de>', "ü <=?utf-8?q?x?=@y.de>", "ü <x@=?utf-8?q?y?=>", "x@faß..de"],
)
def test_header_addresses_that_mean_two_things_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        HeaderAddresses().ascii(text)


@pytest.mark.parametrize(
    ("text", "mailboxes"),
    [
        ("a@b.c", ["a@b.c"]),
        ("A <a@b.c>,d@e.f", ["A <a@b.c>", "d@e.f"]),
        ('"A, B" <a@b.c>, (c, d) e@f.g', ['"A, B" <a@b.c>', "(c, d) e@f.g"]),
        ('"a,b"@c.d', ['"a,b"@c.d']),
        # No list: nobody guesses where an open quote ends.
        ('"A, B <a@b.c>', ['"A, B <a@b.c>']),
        ("a@b.c,", ["a@b.c,"]),
        ("(a, b@c.d", ["(a, b@c.d"]),
    ],
)
def test_a_list_of_mailboxes_is_parted_at_its_commas(text: str, mailboxes: list[str]) -> None:
    assert listed_mailboxes(text) == mailboxes


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a@b.c", ""),
        ("<a@b.c>", ""),
        ("A B. C <a@b.c>", "A B. C"),
        ('"A <B>" <a@b.c>', '"A <B>"'),
        ("a@b.c (A)", "(A)"),
        ("<a@b.c> (A)", "(A)"),
        ("A <a@b.c", ""),
        ("A <a@b.c>, d@e.f", ""),
    ],
)
def test_the_display_name_as_it_was_written(text: str, name: str) -> None:
    assert display_name(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("=?utf-8?q?J=C3=BCrgen?=", "Jürgen"),
        ('"A =?utf-8?q?B=2C?="', "A B,"),
        ("=?utf-8?q?a=0D=0AX=3A?=", ""),
        ("=?nonsense?q?a?=", ""),
        ("=?utf-8?b?a?=", ""),
    ],
)
def test_a_display_name_is_decoded(text: str, name: str) -> None:
    assert decoded_name(text) == name


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("", ""),
        ("Jürgen O'Neil", "Jürgen O'Neil"),
        ("J. Doe", '"J. Doe"'),
        ('The "A"\\B', '"The \\"A\\"\\\\B"'),
        ("=?utf-8?q?a?=", '"=?utf-8?q?a?="'),
    ],
)
def test_a_name_gets_the_quotes_that_it_needs(name: str, phrase: str) -> None:
    assert as_phrase(name) == phrase
