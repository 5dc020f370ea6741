import pytest
import trustme
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, models, transaction

from django_smtpauth.choices import (
    ChoiceField,
    Choices,
    Chunks,
    Notification,
    Protocol,
    Recipients,
    Returned,
)
from django_smtpauth.conf import DEFAULTS
from django_smtpauth.models import Security, SMTPAccount, normalise_sender
from django_smtpauth.presets import PRESETS
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.sending.option_values import READERS
from django_smtpauth.smtp import RecipientOptions, SenderOptions
from django_smtpauth.smtp import Security as EngineSecurity

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys(settings):
    settings.SMTPAUTH = {"KEYS": [generate_key()]}


def make(slug="club", **fields):
    return SMTPAccount(**{"slug": slug, "host": "smtp.example.com"} | fields)


def create(slug="club", **fields):
    account = make(slug, **fields)
    account.save()
    return account


def errors_of(account):
    with pytest.raises(ValidationError) as error:
        account.full_clean()
    return {name: messages[0] for name, messages in error.value.message_dict.items()}


def defaults(scope=""):
    return [
        account.slug for account in SMTPAccount.objects.filter(scope=scope) if account.is_default
    ]


def test_the_defaults_of_an_account():
    account = create()
    account.refresh_from_db()
    assert (account.port, account.security, account.verify) == (587, "starttls", True)
    assert (account.enabled, account.is_default, account.select_by_from) == (True, False, False)
    assert (account.scope, account.timeout, account.password) == ("", None, None)
    assert account._meta.app_label == "smtpauth"


def test_the_uuid_is_there_before_the_first_save():
    account = make()
    before = account.uuid
    account.save()
    assert before == SMTPAccount.objects.get().uuid
    assert before != make().uuid


def test_its_name_is_the_label_or_the_slug():
    assert str(make(label="Invoices")) == "Invoices"
    assert str(make("billing")) == "billing"


# Security


@pytest.mark.parametrize("value", ["tls", "ssl", "STARTTLS", ""])
def test_only_four_kinds_of_security(value):
    assert "starttls" in errors_of(make(security=value))["security"] or value == ""


def test_the_kinds_of_security_are_the_engine_s():
    assert set(Security.values) == {kind.value for kind in EngineSecurity}
    make(security="opportunistic").full_clean()


def test_tls_is_refused_with_the_sentence_that_explains():
    message = errors_of(make(security="tls"))["security"]
    assert "EMAIL_USE_TLS is starttls" in message
    assert "EMAIL_USE_SSL is implicit_tls" in message


def saved():
    create(security="tls")


def bulk_created():
    SMTPAccount.objects.bulk_create([make(security="tls")])


def updated():
    SMTPAccount.objects.update(security="tls")


@pytest.mark.parametrize("write", [saved, bulk_created, updated])
def test_tls_does_not_reach_the_database(write):
    create("other")
    with pytest.raises(ValueError, match="EMAIL_USE_TLS is starttls"), transaction.atomic():
        write()
    assert SMTPAccount.objects.filter(security="starttls").count() == 1


# What it asks of the delivery

ASKED = {
    "protocol": "lmtp",
    "bdat": "eager",
    "recipients": "all",
    "require_tls": True,
    "dsn_notify": "FAILURE,DELAY",
    "dsn_ret": "HDRS",
}


def test_an_account_asks_for_nothing_unless_told():
    create().full_clean()
    (asked,) = SMTPAccount.objects.values_list(*ASKED)
    assert asked == ("smtp", "", "", None, "", "")
    make("other", **ASKED).full_clean()


@pytest.mark.parametrize(("option", "choices"), [("protocol", Protocol), ("bdat", Chunks)])
def test_what_can_be_chosen_is_what_the_options_take(option, choices):
    said = [value for value in choices.values if value]
    assert [READERS[option](value) for value in said] == said
    with pytest.raises(ValueError, match=", ".join(map(repr, said[:-1]))):
        READERS[option]("another")


