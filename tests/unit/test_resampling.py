"""Intervals by resampling: the same for ever, and true to their error rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtproof.scoring import resampling
from trtproof.scoring.resampling import (
    FEWEST_DIFFERING,
    bounded_interval,
    mean_intervals,
    percentile_interval,
    resample,
    seed_of,
)

GATE = 0.99


def test_resamples_are_the_same_on_every_machine_and_version():
    rows = next(resample(7, 5, count=3))
    assert rows.tolist() == [[5, 5, 3, 2, 0, 2, 2], [0, 0, 6, 4, 1, 3, 6], [6, 5, 2, 3, 4, 0, 3]]


def test_the_seed_follows_from_the_samples_and_their_order():
    assert seed_of([1, 2, 3]) == seed_of(list(np.asarray([1, 2, 3])))
    assert len({seed_of([1, 2, 3]), seed_of([3, 2, 1]), seed_of([1, 2])}) == 3


def test_every_position_is_drawn_equally_often():
    rows = np.concatenate(list(resample(9, 1, count=40_000)))
    assert rows.shape == (40_000, 9)
    counts = np.bincount(rows.ravel(), minlength=9)
    assert abs(counts / 40_000 - 1).max() < 0.02


def draw(kind, rng, samples):
    if kind == "skewed":
        return rng.exponential(1.0, samples), 1.0
    if kind == "mostly equal":
        return np.where(rng.random(samples) < 0.15, rng.random(samples), 0.0), 0.075
    return np.where(rng.random(samples) < 0.3, rng.normal(0, 1, samples), 0.0), 0.0


@pytest.mark.parametrize("kind", ["skewed", "mostly equal", "both ways"])
@pytest.mark.parametrize("samples", [80, 200])
def test_each_end_errs_about_as_stated(kind, samples, monkeypatch):
    monkeypatch.setattr(resampling, "RESAMPLES", 2_000)  # enough for 90 %, and quick
    rng, misses, found = np.random.default_rng(samples), np.zeros(2), 0
    for seed in range(100):
        values, mean = draw(kind, rng, samples)
        bounds = mean_intervals(values, seed, [0.9])
        if bounds:
            found += 1
            misses += (bounds[0][0] > mean, bounds[0][1] < mean)
    assert found >= 50
    assert (misses / found <= 0.05 + 0.07).all()  # three standard errors


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-2, 2), st.floats(0.1, 10))
def test_it_holds_the_mean_moves_with_it_and_scales(seed, shift, scale):
    values = np.random.default_rng(seed).normal(1.0, 1.0, 40)
    found = mean_intervals(values, 3, [0.95, GATE])
    assert found is not None
    assert found == mean_intervals(values, 3, [0.95, GATE])
    narrow, wide = found
    assert wide[0] <= narrow[0] <= values.mean() <= narrow[1] <= wide[1]
    moved = mean_intervals(scale * values + shift, 3, [GATE])
    assert moved is not None
    assert moved[0] == pytest.approx((scale * wide[0] + shift, scale * wide[1] + shift))


def test_few_or_equal_differences_have_no_bootstrap():
    few = np.zeros(500)
    few[: FEWEST_DIFFERING - 1] = 1.0
    assert mean_intervals(few, 0, [GATE]) is None
    few[FEWEST_DIFFERING] = 1.0
    assert mean_intervals(few, 0, [GATE]) is not None
    assert mean_intervals(np.full(50, 2.0), 0, [GATE]) is None
    assert mean_intervals(np.full(1, 2.0), 0, [GATE]) is None


def test_what_no_sample_shows_is_bounded_by_the_range():
    low, high = bounded_interval(np.zeros(360), 100.0, GATE)
    assert high == pytest.approx(100 * (1 - 0.005 ** (1 / 360)))
    assert low == -high


def test_the_bound_holds_for_rare_losses():
    rng = np.random.default_rng(1)
    misses = 0
    for _ in range(300):
        values = np.where(rng.random(200) < 0.01, 100 * rng.random(200), 0.0)
        low, high = bounded_interval(values, 100.0, 0.95)
        misses += not low <= 0.5 <= high
    assert misses <= 15


def test_percentiles_are_widened_to_the_normal_interval():
    values = np.asarray([0.0] * 990 + [1.0] * 10)
    low, high = percentile_interval(values, 0.01, 0.95)
    assert low == pytest.approx(0.01 - 1.96 * values.std(ddof=1), abs=1e-3)
    assert high == pytest.approx(0.01 + 1.96 * values.std(ddof=1), abs=1e-3)
    skewed = np.linspace(0, 1, 1001) ** 8
    assert percentile_interval(skewed, 0.1, 0.95)[1] == pytest.approx(0.975**8, rel=0.02)
