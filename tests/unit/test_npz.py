from __future__ import annotations

import numpy as np
import pytest

from trtproof.config import DatasetConfig
from trtproof.data.npz import FORMAT
from trtproof.errors import ConfigError, InputError, MissingFileError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
INPUTS = {"x": {"dtype": "float32", "shape": ["batch", 3]}}


def make_config(path, *, count=None, options=None, **extra):
    split = {"file": str(path), "count": count, **extra}
    return DatasetConfig(
        name="mine",
        format="npz",
        synthetic=False,
        options=options or {},
        files=[],
        calibration=split,
        evaluation=split | {"file": f"{path}.other"},
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "samples.npz"


def open_stored(path, *, count=None, options=None, **arrays):
    np.savez(path, **arrays)
    return FORMAT.open(make_config(path, count=count, options=options), "calibration")


def test_arrays_come_back_as_stored_with_labels_as_plain_values(path):
    dataset = open_stored(path, x=X, labels=np.array([3, 1, 2, 0]))
    batch = next(dataset.batches(4))
    assert np.array_equal(batch.feeds["x"], X)
    assert list(batch.feeds) == ["x"]
    assert batch.labels == [3, 1, 2, 0]
    assert type(batch.labels[0]) is int


def test_labels_are_optional(path):
    assert next(open_stored(path, x=X).batches(4)).labels is None


def test_a_count_takes_the_first_samples(path):
    dataset = open_stored(path, count=3, x=X, labels=np.arange(4))
    assert len(dataset) == 3
    assert next(dataset.batches(9)).labels == [0, 1, 2]


def test_files_names_the_file_of_that_split_only(path):
    config = make_config(path)
    assert list(FORMAT.files(config, "calibration")) == [path]
    assert list(FORMAT.files(config, "evaluation")) == [path.with_name("samples.npz.other")]


def test_with_the_models_inputs_other_arrays_are_left_alone(path):
    dataset = open_stored(path, options={"inputs": INPUTS}, x=X, ids=np.arange(9))
    assert list(next(dataset.batches(1)).feeds) == ["x"]


def test_a_missing_file_names_the_setting(path):
    with pytest.raises(MissingFileError, match=r"correct `dataset\.calibration\.file`"):
        FORMAT.open(make_config(path), "calibration")


@pytest.mark.parametrize("kept_bytes", [0, 1, 100, 350])
def test_an_empty_or_truncated_file_is_one_line_with_the_repair(path, kept_bytes):
    np.savez(path, x=X, labels=np.arange(4))
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match=r"write it again with numpy\.savez") as caught:
        FORMAT.open(make_config(path), "calibration")
    assert "\n" not in str(caught.value)


def test_a_flipped_byte_in_the_data_is_found(path):
    np.savez(path, x=X)
    data = bytearray(path.read_bytes())
    data[data.index(X.tobytes()) + 5] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="not a whole"):
        FORMAT.open(make_config(path), "calibration")


def test_an_npy_file_is_refused(path):
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(InputError, match="single array"):
        FORMAT.open(make_config(path), "calibration")


def test_pickled_objects_are_refused(path):
    with pytest.raises(InputError, match="not a whole"):
        open_stored(path, x=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"labels": np.arange(4)}, {}, "has no input array"),
        ({"y": X}, {"inputs": INPUTS}, r"has no array 'x' \(it has: y\)"),
        ({"x": X.astype(np.float64)}, {"inputs": INPUTS}, "'x' is float64, the model takes float"),
        ({"x": X[:, :2]}, {"inputs": INPUTS}, r"shape \[4, 2\], the model takes \['batch', 3\]"),
        ({"x": X, "y": X[:3]}, {}, r"differ in length \(x 4, y 3\)"),
        ({"x": X, "labels": np.arange(3)}, {}, r"differ in length \(x 4, labels 3\)"),
        ({"x": X[:0]}, {}, "has no samples"),
        ({"x": np.float32(1)}, {}, "has no samples"),
        ({"x": np.where(X == 7, np.nan, X)}, {}, "first in sample 2 of 4"),
        ({"x": np.where(X == 3, np.inf, X)}, {}, "first in sample 1 of 4"),
    ],
)
def test_wrong_arrays_are_one_line_that_says_what_is_wrong(path, arrays, options, message):
    with pytest.raises(InputError, match=message) as caught:
        open_stored(path, options=options, **arrays)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"count": 5}, "dataset.calibration.count"),
        ({"seed": 1}, "dataset.calibration"),
        ({"options": {"input": "x"}}, "dataset.options"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(path, arguments, key):
    np.savez(path, x=X)
    with pytest.raises(ConfigError) as caught:
        FORMAT.open(make_config(path, **arguments), "calibration")
    assert caught.value.key == key
