"""The options by which a command gets a secret, and how it reads one. None is a word of argv."""

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from django_smtpauth.provisioning import secret_sources

#: What reads a secret: by the kind of its option, from the secret's name and the option's value.
READ: Final[dict[str, Callable[[str, Any], secret_sources.Found]]] = {
    "stdin": lambda name, _: secret_sources.from_stream(name, sys.stdin.buffer),
    "file": lambda name, path: secret_sources.from_reference(name, f"file:{path}"),
    "env": lambda name, variable: secret_sources.from_reference(name, f"env:{variable}"),
}


def add_secrets(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, names: Sequence[str]
) -> None:
    """The options --NAME-stdin, --NAME-file and --NAME-env for each of these secrets."""
    for name in names:
        option, said = name.replace("_", "-"), name.replace("_", " ")
        sources = parser.add_mutually_exclusive_group()
        sources.add_argument(
            f"--{option}-stdin", action="store_true", help=f"read the {said} from standard input"
        )
        sources.add_argument(
            f"--{option}-file", metavar="FILE", help=f"read the {said} from a file"
        )
        sources.add_argument(
            f"--{option}-env", metavar="NAME", help=f"take the {said} from the environment"
        )


def typed(prompt: str) -> secret_sources.Found:
    """A password from the terminal, without an echo."""
    return secret_sources.from_text("password", getpass.getpass(prompt))
