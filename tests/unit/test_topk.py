"""Top-k accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.data.base import Batch
from trtproof.errors import InputError
from trtproof.scoring.topk import TOP1, TOP5


def predict(scorer, values):
    batch = Batch(feeds={}, labels=None, indices=range(len(values)))
    return scorer.predictions({"logits": values}, batch)


def test_the_best_classes_come_best_first():
    logits = np.asarray([[0.1, 5.0, 3.0, 4.0, -1.0, 2.0]], dtype=np.float32)
    assert predict(TOP1, logits) == [[1]]
    assert predict(TOP5, logits) == [[1, 3, 2, 5, 0]]


def test_of_equal_outputs_the_lower_class_wins():
    assert predict(TOP1, np.ones((1, 10), dtype=np.float32)) == [[0]]
    assert predict(TOP5, np.ones((1, 10), dtype=np.float32)) == [[0, 1, 2, 3, 4]]


def test_ties_among_many_classes_are_broken_by_the_lower_class():
    # numpy sorts short rows stably with any algorithm; long ones only when asked to
    logits = np.tile(np.asarray([1.0, 3.0, 2.0], dtype=np.float32), 400)[None]
    assert predict(TOP5, logits) == [[1, 4, 7, 10, 13]]


def test_unsigned_outputs_do_not_wrap():
    assert predict(TOP1, np.asarray([[0, 3, 200]], dtype=np.uint8)) == [[2]]


def test_a_sample_with_nan_predicts_nothing_and_is_counted_as_a_miss():
    logits = np.zeros((2, 5), dtype=np.float32)
    logits[0, 3] = np.nan
    predictions = predict(TOP5, logits)
    assert predictions == [[], [0, 1, 2, 3, 4]]
    assert TOP5.score(predictions, [3, 3]) == {"top5_pct": 50.0}
    assert TOP5.score(predictions[:1], [3]) == {"top5_pct": 0.0}


def test_infinity_is_an_output_like_any_other():
    logits = np.asarray([[0.0, np.inf, -np.inf]], dtype=np.float32)
    assert predict(TOP1, logits) == [[1]]


def test_only_the_first_output_is_scored():
    batch = Batch(feeds={}, labels=None, indices=[7])
    outputs = {"logits": np.eye(1, 6, 2), "features": np.zeros((1, 3, 3))}
    assert TOP1.predictions(outputs, batch) == [[2]]


def test_per_sample_values_are_0_and_100():
    values = TOP1.per_sample([[1], [2], []], [1, 1, 0])["top1_pct"]
    assert values.tolist() == [100.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2,), (3, 8)])
def test_an_output_that_is_not_samples_by_classes_is_refused(shape):
    batch = Batch(feeds={}, labels=None, indices=[0, 1])
    with pytest.raises(InputError, match=r"evaluate\.scorers"):
        TOP1.predictions({"logits": np.zeros(shape)}, batch)


def test_top5_of_fewer_than_five_classes_says_what_to_change():
    with pytest.raises(InputError, match=r"take top5 out of `evaluate\.scorers`"):
        predict(TOP5, np.zeros((2, 4)))


@pytest.mark.parametrize("label", ["cat", 1.0, True, None])
def test_a_label_that_is_no_class_index_is_refused(label):
    with pytest.raises(InputError, match="class indices"):
        TOP1.score([[0]], [label])


@pytest.mark.parametrize(("predictions", "labels"), [([], []), ([[1]], [1, 2])])
def test_no_samples_or_unequal_numbers_are_refused(predictions, labels):
    with pytest.raises(InputError, match="at least one"):
        TOP1.score(predictions, labels)


def test_numpy_labels_count_as_class_indices():
    assert TOP1.score([[3]], [np.int64(3)]) == {"top1_pct": 100.0}


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=12),
    st.data(),
)
def test_top1_is_never_above_top5(rows, data):
    logits = np.asarray(rows, dtype=np.float32)
    labels = data.draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    one = TOP1.score(predict(TOP1, logits), labels)["top1_pct"]
    five = TOP5.score(predict(TOP5, logits), labels)["top5_pct"]
    assert one <= five
