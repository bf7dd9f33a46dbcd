from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tests.onnx_graphs import (
    Example,
    float_constants,
    masked_attention,
    model,
    normal,
    residual_convolution,
    single,
    two_inputs,
)

from trtproof.backends.onnxruntime import open_graph
from trtproof.errors import ModelError
from trtproof.precision.base import PrecisionRecord
from trtproof.precision.float16 import round_array
from trtproof.precision.fp16 import PASS
from trtproof.tensor import Array


def convert(example: Example, folder: Path) -> tuple[onnx.ModelProto, PrecisionRecord]:
    out = folder / "fp16.onnx"
    record = PASS(example.write(folder), out, None, {})
    return onnx.load(out), record


def types_of(proto: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


def node_named(proto: onnx.ModelProto, name: str) -> NodeProto:
    return next(node for node in proto.graph.node if node.name == name)


def weight(proto: onnx.ModelProto, name: str) -> Array:
    tensor = next(item for item in proto.graph.initializer if item.name == name)
    return numpy_helper.to_array(tensor)


FLOATS = arrays(np.float32, st.integers(1, 30), elements=st.floats(width=32, allow_nan=False))


@given(FLOATS)
def test_no_finite_number_becomes_infinite_and_counts_are_what_is_lost(values: Array) -> None:
    rounded, rounding = round_array(values)
    finite = np.isfinite(values)
    assert np.isfinite(rounded[finite]).all()
    assert np.array_equal(rounded[~finite].astype(np.float32), values[~finite])
    assert rounding.count == values.size
    assert rounding.overflow == sum(65504 < abs(float(item)) < np.inf for item in values)
    assert rounding.underflow == sum(
        item != 0 and kept == 0 for item, kept in zip(values, rounded, strict=True)
    )
    assert rounding.subnormal == sum(0 < abs(float(kept)) < 2**-14 for kept in rounded)
    inside = finite & (np.abs(values) <= 65504)
    assert np.array_equal(rounded[inside], values[inside].astype(np.float16))


def test_everything_inside_is_float16_and_the_interface_stays_float32(tmp_path: Path) -> None:
    proto, record = convert(residual_convolution(), tmp_path)
    kinds = types_of(proto)
    single = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT}
    assert single == {"input", "logits"}
    # Two float32 at the interface; their float16 forms, 7 activations and 6 weights.
    assert dict(record.dtypes) == {"FLOAT": 2, "FLOAT16": 15}
    casts = [node.name for node in proto.graph.node if node.op_type == "Cast"]
    assert casts == ["input/cast_float16", "logits/cast_float32"]
    assert record.executor == "onnxruntime"
    assert record.kept == {}
    assert proto.graph.value_info == []


def test_a_mask_beyond_float16_is_clamped_and_named_in_the_record(tmp_path: Path) -> None:
    proto, record = convert(masked_attention(), tmp_path)
    assert weight(proto, "mask").min() == -65504
    assert record.rounding["mask"] == {
        "count": 16,
        "overflow": 6,
        "underflow": 0,
        "subnormal": 0,
    }
    assert record.warnings == [
        "6 of 16 values of 'mask' are beyond float16 and were clamped to 65504 in magnitude"
    ]


def test_lost_and_subnormal_weights_are_counted_by_name(tmp_path: Path) -> None:
    values = single([1e-9, 1e-6, 1.0, -70000.0])
    proto = model(
        [helper.make_node("Mul", ["x", "w"], ["y"], name="mul")],
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("batch", 4)},
        {"w": values},
    )
    _, record = convert(Example(proto, {}), tmp_path)
    assert record.to_json()["rounding"] == {
        "w": {"count": 4, "overflow": 1, "underflow": 1, "subnormal": 1}
    }


def test_constant_nodes_casts_and_fills_give_float16(tmp_path: Path) -> None:
    proto, _ = convert(float_constants(), tmp_path)
    kinds = types_of(proto)
    for name in ("factor", "offsets", "zeros", "extents"):
        assert kinds[name] == TensorProto.FLOAT16
    assert node_named(proto, "cast").attribute[0].i == TensorProto.FLOAT16
    assert node_named(proto, "zeros").attribute[0].t.data_type == TensorProto.FLOAT16


