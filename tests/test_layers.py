"""The engine stands alone: standard library only, and only its drivers touch the operating system.

Import-linter checks the order of the layers (pyproject.toml); what it can't say is read here from
the syntax tree, which also sees imports inside functions and under TYPE_CHECKING.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_smtpauth

PACKAGE = Path(django_smtpauth.__file__).parent
ENGINE = "django_smtpauth.smtp"

#: Modules that reach the operating system: its sockets, threads, files and clock.
SYSTEM_MODULES = {
    "asyncio",
    "os",
    "queue",
    "select",
    "selectors",
    "signal",
    "socket",
    "socketserver",
    "subprocess",
    "threading",
    "time",
}
#: The engine's modules that may import them.
DRIVERS = {"aio", "channel", "connection", "dialling", "pool", "tls"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """The absolute dotted name of every module that `source` imports, wherever it does."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            if node.module:
                yield ".".join(stem)
            else:
                yield from (".".join([*stem, alias.name]) for alias in node.names)


def foreign(modules: Iterator[str]) -> list[str]:
    """Those that are neither the standard library's nor the engine's own."""
    return [
        name
        for name in modules
        if name != ENGINE
        and not name.startswith(f"{ENGINE}.")
        and name.split(".")[0] not in sys.stdlib_module_names - {"importlib"}
    ]


def system_imports(modules: Iterator[str]) -> list[str]:
    return [name for name in modules if name.split(".")[0] in SYSTEM_MODULES]


def engine_files() -> list[Path]:
    return sorted((PACKAGE / "smtp").rglob("*.py"))


def read_imports(path: Path) -> Iterator[str]:
    return imported_modules(
        path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py"
    )


def test_the_engine_has_files() -> None:
    assert PACKAGE / "smtp" / "__init__.py" in engine_files()


@pytest.mark.parametrize("path", engine_files(), ids=module_name)
def test_the_engine_imports_the_standard_library_only(path: Path) -> None:
    assert foreign(read_imports(path)) == []


@pytest.mark.parametrize(
    "path", [path for path in engine_files() if path.stem not in DRIVERS], ids=module_name
)
def test_only_drivers_touch_the_operating_system(path: Path) -> None:
    assert system_imports(read_imports(path)) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import django", ["django"]),
        ("from django.conf import settings", ["django.conf"]),
        ("def late():\n    import idna", ["idna"]),
        ("if TYPE_CHECKING:\n    from cryptography import x509", ["cryptography"]),
        ("from ..conf import smtpauth_settings", ["django_smtpauth.conf"]),
        ("from .. import models", ["django_smtpauth.models"]),
        ("import importlib", ["importlib"]),
        ("import ssl, smtplib", []),
        ("from . import replies", []),
        ("from .sasl import plain", []),
        ("from django_smtpauth.smtp.errors import SMTPError", []),
        ("from django_smtpauth.smtp import errors", []),
    ],
)
def test_a_foreign_import_is_seen(source: str, expected: list[str]) -> None:
    assert foreign(imported_modules(source, f"{ENGINE}.session")) == expected


def test_a_package_resolves_its_own_relative_imports() -> None:
    modules = imported_modules("from ..conf import x", f"{ENGINE}.sasl", is_package=True)
    assert list(modules) == [f"{ENGINE}.conf"]


@pytest.mark.parametrize(
    "source",
    ["import socket", "from selectors import DefaultSelector", "from time import monotonic"],
)
def test_a_system_import_is_seen(source: str) -> None:
    assert system_imports(imported_modules(source, f"{ENGINE}.session")) != []
