"""Options: what may be written, which layer wins, and what the engine gets."""

import warnings

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import lazystr

from django_smtpauth.secrets.client_certificate import ClientCertificate
from django_smtpauth.sending.mailer import (
    OPTIONS,
    MailerOptions,
    backend_options,
    build_endpoint,
    default_options,
    effective_options,
    endpoint,
    plain_settings,
)
from django_smtpauth.sending.option_values import READERS, InvalidOption, Password
from django_smtpauth.sending.trust_store import os_context
from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.timeouts import Timeouts
from django_smtpauth.smtp.tls import Security
from tests.leaks import shown_by_trackers

# Overriding the EMAIL_* settings is what warns here, not reading them.
pytestmark = pytest.mark.filterwarnings("ignore:The EMAIL_.* setting is deprecated")

needs_mailers = pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with 6.1")


@pytest.fixture
def legacy(settings):
    """The settings, without MAILERS."""
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    return settings


@pytest.fixture
def mailers(settings):
    """The settings, with MAILERS."""
    settings.MAILERS = {}
    return settings


def test_every_option_has_a_reader():
    assert tuple(READERS) == OPTIONS


PIN = f"sha256//{'A' * 43}="
CLIENT = ClientCertificate("certificate", "key")


# What may be written


@pytest.mark.parametrize(
    ("option", "written", "value"),
    [
        ("account", "billing", "billing"),
        ("host", " smtp.example.com\n", "smtp.example.com"),
        ("host", "under_score.example", "under_score.example"),
        ("host", "smtp.bücher.example", "smtp.xn--bcher-kva.example"),
        ("host", "straße.example", "xn--strae-oqa.example"),
        ("host", "[2001:db8::1]", "2001:db8::1"),
        ("host", "192.0.2.1", "192.0.2.1"),
        ("host", "", None),
        ("host", " /run/Mail/smtp ", "/run/Mail/smtp"),
        ("port", 587, 587),
        ("port", "587", 587),
        ("port", 0, None),
        ("username", "", ""),
        ("use_tls", "True", True),
        ("use_tls", "", False),
        ("use_tls", 1, True),
        ("timeout", "bulk", "bulk"),
        ("timeout", 2.5, 2.5),
        ("ssl_keyfile", "", None),
        ("security", "implicit_tls", Security.IMPLICIT_TLS),
        ("security", Security.NONE, Security.NONE),
        ("auth_mechanisms", ["plain", "LOGIN"], ("PLAIN", "LOGIN")),
        ("ehlo_name", "web1.example.org", "web1.example.org"),
        ("source_address", "127.0.0.2", "127.0.0.2"),
        ("pipelining", False, False),
        ("security", "opportunistic", Security.OPPORTUNISTIC),
        ("tls_pin", PIN, (PIN,)),
        ("tls_pin", [f" {PIN}", PIN.replace("//", "/", 1)], (PIN, PIN)),
        ("trust_store", "openssl", "openssl"),
        ("trust_store", "os", "os"),
        ("client_certificate", CLIENT, CLIENT),
    ],
)
def test_a_value_is_read(option, written, value):
    assert getattr(backend_options({option: written}), option) == value


