"""What accounts are to be, as words of a command line or as lines of JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from ..models import SECRETS, SLOTS
from . import secret_sources
from .problems import Problem, ProvisioningError
from .values import IDENTITY, check_name, from_json, from_word

#: Octets of a line of JSON at most: certificates and all.
MAX_LINE: Final = 1_048_576


@dataclass(frozen=True)
class Entry:
    """What one account is to be. What is not among the values stays as it is.

    values: by field; a secret is a FreshSecret, or None to remove it. line: of the input.
    """

    slug: str
    scope: str
    values: Mapping[str, Any] = field(default_factory=dict)
    line: int | None = None

    @property
    def gives_up_a_flag(self) -> bool:
        return any(self.values.get(flag) is False for flag in SLOTS)


def from_words(
    slug: str, scope: str, words: Sequence[str], secrets: Mapping[str, Any] | None = None
) -> Entry:
    """An entry from words FIELD=VALUE, and secrets that were read elsewhere.

    Raises ProvisioningError.
    """
    values: dict[str, Any] = {}
    problems = []
    for word in words:
        name, equals, value = word.partition("=")
        try:
            if not equals:
                # What stands there may be a secret: it is not quoted.
                raise ValueError("write FIELD=VALUE, for example label=Invoices.")
            _check_word(name)
            if name in values:
                raise ValueError("is given twice.")
            values[name] = from_word(name, value)
        except ValueError as error:
            problems.append(Problem(str(error), slug=slug, field=name if equals else ""))
    if problems:
        raise ProvisioningError(problems)
    return Entry(slug, scope, {**values, **(secrets or {})})


def _check_word(name: str) -> None:
    if name in IDENTITY:
        raise ValueError("says which account is meant: give it as SLUG, or as --scope.")
    if name in SECRETS:
        option = name.replace("_", "-")
        raise ValueError(
            "a secret does not stand on the command line, where all users of this machine can "
            f"read it. Use --{option}-stdin, --{option}-file FILE or --{option}-env NAME. Change "
            "this secret if it was a real one."
        )
    check_name(name)


def from_lines(stream: BinaryIO, scope: str) -> tuple[list[Entry], list[Problem]]:
    """An entry for each line of JSON, and what is wrong with the lines that make none.

    Raises nothing of its own: the lines may hold secrets, and a traceback shows local variables.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, str], int] = {}
    for number, octets in enumerate(_read(stream), 1):
        if not octets.strip():
            continue
        entry, faults = _read_line(octets, scope, number)
        if entry is not None:
            first = seen.setdefault((entry.scope, entry.slug), number)
            if first != number:
                faults = [Problem(f"stands in line {first} already.", number, entry.slug)]
            else:
                entries.append(entry)
        problems += faults
    return entries, problems


def _read(stream: BinaryIO) -> Iterator[bytes]:
    """The lines; one that is too long comes too long, and the rest of it is passed over."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE + 1)


def _read_line(octets: bytes, scope: str, number: int) -> tuple[Entry | None, list[Problem]]:
    given, fault = _parse(octets)
    if fault:
        return None, [Problem(fault, number)]
    slug = given.pop("slug", None)
    scope = given.pop("scope", scope)
    if not isinstance(slug, str) or not slug:
        return None, [Problem("must be the short name of the account.", number, field="slug")]
    if not isinstance(scope, str):
        return None, [Problem("must be text.", number, slug, "scope")]
    values: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        values[name], fault = _value(name, value)
        if fault:
            problems.append(Problem(fault, number, slug, name))
    return (None, problems) if problems else (Entry(slug, scope, values, number), [])


def _value(name: str, value: Any) -> tuple[Any, str]:
    if name in SECRETS:
        return secret_sources.from_json(name, value)
    try:
        check_name(name)
        return from_json(name, value), ""
    except ValueError as error:
        return None, str(error)


class _Unfit(ValueError):
    """JSON that is no entry; the text quotes none of it."""


def _parse(octets: bytes) -> tuple[dict[str, Any], str]:
    """The object of a line, and what is wrong with it."""
    if len(octets) > MAX_LINE:
        return {}, f"has more than {MAX_LINE} octets."
    try:
        found = json.loads(
            octets.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except UnicodeDecodeError:
        return {}, "is not text in UTF-8."
    except json.JSONDecodeError as error:
        # Its text quotes nothing; the error itself holds the whole line.
        return {}, f"is not JSON: {error.msg} at column {error.colno}."
    except _Unfit as error:
        return {}, str(error)
    except (ValueError, RecursionError):
        return {}, "is not JSON that can be read."
    if not isinstance(found, dict):
        return {}, 'must be one object, for example {"slug": "billing", "host": "..."}.'
    return found, ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unfit("names a field twice.")
    return found


def _no_number(_: str) -> None:
    raise _Unfit("holds NaN or Infinity, which are no numbers of JSON.")
