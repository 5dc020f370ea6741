"""Every rule knows its own wordings, lets its neighbours alone, and tells what to change."""

from __future__ import annotations

import datetime
import pickle
import re
import sys
from dataclasses import replace
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from django_smtpauth.diagnosis import fallback, pasted
from django_smtpauth.diagnosis.explain import explain, said
from django_smtpauth.diagnosis.failure import MAX_TEXT, Failure
from django_smtpauth.diagnosis.places import Place, option_of
from django_smtpauth.diagnosis.rules import RULES, Rule, Source
from django_smtpauth.models import SMTPAccount
from tests.diagnosis.neighbours import NEIGHBOURS

if sys.version_info >= (3, 11):
    from re import _constants as constants  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:
    import sre_constants as constants
    import sre_parse as parser

SOURCES = [(rule, source) for rule in RULES for source in rule.sources]
#: How a sentence that tells somebody to do something begins, in the texts of the rules.
IMPERATIVE = re.compile(
    r"(?:Add|Allow|Ask|Check|Choose|Compare|Compress|Correct|Create|Do not|Empty|Enter|Fetch|Find|"
    r"Give|If|Leave|Let|Log in|Look|Name|Or|Repair|Run|Send|Set|Show|Sign in|Stop|Tell"
    r"|Tick|Try|Use|"
    r"Verify|Wait|Write)\b"
)


def ids(rule: Rule) -> str:
    return rule.id


def test_there_are_at_least_sixty_and_each_has_an_id_of_its_own() -> None:
    assert len(RULES) >= 60
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9-]+", rule.id)


@pytest.mark.parametrize(
    ("rule", "source"), SOURCES, ids=[f"{r.id}-{s.wording[:30]}" for r, s in SOURCES]
)
def test_a_wording_as_it_was_seen_is_known(rule: Rule, source: Source) -> None:
    """Which proves as well that no rule is hidden by those before it."""
    assert explain(source.failure()).rule == rule.id


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_source_says_where_and_when(rule: Rule) -> None:
    assert rule.sources
    for source in rule.sources:
        assert source.wording.strip()
        assert re.match(
            r"https?://|this package|(?:Postfix|Exim|Dovecot|Python) \d", source.origin
        )
        assert isinstance(source.checked, datetime.date)


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_neighbour_is_left_to_another_rule(rule: Rule) -> None:
    failure, speaks = NEIGHBOURS[rule.id]
    assert speaks != rule.id
    assert explain(failure).rule == speaks


def test_every_neighbour_belongs_to_a_rule() -> None:
    assert set(NEIGHBOURS) == {rule.id for rule in RULES}


@pytest.mark.parametrize("account", ["club", ""])
@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_finding_tells_what_to_do_and_where(rule: Rule, account: str) -> None:
    failure = rule.sources[0].failure()
    if rule.account is None:
        failure = replace(failure, account=account)
    finding = explain(failure)
    told = finding.to_dict()
    assert told["rule"] == rule.id
    steps = [str(step) for step in finding.steps]
    assert IMPERATIVE.match(steps[0]), steps[0]
    assert all(step[0].isupper() or step[0] == '"' for step in steps)
    assert all(step.endswith((".", "?")) for step in steps), steps
    assert "{" not in " ".join([*steps, str(finding.title), str(finding.meaning)])
    if rule.field:
        assert SMTPAccount._meta.get_field(rule.field)
        place = str(Place(rule.field, failure.account))
        assert place in " ".join(steps)
        assert finding.option == option_of(rule.field)


def test_a_field_is_called_as_the_place_calls_it_where_it_is_mended() -> None:
    with translation.override("en"):
        assert str(Place("security", "club")) == '"security" of the account club'
        assert str(Place("from_email")) == "the setting DEFAULT_FROM_EMAIL"
        assert str(Place("ca_text")) == "the option ca_file"
        assert str(Place("enabled")) == '"enabled" of the account'
        assert str(Place("host", "club")["port"]) == '"port" of the account club'


def test_the_steps_of_the_provider_follow() -> None:
    finding = explain(Failure("AUTH", "refused", 535, "5.7.8", "no", host="smtp.fastmail.com"))
    assert finding.rule == "auth.refused"
    assert "app password" in " ".join(map(str, finding.steps))
    assert finding.link.startswith("https://")


