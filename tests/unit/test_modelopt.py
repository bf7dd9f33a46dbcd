"""ModelOpt's placement with our scales: what it decides is read, what is written is ours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_graphs import Example, model, normal
from tests.quantisation_graphs import ODD, calibrate, conv, digits, sqnr_db

from trtproof.backends.onnxruntime import open_graph
from trtproof.errors import ConfigError, HardwareError
from trtproof.precision import int8
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.grids import INT8
from trtproof.precision.modelopt import INSTALL, make_feeds, read_sites
from trtproof.precision.qdq_sites import Weight
from trtproof.precision.quantizers import QUANTIZERS, Request

needs_modelopt = pytest.mark.skipif(
    importlib.util.find_spec("modelopt") is None, reason="NVIDIA ModelOpt is not installed"
)
OPTIONS = {"quantizer": "modelopt"}


def request(exclude: tuple[str, ...] = ()) -> Request:
    return Request(int8.PASS.operators, frozenset(exclude), INT8, dict)  # type: ignore[attr-defined]


def quantised_by_hand() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return a network, and a copy with Q/DQ as ModelOpt writes them (a shared weight copied)."""
    inputs = {"input": (TensorProto.FLOAT, ("batch", 4, 8, 8))}
    shape = ("batch", 4, 8, 8)
    plain = [conv("input", "w", "a"), conv("a", "w", "b"), conv("b", "w", "c")]
    weights = {"w": normal(4, 4, 1, 1)}
    before = model(plain, inputs, {"c": shape}, weights)
    pair = [
        helper.make_node("QuantizeLinear", ["a", "s"], ["aq"], name="a/Q"),
        helper.make_node("DequantizeLinear", ["aq", "s"], ["ad"], name="a/DQ"),
        helper.make_node("QuantizeLinear", ["w_1", "ws"], ["wq"], name="w/Q", axis=0),
        helper.make_node("DequantizeLinear", ["wq", "ws"], ["wd"], name="w/DQ", axis=0),
    ]
    nodes = [plain[0], *pair, conv("ad", "wd", "b"), conv("b", "w", "c")]
    more = {
        **weights,
        "w_1": weights["w"],
        "s": np.array(0.1, np.float32),
        "ws": np.full(4, 0.1, np.float32),
    }
    return before, model(nodes, inputs, {"c": shape}, more)


def test_the_places_are_read_and_the_tensors_are_the_models_own() -> None:
    before, after = quantised_by_hand()
    sites = read_sites(before, after, request())
    assert sites.activations == {(1, 0): "a"}
    assert sites.weights == {(1, 1): Weight("w", 0)}
    assert sites.kept == {
        "net/a": "ModelOpt does not quantise it",
        "net/c": "ModelOpt does not quantise it",
    }


@pytest.mark.parametrize("name", ["net/b", "Conv"])
def test_what_the_recipe_excludes_stays_whatever_modelopt_does(name: str) -> None:
    before, after = quantised_by_hand()
    sites = read_sites(before, after, request((name,)))
    assert sites.positions == []
    assert sites.kept["net/b"] == "excluded by the recipe"


def test_its_one_request_is_always_the_same_and_fits_the_inputs() -> None:
    before, _ = quantised_by_hand()
    before.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4, 1, 1]))
    feeds = make_feeds(before)
    assert {name: values.shape for name, values in feeds.items()} == {"input": (2, 4, 8, 8)}
    assert not feeds["input"].any()


def test_without_modelopt_the_error_has_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "modelopt", None)
    example = ODD["shortcut_convolution"]()
    source = example.write(tmp_path)
    with pytest.raises(HardwareError, match="pip install --no-deps nvidia-modelopt=="):
        int8.PASS(source, tmp_path / "out.onnx", calibrate(example, source), OPTIONS)
    assert "onnxruntime" not in INSTALL


def test_another_quantizer_is_refused(tmp_path: Path) -> None:
    example = ODD["shortcut_convolution"]()
    source = example.write(tmp_path)
    ranges, options = calibrate(example, source), {"quantizer": "magic"}
    with pytest.raises(ConfigError, match="'magic' is none of builtin, modelopt"):
        int8.PASS(source, tmp_path / "out.onnx", ranges, options)
    assert list(QUANTIZERS.entries) == ["builtin", "modelopt"]


def convert(example: Example, folder: Path, **options: str) -> tuple[Path, PrecisionRecord]:
    source = example.write(folder)
    out = folder / "out.onnx"
    return out, int8.PASS(source, out, calibrate(example, source), options)


@needs_modelopt
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", list(ODD))
def test_its_graph_passes_the_same_checks(kind: str, tmp_path: Path) -> None:
    example = ODD[kind]()
    out, record = convert(example, tmp_path / "a", **OPTIONS)
    builtin = convert(example, tmp_path / "b")[1]
    proto = onnx.load(out)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not proto.metadata_props
    assert b"modelopt" not in out.read_bytes().lower()
    values = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            assert values[node.input[2]].dtype == np.int8
            assert not values[node.input[2]].any()
    shared = record.scales.keys() & builtin.scales.keys()
    assert {name: record.scales[name] for name in shared} == {
        name: builtin.scales[name] for name in shared
    }
    again, _ = convert(example, tmp_path / "c", **OPTIONS)
    assert again.read_bytes() == out.read_bytes()


@needs_modelopt
@pytest.mark.filterwarnings("ignore")
def test_the_digits_network_keeps_its_accuracy(tmp_path: Path) -> None:
    found = digits()
    out = tmp_path / "out.onnx"
    record = int8.PASS(found.model, out, found.calibration, OPTIONS)
    before = open_graph(found.model, threads=1).run({"input": found.images})["logits"]
    after = open_graph(out, threads=1, optimized=False).run({"input": found.images})["logits"]
    assert sqnr_db(before, after) >= 38
    assert len(record.scales) == 30