def test_what_can_be_chosen_of_reports_is_what_the_engine_takes():
    assert [READERS["recipients"](value) for value in Recipients.values[1:]] == ["any", "all"]
    assert [SenderOptions(ret=value).ret for value in Returned.values[1:]] == ["FULL", "HDRS"]
    assert [RecipientOptions(notify=(value,)).notify for value in Notification.values] == [
        ("SUCCESS",),
        ("FAILURE",),
        ("DELAY",),
        ("NEVER",),
    ]


WRONG = [
    ("protocol", "uucp", "Choose one of: smtp, lmtp."),
    ("bdat", "always", "Choose one of: never, after_rcpt, eager."),
    ("recipients", "most", "Choose one of: any, all."),
    ("dsn_ret", "full", "Choose one of: FULL, HDRS."),
    ("dsn_notify", "SOMETIMES", "Choose some of SUCCESS, FAILURE and DELAY, or NEVER alone."),
    ("dsn_notify", "NEVER,FAILURE", "NEVER alone"),
    ("protocol", "", "cannot be blank"),
]


@pytest.mark.parametrize(("field", "value", "fault"), WRONG)
def test_a_wrong_choice_is_an_error_at_its_field(field, value, fault):
    assert fault in errors_of(make(**{field: value}))[field]


@pytest.mark.parametrize(("field", "value", "fault"), WRONG)
def test_a_wrong_choice_does_not_reach_the_database(field, value, fault):
    account = create()
    setattr(account, field, value)
    writes = [
        account.save,
        lambda: SMTPAccount.objects.bulk_create([make("other", **{field: value})]),
        lambda: SMTPAccount.objects.bulk_update([account], [field]),
        lambda: SMTPAccount.objects.update(**{field: value}),
    ]
    for write in writes:
        with (
            pytest.raises(ValueError, match=f"^{field}='{value}': .*{fault}"),
            transaction.atomic(),
        ):
            write()
    untouched = SMTPAccount._meta.get_field(field).default
    assert SMTPAccount.objects.values_list(field, flat=True).get() == untouched


@pytest.mark.parametrize("written", ["delay, failure", " DELAY,FAILURE,delay, "])
def test_when_reports_are_wanted_is_kept_in_one_form(written):
    account = make(dsn_notify=written)
    account.full_clean()
    assert account.dsn_notify == "DELAY,FAILURE"
    create("club", dsn_notify=written)
    assert SMTPAccount.objects.get().dsn_notify == "DELAY,FAILURE"


def test_tls_all_the_way_needs_tls_from_here_on():
    for fields in ({"security": "none"}, {"verify": False}):
        assert (
            "verify the certificate" in errors_of(make(require_tls=True, **fields))["require_tls"]
        )
        make(require_tls=False, **fields).full_clean()


def test_a_new_choice_is_no_migration():
    for field in SMTPAccount._meta.fields:
        if isinstance(field, ChoiceField):
            asked = field.deconstruct()[3]["choices"]
            assert isinstance(asked.__self__, type)
            assert issubclass(asked.__self__, Choices)


def test_a_password_stays_readable_whatever_is_asked_of_the_delivery():
    account = create(username="club", password="s3cret")
    before = account.destination().binding()
    SMTPAccount.objects.update(**ASKED)
    account = SMTPAccount.objects.get()
    assert account.destination().binding() == before
    assert account.password.reveal() == "s3cret"


# What is unique


def test_a_slug_is_unique_in_its_scope():
    create("club")
    create("club", scope="tenant")
    assert "short name" in errors_of(make("club"))["slug"]
    with pytest.raises(IntegrityError), transaction.atomic():
        create("club")
    make("other").full_clean()


