"""Choosing an optimization profile for a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.backends.tensorrt.ranges import Range, choose_profile, describe_ranges


def batches(low: int, best: int, high: int) -> dict[str, Range]:
    return {"x": Range((low, 3), (best, 3), (high, 3))}


PROFILES = [batches(1, 1, 4), batches(1, 8, 16), batches(8, 16, 32)]


@pytest.mark.parametrize(
    ("batch", "index"), [(1, 0), (2, 0), (4, 1), (8, 1), (12, 2), (16, 2), (32, 2)]
)
def test_the_nearest_tuned_shape_wins(batch: int, index: int) -> None:
    assert choose_profile(PROFILES, {"x": (batch, 3)}) == index


def test_of_equals_the_first_wins() -> None:
    assert choose_profile([batches(1, 4, 8), batches(1, 4, 16)], {"x": (4, 3)}) == 0


def test_all_inputs_must_fit() -> None:
    profiles = [
        {"x": Range((1,), (2,), (4,)), "y": Range((1,), (1,), (1,))},
        {"x": Range((1,), (8,), (16,)), "y": Range((1,), (8,), (16,))},
    ]
    assert choose_profile(profiles, {"x": (2,), "y": (1,)}) == 0
    assert choose_profile(profiles, {"x": (2,), "y": (2,)}) == 1


def test_where_none_fits_the_first_is_taken_so_that_tensorrt_says_why() -> None:
    assert choose_profile(PROFILES, {"x": (33, 3)}) == 0
    assert choose_profile(PROFILES, {"x": (4,)}) == 0


def test_an_empty_or_scalar_tensor_has_a_distance() -> None:
    empty = {"x": Range((0,), (4,), (8,)), "s": Range((), (), ())}
    assert choose_profile([empty], {"x": (0,), "s": ()}) == 0


def test_ranges_are_told_for_every_profile() -> None:
    assert describe_ranges(PROFILES[:2], "x") == (
        "profile 0 takes [1, 3] to [4, 3]; profile 1 takes [1, 3] to [16, 3]"
    )


@given(
    limits=st.lists(
        st.lists(st.integers(0, 40), min_size=3, max_size=3).map(sorted), min_size=1, max_size=5
    ),
    batch=st.integers(0, 40),
)
def test_a_profile_that_takes_the_shape_is_found_where_there_is_one(
    limits: list[list[int]], batch: int
) -> None:
    profiles = [batches(*limit) for limit in limits]
    index = choose_profile(profiles, {"x": (batch, 3)})
    fitting = [low <= batch <= high for low, _, high in limits]
    assert fitting[index] == any(fitting)
