"""The difference of differences between two recorded sessions."""

from __future__ import annotations

from dataclasses import replace
from math import exp, hypot, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.compare.stored_verdict import (
    StoredValues,
    combine_floors,
    divide,
    judge_stored,
)
from trtproof.measure.disturbed import Cause, Selection
from trtproof.measure.ratios import Ratio
from trtproof.measure.verdict import RoundValues, VerdictRule, Word

ROUNDS = range(12)
QUIVER = (0.0, 0.002, -0.001, 0.001, -0.002, 0.0015, -0.0005, 0.0005, 0.0, 0.001, -0.001, 0.0)
RULE = VerdictRule(minimum_effect=0.02, profile="full")
ratios = st.floats(0.2, 5.0)
widths = st.floats(0.0, 0.5)


def session(factor: float, *, machine: float = 1.0, again: float = 1.0) -> StoredValues:
    """Return a session whose variant takes `factor` of the reference's time."""
    reference = {number: machine * (1 + QUIVER[number]) for number in ROUNDS}
    return StoredValues(
        RoundValues(
            reference=reference,
            again={number: again * value for number, value in reference.items()},
            contender={number: factor * value for number, value in reference.items()},
            sessions={number: number // 4 for number in ROUNDS},
        )
    )


def ratio(value: float, down: float, up: float) -> Ratio:
    return Ratio(value, value * exp(-down), value * exp(up), rounds_count=12, sessions_count=3)


@given(ratios, ratios, widths, widths)
def test_dividing_adds_distances_in_quadrature_on_the_log_scale(new, old, down, up):
    found = divide(ratio(new, down, down), ratio(old, up, up))
    assert found.low
    assert found.high
    assert found.value == pytest.approx(new / old)
    assert log(found.high / found.value) == pytest.approx(hypot(down, up), abs=1e-9)
    assert log(found.value / found.low) == pytest.approx(hypot(down, up), abs=1e-9)


def test_the_older_sessions_upper_side_widens_the_lower_one():
    found = divide(ratio(1.0, 0.0, 0.0), ratio(1.0, 0.1, 0.3))
    assert found.low
    assert found.high
    assert log(found.low) == pytest.approx(-0.3)
    assert log(found.high) == pytest.approx(0.1)


def test_without_one_interval_there_is_none():
    found = divide(ratio(1.0, 0.1, 0.1), replace(ratio(1.0, 0.1, 0.1), low=None, high=None))
    assert found.low is None
    assert found.high is None


def test_the_machine_cancels_and_the_variant_remains():
    found = judge_stored(session(0.5), session(0.55, machine=1.3), RULE)
    assert found.word is Word.SLOWER
    assert found.shown.value == pytest.approx(0.5 / 0.55)
    assert found.gates


def test_what_counts_is_twice_as_large_as_in_one_session():
    found = judge_stored(session(0.5), session(0.5 * 1.03), RULE)
    assert found.delta == pytest.approx(0.04)
    assert found.word is Word.SAME
    assert judge_stored(session(0.5), session(0.5 * 1.05), RULE).word is Word.SLOWER


def test_the_noise_of_both_sessions_adds():
    assert combine_floors([0.03, 0.04]) == pytest.approx(exp(hypot(log(1.03), log(1.04))) - 1)
    assert combine_floors([0.03, None]) is None
    noisy = session(0.5 * 1.08, again=1.05)
    found = judge_stored(session(0.5), noisy, RULE)
    assert found.word is Word.INCONCLUSIVE
    assert found.delta > 0.1


def test_a_mostly_disturbed_session_decides_nothing():
    mostly = Selection(tuple(ROUNDS), {0: (Cause.STEAL,)}, mostly_disturbed=True)
    for before, after in (
        (replace(session(0.5), selection=mostly), session(0.9)),
        (session(0.5), replace(session(0.9), selection=mostly)),
    ):
        assert judge_stored(before, after, RULE).word is Word.INCONCLUSIVE


def test_a_quick_profile_is_indicative():
    found = judge_stored(session(0.5), session(0.9), replace(RULE, profile="quick"))
    assert not found.gates
    assert found.reason.startswith("indicative (profile quick)")
