from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from trtproof.calibration.exchangeability import (
    FALSE_ALARM_SHARE,
    find_differing,
    measure_exceedance,
)
from trtproof.calibration.samples import Samples, measure_sizes, order_samples
from trtproof.tensor import Array

VALUES = st.integers(0, 6).map(float)


def samples(values: NDArray[np.float64]) -> Samples:
    """Return samples (N, T) of largest magnitudes; the means are half of them."""
    names = [f"t{column}" for column in range(values.shape[1])]
    rows = [np.stack([column, column / 2], axis=1) for column in values.T]
    digests = [f"{position:06d}" for position in range(len(values))]
    return Samples(digests, dict(zip(names, rows, strict=True)))


def tables(tensors: int) -> st.SearchStrategy[NDArray[np.float64]]:
    return arrays(np.float64, st.tuples(st.integers(1, 12), st.just(tensors)), elements=VALUES)


@settings(max_examples=40, deadline=None)
@given(first=tables(3), second=tables(3))
def test_a_sample_exceeds_where_it_is_larger_than_every_calibration_sample(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    found = measure_exceedance(samples(first), samples(second))
    expected = (second > first.max(axis=0)).mean(axis=0)
    assert list(found.shares.values()) == pytest.approx(expected.tolist())
    assert found.ratio == pytest.approx(expected.mean() * (len(first) + 1))
    assert found.expected_share == 1 / (len(first) + 1)


def correlated(generator: np.random.Generator, count: int, *, shift: float = 0.0) -> Samples:
    """Return samples whose 20 tensors go together, as those of a model do."""
    common = generator.standard_normal((count, 1))
    own = generator.standard_normal((count, 20))
    return samples(np.exp(common + 0.3 * own + shift))


def false_alarms(generator: np.random.Generator, count: int, others: int, draws: int) -> list[int]:
    """Return how many draws either test takes for different, all of them from one distribution."""
    alarms = [0, 0]
    for _ in range(draws):
        first, second = correlated(generator, count), correlated(generator, others)
        alarms[0] += measure_exceedance(first, second).p_value <= FALSE_ALARM_SHARE
        alarms[1] += bool(find_differing(first, second))
    return alarms


@pytest.mark.parametrize(("count", "others"), [(1, 60), (10, 60), (60, 20)])
def test_equal_sets_raise_an_alarm_at_most_at_the_stated_rate(count: int, others: int) -> None:
    alarms = false_alarms(np.random.default_rng(count), count, others, draws=30)
    # At a rate of 1 %, more than 3 alarms in 30 draws come once in 5000 times.
    assert max(alarms) <= 3


def test_the_chance_is_spread_evenly_where_sets_are_equal() -> None:
    generator = np.random.default_rng(5)
    chances = [
        measure_exceedance(correlated(generator, 20), correlated(generator, 20)).p_value
        for _ in range(50)
    ]
    assert 0.25 < np.mean(np.array(chances) <= 0.5) < 0.8


def test_larger_samples_are_told_apart_by_both_tests() -> None:
    generator = np.random.default_rng(0)
    first, second = correlated(generator, 100), correlated(generator, 100, shift=1.5)
    assert measure_exceedance(first, second).p_value == 0.001
    assert find_differing(first, second) == set(first.sizes)


def test_smaller_samples_never_exceed_but_differ() -> None:
    generator = np.random.default_rng(0)
    first, second = correlated(generator, 100), correlated(generator, 100, shift=-3)
    assert measure_exceedance(first, second).ratio == 0
    assert find_differing(first, second) == set(first.sizes)


def test_only_the_tensor_that_differs_is_found() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.standard_normal((2, 80, 12))
    second[:, 4] += 2
    assert find_differing(samples(first), samples(second)) == {"t4"}


def test_constant_tensors_do_not_differ() -> None:
    first, second = samples(np.ones((5, 2))), samples(np.ones((9, 2)))
    assert measure_exceedance(first, second).ratio == 0
    assert find_differing(first, second) == set()


def test_the_order_of_the_samples_does_not_show() -> None:
    generator = np.random.default_rng(2)
    values = generator.random((30, 3, 2))
    digests = [f"{number:04x}" for number in generator.permutation(30)]
    order = generator.permutation(30)
    first = order_samples(digests, {"a": [values[:10, 0], values[10:, 0]], "b": [values[:, 1]]})
    second = order_samples(
        [digests[position] for position in order],
        {"b": [values[order, 1]], "a": [values[order, 0]]},
    )
    assert first.digests == second.digests == sorted(digests)
    assert all(np.array_equal(first.sizes[name], second.sizes[name]) for name in "ab")


def test_a_tensor_that_lacks_samples_is_left_out() -> None:
    found = order_samples(["b", "a"], {"whole": [np.ones((2, 2))], "less": [np.ones((1, 2))]})
    assert set(found.sizes) == {"whole"}


@given(values=arrays(np.float32, (5, 3, 4), elements=st.floats(-1024, 1024, width=32)))
def test_a_samples_size_does_not_depend_on_its_neighbours(values: Array) -> None:
    whole = measure_sizes(values, 5)
    alone = np.concatenate([measure_sizes(values[row : row + 1], 1) for row in range(5)])
    assert np.array_equal(whole, alone)
    assert np.array_equal(whole[:, 0], np.abs(values).max(axis=(1, 2)))
    assert whole[:, 1] == pytest.approx(np.abs(values).mean(axis=(1, 2), dtype=np.float64))


def test_samples_that_are_not_finite_are_left_out_of_all_tensors() -> None:
    sizes = {"a": np.array([[1, 1], [np.nan, 1], [3, 3]]), "b": np.array([[1, 1], [2, 2], [4, 4]])}
    found = Samples(["x", "y", "z"], sizes).finite()
    assert found.digests == ["x", "z"]
    assert found.sizes["b"].tolist() == [[1, 1], [4, 4]]
