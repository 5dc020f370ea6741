"""Packages that give each tenant a schema of PostgreSQL: nobody sends with another's account."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest

from django_smtpauth.secrets.keyring import generate_key
from tests.interop.daemons import HOST
from tests.interop.postgresql import LOGIN, PASSWORD, PostgreSQL
from tests.requirements import require_package
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import ScriptedServer

ROOT = Path(__file__).parents[2]
PACKAGES = ("django_tenants", "django_pgschemas", "tenant_schemas")

pytestmark = [pytest.mark.interop, pytest.mark.parametrize("package", PACKAGES)]


def run_site(
    postgresql: PostgreSQL,
    package: str,
    accounts: str,
    servers: dict[str, ScriptedServer],
    public: ScriptedServer,
) -> None:
    """Runs `tenants/site.py`, with a database of its own."""
    if importlib.util.find_spec(package) is None:
        # Imported here, django-pgschemas would have a say in the other tests.
        require_package(package)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.interop.tenants.site"),
            json.dumps({name: server.port for name, server in servers.items()}),
        ],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.interop.tenants.settings",
            "PYTHONPATH": str(ROOT),
            "SMTPAUTH_TEST_TENANTS": package,
            "SMTPAUTH_TEST_ACCOUNTS": accounts,
            "TEST_KEY": generate_key(),
            "TEST_DATABASE": new_database(postgresql),
            "TEST_HOST": HOST,
            "TEST_PORT": str(postgresql.port),
            "TEST_USER": LOGIN,
            "TEST_PASSWORD": PASSWORD,
            "TEST_PUBLIC_SERVER": str(public.port),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def new_database(postgresql: PostgreSQL) -> str:
    name = f"site_{uuid.uuid4().hex}"
    connection = require_package("psycopg").connect(
        host=HOST, port=postgresql.port, user=LOGIN, password=PASSWORD, dbname="postgres"
    )
    with contextlib.closing(connection):
        connection.autocommit = True
        connection.execute(f'CREATE DATABASE "{name}"')
    return name


def senders(server: ScriptedServer) -> Counter[str]:
    return Counter(message.sender for message in server.accepted)


def test_each_tenant_has_its_own_server_and_password(
    package: str, postgresql: PostgreSQL, scripted_server: ServerFactory
) -> None:
    servers = {name: scripted_server(users={"club": name}) for name in ("north", "south")}
    public = scripted_server()

    run_site(postgresql, package, "tenant", servers, public)

    cases = {"switch": 2, "thread": 6, "open": 2}
    cases |= dict.fromkeys(["broken", "coroutine", "view", "command"], 1)
    for name, server in servers.items():
        expected = {f"{case}@{name}.example.com": times for case, times in cases.items()}
        if name == "north":
            expected["changed@north.example.com"] = 1
        assert senders(server) == expected
        assert all(one.authenticated for one in server.connections)
    assert senders(public) == {"nobody@public.example.com": 2, "changed@public.example.com": 1}


def test_an_account_in_the_shared_schema_serves_every_tenant(
    package: str, postgresql: PostgreSQL, scripted_server: ServerFactory
) -> None:
    shared, public = scripted_server(users={"club": "public"}), scripted_server()

    run_site(postgresql, package, "shared", {"shared": shared}, public)

    assert senders(shared) == {"shared@north.example.com": 1, "shared@south.example.com": 1}
    assert senders(public) == {}