def test_a_scope_has_one_default():
    create("one", is_default=True)
    create("two", scope="tenant", is_default=True)
    create("three")
    create("four")
    message = errors_of(make("five", is_default=True))["is_default"]
    assert "“one” is the default account of this scope" in message
    with pytest.raises(IntegrityError), transaction.atomic():
        create("five", is_default=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        SMTPAccount.objects.bulk_create([make("five", is_default=True)])
    assert (defaults(), defaults("tenant")) == (["one"], ["two"])


def test_the_default_can_be_saved_again_and_handed_over():
    one, two = create("one", is_default=True), create("two")
    one.full_clean()
    one.save()
    one.is_default = False
    one.save()
    two.is_default = True
    two.full_clean()
    two.save()
    assert defaults() == ["two"]


def test_the_flag_is_read_from_the_database():
    create("one", is_default=True)
    assert SMTPAccount.objects.get().is_default
    assert SMTPAccount.objects.only("slug").get().is_default
    assert SMTPAccount.objects.get(default_slot__isnull=False).slug == "one"


def test_no_path_makes_two_defaults():
    create("one", is_default=True)
    create("two", scope="tenant", is_default=True)
    create("three")
    with pytest.raises(Exception, match="is_default"):
        SMTPAccount.objects.update(is_default=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        SMTPAccount.objects.update(default_slot="x")
    SMTPAccount.objects.filter(slug="two").update(scope="")
    assert defaults() == ["one"]
    stale = SMTPAccount.objects.get(slug="three")
    stale.default_slot = SMTPAccount.objects.get(slug="one").default_slot
    with pytest.raises(IntegrityError), transaction.atomic():
        SMTPAccount.objects.bulk_update([stale], ["default_slot"])
    assert defaults() == ["one"]


def test_a_default_moved_by_save_is_the_default_there():
    account = create(is_default=True)
    account = SMTPAccount.objects.get()
    account.scope = "tenant"
    account.save()
    assert (defaults(), defaults("tenant")) == ([], ["club"])
    create("new", is_default=True)


def test_a_sender_has_one_account():
    create("one", from_email="Billing@Example.com", select_by_from=True)
    create("two", from_email="billing@example.com")
    create("three", from_email="billing@example.com", scope="tenant", select_by_from=True)
    create("four", from_email="sales@example.com", select_by_from=True)
    fifth = make("five", from_email="billing@EXAMPLE.com", select_by_from=True)
    assert "“one” is chosen by this From address" in errors_of(fifth)["select_by_from"]
    with pytest.raises(IntegrityError), transaction.atomic():
        fifth.save()


def test_a_flag_follows_the_address_that_save_changes():
    create("one", from_email="a@example.com", select_by_from=True)
    account = SMTPAccount.objects.get()
    account.from_email = "b@example.com"
    account.save()
    account = SMTPAccount.objects.get()
    assert account.select_by_from
    account.from_email = "c@example.com"
    account.save(update_fields=["from_email"])
    assert SMTPAccount.objects.get().select_by_from
    create("two", from_email="b@example.com", select_by_from=True)


def test_an_address_changed_past_save_is_not_chosen():
    create("one", from_email="a@example.com", select_by_from=True)
    SMTPAccount.objects.update(from_email="ceo@example.com")
    assert not SMTPAccount.objects.get().select_by_from


def test_the_order_of_assignments_does_not_matter():
    account = make(select_by_from=True)
    account.from_email = "a@example.com"
    account.save()
    assert SMTPAccount.objects.get().select_by_from


def test_chosen_by_from_needs_an_address():
    assert "needs one" in errors_of(make(select_by_from=True))["from_email"]


def test_update_fields_may_name_a_flag():
    account = create()
    account.is_default = True
    account.save(update_fields=["is_default"])
    assert defaults() == ["club"]


def test_flags_in_create_and_update_or_create():
    SMTPAccount.objects.create(slug="a", host="a.example", is_default=True)
    SMTPAccount.objects.update_or_create(slug="a", defaults={"is_default": False})
    assert defaults() == []


def test_refresh_forgets_an_unsaved_flag():
    account = create()
    account.is_default = True
    account.refresh_from_db()
    assert not account.is_default
    SMTPAccount.objects.get().save()
    account.is_default = True
    account.save()
    loaded = SMTPAccount.objects.only("slug").get()
    loaded.is_default = False
    assert loaded.host == "smtp.example.com"
    assert not loaded.is_default


def test_a_deferred_row_keeps_its_flags_when_saved():
    create(from_email="a@example.com", select_by_from=True, is_default=True)
    loaded = SMTPAccount.objects.only("label").get()
    loaded.label = "x"
    loaded.save()
    loaded = SMTPAccount.objects.get()
    assert (loaded.is_default, loaded.select_by_from) == (True, True)


def test_a_copy_is_not_silently_the_default():
    account = create(is_default=True)
    account.pk, account.slug = None, "copy"
    with pytest.raises(IntegrityError), transaction.atomic():
        account.save()


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("Ana@Example.COM", "ana@example.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        (" a@b.example ", "a@b.example"),
        ("Jürgen@faß.example", "jürgen@xn--fa-hia.example"),
    ],
)
def test_addresses_are_compared_in_one_form(address, normal):
    assert normalise_sender(address) == normal


def test_no_database_is_given_what_it_can_only_warn_about():
    """No promise of uniqueness with a condition, no unique text too long for an index."""
    for constraint in SMTPAccount._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            assert constraint.condition is None
            assert constraint.fields
    for field in SMTPAccount._meta.fields:
        assert not field.unique or (field.max_length or 0) <= 255
    assert SMTPAccount.check(databases=list(connections)) == []


def test_the_slots_are_unique_in_the_database():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "smtpauth_smtpaccount")
    unique = {tuple(entry["columns"]) for entry in found.values() if entry["unique"]}
    assert {("default_slot",), ("sender_slot",), ("scope", "slug"), ("uuid",)} <= unique


