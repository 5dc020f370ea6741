"""The staged check: a route is tried step by step, and each stage tells what it showed.

Nothing is mailed unless a message is given. What is said to the server is said by the engine; the
check sets the order, the limits and the questions.

Stages that are not reached are "skipped", so every report has all of them.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from ..certificates import read_chain
from ..secrets.errors import SecretUnreadable
from ..sending.addressing import envelope_sender
from ..sending.delivery import Batch, Lines, say_more
from ..sending.guard import NotAllowed
from ..sending.results import Result
from ..sending.routing import Route
from ..sending.ways import dial_of
from ..smtp import commands, dialling
from ..smtp.connection import Connection, Dial, reach
from ..smtp.content import Content
from ..smtp.demands import obstacle
from ..smtp.dialling import AddressInfo, Dialled, Resolve, Tried, interleaved, is_address
from ..smtp.endpoint import is_path
from ..smtp.errors import (
    ConnectError,
    ContentRefused,
    RecipientsRefused,
    Refused,
    SenderRefused,
    SMTPError,
    TimedOut,
)
from ..smtp.probing import discards_chunks
from ..smtp.replies import Reply
from ..smtp.timeouts import Clock
from ..smtp.transaction import Envelope, Transaction
from ..smtp.transcript import Event, merged
from . import sender_dns, siblings
from .explain import explain
from .failure import Failure
from .finding import Finding
from .plan import FAMILIES, USUAL, Plan, limited, sender_of
from .report import STAGES, Report, StageReport, StageStatus, Target
from .said import concerns_mailbox, declared_size, last_said, mail, mailed_from, rcpts, together
from .secret_facts import facts_about_secret
from .seen import (
    Seen,
    configuration_facts,
    connect_facts,
    ehlo_facts,
    tls_facts,
    verification_of,
)
from .sender_dns import check_sender
from .warnings import blocked_ports, clock_skew, preset_of, warnings_of

if TYPE_CHECKING:
    from dns.resolver import Resolver

#: What a stage may fail with; anything else is a mistake of the program.
PROBLEMS: Final = (SMTPError, SecretUnreadable, OSError, ImproperlyConfigured)

#: What a session has had when an envelope was tried, or a message sent, and two more follow.
_ENVELOPES: Final = 3

#: Why a stage was skipped, when a person stopped the check.
INTERRUPTED: Final = "interrupted"

Progress = Callable[[StageReport], None]


def probe(
    route: Route,
    plan: Plan = USUAL,
    progress: Progress | None = None,
    *,
    resolve: Resolve = dialling.resolve,
    resolver: Resolver | None = None,
    clock: Clock = time.monotonic,
) -> Report:
    """Tries a route. What goes wrong with server, log-in or message is in the report.

    The server itself is asked, whatever it refused before.

    Raises Interrupted, with what was learnt so far, when a person stops it (KeyboardInterrupt).

    progress: is called with each stage when it has ended, the skipped ones last.
    resolve: looks the server's name up. resolver: is asked for SPF and DMARC; None: as the system
        is set up. clock: seconds.
    """
    ask_dns = partial(check_sender, resolver=resolver)
    return _Check(route, plan, progress, resolve, ask_dns, clock).run()


@dataclass
class _Draft:
    """A stage under way."""

    name: str
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    reply: Reply | None = None
    findings: list[Finding] = field(default_factory=list)
    status: StageStatus = "ok"

    def end(self) -> StageReport:
        return StageReport(
            self.name, self.status, self.seconds, self.facts, self.reply, tuple(self.findings)
        )


class Interrupted(KeyboardInterrupt):
    """A check was stopped; `report` tells what it had shown until then."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report


class _Over(Exception):
    """No further stage."""


