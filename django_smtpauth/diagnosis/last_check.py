"""The last check of an account, as it is kept with it: what failed, and what the server showed.

Only what tells a good day from a bad one is kept: no dialogue, no secret, no address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..audit import MAX_NAME
from ..models import MAX_RULE, MAX_TITLE, SMTPAccount, SMTPAccountCheck
from ..smtp.errors import without_addresses
from .report import Report

#: EHLO keywords that are kept, and the characters of each.
MOST_KEYWORDS: Final = 64
MAX_WORD: Final = 64

Facts = Mapping[str, Any]


def store(account: SMTPAccount, report: Report, by: str) -> list[str]:
    """Keeps a check of an account as it is saved; what changed since the last good one, in words.

    Raises what the database raises.
    """
    checks = SMTPAccountCheck._default_manager.using(account._state.db)
    before = checks.filter(account_id=account.pk).first()
    facts = facts_of(report)
    values: dict[str, Any] = {
        "at": report.began,
        "by": by[:MAX_NAME],
        "ok": report.ok,
        "facts": facts,
        **_failed(report),
    }
    if report.ok:
        values |= {"good_at": report.began, "good_facts": facts}
    checks.update_or_create(account_id=account.pk, defaults=values)
    return changes(before.good_facts, facts) if before else []


def facts_of(report: Report) -> dict[str, Any]:
    """What the server showed, JSON-ready; what was not reached is missing.

    tls: the version. certificate_ends (ISO 8601), certificate_issuer, certificate_pin.
    mechanisms: offered for the log-in. size: octets of a message, or None. keywords: of EHLO.
    """
    tls, ehlo, facts = report.stage("TLS"), report.stage("EHLO"), dict[str, Any]()
    if tls.facts.get("version"):
        facts["tls"] = tls.facts["version"]
    certificate = tls.facts.get("certificate")
    if certificate:
        facts["certificate_ends"] = certificate["not_after"]
        facts["certificate_issuer"] = without_addresses(str(certificate["issuer"]))[:200]
        facts["certificate_pin"] = tls.facts["pin"]
    if ehlo.status in ("ok", "warning"):
        facts["mechanisms"] = [word[:MAX_WORD] for word in ehlo.facts["auth"][:MOST_KEYWORDS]]
        facts["size"] = ehlo.facts["size"]
        keywords = [word[:MAX_WORD] for word in ehlo.facts["keywords"]]
        facts["keywords"] = sorted(keywords)[:MOST_KEYWORDS]
    return facts


def _failed(report: Report) -> dict[str, str]:
    stage = report.failed
    if stage is None:
        return dict.fromkeys(("stage", "rule", "title"), "")
    finding = stage.findings[0] if stage.findings else None
    return {
        "stage": stage.name,
        "rule": finding.rule[:MAX_RULE] if finding else "",
        "title": without_addresses(str(finding.title))[:MAX_TITLE] if finding else "",
    }


def changes(before: Facts, now: Facts) -> list[str]:
    """What differs between two checks, each a sentence; only of what both of them reached."""
    return [
        sentence
        for name, compare in _COMPARED
        if name in before and name in now and before[name] != now[name]
        for sentence in compare(before, now)
    ]


def certificate_end(facts: Facts) -> str:
    """The day on which the certificate ends, for people; empty if there was none."""
    end = parse_datetime(str(facts.get("certificate_ends", "")))
    return date_format(end, "DATE_FORMAT") if end else ""


def _tls(before: Facts, now: Facts) -> Iterator[str]:
    yield _("TLS is %(now)s now; it was %(before)s.") % {
        "now": now["tls"],
        "before": before["tls"],
    }


def _certificate(_before: Facts, now: Facts) -> Iterator[str]:
    yield _("The certificate has another key. It ends on %(day)s.") % {"day": certificate_end(now)}


def _certificate_renewed(before: Facts, now: Facts) -> Iterator[str]:
    if before.get("certificate_pin") == now.get("certificate_pin"):
        yield _("The certificate was renewed. It ends on %(day)s.") % {"day": certificate_end(now)}


def _issuer(before: Facts, now: Facts) -> Iterator[str]:
    yield _("The certificate is from %(now)s now; it was from %(before)s.") % {
        "now": now["certificate_issuer"],
        "before": before["certificate_issuer"],
    }


def _mechanisms(before: Facts, now: Facts) -> Iterator[str]:
    if gone := _lacking(before["mechanisms"], now["mechanisms"]):
        yield _("AUTH no longer offers %(names)s.") % {"names": gone}
    if new := _lacking(now["mechanisms"], before["mechanisms"]):
        yield _("AUTH offers %(names)s now.") % {"names": new}


def _size(before: Facts, now: Facts) -> Iterator[str]:
    if now["size"] and (not before["size"] or now["size"] < before["size"]):
        yield _("The server takes smaller messages: %(now)s octets at most.") % {
            "now": now["size"]
        }
    else:
        yield _("The server takes larger messages than before.")


def _keywords(before: Facts, now: Facts) -> Iterator[str]:
    known = ("AUTH", "SIZE")
    if gone := _lacking(before["keywords"], [*now["keywords"], *known]):
        yield _("The server no longer offers %(names)s.") % {"names": gone}
    if new := _lacking(now["keywords"], [*before["keywords"], *known]):
        yield _("The server offers %(names)s now.") % {"names": new}


def _lacking(words: list[str], others: list[str]) -> str:
    return ", ".join(word for word in words if word not in others)


_COMPARED: Final[tuple[tuple[str, Callable[[Facts, Facts], Iterator[str]]], ...]] = (
    ("tls", _tls),
    ("certificate_pin", _certificate),
    ("certificate_ends", _certificate_renewed),
    ("certificate_issuer", _issuer),
    ("mechanisms", _mechanisms),
    ("size", _size),
    ("keywords", _keywords),
)
