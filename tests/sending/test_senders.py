"""judged(): From, Sender and envelope by the policy of an account."""

from __future__ import annotations

import uuid

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.sending.accounts import Account
from django_smtpauth.sending.addressing import normalized_address
from django_smtpauth.sending.option_values import InvalidOption
from django_smtpauth.sending.senders import (
    FOREIGN_FROM,
    Senders,
    judged,
    policy_of,
    refuse_other_senders,
)
from django_smtpauth.smtp.errors import NotSupported
from django_smtpauth.validators import validate_senders

OWN = "shop@example.com"
POLICIES = ("refuse", "rewrite", "allow")


def account(**fields: str) -> Account:
    values = {"address": OWN, "from_name": "Shop", **fields}
    return Account(uuid=uuid.uuid4(), slug="shop", host="smtp.example.com", **values)  # type: ignore[arg-type]


def from_only(text: str) -> Senders:
    """A message with from_email alone, as most have it."""
    return Senders(text, text)


# Nobody's addresses


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "text",
    [
        "webmaster@localhost",
        "root@localhost",
        "WEBMASTER@LocalHost",
        "<root@localhost>",
        "My site <webmaster@localhost>",
        "",
    ],
)
def test_the_account_s_address_takes_the_place_of_nobody_s(text: str, policy: str) -> None:
    sent = judged(from_only(text), account(foreign_from=policy))
    assert sent == Senders(f"Shop <{OWN}>", f"Shop <{OWN}>")


def test_a_placeholder_keeps_its_name_where_the_account_has_none() -> None:
    sent = judged(from_only("My site <webmaster@localhost>"), account(from_name=""))
    assert sent.author == f"My site <{OWN}>"


def test_nobody_in_the_envelope_and_an_author_in_the_header() -> None:
    sent = judged(Senders("webmaster@localhost", f"Shop <{OWN}>"), account())
    assert sent == Senders(OWN, f"Shop <{OWN}>")


def test_the_null_reverse_path_stays() -> None:
    assert judged(Senders("<>", OWN), account()).envelope == "<>"
    assert judged(from_only("<>"), account()) == Senders("<>", f"Shop <{OWN}>")


# The account's own, and those that it may send as

COVERED = [
    # may_send_as, From
    ("", OWN),
    ("", "Shop@EXAMPLE.com"),
    ("", f'"Doe, J" <{OWN}>'),
    ("sales@example.org", "Sales <SALES@example.org>"),
    ("example.org", "anybody@example.org"),
    ("@example.org", "anybody@example.org"),
    ("EXAMPLE.org", "anybody@Example.ORG"),
    (".example.org", "a@north.example.org"),
    (".example.org", "a@deep.north.example.org"),
    ("bücher.example", "a@xn--bcher-kva.example"),
    ("xn--bcher-kva.example", "a@Bücher.example"),
    ("jürgen@bücher.example", "Jürgen <JÜRGEN@bücher.example>"),
    ('"a b"@example.org', '"A B"@example.org'),
    ("a@example.org\nexample.net", "x@example.net"),
    ("example.org", "a@example.org, B <b@example.org>"),
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("others", "text"), COVERED)
def test_what_the_account_may_send_as_stays(others: str, text: str, policy: str) -> None:
    said = Senders(OWN, text)
    shop = account(may_send_as=others, foreign_from=policy, from_name="")
    assert judged(said, shop) == said


FOREIGN = [
    ("", "other@example.com"),
    ("example.org", "a@north.example.org"),
    (".example.org", "a@example.org"),
    ("example.org", "a@notexample.org"),
    (".example.org", "a@northexample.org"),
    ("example.org", "a@example.org.example.net"),
    ("example.org", "a@example.org, evil@example.net"),
    ("example.org", "Team: a@example.org;"),
    ("example.org", "a@example.org ("),
    ("example.org", "=?utf-8?q?a=40example=2Eorg?="),
    ("org", "a@example.org"),
    ("", "shop"),
    ("@", "shop@"),
    ("★.example", "a@★.example"),
    (".", "a@example.org."),
]


@pytest.mark.parametrize(("others", "text"), FOREIGN)
def test_what_the_account_may_not_send_as_is_refused(others: str, text: str) -> None:
    with pytest.raises(NotSupported) as caught:
        judged(Senders(OWN, text), account(may_send_as=others, foreign_from="refuse"))
    assert (caught.value.stage, caught.value.reason) == ("MAIL", FOREIGN_FROM)


@pytest.mark.parametrize(("others", "text"), FOREIGN)
def test_what_the_account_may_not_send_as_is_rewritten(others: str, text: str) -> None:
    sent = judged(Senders(OWN, text), account(may_send_as=others, foreign_from="rewrite"))
    assert sent.author == f"Shop <{OWN}>"
    assert sent.reply_to


