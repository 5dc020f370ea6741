"""What every backend of Django must do, and what a message looks like on arrival."""

import django
import pytest
from django.core import mail
from django.core.mail import (
    EmailMessage,
    mail_admins,
    mail_managers,
    send_mail,
    send_mass_mail,
)
from django.utils.translation import gettext_lazy

from django_smtpauth.backends import EmailBackend
from tests.backend_fixtures import (
    BACKEND,
    MAILERS_MODE,
    backend_for,
    default_backend,
    needs_mailers,
    only,
    parsed,
    people,
)

ADMIN, MANAGER = "root@example.org", "boss@example.org"


@pytest.fixture
def staff(settings):
    settings.ADMINS, settings.MANAGERS = people(ADMIN), people(MANAGER)


def test_a_message_arrives(server):
    email = EmailMessage("Greetings", "Hello.\n", "me@example.com", ["you@example.org"])
    assert default_backend().send_messages([email]) == 1
    received = only(server)
    assert (received["Subject"], received["From"]) == ("Greetings", "me@example.com")
    assert received.get_all("To") == ["you@example.org"]
    assert received.get_content() == "Hello.\n"


def test_a_message_beyond_ascii_arrives(server):
    email = EmailMessage("Grüße aus Łódź", "Žluťoučký kůň\n", "me@example.com", ["you@b.example"])
    assert default_backend().send_messages([email]) == 1
    received = only(server)
    assert received["Subject"] == "Grüße aus Łódź"
    assert received.get_content() == "Žluťoučký kůň\n"
    header = server.accepted[0].content.partition(b"\r\n\r\n")[0]
    assert header.isascii()
    assert b"Subject: =?utf-8?" in header