@pytest.mark.parametrize(
    ("column", "value"), [("port", 0), ("port", 65536), ("timeout", 0.5), ("timeout", 3601)]
)
def test_no_path_brings_a_senseless_number_in(column, value):
    account = create()
    with pytest.raises(IntegrityError), transaction.atomic():
        SMTPAccount.objects.filter(pk=account.pk).update(**{column: value})


def test_the_migrations_are_complete():
    call_command("makemigrations", "smtpauth", check=True, dry_run=True, verbosity=0)


# Who changed it


def test_it_remembers_who_made_and_changed_it_and_its_secrets():
    account = make(password="one")
    account.actor = "alice"
    account.save()
    made = account.created_at
    assert (account.created_by, account.changed_by) == ("alice", "alice")
    assert account.secret_changed_by == "alice"
    account = SMTPAccount.objects.get()
    account.label, account.actor = "Club", "bob"
    account.save(update_fields=["label"])
    account.refresh_from_db()
    assert (account.created_by, account.changed_by) == ("alice", "bob")
    assert (account.created_at, account.secret_changed_by) == (made, "alice")
    assert account.changed_at > made


@pytest.mark.parametrize("value", ["two", None], ids=["another", "removed"])
def test_a_changed_secret_is_noted(value):
    create(password="one")
    account = SMTPAccount.objects.get()
    assert account.secret_changed_by == ""
    account.password, account.actor = value, "bob"
    account.save()
    account.refresh_from_db()
    assert account.secret_changed_by == "bob"
    account.actor = "carol"
    account.save()
    assert account.secret_changed_by == "bob"


def test_nobody_known_is_nobody():
    account = make()
    account.actor = "alice"
    account.save()
    account = SMTPAccount.objects.get()
    account.save()
    assert (account.created_by, account.changed_by) == ("alice", "")


# Asking for accounts