@pytest.mark.parametrize(("others", "text"), FOREIGN)
def test_what_is_foreign_is_allowed(others: str, text: str) -> None:
    said = Senders(OWN, text)
    assert judged(said, account(may_send_as=others, foreign_from="allow")) == said


@pytest.mark.parametrize(
    ("line", "covered"),
    [
        ("sales@example.org", "sales@example.org"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
        ("example.org", "a@example.org"),
        ("@example.org", "a@example.org"),
        (".example.org", "a@b.example.org"),
        ("Bücher.example", "a@bücher.example"),
        (" sales@example.org \n\n example.net ", "a@example.net"),
    ],
)
def test_what_the_form_takes_is_understood(line: str, covered: str) -> None:
    validate_senders(line)
    assert policy_of(account(may_send_as=line)).covers(normalized_address(covered))


@pytest.mark.parametrize(
    "line",
    [
        "@",
        ".",
        "@@example.org",
        "@.example.org",
        "..example.org",
        "*.example.org",
        "a b",
        "J <j@b.example>",
    ],
)
def test_what_would_cover_nothing_is_not_taken(line: str) -> None:
    with pytest.raises(ValidationError):
        validate_senders(line)


# The name


@pytest.mark.parametrize(
    ("name", "text", "sent"),
    [
        ("Shop", OWN, f"Shop <{OWN}>"),
        ("Shop", f"<{OWN}>", f"Shop <{OWN}>"),
        ("Shop", f"Other <{OWN}>", f"Other <{OWN}>"),
        ("Shop", f"{OWN} (Other)", f"{OWN} (Other)"),
        ("", OWN, OWN),
        ('The "Shop", north', OWN, f'"The \\"Shop\\", north" <{OWN}>'),
        ("Bücher", OWN, f"Bücher <{OWN}>"),
        ("Shop", "sales@example.org", "sales@example.org"),
        # An encoded word whose comma would begin another author.
        ("Shop", f"=?utf-8?q?a=40b=2Eexample=2C?= <{OWN}>", f'"a@b.example," <{OWN}>'),
        ("Shop", f"=?nonsense?q?a?= <{OWN}>", OWN),
    ],
)
def test_the_account_s_name(name: str, text: str, sent: str) -> None:
    shop = account(from_name=name, may_send_as="sales@example.org")
    assert judged(from_only(text), shop).author == sent


# Rewriting


@pytest.mark.parametrize(
    ("text", "author", "replies"),
    [
        ("Jane <j@example.org>", f"Jane <{OWN}>", ["Jane <j@example.org>"]),
        ("j@example.org", f"Shop <{OWN}>", ["j@example.org"]),
        ('"Doe, J" <j@example.org>', f'"Doe, J" <{OWN}>', ['"Doe, J" <j@example.org>']),
        ('"a@b.example" <j@example.org>', f"Shop <{OWN}>", ['"a@b.example" <j@example.org>']),
        (
            "=?utf-8?q?Doe=2C_J?= <j@example.org>",
            f'"Doe, J" <{OWN}>',
            ['"Doe, J" <j@example.org>'],
        ),
        ("=?utf-8?q?a=40b?= <j@example.org>", f"Shop <{OWN}>", ['"a@b" <j@example.org>']),
        (
            f"J <j@example.org>, {OWN}, webmaster@localhost",
            f"Shop <{OWN}>",
            ["J <j@example.org>"],
        ),
        ("Team: a@b.example;", f"Shop <{OWN}>", ["Team: a@b.example;"]),
    ],
)
def test_the_author_goes_to_reply_to(text: str, author: str, replies: list[str]) -> None:
    sent = judged(Senders(OWN, text), account(foreign_from="rewrite"))
    assert (sent.author, list(sent.reply_to)) == (author, replies)


def test_the_envelope_is_rewritten_too() -> None:
    sent = judged(from_only("Jane <j@example.org>"), account(foreign_from="rewrite"))
    assert sent.envelope == f"Jane <{OWN}>"
    sent = judged(Senders("bounce@example.org", OWN), account(foreign_from="rewrite"))
    assert sent == Senders(OWN, f"Shop <{OWN}>")


def test_a_message_s_own_reply_to_stays() -> None:
    said = Senders("j@example.org", "j@example.org", reply_to=("desk@example.org",))
    assert judged(said, account(foreign_from="rewrite")).reply_to == ("desk@example.org",)


@pytest.mark.parametrize(
    ("author", "sender", "sent"),
    [
        (OWN, "other@example.org", ""),
        (OWN, "root@localhost", ""),
        ("team@example.net", "other@example.org", OWN),
        ("team@example.net", OWN, OWN),
        ("team@example.net", "desk@example.net", "desk@example.net"),
    ],
)
def test_a_foreign_sender_is_rewritten(author: str, sender: str, sent: str) -> None:
    """Where it would only repeat From, it is left out (RFC 5322 3.6.2)."""
    shop = account(foreign_from="rewrite", may_send_as="example.net")
    assert judged(Senders(OWN, author, sender), shop).sender == sent


# Refusing


@pytest.mark.parametrize(
    "said",
    [
        from_only("Jane <j@example.org>"),
        Senders("j@example.org", OWN),
        Senders(OWN, "Jane <j@example.org>"),
        Senders(OWN, OWN, "j@example.org"),
        Senders("<>", "j@example.org"),
    ],
)
def test_a_refusal_tells_what_to_do_and_masks_addresses(said: Senders) -> None:
    with pytest.raises(NotSupported) as caught:
        judged(said, account(foreign_from="refuse"))
    error = caught.value
    assert "the account shop" in error.headline
    assert "@" not in error.headline
    for part in ("Add j@example.org", '"may send as" of the account shop', OWN):
        assert part in error.cure
    assert not error.transient


@pytest.mark.parametrize("policy", ["refuse", "rewrite"])
def test_others_without_an_address_of_its_own(policy: str) -> None:
    """What cannot be rewritten is refused, placeholders as well."""
    relay = account(address="", may_send_as="example.org", foreign_from=policy)
    assert judged(from_only("a@example.org"), relay) == from_only("a@example.org")
    for text in ("a@example.net", "webmaster@localhost"):
        with pytest.raises(NotSupported, match="account shop"):
            judged(from_only(text), relay)


@pytest.mark.parametrize("address", ["", "not an address"])
@pytest.mark.parametrize("policy", POLICIES)
def test_an_account_that_knows_no_address_has_no_say(policy: str, address: str) -> None:
    said = from_only("webmaster@localhost")
    assert judged(said, account(address=address, foreign_from=policy)) == said
    assert judged(said, None) == said


def test_an_envelope_is_one_address() -> None:
    with pytest.raises(ValueError, match="single e-mail address"):
        judged(from_only("a@example.org, b@example.org"), account(foreign_from="rewrite"))


# The provider


def test_the_provider_decides_where_the_account_does_not() -> None:
    assert policy_of(account(preset="gmail")).foreign == "rewrite"
    assert policy_of(account(preset="sendgrid")).foreign == "allow"
    assert policy_of(account(preset="gmail", foreign_from="allow")).foreign == "allow"
    assert policy_of(account(preset="gone")).foreign == "allow"
    assert policy_of(account()).foreign == "allow"


def test_a_policy_that_is_none_names_its_account() -> None:
    with pytest.raises(InvalidOption, match=r"account shop, foreign_from .* not 'maybe'"):
        policy_of(account(foreign_from="maybe"))


# What got into the header later


@pytest.mark.parametrize(
    ("rendered", "passes"),
    [
        (OWN, True),
        ("sales@example.net", True),
        ("evil@example.org", False),
        (f"evil@example.org, {OWN}", False),
        ("webmaster@localhost", False),
        ("garbage(", False),
    ],
)
def test_another_author_than_the_one_that_was_judged(rendered: str, passes: bool) -> None:
    shop = account(foreign_from="rewrite", may_send_as="example.net")
    if passes:
        refuse_other_senders(rendered, OWN, shop)
        return
    with pytest.raises(NotSupported, match=r"leave them alone"):
        refuse_other_senders(rendered, OWN, shop)


def test_where_all_is_allowed_a_message_may_write_what_it_likes() -> None:
    refuse_other_senders("evil@example.org", OWN, account(foreign_from="allow"))


# Whatever it is

TEXTS = st.one_of(
    st.sampled_from(
        [text for _, text in (*COVERED, *FOREIGN)]
        + ["", "<>", "root@localhost", "X <j@e.example>"]
    ),
    st.text(alphabet='aé@.,:;<>()"\\= ?', max_size=20),
)


@given(author=TEXTS, sender=TEXTS, policy=st.sampled_from(["refuse", "rewrite"]))
def test_nothing_foreign_is_left(author: str, sender: str, policy: str) -> None:
    """What was judged once passes a second time as it is."""
    shop = account(foreign_from=policy, may_send_as="example.org")
    try:
        sent = judged(Senders(OWN, author, sender), shop)
    except NotSupported:
        assert policy == "refuse"
        return
    assert not policy_of(shop).forbids(sent.author)
    assert not policy_of(shop).forbids(sent.sender)
    assert judged(sent, account(foreign_from="refuse", may_send_as="example.org")) == sent
