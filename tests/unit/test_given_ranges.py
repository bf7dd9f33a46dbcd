"""Ranges from a file: what is read, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from trtproof.calibration.cache_file import write_calibration_cache
from trtproof.calibration.given import RangeNames, read_given, say_calibrated
from trtproof.errors import CalibrationError, MissingFileError
from trtproof.precision.grids import INT8
from trtproof.precision.ranges import cover, find_range

GRAPH = RangeNames(
    tensors={"input", "c1", "weight", "logits"},
    activations={"input", "c1", "logits"},
    multiplied={"input", "c1"},
)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.cache"


def read(path: Path, content: object) -> dict[str, tuple[float, float]]:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_given(path, GRAPH).ranges


def test_a_cache_that_was_written_here_is_read_back(path):
    write_calibration_cache(path, {"input": 0.5, "c1": 2.0})
    calibration = read_given(path, GRAPH)
    assert calibration.ranges == {"input": (-63.5, 63.5), "c1": (-254.0, 254.0)}
    given = calibration.coverage["given"]
    assert (given["file"], given["kind"]) == ("model.cache", "calibration cache")
    assert given["missing"] == []


@pytest.mark.parametrize("scale", [2.0**-24, 0.0123, 0.5, 3.0, 100.0])
def test_a_scale_that_float16_holds_is_the_one_that_is_quantised_with(path, scale):
    exact = float(np.float16(scale))
    write_calibration_cache(path, {"input": exact})
    found = read_given(path, GRAPH).tensors["input"]
    end = find_range("input", found, method="max", percentile=99.99, grid=INT8)
    assert float(cover(np.array(end), INT8)) == exact


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, (-63.5, 63.5)),
        ([0.5], (-63.5, 63.5)),
        ({"amax": 3}, (-3.0, 3.0)),
        ({"min": -1, "max": 4.0, "count": 9}, (-1.0, 4.0)),
    ],
)
@pytest.mark.parametrize("key", [None, "scales", "tensors"])
def test_json_may_state_scales_or_ranges(path, value, expected, key):
    content = {"input": value}
    assert read(path, content if key is None else {"schema": 1, key: content}) == {
        "input": expected
    }


def test_weights_and_tensors_of_tensorrts_own_are_left_out_and_counted(path):
    write_calibration_cache(path, {"input": 1, "weight": 1, "(Unnamed Layer* 3) [Shuffle]": 1})
    calibration = read_given(path, GRAPH)
    assert set(calibration.ranges) == {"input"}
    assert calibration.coverage["given"]["left_out_count"] == 2


def test_a_tensor_that_the_graph_lacks_is_named(path):
    with pytest.raises(CalibrationError, match=r"1 tensor \('inputs'\) of 2 is not in the"):
        read(path, {"input": 1.0, "inputs": 1.0})


def test_an_input_of_a_product_without_a_range_is_named(path):
    write_calibration_cache(path, {"input": 1.0})
    calibration = read_given(path, GRAPH)
    assert "none for 1 tensor ('c1')" in say_calibrated(calibration)[1]
    with pytest.raises(CalibrationError, match=r"model\.cache .*no range of tensor 'c1'"):
        calibration.histogram("c1")


def test_a_file_of_another_model_is_refused(path):
    with pytest.raises(CalibrationError, match="no range of an activation"):
        read(path, {"weight": 1.0})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "TRT-8501\n",
        "TRT-8501\ninput 3f800000\n",
        "{broken",
        "TRT-8501\ninput: 3f80\n",
        "TRT-8501\ninput: zzzzzzzz\n",
    ],
)
def test_a_text_that_is_neither_is_refused(path, content):
    with pytest.raises(CalibrationError, match="neither a calibration cache"):
        read(path, content)


@pytest.mark.parametrize("value", [0.0, -1.0, "1", None, True, {"max": 3}, {"min": 2, "max": 1}])
def test_a_value_that_is_no_range_is_refused_with_its_tensor(path, value):
    with pytest.raises(CalibrationError, match="of tensor 'input' is no range"):
        read(path, {"input": value})


def test_a_scale_of_zero_in_a_cache_is_refused(path):
    with pytest.raises(CalibrationError, match="of tensor 'input' is no range"):
        read(path, "TRT-8501\ninput: 00000000\n")


def test_a_file_that_is_not_there_is_named_with_the_setting(path):
    with pytest.raises(MissingFileError, match=r"calibrate\.from"):
        read_given(path, GRAPH)
