"""Tiny ONNX graphs, made here and now, and what they must compute.

Each is one question to TensorRT: a precision, a dynamic axis, an output whose shape depends on the
data. The answer is ONNX Runtime's, on the CPU, of the same graph; of half and float8 precision, for
which it has no kernels everywhere, of the graph in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.tensor import Feeds, Signature, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET: Final = 20
OPSET_OF_BFLOAT16: Final = 22
"""The first in which a convolution takes bfloat16."""

IR_VERSION: Final = 10
CHANNELS: Final = 8
SIDE: Final = 8
CLASSES: Final = 4
AXIS: Final = (1, 4, 8)
"""Smallest, usual and largest extent of a dynamic batch."""

SCALE: Final = 0.05


@dataclass(frozen=True)
class Question:
    """One graph: what the engine is made of, what the answer is of, and how near it must be.

    `tolerance` is the largest difference as a share of the reference's largest value.
    """

    name: str
    precision: str
    graph: ModelProto
    reference: ModelProto
    tolerance: float
    feeds: Feeds
    profiles: tuple[Mapping[str, tuple[int, int, int]], ...] = field(default_factory=tuple)

    @property
    def signature(self) -> Signature:
        """Return inputs and outputs as the graph states them."""
        sides = (self.graph.graph.input, self.graph.graph.output)
        inputs, outputs = (tuple(map(_spec, side)) for side in sides)
        return Signature(inputs=inputs, outputs=outputs)


def make_question(name: str) -> Question:
    """Return the question of this name, with the same numbers in every run."""
    return QUESTIONS[name]()


def _random(*shape: int) -> Any:
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


def _spec(value: Any) -> TensorSpec:
    from onnx import helper

    kind = value.type.tensor_type
    dims = (dim.dim_param or int(dim.dim_value) for dim in kind.shape.dim)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    return TensorSpec(value.name, dtype, tuple(dims))


def _model(
    nodes: list[Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    weights: list[Any],
    *,
    opset: int = OPSET,
) -> ModelProto:
    """Return a checked model; inputs and outputs map a name to (ONNX type, shape)."""
    import onnx
    from onnx import helper

    def values(side: Mapping[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(name, *kind) for name, kind in side.items()]

    graph = helper.make_graph(nodes, "doctor", values(inputs), values(outputs), weights)
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


def _network(compute: int, *, quantised: int | None = None, batch: int | str = 1) -> ModelProto:
    """Return Conv, Relu, GlobalAveragePool, Flatten, Gemm in a type, between float32 ends.

    With `quantised`, Q/DQ nodes of that type stand before the convolution and its weights.
    """
    from onnx import TensorProto, helper, numpy_helper

    dtype = helper.tensor_dtype_to_np_dtype(compute)

    def weight(name: str, array: Any, kind: Any = dtype) -> Any:
        return numpy_helper.from_array(np.asarray(array).astype(kind), name)

    weights = [
        weight("w1", _random(CHANNELS, 3, 3, 3)),
        weight("w2", _random(CHANNELS, CLASSES)),
        weight("b2", _random(CLASSES)),
    ]
    nodes, data, kernel = [helper.make_node("Cast", ["x"], ["h"], to=compute)], "h", "w1"
    if quantised is not None:
        weights.append(weight("s", SCALE))
        weights.append(helper.make_tensor("z", quantised, [], [0]))
        for name in (data, kernel):
            nodes += [
                helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"]),
                helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [f"{name}_d"]),
            ]
        data, kernel = f"{data}_d", f"{kernel}_d"
    nodes += [
        helper.make_node("Conv", [data, kernel], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["g"], name="gemm"),
        helper.make_node("Cast", ["g"], ["y"], to=TensorProto.FLOAT),
    ]
    single = TensorProto.FLOAT
    ends = {"x": (single, [batch, 3, SIDE, SIDE])}, {"y": (single, [batch, CLASSES])}
    opset = OPSET_OF_BFLOAT16 if compute == TensorProto.BFLOAT16 else OPSET
    return _model(nodes, *ends, weights, opset=opset)


def _question(
    name: str, precision: str, compute: str, tolerance: float, quantised: str | None = None
) -> Question:
    """Return the network in one precision."""
    from onnx import TensorProto

    kind = None if quantised is None else TensorProto.DataType.Value(quantised)
    graph = _network(TensorProto.DataType.Value(compute), quantised=kind)
    emulated = kind if quantised == "INT8" else None
    reference = _network(TensorProto.FLOAT, quantised=emulated)
    return Question(name, precision, graph, reference, tolerance, {"x": _random(1, 3, SIDE, SIDE)})


def _dynamic(name: str = "dynamic", batch: int = 3) -> Question:
    from onnx import TensorProto

    graph = _network(TensorProto.FLOAT, batch="batch")
    feeds = {"x": _random(batch, 3, SIDE, SIDE)}
    return Question(name, "fp32", graph, graph, 1e-4, feeds, ({"batch": AXIS},))


def _profiles() -> Question:
    """Return the dynamic network with two profiles, and feeds that only the second takes."""
    first = _dynamic("profiles", batch=12)
    profiles = ({"batch": (1, 2, 4)}, {"batch": (8, 12, 16)})
    return Question(
        first.name, "fp32", first.graph, first.graph, first.tolerance, first.feeds, profiles
    )


def _two_inputs() -> Question:
    from onnx import TensorProto, helper

    single = TensorProto.FLOAT
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["m"], name="matmul"),
        helper.make_node("Add", ["m", "a"], ["y"], name="add"),
    ]
    inputs = {"a": (single, [4, 4]), "b": (single, [4, 4])}
    graph = _model(nodes, inputs, {"y": (single, [4, 4])}, [])
    feeds = {"a": _random(4, 4), "b": _random(4, 4).T.copy()}
    return Question("two_inputs", "fp32", graph, graph, 1e-4, feeds)


def _nonzero() -> Question:
    from onnx import TensorProto, helper

    nodes = [helper.make_node("NonZero", ["x"], ["y"], name="nonzero")]
    inputs = {"x": (TensorProto.FLOAT, [4, 4])}
    graph = _model(nodes, inputs, {"y": (TensorProto.INT64, [2, "found"])}, [])
    feeds = {"x": np.where(_random(4, 4) > 0, np.float32(1), np.float32(0))}
    return Question("nonzero", "fp32", graph, graph, 0.0, feeds)


def _nms() -> Question:
    """Return three boxes, of which the second is too near to the first and less likely."""
    from onnx import TensorProto, helper, numpy_helper

    weights = [
        numpy_helper.from_array(np.array([3], dtype=np.int64), "most"),
        numpy_helper.from_array(np.array([0.5], dtype=np.float32), "overlap"),
        numpy_helper.from_array(np.array([0.1], dtype=np.float32), "least"),
    ]
    names = ["boxes", "scores", "most", "overlap", "least"]
    nodes = [helper.make_node("NonMaxSuppression", names, ["y"], name="nms")]
    single = TensorProto.FLOAT
    inputs = {"boxes": (single, [1, 3, 4]), "scores": (single, [1, 1, 3])}
    graph = _model(nodes, inputs, {"y": (TensorProto.INT64, ["found", 3])}, weights)
    boxes = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], dtype=np.float32)
    feeds = {"boxes": boxes, "scores": np.array([[[0.9, 0.75, 0.6]]], dtype=np.float32)}
    return Question("nms", "fp32", graph, graph, 0.0, feeds)


QUESTIONS: Final[Mapping[str, Callable[[], Question]]] = {
    "fp32": lambda: _question("fp32", "fp32", "FLOAT", 1e-4),
    "fp16": lambda: _question("fp16", "fp16", "FLOAT16", 1e-2),
    "bf16": lambda: _question("bf16", "bf16", "BFLOAT16", 5e-2),
    "int8": lambda: _question("int8", "int8", "FLOAT", 2e-2, "INT8"),
    "int8_fp16": lambda: _question("int8_fp16", "int8_fp16", "FLOAT16", 3e-2, "INT8"),
    "fp8": lambda: _question("fp8", "fp8", "FLOAT", 0.2, "FLOAT8E4M3FN"),
    "dynamic": _dynamic,
    "profiles": _profiles,
    "two_inputs": _two_inputs,
    "nonzero": _nonzero,
    "nms": _nms,
}
