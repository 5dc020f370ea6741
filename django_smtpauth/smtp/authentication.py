"""AUTH (RFC 4954): one exchange with one mechanism."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, Final

from . import commands
from .endpoint import Endpoint
from .errors import AuthenticationRefused, NotSupported, ProtocolError, SMTPError
from .needs import Call, Conversation
from .refusals import Refusals, is_final
from .replies import Reply
from .sasl import (
    MECHANISMS,
    ChannelBinding,
    Credentials,
    Dialogue,
    Login,
    Mechanism,
    channel_binding,
    choose,
)
from .sasl.binding import SERVER_END_POINT
from .sasl.credentials import Kind, no_secret
from .sasl.mechanisms import CERTIFICATE_NEEDED
from .sasl.scram import BINDING_TYPE_REFUSED
from .tls import PeerFacts
from .wire import Wire

#: Challenges answered in one AUTH exchange.
MAX_CHALLENGES = 10
#: Octets of user name and secret together: in base64 they fit into one line (RFC 4954 4).
MAX_CREDENTIALS = 9_000
#: Characters of one remark of a mechanism.
MAX_NOTE = 500
#: The reason of the error that says: this was refused a short time ago, and not tried again.
REFUSED_BEFORE: Final = "refused-before"

_PLUS: Final = "-PLUS"


def log_in(
    wire: Wire,
    endpoint: Endpoint,
    credentials: Credentials,
    facts: PeerFacts | None,
    *,
    loopback: bool,
    refusals: Refusals,
) -> Conversation[str]:
    """Authenticates as the endpoint says; returns the mechanism's name. A refusal is final.

    facts: of the TLS handshake, None without TLS. loopback: the peer is this machine, so a
    secret may go to it in clear. refusals: credentials in it are not tried, unless the endpoint
    says so; it learns what comes of those that are. Raises SMTPError.
    """
    offered = wire.session.extensions.auth
    mechanism = choose(
        offered,
        endpoint.auth_mechanisms,
        may_reveal=facts is not None or loopback or endpoint.allow_auth_without_tls,
        has=_proofs(credentials, endpoint, facts),
        facts=facts,
    )
    binding = channel_binding(mechanism.binding or SERVER_END_POINT, facts)
    # A mechanism that could bind itself says so, unless the server offered that: then "we could,
    # but you can't" would mean that someone took the offer away (RFC 5802 section 6).
    bound = mechanism.binding or not any(name.endswith(_PLUS) for name in offered)
    memory = _Memory(refusals, endpoint)
    exchange = _Exchange(
        wire, endpoint, credentials, mechanism, binding if bound else None, memory
    )
    yield from exchange.run()
    if exchange.binding_refused and _may_unbind(mechanism, endpoint, offered):
        # Many servers that offer -PLUS know other types of binding only. No proof was sent, and
        # the certificate was verified.
        unbound = MECHANISMS[mechanism.name.removesuffix(_PLUS)]
        note = f"{mechanism.name} is refused with {mechanism.binding}: trying {unbound.name}"
        wire.session.log("*", "AUTH", note)
        mechanism = unbound
        exchange = _Exchange(wire, endpoint, credentials, mechanism, None, memory)
        yield from exchange.run()
    memory.learn(exchange.failure)
    if exchange.failure is not None:
        raise exchange.failure
    return mechanism.name


def _proofs(
    credentials: Credentials, endpoint: Endpoint, facts: PeerFacts | None
) -> tuple[Kind, ...]:
    """What can be proven with. Beside a secret, a certificate counts only for those who name
    their mechanisms."""
    certificate = facts is not None and endpoint.tls.has_client_certificate
    if credentials.kind == "certificate" and not certificate:
        raise NotSupported(
            "there is no TLS with a client certificate",
            stage="AUTH",
            reason="no-client-certificate",
            cure=CERTIFICATE_NEEDED,
        )
    if certificate and endpoint.auth_mechanisms is not None:
        return credentials.kind, "certificate"
    return (credentials.kind,)


def _may_unbind(mechanism: Mechanism, endpoint: Endpoint, offered: Iterable[str]) -> bool:
    """Whether the same mechanism without -PLUS is offered and allowed, inside verified TLS."""
    name = mechanism.name.removesuffix(_PLUS)
    allowed = endpoint.auth_mechanisms
    named = allowed is None or name in (other.upper() for other in allowed)
    return endpoint.tls.verify and named and name != mechanism.name and name in offered


class _Memory:
    """What is remembered of the credential of one log-in."""

    def __init__(self, refusals: Refusals, endpoint: Endpoint) -> None:
        self._refusals = refusals
        self._endpoint = endpoint
        self._digest: bytes | None = None

    def refused_before(self, username: str, kind: Kind, secret: str) -> SMTPError | None:
        """The refusal of the last minutes, unless the endpoint wants to ask again."""
        self._digest = self._refusals.digest(self._endpoint.address, username, kind, secret)
        refusal = self._refusals.find(self._digest)
        if refusal is None or self._endpoint.ask_again:
            return None
        age, left = self._refusals.age(refusal), self._refusals.left(refusal)
        return AuthenticationRefused(
            f"the server refused this user name with this {kind} {age:.0f} seconds ago; to keep "
            f"the mailbox from being locked it is not tried again before {left:.0f} seconds "
            "have passed",
            stage="AUTH",
            reply=refusal.reply,
            reason=REFUSED_BEFORE,
            cure=f"Another user name or {kind} is tried at once.",
        )

    def learn(self, failure: SMTPError | None) -> None:
        """What came of the exchange; one without a secret leaves nothing to remember."""
        if self._digest is None:
            return
        if failure is None:
            self._refusals.forget(self._digest)
        elif isinstance(failure, AuthenticationRefused) and is_final(failure.reply):
            self._refusals.add(self._digest, failure.reply)


class _Exchange:
    """Turns challenges into responses, and keeps secrets out of every frame.

    Whatever is raised carries the frames that it passed through to error pages. So the secret,
    and what is made of it, never stands in a local variable of a frame that can raise; and what
    a mechanism raises goes into `failure`, without the frames of the mechanism.
    """

    def __init__(
        self,
        wire: Wire,
        endpoint: Endpoint,
        credentials: Credentials,
        mechanism: Mechanism,
        binding: ChannelBinding | None,
        memory: _Memory,
    ) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._mechanism = mechanism
        self._binding = binding
        self._memory = memory
        self._credentials = credentials
        self._command = f"AUTH {mechanism.name}"
        self._notes: list[str] = []
        self._forms: list[str] = []
        self._ended = False
        self.failure: SMTPError | None = None
        #: The server can't do our type of channel binding, and has seen no proof.
        self.binding_refused = False

    def run(self) -> Conversation[None]:
        """The whole exchange; `failure` tells what came of it. Raises what the credentials'
        callable raises, and SMTPError when the connection can't be used any more."""
        try:
            needless = self._mechanism.needs == "certificate"
            self._begin((yield Call(no_secret if needless else self._credentials.secret)))
            command = yield from self._first()
            if command is None:
                return
            reply = yield from self._wire.ask(command)
            challenges = 0
            while reply.code == 334:
                challenges += 1
                if challenges > MAX_CHALLENGES:
                    raise ProtocolError("The server sent too many challenges.", stage="AUTH")
                command = yield from self._next(reply)
                reply = yield from self._wire.ask(command)
            self._judge_binding(reply, challenges)
            yield from self._conclude(reply)
        finally:
            self._wire.session.hide()

    def _begin(self, secret: str) -> None:
        """Starts the mechanism."""
        username = self._credentials.username
        problem = _unfit(username, secret) or self._refused_before(secret)
        if problem is not None:
            secret = ""
            raise problem
        self._hide(secret, _base64(secret), _base64(username))
        host, port = self._endpoint.address
        login = Login(username, secret, host, port, self._binding, self._note)
        self._dialogue = _dialogue(self._mechanism, login)

    def _refused_before(self, secret: str) -> SMTPError | None:
        if self._mechanism.needs == "certificate":
            return None
        username, kind = self._credentials.username, self._credentials.kind
        problem = self._memory.refused_before(username, kind, secret)
        if problem is not None:
            self._wire.session.log("*", "AUTH", problem.message)
        return problem

    def _first(self) -> Conversation[commands.Command | None]:
        """The AUTH command; None if the mechanism failed before it said a word."""
        initial = yield from self._advance(None)
        if self._ended:
            self._fail(SMTPError(f"the mechanism {self._mechanism.name} says nothing"))
        if self.failure is not None:
            return None
        try:
            return commands.auth(self._mechanism.name, initial)
        except ValueError:
            self._fail(_too_long())
            return None

    def _next(self, reply: Reply) -> Conversation[commands.Command]:
        """The response to a challenge, or a cancellation (then `failure` says why)."""
        if self.failure is not None:
            return commands.cancel()
        try:
            challenge = base64.b64decode(reply.lines[0].strip(), validate=True)
        except (binascii.Error, ValueError):
            self._fail(ProtocolError("The server's challenge is not base64."))
            return commands.cancel()
        octets = yield from self._advance(challenge)
        if self._ended:
            wrong = "The server asks for more than the mechanism has to say."
            self._fail(ProtocolError(wrong))
        if self.failure is not None:
            return commands.cancel()
        try:
            return commands.response(octets or b"")
        except ValueError:
            self._fail(_too_long())
            return commands.cancel()

    def _judge_binding(self, reply: Reply, challenges: int) -> None:
        told = self.failure is not None and self.failure.reason == BINDING_TYPE_REFUSED
        unproven = told or challenges == 0
        self.binding_refused = bool(self._mechanism.binding) and unproven and reply.klass == 5

    def _conclude(self, reply: Reply) -> Conversation[None]:
        """The server's verdict, and the mechanism's about the server."""
        if reply.klass == 2:
            if self.failure is None:
                yield from self._advance(None)
                if not self._ended:
                    early = f"The server reported success before {self._mechanism.name} was done."
                    self._fail(ProtocolError(early))
            self._wire.session.broken = self.failure is not None
        elif self.failure is None:
            self._fail(AuthenticationRefused("\n".join(self._notes), reply=reply))

    def _advance(self, said: bytes | None) -> Conversation[bytes | None]:
        """What the mechanism says next; `_ended` or `failure` tell if it says nothing more."""
        step = self._resume(said)
        while isinstance(step, Call):
            step = self._resume((yield step))
        if step:
            self._hide(base64.b64encode(step).decode(), step.decode("utf-8", "replace"))
        return step

    def _resume(self, answer: Any) -> bytes | Call | None:
        try:
            return self._dialogue.send(answer)
        except StopIteration:
            self._ended = True
        except SMTPError as error:
            self._fail(error)
        except Exception as error:
            self._fail(_mistake(self._mechanism.name, error))
        return None

    def _fail(self, error: SMTPError) -> None:
        """Keeps the first failure, without the frames that it passed through."""
        if self.failure is None:
            error.stage = error.stage or "AUTH"
            error.command = error.command or self._command
            error.__cause__ = error.__context__ = None
            self.failure = error.with_traceback(None)

    def _note(self, text: str) -> None:
        """A remark for the transcript, on one line, without any form of the secret."""
        forms = sorted(self._forms, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, forms)), commands.REDACTED, text) if forms else text
        text = "".join(c if c.isprintable() else "?" for c in text)[:MAX_NOTE]
        self._notes.append(text)
        self._wire.session.log("*", "AUTH", text)

    def _hide(self, *forms: str) -> None:
        self._forms += filter(None, forms)
        self._wire.session.hide(*forms)


