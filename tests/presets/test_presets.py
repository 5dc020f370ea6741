"""Every preset is complete and consistent, and the look-ups find the one that is meant."""

from __future__ import annotations

import datetime
import re

import pytest
from django.db import models
from django.utils import translation

from django_smtpauth import presets
from django_smtpauth.models import SMTPAccount
from django_smtpauth.presets import PRESETS, Kind, Preset, SenderPolicy, UsernameForm
from django_smtpauth.presets.domains import domain_of
from django_smtpauth.smtp import Security
from django_smtpauth.validators import validate_host

every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)

IMPLICIT_TLS_PORTS = {465, 2465, 8465}
STARTTLS_PORTS = {25, 587, 2525, 2587, 1025}

#: Who must be there: the providers that people ask for.
EXPECTED = {
    "gmail": "smtp.gmail.com",
    "google-workspace-relay": "smtp-relay.gmail.com",
    "microsoft-365": "smtp.office365.com",
    "outlook-com": "smtp-mail.outlook.com",
    "amazon-ses-us-east-1": "email-smtp.us-east-1.amazonaws.com",
    "amazon-ses-eu-central-1": "email-smtp.eu-central-1.amazonaws.com",
    "sendgrid": "smtp.sendgrid.net",
    "mailgun-us": "smtp.mailgun.org",
    "mailgun-eu": "smtp.eu.mailgun.org",
    "postmark": "smtp.postmarkapp.com",
    "mailjet": "in-v3.mailjet.com",
    "brevo": "smtp-relay.brevo.com",
    "sparkpost-us": "smtp.sparkpostmail.com",
    "sparkpost-eu": "smtp.eu.sparkpostmail.com",
    "resend": "smtp.resend.com",
    "zoho-com": "smtppro.zoho.com",
    "zoho-eu": "smtppro.zoho.eu",
    "zoho-in": "smtppro.zoho.in",
    "zoho-com-au": "smtppro.zoho.com.au",
    "zoho-personal-com": "smtp.zoho.com",
    "fastmail": "smtp.fastmail.com",
    "icloud": "smtp.mail.me.com",
    "yahoo": "smtp.mail.yahoo.com",
    "aol": "smtp.aol.com",
    "gmx-net": "mail.gmx.net",
    "gmx-com": "mail.gmx.com",
    "web-de": "smtp.web.de",
    "yandex": "smtp.yandex.com",
    "netease-163": "smtp.163.com",
    "netease-126": "smtp.126.com",
    "263": "smtp.263.net",
    "qq": "smtp.qq.com",
    "sina": "smtp.sina.com",
    "infomaniak": "mail.infomaniak.com",
    "ovh-eu": "smtp.mail.ovh.net",
    "ionos-de": "smtp.ionos.de",
    "ionos-co-uk": "smtp.ionos.co.uk",
    "hetzner": "mail.your-server.de",
    "proton-bridge": "127.0.0.1",
    "mailtrap": "live.smtp.mailtrap.io",
    "mailtrap-sandbox": "sandbox.smtp.mailtrap.io",
    "mailchimp-transactional": "smtp.mandrillapp.com",
    "mailersend": "smtp.mailersend.net",
    "smtp2go": "mail.smtp2go.com",
}


def test_the_providers_that_people_ask_for_are_there() -> None:
    assert {slug: PRESETS[slug].host for slug in EXPECTED} == EXPECTED


@every_preset
def test_slug_and_name_are_fit_for_a_field(preset: Preset) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", preset.slug)
    assert len(preset.slug) <= SMTPAccount._meta.get_field("preset").max_length
    assert preset.name.strip() == preset.name != ""
    assert presets.get(preset.slug) is preset


@every_preset
def test_servers_are_hosts_with_the_ports_of_their_security(preset: Preset) -> None:
    for server in (preset.server, *preset.alternatives):
        validate_host(server.host)
        ports = {Security.IMPLICIT_TLS: IMPLICIT_TLS_PORTS, Security.STARTTLS: STARTTLS_PORTS}
        assert server.port in ports[server.security]
    assert len({preset.server, *preset.alternatives}) == 1 + len(preset.alternatives)


@every_preset
def test_only_servers_on_the_own_machine_are_internal(preset: Preset) -> None:
    assert preset.internal == preset.host.startswith("127.")


@every_preset
def test_it_says_where_the_password_comes_from(preset: Preset) -> None:
    assert str(preset.credential.title)
    assert preset.credential.steps
    assert all(str(step).endswith((".", "?")) for step in preset.credential.steps)
    assert preset.authentication
    assert all(str(sentence).endswith(".") for sentence in preset.authentication)


@every_preset
def test_it_has_a_source_and_the_day_of_the_check(preset: Preset) -> None:
    assert preset.source.startswith("https://")
    assert preset.credential.url.startswith("https://")
    assert datetime.date(2026, 1, 1) <= preset.checked <= datetime.date.today()


@every_preset
def test_its_names_are_a_labels_in_lower_case(preset: Preset) -> None:
    for domain in (*preset.domains, *preset.mx_suffixes):
        assert domain_of(f"x@{domain}") == domain
        assert "." in domain


