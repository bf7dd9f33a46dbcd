"""Samples of several shapes where one is needed, and samples that a plan cannot take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from trtproof.benchmark_config import BenchmarkConfig
from trtproof.config import load_section
from trtproof.data.base import Batch, Dataset
from trtproof.data.factory import OwnDataset
from trtproof.data.same_shape import take_same_shape
from trtproof.errors import ConfigError, InputError
from trtproof.measure.contenders import take_items
from trtproof.scoring.plan_fit import find_extents, require_fit
from trtproof.tensor import Signature, TensorSpec


def dataset_of(lengths: Sequence[int], *, labelled: bool = True) -> Dataset:
    samples = [
        ({"ids": np.full(length, place)}, place if labelled else None)
        for place, length in enumerate(lengths)
    ]
    return OwnDataset("own:samples", "evaluation", samples, None, synthetic=False)


def test_samples_of_one_shape_are_the_splits_first() -> None:
    batch = take_same_shape(dataset_of([4] * 9), 5)
    assert list(batch.indices) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("labelled", [True, False])
def test_of_many_shapes_the_most_frequent_is_taken_in_order(labelled: bool) -> None:
    batch = take_same_shape(dataset_of([4, 7, 4, 7, 9, 7, 7], labelled=labelled), 3)
    assert list(batch.indices) == [1, 3, 5]
    assert batch.labels == ([1, 3, 5] if labelled else None)
    assert batch.feeds["ids"].tolist() == [[1] * 7, [3] * 7, [5] * 7]


def test_of_equally_frequent_shapes_the_first_is_taken() -> None:
    assert list(take_same_shape(dataset_of([5, 3, 3, 5]), 4).indices) == [0, 3]


def test_too_few_samples_of_one_shape_for_the_benchmark_name_the_repair() -> None:
    config = load_section(BenchmarkConfig, "benchmark")
    told = (
        rf"benchmark.items: {config.items}, but no more than 5 samples .* \(ids \[6\]\); lower it"
    )
    with pytest.raises(ConfigError, match=told):
        take_items(dataset_of([2, 3, 4, *[6] * 5, 7, 8]), config)


SIGNATURE = Signature((TensorSpec("ids", "int64", ("batch", "sequence")),), ())
PROFILES = [
    {"batch": {"min": 1, "max": 4}, "sequence": {"min": 2, "max": 5}},
    {"batch": {"min": 1, "max": 4}, "sequence": {"min": 6, "max": 9}},
]


def test_the_extents_of_a_plan_are_those_of_all_its_profiles() -> None:
    assert find_extents(PROFILES) == {"batch": (1, 4), "sequence": (2, 9)}


@pytest.mark.parametrize("length", [1, 10])
def test_a_sample_beyond_every_profile_is_told_by_its_index(length: int) -> None:
    batch = Batch({"ids": np.zeros((1, length), np.int64)}, None, [17])
    told = f"sample 17 of the evaluation split: 'ids' has sequence {length}, the model takes 2 to 9"
    with pytest.raises(InputError, match=told):
        require_fit(batch, SIGNATURE, PROFILES)


def test_a_sample_of_another_type_is_told_before_any_backend_sees_it() -> None:
    batch = Batch({"ids": np.zeros((1, 4), np.int32)}, None, [3])
    told = "sample 3 of the evaluation split: 'ids' is int32, the model takes int64"
    with pytest.raises(InputError, match=told):
        require_fit(batch, SIGNATURE, PROFILES)
    require_fit(Batch({"ids": np.zeros((9, 4), np.int64)}, None, [0]), SIGNATURE, PROFILES)
