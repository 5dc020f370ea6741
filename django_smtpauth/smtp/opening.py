"""From a fresh connection to a session that may send: greeting, TLS, EHLO, AUTH."""

from __future__ import annotations

import base64
import binascii

from . import commands
from .endpoint import Endpoint
from .errors import (
    AuthenticationRefused,
    ConnectError,
    Disconnected,
    HelloRefused,
    NotSupported,
    ProtocolError,
    SMTPError,
    TLSError,
)
from .needs import Call, Conversation, Handshake, StartTLS
from .replies import Reply
from .sasl import Credentials, Mechanism, choose
from .tls import PeerFacts, Security
from .wire import Wire

#: Challenges answered in one AUTH exchange.
MAX_CHALLENGES = 10
#: Octets of user name and password together: in base64 they fit into one line (RFC 4954 4).
MAX_CREDENTIALS = 9_000


class Opened:
    """What opening showed.

    tls: facts of the handshake, or None without TLS; mechanism: the SASL mechanism used, or "".
    greeting: the server's first reply.
    """

    def __init__(self) -> None:
        self.tls: PeerFacts | None = None
        self.mechanism = ""
        self.greeting: Reply | None = None


def open_session(
    wire: Wire, endpoint: Endpoint, *, ehlo_name: str, loopback: bool
) -> Conversation[Opened]:
    """Makes the session ready for mail, or raises SMTPError.

    loopback: the peer is this machine, so a password may go to it in clear.
    """
    opened = Opened()
    if endpoint.security is Security.IMPLICIT_TLS:
        opened.tls = yield from _handshake(wire)
    opened.greeting = yield from _greeting(wire)
    demands = _demands(endpoint)
    yield from _hello(wire, ehlo_name, demands)
    if endpoint.security is Security.STARTTLS:
        opened.tls = yield from _start_tls(wire)
        yield from _hello(wire, ehlo_name, demands)
    if endpoint.credentials is not None:
        safe = opened.tls is not None or loopback or endpoint.allow_auth_without_tls
        mechanism = choose(wire.session.extensions.auth, endpoint.auth_mechanisms, may_reveal=safe)
        yield from _authenticate(wire, endpoint.credentials, mechanism)
        opened.mechanism = mechanism.name
    return opened


def _demands(endpoint: Endpoint) -> str:
    """What is demanded of the server that HELO can't give, or an empty text."""
    wanted = ["STARTTLS"] if endpoint.security is Security.STARTTLS else []
    wanted += ["AUTH"] if endpoint.credentials is not None else []
    return " and ".join(wanted)


def _greeting(wire: Wire) -> Conversation[Reply]:
    try:
        reply = yield from wire.ask(commands.greeting())
    except Disconnected as error:
        # Before the greeting there is no session: callers know this as a failed connection.
        raise ConnectError(
            error.message, stage="GREETING", reply=error.reply, transient=True
        ) from None
    if reply.klass != 2:
        raise ConnectError(stage="GREETING", reply=reply)
    return reply


def _hello(wire: Wire, name: str, demands: str) -> Conversation[None]:
    """EHLO, or HELO where a server refuses it for good (RFC 5321 3.2)."""
    reply = yield from wire.ask(commands.ehlo(name))
    if reply.klass == 5:
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


def _start_tls(wire: Wire) -> Conversation[PeerFacts]:
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
    return (yield from _handshake(wire))


def _handshake(wire: Wire) -> Conversation[PeerFacts]:
    wire.patience.expect(wire.patience.timeouts.reply)
    handshake: Handshake = yield StartTLS(wire.patience.left())
    if handshake.facts is None:
        wire.session.broken = True
        fault = handshake.fault or TLSError("the handshake failed", stage="TLS")
        fault.stage = fault.stage or "TLS"
        raise fault
    wire.session.secured(f"{handshake.facts.version} ({handshake.facts.cipher})")
    return handshake.facts


def _authenticate(
    wire: Wire, credentials: Credentials, mechanism: Mechanism
) -> Conversation[None]:
    """One exchange with one mechanism (RFC 4954 section 4); a refusal is final.

    The secret and what is made of it never stand in a local variable here: whatever is raised
    carries this frame to error pages.
    """
    exchange = _Exchange(wire, mechanism, credentials.username)
    exchange.begin((yield Call(credentials.secret)))
    try:
        reply = yield from wire.ask(exchange.first())
        challenges = 0
        while reply.code == 334:
            challenges += 1
            if challenges > MAX_CHALLENGES:
                raise ProtocolError("The server sent too many challenges.", stage="AUTH")
            reply = yield from wire.ask(exchange.next(reply))
    finally:
        wire.session.hide()
    failure = exchange.failure
    if failure is None and reply.klass != 2:
        failure = AuthenticationRefused(
            stage="AUTH", command=f"AUTH {mechanism.name}", reply=reply
        )
    if failure is not None:
        raise failure


class _Exchange:
    """Turns challenges into response commands, and keeps secrets out of every frame."""

    def __init__(self, wire: Wire, mechanism: Mechanism, username: str) -> None:
        self._session = wire.session
        self._mechanism = mechanism
        self._username = username
        self.failure: SMTPError | None = None

    def begin(self, secret: str) -> None:
        """Starts the mechanism."""
        unfit = _unfit(self._username, secret)
        if unfit is not None:
            secret = ""
            raise unfit
        self._session.hide(secret, _base64(secret), _base64(self._username))
        self._dialogue = self._mechanism.start(self._username, secret)

    def first(self) -> commands.Command:
        """The AUTH command."""
        initial = next(self._dialogue)
        self._hide(initial)
        return commands.auth(self._mechanism.name, initial)

    def next(self, reply: Reply) -> commands.Command:
        """The response to a challenge, or a cancellation (then `failure` says why)."""
        if self.failure is not None:
            return commands.cancel()
        try:
            challenge = base64.b64decode(reply.lines[0].strip(), validate=True)
        except (binascii.Error, ValueError):
            return self._give_up("The server's challenge is not base64.")
        try:
            octets = self._dialogue.send(challenge)
        except StopIteration:
            return self._give_up("The server asks for more than the mechanism has to say.")
        self._hide(octets)
        return commands.response(octets or b"")

    def _give_up(self, why: str) -> commands.Command:
        self.failure = ProtocolError(why, stage="AUTH", command=f"AUTH {self._mechanism.name}")
        return commands.cancel()

    def _hide(self, octets: bytes | None) -> None:
        if octets:
            self._session.hide(
                base64.b64encode(octets).decode(), octets.decode("utf-8", "replace")
            )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _unfit(username: str, secret: object) -> NotSupported | None:
    """Why no mechanism could say these, if so."""
    if not isinstance(secret, str) or _surrogates(secret) or _surrogates(username):
        return NotSupported(
            "user name and password must be text that UTF-8 can express",
            stage="AUTH",
            reason="credentials-not-text",
        )
    if len(username.encode()) + len(secret.encode()) > MAX_CREDENTIALS:
        return NotSupported(
            f"user name and password have more than {MAX_CREDENTIALS} octets",
            stage="AUTH",
            reason="credentials-too-long",
        )
    return None


def _surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
