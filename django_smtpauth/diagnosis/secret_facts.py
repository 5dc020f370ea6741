"""What is wrong with a secret, told without showing it.

Nothing of the secret is in a finding, not even its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .finding import Finding
from .places import Place, option_of

if TYPE_CHECKING:
    from ..presets.preset import Sentence

#: What people write where a secret is to come.
_PLACEHOLDERS: Final = frozenset(
    {"changeme", "change-me", "password", "secret", "yourpassword", "your-password", "xxx", "todo"}
)
_ACCESS_KEY_ID = re.compile(r"A(?:KIA|SIA)[A-Z0-9]{16}")
_SECRET_ACCESS_KEY = re.compile(r"[A-Za-z0-9/+]{40}")
_WITH_SPACES = re.compile(r"[a-z]{4}(?: [a-z]{4}){3}")
_STARS = re.compile(r"[*\u2022\u25cf]{3,}")
_AMAZON: Final = "amazon-ses"


@dataclass(frozen=True, eq=False)
class Fact:
    """One thing that can be wrong. applies: from the secret and the slug of the provider."""

    rule: str
    severity: str
    title: Sentence
    meaning: Sentence
    step: Sentence
    applies: Callable[[str, str], bool]


def _is_placeholder(secret: str, _preset: str) -> bool:
    bare = secret.strip().strip("<>[]{}").lower()
    return bare in _PLACEHOLDERS or _STARS.fullmatch(secret.strip()) is not None


def _has_quotes(secret: str, _preset: str) -> bool:
    return len(secret) > 2 and secret[0] == secret[-1] and secret[0] in "'\""


def _is_access_key(secret: str, preset: str) -> bool:
    if _ACCESS_KEY_ID.fullmatch(secret):
        return True
    return preset.startswith(_AMAZON) and _SECRET_ACCESS_KEY.fullmatch(secret) is not None


FACTS: Final = (
    Fact(
        "secret.empty",
        "error",
        _("There is a user name but no password"),
        _("So nobody logs in, and most servers refuse the mail."),
        _("Enter {place}, or leave {place[username]} empty, too."),
        lambda secret, _preset: not secret,
    ),
    Fact(
        "secret.placeholder",
        "error",
        _("The password is a placeholder"),
        _("It is what stands in examples, or stars in place of a hidden one."),
        _("Enter the real one in {place}."),
        _is_placeholder,
    ),
    Fact(
        "secret.white-space",
        "warning",
        _("The password begins or ends with white space"),
        _("A line end or a blank is often copied along."),
        _("Enter {place} again, without white space at its ends."),
        lambda secret, _preset: secret != secret.strip(),
    ),
    Fact(
        "secret.quotes",
        "warning",
        _("The password stands in quotes"),
        _("Quotes belong to a settings file or a shell, and not to the password."),
        _("Enter {place} again, without the quotes."),
        _has_quotes,
    ),
    Fact(
        "secret.access-key",
        "error",
        _("The password is an access key of Amazon"),
        _("SES wants an SMTP password, which is made from a key and a region."),
        _("Create SMTP credentials in the console of SES and enter them in {place}."),
        _is_access_key,
    ),
    Fact(
        "secret.spaces",
        "warning",
        _("The app password is typed with its spaces"),
        _("They are shown for the eyes; some providers refuse them."),
        _("Enter {place} again, without spaces."),
        lambda secret, _preset: _WITH_SPACES.fullmatch(secret.strip()) is not None,
    ),
)


def facts_about_secret(text: str, *, preset: str = "", account: str = "") -> list[Finding]:
    """What is wrong with the secret of a user name, as far as it can be seen.

    preset, account: slugs, if known: a secret access key is told by its provider.
    """
    return list(_findings(text, preset, account))


def _findings(text: str, preset: str, account: str) -> Iterator[Finding]:
    place = Place("password", account)
    for fact in FACTS:
        if fact.applies(text, preset):
            yield Finding(
                rule=fact.rule,
                severity=fact.severity,
                stage="AUTH",
                title=fact.title,
                meaning=fact.meaning,
                steps=(format_lazy(fact.step, place=place),),
                field="password",
                option=option_of("password"),
            )
