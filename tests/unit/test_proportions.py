"""The interval of a drop of accuracy: that it holds what it says, at any size and any rates."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import binomtest, multinomial

from trtproof.scoring import proportions
from trtproof.scoring.proportions import (
    MOST_SAMPLES,
    Discordance,
    drop_interval,
    is_above,
    is_below,
    mcnemar_p,
    samples_to_settle,
    share_interval,
)

GATE = 0.99
RATES = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)
counts = st.integers(1, 300).flatmap(
    lambda samples: st.tuples(st.integers(0, samples), st.integers(0, samples)).map(
        lambda pair: Discordance(pair[0], min(pair[1], samples - pair[0]), samples)
    )
)


@cache
def all_intervals(samples, confidence):
    """Return every outcome as (lost, gained) and its interval, in two arrays."""
    outcomes = [
        (lost, gained) for lost in range(samples + 1) for gained in range(samples + 1 - lost)
    ]
    found = [drop_interval(Discordance(*pair, samples), confidence) for pair in outcomes]
    return np.asarray(outcomes), np.asarray(found)


@pytest.mark.parametrize("confidence", [0.95, GATE])
@pytest.mark.parametrize("samples", [1, 2, 4, 9])
def test_each_end_errs_at_most_as_stated_whatever_the_true_rates(samples, confidence):
    """No simulation: the probability of every outcome is added up."""
    outcomes, bounds = all_intervals(samples, confidence)
    table = np.column_stack([outcomes, samples - outcomes.sum(axis=1)])
    tail = (1 - confidence) / 2
    for lost in RATES:
        for gained in (rate for rate in RATES if lost + rate <= 1):
            chances = multinomial.pmf(table, samples, [lost, gained, max(0, 1 - lost - gained)])
            drop = lost - gained
            assert chances[bounds[:, 0] > drop + 1e-9].sum() <= tail
            assert chances[bounds[:, 1] < drop - 1e-9].sum() <= tail


def test_the_usual_interval_breaks_that_promise():
    """What is avoided: at the observed share of differing samples, times the exact conditional."""
    outcomes, _ = all_intervals(9, 0.95)
    bounds = []
    for lost, gained in outcomes:
        differing = int(lost + gained)
        low, high = share_interval(int(lost), differing, 0.95) if differing else (0.5, 0.5)
        bounds.append([(2 * low - 1) * differing / 9, (2 * high - 1) * differing / 9])
    table = np.column_stack([outcomes, 9 - outcomes.sum(axis=1)])
    chances = multinomial.pmf(table, 9, [0.05, 0.0, 0.95])
    inside = [low <= 0.05 <= high for low, high in bounds]
    assert chances[inside].sum() < 0.5


PLANTED = [
    (samples, extra, drop)
    for samples in (100, 360, 2000)
    for extra in (0.0, 0.1)  # samples that flip both ways, half each
    for drop in (0.0, 0.005, 0.03)
]
MARGIN = 0.01


@pytest.mark.parametrize(("samples", "extra", "drop"), PLANTED)
def test_planted_losses_are_judged_right_against_a_margin(samples, extra, drop):
    rng = np.random.default_rng([samples, int(1000 * extra), int(1000 * drop)])
    rates = [drop + extra / 2, extra / 2, 1 - drop - extra]
    draws = rng.multinomial(samples, rates, size=100)
    outcomes = [Discordance(int(lost), int(gained), samples) for lost, gained, _ in draws]
    met = np.mean([below(item, MARGIN) for item in outcomes])
    missed = np.mean([above(item, MARGIN) for item in outcomes])
    wrong, right = (met, missed) if drop > MARGIN else (missed, met)
    assert wrong <= 0.03  # 0.5 % and what 100 draws may add
    if samples == 2000 and (drop == 0.03 or drop + extra == 0):
        assert right >= 0.4


@cache
def below(item, limit):
    return is_below(item, limit, GATE)


@cache
def above(item, limit):
    return is_above(item, limit, GATE)


@pytest.mark.parametrize("samples", [200, 1000])
@pytest.mark.parametrize("extra", [0.0, 0.1])
def test_a_loss_at_the_margin_is_hardly_ever_called_met_or_missed(samples, extra):
    rng = np.random.default_rng(samples)
    rates = [MARGIN + extra / 2, extra / 2, 1 - MARGIN - extra]
    draws = rng.multinomial(samples, rates, size=400)
    outcomes = [Discordance(int(lost), int(gained), samples) for lost, gained, _ in draws]
    for judge in (below, above):
        assert (
            np.mean([judge(item, MARGIN) for item in outcomes]) <= 0.0175
        )  # 0.5 % and what 400 draws may add


@settings(max_examples=20, deadline=None)
@given(counts)
def test_the_interval_holds_the_drop_and_turns_with_the_sides(item):
    low, high = drop_interval(item, GATE)
    assert -1 <= low <= item.drop <= high <= 1
    assert drop_interval(item.mirrored(), GATE) == (-high, -low)


@settings(max_examples=15, deadline=None)
@given(counts)
def test_more_confidence_is_a_wider_interval(item):
    narrow, wide = drop_interval(item, 0.95), drop_interval(item, GATE)
    assert wide[0] <= narrow[0] + 1e-6
    assert wide[1] >= narrow[1] - 1e-6


def test_zero_is_excluded_only_where_mcnemars_test_rejects():
    outcomes, bounds = all_intervals(9, 0.95)
    for (lost, gained), (low, high) in zip(outcomes.tolist(), bounds, strict=True):
        if low > 0 or high < 0:
            assert mcnemar_p(Discordance(lost, gained, 9)) <= 0.05
    item = Discordance(lost=7, gained=1, samples=9)
    assert mcnemar_p(item) > 0.05
    assert proportions._tail(item, 0.0, 0.95) < 0.025  # by itself the exact test would reject
    assert drop_interval(item, 0.95)[0] == 0


@settings(max_examples=25, deadline=None)
@given(counts, st.floats(-0.5, 0.5))
def test_the_sides_of_a_limit_are_the_intervals(item, limit):
    low, high = drop_interval(item, GATE)
    if abs(limit - low) > 1e-5 and abs(limit - high) > 1e-5:
        assert is_below(item, limit, GATE) == (high < limit)
        assert is_above(item, limit, GATE) == (low > limit)


@settings(max_examples=100, deadline=None)
@given(counts)
def test_mcnemars_p_value_is_the_binomial_tests(item):
    differing = item.lost + item.gained
    known = binomtest(item.lost, differing, 0.5).pvalue if differing else 1.0
    assert mcnemar_p(item) == pytest.approx(known)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(40, 200))
def test_an_exact_share_is_clopper_and_pearsons(count, samples):
    known = binomtest(count, samples).proportion_ci(GATE, "exact")
    assert share_interval(count, samples, GATE) == pytest.approx((known.low, known.high))


@settings(max_examples=60, deadline=None)
@given(counts, st.floats(-0.9, 0.9))
def test_the_statistic_rises_with_the_samples_lost(item, drop):
    """What the search for the fewest lost relies on."""
    lost = np.arange(item.samples + 1)
    found = proportions._statistic(lost, item.samples - lost, samples=item.samples, drop=drop)
    assert (np.diff(found) >= -1e-9).all()


def test_equal_answers_are_no_proof_of_equal_models():
    low, high = drop_interval(Discordance(0, 0, 360), GATE)
    assert (low, high) == (-high, high)
    assert 0.014 < high < 0.017  # the rule of three: 1 - 0.005 ** (1 / 360) = 0.0146


@pytest.mark.parametrize("item", [Discordance(150, 80, 5000), Discordance(60, 10, 20_000)])
def test_with_many_samples_it_is_the_score_interval_that_everyone_knows(item):
    deviations = float(ndtri(0.995))

    def beyond(drop):
        found = proportions._statistic(item.lost, item.gained, samples=item.samples, drop=drop)
        return float(found)

    low = brentq(lambda drop: beyond(drop) - deviations, -0.5, item.drop)
    high = brentq(lambda drop: beyond(drop) + deviations, item.drop, 0.5)
    assert drop_interval(item, GATE) == pytest.approx((low, high), abs=0.05 * (high - low))


@pytest.mark.parametrize(
    ("item", "limit"),
    [
        (Discordance(0, 0, 360), 0.005),
        (Discordance(2, 1, 360), 0.01),
        (Discordance(30, 5, 1000), 0.02),
        (Discordance(30, 5, 1000), 0.03),
    ],
)
def test_the_samples_that_would_settle_do_so_and_half_would_not(item, limit):
    needed = samples_to_settle(item, limit, GATE)
    assert needed is not None
    settles = is_below if item.drop < limit else is_above
    assert settles(item.at_rates(needed), limit, GATE)
    assert not settles(item.at_rates(max(item.samples, needed // 2)), limit, GATE)


def test_a_drop_at_its_limit_is_settled_by_no_number_of_samples():
    assert samples_to_settle(Discordance(10, 5, 1000), 0.005, GATE) is None
    assert samples_to_settle(Discordance(50_010, 50_000, 200_000), 0.0, GATE) is None


def test_equal_answers_never_settle_a_limit_of_zero():
    assert samples_to_settle(Discordance(0, 0, 1000), 0.0, GATE) is None
    assert MOST_SAMPLES >= 1_000_000
