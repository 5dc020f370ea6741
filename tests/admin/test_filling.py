"""What the form fills in by itself when it is sent, and what its script asks for."""

import re
from pathlib import Path

import pytest

from django_smtpauth import presets
from django_smtpauth.models import SMTPAccount
from django_smtpauth.presets import discovery
from tests.admin.pages import ADD, LIST, SECRET, errors, posted, url

pytestmark = pytest.mark.django_db

PROPOSAL = LIST + "proposal/"


def minimal(**changes):
    """What a browser sends that fills in nothing, when somebody typed address and password."""
    untouched = {"label": "", "slug": "", "host": "", "username": ""}
    return posted(from_email="club@gmail.com", password=SECRET, **untouched) | changes


def made(client, **changes):
    response = client.post(ADD, minimal(**changes))
    assert response.status_code == 302, errors(response)
    return SMTPAccount.objects.latest("pk")


def server_of(account):
    return account.preset, account.host, account.port, account.security


# Adding


def test_address_and_password_are_enough(admin_client):
    account = made(admin_client)
    assert server_of(account) == ("gmail", "smtp.gmail.com", 587, "starttls")
    assert (account.username, account.slug) == ("club@gmail.com", "club")
    assert account.label == "club@gmail.com"
    assert account.password.reveal() == SECRET


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"preset": "sendgrid"}, ("sendgrid", "smtp.sendgrid.net", 587, "starttls")),
        ({"from_email": "a@aol.com"}, ("aol", "smtp.aol.com", 465, "implicit_tls")),
        ({"host": "mail.example.org"}, ("", "mail.example.org", 587, "starttls")),
        (
            {"host": "mail.example.org", "port": "", "security": "implicit_tls"},
            ("", "mail.example.org", 465, "implicit_tls"),
        ),
        (
            {
                "host": "/run/lmtp",
                "port": "",
                "security": "none",
                "protocol": "lmtp",
                "internal_host": "on",
            },
            None,
        ),
        ({"host": "SMTP.gmail.com"}, ("gmail", "SMTP.gmail.com", 587, "starttls")),
    ],
)
def test_the_server(admin_client, given, expected):
    account = made(admin_client, **given)
    assert server_of(account) == (expected or ("", "/run/lmtp", 24, "none"))


def test_a_user_name_that_is_not_the_address(admin_client):
    assert made(admin_client, preset="sendgrid").username == "apikey"
    assert made(admin_client, username="other", from_email="b@gmail.com").username == "other"
    assert made(admin_client, preset="gmail", authentication="none").username == ""
    response = admin_client.post(ADD, minimal(preset="mailgun-eu"))
    (message,) = errors(response)["username"]
    assert message.startswith("Mailgun")
    made(admin_client, preset="mailgun-eu", username="club@gmail.com")


def test_short_names_are_unique_in_their_scope(admin_client):
    slugs = [made(admin_client).slug for _ in range(3)]
    slugs.append(made(admin_client, scope="tenant").slug)
    slugs.append(made(admin_client, label="Rechnungen für Ölscheichs").slug)
    slugs.append(made(admin_client, from_email="用户@gmail.com", username="x").slug)
    assert slugs == ["club", "club-2", "club-3", "club", "rechnungen-fur-olscheichs", "gmail"]


def test_an_unknown_domain_asks_for_the_server(admin_client):
    response = admin_client.post(ADD, minimal(from_email="club@example.org"))
    assert set(errors(response)) == {"host"}
    assert "type the name of the server" in errors(response)["host"][0]
    assert "No provider is known for club@example.org" in response.content.decode()
    assert not SMTPAccount.objects.exists()


def test_a_new_account_wants_its_password(admin_client, settings):
    response = admin_client.post(ADD, minimal(password=""))
    assert "Type the password" in errors(response)["password"][0]
    made(admin_client, password="", authentication="none")
    settings.SMTPAUTH = {**settings.SMTPAUTH, "CREDENTIALS": "example.vault.credentials"}
    made(admin_client, password="")


def test_what_is_filled_in_is_recorded_as_the_user_s(admin_client):
    account = made(admin_client)
    assert (account.created_by, account.changed_by) == ("admin", "admin")
    assert account.secret_changed_by == "admin"
    page = admin_client.get(url(account)).content.decode()
    assert len(re.findall(r"20\d\d, [^<]* by admin", page)) == 3


# Changing


