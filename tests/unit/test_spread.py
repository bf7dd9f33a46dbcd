from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.onnx_graphs import dataset

from trtproof.data.base import Batch
from trtproof.data.spread import spread

ROWS = {"x": np.arange(40, dtype=np.float32).reshape(20, 2)}


def taken(count: int, size: int) -> list[int]:
    return [
        index for batch in spread(dataset(ROWS), count).batches(size) for index in batch.indices
    ]


@given(count=st.integers(1, 25), size=st.integers(1, 25))
def test_batches_of_any_size_hold_the_same_samples_in_order(count: int, size: int) -> None:
    chosen = spread(dataset(ROWS), count)
    batches = list(chosen.batches(size))
    indices = [index for batch in batches for index in batch.indices]
    assert indices == taken(count, 1)
    assert len(indices) == len(chosen) == min(count, 20)
    assert all(len(batch.indices) == size for batch in batches[:-1])
    rows = np.concatenate([batch.feeds["x"] for batch in batches])
    assert np.array_equal(rows, ROWS["x"][indices])


@pytest.mark.parametrize(("count", "expected"), [(1, [10]), (2, [5, 15]), (4, [2, 7, 12, 17])])
def test_samples_lie_evenly_over_the_split(count: int, expected: list[int]) -> None:
    assert taken(count, 8) == expected


def test_a_sorted_split_gives_of_every_class() -> None:
    labels = np.repeat(np.arange(10), 2)
    assert {int(labels[index]) for index in taken(10, 3)} == set(range(10))


def test_a_split_that_has_no_more_is_taken_as_it_is() -> None:
    whole = dataset(ROWS)
    assert spread(whole, 20) is whole


class Ragged:
    """Sentences of two lengths."""

    synthetic = False
    preprocessing = ()

    def __len__(self) -> int:
        return 6

    def batches(self, size: int) -> object:
        del size
        for start, length in ((0, 3), (2, 3), (4, 5)):
            yield Batch({"x": np.zeros((2, length))}, None, range(start, start + 2))


def test_samples_of_another_shape_begin_another_batch() -> None:
    shapes = [batch.feeds["x"].shape for batch in spread(Ragged(), 5).batches(8)]  # type: ignore[arg-type]
    assert shapes == [(3, 3), (2, 5)]
