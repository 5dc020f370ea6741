"""The snippets of the page on tenants do what the page says."""

import re
import sys
from contextvars import Context
from types import ModuleType, SimpleNamespace

import pytest
from asgiref.sync import async_to_sync
from django.core.mail import send_mail
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_smtpauth.models import SMTPAccount
from tests.backend_fixtures import (  # noqa: F401
    _fresh_process,
    mail_settings,
    make_account,
    parsed,
)
from tests.test_docs import ROOT, snippets

PYTHON = snippets(ROOT / "docs/tenants.md", "python")
FILE = re.compile(r"# shop/(\w+)\.py\n")

pytestmark = pytest.mark.django_db(transaction=True)


def run(words):
    """What the snippet with these words defines."""
    [code] = [code for code in PYTHON if words in code]
    names = {}
    exec(code, names)
    return names


@pytest.fixture
def shop(monkeypatch):
    """The files of the page, as the modules that they are for."""
    celery = ModuleType("celery")
    # A worker knows nothing of the context of who asks for the task.
    celery.shared_task = lambda function: SimpleNamespace(
        delay=lambda *args: Context().run(function, *args)
    )
    shop = ModuleType("shop")
    files = {found[1]: code for code in PYTHON if (found := FILE.match(code))}
    modules = {name: ModuleType(f"shop.{name}") for name in files}
    for module in (celery, shop, *modules.values()):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, code in files.items():
        exec(code, modules[name].__dict__)
        setattr(shop, name, modules[name])
    return shop


@pytest.fixture
def sent(scripted_server, make_account, mail_settings, settings, shop):  # noqa: F811
    """Tells the subjects that the server of each scope got, "" being the settings' server."""
    servers = {scope: scripted_server() for scope in ("", "north", "south", "7")}
    for scope, server in servers.items():
        if scope:
            make_account("orders", server, scope=scope, is_default=True)
    mail_settings()
    keys, nobody = settings.SMTPAUTH["KEYS"], servers[""]
    smtpauth = run("# settings.py")["SMTPAUTH"]
    defaults = {"host": nobody.host, "port": nobody.port, "ehlo_name": "client.test"}
    settings.SMTPAUTH = {**smtpauth, "KEYS": keys, "DEFAULTS": defaults}

    def subjects():
        return {
            scope: sorted(str(parsed(message)["Subject"]) for message in server.accepted)
            for scope, server in servers.items()
            if server.accepted
        }

    return subjects


def send(subject):
    send_mail(subject, "Text", None, ["to@example.org"])


def view(request):
    send(request.get_host())
    return HttpResponse()


async def async_view(request):
    return view(request)


urlpatterns = [path("", view), path("async", async_view)]


def served_by(middleware):
    return override_settings(
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[f"shop.{middleware}"]
    )


def test_accounts_of_two_scopes(db):
    run("SMTPAccount.objects.create")
    assert [(row.scope, row.is_default) for row in SMTPAccount.objects.order_by("scope")] == [
        ("north", True),
        ("south", True),
    ]


def test_a_block_for_a_scope(sent, shop):
    with shop.tenants.use_scope("north"):
        send("one")
        with shop.tenants.use_scope("south"):
            send("two")
        send("three")
    send("four")
    assert sent() == {"": ["four"], "north": ["one", "three"], "south": ["two"]}


def test_by_subdomain(sent):
    hosts = ("north.example.com", "south.example.com:8000", "example.com", "north.example.org")
    with served_by("middleware.SubdomainMiddleware"):
        for host in hosts:
            Client().get("/", headers={"host": host})
    assert sent() == {
        "": ["example.com", "north.example.org"],
        "north": ["north.example.com"],
        "south": ["south.example.com:8000"],
    }


def test_by_subdomain_in_coroutines(sent, settings):
    async def get(host):
        await AsyncClient().get("/async", headers={"x-forwarded-host": host})

    # The client's own host can't be replaced.
    settings.USE_X_FORWARDED_HOST = True
    with served_by("middleware.SubdomainMiddleware"):
        for host in ("north.example.com", "south.example.com"):
            async_to_sync(get)(host)
    assert sent() == {"north": ["north.example.com"], "south": ["south.example.com"]}


def test_by_site(sent, settings, monkeypatch):
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.sites"]
    from django.contrib.sites import models

    site = models.Site(pk=7, domain="seven.example.com")
    monkeypatch.setitem(models.SITE_CACHE, site.domain, site)
    with served_by("sites.SiteMiddleware"):
        Client().get("/", headers={"host": site.domain})
    assert sent() == {"7": ["seven.example.com"]}


def test_in_a_task(sent, shop):
    with shop.tenants.use_scope("north"):
        run("send_receipt.delay(")
    assert sent() == {"north": ["Receipt 42"]}


def test_in_threads(sent):
    run("ThreadPoolExecutor")
    assert sent() == {"north": ["News", "News"]}


def test_the_apps_of_a_site_with_schemas():
    names = run("TENANT_APPS = ")
    assert set(names["INSTALLED_APPS"]) == {*names["SHARED_APPS"], *names["TENANT_APPS"]}
    assert "django_smtpauth" in names["TENANT_APPS"]