def test_the_scales_of_resize_stay_float32(tmp_path: Path) -> None:
    proto, record = convert(float_constants(), tmp_path)
    kinds = types_of(proto)
    resize = node_named(proto, "resize")
    assert resize.input[2] == "scales"
    assert kinds["scales"] == TensorProto.FLOAT
    assert kinds[resize.input[0]] == TensorProto.FLOAT16
    assert "resize" not in record.kept


def test_the_region_of_resize_stays_float32_although_onnx_allows_less(tmp_path: Path) -> None:
    node = helper.make_node(
        "Resize",
        ["x", "region", "", "sizes"],
        ["y"],
        name="resize",
        coordinate_transformation_mode="tf_crop_and_resize",
    )
    proto = model(
        [node],
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("n", 3)},
        {"region": single([0, 0.1, 1, 0.9]), "sizes": np.array([2, 3])},
    )
    converted, _ = convert(Example(proto, {}), tmp_path)
    assert weight(converted, "region").dtype == np.float32


def test_a_constant_read_in_both_types_exists_in_both(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "factors"], ["scaled"], name="mul"),
        helper.make_node("Resize", ["scaled", "", "factors"], ["y"], name="resize"),
    ]
    proto = model(
        nodes,
        {"x": (TensorProto.FLOAT, ("batch", 2))},
        {"y": ("batch", "wide")},
        {"factors": single([1, 2])},
    )
    converted, _ = convert(Example(proto, {}), tmp_path)
    assert weight(converted, "factors").dtype == np.float16
    assert weight(converted, "factors/float32").dtype == np.float32
    assert node_named(converted, "resize").input[2] == "factors/float32"


def test_an_operator_that_takes_float32_only_is_kept_and_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Range", ["zero", "limit", "one"], ["steps"], name="range"),
        helper.make_node("Mul", ["x", "steps"], ["y"], name="mul"),
    ]
    proto = model(
        nodes,
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("batch", 4)},
        {"zero": single(0), "limit": single(4), "one": single(1)},
    )
    converted, record = convert(Example(proto, {}), tmp_path)
    assert record.kept == {"range": "Range takes float32 only"}
    assert [node.name for node in converted.graph.node][1:3] == ["range", "steps/cast_float16"]
    found = open_graph(tmp_path / "fp16.onnx", threads=1).run({"x": np.ones((1, 4), np.float32)})
    assert found["y"].tolist() == [[0, 1, 2, 3]]


def test_neighbours_in_float32_share_the_tensor_without_going_through_float16(
    tmp_path: Path,
) -> None:
    nodes = [
        helper.make_node("Range", ["zero", "limit", "step"], ["steps"], name="first"),
        helper.make_node("ReduceMax", ["steps"], ["top"], name="max", keepdims=0),
        helper.make_node("Cast", ["steps"], ["whole"], name="cast", to=TensorProto.INT64),
        helper.make_node("Range", ["zero", "limit", "top"], ["again"], name="second"),
        helper.make_node("ReduceSum", ["whole"], ["count"], name="sum", keepdims=0),
        helper.make_node("Cast", ["count"], ["total"], name="back", to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "total"], ["y"], name="add"),
    ]
    proto = model(
        nodes,
        {"x": (TensorProto.FLOAT, ("batch",))},
        {"y": ("batch",), "again": ("n",)},
        {"zero": single(0), "limit": single(3), "step": single(1)},
    )
    converted, _ = convert(Example(proto, {}), tmp_path)
    assert node_named(converted, "cast").input[0] == "steps"
    assert weight(converted, "zero").dtype == np.float32
    found = open_graph(tmp_path / "fp16.onnx", threads=1).run({"x": np.ones(1, np.float32)})
    assert (found["y"].tolist(), found["again"].tolist()) == ([4], [0, 2])