def test_code_asks_for_accounts(settings):
    create("a", is_default=True)
    create("b", enabled=False)
    create("c", scope="shop", is_default=True)
    assert [one.slug for one in SMTPAccount.objects.enabled()] == ["a", "c"]
    assert [one.slug for one in SMTPAccount.objects.in_scope()] == ["a", "b"]
    assert SMTPAccount.objects.default().slug == "a"
    settings.SMTPAUTH = {**settings.SMTPAUTH, "SCOPE": lambda: "shop"}
    assert SMTPAccount.objects.enabled().in_scope().default().slug == "c"
    SMTPAccount.objects.update(scope="moved")
    assert SMTPAccount.objects.default("moved") is None


@pytest.mark.parametrize(
    ("fields", "address", "sender"),
    [
        ({"from_email": "a@example.org"}, "a@example.org", "a@example.org"),
        ({"username": "u@example.org"}, "u@example.org", "u@example.org"),
        ({"username": "u"}, "", None),
        (
            {"from_email": "jürgen@example.org", "from_name": 'J. "X" Y'},
            "jürgen@example.org",
            '"J. \\"X\\" Y" <jürgen@example.org>',
        ),
    ],
)
def test_the_address_of_an_account(fields, address, sender):
    account = make(**fields)
    assert (account.address, account.sender) == (address, sender)


# Providers


def test_a_provider_brings_its_server():
    account = make(host="", preset="gmail", from_email="club@gmail.com")
    account.full_clean()
    account.save()
    account.refresh_from_db()
    assert (account.host, account.port, account.security) == ("smtp.gmail.com", 587, "starttls")
    assert account.username == "club@gmail.com"


def test_a_server_that_was_given_stays():
    account = create(preset="gmail", port=2525)
    assert (account.host, account.port, account.username) == ("smtp.example.com", 2525, "")


def test_accounts_may_use_the_port_of_every_provider():
    assert {preset.port for preset in PRESETS.values()} <= set(DEFAULTS["ALLOWED_PORTS"])


# Validation


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("tls_pin", "sha256//" + "A" * 43 + "=", "sha256//short"),
        ("auth_mechanisms", "scram-sha-256-plus, PLAIN", "NTLM"),
        ("may_send_as", "b@example.org\nexample.net\n@example.com", "b@example.org, example.net"),
        ("proxy", "socks5://[::1]:1080", "socks5://proxy.example.com"),
        ("proxy", "http://proxy.example.com:3128", "http://user:secret@proxy.example.com:3128"),
        ("source_address", "2001:db8::1", "eth0"),
        ("ehlo_name", "www.example.com", "büro.example.com"),
        ("from_name", "Büro", "Two\nlines"),
        ("tls_minimum", "1.3", "1.1"),
        ("authentication", "none", "oauth"),
        ("foreign_from", "rewrite", "ignore"),
    ],
)
def test_the_other_fields_say_what_to_type(field, good, bad):
    account = make(**{field: good})
    account.full_clean()
    setattr(account, field, bad)
    assert list(errors_of(account)) == [field]


def test_a_log_in_by_certificate_needs_one_and_tls():
    account = make(authentication="certificate", security="none")
    assert {"client_certificate", "security"} <= errors_of(account).keys()
    own = trustme.CA().issue_cert("client.example")
    account.security = "starttls"
    account.client_certificate = own.cert_chain_pems[0].bytes().decode()
    assert list(errors_of(account)) == ["client_key"]
    account.client_key = own.private_key_pem.bytes().decode()
    account.full_clean()
    account.save()
    assert SMTPAccount.objects.get().client_key.reveal().startswith("-----BEGIN")


def test_a_key_that_is_not_the_certificate_s_is_refused_at_its_field():
    own, other = (trustme.CA().issue_cert("client.example") for _ in range(2))
    certificate = own.cert_chain_pems[0].bytes().decode()
    account = make(authentication="certificate", client_certificate=certificate)
    for key, fault in (
        (other.private_key_pem.bytes().decode(), "not that of the certificate"),
        ("no PEM", "must be PEM"),
    ):
        account.client_key = key
        found = errors_of(account)
        assert list(found) == ["client_key"]
        assert fault in found["client_key"]
    account.client_key = own.private_key_pem.bytes().decode()
    account.full_clean()


