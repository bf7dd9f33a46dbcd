from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtproof.config import DatasetConfig
from trtproof.data.digits import (
    FORMAT,
    PART_SIZES,
    double_bilinear,
    load_part,
    split_positions,
    stratified_order,
)
from trtproof.errors import ConfigError


def make_config(calibration=None, evaluation=None, options=None):
    return DatasetConfig(
        name="digits",
        format="digits",
        synthetic=False,
        options=options or {},
        files=[],
        calibration=calibration or {"split": "calibration", "count": None},
        evaluation=evaluation or {"split": "test", "count": None},
    )


def test_the_parts_are_disjoint_and_together_all_samples():
    from sklearn.datasets import load_digits

    positions = split_positions(load_digits().target)
    assert {part: len(items) for part, items in positions.items()} == PART_SIZES
    assert sorted(np.concatenate(list(positions.values()))) == list(range(1797))


@pytest.mark.parametrize("part", list(PART_SIZES))
def test_every_prefix_of_a_part_has_nearly_the_share_of_each_class_that_the_part_has(part):
    labels = load_part(part)[1]
    shares = {label: count / len(labels) for label, count in Counter(labels).items()}
    for length in range(1, len(labels) + 1):
        counts = Counter(labels[:length])
        assert all(abs(counts[label] - share * length) <= 2 for label, share in shares.items())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_a_stratified_order_is_a_permutation_whose_prefixes_are_balanced(classes, random):
    order = list(range(len(classes)))
    random.shuffle(order)
    labels = np.asarray(classes)
    found = stratified_order(labels, np.asarray(order))
    assert sorted(found) == list(range(len(classes)))
    for label, count in Counter(classes).items():
        for length in range(len(classes) + 1):
            taken = int((labels[found[:length]] == label).sum())
            assert abs(taken - count * length / len(classes)) <= 5


def test_images_are_exact_multiples_of_a_power_of_two_in_the_unit_interval():
    images = load_part("test")[0]
    assert images.shape == (500, 1, 16, 16)
    assert images.dtype == np.float32
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert np.array_equal(images * 256, np.round(images * 256))


def test_doubling_agrees_with_torchs_bilinear_interpolation():
    import torch

    images = np.random.default_rng(0).random((3, 5, 4), dtype=np.float32)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(images)[:, None], scale_factor=2, mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(double_bilinear(images), wanted[:, 0].numpy(), atol=1e-6)


def test_doubling_a_constant_image_keeps_the_constant():
    assert (double_bilinear(np.full((1, 3, 3), 0.5, np.float32)) == 0.5).all()


def test_a_count_takes_the_first_samples():
    whole = next(FORMAT.open(make_config(), "evaluation").batches(500))
    part = FORMAT.open(make_config(evaluation={"split": "test", "count": 30}), "evaluation")
    assert len(part) == 30
    first = next(part.batches(30))
    assert np.array_equal(first.feeds["input"], whole.feeds["input"][:30])
    assert first.labels is not None
    assert whole.labels is not None
    assert list(first.labels) == list(whole.labels[:30])


def test_the_input_can_have_the_models_name():
    dataset = FORMAT.open(make_config(options={"input": "x"}), "calibration")
    assert list(next(dataset.batches(1)).feeds) == ["x"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"evaluation": {"split": "test", "count": 501}}, "dataset.evaluation.count"),
        ({"evaluation": {"split": "test", "count": 0}}, "dataset.evaluation.count"),
        ({"evaluation": {"split": "validation", "count": None}}, "dataset.evaluation.split"),
        ({"evaluation": {"split": "test", "cuont": 5}}, "dataset.evaluation"),
        ({"options": {"size": 32}}, "dataset.options"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(settings, key):
    with pytest.raises(ConfigError) as caught:
        FORMAT.open(make_config(**settings), "evaluation")
    assert caught.value.key == key


def test_no_file_decides_the_samples():
    assert list(FORMAT.files(make_config(), "calibration")) == []


def test_classes_and_brightness_make_examples_of_bad_calibration_sets():
    chosen = {"split": "training", "classes": [0, 1], "brightness": 0.5, "count": 40}
    found = FORMAT.open(make_config(calibration=chosen), "calibration")
    images, labels = load_part("training")
    expected = images[np.isin(labels, [0, 1])][:40] * np.float32(0.5)
    assert np.array_equal(found.feeds["input"], expected)
    assert found.labels is not None
    assert set(found.labels) == {0, 1}
    assert len(found.labels) == 40


@pytest.mark.parametrize(
    ("option", "key"), [({"classes": []}, "classes"), ({"brightness": 0}, "brightness")]
)
def test_examples_without_samples_or_light_are_refused(option, key):
    config = make_config(calibration={"split": "training"} | option)
    with pytest.raises(ConfigError, match=rf"dataset\.calibration\.{key}"):
        FORMAT.open(config, "calibration")
