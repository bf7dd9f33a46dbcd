"""Labels of any kind in an .npz file."""

from __future__ import annotations

import numpy as np
import pytest

from trtproof.data.npz_labels import read_labels
from trtproof.errors import InputError


def read(**arrays):
    return read_labels({name: np.asarray(array) for name, array in arrays.items()}, where="f.npz")


def test_labels_are_taken_out_and_inputs_are_left():
    arrays = {"x": np.zeros(2), "labels": np.array([3, 1])}
    assert read_labels(arrays, where="f.npz") == [3, 1]
    assert list(arrays) == ["x"]


def test_there_may_be_none():
    assert read(x=[1.0]) is None


def test_texts_are_texts():
    assert read(labels=["yes", "no, not"]) == ["yes", "no, not"]


def test_rows_of_one_sample_are_found_by_their_number():
    found = read(**{"labels": [5, 6, 7], "labels.lengths": [2, 0, 1]})
    assert found == [[5, 6], [], [7]]


def test_boxes_and_classes_make_one_label():
    boxes = np.arange(12).reshape(3, 4)
    found = read(
        **{
            "labels.boxes": boxes,
            "labels.boxes.lengths": [1, 2],
            "labels.classes": [0, 1, 1],
            "labels.classes.lengths": [1, 2],
        }
    )
    assert found == [
        {"boxes": [[0, 1, 2, 3]], "classes": [0]},
        {"boxes": [[4, 5, 6, 7], [8, 9, 10, 11]], "classes": [1, 1]},
    ]


def test_masks_stay_arrays():
    masks = np.arange(8).reshape(2, 2, 2)
    found = read(labels=masks)
    assert isinstance(found[0], np.ndarray)
    np.testing.assert_array_equal(np.stack(found), masks)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [1, 2], "labels.lengths": [1, 2]}, "add up to 3, .labels. has 2 rows"),
        ({"labels": [1, 2], "labels.lengths": [1.0, 1.0]}, "not one whole number per sample"),
        ({"labels": [1, 2], "labels.lengths": [3, -1]}, "not one whole number per sample"),
        ({"labels.lengths": [1, 2]}, "without .labels.; store both"),
        ({"labels": [1], "labels.boxes": [[1, 2]]}, "both .labels. and .labels.boxes."),
        ({"labels.a": [1, 2], "labels.b": [1]}, "labels differ in length"),
    ],
)
def test_what_does_not_go_together_is_refused(arrays, message):
    with pytest.raises(InputError, match=message):
        read(**arrays)