@every_preset
def test_a_user_name_comes_with_what_its_form_needs(preset: Preset) -> None:
    username = preset.username
    assert bool(username.word) == (username.form is UsernameForm.FIXED)
    assert bool(str(username.hint)) == (username.form is UsernameForm.SHOWN)


@every_preset
def test_limits_are_counts_that_make_sense(preset: Preset) -> None:
    limits = preset.limits
    counts = (limits.recipients, limits.messages_per_day, limits.connections)
    assert all(count is None or count > 0 for count in counts)
    assert limits.octets is None or limits.octets >= 1_000_000


@every_preset
def test_mailboxes_send_as_themselves_and_relays_as_anybody(preset: Preset) -> None:
    sends_as_anybody = preset.kind in (Kind.RELAY, Kind.TESTING)
    expected = SenderPolicy.ALLOW if sends_as_anybody else SenderPolicy.REWRITE
    assert preset.sender_policy is expected


def test_no_domain_and_no_mail_exchanger_belongs_to_two_providers() -> None:
    for names in (
        [domain for preset in PRESETS.values() for domain in preset.domains],
        [suffix for preset in PRESETS.values() for suffix in preset.mx_suffixes],
    ):
        assert sorted(names) == sorted(set(names))


def test_retirements_of_passwords_are_told_with_their_dates() -> None:
    google = " ".join(map(str, PRESETS["gmail"].authentication))
    microsoft = " ".join(map(str, PRESETS["microsoft-365"].authentication))
    assert "2022-05-30" in google
    assert "2025-05-01" in google
    assert "December 2026" in microsoft
    assert "second half of 2027" in microsoft


@pytest.mark.parametrize(
    ("address", "slug"),
    [
        ("name@gmail.com", "gmail"),
        ("Name@GMail.COM", "gmail"),
        (" name@googlemail.com ", "gmail"),
        ("name@gmail.com.", "gmail"),
        ("name@ｇｍａｉｌ．ｃｏｍ", "gmail"),
        ('"odd@name"@gmail.com', "gmail"),
        ("用户@qq.com", "qq"),
        ("name@hotmail.co.uk", "outlook-com"),
        ("name@zohomail.eu", "zoho-personal-eu"),
        ("name@pm.me", "proton-bridge"),
        ("name@sub.gmail.com", None),
        ("name@notgmail.com", None),
        ("name@gmail.com.example.com", None),
        ("name@bücher.example", None),
        ("name@bu\u0308cher..example", None),
        ("name@example.com", None),
        ("name@-.com", None),
        ("name@gmail.com\n", "gmail"),
        ("name@gmail .com", None),
        ("@gmail.com", None),
        ("gmail.com", None),
        ("name@", None),
        ("", None),
    ],
)
def test_an_address_belongs_to_the_provider_of_its_domain(address: str, slug: str | None) -> None:
    found = presets.for_address(address)
    assert (found.slug if found else None) == slug


def test_a_slug_that_is_gone_is_no_error() -> None:
    assert presets.get("no-such-provider") is None


@pytest.mark.parametrize(
    ("slug", "username"),
    [
        ("gmail", "name@example.com"),
        ("web-de", "name"),
        ("sendgrid", "apikey"),
        ("resend", "resend"),
        ("mailtrap", "api"),
        ("sparkpost-eu", "SMTP_Injection"),
        ("mailjet", ""),
    ],
)
def test_the_user_name_that_goes_with_an_address(slug: str, username: str) -> None:
    assert PRESETS[slug].username.for_address("name@example.com") == username


def test_choices_are_groups_that_hold_every_preset_once_in_order() -> None:
    groups = presets.choices()
    assert [str(label) for label, _ in groups] == [
        "Mailboxes",
        "Delivery services",
        "Web hosting",
        "Testing",
    ]
    assert [slug for _, group in groups for slug, _ in group] == list(PRESETS)
    for _, group in groups:
        names = [name for _, name in group]
        assert names == sorted(names, key=str.casefold)


def test_a_field_takes_the_function_as_choices() -> None:
    field = models.CharField(max_length=63, choices=presets.choices)
    assert dict(field.flatchoices)["gmail"] == "Gmail"
    assert field.deconstruct()[3]["choices"] is presets.choices


@pytest.mark.django_db
@every_preset
def test_an_account_takes_its_server_from_it(preset: Preset) -> None:
    """And what it takes is plain text, as the database gives it back."""
    account = SMTPAccount(slug="some", preset=preset.slug)
    account.fill_from_preset()
    account.clean_fields()
    account.save()
    stored = SMTPAccount.objects.get()
    server = (preset.host, preset.port, preset.security)
    assert (account.host, account.port, account.security) == server
    assert (stored.host, stored.port, stored.security) == server
    assert type(account.security) is str


def test_sentences_are_translated_when_they_are_shown() -> None:
    label = presets.choices()[0][0]
    with translation.override("xx"):
        assert str(label) == "Mailboxes"
    assert not isinstance(label, str)
    assert not isinstance(PRESETS["gmail"].credential.steps[0], str)


def test_a_preset_prints_without_its_sentences() -> None:
    assert repr(PRESETS["gmail"]) == "<Preset gmail: smtp.gmail.com:587>"
