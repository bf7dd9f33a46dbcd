"""Samples from a function of the user's own: how they are batched, and what may be wrong."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.artifacts import to_json
from trtproof.config import DatasetConfig
from trtproof.data import open_dataset
from trtproof.data.factory import OwnDataset
from trtproof.data.spread import spread
from trtproof.errors import AdapterError, ConfigError, ImportPathError
from trtproof.scoring.values import pack_labels

ME = __name__
LENGTHS = [3, 3, 5, 5, 5, 3]
CALLS = itertools.count()


def tokens(length: int, first: int = 0) -> dict[str, Any]:
    return {"ids": np.arange(first, first + length), "mask": np.ones(length, np.uint8)}


def texts(split: str, lengths: Any = LENGTHS) -> list[Any]:
    words = ["", "a", "a b"]
    return [(tokens(length, place), words[place % 3]) for place, length in enumerate(lengths)]


def generated(split: str) -> Iterator[Any]:
    yield from texts(split)


class MapStyle:
    def __len__(self) -> int:
        return len(LENGTHS)

    def __getitem__(self, place: int) -> Any:
        return texts("")[place]


class Sized:
    """Can only be iterated over, and says how long it is."""

    def __init__(self, states: int) -> None:
        self.states = states

    def __len__(self) -> int:
        return self.states

    def __iter__(self) -> Iterator[Any]:
        return iter(texts(""))


class Torch:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> Any:
        import torch

        return {"ids": torch.full((2,), place), "half": torch.ones(2, dtype=torch.float16)}


def pad(samples: Any) -> Any:
    longest = max(len(sample["ids"]) for sample in samples)
    return {
        name: np.stack([np.pad(one[name], (0, longest - len(one[name]))) for one in samples])
        for name in samples[0]
    }


def config(factory: str, **changes: Any) -> DatasetConfig:
    settings: dict[str, Any] = {"options": {}, "files": [], "calibration": {}, "evaluation": {}}
    return DatasetConfig(
        name="own",
        format="factory",
        synthetic=False,
        factory=f"{ME}:{factory}",
        **(settings | changes),
    )


def lengths_of(dataset: Any, size: int) -> list[tuple[int, ...]]:
    return [batch.feeds["ids"].shape for batch in dataset.batches(size)]


@pytest.mark.parametrize("factory", ["texts", "generated"])
def test_samples_of_equal_shape_share_a_batch_in_the_datasets_order(factory: str) -> None:
    dataset = open_dataset(config(factory), "evaluation")
    assert len(dataset) == 6
    assert lengths_of(dataset, 2) == [(2, 3), (2, 5), (1, 5), (1, 3)]
    batches = list(dataset.batches(64))
    assert [batch.feeds["mask"].dtype for batch in batches] == [np.uint8] * 3
    assert [list(batch.indices) for batch in batches] == [[0, 1], [2, 3, 4], [5]]
    assert [batch.labels for batch in batches] == [["", "a"], ["a b", "", "a"], ["a b"]]


def test_collate_pads_samples_of_different_lengths_into_one_batch() -> None:
    dataset = open_dataset(config("texts", collate=f"{ME}:pad"), "evaluation")
    assert lengths_of(dataset, 4) == [(4, 5), (2, 5)]
    first = next(dataset.batches(4))
    assert first.feeds["mask"].tolist()[:2] == [[1, 1, 1, 0, 0]] * 2


@given(st.lists(st.integers(1, 3), min_size=1, max_size=12), st.integers(1, 5))
def test_no_sample_is_lost_or_changed_by_batching(lengths: list[int], size: int) -> None:
    dataset = open_dataset(config("texts", options={"lengths": lengths}), "calibration")
    batches = list(dataset.batches(size))
    rows = [row.tolist() for batch in batches for row in batch.feeds["ids"]]
    assert rows == [list(range(place, place + length)) for place, length in enumerate(lengths)]
    assert [index for batch in batches for index in batch.indices] == list(range(len(lengths)))
    assert all(len(batch.indices) <= size for batch in batches)


def test_a_few_samples_of_changing_shapes_are_taken_as_they_are() -> None:
    few = spread(open_dataset(config("texts"), "evaluation"), 3)
    assert [batch.feeds["ids"].shape for batch in few.batches(8)] == [(1, 3), (1, 5), (1, 3)]


@pytest.mark.parametrize("states", [len(LENGTHS), 5, 7])
def test_what_can_only_be_iterated_over_must_be_as_long_as_it_says(states: int) -> None:
    def read() -> list[Any]:
        dataset = OwnDataset(f"{ME}:Sized", "evaluation", Sized(states), None, synthetic=False)
        return list(dataset.batches(1))

    if states == len(LENGTHS):
        assert len(read()) == states
        return
    told = f"Sized: the evaluation split ended after 6 samples, its len\\(\\) is {states}"
    with pytest.raises(AdapterError, match=told):
        read()


def test_tensors_of_torch_are_taken_and_inputs_alone_are_unlabelled_samples() -> None:
    dataset = OwnDataset(f"{ME}:Torch", "evaluation", Torch(), None, synthetic=False)
    (batch,) = dataset.batches(4)
    assert batch.labels is None
    assert {name: str(array.dtype) for name, array in batch.feeds.items()} == {
        "ids": "int64",
        "half": "float16",
    }


def test_options_reach_the_factory_with_those_of_the_split() -> None:
    opened = open_dataset(config("texts", calibration={"lengths": [2, 2]}), "calibration")
    assert len(opened) == 2
    assert len(MapStyle()) == len(open_dataset(config("texts"), "evaluation"))


def test_labels_of_any_length_can_be_stored() -> None:
    dataset = open_dataset(config("boxes"), "evaluation")
    labels = [label for batch in dataset.batches(2) for label in batch.labels or ()]
    stored = json.loads(to_json({"labels": pack_labels(labels)}))["labels"]
    assert stored[0] == {"boxes": [[0.5, 1.0]], "names": ["cat"]}
    assert stored[1] == NONE


NONE: dict[str, Any] = {"boxes": [], "names": []}


def boxes(split: str) -> list[Any]:
    x = {"x": np.zeros((1, 2), np.float32)}
    return [
        (x, {"boxes": [(0.5, np.float64(1))], "names": ("cat",)}),
        (x, {"boxes": [], "names": []}),
    ]


def no_names(split: str) -> list[Any]:
    return [(np.zeros(3), 1)]


def other_inputs(split: str) -> list[Any]:
    return [({"a": [1.0]}, 1), ({"b": [1.0]}, 1)]


def other_type(split: str) -> list[Any]:
    return [({"a": np.array([1], np.float32)}, 1), ({"a": [1.0]}, 1)]


def other_rank(split: str) -> list[Any]:
    return [({"a": [1.0]}, 1), ({"a": [[1.0]]}, 1)]


def lost_label(split: str) -> list[Any]:
    return [({"a": [1.0]}, 1), ({"a": [1.0]}, None)]


def not_finite(split: str) -> list[Any]:
    return [({"a": [1.0]}, 1), ({"a": [float("nan")]}, 1)]


def words(split: str) -> list[Any]:
    return [({"a": ["text"]}, 1)]


def empty(split: str) -> list[Any]:
    return []


def nothing(split: str) -> None:
    return None


def no_split() -> list[Any]:
    return []


def fails(split: str) -> Iterator[Any]:
    yield {"a": [1.0]}, 1
    raise KeyError(split)


class Random:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> Any:
        return {"a": np.array([next(CALLS)], np.float32)}, 0


def changing(split: str) -> Random:
    return Random()


NOT_A_FUNCTION = 3


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        ("no_names", "sample 0 of the evaluation split: the inputs are ndarray, not arrays by"),
        ("other_inputs", "sample 1 of the evaluation split: it has the inputs b, sample 0 has a"),
        ("other_type", r"sample 1 .*: 'a' is float64, that of sample 0 is float32; convert it"),
        ("other_rank", r"sample 1 .*: 'a' has shape \[1, 1\], that of sample 0 \[1\]"),
        ("lost_label", "sample 1 .*: it has no label, sample 0 has one; label all samples or none"),
        ("not_finite", "sample 1 .*: 'a' has NaN or infinity; leave the sample out"),
        ("words", "sample 0 .*: 'a' is an array of <U4; return a NumPy array of numbers"),
        ("empty", "it gave no samples"),
        ("nothing", "it returned NoneType, not samples"),
        ("no_split", r"it cannot be called as no_split\(...\) \(too many positional arguments\)"),
        (
            "fails",
            r"failed to give its samples with KeyError: 'evaluation' at .*py:\d+; correct it",
        ),
        (
            "changing",
            r"sample 0 of the evaluation split is another one when read again",
        ),
        ("NOT_A_FUNCTION", "it is of type int, not a function"),
    ],
)
def test_a_wrong_dataset_is_one_line_that_names_the_function(factory: str, problem: str) -> None:
    with pytest.raises(AdapterError, match=f"^{ME}:{factory}: {problem}") as caught:
        read_all(config(factory))
    assert "\n" not in str(caught.value)


def read_all(settings: DatasetConfig) -> None:
    list(open_dataset(settings, "evaluation").batches(2))


def wrong_pad(samples: Any) -> Any:
    return {"ids": np.zeros((1, 3))}


def failing_pad(samples: Any) -> Any:
    return {"ids": np.stack([sample["ids"] for sample in samples])}


@pytest.mark.parametrize(
    ("collate", "problem"),
    [
        ("wrong_pad", r"it made ids \[1, 3\] of 6 samples with ids, mask; return every input"),
        ("failing_pad", "failed for 6 samples with ValueError: all input arrays must have"),
    ],
)
def test_a_wrong_collate_is_one_line_that_names_it(collate: str, problem: str) -> None:
    opened = open_dataset(config("texts", collate=f"{ME}:{collate}"), "evaluation")
    with pytest.raises(AdapterError, match=f"^{ME}:{collate}: {problem}"):
        next(opened.batches(8))


def test_a_missing_factory_and_doubled_options_name_the_setting() -> None:
    with pytest.raises(ImportPathError, match="has no 'absent'"):
        read_all(config("absent"))
    with pytest.raises(ConfigError, match=r"dataset\.evaluation\.lengths: it is in"):
        read_all(config("texts", options={"lengths": [1]}, evaluation={"lengths": [1]}))
