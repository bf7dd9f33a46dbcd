"""When a session has enough rounds."""

from __future__ import annotations

import pytest

from trtproof.measure.stopping import StopReason, StopRule, Width, decide_extension

RULE = StopRule()
WIDE = Width("e2e_p50", halfwidth=0.02, wanted=0.01)
NARROW = Width("e2e_p99", halfwidth=0.01, wanted=0.03)


def decide(widths, *, done=12, left=1000.0, step=60.0, rule=RULE):
    return decide_extension(
        widths, rule, rounds_done=done, seconds_left=left, seconds_per_step=step
    )


def test_a_wide_interval_adds_four_rounds_and_is_named():
    found = decide([WIDE, NARROW])
    assert (found.rounds_count, found.reason, found.too_wide) == (
        4,
        StopReason.TOO_WIDE,
        ("e2e_p50",),
    )


def test_a_missing_interval_is_too_wide():
    assert decide([Width("e2e_p50", halfwidth=None, wanted=0.01)]).rounds_count == 4


def test_intervals_as_narrow_as_wanted_end_the_session():
    found = decide([NARROW, Width("e2e_p50", halfwidth=0.01, wanted=0.01)])
    assert (found.rounds_count, found.reason) == (0, StopReason.NARROW_ENOUGH)


@pytest.mark.parametrize(("done", "added"), [(12, 4), (28, 4), (30, 2), (32, 0), (40, 0)])
def test_no_session_goes_beyond_32_rounds(done, added):
    found = decide([WIDE], done=done)
    assert found.rounds_count == added
    assert (found.reason is StopReason.MOST_ROUNDS) == (added == 0)


def test_a_step_that_does_not_fit_the_budget_is_not_begun():
    assert decide([WIDE], left=60.0).rounds_count == 4
    found = decide([WIDE], left=59.9)
    assert (found.rounds_count, found.reason) == (0, StopReason.BUDGET)
    assert decide([WIDE], done=30, left=30.0).rounds_count == 2


def test_a_profile_that_does_not_extend_has_all_its_rounds_from_the_start():
    assert decide([WIDE], done=8, rule=StopRule(most_rounds=8)).rounds_count == 0
