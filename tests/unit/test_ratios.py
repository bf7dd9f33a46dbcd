"""Centres, ratios and intervals over rounds."""

from __future__ import annotations

from itertools import product
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import wilcoxon

from trtproof.errors import InputError
from trtproof.measure.ratios import (
    Ratio,
    aa_halfwidth,
    centre_interval,
    hodges_lehmann,
    log_ratios,
    ratio_of_rounds,
    signed_rank_interval,
)

times = st.floats(0.1, 1000.0)
pairs = st.lists(st.tuples(times, times), min_size=8, max_size=20)
values = st.lists(st.floats(-5, 5), min_size=1, max_size=14)
confidences = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
SESSIONS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def enumerate_interval(sample, confidence):
    """Invert the test by brute force: over all sign patterns of the ranks."""
    count = len(sample)
    sums = [
        sum(rank for rank, sign in enumerate(signs, 1) if sign)
        for signs in product([0, 1], repeat=count)
    ]
    rank = 0
    while np.mean([total < rank + 1 for total in sums]) <= (1 - confidence) / 2:
        rank += 1
    averages = sorted((a + b) / 2 for i, a in enumerate(sample) for b in sample[i:])
    return (averages[rank - 1], averages[-rank]) if rank else None


@given(values.filter(lambda sample: len(sample) <= 9), confidences)
def test_the_signed_rank_interval_is_what_enumeration_of_all_signs_gives(sample, confidence):
    expected = enumerate_interval(sample, confidence)
    found = signed_rank_interval(sample, confidence)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("count", [6, 8, 12, 20, 32])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_holds_exactly_the_centres_that_scipys_exact_test_does_not_reject(
    count, confidence
):
    sample = np.random.default_rng(count).normal(0.02, 0.01, count)
    bounds = signed_rank_interval(sample, confidence)
    if bounds is None:
        assert 2 * 0.5**count > 1 - confidence
        return
    inside = 1e-9 * np.asarray([1, -1])
    for centre in np.asarray(bounds) + inside:
        assert wilcoxon(sample - centre, method="exact").pvalue > 1 - confidence
    for centre in np.asarray(bounds) - inside:
        assert wilcoxon(sample - centre, method="exact").pvalue <= 1 - confidence + 1e-12


def test_six_rounds_are_the_fewest_for_95_percent_and_eight_for_99():
    sample = np.arange(8.0)
    assert signed_rank_interval(sample[:5], 0.95) is None
    assert signed_rank_interval(sample[:6], 0.95) == (0, 5)
    assert signed_rank_interval(sample[:7], 0.99) is None
    assert signed_rank_interval(sample, 0.99) == (0, 7)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(4)
    for draw in (rng.standard_normal, rng.standard_cauchy):
        bounds = [signed_rank_interval(draw(12), 0.95) or (1, 0) for _ in range(2000)]
        covered = np.mean([low <= 0 <= high for low, high in bounds])
        assert 0.94 < covered < 0.97


def test_hundreds_of_values_have_a_narrow_interval():
    low, high = signed_rank_interval(np.linspace(-1, 1, 300), 0.99) or (0, 0)
    assert -0.1 < low < 0 < high < 0.1


def test_a_wrecked_round_hardly_moves_the_centre():
    quiet = [0.01, 0.012, 0.009, 0.011, 0.010, 0.0105, 0.0095, 0.0115]
    assert hodges_lehmann([*quiet, 3.0]) == pytest.approx(hodges_lehmann(quiet), abs=0.001)


