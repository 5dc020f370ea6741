"""Text for terminals: what is printable, how wide it is, tables."""

import unicodedata
from collections.abc import Sequence
from typing import Final

_GAP: Final = "  "
#: Columns are not made narrower than this.
_NARROW: Final = 6


def printable(text: str, encoding: str | None = None) -> str:
    """One line that the terminal shows as it is: what it would obey, or can't show, is escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def width(text: str) -> int:
    """The columns that a text takes: East Asian letters take two, combining marks none."""
    return sum(_width(c) for c in text)


def fit(text: str, columns: int) -> str:
    """The text, cut with an ellipsis if need be, and filled with spaces."""
    if width(text) > columns:
        kept, used = "", 0
        for c in text:
            if used + _width(c) > columns - 1:
                break
            kept, used = kept + c, used + _width(c)
        text = kept + "…"
    return text + " " * (columns - width(text))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: int | None,
    spare: Sequence[str] = (),
) -> list[str]:
    """Lines of a table that fit into this many columns; None: into any.

    What does not fit loses the `spare` columns, one by one, and then the ends of long texts.
    """
    lines = [head, *rows]
    if spare and columns and max(map(width, table(head, rows, None))) > columns:
        i = head.index(spare[0])
        head, *rows = [[*line[:i], *line[i + 1 :]] for line in lines]
        return table(head, rows, columns, spare[1:])
    widths = [max(width(line[i]) for line in lines) for i in range(len(head))]
    room = columns - len(_GAP) * (len(head) - 1) if columns else sum(widths)
    while sum(widths) > room and max(widths) > _NARROW:
        widths[widths.index(max(widths))] -= 1
    return [
        _GAP.join(fit(cell, w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
