"""What is known of providers of mail, and the look-ups. No database and no network.

    presets.get("gmail").host                       "smtp.gmail.com"
    presets.for_address("name@gmail.com")           the preset, or None
    presets.choices()                               for a field: groups of slug and name

`presets.discovery` looks in the DNS for domains that are in no table here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from .china import CHINA
from .domains import domain_of
from .hosting import HOSTING
from .mailboxes import MAILBOXES
from .preset import (
    Credential,
    Kind,
    Limits,
    Preset,
    SenderPolicy,
    Server,
    Username,
    UsernameForm,
)
from .relays import RELAYS, TESTING

if TYPE_CHECKING:
    from .preset import Sentence

__all__ = [
    "PRESETS",
    "Credential",
    "Kind",
    "Limits",
    "Preset",
    "SenderPolicy",
    "Server",
    "Username",
    "UsernameForm",
    "choices",
    "for_address",
    "get",
]


def _order(preset: Preset) -> tuple[int, str]:
    return list(Kind).index(preset.kind), preset.name.casefold()


#: Every preset under its slug, in the order in which people see them.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.slug: preset
        for preset in sorted((*MAILBOXES, *CHINA, *RELAYS, *HOSTING, *TESTING), key=_order)
    }
)

_BY_DOMAIN = {domain: preset for preset in PRESETS.values() for domain in preset.domains}


def get(slug: str) -> Preset | None:
    """The preset with this slug; None if there is none, or none any more."""
    return PRESETS.get(slug)


def for_address(address: str) -> Preset | None:
    """The provider that an e-mail address belongs to, by its domain alone. Asks no server.

    A domain below a listed one is another domain. Whatever is no address belongs to nobody.
    """
    return _BY_DOMAIN.get(domain_of(address))


def choices() -> list[tuple[Sentence, list[tuple[str, str]]]]:
    """Slug and name of every preset in groups, as a field's `choices` takes them.

    A field is given the function itself: then a new preset is no migration.
    """
    return [
        (kind.label, [(p.slug, p.name) for p in PRESETS.values() if p.kind is kind])
        for kind in Kind
    ]