@pytest.mark.parametrize(
    ("option", "written", "cure"),
    [
        ("host", "smtps://smtp.example.com", "bare name"),
        ("host", "smtp.example.com:587", "option port"),
        ("host", "smtp example", "spaces"),
        ("host", "a\r\nb", "control"),
        ("host", "★.example", "not a domain name"),
        ("host", 25, "text"),
        ("host", "/run/a\0b", "control"),
        ("host", "/" + "ü" * 60, "107 octets"),
        ("port", "smtp", "587"),
        ("port", 65536, "65535"),
        ("port", True, "number"),
        ("username", b"bytes", "text"),
        ("use_tls", "False", "True or False"),
        ("use_tls", 2, "True or False"),
        ("timeout", 0, "positive"),
        ("timeout", float("inf"), "positive"),
        ("timeout", "5", "number of seconds"),
        ("security", "tls", "'starttls'"),
        ("security", "ssl", "'implicit_tls'"),
        ("ca_file", 3, "path"),
        ("tls_minimum", "1.1", "'1.2'"),
        ("auth_mechanisms", "PLAIN", "list"),
        ("auth_mechanisms", [], "leave it out"),
        ("ehlo_name", "two words", "host name"),
        ("source_address", "localhost", "IP address"),
        ("max_unanswered", 0, "from 1"),
        ("deadline", -1, "positive"),
        ("security", "maybe", "'opportunistic'"),
        ("tls_pin", "sha256//short", "44 characters of base64"),
        ("tls_pin", [], "leave it out"),
        ("tls_pin", [3], "a list of pins"),
        ("tls_pin", 3, "a list of pins"),
        ("trust_store", "windows", "'openssl' or 'os'"),
        ("client_certificate", "-----BEGIN", "ClientCertificate, not str"),
    ],
)
def test_a_bad_value_names_the_option_and_the_cure(option, written, cure):
    with pytest.raises(InvalidOption) as caught:
        backend_options({option: written})
    assert str(caught.value).startswith(f"{option}: ")
    assert cure in str(caught.value)


def test_a_bad_value_is_both_kinds_of_error_that_callers_know():
    with pytest.raises(ValueError):
        backend_options({"port": "x"})
    with pytest.raises(ImproperlyConfigured):
        backend_options({"port": "x"})


def test_an_unknown_option_is_named():
    with pytest.raises(InvalidOption, match="Unknown option hostname"):
        backend_options({"hostname": "smtp.example.com"})


@needs_mailers
def test_under_mailers_errors_are_djangos_own_and_name_the_mailer():
    from django.core.mail import InvalidMailer

    with pytest.raises(InvalidMailer, match=r"MAILERS\['news'\]: port: must be"):
        backend_options({"port": "x"}, alias="news")


def test_the_password_shows_nowhere():
    options = backend_options({"username": "u", "password": "s3cret"})
    assert "s3cret" not in repr(options) + repr(options.password) + str(vars(options))
    assert options.password.reveal() == "s3cret"


@pytest.mark.parametrize(
    "given",
    [{"password": b"s3cret"}, {"password": "s3cret", "port": "x"}, {"password": ["s3cret"]}],
)
def test_errors_do_not_show_the_password_of_the_options(given):
    with pytest.raises(InvalidOption) as caught:
        backend_options(given)
    assert "s3cret" not in shown_by_trackers(caught.value)


def test_errors_do_not_show_the_password_of_the_settings(legacy):
    legacy.EMAIL_HOST_PASSWORD = "s3cret"
    legacy.EMAIL_PORT = "x"
    with pytest.raises(InvalidOption) as caught:
        plain_settings()
    assert "s3cret" not in shown_by_trackers(caught.value)


@pytest.mark.parametrize("wrong", [{"port": "x"}, {"nope": 1}, {"use_tls": 1, "use_ssl": 1}])
def test_errors_do_not_show_the_password_of_the_defaults(settings, wrong):
    settings.SMTPAUTH = {"DEFAULTS": {"password": "s3cret", **wrong}}
    with pytest.raises(InvalidOption) as caught:
        plain_settings()
    assert "s3cret" not in shown_by_trackers(caught.value)


def test_a_password_may_be_a_lazy_text():
    assert backend_options({"password": lazystr("s3cret")}).password.reveal() == "s3cret"


def test_a_password_that_is_hidden_already_stays_as_it_is():
    password = Password("s3cret")
    assert backend_options({"password": password}).password is password


def test_passwords_compare_by_value():
    assert Password("a") == Password("a") != Password("b")
    assert hash(Password("a")) == hash(Password("a"))
    assert Password("a") != "a"
    assert not Password("")


# Contradictions


def test_both_kinds_of_tls_are_djangos_error():
    with pytest.raises(ValueError, match="EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive"):
        backend_options({"use_tls": True, "use_ssl": True})


