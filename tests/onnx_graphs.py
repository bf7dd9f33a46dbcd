"""Small float32 ONNX models with seeded weights, and samples for them; axis 0 is dynamic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from trtproof.data.arrays import ArrayDataset
from trtproof.tensor import Array, Feeds

OPSET = 20
MASK = -3.4e38


def dataset(feeds: Feeds, labels: Sequence[int] | None = None) -> ArrayDataset:
    return ArrayDataset(feeds=feeds, labels=labels, preprocessing=(), synthetic=True)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Mapping[str, Sequence[int | str]],
    weights: Mapping[str, Array],
    opset: int = OPSET,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def single(values: object) -> Array:
    return np.array(values, np.float32)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Array:
    values = np.random.default_rng([seed, *shape]).standard_normal(shape) * scale
    return values.astype(np.float32)


@dataclass(frozen=True)
class Example:
    """A model and the feeds of 12 samples."""

    proto: ModelProto
    feeds: Feeds

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.onnx"
        path.write_bytes(self.proto.SerializeToString(deterministic=True))
        return path


def residual_convolution() -> Example:
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["sum"], name="add"),
        helper.make_node("Relu", ["sum"], ["r2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], name="head"),
    ]
    weights = {
        "w1": normal(8, 3, 3, 3, scale=0.3),
        "b1": normal(8, seed=1, scale=0.1),
        "w2": normal(8, 8, 3, 3, scale=0.2),
        "b2": normal(8, seed=2, scale=0.1),
        "w3": normal(8, 5),
        "b3": normal(5),
    }
    inputs = {"input": (TensorProto.FLOAT, ("batch", 3, 8, 8))}
    proto = model(nodes, inputs, {"logits": ("batch", 5)}, weights)
    return Example(proto, {"input": normal(12, 3, 8, 8)})


def masked_attention() -> Example:
    """Causal self-attention whose mask holds -3.4e38, with a scale in a Constant node."""
    nodes = [
        helper.make_node("MatMul", ["input", "wq"], ["q"], name="query"),
        helper.make_node("MatMul", ["input", "wk"], ["k"], name="key"),
        helper.make_node("MatMul", ["input", "wv"], ["v"], name="value"),
        helper.make_node("Transpose", ["k"], ["kt"], name="transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"], name="scores"),
        helper.make_node("Constant", [], ["root"], name="constant", value_float=0.35355339),
        helper.make_node("Mul", ["scores", "root"], ["scaled"], name="scale"),
        helper.make_node("Add", ["scaled", "mask"], ["masked"], name="mask_add"),
        helper.make_node("Softmax", ["masked"], ["weights"], name="softmax", axis=-1),
        helper.make_node("MatMul", ["weights", "v"], ["mixed"], name="mix"),
        helper.make_node("LayerNormalization", ["mixed", "g", "b"], ["output"], name="norm"),
    ]
    weights = {
        "wq": normal(8, 8, seed=1),
        "wk": normal(8, 8, seed=2),
        "wv": normal(8, 8, seed=3),
        "mask": np.triu(np.full((4, 4), MASK, np.float32), k=1),
        "g": np.ones(8, np.float32),
        "b": np.zeros(8, np.float32),
    }
    inputs = {"input": (TensorProto.FLOAT, ("batch", 4, 8))}
    proto = model(nodes, inputs, {"output": ("batch", 4, 8)}, weights)
    return Example(proto, {"input": normal(12, 4, 8)})


def two_inputs() -> Example:
    """Token indices and a float input, two outputs of which one feeds the other."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["embedded"], name="embed"),
        helper.make_node("Add", ["embedded", "offset"], ["hidden"], name="shift"),
        helper.make_node("MatMul", ["hidden", "w"], ["output"], name="project"),
    ]
    weights = {"table": normal(11, 6), "w": normal(6, 3)}
    inputs = {
        "ids": (TensorProto.INT64, ("batch", 4)),
        "offset": (TensorProto.FLOAT, ("batch", 4, 6)),
    }
    outputs: dict[str, Sequence[int | str]] = {
        "hidden": ("batch", 4, 6),
        "output": ("batch", 4, 3),
    }
    proto = model(nodes, inputs, outputs, weights)
    ids = np.random.default_rng(0).integers(0, 11, (12, 4))
    return Example(proto, {"ids": ids, "offset": normal(12, 4, 6)})


def float_constants() -> Example:
    """Every way in which a float32 can come about without an initialiser, and Resize's scales."""
    nodes = [
        helper.make_node(
            "Constant",
            [],
            ["factor"],
            name="factor",
            value=numpy_helper.from_array(np.array([1.5], np.float32)),
        ),
        helper.make_node("Constant", [], ["offsets"], name="offsets", value_floats=[0.1, 0.2]),
        helper.make_node("Constant", [], ["scales"], name="scales", value_floats=[1.0, 1.0, 2.0]),
        helper.make_node("Shape", ["input"], ["shape"], name="shape"),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"], name="zeros"),
        helper.make_node("Cast", ["shape"], ["extents"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["input", "factor"], ["scaled"], name="mul"),
        helper.make_node("Add", ["scaled", "offsets"], ["shifted"], name="add"),
        helper.make_node("Add", ["shifted", "zeros"], ["same"], name="add_zeros"),
        helper.make_node("ReduceSum", ["extents"], ["total"], name="total", keepdims=1),
        helper.make_node("Div", ["same", "total"], ["divided"], name="div"),
        helper.make_node(
            "Resize", ["divided", "", "scales"], ["output"], name="resize", mode="nearest"
        ),
    ]
    inputs = {"input": (TensorProto.FLOAT, ("batch", 3, 2))}
    proto = model(nodes, inputs, {"output": ("batch", 3, 4)}, {})
    return Example(proto, {"input": normal(12, 3, 2)})


EXAMPLES: dict[str, Callable[[], Example]] = {
    "residual_convolution": residual_convolution,
    "masked_attention": masked_attention,
    "two_inputs": two_inputs,
    "float_constants": float_constants,
}
