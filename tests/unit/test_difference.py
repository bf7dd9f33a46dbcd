"""Output comparison per tensor."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trtproof.errors import InputError
from trtproof.scoring.difference import compare_tensors
from trtproof.scoring.kept import is_ragged, pack_outputs, unpack_outputs


def test_figures_of_a_hand_made_pair():
    reference = np.asarray([[3.0, 4.0], [0.0, 0.0]])
    variant = np.asarray([[3.0, 4.5], [0.0, 0.0]])
    found = compare_tensors(reference, variant, [11, 12])
    assert found.max_abs == 0.5
    assert found.cosine == pytest.approx((9 + 18) / (5 * math.hypot(3, 4.5)))
    assert found.sqnr_db == pytest.approx(10 * math.log10(25 / 0.25))
    assert found.worst_indices == (11,)
    assert not found.identical


def test_equal_outputs_have_no_noise_to_state():
    values = np.asarray([[1.0, np.nan]], dtype=np.float32)
    found = compare_tensors(values, values.copy(), [0])
    assert found.identical
    assert found.sqnr_db is None
    assert found.max_abs == 0.0
    assert found.worst_indices == ()


def test_a_sample_broken_on_one_side_is_the_worst():
    reference = np.zeros((3, 2))
    variant = np.asarray([[9.0, 0.0], [np.nan, 0.0], [0.0, np.inf]])
    found = compare_tensors(reference, variant, [5, 6, 7])
    assert found.worst_indices == (6, 7, 5)
    assert (found.nan_count, found.inf_count) == (1, 1)
    assert found.max_abs == 9.0


def test_nothing_finite_gives_no_figure_instead_of_zero():
    found = compare_tensors(np.ones((1, 2)), np.full((1, 2), np.nan), [0])
    assert (found.max_abs, found.cosine, found.sqnr_db) == (None, None, None)


def test_outputs_without_further_axes_are_compared():
    assert compare_tensors(
        np.asarray([1.0, 2.0]), np.asarray([1.0, 5.0]), [3, 4]
    ).worst_indices == (4,)


def test_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(2, 3\) and \(2, 4\)"):
        compare_tensors(np.zeros((2, 3)), np.zeros((2, 4)), [0, 1])


def test_whole_numbers_are_compared_exactly():
    before = np.asarray([2**53, 7], dtype=np.int64)
    found = compare_tensors(before, before + np.asarray([1, 0]), [0, 1])
    assert not found.identical  # as float64 the two are the same number
    assert compare_tensors(before, before.copy(), [0, 1]).identical
    small = np.asarray([[0, 3]], dtype=np.uint8)
    found = compare_tensors(small, np.asarray([[1, 0]], dtype=np.uint8), [4])
    assert (found.max_abs, found.worst_indices) == (3.0, (4,))  # and not 253


def test_flags_are_compared():
    found = compare_tensors(np.asarray([[True, False]]), np.asarray([[True, True]]), [0])
    assert (found.max_abs, found.identical, found.nan_count) == (1.0, False, 0)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_empty_outputs_have_no_figures_and_are_identical(shape):
    found = compare_tensors(np.zeros(shape), np.zeros(shape), list(range(shape[0])))
    assert (found.max_abs, found.cosine, found.sqnr_db, found.worst_indices) == (None,) * 3 + ((),)
    assert found.identical


def stored(*parts):
    return unpack_outputs(pack_outputs(parts))


def test_outputs_of_equal_extents_are_one_array():
    found = stored(
        {"a": np.ones((2, 3)), "b": np.ones(2)}, {"a": np.zeros((1, 3)), "b": np.ones(1)}
    )
    assert (found["a"].shape, found["b"].shape) == ((3, 3), (3,))
    assert not is_ragged(found["a"])


def test_outputs_whose_extents_change_by_batch_are_kept_sample_by_sample():
    parts = [np.arange(6.0).reshape(2, 3), np.arange(5.0).reshape(1, 5)]
    found = stored(*({"tokens": part, "score": part[:, 0]} for part in parts))
    assert is_ragged(found["tokens"])
    assert [sample.tolist() for sample in found["tokens"]] == [
        [0, 1, 2], [3, 4, 5], [0, 1, 2, 3, 4],
    ]  # fmt: skip
    assert found["score"].tolist() == [0, 3, 0]


def test_outputs_of_changing_extents_are_compared_sample_by_sample():
    parts = [{"tokens": np.ones((2, 3))}, {"tokens": np.ones((1, 5))}]
    before, after = stored(*parts)["tokens"], stored(*parts)["tokens"]
    assert compare_tensors(before, after, [7, 8, 9]).identical
    after[1][2] = 5.0
    found = compare_tensors(before, after, [7, 8, 9])
    assert (found.max_abs, found.worst_indices) == (4.0, (8,))
    other = stored({"tokens": np.ones((1, 3))}, {"tokens": np.ones((2, 5))})["tokens"]
    with pytest.raises(InputError, match=r"sample 8 .*\(3,\) and one of \(5,\)"):
        compare_tensors(before, other, [7, 8, 9])


def test_brain_floats_are_kept_with_all_their_values():
    values = np.asarray([[1.5, -3.0]], dtype=ml_dtypes.bfloat16)
    found = stored({"logits": values})["logits"]
    assert (found.dtype, found.tolist()) == (np.float32, [[1.5, -3.0]])


def test_nothing_kept_is_nothing():
    assert stored() == {}


arrays = hnp.arrays(np.float32, (4, 3), elements=st.floats(-100, 100, width=32))


@given(arrays, arrays)
def test_figures_stay_in_their_range(reference, variant):
    found = compare_tensors(reference, variant, [0, 1, 2, 3])
    assert found.max_abs is not None
    assert found.max_abs >= 0
    assert found.cosine is None or -1.0001 <= found.cosine <= 1.0001
    assert found.identical == (found.max_abs == 0)
    assert len(set(found.worst_indices)) == len(found.worst_indices)