@needs_mailers
def test_both_kinds_of_tls_under_mailers():
    from django.core.mail import InvalidMailer

    with pytest.raises(InvalidMailer, match="'use_ssl' and 'use_tls' OPTIONS are incompatible"):
        backend_options({"use_tls": True, "use_ssl": True}, alias="default")


@pytest.mark.parametrize(
    "clash",
    [
        {"security": "starttls", "use_ssl": True},
        {"security": "starttls", "use_tls": False},
        {"security": "none", "use_tls": True},
        {"security": "implicit_tls", "use_tls": True},
    ],
)
def test_security_and_djangos_names_must_agree(clash):
    with pytest.raises(InvalidOption, match="contradicts"):
        backend_options(clash)


def test_security_and_djangos_names_may_say_the_same():
    options = backend_options({"security": "starttls", "use_tls": True, "use_ssl": False})
    assert options == MailerOptions(security=Security.STARTTLS)


@pytest.mark.parametrize("other", ["host", "username", "port", "use_tls", "verify"])
def test_an_account_brings_its_own_server(other):
    value = {"host": "h", "username": "u", "port": 25}.get(other, True)
    with pytest.raises(InvalidOption, match=f"'club' can't stand with {other}"):
        backend_options({"account": "club", other: value})


# Which layer wins


def kind(options: MailerOptions) -> str:
    return options.effective_security.value


@pytest.mark.parametrize(
    ("upper", "lower", "result"),
    [
        ({}, {}, "none"),
        ({}, {"use_tls": True}, "starttls"),
        ({}, {"use_ssl": True}, "implicit_tls"),
        ({}, {"security": "starttls"}, "starttls"),
        ({"use_tls": False}, {"use_tls": True}, "none"),
        ({"use_tls": False}, {"use_ssl": True}, "implicit_tls"),
        ({"use_tls": False}, {"security": "starttls"}, "none"),
        ({"use_tls": False}, {"security": "implicit_tls"}, "implicit_tls"),
        ({"use_ssl": True}, {"security": "starttls"}, "implicit_tls"),
        ({"use_tls": True}, {"security": "implicit_tls"}, "starttls"),
        ({"security": "implicit_tls"}, {"use_tls": True}, "implicit_tls"),
        ({"security": "none"}, {"use_ssl": True, "use_tls": False}, "none"),
        ({"security": "none"}, {"security": "starttls"}, "none"),
    ],
)
def test_the_upper_layer_decides_about_tls(upper, lower, result):
    assert kind(backend_options(upper).over(backend_options(lower))) == result


def test_djangos_two_names_may_not_meet_from_two_layers():
    with pytest.raises(InvalidOption, match="mutually exclusive"):
        MailerOptions(use_ssl=True).over(MailerOptions(use_tls=True))


def test_an_argument_and_a_setting_may_not_meet_so_either(legacy):
    legacy.EMAIL_USE_TLS = True
    with pytest.raises(ValueError, match="mutually exclusive"):
        effective_options(backend_options({"use_ssl": True}))
    options = effective_options(backend_options({"use_ssl": True, "use_tls": False}))
    assert kind(options) == "implicit_tls"


def test_email_settings_are_over_defaults_and_arguments_over_both(legacy):
    legacy.EMAIL_HOST = "settings.example"
    legacy.EMAIL_HOST_USER = "settings-user"
    legacy.SMTPAUTH = {"DEFAULTS": {"host": "d.example", "port": 2525, "ehlo_name": "me"}}
    options = effective_options(backend_options({"username": "given"}))
    assert (options.host, options.port) == ("settings.example", 2525)
    assert (options.username, options.ehlo_name) == ("given", "me")


def test_defaults_are_over_djangos_own_default(legacy):
    assert plain_settings().host == "localhost"
    legacy.SMTPAUTH = {"DEFAULTS": {"host": "d.example"}}
    assert plain_settings().host == "d.example"


def test_an_empty_email_host_means_no_server(legacy):
    legacy.EMAIL_HOST = ""
    assert plain_settings().host is None


