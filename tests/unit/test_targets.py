"""Latency targets and how many requests confirm them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from trtproof.errors import InputError
from trtproof.measure.targets import (
    Outcome,
    allowed_over,
    check_target,
    confirmed_latency,
    decisive_bounds,
    requests_needed,
)


def latencies(count, over):
    return np.repeat([1.0, 5.0], [count - over, over])


@pytest.mark.parametrize(
    ("share", "over", "needed"),
    [
        (0.99, 0, 459),
        (0.99, 1, 662),
        (0.99, 10, 2010),
        (0.999, 0, 4603),
        (0.999, 1, 6636),
        (0.999, 10, 20_140),
    ],
)
def test_early_stopping_gives_mlperfs_known_answers(share, over, needed):
    assert requests_needed(share, over) == needed


@pytest.mark.parametrize(
    ("count", "allowed"),
    [(458, None), (459, 0), (1000, 2), (2000, 9), (5000, 33), (10_000, 77), (20_000, 167)],
)
def test_p99_allows_so_many_requests_over_the_limit_at_99_percent(count, allowed):
    assert allowed_over(count, 0.99) == allowed
    if allowed is not None:
        assert check_target(latencies(count, allowed), 3.0, 0.99).outcome is Outcome.MET
        assert check_target(latencies(count, allowed + 1), 3.0, 0.99).outcome is not Outcome.MET


@given(st.integers(0, 60), st.sampled_from([0.5, 0.9, 0.97, 0.99]), st.floats(0.6, 0.999))
def test_the_needed_requests_are_the_fewest_that_allow_so_many_over(over, share, confidence):
    needed = requests_needed(share, over, confidence=confidence)
    assert (allowed_over(needed, share, confidence=confidence) or 0) >= over
    fewer = allowed_over(needed - 1, share, confidence=confidence)
    assert fewer is None or fewer < over


@given(st.integers(1, 3000), st.floats(0, 0.05), st.sampled_from([0.9, 0.99]))
def test_the_outcome_is_the_exact_binomial_tests(count, part, share):
    over = round(part * count)
    found = check_target(latencies(count, over), 3.0, share)
    met = binomtest(over, count, 1 - share, alternative="less").pvalue <= 0.01 + 1e-12
    missed = binomtest(over, count, 1 - share, alternative="greater").pvalue <= 0.01 + 1e-12
    assert found.outcome is (
        Outcome.MET if met else Outcome.MISSED if missed else Outcome.INCONCLUSIVE
    )
    assert (found.over_count, found.samples_count) == (over, count)


def test_a_request_exactly_at_the_limit_is_within_it():
    assert check_target([3.0] * 459, 3.0, 0.99).over_count == 0


def test_few_requests_decide_nothing_however_quick_they_are():
    found = check_target([1.0] * 100, 3.0, 0.99)
    assert (found.outcome, found.allowed_count) == (Outcome.INCONCLUSIVE, None)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=700), st.integers(0, 51))
def test_a_limit_is_met_exactly_from_the_confirmed_latency_on(sample, limit):
    confirmed = confirmed_latency(sample, 0.9)
    met = check_target(sample, limit, 0.9).outcome is Outcome.MET
    assert met == (confirmed is not None and limit >= confirmed)


def test_a_true_quantile_at_the_limit_is_confirmed_in_one_run_of_a_hundred_at_most():
    rng = np.random.default_rng(3)
    over = rng.binomial(2000, 0.01, 20_000)
    assert np.mean(over <= (allowed_over(2000, 0.99) or 0)) <= 0.01


def test_no_requests_are_an_error():
    with pytest.raises(InputError, match="no requests"):
        check_target([], 3.0, 0.99)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=900),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.floats(0, 41),
)
def test_the_bounds_decide_about_any_limit_as_counting_does(values, share, limit):
    bounds = decisive_bounds(values, share)
    outcome = check_target(values, limit, share).outcome
    if bounds is None:
        assert outcome is not Outcome.MET
        return
    low, high = bounds
    assert (outcome is Outcome.MET) == (high <= limit)
    assert (outcome is Outcome.MISSED) == (limit < low)
