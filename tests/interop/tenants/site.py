"""Two tenants whose accounts agree in primary key, uuid and slug, and what they send.

    python -m tests.interop.tenants.site PORTS      PORTS: JSON, tenant -> port of its server

Each message is from `<case>@<tenant>.example.com`; the password of a tenant is its name.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import django
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage, send_mail
from django.core.management import call_command, load_command_class
from django.db import DatabaseError, connection, transaction

TENANTS = ("north", "south")
IDENTITY = uuid.UUID(int=1)


def inside(tenant: str) -> AbstractContextManager[None]:
    """The block in which the package works for a tenant."""
    if settings.PACKAGE == "django_pgschemas":
        schema: Any = importlib.import_module("django_pgschemas.schema").Schema
        block: AbstractContextManager[None] = schema.create(tenant)
    else:
        block = importlib.import_module(f"{settings.PACKAGE}.utils").schema_context(tenant)
    return block


def send(case: str, tenant: str) -> None:
    sender = f"{case}@{tenant}.example.com"
    assert send_mail("Subject", "Body", sender, ["to@example.org"]) == 1


def create_tenants() -> None:
    if settings.PACKAGE == "django_pgschemas":
        call_command("migrate", verbosity=0, schemas=["public"])
    else:
        call_command("migrate_schemas", verbosity=0, shared=True)
    models = importlib.import_module("tests.interop.tenants.models")
    with connection.schema_editor() as editor:
        for model in (models.Shop, getattr(models, "Domain", None)):
            if model is not None:
                editor.create_model(model)
    for tenant in TENANTS:
        fields = {"domain_url": tenant} if settings.PACKAGE == "tenant_schemas" else {}
        models.Shop(schema_name=tenant, **fields).save(verbosity=0)


def create_account(tenant: str, port: int) -> Any:
    from django_smtpauth.models import SMTPAccount

    account = SMTPAccount(
        uuid=IDENTITY,
        slug="club",
        host="127.0.0.1",
        port=port,
        security="none",
        internal_host=True,
        username="club",
        password=tenant,
        is_default=True,
    )
    account.save()
    return account


def switch() -> None:
    """One thread works for one tenant, the other, and the one again; and for nobody."""
    for _ in range(2):
        for tenant in TENANTS:
            with inside(tenant):
                send("switch", tenant)
        send("nobody", "public")


def share_threads() -> None:
    """Threads that began under the other tenant, all at once."""
    start = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            start.wait(20)
            for turn in range(number, number + 3):
                tenant = TENANTS[turn % 2]
                with inside(tenant):
                    send("thread", tenant)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool, inside(TENANTS[0]):
        list(pool.map(work, range(4)))


def keep_open() -> None:
    """One backend that stays open for the mail of both."""
    backend = mail.mailers.default if django.VERSION >= (6, 1) else mail.get_connection()
    with inside(TENANTS[0]):
        backend.open()
    with backend:
        for tenant in (*TENANTS, *TENANTS):
            with inside(tenant):
                message = EmailMessage(
                    "Subject", "Body", f"open@{tenant}.example.com", ["to@example.org"]
                )
                assert backend.send_messages([message]) == 1


def break_transaction() -> None:
    """The look is made outside of a transaction that refuses every query."""
    from django_smtpauth.sending.accounts import source

    for tenant in TENANTS:
        with inside(tenant), transaction.atomic():
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1/0")
            except DatabaseError:
                source.invalidate()
                send("broken", tenant)
            transaction.set_rollback(True)


def run_coroutines() -> None:
    async def work(tenant: str) -> None:
        with inside(tenant):
            await asyncio.sleep(0)
            send("coroutine", tenant)

    async def both() -> None:
        await asyncio.gather(*map(work, TENANTS))

    async def view(tenant: str) -> None:
        await sync_to_async(send)("view", tenant)

    asyncio.run(both())
    for tenant in TENANTS:
        with inside(tenant):
            # As under a middleware that chose the tenant.
            async_to_sync(view)(tenant)


def change_one() -> None:
    """What one tenant changes counts at once, and for it alone."""
    from django_smtpauth.models import SMTPAccount

    with inside("south"):
        account = SMTPAccount.objects.get()
        account.is_default = False
        account.save()
        send("changed", "public")
    with inside("north"):
        send("changed", "north")


def run_command() -> None:
    """What the packages have for running a command for one tenant."""
    for tenant in TENANTS:
        words = ["smtptest", "to@example.org", f"--from=command@{tenant}.example.com"]
        if settings.PACKAGE == "tenant_schemas":
            # Its wrapper takes no arguments of the command.
            with inside(tenant):
                call_command(*words)
            continue
        name = "runschema" if settings.PACKAGE == "django_pgschemas" else "tenant_command"
        command: Any = load_command_class(settings.PACKAGE, name)
        command.run_from_argv(["manage.py", name, *words, f"--schema={tenant}"])


def main(ports: dict[str, int]) -> None:
    django.setup()
    # django-pgschemas leaves the schema that it migrated last in force.
    contextvars.copy_context().run(create_tenants)
    if settings.ACCOUNTS == "shared":
        create_account("public", ports["shared"])
        for tenant in TENANTS:
            with inside(tenant):
                send("shared", tenant)
        return
    accounts = []
    for tenant in TENANTS:
        with inside(tenant):
            accounts.append(create_account(tenant, ports[tenant]))
    assert len({(account.pk, account.uuid, account.slug) for account in accounts}) == 1
    switch()
    share_threads()
    keep_open()
    break_transaction()
    run_coroutines()
    contextvars.copy_context().run(run_command)
    change_one()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
