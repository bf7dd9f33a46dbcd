"""Words by intervals over rounds and windows, and what would settle an inconclusive one."""

from __future__ import annotations

import re
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.measure.ratios import (
    fewest_rounds,
    signed_rank_interval,
    student_factor,
    student_interval,
)
from trtproof.measure.targets import TargetResult, check_target
from trtproof.measure.verdict import Better
from trtproof.report.limits import OverRounds, OverWindows, explain_counts, place


def rounds(value=1.0, shown=0.05, gate=0.05, count=12, sessions=3):
    around = (value * exp(-shown), value * exp(shown)), (value * exp(-gate), value * exp(gate))
    return OverRounds(value, *around, rounds=count, sessions=sessions)


def said(why):
    found = re.search(r"about ([\d,]+) more", why)
    assert found, why
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize(
    ("limit", "better", "word"),
    [
        (1.2, Better.LOWER, "met"),
        (0.8, Better.LOWER, "missed"),
        (1.2, Better.HIGHER, "missed"),
        (0.8, Better.HIGHER, "met"),
        (1.02, Better.LOWER, "inconclusive"),
        (0.98, Better.HIGHER, "inconclusive"),
    ],
)
def test_all_intervals_must_be_on_one_side(limit, better, word):
    assert rounds().judge(limit, better)[0] == word


def test_the_wider_interval_decides():
    assert rounds(shown=0.5).judge(1.2, Better.LOWER)[0] == "inconclusive"
    assert rounds(gate=0.5).judge(1.2, Better.LOWER)[0] == "inconclusive"
    assert place([(1.0, 2.0)], 2.0, Better.LOWER) == "met"


def test_four_times_the_rounds_halve_the_interval_over_rounds():
    word, why = rounds(shown=0.01, gate=0.1, count=12).judge(exp(0.05), Better.LOWER)
    assert (word, said(why)) == ("inconclusive", 36)


def test_starts_of_workers_narrow_the_shown_interval_faster_than_by_their_root():
    """Three starts have a t quantile of 4.3, six one of 2.6: half as wide takes 5 of them."""
    found = rounds(shown=0.1, gate=0.01)
    starts = next(n for n in range(3, 99) if student_factor(n, 0.95) <= student_factor(3, 0.95) / 2)
    assert said(found.judge(exp(0.05), Better.LOWER)[1]) == 4 * (starts - 3)
    one = rounds(shown=0.1, gate=0.01, sessions=1)
    assert said(one.judge(exp(0.05), Better.LOWER)[1]) == 36


@given(st.floats(0.001, 0.2), st.floats(0.01, 0.5), st.integers(2, 8))
def test_the_rounds_that_are_named_settle_at_the_same_spread(distance, width, sessions):
    found = rounds(shown=width, gate=width, count=4 * sessions, sessions=sessions)
    word, why = found.judge(exp(distance), Better.LOWER)
    if word != "inconclusive" or "about" not in why:
        return
    total = 4 * sessions + said(why)
    assert width * (4 * sessions / total) ** 0.5 <= distance * 1.0001
    spread = width / student_factor(sessions, 0.95)
    assert spread * student_factor(int(total / 4), 0.95) <= distance * 1.0001


def test_a_figure_at_its_limit_is_settled_by_no_number_of_rounds():
    why = rounds().judge(1.0, Better.LOWER)[1]
    assert why == ("not even 10,000 rounds like these would settle it: it is too near to its limit")


@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_fewest_rounds_have_an_interval_and_one_less_has_none(confidence):
    count = fewest_rounds(confidence)
    assert signed_rank_interval(np.arange(count), confidence) is not None
    assert signed_rank_interval(np.arange(count - 1), confidence) is None


def test_too_few_rounds_say_how_many_are_missing():
    found = OverRounds(1.0, None, None, rounds=5, sessions=1).judge(2.0, Better.LOWER)
    assert found == ("inconclusive", "too few rounds for an interval: 3 more rounds")


def test_windows_that_are_named_settle_at_the_same_spread():
    logs = [-0.02, 0.01, 0.0, 0.01]
    low, high = student_interval(logs, 0.99)
    rate = OverWindows(1.0, (exp(low), exp(high)), windows=4)
    assert rate.judge(0.5) == ("met", "")
    assert rate.judge(2.0) == ("missed", "")
    word, why = rate.judge(0.98)
    assert word == "inconclusive"
    total = 4 + said(why)
    spread = log(1 / exp(low)) / student_factor(4, 0.99)
    assert spread * student_factor(total, 0.99) <= abs(log(0.98)) * 1.0001
    assert spread * student_factor(total - 1, 0.99) > abs(log(0.98))


def test_one_window_has_no_interval():
    found = OverWindows(1.0, None, windows=1).judge(0.5)
    assert found[0] == "inconclusive"
    assert "1 more window" in found[1]


@pytest.mark.parametrize(("over", "count"), [(0, 100), (3, 900), (25, 2000)])
def test_the_requests_that_are_named_decide_a_p99_at_the_same_rate(over, count):
    latencies = [2.0] * over + [0.5] * (count - over)
    found = check_target(latencies, 1.0, 0.99)
    assert found.outcome == "inconclusive"
    total = count + said(explain_counts(found))
    more = round(over * total / count)
    again = check_target([2.0] * more + [0.5] * (total - more), 1.0, 0.99)
    assert isinstance(again, TargetResult)
    assert again.outcome != "inconclusive"
