"""compose(): Django's rendering, safe addresses, one Message-ID, no Bcc."""

import re
from email import message_from_bytes, policy
from email.message import Message
from email.mime.text import MIMEText
from typing import Any

import django
import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.translation import gettext_lazy
from hypothesis import given, settings
from hypothesis import strategies as st

from django_smtpauth.sending.composition import Submission, compose
from django_smtpauth.smtp.errors import NotSupported

FIXED = {"Message-ID": "<fixed@example.org>", "Date": "Mon, 02 Nov 2026 10:00:00 +0000"}
NAMES_THE_POLICY = django.VERSION >= (6,)


def octets(submission: Submission) -> bytes:
    return b"".join(submission.content.source())


def parsed(submission: Submission) -> Message:
    return message_from_bytes(octets(submission))


def mail(**fields: Any) -> EmailMessage:
    defaults = {"subject": "Hi", "body": "Hello", "from_email": "a@b.c", "to": ["d@e.f"]}
    return EmailMessage(**{**defaults, **fields})


def rendered_by_django(message: EmailMessage) -> bytes:
    if NAMES_THE_POLICY:
        return message.message(policy=policy.SMTP).as_bytes()
    return message.message().as_bytes(linesep="\r\n")


def without_boundaries(data: bytes) -> bytes:
    return re.sub(rb"={15}\d+==", b"BOUNDARY", data)


# --- the octets are Django's ---------------------------------------------------------------


def _alternatives() -> EmailMessage:
    message = EmailMultiAlternatives(
        "Grüße", "Zwölf", "Jürgen <j@example.org>", ["Ä B <d@e.f>"], headers=FIXED
    )
    message.attach_alternative("<p>Zwölf</p>", "text/html")
    message.attach("rösti.csv", "ä;ö\n1;2\n", "text/csv")
    message.attach("data.bin", bytes(range(256)), "application/octet-stream")
    return message


@pytest.mark.parametrize(
    "message",
    [
        mail(headers=FIXED),
        mail(headers=FIXED, body="Zwölf\n>From here\nFrom there\n.dot\n"),
        mail(headers=FIXED, body="x" * 2000),
        mail(headers=FIXED, body="ü" * 2000),
        mail(headers=FIXED, body=""),
        mail(headers={**FIXED, "X-Long": "word " * 60, "X-A": "ü" * 90}),
        mail(headers={**FIXED, "From": "Other <o@e.f>", "To": "list:;"}, cc=["c@c.c"]),
        mail(headers=FIXED, to=[f"Ö {n} <n{n}@example.org>" for n in range(40)]),
        mail(headers=FIXED, reply_to=["=?utf-8?q?J=C3=BC?= <r@example.org>"]),
        mail(headers=FIXED, subject="ü" * 100),
        _alternatives(),
    ],
    ids=range(11),
)
def test_the_octets_are_djangos_own(message: EmailMessage) -> None:
    expected = rendered_by_django(message)
    expected += b"" if expected.endswith(b"\r\n") else b"\r\n"
    assert without_boundaries(octets(compose(message))) == without_boundaries(expected)


def test_a_chosen_message_id_stands_where_django_puts_its_own() -> None:
    message = mail(headers={"X-A": "1"})
    by_django = message_from_bytes(rendered_by_django(message)).keys()
    assert parsed(compose(message)).keys() == by_django


def test_line_ends_are_crlf_and_one_ends_the_content() -> None:
    data = octets(compose(mail(body="one\ntwo\r\nthree")))
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert data.endswith(b"three\r\n")
    assert not data.endswith(b"\r\n\r\n")


def test_the_message_object_is_left_alone_but_for_its_message_id() -> None:
    message = mail(to=["x@faß.de"], cc=["y@faß.de"], headers={"Sender": "z@faß.de"})
    before = {**vars(message), "extra_headers": dict(message.extra_headers)}
    compose(message)
    after = dict(vars(message))
    after.pop("_smtpauth_message_id")
    assert after == before


# --- envelope ------------------------------------------------------------------------------


def test_the_envelope_has_bare_addresses_each_once() -> None:
    message = mail(
        from_email="Me <me@faß.de>", to=["A <a@b.c>", "x@y.z"], cc=["a@b.c"], bcc=["q@faß.de"]
    )
    envelope = compose(message).envelope
    assert envelope.sender == "me@xn--fa-hia.de"
    assert [r.address for r in envelope.recipients] == ["a@b.c", "x@y.z", "q@xn--fa-hia.de"]
    assert not envelope.utf8