@pytest.mark.parametrize("text", ["Море волнуется " * 60, "Blåbærsyltetøy " * 64])
def test_a_long_line_beyond_ascii_is_encoded(server, text):
    assert len(text) < 998 < len(text.encode())
    EmailMessage("Long", text, "me@example.com", ["you@example.org"]).send()
    received = only(server)
    assert received["Content-Transfer-Encoding"] in ("base64", "quoted-printable")
    assert received["Content-Type"] == 'text/plain; charset="utf-8"'
    assert received.get_content().rstrip("\r\n") == text
    assert max(map(len, server.accepted[0].wire.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("series", [list, tuple, iter])
def test_many_messages_arrive_in_order(server, series):
    emails = [EmailMessage(to=[f"to{number}@example.org"]) for number in (1, 2)]
    assert default_backend().send_messages(series(emails)) == 2
    assert [parsed(one)["To"] for one in server.accepted] == ["to1@example.org", "to2@example.org"]


def test_a_display_name_beyond_ascii_arrives(server):
    EmailMessage(from_email='"Zoë Ångström" <zoe@example.com>', to=["you@example.org"]).send()
    assert only(server)["From"] == "Zoë Ångström <zoe@example.com>"
    assert server.accepted[0].sender == "zoe@example.com"
    assert b"From: =?utf-8?" in server.accepted[0].content


def test_send_mail_makes_plain_text(server):
    assert send_mail("Subject", "Text\n", "me@example.com", ["you@example.org"]) == 1
    received = only(server)
    assert not received.is_multipart()
    assert received.get_content_type() == "text/plain"
    assert (received["Subject"], received.get_content()) == ("Subject", "Text\n")
    assert received.get_all("To") == ["you@example.org"]


def parts(received):
    return [
        (part.get_content_type(), part.get_content().strip()) for part in received.iter_parts()
    ]


BOTH = [("text/plain", "Text"), ("text/html", "<b>Text</b>")]


def test_send_mail_with_html(server):
    send_mail("S", "Text", "me@example.com", ["you@example.org"], html_message="<b>Text</b>")
    received = only(server)
    assert received.get_content_type() == "multipart/alternative"
    assert parts(received) == BOTH


@pytest.mark.parametrize(("send", "to"), [(mail_admins, ADMIN), (mail_managers, MANAGER)])
def test_mail_to_the_staff(server, staff, send, to):
    send("Disk full", "Text", html_message="<b>Text</b>")
    received = only(server)
    assert received["Subject"] == "[Django] Disk full"
    assert received.get_all("To") == [to]
    assert parts(received) == BOTH
    assert server.accepted[0].sender == "root@localhost"


@pytest.mark.parametrize("send", [mail_admins, mail_managers])
def test_a_lazy_subject_gets_the_prefix(server, staff, send):
    send(gettext_lazy("Subject"), "Text")
    assert only(server)["Subject"] == "[Django] Subject"


@pytest.mark.parametrize("send", [mail_admins, mail_managers])
def test_without_staff_nobody_connects(server, settings, send):
    settings.ADMINS, settings.MANAGERS = [], []
    send("Subject", "Text")
    assert server.connections == []


def test_send_mass_mail_counts(server):
    data = [("S", "B", "me@example.com", [f"to{number}@example.org"]) for number in range(3)]
    assert send_mass_mail(data) == 3
    assert len(server.accepted) == 3
    assert len(server.connections) == 1


def test_a_message_has_the_usual_header(server):
    EmailMessage("Subject", "Text", "me@example.com", ["to@b.example"], cc=["cc@b.example"]).send()
    received = only(server)
    expected = {
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "Subject": "Subject",
        "From": "me@example.com",
        "To": "to@b.example",
        "Cc": "cc@b.example",
    }
    assert {name: received[name] for name in expected} == expected
    assert received["Date"].datetime is not None
    assert server.accepted[0].recipients == ["to@b.example", "cc@b.example"]


def test_foreign_domains_become_a_labels(server):
    fields = {"from_email": "me@bücher.example", "to": ["to@bücher.example"]}
    EmailMessage(**fields, cc=["cc@日本.example"]).send()
    received = only(server)
    assert received["From"] == "me@xn--bcher-kva.example"
    assert received["To"] == "to@xn--bcher-kva.example"
    assert received["Cc"] == "cc@xn--wgv71a.example"


def test_addresses_need_no_domain(server):
    assert send_mail("Subject", "Text", "operator", ["root"]) == 1
    received = only(server)
    assert (received["From"], received["To"]) == ("operator", "root")
    assert server.accepted[0].sender == "operator"
    assert server.accepted[0].recipients == ["root"]


def test_addresses_may_be_translated_lazily(server):
    lazy = gettext_lazy
    fields = {"to": [lazy("one"), lazy("two")], "cc": [lazy("three")], "bcc": [lazy("four")]}
    EmailMessage(from_email=lazy("operator"), reply_to=[lazy("desk")], **fields).send()
    received = only(server)
    assert (received["From"], received["To"]) == ("operator", "one, two")
    assert (received["Cc"], received["Reply-To"]) == ("three", "desk")
    assert server.accepted[0].recipients == ["one", "two", "three", "four"]


def test_a_backend_that_was_never_opened_can_be_closed():
    EmailBackend().close()


def test_the_context_manager_opens_and_closes():
    calls = []

    class Watched(EmailBackend):
        def open(self):
            calls.append("open")

        def close(self):
            calls.append("close")

    backend = Watched()
    with backend as same:
        assert same is backend
        assert calls == ["open"]
    assert calls == ["open", "close"]


@pytest.mark.parametrize("value", [True, False])
def test_fail_silently_is_an_attribute(value):
    assert EmailBackend(fail_silently=value).fail_silently is value
    assert EmailBackend().fail_silently is False


def test_an_alias_is_kept_and_optional(server):
    if django.VERSION >= (6, 1):
        assert backend_for(server, alias="bulk").alias == "bulk"
        assert backend_for(server).alias is None
    else:
        # Unknown to this Django, so it is ignored like any other unknown keyword.
        assert not hasattr(backend_for(server, alias="bulk"), "alias")


@needs_mailers
def test_mailers_make_it(settings):
    options = {"host": "smtp.example.com"}
    settings.MAILERS = {"bulk": {"BACKEND": BACKEND, "OPTIONS": options}}
    backend = mail.mailers["bulk"]
    assert type(backend) is EmailBackend
    assert (backend.alias, backend.host) == ("bulk", "smtp.example.com")


@needs_mailers
def test_mailers_refuse_unknown_options(settings):
    options = {"hots": "smtp.example.com", "colour": "red"}
    settings.MAILERS = {"bulk": {"BACKEND": BACKEND, "OPTIONS": options}}
    with pytest.raises(mail.InvalidMailer, match=r"MAILERS\['bulk'\].*'hots', 'colour'"):
        _ = mail.mailers["bulk"]


@pytest.mark.skipif(MAILERS_MODE, reason="for settings without MAILERS")
@pytest.mark.filterwarnings("ignore:.*does not support 'colour'")
def test_unknown_keywords_are_ignored_without_mailers():
    assert not hasattr(EmailBackend(colour="red"), "colour")