class _Check:
    """One run."""

    def __init__(
        self,
        route: Route,
        plan: Plan,
        progress: Progress | None,
        resolve: Resolve,
        ask_dns: Callable[..., tuple[dict[str, Any], tuple[Finding, ...]]],
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._progress = progress or (lambda _: None)
        self._resolve = resolve
        self._ask_dns = ask_dns
        self._clock = clock
        self._began = clock()
        self._end = self._began + plan.total_seconds
        self._route = limited(route, plan)
        self._began_at = _now()
        self._seen = Seen(self._route, self._began_at)
        self._stages: list[StageReport] = []
        self._drafts: dict[str, _Draft] = {}
        self._open: Connection | None = None
        self._error: Exception | None = None
        self._result: Result | None = None
        self._logs: list[Iterable[Event]] = []
        self._why_skipped = "not reached"

    def run(self) -> Report:
        try:
            self._go()
        except _Over:
            pass
        except KeyboardInterrupt:
            self._close()
            self._why_skipped = INTERRUPTED
            raise Interrupted(self._report()) from None
        finally:
            self._close()
        return self._report()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _report(self) -> Report:
        self._skip_the_rest()
        return Report(
            Target.of(self._route, self._plan.mailer),
            tuple(self._stages),
            self._result,
            tuple(e._replace(time=e.time - self._began) for e in merged(*self._logs)),
            self._clock() - self._began,
            self._began_at,
            self._error,
        )

    def _go(self) -> None:
        way = self._configuration()
        self._connect(way)
        self._opening()
        message = self._plan.message
        if message is not None and self._plan.delivers:
            self._deliver(message)
        else:
            self._rehearse()
        if self._plan.reuse:
            self._reuse()
        else:
            self._skip("REUSE", "not asked for")
        self._quit()
        if self._plan.data_probe:
            self._ask_for_data()
        else:
            self._skip("DATA", "not asked for")

    # -- how a stage begins and ends

    def _draft(self, name: str) -> _Draft:
        return self._drafts.setdefault(name, _Draft(name))

    def _stage_end(self) -> float:
        return min(self._clock() + self._plan.stage_seconds, self._end)

    @contextmanager
    def _stage(self, name: str) -> Iterator[_Draft]:
        """A stage that is one piece; what fails in it ends the check."""
        draft, began = self._draft(name), self._clock()
        if self._open is not None:
            self._open.until = self._stage_end()
        try:
            yield draft
        except PROBLEMS as error:
            draft.seconds = self._clock() - began
            self._fail(draft, error)
        draft.seconds = self._clock() - began
        self._finish(draft)

    def _finish(self, draft: _Draft) -> None:
        draft.findings += warnings_of(draft.name, self._seen)
        if draft.findings and draft.status != "failed":
            draft.status = "warning"
        self._tell(draft)
        self._stop_here(draft.name)

    def _stop_here(self, name: str) -> None:
        """Ends the check if it was to go no further than this stage."""
        if name == self._plan.stop_after:
            self._why_skipped = f"the check was to end after {name}"
            raise _Over

    def _fail(self, draft: _Draft, error: Exception) -> NoReturn:
        """The stage has failed, and with it the check."""
        if isinstance(error, SMTPError):
            say_more(error, self._route)
            error.peer = error.peer or self._route.endpoint.name
            draft.reply = error.reply or draft.reply
        self._error = error
        draft.status = "failed"
        # What the stage itself found out comes first: it knows more.
        draft.findings.append(self._explained(error, draft.name))
        self._tell(draft)
        raise _Over

    def _explained(self, error: Exception, stage: str) -> Finding:
        return replace(explain(Failure.of(error, self._route)), stage=stage)

    def _skip(self, name: str, why: str) -> None:
        self._tell_skipped(name, why)
        self._stop_here(name)

    def _tell_skipped(self, name: str, why: str) -> None:
        draft = self._draft(name)
        draft.status = "skipped"
        draft.facts.setdefault("why", why)
        self._tell(draft)

    def _skip_the_rest(self) -> None:
        told = {stage.name for stage in self._stages}
        for name in STAGES:
            if name not in told:
                self._tell_skipped(name, self._why_skipped)

    def _tell(self, draft: _Draft) -> None:
        self._stages.append(draft.end())
        self._progress(self._stages[-1])

    def _reach(self, way: Dial) -> None:
        self._open = reach(self._route.endpoint, dial=way, clock=self._clock)
        self._logs.append(self._open.events)

    @property
    def _connection(self) -> Connection:
        assert self._open is not None  # noqa: S101 - CONNECT was before
        return self._open

    def _last_reply(self, events_before: int) -> Reply | None:
        """The server's last words since then; the transcript has them redacted."""
        return last_said(list(self._connection.events)[events_before:])

    # -- the stages

    def _configuration(self) -> Dial:
        with self._stage("CONFIGURATION") as draft:
            draft.facts.update(configuration_facts(self._route))
            self._look_at_secret(draft)
            return dial_of(self._route, dial=self._dial, resolve=self._look_up)

    def _look_at_secret(self, draft: _Draft) -> None:
        credentials = self._route.endpoint.credentials
        if credentials is None or credentials.kind == "certificate":
            return
        account = self._route.account
        about = {
            "preset": preset.slug if (preset := preset_of(self._seen)) else "",
            "account": account.slug if account else "",
        }
        draft.facts["secret_readable"] = False
        # AUTH, where the secret is needed, will tell why it can't be had.
        with suppress(Exception):
            found = facts_about_secret(credentials.secret(), **about)
            draft.facts["secret_readable"] = True
            draft.findings += [replace(one, stage=draft.name) for one in found]

    def _connect(self, way: Dial) -> None:
        """DNS and CONNECT: one look-up, so what is told is what was dialled."""
        host = self._route.endpoint.host
        if self._route.options.proxy and not is_path(host):
            self._skip("DNS", "the proxy looks the name up")
        elif is_path(host) or is_address(host):
            self._skip("DNS", "the host is no name")
        connect, self._mark = self._draft("CONNECT"), self._clock()
        try:
            self._reach(way)
        except PROBLEMS as error:
            self._not_connected(error)
        connect.seconds = self._clock() - self._mark
        self._seen.local = self._seen.path or self._connection.is_local
        via = str(self._route.options.proxy or "")
        connect.facts.update(connect_facts(self._seen.tried, self._connection.peer, via))
        self._finish(connect)

    def _not_connected(self, error: Exception) -> NoReturn:
        spent = self._clock() - self._mark
        if not self._is_told("DNS"):
            if not isinstance(error, NotAllowed):
                draft = self._draft("DNS")
                draft.seconds = spent
                draft.facts["host"] = self._route.endpoint.host
                self._fail(draft, error)
            self._tell_skipped("DNS", "what a name leads to is told only where it may be reached")
        draft = self._draft("CONNECT")
        draft.seconds = spent
        draft.facts.update(connect_facts(self._seen.tried))
        if isinstance(error, TimedOut) and error.reason != "proxy" and not self._seen.path:
            self._knock(draft)
        self._fail(draft, error)

    def _knock(self, draft: _Draft) -> None:
        seconds = min(siblings.PATIENCE, self._end - self._clock())
        if seconds <= 0 or not self._plan.siblings:
            return
        knocks = siblings.knock(self._route, self._plan.siblings, seconds, resolve=self._look_up)
        draft.facts["siblings"] = [one.to_dict() for one in knocks]
        finding = blocked_ports(knocks, self._route.endpoint)
        if finding is not None:
            draft.findings.append(finding)

    def _is_told(self, name: str) -> bool:
        return any(stage.name == name for stage in self._stages)

    def _look_up(self, host: str, port: int, timeout: float) -> list[AddressInfo]:
        """The addresses of the family that was asked for."""
        found = self._resolve(host, port, min(timeout, self._plan.stage_seconds))
        wanted = self._plan.family
        if wanted is None:
            return found
        admitted = [info for info in found if info[0] == FAMILIES[wanted]]
        if not admitted:
            raise ConnectError(f"{host} has no IPv{wanted} address", stage="CONNECT", reason="dns")
        return admitted

    def _dial(
        self,
        host: str,
        port: int,
        timeout: float,
        source_address: str | None = None,
        *,
        resolve: Resolve | None = None,
    ) -> Dialled:
        """The engine's, whose stages are told: `resolve` gives what may be reached."""
        if is_path(host):
            return dialling.dial(host, port, timeout, source_address)
        end = self._clock() + timeout
        infos = (resolve or self._look_up)(host, port, timeout)
        if not self._is_told("DNS"):
            draft = self._draft("DNS")
            draft.facts["host"] = host
            draft.facts["addresses"] = [str(info[4][0]) for info in interleaved(infos)]
            draft.seconds = self._clock() - self._mark
            self._finish(draft)
            self._mark = self._clock()
        return dialling.dial(
            host,
            port,
            max(end - self._clock(), 0.001),
            source_address,
            resolve=lambda *_: infos,
            watch=self._watch,
        )

    def _watch(self, tried: Tried) -> None:
        self._seen.tried.append(tried)

    def _opening(self) -> None:
        """GREETING, TLS, EHLO, AUTH, as the engine takes them."""
        connection, seen = self._connection, self._seen
        steps, last = connection.opening(), ""
        while True:
            connection.until = self._stage_end()
            began, events = self._clock(), len(connection.events)
            try:
                name = next(steps, None)
            except Exception as error:
                self._opening_failed(error, self._under_way(error, last), began)
            if name is None:
                break
            last, draft = name, self._draft(name)
            draft.seconds += self._clock() - began
            draft.reply = self._last_reply(events)
            seen.extensions = connection.extensions
            seen.tls, seen.mechanism = connection.tls, connection.mechanism
            self._opened(draft)
        if self._route.endpoint.credentials is None:
            self._skip("AUTH", "none: no user name and password")

    def _opened(self, draft: _Draft) -> None:
        """A step has succeeded."""
        seen = self._seen
        if draft.name == "GREETING":
            seen.greeting, seen.now = draft.reply, _now()
            draft.facts["clock_skew"] = clock_skew(seen)
        elif draft.name == "TLS" and seen.tls is not None:
            draft.reply = None
            seen.certificates = read_chain(seen.tls.chain)
            draft.facts.update(tls_facts(seen, verification_of(seen)))
        elif draft.name == "EHLO":
            if seen.wants_tls:
                seen.before_tls = seen.extensions
                draft.facts.update(ehlo_facts(replace(seen, extensions=None)))
                return
            if not self._is_told("TLS"):
                self._without_tls()
            draft.facts.update(ehlo_facts(seen))
        elif draft.name == "AUTH":
            draft.facts.update(self._auth_facts())
        self._finish(draft)

    def _without_tls(self) -> None:
        draft = self._draft("TLS")
        why = "none: what is sent can be read on the way"
        if self._seen.path:
            why = "none: what is sent does not leave this machine"
        draft.facts.update({**tls_facts(self._seen, ""), "why": why})
        draft.status = "skipped"
        self._finish(draft)

    def _auth_facts(self) -> dict[str, Any]:
        offered = self._seen.extensions
        tried = [
            event.text.split(" ")[1]
            for event in self._connection.events
            if event.direction == "C" and event.text.startswith("AUTH ")
        ]
        return {
            "offered": list(offered.auth) if offered else [],
            "tried": tried,
            "mechanism": self._seen.mechanism,
        }

    def _under_way(self, error: Exception, last: str) -> str:
        """The stage of an error that may not know its own."""
        stage = getattr(error, "stage", "")
        if stage in STAGES:
            return str(stage)
        return "AUTH" if last == "EHLO" and not self._seen.wants_tls else "TLS"

    def _opening_failed(self, error: Exception, name: str, began: float) -> NoReturn:
        draft = self._draft(name)
        draft.seconds += self._clock() - began
        if name == "TLS":
            self._seen.certificates = read_chain(getattr(error, "chain", ()))
            if isinstance(error, SMTPError):
                say_more(error, self._route)
            draft.facts.update(tls_facts(self._seen, getattr(error, "message", "")))
        elif name == "AUTH":
            self._seen.extensions = self._connection.extensions
            draft.facts.update(self._auth_facts())
        self._fail(draft, error)

    def _ask(self, draft: _Draft, command: commands.Command) -> Reply:
        draft.reply = self._connection.talk(lambda wire: wire.ask(command))
        return draft.reply

    def _envelope(self) -> Envelope:
        sender = self._plan.sender
        try:
            sender = sender_of(self._route) if sender is None else envelope_sender(sender or "<>")
            return Envelope.of(sender, self._plan.recipients or (sender or "postmaster",))
        except ValueError as error:
            raise SMTPError(str(error), stage="MAIL", reason="address") from None

    def _rehearse(self) -> None:
        """MAIL, RCPT, RSET: an envelope that is taken back."""
        with self._stage("MAIL") as draft:
            envelope = self._envelope()
            self._say_from(draft, envelope)
        with self._stage("RCPT") as draft:
            self._say_to(draft, envelope)
        with self._stage("RSET") as draft:
            reply = self._ask(draft, commands.rset())
            if reply.klass != 2:
                raise Refused(stage="RSET", command="RSET", reply=reply)
        self._skip("DELIVERY", "no message was given: nothing is mailed")

    def _say_from(self, draft: _Draft, envelope: Envelope) -> None:
        self._tell_sender(draft, envelope.sender)
        connection = self._connection
        problem = obstacle(
            Transaction(envelope, Content.of(b"")),
            connection.extensions,
            verified=connection.tls is not None and self._route.endpoint.tls.verify,
            authenticated=bool(connection.mechanism),
        )
        if problem is not None:
            raise problem
        command = mail(envelope)
        reply = self._ask(draft, command)
        if reply.klass != 2:
            raise SenderRefused(
                sender=envelope.sender, stage="MAIL", command=command.shown, reply=reply
            )

    def _tell_sender(self, draft: _Draft, sender: str) -> None:
        draft.facts["sender"] = sender
        if not self._plan.sender_dns or not sender:
            return
        seconds = max(min(sender_dns.PATIENCE, self._end - self._clock()), 0.0)
        facts, findings = self._ask_dns(sender, preset_of(self._seen), seconds=seconds)
        draft.facts["dns"] = facts
        draft.findings += findings

    def _say_to(self, draft: _Draft, envelope: Envelope) -> None:
        """The own address may be one that gets no mail: that is no failure. A refusal that has
        other reasons (no log-in, no relaying) is one, and so is a refusal of who was asked for."""
        answers: dict[str, Reply] = {}
        for command in rcpts(envelope):
            answers[command.argument] = self._ask(draft, command)
        draft.facts["recipients"] = [
            {"address": address, **reply.to_dict()} for address, reply in answers.items()
        ]
        refused = {a: r for a, r in answers.items() if r.klass != 2}
        if not refused:
            return
        address, draft.reply = next(iter(refused.items()))
        error = RecipientsRefused(
            stage="RCPT",
            command=f"RCPT TO:<{address}>",
            reply=draft.reply,
            recipients={a: (r.code, "\n".join(r.lines).encode()) for a, r in refused.items()},
        )
        own = not self._plan.recipients and concerns_mailbox(draft.reply)
        if not own and len(refused) == len(answers):
            raise error
        finding = replace(self._explained(error, "RCPT"), severity="warning")
        draft.findings.append(finding)

    def _deliver(self, message: EmailMessage) -> None:
        """The message goes out as any other does; MAIL and RCPT tell of its envelope."""
        began, lines = self._clock(), Lines()
        connection = self._connection
        connection.until = self._end
        lines.put(self._route, connection)
        try:
            Batch(lines, lambda _: self._route).send([message])
            self._open = lines.take(self._route) if lines.find(self._route) else None
        finally:
            lines.close()
        result: Result = message.smtp_result  # type: ignore[attr-defined]
        self._result = result
        self._logs += [log for log in result.logs if log is not connection.events]
        self._seen.size = declared_size(result.transcript)
        spent = self._clock() - began
        for name in ("MAIL", "RCPT"):
            self._tell_envelope(name, result, spent)
        self._skip("RSET", "the message is sent")
        self._tell_delivery(result, spent)

    def _tell_envelope(self, name: str, result: Result, spent: float) -> None:
        draft = self._draft(name)
        draft.reply = last_said(event for event in result.transcript if event.stage == name)
        if result.error is not None and getattr(result.error, "stage", "") == name:
            draft.seconds = spent
            self._fail(draft, result.error)
        if name == "MAIL" and draft.reply is not None:
            self._tell_sender(draft, mailed_from(result.transcript))
        if draft.reply is None:
            self._skip(name, "not reached")
        else:
            self._finish(draft)

    def _tell_delivery(self, result: Result, spent: float) -> None:
        draft = self._draft("DELIVERY")
        draft.seconds = spent
        draft.reply = result.attempts[-1].reply if result.attempts else None
        draft.facts.update({"queue_id": result.queue_id, "size": self._seen.size})
        if result.error is not None:
            self._fail(draft, result.error)
        if result.refused:
            draft.status = "failed"
            replies = (result.recipients[address].reply for address in result.refused)
            some = RecipientsRefused(stage="RCPT", reply=next(filter(None, replies), None))
            draft.findings.append(self._explained(some, draft.name))
        self._finish(draft)

    def _reuse(self) -> None:
        """Whether an envelope can be said twice at once, and chunks be refused safely."""
        if self._open is None:
            self._skip("REUSE", "the server ended the connection")
            return
        most = self._open.extensions.limits.mails
        if most is not None and most < _ENVELOPES:
            self._skip("REUSE", f"the server takes {most} messages over one connection")
            return
        with self._stage("REUSE") as draft:
            envelope = self._envelope()
            once = [mail(envelope), *rcpts(envelope), commands.rset()]
            extensions, replies = self._connection.extensions, list[Reply]()
            draft.facts.update({"pipelining": extensions.pipelining, "commands": 2 * len(once)})
            groups = [once * 2] if extensions.pipelining else [[one] for one in once * 2]
            try:
                for group in groups:
                    self._connection.talk(partial(together, group=group, replies=replies))
                    if replies[-1].klass != 2:
                        break
            finally:
                draft.facts["replies"] = [reply.code for reply in replies]
                draft.reply = replies[-1] if replies else None
            if extensions.chunking:
                draft.facts["discards_chunks"] = self._discards_chunks()

    def _discards_chunks(self) -> bool:
        """A server that does not is left to DATA: that is no failure."""
        try:
            return self._connection.talk(discards_chunks)
        except SMTPError:
            return False

    def _quit(self) -> None:
        """What a server says to QUIT changes nothing."""
        if self._open is None or not self._open.usable:
            self._skip("QUIT", "the server ended the connection")
            return
        draft, began = self._draft("QUIT"), self._clock()
        events = len(self._connection.events)
        self._connection.until = self._stage_end()
        try:
            self._ask(draft, commands.quit_())
        except SMTPError as error:
            # Most servers close the connection together with their answer.
            draft.reply = self._last_reply(events)
            draft.facts["fault"] = "" if draft.reply else error.message
        draft.seconds = self._clock() - began
        self._finish(draft)

    def _ask_for_data(self) -> None:
        """354, and a connection that is closed without a dot: nothing was mailed."""
        if self._open is not None:
            self._open.close()
        with self._stage("DATA") as draft:
            self._reach(dial_of(self._route, resolve=self._look_up))
            self._connection.until = self._stage_end()
            self._connection.open()
            envelope = self._envelope()
            for command in (mail(envelope), *rcpts(envelope), commands.data()):
                reply = self._ask(draft, command)
                if reply.klass not in (2, 3):
                    raise ContentRefused(
                        stage=command.verb.stage, command=command.shown, reply=reply
                    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
