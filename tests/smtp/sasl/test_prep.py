from __future__ import annotations

import pytest

from django_smtpauth.smtp.sasl.prep import prepared


# RFC 4013 section 3.
@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", None),
        ("\u0627\u0031", None),
    ],
)
def test_the_document_s_examples(text: str, result: str | None) -> None:
    assert prepared(text, stored=True) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("a\u3000b", "a b"),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("\u0627a\u0628", None),
        ("a\u0628", None),
        ("\ue000", None),
        ("\ufffd", None),
        ("\U000e0001", None),
    ],
)
def test_other_texts(text: str, result: str | None) -> None:
    assert prepared(text, stored=True) == result


def test_what_unicode_3_2_did_not_have() -> None:
    assert prepared("🔑", stored=True) is None
    assert prepared("🔑", stored=False) == "🔑"
