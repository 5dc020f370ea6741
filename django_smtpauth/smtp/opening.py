"""From a fresh connection to a session that may send: greeting, TLS, EHLO, AUTH."""

from __future__ import annotations

from collections.abc import Iterator

from . import commands
from .authentication import log_in
from .endpoint import Endpoint
from .errors import (
    ConnectError,
    Disconnected,
    HelloRefused,
    NotSupported,
    TLSError,
)
from .needs import Conversation, Handshake, StartTLS
from .refusals import Refusals
from .replies import Reply
from .tls import PeerFacts, Security
from .wire import Wire


class Opened:
    """What opening showed.

    tls: facts of the handshake, or None without TLS; mechanism: the SASL mechanism used, or "".
    greeting: the server's first reply.
    """

    def __init__(self) -> None:
        self.tls: PeerFacts | None = None
        self.mechanism = ""
        self.greeting: Reply | None = None


#: The stage that a step belongs to, and the step.
Step = tuple[str, Conversation[None]]


def opening_steps(
    opened: Opened,
    wire: Wire,
    endpoint: Endpoint,
    *,
    ehlo_name: str,
    loopback: bool,
    refusals: Refusals,
) -> Iterator[Step]:
    """What makes the session ready for mail, in order; a step raises SMTPError.

    Each step has to be over before the next one is asked for: that depends on what it showed.

    opened: is told what the steps show. loopback: the peer is this machine, so a password may go
    to it in clear. refusals: what is remembered of credentials that were refused.
    """
    if endpoint.security is Security.IMPLICIT_TLS:
        yield "TLS", _secure(opened, wire, endpoint)
    yield "GREETING", _greet(opened, wire)
    yield "EHLO", _hello(wire, ehlo_name, endpoint)
    if _wants_starttls(wire, endpoint):
        yield "TLS", _start_tls(opened, wire, endpoint)
        yield "EHLO", _hello(wire, ehlo_name, endpoint)
    if endpoint.credentials is not None:
        log_in_now = log_in(
            wire,
            endpoint,
            endpoint.credentials,
            opened.tls,
            loopback=loopback,
            refusals=refusals,
        )
        yield "AUTH", _authenticate(opened, log_in_now)


def _demands(endpoint: Endpoint) -> str:
    """What is demanded of the server that HELO can't give, or an empty text."""
    wanted = ["STARTTLS"] if endpoint.security is Security.STARTTLS else []
    wanted += ["AUTH"] if endpoint.credentials is not None else []
    return " and ".join(wanted)


def _greet(opened: Opened, wire: Wire) -> Conversation[None]:
    try:
        reply = yield from wire.ask(commands.greeting())
    except Disconnected as error:
        # Before the greeting there is no session: callers know this as a failed connection.
        raise ConnectError(
            error.message, stage="GREETING", reply=error.reply, transient=True
        ) from None
    if reply.klass != 2:
        raise ConnectError(stage="GREETING", reply=reply)
    opened.greeting = reply


def _hello(wire: Wire, name: str, endpoint: Endpoint) -> Conversation[None]:
    """EHLO, or HELO where a server refuses it for good (RFC 5321 3.2); in LMTP it is LHLO."""
    if endpoint.protocol == "lmtp":
        reply = yield from wire.ask(commands.lhlo(name))
        if reply.klass == 5:
            raise HelloRefused(
                stage="EHLO", reply=reply, cure="Is this a server for SMTP? Use protocol 'smtp'."
            )
    else:
        reply = yield from wire.ask(commands.ehlo(name))
    if reply.klass == 5:
        demands = _demands(endpoint)
        if demands:
            raise NotSupported(
                f"the server refused EHLO, so it has no {demands}",
                stage="EHLO",
                reply=reply,
                reason="no-esmtp",
            )
        reply = yield from wire.ask(commands.helo(name))
    if reply.klass != 2:
        raise HelloRefused(stage="EHLO", reply=reply)


def _wants_starttls(wire: Wire, endpoint: Endpoint) -> bool:
    if endpoint.security is not Security.OPPORTUNISTIC:
        return endpoint.security is Security.STARTTLS
    offered = wire.session.extensions.starttls
    if not offered:
        wire.session.log("*", "EHLO", "no STARTTLS is offered: going on without TLS")
    return offered


def _start_tls(opened: Opened, wire: Wire, endpoint: Endpoint) -> Conversation[None]:
    if not wire.session.extensions.starttls:
        raise NotSupported(
            "the server does not offer STARTTLS",
            stage="TLS",
            reason="starttls-missing",
            cure="Use implicit TLS if the server has a port for it (usually 465).",
        )
    reply = yield from wire.ask(commands.starttls())
    if reply.klass != 2:
        raise TLSError(stage="TLS", command="STARTTLS", reply=reply)
    yield from _secure(opened, wire, endpoint)


def _secure(opened: Opened, wire: Wire, endpoint: Endpoint) -> Conversation[None]:
    wire.patience.expect(wire.patience.timeouts.reply)
    handshake: Handshake = yield StartTLS(wire.patience.left())
    if handshake.facts is None:
        wire.session.broken = True
        fault = handshake.fault or TLSError("the handshake failed", stage="TLS")
        fault.stage = fault.stage or "TLS"
        raise fault
    _check_pin(wire, endpoint, handshake.facts)
    wire.session.secured(f"{handshake.facts.version} ({handshake.facts.cipher})")
    opened.tls = handshake.facts


def _authenticate(opened: Opened, log_in_now: Conversation[str]) -> Conversation[None]:
    opened.mechanism = yield from log_in_now


def _check_pin(wire: Wire, endpoint: Endpoint, facts: PeerFacts) -> None:
    pins = endpoint.tls.pins
    if not pins or facts.pin in pins:
        return
    wire.session.broken = True
    raise TLSError(
        f"the public key of {endpoint.host} is not the pinned one: its pin is "
        f"{facts.pin or 'unknown, since its certificate can not be read'}",
        stage="TLS",
        reason="pin",
        cure="Use that pin if you know from elsewhere that the server has a new key."
        if facts.pin
        else "",
        transient=False,
        host=endpoint.host,
        chain=facts.chain,
    )
