import re

import pytest
from django.core import mail

from django_smtpauth import presets
from django_smtpauth.models import SMTPAccount
from django_smtpauth.smtp import tls
from django_smtpauth.testing.server import MailServer

ADD = "/admin/smtpauth/smtpaccount/add/"
LIST = re.compile(r"/smtpaccount/$")


@pytest.fixture
def mail_server(monkeypatch, tmp_path):
    """A server on loopback that this computer trusts."""
    with MailServer(username="club@mail.test", password="abcd efgh ijkl mnop") as server:
        authority = tmp_path / "authority.pem"
        authority.write_text(server.ca_text)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        tls._context.cache_clear()
        yield server
    tls._context.cache_clear()


@pytest.fixture
def provider(mail_server, monkeypatch):
    """A provider as Gmail is one, whose server is that one."""
    gmail = presets.get("gmail")
    preset = presets.Preset(
        slug="example-mail",
        name="Example Mail",
        kind=gmail.kind,
        server=presets.Server(mail_server.host, mail_server.port, gmail.server.security),
        domains=("mail.test",),
        credential=gmail.credential,
        limits=gmail.limits,
        authentication=gmail.authentication,
        source=gmail.source,
        checked=gmail.checked,
        internal=True,
    )
    monkeypatch.setattr(presets, "PRESETS", {preset.slug: preset, **presets.PRESETS})
    monkeypatch.setitem(presets._BY_DOMAIN, "mail.test", preset)
    return preset


@pytest.mark.parametrize("javascript", [True, False])
def test_three_inputs_make_an_account_that_sends(
    visit, admin, provider, mail_server, mail_settings, javascript
):
    page = visit(admin, javascript=javascript)
    page.goto(ADD)
    page.get_by_label("E-mail address").fill("club@mail.test")
    page.get_by_label("Password:", exact=True).fill("abcd efgh ijkl mnop")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(LIST)

    account = SMTPAccount.objects.get()
    assert (account.preset, account.slug, account.label) == (
        "example-mail",
        "club",
        "club@mail.test",
    )
    assert (account.username, account.is_default) == ("club@mail.test", True)
    assert account.created_by == account.secret_changed_by == "admin"
    mail_settings()
    assert mail.send_mail("Subject", "Text", None, ["to@example.org"]) == 1
    (received,) = mail_server.messages
    assert (received.username, received.tls[:4]) == ("club@mail.test", "TLSv")
