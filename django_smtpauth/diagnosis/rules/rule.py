"""Rules are data: what a failure must look like, and what to say about it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ..failure import Failure

if TYPE_CHECKING:
    from django_smtpauth.presets.preset import Sentence

#: When the wordings of the first release were seen.
FIRST_CHECK: Final = datetime.date(2026, 11, 25)


@dataclass(frozen=True)
class Source:
    """A wording as it was seen, and where.

    origin: a server or program with its version, where it was measured; else the address of the
        page. seen: what else was known of the failure, by the names of Failure.
    """

    wording: str
    origin: str
    checked: datetime.date = FIRST_CHECK
    seen: Mapping[str, Any] = field(default_factory=dict)

    def failure(self) -> Failure:
        """The failure that brought this wording."""
        return replace(Failure.parse(self.wording), **self.seen)


@dataclass(frozen=True, eq=False)
class Rule:
    """One cause and its cure.

    id: stable; the part before the dot is the file that it stands in, roughly.
    title, meaning, steps: sentences. They may name {server}, {host}, {port}, {account},
        {sender}, {names}, {cure} and other facts of the failure, {place} for where `field` is
        mended, {place[port]} for another field. A step that comes out empty is left out.
    field: of SMTPAccount. link: where to read on. settings: a line for settings.py.
    credential: the steps of the provider's preset, that say where its password comes from, follow.

    What a failure must have; what is empty allows everything:
    stages, kinds, codes, enhanced, reasons, ports, securities, protocols, log_ins, verify_codes:
        one of these. A stage that is unknown fits a rule that knows words.
    pattern: words that must occur. Alternatives and bounded gaps only, so that the time is linear.
    presets: beginnings of slugs. account: whether an account was used. local: whether the
        server is this machine.
    """

    id: str
    title: Sentence
    meaning: Sentence
    steps: tuple[Sentence, ...]
    sources: tuple[Source, ...]
    stages: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    enhanced: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    securities: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    log_ins: tuple[str, ...] = ()
    verify_codes: tuple[int, ...] = ()
    pattern: re.Pattern[str] | None = None
    presets: tuple[str, ...] = ()
    account: bool | None = None
    local: bool | None = None
    field: str = ""
    link: str = ""
    settings: str = ""
    credential: bool = False

    # Without the sentences, which can't be shown before translations are ready.
    def __repr__(self) -> str:
        return f"<Rule {self.id}>"

    def matches(self, failure: Failure) -> bool:
        """Whether this is the failure that the rule is about."""
        return (
            self._fits_stage(failure.stage)
            and all(_allows(allowed, value) for allowed, value in self._exact(failure))
            and (not self.presets or failure.preset.startswith(self.presets))
            and (self.account is None or self.account == bool(failure.account))
            and (self.local is None or self.local == failure.is_local)
            and (self.pattern is None or self.pattern.search(failure.words) is not None)
        )

    def _fits_stage(self, stage: str) -> bool:
        if not stage and (self.pattern or self.enhanced):
            return True
        return _allows(self.stages, stage)

    def _exact(self, failure: Failure) -> tuple[tuple[tuple[Any, ...], Any], ...]:
        return (
            (self.kinds, failure.kind),
            (self.codes, failure.code),
            (self.enhanced, failure.enhanced),
            (self.reasons, failure.reason),
            (self.ports, failure.port),
            (self.securities, failure.security),
            (self.protocols, failure.protocol),
            (self.log_ins, failure.log_in),
            (self.verify_codes, failure.verify_code),
        )


def _allows(allowed: tuple[Any, ...], value: Any) -> bool:
    return not allowed or value in allowed


def words(pattern: str) -> re.Pattern[str]:
    """A pattern that does not mind capitals."""
    return re.compile(pattern, re.I)


def engine(wording: str, stage: str, kind: str, **seen: Any) -> Source:
    """Our own engine's words."""
    seen = {"stage": stage, "kind": kind, "text": wording, **seen}
    return Source(wording, "this package's engine", seen=seen)


def postfix(wording: str, stage: str = "", **seen: Any) -> Source:
    """Measured."""
    return Source(wording, "Postfix 3.7.11 with Dovecot 2.3.19", seen={"stage": stage, **seen})


def exim(wording: str, stage: str = "", **seen: Any) -> Source:
    """Measured."""
    return Source(wording, "Exim 4.96", seen={"stage": stage, **seen})


def python(wording: str, **seen: Any) -> Source:
    """Measured: smtplib and ssl, with OpenSSL 3."""
    return Source(wording, "Python 3.13", seen=seen)


def page(wording: str, url: str, stage: str = "", **seen: Any) -> Source:
    """A page of the vendor, or one where a user shows what a vendor's server said."""
    return Source(wording, url, seen={"stage": stage, **seen})
