"""In which schema of PostgreSQL a thread works, on sites that give each tenant a schema.

There the names of tables, primary keys and uuids repeat in every schema. What decides is the
search path of a connection, and the packages write it for each query from what they keep in
one of two places:

- The connection of the thread: django-tenants, django-tenant-schemas and their forks.
  `schema_name` and `include_public_schema` tell it, `set_schema()` changes it. A connection of
  another thread does not know of it.
- A context variable: django-pgschemas. It is the same wherever the context goes.

None of these packages is imported here. A search path that a site sets by SQL is not seen.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

#: Where django-pgschemas says which schema is in force, once the site has imported it.
_CONTEXT = "django_pgschemas.schema"


class OtherSchema(Exception):
    """A connection works in another schema than it should."""


@dataclass(frozen=True)
class Schema:
    """The schema in which names of tables are looked up first; empty: the database's own.

    with_public: whether the shared schema is looked up after it.
    """

    name: str = ""
    with_public: bool = True

    def __str__(self) -> str:
        alone = "" if self.with_public else ", without the shared one"
        return f"{self.name!r}{alone}"


#: Of a connection that says nothing of schemas.
NO_SCHEMA = Schema()


def schema_of(connection: Any) -> Schema:
    """The schema that Django's connection works in, here and now. Costs no query."""
    name = getattr(connection, "schema_name", None)
    if name is not None:
        return Schema(name, bool(getattr(connection, "include_public_schema", True)))
    context: Any = sys.modules.get(_CONTEXT)
    return NO_SCHEMA if context is None else Schema(context.get_current_schema().schema_name)


def enter(connection: Any, schema: Schema) -> None:
    """Lets a connection of this thread's own work in a schema.

    Raises OtherSchema if it can't: whose rows it shows instead is anybody's guess.
    """
    if schema_of(connection) == schema:
        return
    if hasattr(connection, "set_schema"):
        connection.set_schema(schema.name, schema.with_public)
    if schema_of(connection) != schema:
        raise OtherSchema(f"in place of schema {schema} it is {schema_of(connection)}")