@given(pairs, st.booleans())
def test_swapping_the_contenders_inverts_the_ratio_and_its_ends(rounds, grouped):
    before, after = zip(*rounds, strict=True)
    labels = [place // 3 for place in range(len(before))] if grouped else None
    there = ratio_of_rounds(before, after, sessions=labels)
    back = ratio_of_rounds(after, before, sessions=labels)
    assert there.low is not None
    assert there.high is not None
    assert back.value == pytest.approx(1 / there.value)
    assert back.low == pytest.approx(1 / there.high)
    assert back.high == pytest.approx(1 / there.low)


@given(pairs, st.floats(0.01, 100.0))
def test_a_slower_machine_changes_no_ratio(rounds, factor):
    before, after = zip(*rounds, strict=True)
    plain = ratio_of_rounds(before, after)
    scaled = ratio_of_rounds([b * factor for b in before], [a * factor for a in after])
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx(
        (plain.value, plain.low, plain.high)
    )


@given(pairs, st.floats(0.01, 100.0))
def test_a_contender_that_takes_longer_moves_the_ratio_by_just_that(rounds, factor):
    before, after = zip(*rounds, strict=True)
    plain = ratio_of_rounds(before, after)
    slower = ratio_of_rounds(before, [a * factor for a in after])
    assert slower.value * factor == pytest.approx(plain.value)
    assert slower.halfwidth == pytest.approx(plain.halfwidth, rel=1e-6, abs=1e-9)


@given(pairs, st.randoms())
def test_the_order_of_rounds_does_not_matter(rounds, random):
    labelled = [(*pair, place // 4) for place, pair in enumerate(rounds)]
    shuffled = labelled.copy()
    random.shuffle(shuffled)
    first, second = (
        ratio_of_rounds(before, after, sessions=sessions)
        for before, after, sessions in (
            tuple(zip(*rows, strict=True)) for rows in (labelled, shuffled)
        )
    )
    assert (first.value, first.low, first.high) == pytest.approx(
        (second.value, second.low, second.high)
    )


@given(values.filter(lambda sample: len(sample) >= 8), st.booleans())
def test_more_confidence_never_gives_a_narrower_interval(sample, grouped):
    labels = [place // 4 for place in range(len(sample))] if grouped else None
    previous = None
    for confidence in (0.5, 0.8, 0.9, 0.95, 0.99):
        bounds = centre_interval(sample, sessions=labels, confidence=confidence)
        assert bounds is not None
        if previous is not None:
            assert bounds[0] <= previous[0] + 1e-12
            assert bounds[1] >= previous[1] - 1e-12
        previous = bounds


@given(values.filter(lambda sample: len(sample) >= 8), confidences)
def test_knowing_the_sessions_never_narrows_an_interval(sample, confidence):
    labels = [place // 4 for place in range(len(sample))]
    plain = signed_rank_interval(sample, confidence)
    aware = centre_interval(sample, sessions=labels, confidence=confidence)
    assert (plain is None) == (aware is None)
    if plain is not None and aware is not None:
        assert aware[0] <= plain[0]
        assert aware[1] >= plain[1]


@given(values.filter(lambda sample: len(sample) >= 6))
def test_the_centre_lies_inside_its_interval(sample):
    low, high = centre_interval(sample, confidence=0.95) or (1, 0)
    assert low - 1e-12 <= hodges_lehmann(sample) <= high + 1e-12


def test_with_one_session_the_interval_is_the_signed_rank_one():
    sample = np.random.default_rng(0).normal(size=12)
    plain = signed_rank_interval(sample, 0.95)
    assert centre_interval(sample, confidence=0.95) == plain
    assert centre_interval(sample, sessions=[7] * 12, confidence=0.95) == plain


def test_sessions_that_disagree_widen_the_interval_to_what_so_few_allow():
    sample = np.repeat([0.0, 0.0, 0.12], 4) + np.tile([-0.001, 0.001, 0.002, -0.002], 3)
    low, high = centre_interval(sample, sessions=SESSIONS, confidence=0.95) or (0, 0)
    spread = student.ppf(0.975, 2) * np.std([0, 0, 0.12], ddof=1) / np.sqrt(3)
    assert low == pytest.approx(0.04 - spread)
    assert high == pytest.approx(0.04 + spread)


def test_too_few_rounds_have_a_ratio_and_no_interval():
    ratio = ratio_of_rounds([2.0] * 5, [1.0] * 5)
    assert ratio == Ratio(2.0, None, None, 5)
    assert ratio.halfwidth is None
    assert aa_halfwidth(ratio) is None


def test_the_noise_floor_reaches_to_the_end_that_is_farther_from_one():
    assert aa_halfwidth(Ratio(1.01, 0.99, 1.02, 12)) == pytest.approx(0.02)
    assert aa_halfwidth(Ratio(0.99, 1 / 1.03, 1.01, 12)) == pytest.approx(0.03)
    # far from 1 with a narrow interval is a bias, not quiet
    assert aa_halfwidth(Ratio(1.05, 1.049, 1.051, 12)) == pytest.approx(0.051)


def test_a_half_width_is_a_share_of_the_value():
    assert Ratio(3.0, 2.97, 3.03, 12).halfwidth == pytest.approx(0.01, rel=0.01)
    assert Ratio(1.0, exp(-0.1), exp(0.1), 12).halfwidth == pytest.approx(exp(0.1) - 1)


def test_log_ratios_are_positive_where_after_is_quicker():
    assert list(log_ratios([2.0, 1.0], [1.0, 2.0])) == pytest.approx([log(2), -log(2)])


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ([1.0, 2.0], [1.0], "2 rounds with 1"),
        ([], [], "0 rounds with 0"),
        ([1.0, 0.0], [1.0, 1.0], "0.0, which is not a positive"),
        ([1.0, 1.0], [1.0, -3.0], "-3.0"),
        ([1.0, 1.0], [1.0, float("nan")], "nan"),
    ],
)
def test_what_cannot_be_compared_is_named(before, after, says):
    with pytest.raises(InputError, match=says):
        ratio_of_rounds(before, after)


def test_every_round_needs_its_session():
    with pytest.raises(InputError, match="8 rounds but 1 session"):
        ratio_of_rounds([1.0] * 8, [1.0] * 8, sessions=[0])
