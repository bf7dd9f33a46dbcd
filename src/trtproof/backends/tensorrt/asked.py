"""What the ONNX graph asks of the layers that multiply, before TensorRT sees it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from trtproof.backends.tensorrt.datatypes import read_dtype
from trtproof.backends.tensorrt.realised import ASKED

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MULTIPLYING: Final = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention", "LSTM", "GRU", "RNN"}
)


def asked_share(model: ModelProto, precision: str) -> float | None:
    """Return the share of the multiplying nodes whose data have the type the precision stands for.

    None where the graph has no such node, or its types cannot be told.

    Raises:
        ModelError: the graph contradicts itself.
    """
    from trtproof.precision.dtypes import infer_types

    types = infer_types(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    counts = Counter(
        dtype
        for node in model.graph.node
        if node.op_type in MULTIPLYING and (dtype := _data_type(node, types, makers))
    )
    total = sum(counts.values())
    return counts[ASKED.get(precision, "")] / total if total else None


def node_names(model: ModelProto) -> frozenset[str]:
    """Return the names of the graph's nodes; onnx-tensorrt calls a nameless one by its output."""
    return frozenset(
        name for node in model.graph.node for name in (node.name, *node.output) if name
    )


def _data_type(node: NodeProto, types: dict[str, int], makers: dict[str, NodeProto]) -> str | None:
    """Return the type of a node's first input, before it was dequantised."""
    from onnx import TensorProto

    name = node.input[0]
    maker = makers.get(name)
    if maker is not None and maker.op_type == "DequantizeLinear":
        name = maker.input[0]
    number = types.get(name)
    return read_dtype(TensorProto.DataType.Name(number)) if number else None
