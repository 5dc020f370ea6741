"""The arguments of `manage.py smtptest`, and what they may not be together."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser, DjangoHelpFormatter

from django_smtpauth.diagnosis.report import STAGES
from django_smtpauth.management.secret_options import add_secrets
from django_smtpauth.sending.addressing import envelope_address, envelope_sender

SUMMARY: Final = """\
Tries the way that this site's mail takes, and says what to change when it
fails. Without an address it connects and logs in; with one it sends a test
message there."""

#: What is done, by what is given.
DEPTHS: Final = """\
what is done:
  smtptest                    connects, TLS, log-in; nothing is mailed
  smtptest --check            names a sender and a recipient, too, and takes
                              them back (MAIL, RCPT, RSET); nothing is mailed
  smtptest --check ADDRESS    the same with this recipient; nothing is mailed
  smtptest ADDRESS            SENDS a test message
  --stop-after STAGE          with any of these: ends after STAGE; nothing is
                              mailed if that comes before DELIVERY. REUSE and
                              DATA are tried only when they are named, and
                              with DATA, too, nothing is mailed

stages: {stages}

Exit codes tell the stage: see docs/smtptest.md."""

#: Options of the command, by the option of a mailer that each one sets.
MAILER_OPTIONS: Final = {
    "host": "--host",
    "port": "--port",
    "security": "--security",
    "username": "--username",
    "auth_mechanisms": "--mechanism",
    "pipelining": "--no-pipelining",
    "bdat": "--bdat",
    "ehlo_name": "--ehlo",
    "source_address": "--source",
    "protocol": "--lmtp",
    "tls_minimum": "--tls-min",
    "ca_file": "--ca",
    "verify": "--no-verify",
    "ssl_certfile": "--cert",
    "ssl_keyfile": "--key",
}

#: Options that only an ad hoc server has, and those that make a text for the message.
_AD_HOC: Final = ("port", "security", "username")
_SECRETS: Final = ("password_stdin", "password_file", "password_env", "password_netrc")
_WORDED: Final = ("cc", "subject", "body", "html", "attach", "header", "size")


class HelpFormatter(argparse.RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's, which leaves the table below the options as it is."""


def epilog() -> str:
    """What stands below the options in --help."""
    rows, row = [], ""
    for name in STAGES:
        if len(f"{row} {name}") > 62:
            rows.append(row)
            row = ""
        row = f"{row} {name}".strip()
    return DEPTHS.format(stages="\n        ".join([*rows, row]))


def add_arguments(parser: CommandParser) -> None:
    """All options, by what they are about."""
    _add_targets(parser)
    _add_depth(parser.add_argument_group("how far"))
    _add_dialogue(parser.add_argument_group("dialogue (over what account or mailer say)"))
    _add_message(parser.add_argument_group("message"))
    _add_output(parser.add_argument_group("output"))


def _add_targets(parser: CommandParser) -> None:
    parser.add_argument(
        "addresses",
        nargs="*",
        metavar="ADDRESS",
        type=_address(envelope_address),
        help="send a test message to this address; without any, nothing is sent",
    )
    group = parser.add_argument_group("server (default: the way of this site's mail)")
    way = group.add_mutually_exclusive_group()
    way.add_argument("--account", metavar="SLUG", help="use this account")
    way.add_argument("--using", metavar="ALIAS", help="use this mailer of MAILERS")
    way.add_argument(
        "--all",
        action="store_true",
        dest="every",
        help="try every enabled account and every mailer of this package; a table sums up",
    )
    way.add_argument("--host", help="use this server, or Unix socket, and nothing of the site's")
    group.add_argument("--port", type=int, help="with --host (default: as --security has it)")
    group.add_argument(
        "--security",
        choices=["implicit_tls", "starttls", "opportunistic", "none"],
        help="with --host (default: implicit_tls on port 465, none by --lmtp or to a Unix "
        "socket, else starttls)",
    )
    group.add_argument(
        "--username",
        help="with --host: log in; asks for the password, unless one of these says where it is",
    )
    add_secrets(group, ["password"])
    group.add_argument(
        "--password-netrc",
        metavar="FILE",
        nargs="?",
        const="~/.netrc",
        help="take the password from a netrc file (default: ~/.netrc)",
    )


def _add_depth(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--check",
        action="store_true",
        help="name sender and recipients, and take them back; nothing is mailed",
    )
    group.add_argument(
        "--stop-after",
        metavar="STAGE",
        type=str.upper,
        choices=STAGES,
        help="end after this stage",
    )
    group.add_argument(
        "--explain",
        metavar="FILE",
        help="explain an error, a bounce or a log line from this file, or from standard input "
        "(-); nothing is connected to",
    )
    group.add_argument(
        "--as-swaks",
        action="store_true",
        help="print the line for swaks that does the same, without the password, and end",
    )


