"""Percentiles, when they are published and how far they can be trusted."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from trtproof.errors import InputError
from trtproof.measure.quantiles import (
    Method,
    estimate_quantile,
    interval_ranks,
    may_bound_by_rounds,
    may_publish,
    order_statistic_interval,
    percentile,
    samples_needed,
)

samples = st.lists(st.integers(1, 10**9), min_size=1, max_size=300)


@given(samples, st.integers(1, 1000))
def test_a_percentile_is_trtexecs_rank_in_exact_arithmetic(sample, permille):
    exclude = floor((1 - Fraction(permille, 1000)) * len(sample))
    expected = sorted(sample)[max(len(sample) - 1 - exclude, 0)]
    assert percentile(sample, permille / 1000) == expected


@given(samples, st.floats(0.01, 1.0), st.integers(1, 1000))
def test_a_percentile_scales_with_its_values_and_ignores_their_order(sample, share, factor):
    assert percentile([factor * value for value in sample], share) == factor * percentile(
        sample[::-1], share
    )


def test_ten_samples_must_lie_beyond_a_published_percentile():
    assert [samples_needed(share) for share in (0.9, 0.95, 0.99, 0.999)] == [100, 200, 1000, 10_000]
    assert may_publish(0.99, 1000)
    assert not may_publish(0.99, 999)
    assert may_publish(0.5, 1)
    assert may_publish(0.1, 1)


@pytest.mark.parametrize(
    ("count", "share", "ranks"),
    [
        (367, 0.99, None),
        (368, 0.99, (360, 368)),
        (1000, 0.99, (983, 997)),
        (10_000, 0.99, (9880, 9920)),
        (3687, 0.999, None),
        (3688, 0.999, (3680, 3688)),
        (10_000, 0.999, (9983, 9997)),
        (1000, 0.9, (881, 919)),
    ],
)
def test_the_ranks_that_enclose_a_quantile_at_95_percent_are_known(count, share, ranks):
    assert interval_ranks(count, share, 0.95) == ranks


@given(st.integers(1, 3000), st.sampled_from([0.1, 0.5, 0.9, 0.99]), st.floats(0.5, 0.999))
def test_the_ranks_are_the_tightest_with_each_tail_in_bounds(count, share, confidence):
    ranks = interval_ranks(count, share, confidence)
    tail = (1 - confidence) / 2
    if ranks is None:
        extremes = (binom.cdf(0, count, share), binom.sf(count - 1, count, share))
        assert max(extremes) > tail - 1e-12
        return
    low, high = ranks
    assert binom.cdf(low - 1, count, share) <= tail + 1e-12
    assert binom.cdf(low, count, share) > tail - 1e-12
    assert binom.sf(high - 1, count, share) <= tail + 1e-12
    assert high == 1 or binom.sf(high - 2, count, share) > tail - 1e-12


def test_the_order_statistics_cover_the_true_quantile():
    rng = np.random.default_rng(2)
    truth = -np.log(0.01)  # P99 of the exponential distribution
    bounds = [
        order_statistic_interval(rng.exponential(size=1000), 0.99, 0.95) or (1, 0)
        for _ in range(1000)
    ]
    assert np.mean([low <= truth <= high for low, high in bounds]) >= 0.95


def rounds_of(count, size, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.lognormal(1.0, 0.05, size) for _ in range(count)]


def test_up_to_p99_the_interval_is_over_rounds_that_can_state_it_alone():
    rounds = rounds_of(12, 1000)
    for share in (0.1, 0.5, 0.9, 0.99):
        found = estimate_quantile(rounds, share)
        assert found is not None
        assert found.method is Method.ROUNDS
        assert found.bounds is not None
        assert found.bounds[0] <= found.value <= found.bounds[1]
        assert found.value == percentile(np.concatenate(rounds), share)
        assert found.samples_count == 12_000


def test_p99_of_short_rounds_is_published_without_an_interval():
    found = estimate_quantile(rounds_of(8, 200), 0.99)
    assert found is not None
    assert (found.bounds, found.method) == (None, Method.NONE)
    assert not may_bound_by_rounds(0.99, 999)
    assert may_bound_by_rounds(0.99, 1000)
    assert may_bound_by_rounds(0.1, 20)
    assert not may_bound_by_rounds(0.999, 10**6)


def test_p99_9_takes_ten_thousand_requests_and_order_statistics():
    rounds = rounds_of(12, 1000)
    assert estimate_quantile(rounds[:9], 0.999) is None
    found = estimate_quantile(rounds, 0.999)
    assert found is not None
    assert found.method is Method.ORDER_STATISTICS
    assert found.bounds == order_statistic_interval(np.concatenate(rounds), 0.999, 0.95)


def test_too_few_rounds_have_a_point_and_no_interval():
    found = estimate_quantile(rounds_of(5, 1000), 0.5)
    assert found is not None
    assert (found.bounds, found.method) == (None, Method.NONE)


def test_sessions_that_differ_widen_the_interval():
    rounds = [
        block * (1.1 if number >= 8 else 1.0) for number, block in enumerate(rounds_of(12, 200))
    ]
    sessions = [number // 4 for number in range(12)]
    plain, aware = (estimate_quantile(rounds, 0.5, sessions=labels) for labels in (None, sessions))
    assert plain is not None
    assert aware is not None
    assert plain.bounds is not None
    assert aware.bounds is not None
    assert aware.bounds[1] > plain.bounds[1]
    assert aware.bounds[0] < plain.bounds[0]


def test_an_interval_always_contains_its_point():
    # a round that is far longer than the others rules the pooled percentile, not the rounds' centre
    rounds = [np.full(50, 1.0)] * 11 + [np.full(5000, 3.0)]
    found = estimate_quantile(rounds, 0.5)
    assert found is not None
    assert found.value == 3.0
    assert found.bounds == pytest.approx((1.0, 3.0))


@pytest.mark.parametrize("rounds", [[], [[1.0], []]])
def test_a_round_without_requests_is_an_error(rounds):
    with pytest.raises(InputError, match="no counted requests"):
        estimate_quantile(rounds, 0.5)
