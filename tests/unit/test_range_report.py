from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto
from tests.onnx_graphs import Example
from tests.quantisation_graphs import ODD, calibrate, digits, sqnr_db

from trtproof.backends.onnxruntime import open_graph
from trtproof.calibration import Calibration
from trtproof.calibration.histogram import Accumulator
from trtproof.errors import CalibrationError, ConfigError
from trtproof.precision import fp16
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.dtypes import infer_types
from trtproof.precision.range_report import count_losses, report_ranges
from trtproof.tensor import Array


def convert(
    example: Example, folder: Path, options: Mapping[str, Any], *, ranges: bool = True
) -> PrecisionRecord:
    source = example.write(folder)
    calibration = calibrate(example, source) if ranges else None
    return fp16.PASS(source, folder / "out.onnx", calibration, options)


@given(arrays(np.float32, st.integers(1, 50), elements=st.floats(-(2.0**28), 2.0**28, width=32)))
def test_counts_are_what_the_cast_to_float16_loses(values: Array) -> None:
    accumulator = Accumulator()
    assert accumulator.add(values)
    with np.errstate(over="ignore"):
        cast = values.astype(np.float16).astype(np.float32)
    found = count_losses(accumulator.statistics())
    infinite = int(np.isinf(cast).sum())
    assert infinite <= found.overflow
    assert found.overflow <= infinite + int(((np.abs(values) >= 65408) & np.isfinite(cast)).sum())
    assert (found.overflow > 0) == (infinite > 0)
    # Values of float32 below 2**-134 lie in the bin of zeros.
    magnitude = np.abs(values)
    seen = magnitude >= 2.0**-134
    assert found.underflow == int((seen & (magnitude < 2.0**-25)).sum())
    assert found.subnormal == int(((magnitude >= 2.0**-25) & (magnitude < 2.0**-14)).sum())


def test_the_report_names_only_what_loses(tmp_path: Path) -> None:
    example = ODD["large_activations"]()
    report = report_ranges(calibrate(example, example.write(tmp_path)))
    assert report["large"].overflow > 1000
    assert report["positive"].overflow > 1000
    assert all(not item.is_lossless_in_range for item in report.values())


def test_auto_keeps_large_activations_in_float32_and_the_outputs_right(tmp_path: Path) -> None:
    example = ODD["large_activations"]()
    record = convert(example, tmp_path, {"keep_fp32": "auto"})
    assert sorted(record.kept) == ["net/large", "net/output", "net/relu"]
    assert "beyond 65504" in record.kept["net/relu"]
    onnx.checker.check_model(str(tmp_path / "out.onnx"), full_check=True)
    before = open_graph(tmp_path / "model.onnx", threads=1).run(example.feeds)["output"]
    after = open_graph(tmp_path / "out.onnx", threads=1).run(example.feeds)["output"]
    assert sqnr_db(before, after) > 55


def test_without_it_the_overflow_is_counted_and_warned_of(tmp_path: Path) -> None:
    record = convert(ODD["large_activations"](), tmp_path, {})
    assert record.rounding["large"]["overflow"] > 1000
    assert any("'large' become infinite" in warning for warning in record.warnings)
    assert not record.kept


def test_ordinary_graphs_keep_nothing(tmp_path: Path) -> None:
    for kind in ("shortcut_convolution", "recurrent"):
        assert not convert(ODD[kind](), tmp_path / kind, {"keep_fp32": "auto"}).kept


def test_a_mask_is_no_overflow(tmp_path: Path) -> None:
    record = convert(ODD["masked_transformer"](), tmp_path, {"keep_fp32": "auto"})
    assert not record.kept
    assert "masked" not in record.rounding


def test_listed_nodes_and_operators_stay_in_float32(tmp_path: Path) -> None:
    example = ODD["masked_transformer"]()
    options = {"keep_fp32": ["net/scores", "LayerNormalization"]}
    record = convert(example, tmp_path, options, ranges=False)
    assert sorted(record.kept) == ["net/norm1", "net/norm2", "net/scores"]
    made = onnx.load(tmp_path / "out.onnx")
    kinds = infer_types(made)
    for node in made.graph.node:
        floats = {kinds[name] for name in node.input if kinds.get(name) in {1, 10}}
        if node.name in record.kept:
            assert floats == {TensorProto.FLOAT}
        elif node.op_type == "MatMul":
            assert floats == {TensorProto.FLOAT16}


@pytest.mark.parametrize(
    ("option", "words"),
    [("always", "neither auto nor a list"), (["net/x"], "no node and no operator 'net/x'")],
)
def test_wrong_options_are_refused(option: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        convert(ODD["recurrent"](), tmp_path, {"keep_fp32": option}, ranges=False)


def test_auto_without_ranges_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="artifacts/calibrate"):
        convert(ODD["recurrent"](), tmp_path, {"keep_fp32": "auto"}, ranges=False)


def test_a_tensor_of_subnormals_only_is_kept(tmp_path: Path) -> None:
    example = ODD["shortcut_convolution"]()
    faint = Example(example.proto, {"input": example.feeds["input"] * np.float32(1e-6)})
    record = convert(faint, tmp_path, {"keep_fp32": "auto"})
    assert record.kept["net/c1"].startswith("all values of ")
    assert record.kept["net/c1"].endswith("are below 6.1e-05, subnormal in float16")


def test_digits_in_float16_keep_55_db(tmp_path: Path) -> None:
    network = digits()
    calibration: Calibration = network.calibration
    record = fp16.PASS(network.model, tmp_path / "out.onnx", calibration, {"keep_fp32": "auto"})
    assert not record.kept
    feeds = {"input": network.images}
    before = open_graph(network.model, threads=1).run(feeds)["logits"]
    after = open_graph(tmp_path / "out.onnx", threads=1).run(feeds)["logits"]
    assert sqnr_db(before, after) >= 55
