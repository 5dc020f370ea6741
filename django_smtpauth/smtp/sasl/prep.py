"""SASLprep (RFC 4013): user names and passwords that look alike become alike.

It is bound to Unicode 3.2, as the standard library's tables are.
"""

from __future__ import annotations

import stringprep
import unicodedata

#: RFC 4013 section 2.3.
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(text: str, *, stored: bool) -> str | None:
    """The text as SASLprep wants it, or None where it refuses.

    stored: whether characters that Unicode 3.2 did not have are refused, as RFC 5802 asks of
        passwords; in user names they pass.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    result = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(refuses(c) for refuses in _PROHIBITED for c in result) or not _one_way(result):
        return None
    if stored and any(stringprep.in_table_a1(c) for c in result):
        return None
    return result


def _one_way(text: str) -> bool:
    """Whether no direction of writing is mixed with the other (RFC 3454 section 6)."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(stringprep.in_table_d2(c) for c in text)
