"""What precision a graph states that another tool wrote: types per node, Q/DQ, scales."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from trtproof.errors import ModelError
from trtproof.precision.dtypes import DEQUANTIZE, QDQ_OPS, QUANTIZE, infer_types
from trtproof.precision.graph import constant_tensor, node_label, opset_version

MULTIPLYING: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
INTEGER_KERNELS: Final = ("QLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")
"""Beginnings of operators that compute in integers themselves, as only ONNX Runtime's CPU does."""

EIGHT_BITS: Final = {"INT8": "int8", "FLOAT8E4M3FN": "fp8"}
"""Types that TensorRT quantises to, and the precision that they stand for."""

HALVES: Final = {"FLOAT16": "fp16", "BFLOAT16": "bf16"}


@dataclass(frozen=True)
class Found:
    """What a graph computes in, read from it.

    `nodes` maps operator -> type of its data -> how many there are, for operators that multiply.
    `kept` maps each of these that is not quantised -> why, in a graph that quantises others.
    """

    precision: str
    opset: int
    quantize_count: int
    dequantize_count: int
    nodes: Mapping[str, Mapping[str, int]]
    kept: Mapping[str, str]
    scales: Mapping[str, list[float]]
    wide_count: int = 0
    """DequantizeLinear of 32-bit integers (biases), which TensorRT does not take."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data for record.json."""
        return {
            "opset": self.opset,
            "quantize_count": self.quantize_count,
            "dequantize_count": self.dequantize_count,
            "nodes": {name: dict(counts) for name, counts in self.nodes.items()},
        }

    def summary(self) -> str:
        """Return the same in one line."""
        parts = [
            f"{count} {operator} in {dtype}"
            for operator, counts in self.nodes.items()
            for dtype, count in counts.items()
        ]
        pairs = f"{self.quantize_count} QuantizeLinear and {self.dequantize_count} DequantizeLinear"
        return f"{self.precision}, opset {self.opset}, {pairs}, {', '.join(parts) or 'no product'}"


def describe(model: ModelProto) -> Found:
    """Return what a graph states.

    Raises:
        ModelError: it quantises to a type, or to several, that no precision here stands for.
    """
    types = {name: TensorProto.DataType.Name(kind) for name, kind in infer_types(model).items()}
    makers = {name: node for node in model.graph.node for name in node.output}
    operators = Counter(node.op_type for node in model.graph.node)
    counts: dict[str, Counter[str]] = {}
    kept: dict[str, str] = {}
    quantised = _quantised_types(model, types)
    for node in model.graph.node:
        if node.op_type in MULTIPLYING:
            dtype = _data_type(node, types, makers)
            counts.setdefault(node.op_type, Counter())[dtype] += 1
            if quantised and dtype not in quantised:
                kept[node_label(node)] = f"the given file computes it in {dtype}"
    return Found(
        precision=_precision(model, types, quantised),
        opset=opset_version(model),
        quantize_count=operators[QUANTIZE],
        dequantize_count=operators[DEQUANTIZE],
        nodes={name: dict(sorted(found.items())) for name, found in sorted(counts.items())},
        kept=kept,
        scales=_scales(model),
        wide_count=_count_wide(model, types),
    )


def _precision(model: ModelProto, types: Mapping[str, str], quantised: set[str]) -> str:
    """Return the precision that a graph's types stand for."""
    if any(node.op_type.startswith(INTEGER_KERNELS) for node in model.graph.node):
        return "int8_cpu"
    half = _half(model, types)
    if not quantised:
        return HALVES.get(half or "", "fp32")
    if quantised <= {"INT8", "UINT8"} and (
        quantised != {"INT8"} or _has_zero_points(model) or _count_wide(model, types)
    ):
        return "int8_cpu"
    known = quantised & EIGHT_BITS.keys()
    if len(quantised) > 1 or not known or half == "BFLOAT16":
        stated = ", ".join(sorted(quantised | ({half} if half else set())))
        raise ModelError(
            f"the given file mixes {stated}: no precision here stands for that; export it in "
            "INT8 or FLOAT8E4M3FN with the rest in float32 or float16"
        )
    return EIGHT_BITS[known.pop()] + ("_fp16" if half else "")


def _half(model: ModelProto, types: Mapping[str, str]) -> str | None:
    """Return the 16-bit type that most nodes compute in, None where most are in float32."""
    found = Counter(
        types[name]
        for node in model.graph.node
        if node.op_type not in QDQ_OPS
        for name in node.output
        if types.get(name) in {"FLOAT", *HALVES}
    )
    return next((name for name in HALVES if 2 * found[name] > found.total()), None)


def _quantised_types(model: ModelProto, types: Mapping[str, str]) -> set[str]:
    """Return the types of quantised data; 32-bit integers are biases."""
    found = {
        types.get(node.output[0] if node.op_type == QUANTIZE else node.input[0], "")
        for node in model.graph.node
        if node.op_type in QDQ_OPS
    }
    return found - {"INT32", ""}


def _count_wide(model: ModelProto, types: Mapping[str, str]) -> int:
    """Return how many DequantizeLinear read 32-bit integers."""
    return sum(
        node.op_type == DEQUANTIZE and types.get(node.input[0]) == "INT32"
        for node in model.graph.node
    )


def _data_type(node: NodeProto, types: Mapping[str, str], makers: Mapping[str, NodeProto]) -> str:
    """Return the type of a node's data, before it was dequantised."""
    name = node.input[0]
    maker = makers.get(name)
    if maker is not None and maker.op_type == DEQUANTIZE:
        name = maker.input[0]
    return types.get(name, "a type that ONNX cannot tell")


def _constants(model: ModelProto) -> dict[str, TensorProto]:
    """Return initialisers and the values of Constant nodes, by name."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        tensor = constant_tensor(node)
        if tensor is not None:
            found[node.output[0]] = tensor
    return found


def _has_zero_points(model: ModelProto) -> bool:
    """Say whether any zero point is not zero, which TensorRT does not take."""
    constants = _constants(model)
    names = {
        node.input[2] for node in model.graph.node if node.op_type in QDQ_OPS and node.input[2:]
    }
    return any(
        bool(np.asarray(numpy_helper.to_array(constants[name])).astype(np.float64).any())
        for name in names
        if name in constants
    )


def _scales(model: ModelProto) -> dict[str, list[float]]:
    """Return quantised tensor -> its scales, as far as they are constants."""
    constants = _constants(model)
    found: dict[str, list[float]] = {}
    for node in model.graph.node:
        if node.op_type in QDQ_OPS and node.input[1] in constants:
            values = np.asarray(numpy_helper.to_array(constants[node.input[1]]), dtype=np.float64)
            found.setdefault(node.input[0], [float(f"{value:.9g}") for value in values.ravel()])
    return dict(sorted(found.items()))
