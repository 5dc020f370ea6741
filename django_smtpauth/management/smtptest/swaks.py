"""The line for swaks that says the same to a server, so that a provider's support can repeat it.

swaks asks for the password itself: it is in no line.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django_smtpauth.sending.addressing import envelope_sender
from django_smtpauth.sending.routing import Route
from django_smtpauth.smtp.endpoint import Endpoint, is_path
from django_smtpauth.smtp.tls import Security

from .arguments import sends_message

#: Mechanisms that swaks has as well.
_MECHANISMS: Final = ("PLAIN", "LOGIN", "CRAM-MD5")
#: Its stop points, by stage; the last one that it has stands for those after it.
_STOPS: Final = {
    "CONNECT": "CONNECT",
    "GREETING": "CONNECT",
    "TLS": "TLS",
    "EHLO": "EHLO",
    "AUTH": "AUTH",
    "MAIL": "MAIL",
    "RCPT": "RCPT",
}
_TLS: Final = {
    Security.IMPLICIT_TLS: "--tls-on-connect",
    Security.STARTTLS: "--tls",
    Security.OPPORTUNISTIC: "--tls-optional",
}


def swaks_line(route: Route, options: Mapping[str, Any], sender: str) -> tuple[str, list[str]]:
    """The line, and what it can't say. sender: of the envelope."""
    endpoint = route.endpoint
    words = ["swaks", *_server(endpoint, options), *_tls(endpoint), *_log_in(endpoint)]
    words += ["--from", _bare(sender)]
    words += ["--to", ",".join(options["recipients"]) or _bare(sender)]
    words += _message(options) if sends_message(options) else ["--quit-after", _stop(options)]
    return shlex.join(words), list(_unsaid(route, options))


def _server(endpoint: Endpoint, options: Mapping[str, Any]) -> Iterator[str]:
    host, port = endpoint.address
    yield from ("--socket", host) if is_path(host) else ("--server", host, "--port", str(port))
    if endpoint.protocol == "lmtp":
        yield from ("--protocol", "LMTP")
    if options["family"]:
        yield f"-{options['family']}"
    if endpoint.source_address:
        yield from ("--local-interface", endpoint.source_address)
    if endpoint.ehlo_name:
        yield from ("--ehlo", endpoint.ehlo_name)
    yield from ("--timeout", f"{endpoint.timeouts.reply:.0f}s")


def _tls(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.security is Security.NONE:
        return
    yield _TLS[endpoint.security]
    if endpoint.tls.minimum == "1.3":
        yield from ("--tls-protocol", "tlsv1_3")
    if endpoint.tls.verify:
        yield "--tls-verify"
    if endpoint.tls.ca_file:
        yield from ("--tls-ca-path", endpoint.tls.ca_file)
    if endpoint.tls.certificate_file:
        yield from ("--tls-cert", endpoint.tls.certificate_file)
    if endpoint.tls.key_file:
        yield from ("--tls-key", endpoint.tls.key_file)


def _log_in(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.credentials is None or endpoint.credentials.kind != "password":
        return
    wanted = [name for name in endpoint.auth_mechanisms or _MECHANISMS if name in _MECHANISMS]
    yield from ("--auth", ",".join(wanted or _MECHANISMS))
    yield from ("--auth-user", endpoint.credentials.username)
    yield from ("--protect-prompt", "--auth-hide-password")


def _stop(options: Mapping[str, Any]) -> str:
    stage = options["stop_after"] or ("RCPT" if options["check"] else "AUTH")
    return _STOPS.get(stage, "CONNECT" if stage in ("CONFIGURATION", "DNS") else "RCPT")


def _message(options: Mapping[str, Any]) -> Iterator[str]:
    if options["eml"]:
        yield from ("--data", f"@{options['eml']}")
        return
    if options["subject"] is not None:
        yield from ("--header", f"Subject: {options['subject']}")
    for header in options["header"] or ():
        yield from ("--add-header", header)
    if options["body"] is not None:
        yield from ("--body", options["body"])
    if options["html"] is not None:
        yield from ("--attach-type", "text/html", "--attach-body", options["html"])
    for name in options["attach"] or ():
        yield from ("--attach", f"@{name}")


def _unsaid(route: Route, options: Mapping[str, Any]) -> Iterator[str]:
    endpoint = route.endpoint
    if route.options.proxy:
        yield "swaks can't go through the proxy."
    if endpoint.credentials is not None and endpoint.credentials.kind != "password":
        yield f"swaks can't log in with a {endpoint.credentials.kind}."
    if endpoint.auth_mechanisms and not set(endpoint.auth_mechanisms) & set(_MECHANISMS):
        yield f"swaks has none of {', '.join(endpoint.auth_mechanisms)}: others are named."
    if endpoint.tls.ca_text:
        yield "The account's own authorities are not in it: --tls-ca-path wants them in a file."
    if endpoint.tls.client_certificate:
        yield "The client certificate is not in it: it is in no file."
    if endpoint.tls.pins:
        yield "swaks can't compare pins."
    if endpoint.bdat != "never":
        yield "swaks sends no chunks (BDAT)."
    if options["size"] or options["count"] > 1:
        yield "--size and --count are not in it."


def _bare(address: str) -> str:
    """The address of a sender that may have a name, or stand for nobody."""
    try:
        return envelope_sender(address) or "<>"
    except ValueError:
        return address