def _dialogue(mechanism: Mechanism, login: Login) -> Dialogue:
    """The mechanism's, begun when it is first asked, so that what it raises is caught there."""
    yield from mechanism.start(login)


def _mistake(mechanism: str, error: Exception) -> SMTPError:
    """A mechanism's own mistake, by its place: the words of the error may hold a secret."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_globals.get('__name__')}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return SMTPError(
        f"the mechanism {mechanism} failed: {type(error).__name__} in {place}",
        reason="mechanism-failed",
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _too_long() -> NotSupported:
    return NotSupported(
        "user name and secret make a line that is too long for AUTH",
        reason="credentials-too-long",
    )


def _unfit(username: str, secret: object) -> NotSupported | None:
    """Why no mechanism could say these, if so."""
    if not isinstance(secret, str) or _UNFIT.search(secret) or _UNFIT.search(username):
        return NotSupported(
            "user name and secret must be text that UTF-8 can express, without NUL",
            stage="AUTH",
            reason="credentials-not-text",
        )
    if len(username.encode()) + len(secret.encode()) > MAX_CREDENTIALS:
        return NotSupported(
            f"user name and secret have more than {MAX_CREDENTIALS} octets",
            stage="AUTH",
            reason="credentials-too-long",
        )
    return None


_UNFIT = re.compile("[\0\ud800-\udfff]")
