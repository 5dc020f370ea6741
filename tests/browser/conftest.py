"""A real browser (Chromium) that is signed in to the admin of a live server.

    visit(user, dark=False, width=1280, javascript=True) -> a Playwright page
    expect                                               Playwright's assertions, which wait

Playwright is the extra `browser`; the browser is the system's own. Where one of the two is absent
the tests are skipped, which is a failure when CI=true.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_smtpauth.models import SMTPAccount
from django_smtpauth.secrets.keyring import generate_key
from tests.backend_fixtures import _fresh_process, mail_settings  # noqa: F401
from tests.browser.remote import Remote
from tests.requirements import require_server

#: Where Debian has it first.
BROWSERS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")

Visit = Callable[..., Any]


@pytest.fixture(scope="session")
def driver() -> Iterator[Remote]:
    """Playwright, in its thread."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require_server("Playwright is absent: pip install 'django-smtpauth[browser]'")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="playwright") as thread:
        playwright = Remote(thread, sync_playwright)().start()
        try:
            yield playwright
        finally:
            playwright.stop()


@pytest.fixture(scope="session")
def browser(driver: Remote) -> Iterator[Remote]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        require_server("no Chromium: apt-get install chromium")
    # As root it can't build its sandbox; it visits nothing but the test's own server.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    browser = driver.chromium.launch(executable_path=path, args=arguments)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def expect(driver: Remote) -> Remote:
    from playwright.sync_api import expect

    return Remote(driver._thread, expect)


@pytest.fixture
def visit(
    browser: Remote, live_server: Any, transactional_db: None, settings: Any
) -> Iterator[Visit]:
    """Pages of their own profile; what a page logs as an error fails the test."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.browser.policy.strict_policy"]
    contexts: list[Any] = []
    faults: list[str] = []

    def page_of(
        user: User, dark: bool = False, width: int = 1280, javascript: bool = True
    ) -> Remote:
        context = browser.new_context(
            base_url=live_server.url,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
            java_script_enabled=javascript,
        )
        contexts.append(context)
        context.add_cookies([{**_signed_in(user), "url": live_server.url}])
        context.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda line: faults.append(line.text) if line.type in ("error", "warning") else None,
        )
        return page

    yield page_of
    for context in contexts:
        context.close()
    assert faults == []


def _signed_in(user: User) -> dict[str, str]:
    """The cookie of a session, without a form and the hashing of a password."""
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value}


@pytest.fixture
def staff(transactional_db: None) -> Callable[..., User]:
    """Somebody who may do this, and nothing else."""

    def make(*codenames: str) -> User:
        user = User.objects.create(username="clerk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return user

    return make


@pytest.fixture
def admin(transactional_db: None) -> User:
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture(autouse=True)
def keys(settings: Any) -> None:
    settings.SMTPAUTH = {"KEYS": [generate_key()], "DEFAULTS": {"ehlo_name": "client.test"}}


@pytest.fixture
def account(transactional_db: None) -> SMTPAccount:
    return SMTPAccount.objects.create(
        slug="club",
        label="Club",
        preset="gmail",
        from_email="club@gmail.com",
        username="club@gmail.com",
        password="hunter2",
        is_default=True,
    )
