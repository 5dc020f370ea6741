"""What a form fills in by itself: for the browser while somebody types, and after a submit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.text import slugify

from django_smtpauth import presets
from django_smtpauth.presets import Preset, Server
from django_smtpauth.presets.discovery import Discovered, DiscoveryError, discover

#: The fields that a server consists of.
SERVER = ("host", "port", "security")


@dataclass(frozen=True)
class Proposal:
    """What follows from a provider and an address.

    server: None if neither tells. username: empty if only the provider can tell.
    found: the servers that the address's domain names, the best first. problem: why the domain
    could not be asked.
    """

    preset: Preset | None = None
    server: Server | None = None
    username: str = ""
    found: tuple[Discovered, ...] = ()
    problem: str = ""

    def values(self) -> dict[str, Any]:
        """The fields of an account that this fills in."""
        values: dict[str, Any] = {"username": self.username}
        if self.preset is not None:
            values["preset"] = self.preset.slug
            if self.preset.internal:
                values["internal_host"] = True
        if self.server is not None:
            values |= {
                "host": self.server.host,
                "port": self.server.port,
                "security": self.server.security.value,
            }
        return values


def propose(slug: str, address: str) -> Proposal:
    """By the provider that was chosen, else by the address. Asks no server."""
    preset = presets.get(slug) or presets.for_address(address)
    if preset is None:
        return Proposal(username=address)
    return Proposal(preset, preset.server, preset.username.for_address(address))


def look_up(address: str) -> Proposal:
    """The same by what the address's domain says in the DNS: some seconds at most."""
    try:
        found = discover(address)
    except (ValueError, DiscoveryError) as error:
        return Proposal(username=address, problem=str(error))
    if not found:
        return Proposal(username=address)
    preset = found[0].preset
    username = address if preset is None else preset.username.for_address(address)
    return Proposal(preset, found[0].server, username, found)


def propose_label(values: dict[str, Any]) -> str:
    """How people may call an account: by its address, its provider, or its server."""
    preset = presets.get(values.get("preset") or "")
    name = values.get("from_email") or (preset.name if preset else values.get("host")) or ""
    return str(name)[:100]


def propose_slug(values: dict[str, Any], taken: Iterable[str]) -> str:
    """A short name that is free: from the label, the address, the provider, or the server."""
    local_part = (values.get("from_email") or "").rpartition("@")[0]
    texts = (values.get("label"), local_part, values.get("preset"), values.get("host"))
    slug = next(filter(None, (slugify(text or "")[:55].strip("-_") for text in texts)), "account")
    taken, free, number = set(taken), slug, 1
    while free in taken:
        number += 1
        free = f"{slug}-{number}"
    return free