def test_a_broken_promise_of_the_database_is_not_blamed_on_the_short_name():
    create("club")
    for account in (make("other", port=0), make("other", security="none", timeout=0.5)):
        with pytest.raises(ValidationError, match="is violated") as error:
            account.validate_constraints()
        assert "slug" not in error.value.message_dict
    with pytest.raises(ValidationError) as error:
        make("club").validate_constraints()
    assert list(error.value.message_dict) == ["slug"]


def test_a_password_needs_a_user_name():
    assert list(errors_of(make(password="x", username=""))) == ["username"]


@pytest.mark.parametrize(
    "host",
    [
        "smtp.example.com",
        "SMTP.Example.com",
        "localhost",
        "mail_catcher",
        "192.0.2.1",
        "::1",
        "bücher.example",
        "xn--bcher-kva.example",
        "smtp.example.com.",
        "a" * 63 + ".example",
        "1and1.example",
    ],
)
def test_good_hosts(host):
    make(host=host).full_clean()


def test_a_unix_socket_is_a_server_without_tls():
    make(host="/run/Mail/smtp", security="none").full_clean()
    for security in ("starttls", "implicit_tls"):
        assert "choose “None”" in errors_of(make(host="/run/smtp", security=security))["security"]


@pytest.mark.parametrize(
    ("host", "fault"),
    [
        ("smtp://smtp.example.com", "smtp://"),
        ("smtp.example.com/x", "path"),
        ("smtp.example.com:587", "port"),
        ("[::1]", "port"),
        ("smtp example.com", "spaces"),
        ("smtp.example.com\r\nQUIT", "spaces"),
        ("club@example.com", "e-mail address"),
        ("-x.example", "host name"),
        ("a..b", "host name"),
        ("a" * 64 + ".example", "host name"),
        ("999.1.1.1", "host name"),
        ("127.1", "host name"),
        ("exa$mple.com", "host name"),
        ("☃‍.example", "host name"),
        ("", "blank"),
        ("/run/a\nb", "control"),
        ("/run/" + "ü" * 60, "107 octets"),
    ],
)
def test_bad_hosts(host, fault):
    assert fault in errors_of(make(host=host))["host"]


@pytest.mark.parametrize("port", [0, -1, 65536, None, "x"])
def test_bad_ports(port):
    assert "port" in errors_of(make(port=port))


@pytest.mark.parametrize("timeout", [0, -1, 3601, "x"])
def test_bad_timeouts(timeout):
    assert "timeout" in errors_of(make(timeout=timeout))


@pytest.mark.parametrize(
    "address", ["a@example.com", "jürgen@bücher.example", "a+b@x.example", ""]
)
def test_good_senders(address):
    make(from_email=address).full_clean()


@pytest.mark.parametrize(
    "address",
    ["a", "a@", "@b.example", "Ana <a@example.com>", "a@b.example, c@d.example", "a b@c.de"],
)
def test_bad_senders(address):
    assert "name@example.com" in errors_of(make(from_email=address))["from_email"]


def test_certificates_are_loaded():
    pem = trustme.CA().cert_pem.bytes().decode()
    account = make(ca_text="# our own\r\n" + pem.replace("\n", "\r\n") + pem)
    account.full_clean()
    assert "\r" not in account.ca_text


def test_bad_certificates():
    authority = trustme.CA()
    pem = authority.cert_pem.bytes().decode()
    key = authority.private_key_pem.bytes().decode()
    assert "BEGIN CERTIFICATE" in errors_of(make(ca_text="nonsense"))["ca_text"]
    assert "can't be read" in errors_of(make(ca_text=pem[:200]))["ca_text"]
    broken = pem.replace(pem[200:300], "A" * 100)
    assert "can't be read" in errors_of(make(ca_text=broken))["ca_text"]
    assert "private key" in errors_of(make(ca_text=pem + key))["ca_text"]
