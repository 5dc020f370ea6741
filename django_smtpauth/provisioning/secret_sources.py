"""Where an operator's secrets come from: a stream, a file, an environment variable, a netrc file.
Never a word of the command line, which every user of the machine can see.

Each function returns a secret and what is wrong with it, and raises nothing: a traceback must not
have a frame with the text among its local variables.
"""

import netrc
from typing import Any, BinaryIO, Final

from ..secrets.references import read_reference
from ..secrets.secret import FreshSecret, is_redaction
from .values import check_text

#: Characters of a secret at most; a key with its chain has a few thousand.
MAX_SECRET: Final = 65_536
_MOST_OCTETS: Final = 4 * (MAX_SECRET + 1)

#: A secret, or what is wrong.
Found = tuple[FreshSecret | None, str]


def from_stream(name: str, stream: BinaryIO) -> Found:
    """All of a stream, less one line end."""
    try:
        text = stream.read(_MOST_OCTETS).decode()
    except UnicodeDecodeError:
        return None, "is not text in UTF-8."
    if text.endswith("\n"):
        text = text[:-1].removesuffix("\r")
    return from_text(name, text)


def from_reference(name: str, reference: str) -> Found:
    """What stands at `env:NAME` or `file:PATH`; of a file less one line end."""
    text, problem = read_reference(reference)
    secret: FreshSecret | None = None
    if not problem:
        secret, problem = from_text(name, text)
    return secret, problem and f"{reference}: {problem}"


def from_netrc(path: str, host: str, username: str) -> Found:
    """The password for a host in a netrc file, whose entry has to be of this user."""
    try:
        entry = netrc.netrc(path).authenticators(host)
    except OSError as error:
        return None, f"{path} can't be read ({error.strerror})."
    except (netrc.NetrcParseError, UnicodeError) as error:
        # Its text may quote what stands there.
        line = getattr(error, "lineno", None)
        return None, f"{path} is no netrc file{f': see line {line}' if line else ''}."
    if entry is None:
        return None, f"{path} has no entry for the machine {host}."
    if entry[0] != username:
        return None, f"{path} has an entry for the machine {host}, but not for this user name."
    return from_text("password", entry[2] or "")


def from_text(name: str, text: str) -> Found:
    """The text itself."""
    if not text:
        return None, "is empty."
    if len(text) > MAX_SECRET:
        return None, f"has more than {MAX_SECRET} characters, which no secret has."
    if is_redaction(text):
        return None, "holds what is shown in place of a secret, and no secret."
    try:
        # A password goes into one line of a dialogue; a key is PEM.
        check_text(text, lines=name != "password")
    except ValueError as error:
        return None, str(error)
    return FreshSecret(text), ""


def from_json(name: str, value: Any) -> Found:
    """Plain text, {"env": "NAME"} or {"file": "PATH"}; null, which removes, is (None, "")."""
    if value is None:
        return None, ""
    if isinstance(value, str):
        return from_text(name, value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, place),) = value.items()
        if kind in ("env", "file") and isinstance(place, str):
            return from_reference(name, f"{kind}:{place}")
    return None, 'must be text, {"env": "NAME"}, {"file": "PATH"} or null.'
