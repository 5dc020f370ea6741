"""Recipients and headers as they arrive: what Django promises of a message."""

import datetime
from email.headerregistry import Address

import django
import pytest
from django.core.mail import EmailMessage
from django.utils.translation import gettext_lazy

from tests.backend_fixtures import message, only, parsed


def arrived(server, **fields):
    """A message as it arrived, and whom the envelope named."""
    message(**fields).send()
    return only(server), server.accepted[0].recipients


def test_without_to_the_header_has_no_to(server):
    received, recipients = arrived(server, to=[], bcc=["hidden@example.org"])
    assert "To" not in received
    assert recipients == ["hidden@example.org"]


def test_empty_recipients_are_left_out(server):
    fields = {"to": ["to@b.example", ""], "cc": ["cc@b.example", ""], "bcc": ["", "bcc@b.example"]}
    _, recipients = arrived(server, **fields)
    assert recipients == ["to@b.example", "cc@b.example", "bcc@b.example"]


def test_recipients_may_be_tuples(server):
    fields = {
        "to": ("a@b.example", "b@b.example"),
        "cc": ("c@b.example",),
        "bcc": ("d@b.example",),
    }
    received, recipients = arrived(server, **fields)
    assert (received["To"], received["Cc"]) == ("a@b.example, b@b.example", "c@b.example")
    assert recipients == ["a@b.example", "b@b.example", "c@b.example", "d@b.example"]


def test_copies_stand_in_the_header_and_in_the_envelope(server):
    fields = {"to": ["a@b.example"], "cc": ["c@b.example", "d@b.example"]}
    received, recipients = arrived(server, **fields, bcc=["e@b.example"])
    assert received["Cc"] == "c@b.example, d@b.example"
    assert recipients == ["a@b.example", "c@b.example", "d@b.example", "e@b.example"]


def test_blind_copies_stand_in_the_envelope_only(server):
    received, recipients = arrived(server, bcc=["hidden@example.org"])
    assert "Bcc" not in received
    assert b"hidden" not in server.accepted[0].wire
    assert recipients == ["to@example.org", "hidden@example.org"]


def test_a_bcc_header_never_leaves(server):
    email = message(headers={"Bcc": "hidden@example.org"})
    if django.VERSION >= (6, 1):
        with pytest.raises(ValueError, match="Bcc"):
            email.send()
    else:
        email.send()
        assert "Bcc" not in only(server)
    assert all(b"hidden" not in one.received for one in server.connections)


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("From", {"from_email": "bounce@example.com"}),
        ("To", {"to": ["one@example.org", "two@example.org"]}),
        ("Cc", {"cc": ["copy@example.org"]}),
        ("Reply-To", {"reply_to": ["desk@example.org"]}),
    ],
)
def test_a_header_of_addresses_can_be_written_by_hand(server, header, fields):
    email = message(**fields, headers={header: "list@lists.example"})
    before = (email.from_email, list(email.to), list(email.cc), list(email.reply_to))
    email.send()
    assert only(server).get_all(header) == ["list@lists.example"]
    # The envelope goes by the attributes, not by the header.
    assert server.accepted[0].sender == email.from_email
    assert server.accepted[0].recipients == email.recipients()
    assert (email.from_email, list(email.to), list(email.cc), list(email.reply_to)) == before


def test_several_reply_addresses(server):
    received, recipients = arrived(server, reply_to=["a@b.example", "c@d.example"])
    assert received["Reply-To"] == "a@b.example, c@d.example"
    assert recipients == ["to@example.org"]


def test_a_message_can_be_sent_twice_and_keeps_its_headers(server):
    email = message(headers={"From": "other@example.com"})
    email.send()
    email.send()
    first, second = map(parsed, server.accepted)
    assert first.get_all("From") == second.get_all("From") == ["other@example.com"]
    assert first.keys() == second.keys()
    assert first["Message-ID"] == second["Message-ID"]
    assert email.extra_headers == {"From": "other@example.com"}


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "Hello\nBcc: x@example.net"},
        {"subject": gettext_lazy("Lazy\nBcc: x@example.net")},
        {"to": ["Name\nBcc: x@example.net <to@example.org>"]},
        {"from_email": "Name\r\nBcc: x@example.net <a@example.com>"},
        {"headers": {"X-Note": "a\rb"}},
    ],
)
def test_header_injection_is_a_value_error(server, fields):
    with pytest.raises(ValueError, match=r"control character|line end"):
        message(**fields).send()
    assert server.connections == []


BROKEN_ADDRESSES = [
    "Name\nInjected <to@example.org>",
    '"Name\nInjected" <to@example.org>',
    '"Name\rInjected" <to@example.org>',
    '"Name\r\nInjected" <to@example.org>',
    "Name <to\ninjected@example.org>",
    "to\ninjected@example.org",
]
ADDRESS_FIELDS = ["from_email", "to", "cc", "bcc", "reply_to", "Sender", "Resent-To", "Resent-Bcc"]


@pytest.mark.parametrize("name", ADDRESS_FIELDS)
@pytest.mark.parametrize("address", BROKEN_ADDRESSES)
def test_a_line_end_in_an_address_is_a_value_error(server, name, address):
    if name[0].isupper():
        email = message(headers={name: address})
    else:
        email = message(**{name: address if name == "from_email" else [address]})
    with pytest.raises(ValueError, match=r"control character|line end"):
        email.send()
    assert server.connections == []


def test_a_long_subject_is_folded_with_white_space(server):
    subject = "A subject of so many words that it does not fit into one line of the header at all"
    received, _ = arrived(server, subject=subject)
    assert received["Subject"] == subject
    (field,) = [
        part for part in server.accepted[0].wire.split(b"\r\nFrom:")[0:1] if b"Subject" in part
    ]
    assert b"\r\n " in field.partition(b"Subject:")[2]


