"""What a failure means for the person who runs the site, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..presets.preset import Sentence


@dataclass(frozen=True)
class Finding:
    """Cause and cure of one failure, or of something that will fail.

    rule: the stable id of the rule that speaks. severity: "error" or "warning".
    stage: where it happened. title: in a few words. meaning: some sentences.
    steps: what to do, in order; each a sentence in the imperative.
    field: the field of SMTPAccount to mend; option: the same in settings or OPTIONS; both may be
        empty. link: where to read on. settings: lines to paste into settings.py.

    Sentences are translated when they are shown. They are plain text, and may name an address.
    """

    rule: str
    severity: str
    stage: str
    title: Sentence
    meaning: Sentence = ""
    steps: tuple[Sentence, ...] = ()
    field: str = ""
    option: str = ""
    link: str = ""
    settings: str = ""

    def __str__(self) -> str:
        """One line: the title, and the first step."""
        return ". ".join(str(part) for part in (self.title, *self.steps[:1]))

    def to_dict(self) -> dict[str, object]:
        """JSON-ready values, in the language that is active."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "stage": self.stage,
            "title": str(self.title),
            "meaning": str(self.meaning),
            "steps": [str(step) for step in self.steps],
            "field": self.field,
            "option": self.option,
            "link": self.link,
            "settings": self.settings,
        }
