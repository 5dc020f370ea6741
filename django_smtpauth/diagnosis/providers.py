"""Which provider a host belongs to, by the presets."""

from __future__ import annotations

from functools import lru_cache

from ..presets import PRESETS

#: Zones of host names that providers use in their replies and reports, beside those of presets.
_ZONES = {
    "amazonses.com": "amazon-ses-us-east-1",
    "gmail.com": "gmail",
    "google.com": "gmail",
    "googlemail.com": "gmail",
    "office365.com": "microsoft-365",
    "outlook.com": "microsoft-365",
    "sendgrid.net": "sendgrid",
    "yahoo.com": "yahoo",
    "zoho.com": "zoho-com",
}


def provider_of(host: str) -> str:
    """The slug of the preset whose server this is, or in whose zone it lies; empty for none."""
    host = host.lower().rstrip(".")
    servers, zones = _known()
    if host in servers:
        return servers[host]
    labels = host.split(".")
    for first in range(len(labels) - 1):
        if (zone := ".".join(labels[first:])) in zones:
            return zones[zone]
    return ""


@lru_cache(maxsize=1)
def _known() -> tuple[dict[str, str], dict[str, str]]:
    """Slugs by server, and by zone; the first preset in the table of providers has it."""
    servers: dict[str, str] = {}
    zones = dict(_ZONES)
    for preset in PRESETS.values():
        if preset.internal:
            continue
        for server in (preset.server, *preset.alternatives):
            servers.setdefault(server.host, preset.slug)
        for suffix in preset.mx_suffixes:
            zones.setdefault(suffix, preset.slug)
    return servers, zones