def test_date_and_message_id_can_be_written_by_hand(server):
    headers = {"date": "Mon, 01 Jan 2001 10:00:00 -0000", "Message-ID": "<mine@example.com>"}
    received, _ = arrived(server, headers=headers)
    assert received.get_all("Date") == ["Mon, 01 Jan 2001 10:00:00 -0000"]
    assert received.get_all("Message-ID") == ["<mine@example.com>"]


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django 5.2 writes it in ISO form")
def test_a_date_may_be_a_datetime(server):
    moment = datetime.datetime(2001, 1, 1, 10, 0, tzinfo=datetime.timezone.utc)
    received, _ = arrived(server, headers={"Date": moment})
    assert received["Date"] == "Mon, 01 Jan 2001 10:00:00 +0000"


@pytest.mark.parametrize(("local", "offset"), [(False, "0000"), (True, "+0100")])
def test_the_date_follows_email_use_localtime(server, settings, local, offset):
    settings.EMAIL_USE_LOCALTIME, settings.TIME_ZONE = local, "Africa/Algiers"
    received, _ = arrived(server)
    assert received["Date"].endswith(offset)


def test_headers_may_be_lazy(server):
    headers = {"List-Unsubscribe": gettext_lazy("<mailto:out@example.com>")}
    received, _ = arrived(server, subject=gettext_lazy("Subject"), headers=headers)
    assert received["Subject"] == "Subject"
    assert received["List-Unsubscribe"] == "<mailto:out@example.com>"


@pytest.mark.parametrize("name", ["Zoë Ångström", "Ångström, Zoë"])
def test_a_name_beyond_ascii_with_and_without_comma(server, name):
    received, recipients = arrived(server, to=[f'"{name}" <zoe@b.example>', "other@b.example"])
    assert received["To"].addresses == (
        Address(name, addr_spec="zoe@b.example"),
        Address(addr_spec="other@b.example"),
    )
    assert recipients == ["zoe@b.example", "other@b.example"]


def test_headers_beyond_ascii_are_encoded_words(server):
    headers = {"Sender": '"Zoë Ångström" <zoe@b.example>', "Comments": "Größe"}
    received, _ = arrived(server, subject="Gżegżółka", headers=headers)
    assert server.accepted[0].content.isascii()
    assert (received["Subject"], received["Comments"]) == ("Gżegżółka", "Größe")
    assert received["Sender"].address == Address("Zoë Ångström", addr_spec="zoe@b.example")


@pytest.mark.parametrize(
    ("written", "name", "address"),
    [
        ("to@b.example", "", "to@b.example"),
        ("A name <to@b.example>", "A name", "to@b.example"),
        ('"A name" <to@b.example>', "A name", "to@b.example"),
        ('"Comma, quoted" <to@b.example>', "Comma, quoted", "to@b.example"),
        ('"to@other.example" <to@b.example>', "to@other.example", "to@b.example"),
        ("to@bücher.example", "", "to@xn--bcher-kva.example"),
        ("A name <to@bücher.example>", "A name", "to@xn--bcher-kva.example"),
        # IDNA 2008 as it was written, and as this backend writes it.
        ("to@xn--fa-hia.example", "", "to@xn--fa-hia.example"),
        ("to@faß.example", "", "to@xn--fa-hia.example"),
        ("<to@xn--10cl1a0b660p.example>", "", "to@xn--10cl1a0b660p.example"),
        ("Tó Name <to@b.example>", "Tó Name", "to@b.example"),
        ('"to@other.example"@b.example', "", '"to@other.example"@b.example'),
        ('A name <"a b"@b.example>', "A name", '"a b"@b.example'),
    ],
)
def test_an_address_means_the_same_in_header_and_envelope(server, written, name, address):
    received, recipients = arrived(server, to=[written])
    (found,) = received["To"].addresses
    assert (found.display_name, found.addr_spec) == (name, address)
    assert recipients == [address]


@pytest.mark.parametrize("name", ["Tó long name " * 8, "A long name " * 8])
def test_a_long_name_keeps_its_address(server, name):
    received, recipients = arrived(server, to=[f"{name}<to@bücher.example>"])
    (found,) = received["To"].addresses
    # Python may lose or add a space where it folds between encoded words.
    assert found.display_name.replace(" ", "") == name.replace(" ", "")
    assert [found.addr_spec] == recipients == ["to@xn--bcher-kva.example"]


def test_a_body_may_begin_with_from(server):
    arrived(server, body="From the start\n.\nFrom here on\n")
    assert server.accepted[0].content.endswith(b"\r\n\r\nFrom the start\r\n.\r\nFrom here on\r\n")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("ASCII only.", "7bit"),
        ("Größe, kurz.", "8bit"),
        ("Größe.\n" + "x" * 1200, "quoted-printable"),
        (None, "7bit"),
    ],
)
def test_the_encoding_fits_the_body(server, body, encoding):
    received, _ = arrived(server, body=body)
    assert received["Content-Transfer-Encoding"] == encoding
    assert received.get_content().strip() == (body or "")


def test_another_charset_is_honoured(server):
    email = EmailMessage("Größe", "Größe\n", "me@example.com", ["to@example.org"])
    email.encoding = "iso-8859-1"
    email.send()
    received = only(server)
    assert received.get_content_charset() == "iso-8859-1"
    assert received.get_content() == "Größe\n"
    assert "iso-8859-1" in server.accepted[0].content.decode("latin-1").lower()