def test_an_emptied_sender_is_the_default_sender(settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = "Site <site@example.org>"
    message = mail()
    message.from_email = ""
    submission = compose(message)
    assert submission.envelope.sender == "site@example.org"
    assert parsed(submission)["From"] == "Site <site@example.org>"


def test_the_null_reverse_path_can_be_asked_for() -> None:
    message = mail(from_email="<>", headers={"From": "MAILER <m@example.org>"})
    submission = compose(message)
    assert submission.envelope.sender == ""
    assert parsed(submission)["From"] == "MAILER <m@example.org>"


def test_lazy_texts_work() -> None:
    message = mail(
        subject=gettext_lazy("Password"),
        from_email=gettext_lazy("Jürgen <j@faß.de>"),
        to=[gettext_lazy("T <t@faß.de>")],
        reply_to=[gettext_lazy("r@faß.de")],
        headers={"Sender": gettext_lazy("s@faß.de"), "X-A": gettext_lazy("Password")},
    )
    submission = compose(message)
    assert submission.envelope.recipients[0].address == "t@xn--fa-hia.de"
    header = parsed(submission)
    assert header["Sender"] == "s@xn--fa-hia.de"
    assert header["Reply-To"] == "r@xn--fa-hia.de"
    assert header["Subject"] == header["X-A"] == "Password"


# --- header addresses ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["From", "To", "Cc", "Reply-To", "Sender", "Resent-To"])
def test_header_domains_are_the_envelopes_a_labels(name: str) -> None:
    given = parsed(compose(mail(cc=["c@c.c"], headers={name: "Jürgen <j@faß.de>"})))[name]
    assert given.endswith(" <j@xn--fa-hia.de>")


def test_fields_and_headers_are_both_converted() -> None:
    header = parsed(
        compose(
            mail(
                from_email="f@faß.de",
                to=["t@faß.de", "Ü <u@bücher.de>"],
                cc=["c@faß.de"],
                reply_to=["r@faß.de"],
            )
        )
    )
    assert header["From"] == "f@xn--fa-hia.de"
    assert re.sub(r"\s+", " ", header["To"]) == (
        "t@xn--fa-hia.de, =?utf-8?b?w5w=?= <u@xn--bcher-kva.de>"
        if "?b?" in header["To"]
        else "t@xn--fa-hia.de, =?utf-8?q?=C3=9C?= <u@xn--bcher-kva.de>"
    )
    assert header["Cc"] == "c@xn--fa-hia.de"
    assert header["Reply-To"] == "r@xn--fa-hia.de"


LOCAL = "用户名" * 7  # longer than an encoded word may be


@pytest.mark.parametrize("local", ["jürgen", '"jürgen x"', LOCAL])
def test_a_local_part_outside_ascii_is_utf8_in_the_header(local: str) -> None:
    submission = compose(mail(to=[f"Jürgen <{local}@faß.de>", "k@example.org"]))
    assert submission.needs_utf8
    assert submission.envelope.utf8
    assert submission.content.eight_bit
    assert submission.envelope.recipients[0].address == f"{local}@xn--fa-hia.de"
    assert f"<{local}@xn--fa-hia.de>, k@example.org".encode() in re.sub(
        rb"\r\n +", b" ", octets(submission)
    )


def test_utf8_is_needed_for_header_and_for_hidden_recipients() -> None:
    in_header = compose(mail(reply_to=["jürgen@example.org"]))
    assert in_header.needs_utf8
    assert in_header.envelope.utf8
    hidden = compose(mail(bcc=["jürgen@example.org"]))
    assert hidden.needs_utf8
    assert not hidden.content.eight_bit


def test_many_utf8_addresses_are_still_folded() -> None:
    submission = compose(mail(to=[f"jürgen{n}@example.org" for n in range(200)]))
    assert not submission.content.long_lines
    assert re.sub(r"\s+", " ", octets(submission).decode()).count("jürgen199@example.org") == 1


# --- Bcc and injection ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Bcc", "bcc", "BCC", "Resent-Bcc"])
def test_no_bcc_reaches_the_wire(name: str) -> None:
    message = mail(bcc=["hidden@example.org"], headers={name: "hidden@example.org"})
    if django.VERSION >= (6, 1) and name != "Resent-Bcc":
        with pytest.raises(ValueError, match="Bcc"):
            compose(message)
    else:
        assert b"hidden" not in octets(compose(message))


def test_the_bcc_field_is_in_the_envelope_only() -> None:
    submission = compose(mail(bcc=["hidden@example.org"]))
    assert "hidden@example.org" in [r.address for r in submission.envelope.recipients]
    assert b"hidden" not in octets(submission)


BAD = ["a\nb", "a\rb", "a\r\nBcc: x@y.z", "a\x00b", "a\x0bb", "a\x1bb", "a\x7fb", "a\u2028b"]


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize(
    "fields",
    [
        lambda bad: {"subject": bad},
        lambda bad: {"headers": {"X-A": bad}},
        lambda bad: {"headers": {bad: "v"}},
        lambda bad: {"headers": {"To": bad}},
        lambda bad: {"headers": {"Message-ID": bad}},
        lambda bad: {"subject": gettext_lazy(bad)},
        lambda bad: {"from_email": f"{bad}@b.c"},
        lambda bad: {"from_email": f"{bad} <a@b.c>"},
        lambda bad: {"to": [f"a@b.c{bad}"]},
        lambda bad: {"cc": [f"{bad} <a@b.c>"]},
        lambda bad: {"bcc": [f"a@b.c{bad}"]},
        lambda bad: {"reply_to": [f"a@b.c{bad}"]},
        lambda bad: {"attachments": [(bad, b"x", "application/x-y")]},
        lambda bad: {"attachments": [("f", b"x", f"application/x-y{bad}")]},
    ],
    ids=range(14),
)
def test_control_characters_are_refused_on_every_django(bad: str, fields: Any) -> None:
    with pytest.raises(ValueError):
        compose(mail(**fields(bad)))


@pytest.mark.parametrize("name", ["", "X Y", "X:Y", "Ü"])
def test_a_header_name_is_a_header_name(name: str) -> None:
    with pytest.raises(ValueError, match="header name"):
        compose(mail(headers={name: "v"}))


def test_an_alternative_and_a_content_subtype_are_checked_too() -> None:
    message = EmailMultiAlternatives("s", "b", "a@b.c", ["d@e.f"])
    message.attach_alternative("x", "text/html\r\nX-Evil: 1")
    with pytest.raises(ValueError, match="media type"):
        compose(message)
    plain = mail()
    plain.content_subtype = "plain\r\nX-Evil: 1"
    with pytest.raises(ValueError, match="media type"):
        compose(plain)


HIDDEN = "=?utf-8?b?ClgtRXZpbDogMQ==?="  # LF, then a header


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"Message-ID": HIDDEN}},
        {"headers": {"In-Reply-To": HIDDEN}},
        {"subject": HIDDEN},
        {"from_email": f"{HIDDEN} <a@b.c>"},
        {"attachments": [(HIDDEN, b"x", "application/x-y")]},
        {"attachments": [("f", b"x", f"application/{HIDDEN}")]},
    ],
    ids=range(6),
)
def test_a_line_end_hidden_in_an_encoded_word_adds_no_header(fields: dict[str, Any]) -> None:
    try:
        message = parsed(compose(mail(**fields)))
    except ValueError:
        return
    for part in message.walk():
        assert "X-Evil" not in part


