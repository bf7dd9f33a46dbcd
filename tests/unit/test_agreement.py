"""Agreement with the reference's predictions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.errors import InputError
from trtproof.scoring.agreement import agreement_pct, missing_count
from trtproof.scoring.values import pack_value


def of(*predictions, indices=None):
    chosen = list(range(len(predictions))) if indices is None else indices
    return {"indices": chosen, "predictions": {"top1": [list(item) for item in predictions]}}


def test_agreement_is_the_share_of_equal_predictions():
    assert agreement_pct(of([1], [2], [3], [4]), of([1], [2], [3], [0]), scorer="top1") == 75.0


def test_two_samples_without_a_prediction_do_not_agree():
    assert agreement_pct(of([], [2]), of([], [2]), scorer="top1") == 50.0


def test_class_zero_is_a_prediction():
    assert agreement_pct(of([0]), of([0]), scorer="top1") == 100.0
    assert (
        agreement_pct(
            {"indices": [0], "predictions": {"mine": [0]}},
            {"indices": [0], "predictions": {"mine": [0]}},
            scorer="mine",
        )
        == 100.0
    )


def test_other_samples_are_refused():
    with pytest.raises(InputError, match="different samples"):
        agreement_pct(of([1], [2]), of([1], [2], indices=[1, 0]), scorer="top1")


def test_a_scorer_without_predictions_is_named():
    with pytest.raises(InputError, match="'f1', only of top1"):
        agreement_pct(of([1]), of([1]), scorer="f1")


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="0 and 0"):
        agreement_pct(of(), of(), scorer="top1")


@pytest.mark.parametrize(
    "number",
    [0.25, {"boxes": [[1.5, 2, 3, 4]], "classes": [1]}, pack_value(np.ones(2), owner="x")],
)
def test_predictions_of_numbers_are_not_counted(number):
    both = {"indices": [0, 1], "predictions": {"rmse": [1, number]}}
    with pytest.raises(InputError, match="numbers that no two engines give alike"):
        agreement_pct(both, both, scorer="rmse")


def test_arrays_of_classes_are_compared():
    mask, other = (pack_value(np.array([0, last]), owner="x") for last in (1, 2))
    one, two = ({"indices": [0, 1], "predictions": {"iou": [mask, item]}} for item in (mask, other))
    assert agreement_pct(one, two, scorer="iou") == 50.0


def test_samples_without_a_prediction_are_counted():
    assert missing_count([[1], [], None, [0], 0]) == 2


pairs = st.lists(
    st.tuples(st.lists(st.integers(0, 4), max_size=2), st.lists(st.integers(0, 4), max_size=2)),
    min_size=1,
)


@given(pairs)
def test_agreement_is_symmetric_and_between_0_and_100(drawn):
    left, right = of(*(one for one, _ in drawn)), of(*(other for _, other in drawn))
    there = agreement_pct(left, right, scorer="top1")
    assert there == agreement_pct(right, left, scorer="top1")
    assert 0.0 <= there <= 100.0
