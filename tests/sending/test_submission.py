"""A Submission gives its content in 8-bit and 7-bit form, pickles, and describes itself."""

import json
import pickle
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from hypothesis import given, settings
from hypothesis import strategies as st

from django_smtpauth.sending.composition import Submission, compose
from django_smtpauth.sending.options import MessageOptions
from django_smtpauth.smtp.content import Content, has_long_lines
from django_smtpauth.smtp.errors import NotSupported
from django_smtpauth.smtp.transaction import Envelope

LONG = "a" * 1200


def submission_of(text: str, *, needs_utf8: bool = False) -> Submission:
    content = Content.of(text.replace("\n", "\r\n").encode())
    return Submission("<a@b.c>", Envelope.of("a@b.c", ["d@e.f"]), content, needs_utf8)


def octets(content: Content) -> bytes:
    return b"".join(content.source())


def seven_bit(submission: Submission) -> bytes:
    data = octets(submission.content_for(eight_bit=False))
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert not has_long_lines(data)
    return data


def leaves(data: bytes) -> list[Message]:
    return [part for part in message_from_bytes(data).walk() if not part.is_multipart()]


def headers(text: str, body: str) -> str:
    return f"Subject: hi\nMIME-Version: 1.0\n{text}\n\n{body}"


def test_content_that_needs_no_change_is_handed_out_as_it_is() -> None:
    plain = compose(EmailMessage("s", "plain", "a@b.c", ["d@e.f"]))
    assert plain.content_for(eight_bit=False) is plain.content
    umlaut = compose(EmailMessage("s", "zwölf", "a@b.c", ["d@e.f"]))
    assert umlaut.content_for(eight_bit=True) is umlaut.content


def test_the_seven_bit_form_is_made_once_and_says_so() -> None:
    submission = compose(EmailMessage("s", "zwölf", "a@b.c", ["d@e.f"]))
    content = submission.content_for(eight_bit=False)
    assert content is submission.content_for(eight_bit=False)
    assert not content.eight_bit
    assert content.size == len(octets(content))


def test_only_parts_that_need_it_are_encoded() -> None:
    message = EmailMultiAlternatives("Grüße", "plain", "a@b.c", ["d@e.f"])
    message.attach_alternative("<p>zwölf</p>", "text/html")
    message.attach("data.bin", bytes(range(256)), "application/octet-stream")
    submission = compose(message)
    before, after = octets(submission.content), seven_bit(submission)
    assert after.isascii()
    changed = [
        (old["Content-Transfer-Encoding"], new["Content-Transfer-Encoding"])
        for old, new in zip(leaves(before), leaves(after), strict=True)
        if old.as_bytes() != new.as_bytes()
    ]
    assert changed == [("8bit", "quoted-printable")]
    for old, new in zip(leaves(before), leaves(after), strict=True):
        assert old.get_payload(decode=True) == new.get_payload(decode=True)


def test_headers_keep_their_octets() -> None:
    submission = compose(
        EmailMessage("ü" * 90, "zwölf", "Jürgen <j@b.c>", [f"Ö{n} <n@e.f>" for n in range(30)])
    )
    before, after = octets(submission.content), seven_bit(submission)
    old, new = (data.partition(b"\r\n\r\n")[0].split(b"\r\n") for data in (before, after))
    assert [line for line in old if line not in new] == [b"Content-Transfer-Encoding: 8bit"]
    assert len(old) == len(new)


def test_a_long_line_is_wrapped_even_for_8bitmime() -> None:
    submission = submission_of(headers("Content-Type: text/plain", f"{LONG}\n"))
    content = submission.content_for(eight_bit=True)
    assert not content.long_lines
    assert message_from_bytes(octets(content)).get_payload(decode=True) == f"{LONG}\r\n".encode()


def test_the_shorter_encoding_is_taken() -> None:
    submission = submission_of(headers("Content-Type: text/plain; charset=utf-8", "漢字" * 40))
    assert b"Content-Transfer-Encoding: base64\r\n" in seven_bit(submission)


def test_binary_parts_become_base64() -> None:
    submission = submission_of(
        headers("Content-Type: image/x\nContent-Transfer-Encoding: 8bit", "aaaaaaaaaaaa ü")
    )
    message = message_from_bytes(seven_bit(submission))
    assert message["Content-Transfer-Encoding"] == "base64"
    assert message.get_payload(decode=True) == "aaaaaaaaaaaa ü".encode()


def test_containers_stop_claiming_8bit() -> None:
    text = headers(
        'Content-Type: multipart/mixed; boundary="b"\nContent-Transfer-Encoding: 8bit',
        "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n"
        "Subject: inner\nContent-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n\nzwölf Boxkämpfer jagen\n--b--\n",
    )
    data = seven_bit(submission_of(text))
    assert b"8bit" not in data
    assert data.count(b"Content-Transfer-Encoding: 7bit\r\n") == 2
    assert b"\r\nzw=C3=B6lf Boxk=C3=A4mpfer jagen\r\n" in data


