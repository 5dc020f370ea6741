"""The settings that django-environ and dj-email-url make of an e-mail URL, read by us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import pytest
from django.core.checks import run_checks
from django.core.mail import send_mail
from django.test import override_settings

from django_smtpauth.checks import STARTTLS_ON_465
from django_smtpauth.sending.mailer import endpoint, plain_settings
from django_smtpauth.smtp import Endpoint, Security
from tests.requirements import require_package
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory

OURS = "django_smtpauth.backends.EmailBackend"
NONE, STARTTLS, IMPLICIT_TLS = Security.NONE, Security.STARTTLS, Security.IMPLICIT_TLS

pytestmark = [
    # Django's check of a JSONField asks SQLite.
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:`smtps` scheme will be deprecated:UserWarning"),
]

UseURL = Callable[[str, str], None]


@pytest.fixture
def use_url(settings: Any) -> Iterator[UseURL]:
    """Makes one of the packages write the site's settings from a URL, in place of the last one."""
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    with ExitStack() as last:

        def use(package: str, url: str) -> None:
            if package == "environ":
                written = require_package("environ").Env.email_url_config(url)
            else:
                written = require_package("dj_email_url").parse(url)
            last.close()
            last.enter_context(override_settings(**{**written, "EMAIL_BACKEND": OURS}))

        yield use


def server() -> Endpoint:
    """The server that is used without an account."""
    return endpoint(plain_settings())


def found_by_checks() -> list[str]:
    return [found.id or "" for found in run_checks() if "smtpauth" in (found.id or "")]


@pytest.mark.parametrize(
    ("package", "url", "security", "port"),
    [
        ("environ", "smtp://mail.example.com:25", NONE, 25),
        ("environ", "smtp://mail.example.com", NONE, 25),
        ("environ", "smtp+tls://me:pw@mail.example.com:587", STARTTLS, 587),
        ("environ", "smtp+ssl://me:pw@mail.example.com:465", IMPLICIT_TLS, 465),
        ("environ", "smtp+ssl://me:pw@mail.example.com", IMPLICIT_TLS, 465),
        ("environ", "smtps://me:pw@mail.example.com:587", STARTTLS, 587),
        ("environ", "smtp://me:pw@mail.example.com:587?EMAIL_USE_TLS=True", STARTTLS, 587),
        ("environ", "smtp://me:pw@mail.example.com:465?EMAIL_USE_SSL=1", IMPLICIT_TLS, 465),
        ("environ", "smtp://me:pw@mail.example.com:25?EMAIL_USE_TLS=0", NONE, 25),
        ("dj_email_url", "smtp://mail.example.com:25", NONE, 25),
        ("dj_email_url", "smtp://mail.example.com", NONE, 25),
        ("dj_email_url", "submission://me:pw@mail.example.com", STARTTLS, 587),
        ("dj_email_url", "submission://me:pw@mail.example.com:2525", STARTTLS, 2525),
        ("dj_email_url", "submit://me:pw@mail.example.com", STARTTLS, 587),
        ("dj_email_url", "submission://me:pw@mail.example.com:465?ssl=yes", IMPLICIT_TLS, 465),
        ("dj_email_url", "smtps://me:pw@mail.example.com:587", STARTTLS, 587),
        ("dj_email_url", "smtp://me:pw@mail.example.com:587?tls=True", STARTTLS, 587),
        ("dj_email_url", "smtp://me:pw@mail.example.com:465?ssl=True", IMPLICIT_TLS, 465),
    ],
)
def test_security_and_port(
    use_url: UseURL, package: str, url: str, security: Security, port: int
) -> None:
    use_url(package, url)

    assert server().security is security
    assert server().address == ("mail.example.com", port)
    assert found_by_checks() == []


@pytest.mark.parametrize("package", ["environ", "dj_email_url"])
def test_smtps_on_465_is_named_by_a_check(use_url: UseURL, package: str) -> None:
    use_url(package, "smtps://me:pw@mail.example.com:465")

    assert (server().security, server().address) == (STARTTLS, ("mail.example.com", 465))
    assert found_by_checks() == [STARTTLS_ON_465]
    [found] = [found for found in run_checks() if found.id == STARTTLS_ON_465]
    assert "smtps://" in (found.hint or "")


@pytest.mark.parametrize(
    ("package", "cured"),
    [
        ("environ", "smtp+ssl://me:pw@mail.example.com:465"),
        ("dj_email_url", "smtp://me:pw@mail.example.com:465?ssl=True"),
    ],
)
def test_what_the_check_advises_cures_it(use_url: UseURL, package: str, cured: str) -> None:
    use_url(package, "smtps://me:pw@mail.example.com:465")
    [found] = [found for found in run_checks() if found.id == STARTTLS_ON_465]
    scheme, _, rest = cured.partition("me:pw@mail.example.com:465")

    use_url(package, cured)

    assert scheme in (found.hint or "")
    assert rest in (found.hint or "")
    assert server().security is IMPLICIT_TLS
    assert found_by_checks() == []


@pytest.mark.parametrize("package", ["environ", "dj_email_url"])
def test_without_credentials_nobody_logs_in(use_url: UseURL, package: str) -> None:
    use_url(package, "smtp://mail.example.com:25")

    assert server().credentials is None


def test_no_host_at_all(use_url: UseURL) -> None:
    use_url("dj_email_url", "smtp://")

    assert server().address == ("localhost", 25)


def test_a_time_out(use_url: UseURL) -> None:
    use_url("dj_email_url", "submission://me:pw@mail.example.com?timeout=7")

    assert server().timeouts.reply == 7


@pytest.mark.parametrize("package", ["environ", "dj_email_url"])
@pytest.mark.parametrize("user", ["club", "me@example.com", "jürgen", "a,b=c"])
def test_user_and_password_as_written_in_the_url(
    use_url: UseURL,
    scripted_server: ServerFactory,
    certificates: Certificates,
    settings: Any,
    package: str,
    user: str,
) -> None:
    password = "p@ss/wörd: 100%? #1 +&="
    server = scripted_server(users={user: password}, ssl_context=certificates.server())
    settings.SMTPAUTH = {"DEFAULTS": {"ca_file": certificates.ca_file}}
    scheme = {"environ": "smtp+tls", "dj_email_url": "submission"}[package]
    use_url(package, f"{scheme}://{quote(user, '')}:{quote(password, '')}@localhost:{server.port}")

    assert send_mail("Hello", "Hello", "me@example.org", ["you@example.org"]) == 1

    [connection] = server.connections
    assert connection.tls is not None
    assert [attempt.username for attempt in connection.auth] == [user]
    assert len(server.accepted) == 1
