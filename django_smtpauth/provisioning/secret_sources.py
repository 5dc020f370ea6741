"""Where an operator's secrets come from: a stream, a file, an environment variable. Never a word
of the command line, which every user of the machine can see.

Each function returns a secret and what is wrong with it, and raises nothing: a traceback must not
have a frame with the text among its local variables.
"""

import os
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from ..secrets.secret import REDACTED, FreshSecret
from .values import check_text

#: Octets of a secret at most; a key with its chain has a few thousand.
MAX_SECRET: Final = 65_536

#: A secret, or what is wrong.
Found = tuple[FreshSecret | None, str]


def from_stream(name: str, stream: BinaryIO) -> Found:
    """All of a stream, less one line end."""
    return _from_octets(name, stream.read(MAX_SECRET + 1))


def from_file(name: str, path: str) -> Found:
    """All of a file, less one line end."""
    try:
        with open(path, "rb") as file:
            octets = file.read(MAX_SECRET + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        return None, f"the file {path!r} can't be read ({why})."
    secret, problem = _from_octets(name, octets)
    return secret, problem and f"the file {path!r} {problem}"


def from_env(name: str, variable: str) -> Found:
    """An environment variable."""
    text = os.environ.get(variable)
    if text is None:
        return None, f"the environment variable {variable!r} is not set."
    secret, problem = from_text(name, text)
    return secret, problem and f"the environment variable {variable!r} {problem}"


def from_text(name: str, text: str) -> Found:
    """The text itself."""
    if not text:
        return None, "is empty."
    if text == REDACTED:
        return None, "holds what is shown in place of a secret, and no secret."
    try:
        check_text(text, lines=_has_lines(name))
    except ValueError as error:
        return None, str(error)
    return FreshSecret(text), ""


#: By the word for it in JSON.
_REFERENCES: Final[dict[str, Callable[[str, str], Found]]] = {"env": from_env, "file": from_file}


def from_json(name: str, value: Any) -> Found:
    """Plain text, {"env": "NAME"} or {"file": "PATH"}; null, which removes, is (None, "")."""
    if value is None:
        return None, ""
    if isinstance(value, str):
        return from_text(name, value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, place),) = value.items()
        if kind in _REFERENCES and isinstance(place, str):
            return _REFERENCES[kind](name, place)
    return None, 'must be text, {"env": "NAME"}, {"file": "PATH"} or null.'


def _from_octets(name: str, octets: bytes) -> Found:
    if len(octets) > MAX_SECRET:
        return None, f"has more than {MAX_SECRET} octets, which no secret has."
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return None, "is not text in UTF-8."
    if text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
    return from_text(name, text)


def _has_lines(name: str) -> bool:
    # A password goes into one line of a dialogue; a key is PEM.
    return name != "password"
