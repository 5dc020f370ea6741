"""From a failure to cause and cure: the first rule that matches speaks, else the fallback does.

`explain_error()` is what the app registers for failed sends (`sending.explaining`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .. import presets
from ..secrets.errors import SecretUnreadable
from ..sending.routing import Route
from . import fallback
from .failure import Failure
from .finding import Finding
from .places import Place, option_of
from .rules import RULES
from .rules.rule import Rule
from .rules.site import EXAMPLE, settings_example
from .secret_facts import facts_about_secret

if TYPE_CHECKING:
    from ..presets.preset import Sentence

__all__ = ["explain", "explain_error", "facts_about_secret"]

#: What a send fails with, other than by a mistake of the program that composes the message.
FAILURES = (OSError, SecretUnreadable, ImproperlyConfigured)


def explain(failure: Failure) -> Finding:
    """Why this failed and what to do. Never raises, and knows something about every failure."""
    rule = next((rule for rule in RULES if rule.matches(failure)), None)
    return fallback.finding(failure, said(failure)) if rule is None else _apply(rule, failure)


def explain_error(error: Exception, route: Route | None = None) -> Finding | None:
    """The same for an exception; None for one that is no failure of mail.

    route: the server that was tried.
    """
    if not isinstance(error, FAILURES):
        return None
    return explain(Failure.of(error, route))


def explain_again(rule: str, failure: Failure) -> Finding:
    """The finding of a rule that spoke before, for what is still known of its failure.

    rule: its id; of a rule that there is no more, or of the fallback, the failure is explained
    anew.
    """
    known = next((one for one in RULES if one.id == rule), None)
    return explain(failure) if known is None else _apply(known, failure)


def said(failure: Failure, field: str = "") -> dict[str, Any]:
    """What sentences about a failure may name. What is unknown comes out as words."""
    return {
        "names": _("another name"),
        "ended": _("an earlier day"),
        "sender": _("this sender"),
        "cure": "",
        "settings": "",
        **failure.facts,
        "host": failure.host or _("the server"),
        "server": failure.server or _("the server"),
        "port": failure.port or _("of the server"),
        "account": failure.account or _("that was used"),
        "place": Place(field, failure.account),
    }


def fill(sentence: Sentence, values: dict[str, Any]) -> Sentence:
    """A sentence with its facts, rendered when it is shown."""
    filled: Sentence = format_lazy(sentence, **values)
    return filled


def _apply(rule: Rule, failure: Failure) -> Finding:
    values = said(failure, rule.field)
    preset = presets.get(failure.preset) if rule.credential else None
    more: tuple[Sentence, ...] = preset.credential.steps if preset else ()
    return Finding(
        rule=rule.id,
        severity="error",
        stage=failure.stage or next(iter(rule.stages), ""),
        title=fill(rule.title, values),
        meaning=fill(rule.meaning, values),
        steps=tuple(
            fill(step, values) for step in (*rule.steps, *more) if not _is_empty(step, values)
        ),
        field=rule.field,
        option=option_of(rule.field) if rule.field else "",
        link=rule.link or (preset.credential.url if preset else ""),
        settings=_settings(rule, values),
    )


def _settings(rule: Rule, values: dict[str, Any]) -> str:
    if rule.settings == EXAMPLE:
        return settings_example()
    return rule.settings.format(**values)


def _is_empty(step: Sentence, values: dict[str, Any]) -> bool:
    return step == "{cure}" and not values["cure"]