def test_another_provider_brings_its_server(admin_client, account):
    data = posted(preset="gmail")
    assert "password" in errors(admin_client.post(url(account), data))
    assert admin_client.post(url(account), data | {"password": SECRET}).status_code == 302
    account.refresh_from_db()
    assert server_of(account) == ("gmail", "smtp.gmail.com", 587, "starttls")
    assert account.password.reveal() == SECRET


@pytest.mark.parametrize(
    ("before", "after"), [("club@example.com", "apikey"), ("relay-user", "relay-user")]
)
def test_another_provider_brings_its_user_name(admin_client, account, before, after):
    account.from_email, account.username, account.password = "club@example.com", before, SECRET
    account.save()
    data = posted(preset="sendgrid", from_email="club@example.com", username=before)
    assert admin_client.post(url(account), data | {"password": SECRET}).status_code == 302
    account.refresh_from_db()
    assert (account.host, account.username) == ("smtp.sendgrid.net", after)


def test_another_provider_that_alone_knows_the_user_name(admin_client, account):
    data = posted(preset="mailgun-eu", username="club@example.com", password=SECRET)
    assert admin_client.post(url(account), data).status_code == 302
    account.refresh_from_db()
    assert (account.preset, account.username) == ("mailgun-eu", "club@example.com")


def test_another_provider_with_a_server_typed_beside_it(admin_client, account):
    data = posted(preset="gmail", host="relay.example.org", password=SECRET)
    assert admin_client.post(url(account), data).status_code == 302
    account.refresh_from_db()
    assert server_of(account)[:2] == ("gmail", "relay.example.org")


def test_nothing_is_filled_in_where_nothing_is_asked(admin_client, account):
    account.host, account.label = "smtp.example.com", ""
    account.save()
    data = posted(label="", from_email="club@gmail.com")
    assert admin_client.post(url(account), data).status_code == 302
    account.refresh_from_db()
    assert (account.preset, account.label) == ("", "")
    assert "slug" in errors(admin_client.post(url(account), posted(slug="")))


def test_both_secrets_are_asked_for_in_one_form(admin_client, account, pair):
    certificate, key = pair
    account.client_certificate, account.client_key, account.password = certificate, key, SECRET
    account.save()
    data = posted(client_certificate=certificate, host="other.example")
    found = errors(admin_client.post(url(account), data))
    assert set(found) == {"password", "client_key"}
    assert "Paste the key again" in found["client_key"][0]
    data |= {"password": SECRET, "client_key": key}
    assert admin_client.post(url(account), data).status_code == 302
    account.refresh_from_db()
    assert account.client_key.reveal().split() == key.split()
    page = admin_client.get(url(account)).content.decode()
    assert "PRIVATE KEY" not in page
    data = posted(host="other.example", **{"client_key-clear": "on"})
    assert admin_client.post(url(account), data).status_code == 302
    account.refresh_from_db()
    assert account.client_key is None


@pytest.fixture
def pair(certificates):
    """A certificate and its key, as PEM."""
    files = certificates.client_file, certificates.client_key_file
    return [Path(file).read_text().strip() for file in files]


def test_a_password_wants_its_user_name_in_a_sentence(admin_client, account):
    response = admin_client.post(url(account), posted(username="", password=SECRET))
    assert errors(response)["username"] == ["A password needs its user name."]


# What is folded away


def folded(page):
    """The titles of the fieldsets that are closed."""
    return re.findall(r"<details><summary>\s*<h2[^>]*>([^<]*)</h2>", page)


ALL = ["Mail server", "Log-in", "Sender", "Use", "Delivery", "Advanced"]


def test_the_new_form_has_four_inputs_in_sight(admin_client):
    page = admin_client.get(ADD).content.decode()
    assert folded(page) == ALL
    first = page[page.index("<fieldset") : page.index("<details>")]
    inputs = re.findall(r'<(?:input|select|textarea)[^>]* name="(\w+)"', first)
    assert inputs == ["preset", "from_email", "password", "label"]


@pytest.mark.parametrize(
    ("changes", "opened"),
    [
        ({}, set()),
        ({"host": "mail.example.org"}, {"Mail server"}),
        ({"username": "other"}, {"Log-in"}),
        ({"from_name": "Club"}, {"Sender"}),
        ({"enabled": False}, {"Use"}),
        ({"recipients": "all"}, {"Delivery"}),
        ({"verify": False}, {"Advanced"}),
    ],
)
def test_what_differs_is_open(admin_client, changes, opened):
    account = made(admin_client)
    for name, value in changes.items():
        setattr(account, name, value)
    account.save()
    page = admin_client.get(url(account)).content.decode()
    assert set(ALL) - set(folded(page)) == opened


