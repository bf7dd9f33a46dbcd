from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_graphs import (
    MASK,
    Example,
    dataset,
    masked_attention,
    model,
    normal,
    residual_convolution,
    single,
)

from trtproof.calibration import Calibration
from trtproof.data_pass import collect
from trtproof.errors import CalibrationError, ConfigError, ModelError
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.int8_cpu import PASS

OPTIONS: Mapping[str, Any] = {}


def convert(
    example: Example, folder: Path, options: Mapping[str, Any] = OPTIONS
) -> tuple[onnx.ModelProto, PrecisionRecord]:
    source = example.write(folder)
    calibration = collect(source, dataset(example.feeds), batch=4, threads=1)
    out = folder / "int8.onnx"
    record = PASS(source, out, calibration, options)
    return onnx.load(out), record


def weights_of(proto: onnx.ModelProto) -> dict[str, Any]:
    return {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}


def optimised_ops(path: Path, folder: Path) -> list[str]:
    """Return the operators of the graph as ONNX Runtime runs it."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]


def test_convolutions_and_their_sums_run_as_integer_kernels(tmp_path: Path) -> None:
    convert(residual_convolution(), tmp_path)
    ops = optimised_ops(tmp_path / "int8.onnx", tmp_path)
    assert ops.count("QLinearConv") == 2
    assert "QLinearAdd" in ops
    assert "QGemm" in ops
    assert not {"Conv", "Gemm", "Add", "Relu"} & set(ops)


def test_activations_are_uint8_weights_int8_per_channel_and_biases_int32(tmp_path: Path) -> None:
    proto, record = convert(residual_convolution(), tmp_path)
    weights = weights_of(proto)
    assert weights["w1_quantized"].dtype == np.int8
    assert weights["w1_scale"].shape == (8,)
    assert not weights["w1_zero_point"].any()
    assert weights["b1_quantized"].dtype == np.int32
    assert weights["input_zero_point"].dtype == np.uint8
    assert weights["input_zero_point"] > 0
    # By hand: input, r1, c2, r2, pooled, flat, logits quantised; conv1's Relu is merged.
    assert dict(record.dtypes) == {"FLOAT": 20, "UINT8": 7, "INT8": 3, "INT32": 3}


def test_scales_follow_from_the_calibrated_ranges_and_are_recorded(tmp_path: Path) -> None:
    example = residual_convolution()
    source = example.write(tmp_path)
    calibration = collect(source, dataset(example.feeds), batch=4, threads=1)
    record = PASS(source, tmp_path / "out.onnx", calibration, {})
    weights = weights_of(onnx.load(tmp_path / "out.onnx"))
    lowest, highest = calibration.ranges["input"]
    assert single(record.scales["input"][0]) == pytest.approx((highest - lowest) / 255)
    assert single(record.scales["w1"]).tolist() == weights["w1_scale"].tolist()
    expected = np.abs(normal(8, 3, 3, 3, scale=0.3)).reshape(8, -1).max(axis=1) / 127.5
    assert np.allclose(record.scales["w1"], expected, rtol=0.01)


def test_only_ranges_are_taken_from_calibration_so_that_they_alone_change_the_result(
    tmp_path: Path,
) -> None:
    example = residual_convolution()
    source = example.write(tmp_path)
    calibration = collect(source, dataset(example.feeds), batch=4, threads=1)
    PASS(source, tmp_path / "a.onnx", calibration, {})
    other = Calibration(calibration.tensors, {"samples_count": 99})
    PASS(source, tmp_path / "b.onnx", other, {})
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    doubled = {"input": example.feeds["input"] * single(2)}
    PASS(source, tmp_path / "c.onnx", collect(source, dataset(doubled), batch=4, threads=1), {})
    assert (tmp_path / "a.onnx").read_bytes() != (tmp_path / "c.onnx").read_bytes()


def test_no_trace_of_the_tool_is_left(tmp_path: Path) -> None:
    example = residual_convolution()
    example.proto.producer_name = "maker"
    helper.set_model_props(example.proto, {"origin": "test"})
    proto, _ = convert(example, tmp_path)
    assert proto.producer_name == "maker"
    assert {entry.key: entry.value for entry in proto.metadata_props} == {"origin": "test"}
    assert proto.graph.value_info == []


def test_excluded_nodes_stay_in_float32_and_say_so(tmp_path: Path) -> None:
    proto, record = convert(residual_convolution(), tmp_path, {"exclude": ["conv1"]})
    assert record.kept == {"conv1": "excluded by the recipe"}
    conv = next(node for node in proto.graph.node if node.name == "conv1")
    assert conv.input[1:] == ["w1", "b1"]
    assert weights_of(proto)["w1"].dtype == np.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exclude": ["conv9"]}, "no node 'conv9'"),
        ({"exclude": "conv1"}, "not a list of node names"),
        ({"exclude": [3]}, "not a list of node names"),
        ({"excluded": []}, "no such option"),
    ],
)
def test_wrong_options_are_refused(options: Mapping[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        convert(residual_convolution(), tmp_path, options)


def test_nodes_that_touch_a_mask_stay_in_float32_and_say_why(tmp_path: Path) -> None:
    _, record = convert(masked_attention(), tmp_path)
    assert record.kept == {
        "mask_add": "'mask' holds a mask (magnitude of 1e9 or more)",
        "softmax": "'masked' holds a mask (magnitude of 1e9 or more)",
    }


def test_the_open_bound_of_a_clip_is_no_mask(tmp_path: Path) -> None:
    proto = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["hidden"], name="matmul"),
            helper.make_node("Clip", ["hidden", "low", "high"], ["y"], name="clip"),
        ],
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("batch", 3)},
        {"w": normal(4, 3), "low": single(0), "high": single(3.4e38)},
    )
    _, record = convert(Example(proto, {"x": normal(12, 4)}), tmp_path)
    assert record.kept == {}


def test_an_operator_without_a_rule_is_kept_and_named(tmp_path: Path) -> None:
    proto = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["hidden"], name="matmul"),
            helper.make_node("Erf", ["hidden"], ["y"], name="erf"),
        ],
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("batch", 3)},
        {"w": normal(4, 3)},
    )
    _, record = convert(Example(proto, {"x": normal(12, 4)}), tmp_path)
    assert record.kept == {"erf": "ONNX Runtime's recipe does not quantise Erf"}


def test_a_weight_in_a_constant_node_is_quantised_per_channel(tmp_path: Path) -> None:
    example = residual_convolution()
    graph = example.proto.graph
    tensor = next(item for item in graph.initializer if item.name == "w1")
    node = helper.make_node("Constant", [], ["w1"], name="constant", value=tensor)
    kept = [item for item in graph.initializer if item.name != "w1"]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.node.insert(0, node)
    proto, _ = convert(example, tmp_path)
    assert weights_of(proto)["w1_scale"].shape == (8,)


def test_a_recipe_without_calibration_is_refused(tmp_path: Path) -> None:
    source = residual_convolution().write(tmp_path)
    with pytest.raises(CalibrationError, match="needs ranges"):
        PASS(source, tmp_path / "out.onnx", None, {})


def test_ranges_of_another_model_are_refused_with_the_missing_tensor(tmp_path: Path) -> None:
    other = masked_attention()
    ranges = collect(other.write(tmp_path / "a"), dataset(other.feeds), batch=4, threads=1)
    source = residual_convolution().write(tmp_path / "b")
    with pytest.raises(CalibrationError, match="would be quantised but has no range"):
        PASS(source, tmp_path / "out.onnx", ranges, {})


def test_a_tensor_that_was_always_zero_is_refused_only_where_it_is_quantised(
    tmp_path: Path,
) -> None:
    example = residual_convolution()
    dark = Example(example.proto, {"input": np.zeros_like(example.feeds["input"])})
    with pytest.raises(CalibrationError, match="'input' is zero in every calibration sample"):
        convert(dark, tmp_path)
    nodes = [
        helper.make_node("Erf", ["x"], ["zero"], name="erf"),
        helper.make_node("Cos", ["zero"], ["y"], name="cos"),
    ]
    proto = model(nodes, {"x": (TensorProto.FLOAT, ("batch", 4))}, {"y": ("batch", 4)}, {})
    _, record = convert(Example(proto, {"x": np.zeros((12, 4), np.float32)}), tmp_path)
    assert record.scales == {}


def padded_attention() -> Example:
    """Attention whose mask is computed from the input: 0 where a sum of squares is positive."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"], name="matmul"),
        helper.make_node("ReduceSumSquare", ["x"], ["length"], name="length", keepdims=0),
        helper.make_node("Greater", ["length", "zero"], ["seen"], name="greater"),
        helper.make_node("Where", ["seen", "zero", "never"], ["mask"], name="mask_where"),
        helper.make_node("Unsqueeze", ["mask", "axis"], ["wide"], name="widen"),
        helper.make_node("Add", ["hidden", "wide"], ["masked"], name="mask_add"),
        helper.make_node("MatMul", ["masked", "v"], ["y"], name="mix"),
    ]
    weights = {
        "w": normal(4, 3),
        "v": normal(3, 3),
        "zero": single(0),
        "never": single(MASK),
        "axis": np.array([0], np.int64),
    }
    inputs = {"x": (TensorProto.FLOAT, ("batch", 4))}
    proto = model(nodes, inputs, {"y": ("batch", 3)}, weights)
    return Example(proto, {"x": normal(12, 4)})


