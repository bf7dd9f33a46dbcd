"""Cases for CI: outcomes, exit codes, and JUnit XML that a parser reads back."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_compare_result import found, score, time

from trtproof.compare.check import (
    Case,
    Outcome,
    case_of_target,
    exit_code,
    list_cases,
    render_cases,
)
from trtproof.compare.junit import render_junit, write_junit
from trtproof.compare.pairs import Absent
from trtproof.compare.result import Difference, ScoreWord, Strictness
from trtproof.measure.verdict import Word
from trtproof.report.limits import TargetVerdict

LENIENT, STRICT = Strictness.LENIENT, Strictness.STRICT


def case(outcome: Outcome, variant: str = "a", why: str = "why") -> Case:
    return Case(variant, "Median latency, at most 4 ms", outcome, why)


@pytest.mark.parametrize(
    ("outcomes", "lenient", "strict"),
    [
        ([], 0, 0),
        ([Outcome.MET], 0, 0),
        ([Outcome.MET, Outcome.INCONCLUSIVE], 0, 3),
        ([Outcome.MET, Outcome.NOT_MEASURED], 0, 3),
        ([Outcome.NOT_COMPARABLE, Outcome.INCONCLUSIVE], 4, 4),
        ([Outcome.MISSED, Outcome.NOT_COMPARABLE], 5, 5),
    ],
)
def test_the_exit_code_is_the_gravest_case(outcomes, lenient, strict):
    cases = [case(outcome) for outcome in outcomes]
    assert exit_code(cases, LENIENT) == lenient
    assert exit_code(cases, STRICT) == strict


@pytest.mark.parametrize("word", ["met", "missed"])
def test_a_limit_in_a_short_run_is_neither_met_nor_missed(word):
    item = TargetVerdict("Speed-up", "a", "at least 2", "3", word)
    assert case_of_target(item).outcome == word
    short = TargetVerdict("Speed-up", "a", "at least 2", "3", word, is_indicative=True)
    assert case_of_target(short).outcome is Outcome.INCONCLUSIVE
    assert f"indicative: {word}" in case_of_target(short).why


def test_a_limit_that_was_not_measured_is_no_failure():
    item = TargetVerdict("Speed-up", "a", "at least 2", "not measured", "not measured", "no GPU")
    assert case_of_target(item).outcome is Outcome.NOT_MEASURED
    assert "no GPU" in case_of_target(item).why


def test_a_comparison_becomes_the_cases_that_may_decide():
    comparison = found(
        time(Word.SLOWER),
        time(Word.SLOWER, decides=False),
        time(Word.INCONCLUSIVE),
        time(Word.SLOWER, decides=False, gates=False),
        scores=[score(ScoreWord.WORSE), score(ScoreWord.SAME)],
        absent=[Absent("b", "only now", blocks=False), Absent("c", "other inputs", blocks=True)],
        refused=[Difference("machine driver", "1", "2")],
    )
    outcomes = [item.outcome for item in list_cases(comparison)]
    assert outcomes == [
        Outcome.MISSED,
        Outcome.INCONCLUSIVE,
        Outcome.INCONCLUSIVE,
        Outcome.MISSED,
        Outcome.MET,
        Outcome.NOT_COMPARABLE,
        Outcome.NOT_COMPARABLE,
    ]
    assert "machine driver: 1 -> 2" in list_cases(comparison)[5].why


def test_the_text_has_a_line_per_case():
    text = render_cases([case(Outcome.MET), case(Outcome.MISSED, "b")])
    assert text.splitlines()[1].startswith("missed  b: Median latency, at most 4 ms")
    assert text.endswith("1 of 2 met.")
    assert "No budget is declared" in render_cases([])


def suite_of(text: str) -> ET.Element:
    (suite,) = ET.fromstring(text.removeprefix('<?xml version="1.0" encoding="UTF-8"?>\n'))  # noqa: S314 - our own text
    return suite


def test_junit_counts_what_it_holds():
    cases = [case(outcome) for outcome in Outcome]
    suite = suite_of(render_junit(cases, LENIENT))
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 5, "failures": 1, "errors": 1, "skipped": 2}
    strict = suite_of(render_junit(cases, STRICT))
    assert int(strict.attrib["failures"]) == 3
    assert int(strict.attrib["skipped"]) == 0
    types = [item.attrib["type"] for item in strict.iter("failure")]
    assert types == ["missed", "inconclusive", "not measured"]


@given(st.text(), st.text())
def test_any_text_is_well_formed_and_read_back(variant, why):
    suite = suite_of(render_junit([case(Outcome.MISSED, variant, why)], LENIENT))
    (element,) = suite
    legal = all(character.isprintable() for character in variant + why)
    if legal:
        assert element.attrib["classname"] == variant
        assert element[0].attrib["message"] == f"missed: {why}"


def test_control_characters_and_markup_do_not_break_the_file(tmp_path):
    path = tmp_path / "reports/junit.xml"
    write_junit(path, [case(Outcome.MISSED, '<a & "b">', "bell \x07 nul \x00 \ufffe")], LENIENT)
    (suite,) = ET.parse(path).getroot()  # noqa: S314 - our own file
    assert suite[0].attrib["classname"] == '<a & "b">'
    assert suite[0][0].attrib["message"] == "missed: bell \ufffd nul \ufffd \ufffd"
