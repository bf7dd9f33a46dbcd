from __future__ import annotations

import re
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.onnx_graphs import EXAMPLES
from tests.quantisation_graphs import ODD, calibrate, digits, sqnr_db

from trtproof.backends.onnxruntime import open_graph
from trtproof.errors import BackendError, ConfigError, InputError
from trtproof.precision import fp8, fp8_fp16
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.executors import prepare
from trtproof.tensor import Array

GRAPHS = {**EXAMPLES, **ODD}
FLOAT8 = ml_dtypes.float8_e4m3fn


def convert(kind: str, folder: Path) -> tuple[onnx.ModelProto, PrecisionRecord]:
    example = GRAPHS[kind]()
    source = example.write(folder)
    record = fp8.PASS(source, folder / "out.onnx", calibrate(example, source), {})
    return onnx.load(folder / "out.onnx"), record


def weights_of(proto: onnx.ModelProto) -> dict[str, Array]:
    return {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_graph_is_valid_with_positive_float16_scales(kind: str, tmp_path: Path) -> None:
    proto, record = convert(kind, tmp_path)
    onnx.checker.check_model(proto, full_check=True)
    values = weights_of(proto)
    for node in proto.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            scale, zero = values[node.input[1]], values[node.input[2]]
            assert (scale > 0).all()
            assert (np.float16(scale) == scale).all()
            assert zero.dtype == FLOAT8
            assert not zero.astype(np.float32).any()
    assert record.executor == "onnxruntime-unoptimized"
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param == "batch"


def test_the_scale_maps_the_range_to_448(tmp_path: Path) -> None:
    example = GRAPHS["masked_transformer"]()
    proto, record = convert("masked_transformer", tmp_path)
    end = calibrate(example, tmp_path / "model.onnx").histogram("n1").largest
    (scale,) = record.scales["n1"]
    assert end / 448 <= scale <= end / 448 * (1 + 2**-10)
    stored = weights_of(proto)["wq/fp8"].astype(np.float32)
    assert np.abs(stored).max() == 448 or np.abs(stored).max() == 416


def test_convolutions_without_an_fp8_kernel_stay_in_float(tmp_path: Path) -> None:
    _, record = convert("grouped_convolutions", tmp_path)
    assert record.kept["net/grouped"].startswith("its 4 input channels per group")
    assert record.kept["net/up"] == "ConvTranspose has no quantised form"
    _, record = convert("shortcut_convolution", tmp_path / "b")
    assert not record.kept


def test_entropy_is_no_method_of_fp8(tmp_path: Path) -> None:
    example = GRAPHS["shared_weights"]()
    source = example.write(tmp_path)
    calibration = calibrate(example, source)
    with pytest.raises(ConfigError, match="'entropy' is none of max, percentile, mse"):
        fp8.PASS(source, tmp_path / "out.onnx", calibration, {"method": "entropy"})


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_float16_form_has_the_same_values_and_scales(kind: str, tmp_path: Path) -> None:
    proto, _ = convert(kind, tmp_path)
    fp8_fp16.PASS(tmp_path / "out.onnx", tmp_path / "cast.onnx", None, {})
    made = onnx.load(tmp_path / "cast.onnx")
    onnx.checker.check_model(made, full_check=True)
    after = weights_of(made)
    for name, value in weights_of(proto).items():
        if value.dtype == FLOAT8:
            assert after[name].tobytes() == value.tobytes()
        elif name.endswith("/scale"):
            assert after[name].dtype == np.float16
            assert (after[name].astype(np.float32) == value).all()


def test_equal_models_in_two_folders_give_equal_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        convert("masked_transformer", tmp_path / folder)
    assert (tmp_path / "a/out.onnx").read_bytes() == (tmp_path / "b/out.onnx").read_bytes()


@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
def test_digits_keep_30_db_and_their_accuracy(method: str, tmp_path: Path) -> None:
    network = digits()
    reference = open_graph(network.model, threads=1).run({"input": network.images})["logits"]
    path = tmp_path / "fp8.onnx"
    record = fp8.PASS(network.model, path, network.calibration, {"method": method})
    cast = fp8_fp16.PASS(path, tmp_path / "fp8_fp16.onnx", None, {})
    before = (reference.argmax(1) == network.labels).mean()
    for made, item in ((path, record), (tmp_path / "fp8_fp16.onnx", cast)):
        ready = prepare(made, item.executor, tmp_path, version="1.31.1")
        graph = open_graph(ready.model, threads=1, optimized=ready.optimized)
        found = graph.run({"input": network.images})["logits"]
        assert sqnr_db(reference, found) >= 30
        assert before - (found.argmax(1) == network.labels).mean() <= 0.005


@pytest.mark.parametrize("version", ["1.29.9", "1.9.0", "0.30"])
def test_an_onnxruntime_that_truncates_is_refused_with_the_reason(
    version: str, tmp_path: Path
) -> None:
    words = re.escape(f"ONNX Runtime {version} truncates float16 values")
    with pytest.raises(BackendError, match=words):
        prepare(tmp_path / "m", "onnxruntime-unoptimized", tmp_path, version=version)
    assert prepare(tmp_path / "m", "onnxruntime", tmp_path, version=version).optimized


@pytest.mark.parametrize("version", ["1.30.0", "1.31.1", "2.0.0"])
def test_a_newer_onnxruntime_runs_the_graph_without_optimisation(
    version: str, tmp_path: Path
) -> None:
    ready = prepare(tmp_path / "m", "onnxruntime-unoptimized", tmp_path, version=version)
    assert ready.model == tmp_path / "m"
    assert not ready.optimized


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'torch'"):
        prepare(tmp_path / "m", "torch", tmp_path, version="1.31.1")
