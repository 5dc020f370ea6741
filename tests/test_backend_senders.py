"""From whom a message is, and who gets it, as the server sees it."""

import copy
import json
import logging
import pickle
from email import message_from_bytes, policy

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.backends import EmailBackend
from django_smtpauth.models import SMTPAccount
from django_smtpauth.sending import redirection
from django_smtpauth.sending.accounts import account_of
from django_smtpauth.sending.composition import compose
from django_smtpauth.sending.options import DSN, MessageOptions, RecipientOptions
from django_smtpauth.sending.senders import policy_of
from django_smtpauth.smtp import NotSupported
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    backend_for,
    failure_of,
    mail_settings,
    make_account,
    message,
    only,
    parsed,
    smtp_server,
)

OWN = "shop@example.com"
VISITOR = "Jane Doe <jane@example.org>"

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(scripted_server, make_account, mail_settings):  # noqa: F811
    """A server and its account, which is the default one and sends as `shop@example.com`."""

    def start(**fields):
        server = scripted_server(**fields.pop("behaviour", {}))
        values = {"from_email": OWN, "from_name": "Shop", "is_default": True, **fields}
        make_account(values.pop("slug", "shop"), server, **values)
        mail_settings()
        return server

    return start


def sender(server):
    (received,) = server.accepted
    return received.sender


def said_by(one):
    """What the caller put into a message."""
    ours_or_django_s = ("connection", "_connection", "smtp_result", "_smtpauth_message_id")
    return copy.deepcopy({k: v for k, v in vars(one).items() if k not in ours_or_django_s})


# Senders


def test_django_s_default_sender_is_the_account(shop):
    server = shop(foreign_from="refuse")
    assert send_mail("Subject", "Text", None, ["to@example.org"]) == 1
    assert only(server)["From"] == f"Shop <{OWN}>"
    assert sender(server) == OWN


def test_mail_to_the_admins_is_from_the_account(shop):
    server = shop()
    assert message(from_email="root@localhost").send() == 1
    assert only(server)["From"] == f"Shop <{OWN}>"


def test_an_emptied_sender_is_the_account(shop, settings):
    settings.DEFAULT_FROM_EMAIL = "site@example.net"
    server, one = shop(), message()
    one.from_email = ""
    assert one.send() == 1
    assert sender(server) == OWN


def test_a_user_name_that_is_an_address_counts(shop):
    server = shop(from_email="", username=OWN, authentication="none")
    assert send_mail("Subject", "Text", None, ["to@example.org"]) == 1
    assert sender(server) == OWN


def test_a_visitor_s_from_is_rewritten(shop):
    server = shop(foreign_from="rewrite")
    one = message(from_email=VISITOR)
    before = said_by(one)
    assert one.send() == 1
    received = only(server)
    assert received["From"] == f"Jane Doe <{OWN}>"
    assert received["Reply-To"] == VISITOR
    assert sender(server) == OWN
    assert said_by(one) == before


def test_the_header_from_is_rewritten(shop):
    server = shop(foreign_from="rewrite")
    headers = {"From": VISITOR, "sender": "desk@example.org", "Reply-To": "desk@example.org"}
    assert message(from_email="<>", headers=headers).send() == 1
    received = only(server)
    assert received["From"] == f"Jane Doe <{OWN}>"
    assert received["Sender"] is None
    assert received["Reply-To"] == "desk@example.org"
    assert sender(server) == ""


def test_a_from_with_an_international_address_is_rewritten(shop):
    server = shop(foreign_from="rewrite")
    assert message(from_email="Jürgen <j@bücher.example>").send() == 1
    received = only(server)
    assert received["From"] == f"Jürgen <{OWN}>"
    assert received["Reply-To"] == "Jürgen <j@xn--bcher-kva.example>"


def test_a_foreign_from_is_refused_before_anything_is_sent(shop):
    server = shop(foreign_from="refuse")
    one, other = message(from_email=VISITOR), message(from_email=OWN)
    error = failure_of(EmailBackend(ehlo_name="c.test"), [one, other], NotSupported)
    assert "Add jane@example.org" in str(error)
    assert error is one.smtp_result.error
    assert pickle.loads(pickle.dumps(error)).reason == "foreign-from"
    assert json.dumps(one.smtp_result.to_dict())
    assert other.smtp_result.sent
    assert sender(server) == OWN


def test_fail_silently_hides_the_refusal(shop, caplog):
    server = shop(foreign_from="refuse")
    backend = EmailBackend(fail_silently=True, ehlo_name="c.test")
    assert backend.send_messages([message(from_email=VISITOR)]) == 0
    assert server.accepted == []
    assert "the account shop does not send as another" in caplog.text
    assert "jane@" not in caplog.text