def _add_dialogue(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--mechanism",
        action="append",
        metavar="NAME",
        help="log in by this SASL mechanism; may be given several times, preferred first",
    )
    group.add_argument(
        "--no-pipelining",
        action="store_false",
        default=None,
        dest="pipelining",
        help="wait for each answer",
    )
    group.add_argument(
        "--bdat",
        action=argparse.BooleanOptionalAction,
        help="send the content in chunks, or do not",
    )
    group.add_argument("--ehlo", metavar="NAME", help="the name of this client")
    group.add_argument("--source", metavar="IP", help="connect from this address")
    family = group.add_mutually_exclusive_group()
    for number in (4, 6):
        family.add_argument(
            f"-{number}",
            action="store_const",
            const=number,
            dest="family",
            help=f"use IPv{number} addresses only",
        )
    group.add_argument("--lmtp", action="store_true", help="speak LMTP")
    group.add_argument("--tls-min", metavar="VERSION", help="1.2 or 1.3")
    group.add_argument("--ca", metavar="FILE", help="trust these authorities, and no others")
    group.add_argument(
        "--no-verify",
        action="store_true",
        help="DANGER: do not verify the certificate; the password may go to anybody",
    )
    group.add_argument("--cert", metavar="FILE", help="client certificate (PEM)")
    group.add_argument("--key", metavar="FILE", help="its key (PEM)")


def _add_message(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--from",
        dest="sender",
        metavar="ADDR",
        type=_address(envelope_sender),
        help="the sender (default: DEFAULT_FROM_EMAIL, or the account's own address)",
    )
    for name, said in (
        ("to", "the same as ADDRESS"),
        ("cc", "send to this address as well"),
        ("bcc", "send to this address as well, and do not tell"),
    ):
        group.add_argument(
            f"--{name}",
            action="append",
            metavar="ADDR",
            type=_address(envelope_address),
            help=said,
        )
    group.add_argument(
        "--subject", metavar="TEXT", help="in place of one that names site and machine"
    )
    group.add_argument("--body", metavar="TEXT", help="plain text; @FILE reads a file")
    group.add_argument("--html", metavar="TEXT", help="HTML beside it; @FILE reads a file")
    group.add_argument("--attach", action="append", metavar="FILE", help="attach this file")
    group.add_argument("--header", action="append", metavar="'NAME: TEXT'", help="add this header")
    group.add_argument("--eml", metavar="FILE", help="send this message, to ADDRESS")
    group.add_argument(
        "--size", metavar="N", type=_count, help="fill the text up to so many octets"
    )
    group.add_argument(
        "--count", metavar="N", type=_count, default=1, help="send so many messages"
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--json", action="store_true", help="one JSON object for each server, on a line"
    )
    group.add_argument(
        "--changes",
        metavar="FILE",
        help="tell only what failed newly since the last run with this file, and fail only then",
    )
    group.add_argument(
        "--transcript", metavar="FILE", help="write the dialogue into this file, redacted"
    )
    group.add_argument(
        "--hide-data", action="store_true", help="with -v 3: do not show the message"
    )
    group.add_argument(
        "--hide-addresses", action="store_true", help="show numbers in place of addresses"
    )


def check_combination(options: dict[str, Any]) -> None:
    """Raises CommandError for options that do not go together, with the cure."""
    options["addresses"] = [*options["addresses"], *(options["to"] or ())]
    recipients = [*options["addresses"], *(options["cc"] or ()), *(options["bcc"] or ())]
    options["recipients"] = tuple(dict.fromkeys(recipients))
    if not options["host"] and (given := _given(options, (*_AD_HOC, *_SECRETS))):
        raise CommandError(f"{given[0]} describes a server of its own: give --host, too.")
    sources = _given(options, _SECRETS)
    if sources and not options["username"]:
        raise CommandError(f"{sources[0]} needs --username: whose password it is.")
    if len(sources) > 1:
        raise CommandError(f"{' and '.join(sources)} exclude each other. Keep one of the two.")
    if options["key"] and not options["cert"]:
        raise CommandError("--key needs --cert: a key alone identifies nobody.")
    _check_message(options)


def _check_message(options: dict[str, Any]) -> None:
    if options["eml"] and (given := _given(options, _WORDED)):
        raise CommandError(f"{given[0]} can't stand with --eml, which is a whole message.")
    sends = sends_message(options)
    if options["stop_after"] == "DELIVERY" and not sends:
        raise CommandError("--stop-after DELIVERY needs an ADDRESS to send to, and no --check.")
    if sends:
        return
    for name in ("eml", "subject", "body", "html", "attach", "header", "size"):
        if options[name]:
            raise CommandError(f"--{name} is for a message, and none is sent: see --help.")
    if options["count"] > 1:
        raise CommandError("--count is for messages, and none is sent: see --help.")


def sends_message(options: Mapping[str, Any]) -> bool:
    """Whether a message leaves: the table in --help, as a rule."""
    stage = options["stop_after"] or "QUIT"
    late = STAGES.index(stage) >= STAGES.index("DELIVERY") and stage != "DATA"
    return bool(options["recipients"]) and late and not options["check"]


def _given(options: dict[str, Any], names: Iterable[str]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names if options[name]]


def _address(read: Callable[[str], str]) -> Callable[[str], str]:
    def address(text: str) -> str:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return address


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {text!r}.")
    return int(text)
