"""Output comparison per tensor."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trtproof.errors import InputError
from trtproof.scoring.difference import compare_outputs, compare_tensors


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


def test_a_missing_output_is_named():
    with pytest.raises(InputError, match="'boxes'"):
        compare_outputs({"boxes": np.zeros((1, 4))}, {"logits": np.zeros((1, 4))}, [0])


arrays = hnp.arrays(np.float32, (4, 3), elements=st.floats(-100, 100, width=32))


@given(arrays, arrays)
def test_figures_stay_in_their_range(reference, variant):
    found = compare_tensors(reference, variant, [0, 1, 2, 3])
    assert found.max_abs is not None
    assert found.max_abs >= 0
    assert found.cosine is None or -1.0001 <= found.cosine <= 1.0001
    assert found.identical == (found.max_abs == 0)
    assert len(set(found.worst_indices)) == len(found.worst_indices)