def test_another_account_judges_the_same_message_anew(shop):
    strict = shop(foreign_from="rewrite")
    loose = shop(slug="loose", is_default=False, from_email="loose@example.net", from_name="")
    one = message(from_email=VISITOR)
    assert one.send() == 1
    one.smtp_options = MessageOptions(account="loose")
    assert one.send() == 1
    assert only(strict)["From"] == f"Jane Doe <{OWN}>"
    assert only(loose)["From"] == VISITOR
    assert only(loose)["Reply-To"] is None
    assert only(strict)["Message-ID"] == only(loose)["Message-ID"]


def test_the_account_is_chosen_by_the_from_as_it_was(shop):
    by_from = shop(
        slug="byfrom", from_email="jane@example.org", is_default=False, select_by_from=True
    )
    default = shop(foreign_from="refuse")
    assert message(from_email=VISITOR).send() == 1
    assert sender(by_from) == "jane@example.org"
    assert default.accepted == []


def test_a_host_without_an_account_sends_as_anybody(scripted_server):
    server = scripted_server()
    assert backend_for(server).send_messages([message(from_email="root@localhost")]) == 1
    assert sender(server) == "root@localhost"


class Signed(EmailMessage):
    """Writes a header from what it is about to send, as a signer does."""

    def message(self, **kwargs):
        rendered = super().message(**kwargs)
        rendered["X-Signed-From"] = str(rendered["From"])
        return rendered


class Own(EmailMessage):
    """Writes a From of its own."""

    def message(self, **kwargs):
        rendered = super().message(**kwargs)
        del rendered["From"]
        rendered["From"] = "own@example.org"
        return rendered


def subclassed(kind):
    return kind("Subject", "Text", VISITOR, ["to@example.org"])


def test_a_message_that_renders_itself_sees_what_is_sent(shop):
    server = shop(foreign_from="rewrite")
    assert subclassed(Signed).send() == 1
    received = only(server)
    assert received["X-Signed-From"] == received["From"] == f"Jane Doe <{OWN}>"


def test_a_message_that_writes_a_from_of_its_own_is_refused(shop):
    server = shop(foreign_from="rewrite")
    with pytest.raises(NotSupported, match=r"leave them alone"):
        subclassed(Own).send()
    assert server.accepted == []


def test_a_message_that_writes_a_from_that_the_account_may_send_as(shop):
    server = shop(foreign_from="rewrite", may_send_as="example.org")
    assert subclassed(Own).send() == 1
    assert only(server)["From"] == "own@example.org"


def test_a_name_from_the_database_writes_no_header():
    row = SMTPAccount(slug="shop", host="h.example", from_email=OWN, from_name="A\r\nBcc: b@c.d")
    with pytest.raises(ValueError, match="control character"):
        compose(message(from_email=OWN), account=account_of(row))


FROMS = st.one_of(
    st.sampled_from(
        [
            OWN,
            f"X <{OWN}>",
            "webmaster@localhost",
            VISITOR,
            "a@example.net",
            f"{OWN}, {VISITOR}",
            "Team: a@b.example;",
            f"=?utf-8?q?a=40b=2Eexample=2C?= <{OWN}>",
            f'"=?utf-8?q?a=40b=2Eexample=22=2C?=" <{OWN}>',
            f"=?utf-8?q?a=40b=2Eexample=3E=2C?= {OWN}",
            f"a@b.example (x) <{OWN}>",
            f"<a@b.example> <{OWN}>",
            f"@b.example:{OWN}",
        ]
    ),
    st.text(alphabet='aéü@.,:;<>()"\\=?_ ', max_size=24),
    st.builds("{} <{}>".format, st.text(max_size=12), st.sampled_from([OWN, "j@e.example"])),
)


@given(
    from_email=st.one_of(st.none(), FROMS),
    header=st.one_of(st.none(), FROMS),
    foreign=st.sampled_from(["refuse", "rewrite"]),
)
def test_whatever_the_from_the_wire_has_one_to_send_as(from_email, header, foreign):
    row = SMTPAccount(
        slug="shop", host="h.example", from_email=OWN, may_send_as="example.net", from_name="S"
    )
    row.foreign_from = foreign
    account = account_of(row)
    headers = {} if header is None else {"From": header}
    one = EmailMultiAlternatives("S", "B", from_email, ["to@example.org"], headers=headers)
    before = said_by(one)
    try:
        submission = compose(one, account=account)
    except (ValueError, NotSupported):
        return
    finally:
        assert said_by(one) == before
    received = message_from_bytes(b"".join(submission.content.source()), policy=policy.default)
    try:
        authors = [mailbox.addr_spec for mailbox in received["From"].addresses]
    except AttributeError:
        # The reader of Python 3.10 fails on some names.
        return
    assert authors
    assert all(policy_of(account).covers(address.lower()) for address in authors)
    assert submission.envelope.sender in (OWN, "a@example.net", "")


# Redirection


@pytest.fixture
def redirect(settings):
    """Everything goes to this address; the process has not told so yet."""
    redirection._tell_once.cache_clear()

    def use(address="staging@example.net"):
        settings.SMTPAUTH = {**getattr(settings, "SMTPAUTH", {}), "REDIRECT_TO": address}
        return address

    yield use
    redirection._tell_once.cache_clear()