def test_core_semantics_of_unset_and_empty(legacy):
    legacy.EMAIL_HOST = "settings.example"
    legacy.EMAIL_PORT = 2525
    legacy.EMAIL_HOST_USER = "user"
    legacy.EMAIL_HOST_PASSWORD = "password"
    legacy.EMAIL_USE_TLS = True
    options = effective_options(backend_options({"host": None, "port": None, "username": None}))
    assert (options.host, options.port, options.username) == ("settings.example", 2525, "user")
    assert options.password.reveal() == "password"
    options = effective_options(
        backend_options({"host": "", "port": 0, "username": "", "use_tls": False})
    )
    assert (options.host, options.port, options.username) == ("settings.example", 2525, "")
    assert kind(options) == "none"


def test_another_host_keeps_the_settings_credentials_as_core_does(legacy):
    legacy.EMAIL_HOST_USER = "user"
    legacy.EMAIL_HOST_PASSWORD = "password"
    built = endpoint(effective_options(backend_options({"host": "other.example"})))
    assert built.credentials.username == "user"


@needs_mailers
def test_under_mailers_email_settings_are_not_read(mailers):
    mailers.SMTPAUTH = {"DEFAULTS": {"timeout": 3}}
    assert plain_settings() == MailerOptions(timeout=3)


def test_reading_settings_warns_of_nothing(legacy):
    legacy.EMAIL_HOST = "settings.example"
    legacy.EMAIL_TIMEOUT = 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plain_settings().timeout == 5


def test_a_bad_setting_is_called_by_its_own_name(legacy):
    legacy.EMAIL_PORT = "smtp"
    with pytest.raises(InvalidOption, match=r"EMAIL_PORT: must be a number"):
        plain_settings()


@pytest.mark.parametrize(
    ("defaults", "text"),
    [
        ({"hots": "x"}, r'Unknown option SMTPAUTH\["DEFAULTS"\]\["hots"\]'),
        ({"port": "x"}, r'SMTPAUTH\["DEFAULTS"\]\["port"\]: must be'),
        ([], "must be a dict"),
    ],
)
def test_bad_defaults_are_named(settings, defaults, text):
    settings.SMTPAUTH = {"DEFAULTS": defaults}
    with pytest.raises(ImproperlyConfigured, match=text):
        default_options()


# What the engine gets


def built(**given: object) -> Endpoint:
    return endpoint(backend_options({"host": "smtp.example.com", **given}))


def test_a_bare_host_is_plain_smtp():
    assert built() == Endpoint("smtp.example.com", 25, Security.NONE)


@pytest.mark.parametrize(
    ("given", "port"),
    [
        ({"security": "none"}, 25),
        ({"security": "starttls"}, 587),
        ({"security": "implicit_tls"}, 465),
        ({"use_ssl": True}, 465),
        ({"security": "starttls", "port": 2525}, 2525),
    ],
)
def test_the_port_goes_with_security(given, port):
    assert built(**given).address == ("smtp.example.com", port)


def test_use_tls_without_a_port_is_djangos_port_25(legacy):
    assert built(use_tls=True).port == 25


@needs_mailers
def test_use_tls_without_a_port_is_587_under_mailers(mailers):
    assert built(use_tls=True).port == 587


@pytest.mark.parametrize(
    "given", [{"username": "u"}, {"password": "p"}, {"username": "", "password": "p"}]
)
def test_half_a_credential_is_none(given):
    assert built(**given).credentials is None


def test_credentials_hand_out_the_password_when_asked():
    credentials = built(username="u", password="s3cret").credentials
    assert (credentials.username, credentials.secret()) == ("u", "s3cret")
    assert "s3cret" not in repr(credentials)


def test_time_outs():
    assert built().timeouts == Timeouts()
    assert built(timeout="bulk").timeouts == Timeouts.BULK
    assert built(timeout=3).timeouts == Timeouts.of(3)