def test_a_mask_that_hides_nothing_keeps_the_sums_that_read_it_and_says_why(
    tmp_path: Path,
) -> None:
    proto, record = convert(padded_attention(), tmp_path)
    assert record.kept["mask_add"] == (
        "'wide' is zero in every calibration sample: it has no scale"
    )
    assert not {"mask", "wide"} & record.scales.keys()
    assert record.scales.keys() >= {"x", "w", "hidden", "masked", "v"}  # both products
    add = next(node for node in proto.graph.node if node.name == "mask_add")
    assert add.input[1] == "wide"


def test_a_convolution_whose_result_is_always_zero_stays_in_float32(tmp_path: Path) -> None:
    example = residual_convolution()
    for tensor in example.proto.graph.initializer:
        if tensor.name in {"w2", "b2"}:  # a branch that starts at zero, as before training
            values = np.zeros_like(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    _, record = convert(example, tmp_path)
    reason = "'c2' is zero in every calibration sample: it has no scale"
    assert record.kept == {"conv2": reason, "add": reason}


def test_a_product_of_what_was_always_zero_is_refused_with_the_nodes_that_read_it(
    tmp_path: Path,
) -> None:
    example = residual_convolution()
    dark = Example(example.proto, {"input": np.zeros_like(example.feeds["input"])})
    with pytest.raises(CalibrationError, match=r"exclude what reads it: conv1$"):
        convert(dark, tmp_path)
    _, record = convert(dark, tmp_path, {"exclude": ["conv1"]})
    assert record.kept["conv1"] == "excluded by the recipe"


def test_an_opset_without_scales_per_channel_is_refused(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("batch", 4)},
        {},
        opset=12,
    )
    with pytest.raises(ModelError, match="uses opset 12, int8_cpu needs 13"):
        convert(Example(proto, {"x": normal(12, 4)}), tmp_path)


def test_nothing_is_logged_that_nobody_can_act_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        convert(masked_attention(), tmp_path)
    assert caplog.messages == []
    assert logging.getLogger().filters == []
