"""Bring a graph to the opset that a precision needs, and its weights to where they are used."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from trtproof.errors import ModelError
from trtproof.precision.graph import (
    constants_to_weights,
    opset_version,
    replace_items,
)


def raise_opset(model: ModelProto, minimum: int, *, precision: str) -> ModelProto:
    """Return the model at opset `minimum` at least; names stay.

    Raises:
        ModelError: onnx cannot convert it; names the setting that exports at this opset.
    """
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

    if opset_version(model) >= minimum:
        return model
    try:
        raised = onnx.version_converter.convert_version(model, minimum)
    except (RuntimeError, ValueError, EncodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{precision} needs opset {minimum}, the model uses {opset_version(model)} and onnx "
            f"cannot raise it ({reason}); export it with `export.opset: {minimum}`"
        ) from None
    for position, node in enumerate(raised.graph.node):
        node.name = node.name or f"{node.op_type}_{position}"
    return raised


def bring_weights(model: ModelProto) -> None:
    """Make constants of a graph initialisers, and weights that a node only transposes or passes on.

    Legacy exporters and tied embeddings leave such nodes before the products that read the weight.
    """
    constants_to_weights(model)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    readers = Counter(name for node in graph.node for name in node.input)
    kept: list[NodeProto] = []
    for node in graph.node:
        if (
            node.op_type not in {"Transpose", "Identity"}
            or node.input[0] not in weights
            or node.output[0] in outputs
            or not readers[node.output[0]]
        ):
            kept.append(node)
            continue
        moved = _moved(node, weights[node.input[0]])
        graph.initializer.append(moved)
        weights[moved.name] = moved
    replace_items(graph.node, kept)
    used = {name for node in kept for name in node.input} | outputs
    replace_items(graph.initializer, [item for item in graph.initializer if item.name in used])


def _moved(node: NodeProto, weight: TensorProto) -> TensorProto:
    """Return what a Transpose or Identity makes of a weight, under the node's output name."""
    values = numpy_helper.to_array(weight)
    if node.op_type == "Transpose":
        order = next((list(item.ints) for item in node.attribute if item.name == "perm"), None)
        values = np.ascontiguousarray(np.transpose(values, order))
    return numpy_helper.from_array(values, node.output[0])
