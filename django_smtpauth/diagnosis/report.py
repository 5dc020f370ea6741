"""What a check has shown, as values that a terminal, a page, a monitor and a test all render.

Nothing here holds a secret. Addresses are in it, since whoever asked for the check knows them;
`to_dict(hide_addresses=True)` gives them numbers, for a support ticket.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Literal, get_args

from ..sending.results import Result
from ..sending.routing import Route, Rule
from ..smtp.errors import without_addresses
from ..smtp.replies import Reply
from ..smtp.transcript import Event
from .finding import Finding

#: The stages in their order. With implicit TLS the handshake comes before the greeting.
STAGES: Final = (
    "CONFIGURATION",
    "DNS",
    "CONNECT",
    "GREETING",
    "TLS",
    "EHLO",
    "AUTH",
    "MAIL",
    "RCPT",
    "RSET",
    "DELIVERY",
    "REUSE",
    "QUIT",
    "DATA",
)

StageStatus = Literal["ok", "warning", "failed", "skipped"]
TargetKind = Literal["account", "mailer", "settings", "ad hoc"]
STATUSES: Final[tuple[StageStatus, ...]] = get_args(StageStatus)


@dataclass(frozen=True)
class StageReport:
    """What one stage has shown.

    facts: JSON-ready, see docs/checking.md. reply: the server's last one in this stage.
    findings: why it failed, or what to mind.
    """

    name: str
    status: StageStatus
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    reply: Reply | None = None
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; the findings stand in the report."""
        return {
            "name": self.name,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "facts": dict(self.facts),
            "reply": self.reply.to_dict() if self.reply else None,
        }


@dataclass(frozen=True)
class Target:
    """What was checked.

    kind: who named the server. name: the account's slug or the mailer's alias, else empty.
    server: host:port, or the path of a Unix socket. rule: why this server, one sentence.
    """

    kind: TargetKind
    name: str
    server: str
    rule: str

    @classmethod
    def of(cls, route: Route, mailer: str = "") -> Target:
        """From a route; mailer: the alias of MAILERS that it came from, if it did."""
        kind: TargetKind = "settings" if route.rule is Rule.SETTINGS else "ad hoc"
        name = mailer
        if route.account is not None:
            kind, name = "account", route.account.slug
        elif mailer:
            kind = "mailer"
        return cls(kind, name, route.endpoint.server, route.rule.value)

    def to_dict(self) -> dict[str, str]:
        """JSON-ready values."""
        return {"kind": self.kind, "name": self.name, "server": self.server, "rule": self.rule}


@dataclass(frozen=True)
class Report:
    """What the whole check has shown.

    stages: in the order in which they ended; those that were not reached are last, "skipped".
    result: of the message, None when none was to be sent or it was not reached.
    transcript: the redacted dialogue; times are seconds since the check began.
    seconds: all of it. began: aware. error: why it failed; None when it did not, and when some of
        a message's recipients were refused. It is not in JSON.
    """

    target: Target
    stages: tuple[StageReport, ...]
    result: Result | None
    transcript: tuple[Event, ...]
    seconds: float
    began: datetime.datetime
    error: Exception | None = field(default=None, compare=False)

    @property
    def failed(self) -> StageReport | None:
        """The stage that failed; None: the check is good."""
        return next((stage for stage in self.stages if stage.status == "failed"), None)

    @property
    def ok(self) -> bool:
        """Whether no stage failed; warnings do not count."""
        return self.failed is None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, in the order of the stages."""
        return tuple(chain.from_iterable(stage.findings for stage in self.stages))

    def stage(self, name: str) -> StageReport:
        """The stage of this name. Raises LookupError for any other word."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise LookupError(f"There is no stage {name!r}. Stages are: {', '.join(STAGES)}.")

    def to_dict(self, *, hide_addresses: bool = False) -> dict[str, Any]:
        """The documented schema (docs/checking.md), JSON-ready.

        hide_addresses: every e-mail address, and the user name, becomes `<address 1>` and so on.
        """
        told = {
            "ok": self.ok,
            "target": self.target.to_dict(),
            "began": self.began.isoformat(),
            "seconds": round(self.seconds, 3),
            "stages": [stage.to_dict() for stage in self.stages],
            "findings": [_finding(finding) for finding in self.findings],
            "result": self.result.to_dict() if self.result else None,
            "transcript": [
                {
                    "seconds": round(event.time, 3),
                    "direction": event.direction,
                    "stage": event.stage,
                    "text": event.text,
                }
                for event in self.transcript
            ],
        }
        return Mask().value(told) if hide_addresses else told


def _finding(finding: Finding) -> dict[str, Any]:
    """The sentences in the language that is active now."""
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "stage": finding.stage,
        "title": str(finding.title),
        "meaning": str(finding.meaning),
        "steps": [str(step) for step in finding.steps],
        "field": finding.field,
    }


class Mask:
    """Numbers in place of addresses: the same address has the same number everywhere."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def value(self, value: Any, key: str = "") -> Any:
        """JSON-ready values; what stands under the key `username` counts as an address."""
        if isinstance(value, dict):
            return {self.text(name): self.value(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, str):
            return self._number(value) if key == "username" and value else self.text(value)
        return value

    def text(self, text: str) -> str:
        """The text without its addresses."""
        return without_addresses(text, self._number)

    def _number(self, address: str) -> str:
        bare = address.strip("<>").lower()
        if "@" not in bare and address.startswith("<"):
            return address
        return self._numbers.setdefault(bare, f"<address {len(self._numbers) + 1}>")
