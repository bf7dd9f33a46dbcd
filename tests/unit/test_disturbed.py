"""Which rounds are left out, and that no latency has a say in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.measure.disturbed import (
    Cause,
    DisturbanceRule,
    RoundEvidence,
    choose_rounds,
    find_causes,
)

RULE = DisturbanceRule()


@pytest.mark.parametrize(
    ("evidence", "causes"),
    [
        (RoundEvidence(), ()),
        (RoundEvidence(0.0, 0.0, 0, 0.0), ()),
        (RoundEvidence(pressure_share=0.10), ()),
        (RoundEvidence(pressure_share=0.11), (Cause.PRESSURE,)),
        (RoundEvidence(steal_share=0.02), (Cause.STEAL,)),
        (RoundEvidence(throttled_ns=1), (Cause.THROTTLED,)),
        (RoundEvidence(foreign_share=0.06), (Cause.FOREIGN,)),
        (RoundEvidence(0.5, 0.5, 5, 0.0), (Cause.PRESSURE, Cause.STEAL, Cause.THROTTLED)),
    ],
)
def test_every_counter_beyond_its_limit_is_a_cause(evidence, causes):
    assert find_causes(evidence, RULE) == causes


def test_a_disturbed_round_is_left_out_with_its_causes():
    found = choose_rounds(range(12), {3: [Cause.STEAL], 5: []}, RULE)
    assert found.left_out == (3,)
    assert found.causes == {3: (Cause.STEAL,)}
    assert found.kept == (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11)
    assert not found.mostly_disturbed


def test_when_more_than_half_are_disturbed_all_are_kept_and_it_is_said():
    half = {number: [Cause.PRESSURE] for number in range(6)}
    assert len(choose_rounds(range(12), half, RULE).kept) == 6
    found = choose_rounds(range(12), half | {6: [Cause.PRESSURE]}, RULE)
    assert found.mostly_disturbed
    assert found.kept == tuple(range(12))
    assert found.left_out == ()
    assert len(found.causes) == 7


@given(st.lists(st.lists(st.sampled_from(list(Cause)), max_size=2), max_size=20))
def test_every_round_is_kept_or_left_out_and_only_with_a_cause(causes):
    rounds = range(len(causes))
    found = choose_rounds(rounds, dict(enumerate(causes)), RULE)
    assert sorted(found.kept + found.left_out) == list(rounds)
    assert all(causes[number] for number in found.left_out)
    assert found.mostly_disturbed == (2 * sum(map(bool, causes)) > len(causes))