@pytest.mark.parametrize("text", ['"', ":x;..=?utf-8?q?", "=?utf-8?q??=]?=", "\t:>=X=\\", "ß@[ß"])
@pytest.mark.parametrize("name", ["From", "To", "Sender", "Reply-To"])
def test_addresses_that_crash_pythons_parser_are_a_value_error(name: str, text: str) -> None:
    try:
        submission = compose(mail(headers={name: text}))
    except ValueError:
        return
    assert len(parsed(submission).get_all(name)) == 1


_characters = st.sampled_from('<>@,;:()[]"\\ =?.\r\n\t\x00\x0b\x85\u2028')
_words = st.sampled_from(["a", "ü", "faß.de", "x@y.z", "Bcc: x", HIDDEN])
_encoded = st.sampled_from(["=?utf-8?q?", "?=", "=0A", "=0D=0A", "=0AX:", "=40"])
_nasty = st.lists(_characters | _words | _encoded, max_size=12).map("".join)
_text = _nasty | st.text(max_size=30)
_fields = st.one_of(
    st.tuples(st.sampled_from(["subject", "from_email"]), _text),
    st.tuples(st.sampled_from(["to", "cc", "reply_to"]), _text.map(lambda t: [t or "x@y.z"])),
    st.tuples(st.just("from_email"), _text.map(lambda t: f"{t} <x@y.z>")),
    st.tuples(
        st.just("headers"),
        st.tuples(
            st.sampled_from(["X-A", "From", "To", "Sender", "Message-ID", "In-Reply-To", "Date"]),
            _text,
        ).map(lambda pair: dict([pair])),
    ),
    st.tuples(st.just("headers"), _text.map(lambda name: {f"X-{name}": "v"})),
    st.tuples(st.just("attachments"), _text.map(lambda t: [(t, "ä", "text/csv")])),
    st.tuples(st.just("attachments"), _text.map(lambda t: [("f", b"x", f"image/{t}")])),
)