def test_tls_options():
    tls = built(
        ca_file="ca.pem",
        ssl_certfile="client.pem",
        ssl_keyfile="client.key",
        verify=False,
        tls_minimum="1.3",
    ).tls
    assert (tls.ca_file, tls.certificate_file, tls.key_file) == (
        "ca.pem",
        "client.pem",
        "client.key",
    )
    assert (tls.verify, tls.minimum) == (False, "1.3")


def test_more_tls_options():
    tls = built(security="starttls", tls_pin=PIN, trust_store="os", client_certificate=CLIENT).tls
    assert (tls.pins, tls.new_context, tls.client_certificate) == ((PIN,), os_context, CLIENT)
    tls = built(trust_store="openssl").tls
    assert (tls.pins, tls.new_context, tls.client_certificate) == ((), None, None)


def test_the_authority_of_an_account_comes_before_the_system_s():
    options = effective_options(backend_options({"host": "a.example", "trust_store": "os"}))
    tls = build_endpoint(options, "", None, ca_text="PEM").tls
    assert (tls.ca_text, tls.new_context) == ("PEM", None)


@pytest.mark.parametrize("security", ["none", "opportunistic"])
def test_a_pin_needs_tls(security):
    with pytest.raises(InvalidOption, match=f"tls_pin needs TLS, but security is '{security}'"):
        built(tls_pin=PIN, security=security)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"ca_file": "ca.pem"}, {"trust_store": "os"}),
        ({"ssl_certfile": "client.pem"}, {"client_certificate": CLIENT}),
        ({"ssl_keyfile": "client.pem"}, {"client_certificate": CLIENT}),
    ],
)
def test_rivals(settings, one, other):
    """Side by side they contradict each other; else the one that counts more replaces it."""
    with pytest.raises(InvalidOption, match="exclude each other"):
        backend_options({**one, **other})
    for upper, lower in ((one, other), (other, one)):
        settings.SMTPAUTH = {"DEFAULTS": lower}
        options = effective_options(backend_options(upper))
        assert [getattr(options, name) for name in (*upper, *lower)] == [*upper.values(), None]


def test_without_truststore_the_cure_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidOption) as caught:
        backend_options({"trust_store": "os"})
    assert str(caught.value) == (
        "trust_store: 'os' needs the package truststore: "
        'pip install "django-smtpauth[truststore]"'
    )


def test_a_key_without_a_certificate_is_an_error():
    with pytest.raises(InvalidOption, match="ssl_keyfile needs ssl_certfile"):
        built(ssl_keyfile="client.key")


def test_the_other_options_reach_the_engine():
    engine = built(
        ehlo_name="me.example",
        auth_mechanisms=["LOGIN"],
        allow_auth_without_tls=True,
        deadline=9,
        pipelining=False,
        max_unanswered=7,
        source_address="127.0.0.2",
    )
    assert (engine.ehlo_name, engine.auth_mechanisms) == ("me.example", ("LOGIN",))
    assert (engine.allow_auth_without_tls, engine.deadline) == (True, 9)
    assert (engine.pipelining, engine.max_unanswered) == (False, 7)
    assert engine.source_address == "127.0.0.2"


def test_without_a_host_there_is_no_endpoint():
    with pytest.raises(InvalidOption, match="host"):
        endpoint(MailerOptions())


# Unix sockets


def test_a_path_needs_no_port_and_no_tls():
    unix = built(host="/run/smtp", port=2525)
    assert (unix.server, unix.security) == ("/run/smtp", Security.NONE)


@pytest.mark.parametrize("tls", [{"use_tls": True}, {"use_ssl": True}, {"security": "starttls"}])
def test_a_path_with_tls_is_refused(tls, settings):
    with pytest.raises(InvalidOption, match=r"host: /run/smtp is a Unix socket.*'none'"):
        backend_options({"host": "/run/smtp", **tls})
    settings.SMTPAUTH = {"DEFAULTS": tls}
    with pytest.raises(ImproperlyConfigured, match="is a Unix socket"):
        effective_options(backend_options({"host": "/run/smtp"}))
    options = effective_options(backend_options({"host": "/run/smtp", "security": "none"}))
    assert options.effective_security is Security.NONE
