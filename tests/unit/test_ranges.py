from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trtproof.calibration.histogram import Accumulator, Statistics
from trtproof.errors import CalibrationError
from trtproof.precision.grids import FP8, INT8, Grid
from trtproof.precision.ranges import (
    METHODS,
    SMALLEST_SCALE,
    cover,
    entropy_range,
    find_range,
    find_scale,
    max_range,
    mse_range,
    percentile_range,
)
from trtproof.tensor import Array

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
SAMPLES = arrays(np.float32, st.integers(1, 200), elements=FINITE)


def statistics(*parts: Array) -> Statistics:
    accumulator = Accumulator()
    for part in parts:
        assert accumulator.add(part)
    return accumulator.statistics()


def normal(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def find(found: Statistics, method: str, *, grid: Grid = INT8) -> float:
    return find_range("x", found, method=method, percentile=99.99, grid=grid)


@settings(max_examples=25, deadline=None)
@given(values=SAMPLES.filter(lambda values: bool(np.any(values))), size=st.integers(1, 50))
@pytest.mark.parametrize("method", METHODS)
def test_neither_order_nor_batches_change_a_range(method: str, values: Array, size: int) -> None:
    whole = statistics(values)
    parts = statistics(*(values[::-1][i : i + size] for i in range(0, len(values), size)))
    assert find(parts, method) == find(whole, method)


@settings(max_examples=25, deadline=None)
@given(values=SAMPLES.filter(lambda values: bool(np.any(values))))
@pytest.mark.parametrize("method", METHODS)
def test_a_range_is_positive_and_clips_but_never_widens(method: str, values: Array) -> None:
    found = find(statistics(values), method)
    assert 0 < found <= np.abs(values).max() * (1 + 1e-12)


@given(end=st.floats(1e-12, 60000 * 127))
@pytest.mark.parametrize("grid", [INT8, FP8])
def test_a_scale_is_the_smallest_float16_that_covers_the_range(end: float, grid: Grid) -> None:
    scale = cover(np.array(end), grid)
    assert scale.dtype == np.float32
    assert np.float16(scale) == scale
    assert scale > 0
    assert float(scale) * grid.largest >= end * (1 - 1e-12)
    below = np.nextafter(np.float16(scale), np.float16(0))
    assert below == 0 or float(below) * grid.largest < end


def test_max_is_the_largest_magnitude_itself() -> None:
    values = np.array([0.1, -3.3000002, 2.0], np.float32)
    assert max_range(statistics(values)) == float(np.float32(3.3000002))


def test_percentile_is_within_a_bin_of_the_true_one() -> None:
    values = normal(50_000)
    for percentile in (50.0, 90.0, 99.0, 99.99):
        found = percentile_range(statistics(values), percentile)
        rank = int(np.ceil(percentile / 100 * values.size)) - 1
        true = float(np.sort(np.abs(values))[rank])
        assert true <= found <= true * (1 + 1 / 128)
    assert percentile_range(statistics(values), 100.0) == np.abs(values).max()


def test_a_tensor_of_nearly_only_zeros_keeps_its_range() -> None:
    values = np.zeros(100_000, np.float32)
    values[7] = 2.5
    assert percentile_range(statistics(values), 99.99) == 2.5


def quantisation_error(values: Array, end: float, grid: Grid) -> float:
    scale = end / grid.largest
    restored = grid.round(values.astype(np.float64) / scale).astype(np.float64) * scale
    return float(((values - restored) ** 2).sum())


@pytest.mark.parametrize("grid", [INT8, FP8])
def test_mse_errs_less_than_max_where_one_value_lies_far_out(grid: Grid) -> None:
    values = np.append(normal(20_000), np.float32(30))
    found = mse_range(statistics(values), grid)
    assert quantisation_error(values, found, grid) <= quantisation_error(values, 30.0, grid)
    if grid is INT8:
        assert found < 30


def test_entropy_leaves_out_a_far_value_and_keeps_a_flat_distribution_whole() -> None:
    far = np.append(normal(200_000), np.float32(100))
    assert 2 < entropy_range(statistics(far)) < 20
    flat = np.linspace(-1, 1, 100_001, dtype=np.float32)
    assert entropy_range(statistics(flat)) > 0.95


def test_zeros_do_not_move_the_entropy_range() -> None:
    values = normal(50_000)
    padded = np.append(values, np.zeros(500_000, np.float32))
    assert entropy_range(statistics(padded)) == entropy_range(statistics(values))


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_that_was_always_zero_is_refused_by_name(method: str) -> None:
    with pytest.raises(CalibrationError, match=r"'x' is zero in every calibration sample"):
        find(statistics(np.zeros(5, np.float32)), method)


@pytest.mark.parametrize("lowest", [np.nan, -np.inf])
def test_a_range_that_is_not_finite_is_refused(lowest: float) -> None:
    broken = Statistics(lowest, 1.0, np.array([5]), np.array([1]))
    with pytest.raises(CalibrationError, match="no finite range"):
        find(broken, "max")


def test_a_tensor_without_values_is_refused() -> None:
    empty = Statistics(0.0, 0.0, np.array([], np.int64), np.array([], np.int64))
    with pytest.raises(CalibrationError, match="no finite range"):
        find(empty, "max")


@pytest.mark.parametrize("grid", [INT8, FP8])
def test_a_scale_that_underflows_in_float16_is_refused(grid: Grid) -> None:
    least = SMALLEST_SCALE * grid.largest
    assert find_scale("x", least, grid) == SMALLEST_SCALE
    with pytest.raises(CalibrationError, match=r"'x'.*underflows in float16"):
        find_scale("x", least * 0.999, grid)


@pytest.mark.parametrize("grid", [INT8, FP8])
def test_a_range_beyond_float16_has_no_scale(grid: Grid) -> None:
    scale = find_scale("x", 60_000, grid)
    assert scale is not None
    assert np.isfinite(np.float16(scale * grid.largest))
    assert find_scale("x", 65_600, grid) is None
    assert find_scale("x", 1e30, grid) is None


def test_grids_round_to_the_nearest_and_clip() -> None:
    values = np.array([0.5, 1.5, -1000, 126.6, 500], np.float32)
    assert INT8.round(values).tolist() == [0, 2, -127, 127, 127]
    assert FP8.round(values).astype(np.float32).tolist() == [0.5, 1.5, -448, 128, 448]