@settings(max_examples=300, deadline=None)
@given(_fields)
def test_any_text_is_refused_or_adds_no_header(field: tuple[str, Any]) -> None:
    name, value = field
    try:
        submission = compose(mail(**{name: value}))
    except ValueError:
        return
    message = parsed(submission)
    expected = {"subject", "from", "to", "date", "message-id", "mime-version", "content-type"}
    expected |= {name.replace("_", "-")} if name in ("cc", "reply_to") else set()
    expected |= {key.lower() for key in value} if name == "headers" else set()
    expected |= set() if message.is_multipart() else {"content-transfer-encoding"}
    assert sorted(key.lower() for key in message.keys()) == sorted(expected)  # noqa: SIM118
    assert not message.defects
    if name == "attachments":
        assert len(message.get_payload()) == 2
        for part in message.get_payload():
            assert {key.lower() for key in part.keys()} <= {  # noqa: SIM118
                "content-type",
                "content-transfer-encoding",
                "content-disposition",
                "mime-version",
            }


# --- Message-ID and Date -------------------------------------------------------------------


def test_the_message_id_is_kept_with_the_object() -> None:
    message = mail()
    first, second = compose(message), compose(message)
    assert first.message_id == second.message_id == parsed(second)["Message-ID"]
    assert re.fullmatch(r"<[^<>\s]+@[^<>\s]+>", first.message_id)
    assert compose(mail()).message_id != first.message_id
    assert message.extra_headers == {}


@pytest.mark.parametrize("name", ["Message-ID", "message-id", "MESSAGE-ID"])
def test_a_given_message_id_is_used_once(name: str) -> None:
    submission = compose(mail(headers={name: "<mine@example.org>"}))
    assert submission.message_id == "<mine@example.org>"
    assert parsed(submission).get_all("Message-ID") == ["<mine@example.org>"]


def test_two_message_ids_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"(?i)message-id"):
        compose(mail(headers={"Message-ID": "<a@b.c>", "message-id": "<d@e.f>"}))


def test_a_given_date_is_used() -> None:
    date = "Mon, 02 Nov 2026 10:00:00 +0000"
    assert parsed(compose(mail(headers={"date": date}))).get_all("Date") == [date]


# --- subclasses ----------------------------------------------------------------------------


class WithoutPolicy(EmailMessage):
    def message(self) -> Any:
        message = super().message()
        message["X-Seen-By"] = self.__class__.__name__
        return message


class WithAnything(EmailMessage):
    def message(self, *args: Any, **kwargs: Any) -> Any:
        message = super().message(*args, **kwargs)
        message["X-Seen-By"] = self.__class__.__name__
        return message


@pytest.mark.parametrize("cls", [WithoutPolicy, WithAnything])
def test_a_subclass_may_override_message_in_either_form(cls: type[EmailMessage]) -> None:
    message = cls("Hi", "Zwölf\nZeilen", "Jürgen <j@faß.de>", ["jürgen@faß.de"])
    submission = compose(message)
    data = octets(submission)
    assert b"\r\nX-Seen-By: " + cls.__name__.encode() + b"\r\n" in data
    assert "To: jürgen@xn--fa-hia.de\r\n".encode() in data
    assert b"<j@xn--fa-hia.de>" in data
    assert data.endswith("\r\nZwölf\r\nZeilen\r\n".encode())
    assert data.count(b"\n") == data.count(b"\r\n")


class Ready(EmailMessage):
    """Hands out a message of its own, as forwarders do."""

    def message(self, **kwargs: Any) -> Any:
        ready = MIMEText("Zwölf\n>From\nFrom", "plain", "utf-8")
        ready["Subject"] = "ready"
        ready["Bcc"] = "hidden@example.org"
        return ready


def test_a_ready_made_message_loses_bcc_and_gains_a_message_id() -> None:
    message = Ready(to=["d@e.f"])
    first, second = compose(message), compose(message)
    assert first.message_id == second.message_id == parsed(first)["Message-ID"]
    assert "Bcc" not in parsed(first)
    assert parsed(first).get_payload(decode=True) == "Zwölf\n>From\nFrom".encode()


@pytest.mark.parametrize("error", [TypeError, AttributeError, IndexError, NotSupported])
def test_a_subclass_keeps_its_own_errors(error: type[Exception]) -> None:
    class Broken(EmailMessage):
        def message(self, **kwargs: Any) -> Any:
            raise error("my own mistake")

    with pytest.raises(error, match="my own mistake"):
        compose(Broken(to=["d@e.f"], reply_to=["r@e.f"]))


def test_a_signed_header_is_not_changed_after_signing() -> None:
    class Signing(EmailMessage):
        def message(self, **kwargs: Any) -> Any:
            message = super().message(**kwargs)
            message["DKIM-Signature"] = "v=1; d=example.org"
            return message

    assert b"DKIM-Signature" in octets(compose(Signing(to=["d@faß.de"])))
    with pytest.raises(NotSupported):
        compose(Signing(to=["jürgen@faß.de"]))
