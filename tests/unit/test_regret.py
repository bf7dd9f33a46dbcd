from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtproof.calibration.histogram import Accumulator, Statistics
from trtproof.precision.grids import INT8
from trtproof.precision.regret import (
    CEILING_DB,
    expected_loss_db,
    measure_regret,
    saturated_share,
)
from trtproof.tensor import Array


def statistics(values: Array) -> Statistics:
    accumulator = Accumulator()
    assert accumulator.add(values.astype(np.float32))
    return accumulator.statistics()


def bell(count: int = 20_000) -> Array:
    return np.random.default_rng(0).standard_normal(count)


def quantised_db(values: Array, end: float) -> float:
    """Return the signal-to-noise ratio of really rounding values to int8."""
    step = end / INT8.largest
    error = values - np.clip(np.rint(values / step), -127, 127) * step
    return float(10 * np.log10((values**2).sum() / (error**2).sum()))


@pytest.mark.parametrize("factor", [0.1, 0.3, 0.6, 0.9, 1.0, 1.3, 4.0, 16.0])
def test_the_histogram_tells_what_really_rounding_the_values_loses(factor: float) -> None:
    values = bell()
    end = factor * float(np.abs(values).max())
    found = measure_regret(statistics(values), end)
    assert found.calibrated_db == pytest.approx(quantised_db(values, end), abs=0.3)
    assert found.own_db == pytest.approx(quantised_db(values, float(np.abs(values).max())), abs=0.3)


def test_far_values_are_better_cut() -> None:
    values = statistics(np.append(bell(), 40.0))
    found = measure_regret(values, values.largest)
    tried = [quantised_db(np.append(bell(), 40.0), end) for end in np.linspace(3, 40, 150)]
    assert found.best_db == pytest.approx(max(tried), abs=0.3)
    assert found.regret_db > 0.3
    assert found.set_loss_db == 0


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.01, 100))
def test_no_range_is_better_than_the_best(factor: float) -> None:
    values = bell(500)
    found = measure_regret(statistics(values), factor * float(np.abs(values).max()))
    assert found.regret_db >= 0
    assert 0 <= found.calibrated_db <= CEILING_DB


def test_a_range_of_zero_keeps_nothing() -> None:
    assert measure_regret(statistics(bell()), 0.0).calibrated_db == 0


def test_equal_values_are_kept_as_well_as_int8_promises() -> None:
    found = measure_regret(statistics(np.ones(50)), 1.0)
    assert found.calibrated_db == pytest.approx(CEILING_DB, abs=0.1)
    assert found.set_loss_db == 0


def test_the_worst_tensor_decides_what_a_model_loses() -> None:
    values = statistics(bell())
    good = measure_regret(values, values.largest)
    poor = measure_regret(values, 100 * values.largest)
    assert expected_loss_db([good] * 4) == pytest.approx(0)
    assert expected_loss_db([poor] * 4) == pytest.approx(poor.set_loss_db)
    mixed = expected_loss_db([good, good, good, poor])
    assert poor.set_loss_db - 6.1 < mixed < poor.set_loss_db


def test_values_within_half_a_step_of_the_range_are_not_cut() -> None:
    values = statistics(np.array([0.5, 1.0, 1.003, 1.02, 2.0]))
    assert saturated_share(values, 1.0) == pytest.approx(2 / 5)
    assert saturated_share(values, 2.0) == 0
    assert saturated_share(values, 0.0) == 1
