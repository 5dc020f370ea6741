"""Where a secret could show, and in which forms: the one search that all tests share.

forms_of(secret, user)       the texts that would give it away
found(secret, text, user)    those of them that the text holds
shown_by_trackers(error)     what an error page or an error tracker shows of an exception
all_within(error)            the same, and what lies deeper: contents and attributes
shown_of(value)              all ways in which a value becomes a text by itself
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import html
import json
import pickle
import pprint
import traceback
import types
from collections.abc import Iterable, Iterator, Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, quote_plus

from django.core.serializers import base
from django.http import HttpRequest
from django.utils.functional import LazyObject

from django_smtpauth.smtp.parameters import xtext

#: A line of a secret of several lines, such as a key in PEM, gives it away if it is as long.
_LONG_LINE = 40


@functools.lru_cache
def forms_of(secret: str, user: str = "") -> frozenset[str]:
    """The secret as logs, pages, protocols and databases write it.

    user: whose it is; with it, whole messages of SASL are looked for, too.
    """
    octets = secret.encode()
    messages = [octets]
    if user:
        messages.append(f"\0{user}\0{secret}".encode())
        messages.append(f"user={user}\x01auth=Bearer {secret}\x01\x01".encode())
    texts = {secret, *(line for line in secret.splitlines() if len(line) >= _LONG_LINE)}
    texts.add(octets.decode("latin-1"))
    encoded = {base64.b64encode(message).decode().rstrip("=") for message in messages}
    encoded |= {_core(octets, shift) for shift in range(3)}
    encoded |= {text.replace("+", "-").replace("/", "_") for text in encoded}
    encoded |= {octets.hex(), octets.hex().upper(), octets.hex(" ")}
    encoded |= {getattr(hashlib, name)(octets).hexdigest() for name in ("md5", "sha1", "sha256")}
    return frozenset({form for text in texts for form in _written(text)} | encoded)


def found(secret: str, text: str, user: str = "") -> list[str]:
    """The forms of the secret that the text holds."""
    return [form for form in forms_of(secret, user) if form in text]


def _written(text: str) -> Iterator[str]:
    """A text as it is, and escaped."""
    octets = text.encode()
    yield text
    yield from (repr(text)[1:-1], ascii(text)[1:-1], repr(octets)[2:-1])
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (html.escape(text), html.escape(text, quote=False), html.escape(repr(text)[1:-1]))
    yield from (quote(text), quote(text, safe=""), quote_plus(text), xtext(text))
    yield binascii.b2a_qp(octets).decode().replace("=\n", "")
    in_json = json.dumps(text)
    yield json.dumps(in_json)[3:-3]
    yield SimpleCookie({"a": text})["a"].coded_value.strip('"')
    yield SimpleCookie({"a": in_json})["a"].coded_value[3:-3]
    # As an SQL literal, and as logs show one.
    yield from (text.replace("'", "''"), text.replace("\\", "\\\\"))


def _core(octets: bytes, shift: int) -> str:
    """The base64 of what is amid other octets: the characters that these do not touch."""
    encoded = base64.b64encode(bytes(shift) + octets).decode()
    return encoded[-(-8 * shift // 6) : 8 * (shift + len(octets)) // 6]


# Exceptions


def shown_by_trackers(error: BaseException | None) -> str:
    """The texts of an exception and its causes, and every local variable of the frames they
    passed through, except those of the tests themselves.
    """
    shown: list[str] = []
    for one in _chain(error):
        shown += [str(one), repr(one.args), repr(vars(one))]
        shown += [f"{name}={_repr(value)}" for name, value in _locals(one.__traceback__)]
    return "\n".join(shown)


def all_within(error: BaseException | None) -> str:
    """What trackers show that look deeper, uncut: containers, and attributes two levels deep.

    Slots, closures and requests are left out: the first two no tracker shows; of a request they
    show what was posted, in a place of its own.
    """
    shown = [shown_by_trackers(error)]
    for one in _chain(error):
        shown += traceback.format_exception(one)
        values = [*_locals(one.__traceback__), *vars(one).items(), ("args", one.args)]
        for name, value in values:
            shown += [f"{name}: {text}" for text in _deep(value, 2, set())]
    return "\n".join(shown)


def _chain(error: BaseException | None) -> list[BaseException]:
    """An exception with all its causes and contexts, suppressed ones too."""
    chain: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in chain:
            chain.append(one)
            waiting += [one.__context__, one.__cause__, *getattr(one, "exceptions", ())]
    return chain


def _locals(trace: types.TracebackType | None) -> Iterator[tuple[str, Any]]:
    for one in _traces(trace):
        if not _is_of_tests(one.tb_frame):
            yield from one.tb_frame.f_locals.items()


def outside_tests(error: BaseException) -> BaseException:
    """Takes the frames of the tests out of an exception and its causes."""
    for one in _chain(error):
        kept: types.TracebackType | None = None
        for trace in reversed([*_traces(one.__traceback__)]):
            if not _is_of_tests(trace.tb_frame):
                trace.tb_next, kept = kept, trace
        one.__traceback__ = kept
    return error


def _traces(trace: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_of_tests(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("tests.")


#: What trackers don't enter; the settings, whose names tell them what to hide; and the reader of
#: a fixture, which holds the file.
_OPAQUE = (
    *(type, types.ModuleType, types.FunctionType, types.MethodType),
    *(HttpRequest, LazyObject, base.Deserializer),
)


def _deep(value: Any, levels: int, seen: set[int]) -> Iterator[str]:
    """A value's repr, those of what it contains, and those of its attributes, so many deep."""
    if id(value) in seen or isinstance(value, _OPAQUE):
        return
    seen.add(id(value))
    yield _repr(value)
    if levels == 0:
        return
    inner: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = list(value)
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        inner = [*inner, *attributes.values()]
    for one in inner:
        yield from _deep(one, levels - 1, seen)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(error).__name__}>"


# Values


def shown_of(value: Any) -> str:
    """As text, in containers, formatted, pickled, and by its attributes and `to_dict()`."""
    shown = [str(value), _repr(value), f"{value}", pprint.pformat(value), *_deep(value, 2, set())]
    to_dict = getattr(value, "to_dict", None)
    if to_dict is not None:
        shown += [str(to_dict()), json.dumps(to_dict(), default=str)]
    try:
        shown.append(pickle.dumps(value).decode("latin-1"))
        shown.append(pickle.dumps(value).decode("utf-8", "replace"))
    except Exception as error:
        shown.append(str(error))
    return "\n".join(shown)