def test_an_error_opens_its_fieldset_and_what_was_typed_stays_open(admin_client):
    response = admin_client.post(ADD, minimal(timeout="0", from_name="Club"))
    assert set(ALL) - set(folded(response.content.decode())) == {"Advanced", "Sender"}


def test_an_unverified_server_is_warned_of(admin_client, account):
    def warned():
        page = admin_client.get(url(account)).content.decode()
        return not re.search(r"data-unverified hidden", page)

    assert not warned()
    account.verify = False
    account.save()
    assert warned()


# What the script asks for


def test_a_proposal_by_address(admin_client):
    answer = admin_client.get(PROPOSAL, {"address": "club@gmail.com"}).json()
    assert answer["values"] == {
        "preset": "gmail",
        "host": "smtp.gmail.com",
        "port": 587,
        "security": "starttls",
        "username": "club@gmail.com",
    }
    assert "app password" in answer["guide"]
    assert answer["said"] == "Gmail: the server smtp.gmail.com, port 587, was filled in."


def test_a_proposal_by_provider(admin_client):
    query = {"address": "club@gmail.com", "preset": "sendgrid"}
    answer = admin_client.get(PROPOSAL, query).json()
    assert answer["values"]["host"] == "smtp.sendgrid.net"
    assert answer["values"]["username"] == "apikey"


def test_no_proposal(admin_client):
    answer = admin_client.get(PROPOSAL, {"address": "<b>@example.org"}).json()
    assert answer["values"] == {"username": "<b>@example.org"}
    assert "<b>@" not in answer["guide"]
    assert 'name="_look_up"' in answer["guide"]


@pytest.mark.parametrize("slug", presets.PRESETS)
def test_every_provider_is_explained(admin_client, slug):
    answer = admin_client.get(PROPOSAL, {"preset": slug, "address": "a@example.org"}).json()
    preset = presets.get(slug)
    assert answer["values"]["host"] == preset.host
    assert answer["guide"].count("<li>") == len(preset.credential.steps)


def test_the_proposal_is_for_those_who_edit(client, staff):
    assert client.get(PROPOSAL).status_code == 302
    assert staff("view_smtpaccount").get(PROPOSAL).status_code == 403
    for permission in ("add_smtpaccount", "change_smtpaccount"):
        assert staff(permission).get(PROPOSAL).status_code == 200


# Looking up


@pytest.fixture
def dns(monkeypatch):
    """What the DNS says of every domain."""
    answers = []

    def discover(address):
        if isinstance(answers[0], Exception):
            raise answers[0]
        return tuple(answers)

    monkeypatch.setattr("django_smtpauth.forms.proposals.discover", discover)
    return answers


@pytest.fixture
def named(dns):
    server = presets.Server("mail.example.org", 465, presets.get("aol").server.security)
    dns.append(discovery.Discovered(server, discovery.Record.SUBMISSIONS, outside=False))


@pytest.mark.usefixtures("named")
def test_the_look_up_brings_the_form_back_with_the_server(admin_client):
    data = minimal(from_email="club@example.org", _look_up="1")
    response = admin_client.post(ADD, data)
    assert "Look whether it is right" in errors(response)["host"][0]
    page = response.content.decode()
    assert 'value="mail.example.org"' in page
    assert 'value="465"' in page
    assert '<option value="implicit_tls" selected' in page
    assert SECRET not in page
    assert not SMTPAccount.objects.exists()


@pytest.mark.usefixtures("named")
def test_the_look_up_of_the_script(admin_client):
    query = {"address": "club@example.org", "look_up": "1"}
    answer = admin_client.get(PROPOSAL, query).json()
    assert answer["values"]["host"] == "mail.example.org"
    assert "mail.example.org:465" in answer["guide"]


def test_a_look_up_that_fails_says_so(admin_client, dns):
    dns.append(discovery.DiscoveryFailed("The DNS did not answer in time."))
    response = admin_client.post(ADD, minimal(from_email="club@example.org", _look_up="1"))
    assert errors(response)["host"] == ["The DNS did not answer in time."]
    query = {"address": "club@example.org", "look_up": "1"}
    assert "did not answer in time" in admin_client.get(PROPOSAL, query).json()["guide"]


def test_the_dns_is_asked_by_the_button_only(admin_client, dns):
    # Nothing is in `dns`: a question would raise IndexError.
    admin_client.post(ADD, minimal(from_email="club@example.org"))
    admin_client.get(PROPOSAL, {"address": "club@example.org"})