def letter(**fields):
    return message(
        to=["Ann <ann@example.org>", "bob@bücher.example"],
        cc=["cy@example.org"],
        bcc=["secret@example.org", "ann@example.org"],
        reply_to=["Desk <desk@example.org>"],
        **fields,
    )


HEADERS = {
    "Disposition-Notification-To": "jane@example.org",
    "mail-followup-to": "list@example.org",
    "To": "Everybody:;",
    "X-Other": "1",
}


@pytest.mark.parametrize("by_account", [False, True])
def test_every_message_goes_to_one_address(shop, smtp_server, redirect, by_account):  # noqa: F811
    server = shop() if by_account else smtp_server()
    target, one = redirect(), letter(headers=dict(HEADERS))
    before = said_by(one)
    assert one.send() == 1
    (received,) = server.accepted
    assert received.recipients == [target]
    header = parsed(received)
    assert (header["To"], header["Cc"], header["Reply-To"]) == (target, None, target)
    assert {name: header[name] for name in header if name.startswith("X-Intended-")} == {
        "X-Intended-To": "ann@example.org, bob@xn--bcher-kva.example",
        "X-Intended-Cc": "cy@example.org",
        "X-Intended-Bcc": "secret@example.org",
        "X-Intended-Reply-To": "Desk <desk@example.org>",
        "X-Intended-Disposition-Notification-To": "jane@example.org",
        "X-Intended-mail-followup-to": "list@example.org",
    }
    assert header["X-Other"] == "1"
    assert list(one.smtp_result.recipients) == [target]
    assert said_by(one) == before


def test_no_header_of_addresses_names_anybody_else(smtp_server, redirect):  # noqa: F811
    """Reply, reply to all, receipts: nobody real gets an answer."""
    server, target = smtp_server(), redirect()
    assert letter(headers=dict(HEADERS)).send() == 1
    received = only(server)
    addressed = {
        mailbox.addr_spec
        for name, header in received.items()
        if hasattr(header, "addresses") and name != "From"
        for mailbox in header.addresses
    }
    assert addressed == {target}
    assert received["Disposition-Notification-To"] is None


def test_thousands_of_recipients_are_counted(smtp_server, redirect):  # noqa: F811
    server = smtp_server()
    redirect()
    assert message(bcc=[f"n{n}@example.org" for n in range(3_000)]).send() == 1
    (received,) = server.accepted
    assert len(received.recipients) == 1
    assert parsed(received)["X-Intended-Bcc"].endswith("n49@example.org, and 2950 more")
    head = received.content.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


class Listed(EmailMessage):
    """Has recipients that stand in no list."""

    def recipients(self):
        return ["hidden@example.org"]


def test_recipients_that_a_message_makes_up_are_redirected(smtp_server, redirect):  # noqa: F811
    server, target = smtp_server(), redirect()
    assert subclassed(Listed).send() == 1
    (received,) = server.accepted
    assert received.recipients == [target]
    assert parsed(received)["X-Intended-Bcc"] == "hidden@example.org"


def test_options_that_name_a_recipient(smtp_server, redirect):  # noqa: F811
    server = smtp_server(extensions=("DSN", "8BITMIME"))
    redirect()
    one = message()
    one.smtp_options = MessageOptions(
        dsn=DSN(notify=("FAILURE",)),
        recipient_options={"to@example.org": RecipientOptions(notify=("NEVER",))},
    )
    assert one.send() == 1
    assert b"RCPT TO:<staging@example.net> NOTIFY=FAILURE" in server.connections[0].received
    one.smtp_options = MessageOptions(recipient_options={"nobody@example.org": RecipientOptions()})
    with pytest.raises(ValueError, match="not among its recipients"):
        one.send()


def test_an_address_that_is_none_fails_as_in_production(smtp_server, redirect):  # noqa: F811
    smtp_server()
    redirect()
    with pytest.raises(ValueError, match="e-mail address"):
        message(to=["a b@example.org"]).send()


def test_the_log_tells_it_once(smtp_server, redirect, caplog):  # noqa: F811
    smtp_server()
    redirect()
    caplog.set_level(logging.INFO, "django_smtpauth")
    for _ in range(2):
        assert message().send() == 1
    (record,) = caplog.records
    assert (record.levelname, "REDIRECT_TO" in record.getMessage()) == ("INFO", True)
    assert "@" not in record.getMessage()


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_redirected(smtp_server, redirect, value):  # noqa: F811
    server = smtp_server()
    redirect(value)
    assert message().send() == 1
    assert server.accepted[0].recipients == ["to@example.org"]


@pytest.mark.parametrize("value", ["staging", ["a@example.org"], "a@b.example, c@d.example", 1])
def test_a_target_that_is_no_address_sends_nothing(smtp_server, redirect, value):  # noqa: F811
    server = smtp_server()
    redirect(value)
    with pytest.raises(ImproperlyConfigured, match="one e-mail address"):
        message().send()
    assert server.accepted == []
