"""What every registered dataset format keeps to: the same samples, whoever asks, however often."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from trtproof.config import DatasetConfig
from trtproof.data import FORMATS, open_dataset
from trtproof.tensor import batch_size, concatenate

COUNT = 23

SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {
        "calibration": {"split": "calibration", "count": COUNT},
        "evaluation": {"split": "test", "count": COUNT},
    },
    "synthetic": {
        "options": {
            "inputs": {
                "ids": {"dtype": "int64", "shape": ["batch", "sequence"], "low": 0, "high": 99},
                "x": {"dtype": "float32", "shape": ["batch", 3]},
            },
            "axes": {
                "batch": {"min": 1, "opt": 2, "max": 4},
                "sequence": {"min": 2, "opt": 7, "max": 9},
            },
        },
        "calibration": {"seed": 1, "count": COUNT},
        "evaluation": {"seed": 2, "count": COUNT},
    },
    "npz": {
        "calibration": {"file": "calibration.npz", "count": None},
        "evaluation": {"file": "evaluation.npz", "count": None},
    },
    "factory": {
        "factory": "contract_samples:make",
        "calibration": {"seed": 1},
        "evaluation": {"seed": 2},
    },
}

SAMPLES = f"""
import numpy as np

def make(split, seed):
    random = np.random.default_rng(seed)
    for _ in range({COUNT}):
        x = random.random((2, 3), dtype=np.float32)
        yield {{"x": x}}, [[1.5, "ragged"]] * random.integers(3)
"""


@pytest.fixture(params=list(FORMATS))
def config(request, tmp_path, monkeypatch):
    assert request.param in SETTINGS, f"give format {request.param!r} settings to be tested with"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "contract_samples.py").write_text(SAMPLES)
    random = np.random.default_rng(0)
    for split in ("calibration", "evaluation"):
        samples = random.random((COUNT, 2, 3), dtype=np.float32)
        np.savez(tmp_path / f"{split}.npz", x=samples, labels=random.integers(0, 5, COUNT))
    settings: dict[str, Any] = {"options": {}, "files": []} | SETTINGS[request.param]
    synthetic = request.param == "synthetic"
    return DatasetConfig(name="d", format=request.param, synthetic=synthetic, **settings)


def read_all(dataset, size):
    batches = list(dataset.batches(size))
    labels = None
    if batches[0].labels is not None:
        labels = [label for batch in batches for label in batch.labels]
    indices = [index for batch in batches for index in batch.indices]
    return concatenate([batch.feeds for batch in batches]), labels, indices


def assert_equal(one, other):
    assert one[0].keys() == other[0].keys()
    assert all(np.array_equal(one[0][name], other[0][name]) for name in one[0])
    assert one[1:] == other[1:]


def test_a_dataset_has_as_many_samples_as_it_says(config):
    dataset = open_dataset(config, "calibration")
    feeds, labels, indices = read_all(dataset, 4)
    assert batch_size(feeds) == len(dataset) == COUNT
    assert indices == list(range(COUNT))
    assert labels is None or len(labels) == COUNT


@pytest.mark.parametrize("size", [1, 5, COUNT, 100])
def test_samples_do_not_depend_on_the_batch_size(config, size):
    dataset = open_dataset(config, "evaluation")
    assert_equal(read_all(dataset, size), read_all(dataset, 7))


def test_only_the_last_batch_may_be_smaller(config):
    sizes = [batch_size(batch.feeds) for batch in open_dataset(config, "evaluation").batches(10)]
    assert sizes == [10, 10, 3]


def test_every_pass_and_every_opening_gives_the_same_samples(config):
    dataset = open_dataset(config, "calibration")
    first = read_all(dataset, 4)
    assert_equal(first, read_all(dataset, 4))
    assert_equal(first, read_all(open_dataset(config, "calibration"), 4))


def test_a_pass_that_was_left_early_does_not_shift_the_next(config):
    dataset = open_dataset(config, "calibration")
    next(dataset.batches(4))
    assert list(next(dataset.batches(4)).indices) == [0, 1, 2, 3]


def test_calibration_and_evaluation_share_no_sample(config):
    def rows(split):
        feeds, _, _ = read_all(open_dataset(config, split), 8)
        return {
            b"".join(array[i].tobytes() for _, array in sorted(feeds.items())) for i in range(COUNT)
        }

    assert not rows("calibration") & rows("evaluation")


def test_both_splits_are_preprocessed_alike_in_versioned_steps(config):
    steps = [open_dataset(config, split).preprocessing for split in ("calibration", "evaluation")]
    assert steps[0] == steps[1]
    assert steps[0]
    assert all({"step", "version"} <= step.keys() for step in steps[0])
    assert json.loads(json.dumps(steps[0])) == [dict(step) for step in steps[0]]


def test_arrays_are_contiguous_and_finite_and_labels_are_plain(config):
    feeds, labels, _ = read_all(open_dataset(config, "calibration"), 6)
    for batch in open_dataset(config, "calibration").batches(6):
        assert all(array.flags.c_contiguous for array in batch.feeds.values())
    assert all(np.isfinite(array).all() for array in feeds.values())
    json.dumps(labels)


def test_the_label_synthetic_is_the_configurations(config):
    assert open_dataset(config, "calibration").synthetic is config.synthetic


def test_the_files_of_a_split_exist(config):
    for split in ("calibration", "evaluation"):
        assert all(path.is_file() for path in FORMATS.load(config.format).files(config, split))
