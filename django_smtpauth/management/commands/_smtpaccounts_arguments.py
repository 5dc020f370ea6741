"""The arguments of `manage.py smtpaccounts`."""

import argparse
from typing import Any

from django.core.management.base import CommandParser

from django_smtpauth.management.secret_options import add_secrets
from django_smtpauth.models import SECRETS


class _ActionParser(CommandParser):
    """Takes options between the words, too: `set billing --scope b host=…`."""

    _intermixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._intermixed:
            # Before Python 3.12 the other method calls this one.
            return super().parse_known_args(args, namespace)
        self._intermixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixed = False


def add_actions(parser: CommandParser) -> None:
    """One parser for each action, under `action`."""
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=_ActionParser
    )

    def action(name: str, summary: str) -> Any:
        made = actions.add_parser(name, help=summary, description=summary)
        _add_common(made)
        return made

    action("list", "one line for each account of a scope")

    show = action("show", "everything about an account, of its secrets the state only")
    show.add_argument("slug", metavar="SLUG")

    set_ = action(
        "set",
        "create or change an account, or with - or --stdin one for each line of JSON; what is so "
        "already is not written; all lines are written, or none",
    )
    set_.add_argument("slug", metavar="SLUG", nargs="?", help="the account; - reads lines of JSON")
    set_.add_argument(
        "words", metavar="FIELD=VALUE", nargs="*", help="fields as `show` names them"
    )
    set_.add_argument("--stdin", action="store_true", help="read lines of JSON")
    set_.add_argument(
        "--keep-going",
        action="store_true",
        help="write each line in a transaction of its own, and pass over those that are wrong",
    )
    add_secrets(set_, SECRETS)

    password = action("set-password", "store a password; asks for it on a terminal")
    password.add_argument("slug", metavar="SLUG")
    add_secrets(password, ["password"])

    move = action(
        "move",
        "change where an account's secrets may go, and seal them anew, without typing them; for "
        "who holds the keys",
    )
    move.add_argument("slug", metavar="SLUG")
    move.add_argument("words", metavar="FIELD=VALUE", nargs="+", help="host=… port=… security=…")
    _add_dry_run(move)
    _add_noinput(move)

    for name in ("enable", "disable", "delete"):
        made = action(name, f"{name} accounts")
        made.add_argument("slugs", metavar="SLUG", nargs="+")
    _add_noinput(made)

    taken = action(
        "import-settings",
        "make an account of EMAIL_*, SMTPAUTH['DEFAULTS'] or an entry of MAILERS",
    )
    which = taken.add_mutually_exclusive_group()
    which.add_argument("--using", metavar="ALIAS", help="the mailer (default: default)")
    which.add_argument("--all", action="store_true", help="every mailer of this package")
    taken.add_argument("--slug", metavar="SLUG", help="the account (default: as the mailer)")
    _add_dry_run(taken)

    action("export-mailers", "print the setting MAILERS (Django 6.1) for the enabled accounts")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scope", help="the tenant (default: the current one)")
    parser.add_argument("--database", metavar="ALIAS", help="default: where accounts are written")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    # Django's own, which else had to stand in front of the action; unsaid, those there hold.
    kept: Any = {"default": argparse.SUPPRESS}
    parser.add_argument(
        "-v", "--verbosity", type=int, choices=[0, 1, 2, 3], help="0: quiet", **kept
    )
    for name in ("--settings", "--pythonpath"):
        parser.add_argument(name, help=argparse.SUPPRESS, **kept)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", help=argparse.SUPPRESS, **kept)


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")


def _add_noinput(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--noinput",
        "--no-input",
        "--yes",
        action="store_false",
        dest="interactive",
        help="ask nothing",
    )
