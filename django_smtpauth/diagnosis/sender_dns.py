"""What the DNS says of a sender's domain: who may send for it (SPF), and what happens to the rest
(DMARC).

No verdict on a message: that depends on the address from which the provider sends on, which
nobody here knows. It is looked at whether the records are there, and whether SPF names the
provider (RFC 7208, RFC 7489).
"""

from __future__ import annotations

import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ..presets.discovery import DiscoveryError, DiscoveryUnavailable, texts
from ..presets.preset import Preset
from .finding import Finding

if TYPE_CHECKING:
    from dns.resolver import Resolver

#: Seconds for all questions together.
PATIENCE: Final = 4.0
#: Records that one evaluation may lead to (RFC 7208 4.6.4).
MAX_LOOKUPS: Final = 10
INSTALL: Final = "not checked: pip install 'django-smtpauth[discovery]'"

_SPF: Final = re.compile(r"v=spf1( |$)", re.IGNORECASE)
_DMARC: Final = re.compile(r"v=DMARC1 *(;|$)", re.IGNORECASE)
_LEADS_TO: Final = re.compile(r"(?:^| )\+?(?:include:|redirect=)([a-z0-9._-]+)(?= |$)", re.I)


def check_sender(
    address: str,
    preset: Preset | None,
    *,
    seconds: float = PATIENCE,
    resolver: Resolver | None = None,
) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Facts and warnings about the domain of an address. Never raises.

    The facts: domain, checked (true, or why not), spf (the record), dmarc (the record), and
    names_provider, which is null where the provider's name in SPF is not known.
    """
    domain = address.rpartition("@")[2]
    facts: dict[str, Any] = {"domain": domain, "checked": True}
    look = _Look(time.monotonic() + seconds, resolver)
    try:
        found = _look_at(domain, preset, look, facts)
    except DiscoveryUnavailable:
        return {**facts, "checked": INSTALL}, ()
    except DiscoveryError as error:
        return {**facts, "checked": f"not checked: {error}"}, ()
    return facts, tuple(found)


class _Look:
    """Questions that share one stretch of time."""

    def __init__(self, end: float, resolver: Resolver | None) -> None:
        self._end = end
        self._resolver = resolver

    def texts(self, name: str) -> tuple[str, ...]:
        return texts(name, seconds=self._end - time.monotonic(), resolver=self._resolver)


def _look_at(
    domain: str, preset: Preset | None, look: _Look, facts: dict[str, Any]
) -> list[Finding]:
    findings = []
    records = [text for text in look.texts(domain) if _SPF.match(text)]
    facts["spf"] = records[0] if records else None
    facts["names_provider"] = None
    if len(records) != 1:
        findings.append(_no_spf(domain, len(records)))
    elif preset is not None and preset.spf_include:
        facts["names_provider"] = _names(records[0], preset.spf_include, look)
        if not facts["names_provider"]:
            findings.append(_lacks_provider(domain, preset))
    facts["dmarc"] = _dmarc(domain, look)
    if facts["dmarc"] is None:
        findings.append(_no_dmarc(domain))
    return findings


def _names(record: str, wanted: str, look: _Look) -> bool:
    """Whether a record leads to this name, itself or through others."""
    waiting, known = deque([record]), {wanted}
    for _lookup in range(MAX_LOOKUPS):
        names = [name.lower() for name in _LEADS_TO.findall(waiting.popleft())]
        if wanted in names:
            return True
        for name in [name for name in names if name not in known]:
            known.add(name)
            waiting += [text for text in look.texts(name) if _SPF.match(text)]
        if not waiting:
            break
    return False


def _dmarc(domain: str, look: _Look) -> str | None:
    """The record of the domain or of the nearest one above it."""
    labels = domain.split(".")
    for start in range(max(len(labels) - 1, 1)):
        for text in look.texts(f"_dmarc.{'.'.join(labels[start:])}"):
            if _DMARC.match(text):
                return text
    return None


def _no_spf(domain: str, count: int) -> Finding:
    if count:
        return _finding(
            "sender.spf-twice",
            format_lazy(_("{domain} has several SPF records"), domain=domain),
            _("Then none of them counts: receivers treat that as an error."),
            (_("Merge them into one TXT record that begins with v=spf1."),),
        )
    return _finding(
        "sender.spf-missing",
        format_lazy(_("{domain} has no SPF record"), domain=domain),
        _("Receivers can't tell who may send for it; many put such mail among the spam."),
        (_("Publish the TXT record that your mail provider names in its help."),),
    )


def _lacks_provider(domain: str, preset: Preset) -> Finding:
    return _finding(
        "sender.spf-lacks-provider",
        format_lazy(
            _("The SPF record of {domain} does not name {provider}"),
            domain=domain,
            provider=preset.name,
        ),
        _("To receivers, mail that goes through this provider seems to be forged."),
        (
            format_lazy(
                _("Add include:{name} to the TXT record that begins with v=spf1."),
                name=preset.spf_include,
            ),
        ),
    )


def _no_dmarc(domain: str) -> Finding:
    return _finding(
        "sender.dmarc-missing",
        format_lazy(_("{domain} has no DMARC record"), domain=domain),
        _("Large receivers demand one of those who send much."),
        (
            format_lazy(
                _('Publish a TXT record for _dmarc.{domain}; "v=DMARC1; p=none" is a beginning.'),
                domain=domain,
            ),
        ),
    )


def _finding(rule: str, title: Any, meaning: Any, steps: Any) -> Finding:
    return Finding(
        rule=rule,
        severity="warning",
        stage="MAIL",
        title=title,
        meaning=meaning,
        steps=steps,
        field="from_email",
        option="DEFAULT_FROM_EMAIL",
    )
