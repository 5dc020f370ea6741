"""Secrets that stay where they are: `env:NAME` and `file:PATH`.

A reference is understood in the settings only. A text that reaches a backend as a keyword
argument may come from somebody who must not read this process's environment and files, so there
a reference has to be made by code: `secret_from("env:NAME")`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

_ENV: Final = "env:"
_FILE: Final = "file:"


class SecretMissing(Exception):
    """A secret is not where its reference says. The text names the place and shows no secret."""


@dataclass(frozen=True)
class SecretReference:
    """Where a secret is. Called, it reads it anew; equal to another one with the same text."""

    text: str

    def __call__(self) -> str:
        """The secret. Raises SecretMissing."""
        found, problem = read_reference(self.text)
        if not problem and not found:
            problem = "it is empty."
        if problem:
            # The frame must not carry what was found to an error page.
            del found
            raise SecretMissing(f"{self.text}: {problem}")
        return found


def is_reference(text: object) -> bool:
    """Whether a text of the settings names a place in place of a secret."""
    return isinstance(text, str) and text.startswith((_ENV, _FILE))


def secret_from(reference: str) -> SecretReference:
    """For an option that takes a callable: `"password": secret_from("file:/run/secrets/smtp")`.

    reference: `env:NAME`, an environment variable, or `file:PATH`; of a file, one line end at
    its end does not count. It is read for each log-in. Raises ValueError for any other text.
    """
    if not is_reference(reference):
        raise ValueError("a reference begins with 'env:' or 'file:'.")
    return SecretReference(reference)


def read_reference(reference: str) -> tuple[str, str]:
    """What stands there, and what is wrong if nothing can be read. Raises nothing."""
    kind, _, place = reference.partition(":")
    if kind == "env":
        value = os.environ.get(place)
        return ("", "this environment variable is not set.") if value is None else (value, "")
    try:
        with open(place, encoding="utf-8") as file:
            return file.read().removesuffix("\n").removesuffix("\r"), ""
    except OSError as error:
        return "", f"the file can't be read ({error.strerror})."
    except ValueError:
        return "", "the file is not text."