def test_an_output_that_feeds_another_node_keeps_its_name(tmp_path: Path) -> None:
    proto, _ = convert(two_inputs(), tmp_path)
    assert [value.name for value in proto.graph.output] == ["hidden", "output"]
    assert node_named(proto, "project").input[0] == "hidden/float16"
    assert types_of(proto)["ids"] == TensorProto.INT64


def test_an_input_that_is_an_output_stays_float32(tmp_path: Path) -> None:
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        {"x": (TensorProto.FLOAT, ("batch",))},
        {"y": ("batch",), "x": ("batch",)},
        {},
    )
    convert(Example(proto, {}), tmp_path)
    found = open_graph(tmp_path / "fp16.onnx", threads=1).run({"x": single([0.1, -1])})
    assert found["x"].tolist() == single([0.1, -1]).tolist()


def test_names_that_exist_already_are_not_taken_again(tmp_path: Path) -> None:
    out = tmp_path / "first.onnx"
    PASS(residual_convolution().write(tmp_path), out, None, {})
    again = tmp_path / "again.onnx"
    PASS(out, again, None, {})
    proto = onnx.load(again)
    names = [name for node in proto.graph.node for name in node.output]
    assert len(names) == len(set(names))
    feeds = residual_convolution().feeds
    first, second = (open_graph(path, threads=1).run(feeds)["logits"] for path in (out, again))
    assert np.array_equal(first, second)


def test_a_subgraph_is_refused_with_the_node_that_holds_it(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ("batch",)),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, ("batch",)),
        ],
    )
    node = helper.make_node("Loop", ["times", "", "x"], ["y"], name="repeat", body=body)
    proto = model(
        [node],
        {"x": (TensorProto.FLOAT, ("batch",))},
        {"y": ("batch",)},
        {"times": np.array(2, np.int64)},
    )
    with pytest.raises(ModelError, match="Loop 'repeat' holds a subgraph"):
        convert(Example(proto, {}), tmp_path)


def quantised(scale: float, shape: Sequence[int] = ()) -> Example:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="d"),
        helper.make_node("MatMul", ["d", "w"], ["y"], name="matmul"),
    ]
    proto = model(
        nodes,
        {"x": (TensorProto.FLOAT, ("batch", 4))},
        {"y": ("batch", 3)},
        {"s": np.full(shape, scale, np.float32), "z": np.zeros(shape, np.int8), "w": normal(4, 3)},
    )
    return Example(proto, {"x": normal(12, 4)})


def test_scales_become_float16_and_such_a_graph_is_run_without_optimisation(
    tmp_path: Path,
) -> None:
    proto, record = convert(quantised(0.03125), tmp_path)
    assert weight(proto, "s").dtype == np.float16
    assert record.executor == "onnxruntime-unoptimized"
    assert dict(record.dtypes) == {"FLOAT": 2, "FLOAT16": 4, "INT8": 1}


def test_a_scale_that_would_be_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"scale 's' of a .* is zero in float16"):
        convert(quantised(1e-9), tmp_path)


@pytest.mark.parametrize(
    ("op_type", "inputs"), [("RandomNormal", []), ("HannWindow", ["size"]), ("EyeLike", ["x"])]
)
def test_operators_whose_float32_is_a_default_give_float16(
    op_type: str, inputs: list[str], tmp_path: Path
) -> None:
    attributes: dict[str, Any] = {"shape": [4, 4], "seed": 1.0} if op_type == "RandomNormal" else {}
    nodes = [
        helper.make_node(op_type, inputs, ["made"], name="made", **attributes),
        helper.make_node("MatMul", ["x", "made"], ["y"], name="matmul"),
    ]
    shape: tuple[int | str, ...] = (4, 4)
    proto = model(
        nodes,
        {"x": (TensorProto.FLOAT, shape)},
        {"y": ("n",) if "size" in inputs else shape},
        {"size": np.array(4, np.int64)} if inputs == ["size"] else {},
    )
    converted, _ = convert(Example(proto, {}), tmp_path)
    assert types_of(converted)["made"] == TensorProto.FLOAT16