SIGNED = (
    'Content-Type: multipart/signed; boundary="s"\n\n'
    "--s\nContent-Type: text/plain; charset=utf-8\n\n{}\n"
    "--s\nContent-Type: application/pgp-signature\n\nxyz\n--s--\n"
)


@pytest.mark.parametrize(
    "text",
    [
        headers(*SIGNED.format("zwölf").split("\n\n", 1)),
        headers(*SIGNED.format(LONG).split("\n\n", 1)),
        headers('Content-Type: multipart/encrypted; boundary="s"', "--s\n\nü\n--s--\n"),
        headers("Content-Type: application/pkcs7-mime", "ü"),
        headers("DKIM-Signature: v=1\nContent-Type: text/plain; charset=utf-8", "ü"),
        headers(
            'Content-Type: multipart/mixed; boundary="b"',
            f"--b\n{SIGNED.format('zwölf')}\n--b--\n",
        ),
    ],
    ids=["signed", "signed long", "encrypted", "pkcs7", "dkim", "signed inside"],
)
def test_signed_and_encrypted_content_is_not_touched(text: str) -> None:
    submission = submission_of(text)
    with pytest.raises(NotSupported) as caught:
        submission.content_for(eight_bit=False)
    assert caught.value.reason == "sealed"
    assert not caught.value.transient


def test_a_signed_part_in_7bit_leaves_as_it_came() -> None:
    signed = SIGNED.format("clean")
    text = headers(
        'Content-Type: multipart/mixed; boundary="b"',
        "--b\nContent-Type: text/plain; charset=utf-8\n\nzwölf Boxkämpfer jagen\n"
        f"--b\n{signed}\n--b--\n",
    )
    data = seven_bit(submission_of(text))
    assert signed.replace("\n", "\r\n").encode() in data
    assert b"zw=C3=B6lf" in data


@pytest.mark.parametrize(
    "text",
    [
        headers("X-Raw: ü\nContent-Type: text/plain", "plain\n"),
        headers(f"X-Long: {LONG}\nContent-Type: text/plain", "plain\n"),
        headers('Content-Type: multipart/mixed; boundary="b"', "prämbel\n--b\n\nx\n--b--\n"),
        headers("Content-Type: multipart/mixed", "no boundary ü\n"),
        headers("Content-Type: multipart/mixed", f"{LONG}\n"),
    ],
    ids=["raw header", "long header", "preamble", "damaged", "damaged long"],
)
def test_what_has_no_seven_bit_form_is_an_error(text: str) -> None:
    with pytest.raises(NotSupported) as caught:
        submission_of(text).content_for(eight_bit=False)
    assert caught.value.reason == "not-7bit"


def test_utf8_addresses_stay_in_the_header_of_the_seven_bit_form() -> None:
    submission = compose(EmailMessage("s", f"ü{LONG}\n", "jürgen@faß.de", ["d@e.f"]))
    data = seven_bit(submission_of(headers("From: jürgen@b.c", f"{LONG}ü\n"), needs_utf8=True))
    assert "\r\nFrom: jürgen@b.c\r\n".encode() in data
    assert data.partition(b"\r\n\r\n")[2].isascii()
    assert submission.needs_utf8


@settings(max_examples=150, deadline=None)
@given(
    st.text(
        alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x85"), max_size=200
    ),
    st.sampled_from(["plain", "html"]),
    st.integers(0, 2),
)
def test_the_seven_bit_form_decodes_to_the_same_text(text: str, kind: str, repeat: int) -> None:
    message = EmailMultiAlternatives("s", text + text * 10 * repeat + "ü", "a@b.c", ["d@e.f"])
    message.attach_alternative(text, f"text/{kind}")
    submission = compose(message)
    before, after = octets(submission.content), seven_bit(submission)
    assert after.isascii()
    assert [part.get_payload(decode=True) for part in leaves(before)] == [
        part.get_payload(decode=True) for part in leaves(after)
    ]


def test_a_submission_pickles_with_its_content() -> None:
    submission = compose(EmailMessage("s", "zwölf", "a@b.c", ["jürgen@faß.de"]))
    submission.content_for(eight_bit=False)
    copy: Any = pickle.loads(pickle.dumps(submission))
    assert copy.to_dict() == submission.to_dict()
    assert octets(copy.content) == octets(submission.content)
    assert copy.envelope == submission.envelope


def test_to_dict_is_json_without_the_content() -> None:
    submission = compose(EmailMessage("secret subject", "body", "a@b.c", ["jürgen@faß.de"]))
    text = json.dumps(submission.to_dict())
    assert json.loads(text) == {
        "message_id": submission.message_id,
        "sender": "a@b.c",
        "recipients": ["jürgen@xn--fa-hia.de"],
        "size": submission.content.size,
        "eight_bit": True,
        "needs_utf8": True,
    }
    assert "secret" not in text + repr(submission)


def test_message_options_are_a_value() -> None:
    assert MessageOptions(account="billing") == MessageOptions(account="billing")
    assert MessageOptions().account is None
    with pytest.raises(AttributeError):
        MessageOptions().account = "x"
