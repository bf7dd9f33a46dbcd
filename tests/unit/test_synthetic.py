from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.config import DatasetConfig
from trtproof.data.synthetic import FORMAT
from trtproof.errors import ConfigError

AXES = {
    "batch": {"min": 1, "opt": 4, "max": 8},
    "sequence": {"min": 2, "opt": 5, "max": 9},
}
INPUTS = {
    "ids": {"dtype": "int64", "shape": ["batch", "sequence"], "low": 3, "high": 7},
    "image": {"dtype": "float32", "shape": ["batch", 2, 3]},
    "flag": {"dtype": "bool", "shape": ["batch"]},
}


def make_dataset(*, count=6, seed=1, inputs=None, axes=None, synthetic=True, **options):
    config = DatasetConfig(
        name="synthetic",
        format="synthetic",
        synthetic=synthetic,
        options={"inputs": INPUTS if inputs is None else inputs, "axes": axes or AXES, **options},
        files=[],
        calibration={"seed": seed, "count": count},
        evaluation={"seed": seed + 1, "count": count},
    )
    return FORMAT.open(config, "calibration")


def all_feeds(dataset):
    return next(dataset.batches(len(dataset))).feeds


def test_types_and_shapes_are_the_models_with_axis_0_as_the_batch_and_others_at_opt():
    feeds = all_feeds(make_dataset())
    assert {name: (str(array.dtype), list(array.shape)) for name, array in feeds.items()} == {
        "ids": ("int64", [6, 5]),
        "image": ("float32", [6, 2, 3]),
        "flag": ("bool", [6]),
    }


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 2**31))
def test_more_samples_change_no_earlier_one(count, more, seed):
    few, many = make_dataset(count=count, seed=seed), make_dataset(count=count + more, seed=seed)
    for name, array in all_feeds(few).items():
        assert np.array_equal(array, all_feeds(many)[name][:count])


def test_samples_differ_from_each_other_and_between_seeds():
    first, second = all_feeds(make_dataset()), all_feeds(make_dataset(seed=2))
    assert len(np.unique(first["image"])) == first["image"].size
    assert not np.isin(first["image"], second["image"]).any()


@given(st.integers(-5, 5), st.integers(1, 6))
def test_integers_lie_in_low_to_high_with_high_excluded(low, span):
    inputs = {"ids": {"dtype": "int32", "shape": ["batch", 64], "low": low, "high": low + span}}
    ids = all_feeds(make_dataset(inputs=inputs))["ids"]
    assert ids.min() >= low
    assert ids.max() < low + span


def test_floats_are_standard_normal():
    inputs = {"x": {"dtype": "float32", "shape": ["batch", 4096]}}
    values = all_feeds(make_dataset(inputs=inputs))["x"]
    assert abs(values.mean()) < 0.03
    assert abs(values.std() - 1) < 0.03


def test_there_are_no_labels_and_the_dataset_says_that_it_is_synthetic():
    dataset = make_dataset()
    assert next(dataset.batches(2)).labels is None
    assert dataset.synthetic is True


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"count": 0}, "dataset.calibration.count"),
        ({"synthetic": False}, "dataset.synthetic"),
        ({"spread": 2}, "dataset.options"),
        ({"inputs": {}}, "dataset.options.inputs"),
        ({"inputs": {"x": {"dtype": "float32", "shape": []}}}, "dataset.options.inputs.x.shape"),
        (
            {"inputs": {"x": {"dtype": "float32", "shape": ["batch", "width"]}}},
            "dataset.options.inputs.x.shape",
        ),
        (
            {"inputs": {"x": {"dtype": "int64", "shape": ["batch"], "low": 2, "high": 2}}},
            "dataset.options.inputs.x",
        ),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(arguments, key):
    with pytest.raises(ConfigError) as caught:
        make_dataset(**arguments)
    assert caught.value.key == key
