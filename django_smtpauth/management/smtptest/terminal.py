"""Writes text for a terminal: in its width, in what it can show, with numbers for addresses."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Final

from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from django_smtpauth.diagnosis.finding import Finding
from django_smtpauth.diagnosis.report import Mask
from django_smtpauth.management.rendering import printable

WIDTH: Final = 79
INDENT: Final = " " * 12

StyleFunction = Callable[[str], str]


class Terminal:
    """The output of a command.

    mask: gives addresses their numbers; None: they are shown. quiet: nothing is written.
    """

    def __init__(
        self, out: OutputWrapper, style: Style, mask: Mask | None, *, quiet: bool = False
    ) -> None:
        self._out = out
        self._style = style
        self._mask = mask
        self.quiet = quiet

    def row(self, label: str, text: str, kind: str = "") -> None:
        """A label, and a text beside it; kind: "good", "bad", "warning" or none."""
        wrapped = [
            line
            for part in self._shown(text).split("\n")
            for line in textwrap.wrap(part, WIDTH - len(INDENT), break_on_hyphens=False) or [""]
        ]
        lines = f"\n{INDENT}".join(wrapped)
        self._write(
            self._style.MIGRATE_LABEL(f"{label:<{len(INDENT)}}") + self._styled(kind)(lines)
        )

    def line(self, text: str, before: str = "", hang: str = "") -> None:
        """A line that is broken where it is too long; hang: before the further ones, if that is
        more than what stands before the first."""
        self._write(
            textwrap.fill(
                self._shown(text),
                WIDTH,
                initial_indent=before,
                subsequent_indent=hang or " " * len(before),
                break_on_hyphens=False,
            )
            or before.rstrip()
        )

    def sentences(self, text: str, label: str = "", kind: str = "") -> None:
        """Text whose long words (paths, addresses of the web) stay whole, to be copied."""
        filled = textwrap.fill(
            f"{label}{self._shown(text)}",
            WIDTH,
            subsequent_indent=" " * len(label),
            break_on_hyphens=False,
            break_long_words=False,
        )
        self._write(filled, kind)

    def exactly(self, text: str, kind: str = "") -> None:
        """Text as it is."""
        self._write(self._shown(text), kind)

    def finding(self, finding: Finding) -> None:
        """Cause and cure, as it stands below a failure."""
        self.exactly("")
        self.sentences(f"{finding.title}. {finding.meaning}".strip())
        for number, step in enumerate(finding.steps, 1):
            self.sentences(str(step), f"{number}. ")
        if finding.settings:
            self.exactly("\n" + textwrap.indent(finding.settings, "    "))
        if finding.link:
            self.exactly(f"\n{finding.link}")

    def _styled(self, kind: str) -> StyleFunction:
        return {
            "good": self._style.SUCCESS,
            "bad": self._style.ERROR,
            "warning": self._style.WARNING,
            "head": self._style.MIGRATE_HEADING,
        }.get(kind, str)

    def _shown(self, text: str) -> str:
        """Without addresses if need be, and without anything that a terminal would obey."""
        masked = text if self._mask is None else self._mask.text(text)
        encoding = getattr(self._out, "encoding", None)
        return "\n".join(printable(line, encoding) for line in masked.split("\n"))

    def _write(self, text: str, kind: str = "") -> None:
        if not self.quiet:
            self._out.write(text, style_func=self._styled(kind))
