"""Comparing what is timed with what is evaluated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.errors import BackendError
from trtproof.measure.answers import first_rows, refuse_other_answers, relative_error
from trtproof.tensor import Array

ITEMS = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def rotated(items: Array, batch: int) -> list[Array]:
    count = len(items)
    return [items[(first + np.arange(batch)) % count] for first in range(count)]


@given(st.integers(1, 9))
def test_equal_answers_differ_by_nothing_at_any_batch(batch: int) -> None:
    assert relative_error(ITEMS, rotated(ITEMS, batch)) == 0.0


def test_the_largest_difference_counts_as_a_share_of_the_largest_value() -> None:
    requests = rotated(ITEMS.copy(), 2)
    requests[3] = requests[3] + np.array([[0, 0, 0], [0, 0.6, 0]], dtype=np.float32)
    assert relative_error(ITEMS, requests) == pytest.approx(0.1)


def test_samples_in_another_order_are_another_answer() -> None:
    assert relative_error(ITEMS, [item[::-1] for item in rotated(ITEMS, 2)]) > 0.4


def test_not_finite_values_must_be_the_same_ones() -> None:
    items = ITEMS.copy()
    items[1, 2], items[2, 0] = np.nan, np.inf
    assert relative_error(items, rotated(items, 3)) == 0.0
    assert relative_error(ITEMS, rotated(items, 3)) == float("inf")
    assert relative_error(items, rotated(ITEMS, 3)) == float("inf")
    assert relative_error(items, rotated(-items, 1)) == float("inf")


def test_another_shape_is_another_answer() -> None:
    assert relative_error(ITEMS, rotated(ITEMS[:, :2], 1)) == float("inf")


def test_answers_of_zeros_must_be_zeros() -> None:
    zeros = np.zeros((2, 1), dtype=np.int64)
    assert relative_error(zeros, rotated(zeros, 1)) == 0.0
    assert relative_error(zeros, rotated(zeros + 1, 1)) == float("inf")


def test_the_message_names_contender_output_and_tolerance() -> None:
    refuse_other_answers({"logits": 0.01}, "x", 8, tolerance=0.01)
    with pytest.raises(
        BackendError, match=r"x at batch 8 .*'logits' differs by 0\.02 .*, 0\.01 is"
    ):
        refuse_other_answers({"logits": 0.02}, "x", 8, tolerance=0.01)


def test_the_first_rows_are_the_items_in_order() -> None:
    requests = [{"y": answer} for answer in rotated(ITEMS, 3)]
    np.testing.assert_array_equal(first_rows(requests)["y"], ITEMS)
