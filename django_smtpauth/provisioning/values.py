"""From what an operator wrote to the value of an account's field."""

import difflib
import math
from typing import Any, Final

from django.db import models

from ..models import SECRETS, SLOTS, SMTPAccount

#: What names an account, and is not changed by name.
IDENTITY: Final = ("scope", "slug")
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")


def _editable() -> dict[str, Any]:
    fields = {
        field.name: field
        for field in SMTPAccount._meta.concrete_fields
        if field.editable and not field.primary_key and field.name not in IDENTITY
    }
    flag = models.BooleanField()
    return {**fields, **dict.fromkeys(SLOTS, flag)}


#: Every field that can be given, by name; the flags are no columns and have a field all the same.
FIELDS: Final = _editable()
PLAIN: Final = tuple(name for name in FIELDS if name not in SECRETS)


def check_name(name: str) -> None:
    """Raises ValueError for what is no field of an account."""
    if name not in FIELDS:
        close = difflib.get_close_matches(name, FIELDS, n=3) or FIELDS
        raise ValueError(f"there is no such field. Is one of these meant? {', '.join(close)}.")


def from_word(name: str, word: str) -> Any:
    """The value of a plain field from a word of a command line; empty is None where that may be.

    Raises ValueError, which does not show the word.
    """
    field = FIELDS[name]
    if not word and field.null:
        return None
    if isinstance(field, models.BooleanField):
        if word.lower() not in (*_TRUE, *_FALSE):
            raise ValueError("write true or false.")
        return word.lower() in _TRUE
    try:
        if isinstance(field, models.IntegerField):
            return int(word)
        if isinstance(field, models.FloatField):
            return from_json(name, float(word))
    except ValueError:
        raise ValueError("write a number.") from None
    return from_json(name, word)


def from_json(name: str, value: Any) -> Any:
    """The value of a plain field, of the type that JSON has for it.

    Raises ValueError, which tells the type and not the value.
    """
    field = FIELDS[name]
    if value is None and field.null:
        return None
    kind, accepted = _kind(field)
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        empty = " or null" if field.null else ""
        raise ValueError(f"must be {kind}{empty}, not {_type(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number.")
    if isinstance(value, str):
        check_text(value, lines=isinstance(field, models.TextField))
    return value


def check_text(text: str, *, lines: bool) -> None:
    """Raises ValueError for what neither a database nor a protocol takes.

    lines: whether the text may have several.
    """
    unprintable = {c for c in text if ord(c) < 32 or ord(c) == 127}
    if unprintable - (set("\r\n\t") if lines else set()):
        more = "" if lines else "line ends and "
        raise ValueError(f"must have no {more}control characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        # The error holds the text.
        problem = "has half a surrogate pair, which is no character."
    else:
        return
    raise ValueError(problem)


def _kind(field: Any) -> tuple[str, tuple[type, ...]]:
    if isinstance(field, models.BooleanField):
        return "true or false", (bool,)
    if isinstance(field, models.IntegerField):
        return "a whole number", (int,)
    if isinstance(field, models.FloatField):
        return "a number", (int, float)
    return "text", (str,)


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