# What no rule knows

STAGES = [*fallback._EXPECTED, "RSET", ""]
KINDS = ["refused", "timed-out", "disconnected", "connect", "tls", "protocol", "secret", "other"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_failure_still_gets_what_was_expected_and_three_causes(
    stage: str, kind: str
) -> None:
    failure = Failure(stage, kind, 599, "5.9.9", "Strange words")
    finding = fallback.finding(failure, said(failure))
    assert finding.rule.startswith("unknown.")
    assert "599 5.9.9" in str(finding.title)
    assert "Strange words" in str(finding.meaning)
    assert len(finding.steps) >= 3
    assert all(IMPERATIVE.match(str(step)) for step in finding.steps)


def test_the_cure_of_the_engine_comes_first() -> None:
    finding = explain(Failure("AUTH", "not-supported", facts={"cure": "Do this."}))
    assert str(finding.steps[0]) == "Do this."


def test_words_of_a_server_are_shown_and_not_run() -> None:
    finding = explain(Failure("AUTH", "refused", 599, "", "{place.account} {0} {x!r}"))
    assert "{place.account} {0} {x!r}" in str(finding.meaning)


def test_a_finding_survives_pickle_and_speaks_the_language_of_the_reader() -> None:
    for rule in RULES:
        finding = explain(rule.sources[0].failure())
        again = pickle.loads(pickle.dumps(finding))
        assert again.to_dict() == finding.to_dict()


# Bounds


@given(st.text(max_size=3000))
def test_any_text_is_explained(text: str) -> None:
    failure = Failure.parse(text)
    assert len(failure.text) <= MAX_TEXT
    finding = explain(failure)
    assert finding.to_dict()["steps"]


#: What bounces and tracebacks are made of.
PIECES = (
    *("535", "5.7.8", " ", "-", "(", "b'", "smtp;", "Diagnostic-Code: ", "\n", "host a.example["),
    *("EMAIL_HOST = '", "\\n", "said: ", "[SSL: ", "AUTH failed", "certificate has expired"),
    *("in reply to ", "(account club, ", "x@example.com", ": "),
)


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_pieces_of_bounces_in_any_order_are_explained(pieces: list[str]) -> None:
    assert explain(Failure.parse("".join(pieces))).rule


@pytest.mark.parametrize("piece", ["a.", "550 ", "550-5.7.1 ", "[", "- ", "1:", *PIECES])
def test_a_megabyte_is_cut_before_it_is_looked_at(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    assert len(pasted._cut(text)) <= pasted.MAX_PASTED + 1
    failure = Failure.parse(text)
    assert len(failure.text) <= MAX_TEXT
    explain(replace(failure, text=text))


def test_the_end_of_a_long_text_is_read_too() -> None:
    text = "x\n" * 100_000 + "smtplib.SMTPAuthenticationError: (535, b'5.7.8 no')"
    assert Failure.parse(text).code == 535


def patterns() -> list[re.Pattern[str]]:
    found = [rule.pattern for rule in RULES if rule.pattern]
    found += [value for value in vars(pasted).values() if isinstance(value, re.Pattern)]
    return found + [pattern for pattern, _ in pasted._SIGNS]


@pytest.mark.parametrize("pattern", patterns(), ids=lambda pattern: pattern.pattern[:40])
def test_no_pattern_repeats_without_a_bound(pattern: re.Pattern[str]) -> None:
    """So what one costs at one place has a limit, and the whole text costs its length."""
    assert _largest_repeat(parser.parse(pattern.pattern, pattern.flags)) < 1_000


def _largest_repeat(parsed: Any) -> int:
    largest = 0
    for operator, argument in parsed:
        if operator in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            _, high, inner = argument
            assert high is not constants.MAXREPEAT
            largest = max(largest, int(high) * max(1, _largest_repeat(inner)))
        elif isinstance(argument, tuple):
            largest = max([largest, *map(_in_argument, argument)])
    return largest


def _in_argument(part: Any) -> int:
    branches = part if isinstance(part, list) else [part]
    return max([0, *(_largest_repeat(b) for b in branches if isinstance(b, parser.SubPattern))])
