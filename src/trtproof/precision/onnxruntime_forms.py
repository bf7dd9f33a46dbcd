"""Bring a graph to forms that ONNX Runtime's quantizer and integer kernels compute rightly.

Each function undoes a form that they silently get wrong; what the graph computes stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from trtproof.precision.graph import fresh_name, node_label, replace_items, tensor_names


def scale_biases(model: ModelProto) -> None:
    """Multiply the constant bias of every Gemm by its `beta`, which becomes 1.

    The quantizer drops a `beta` without scaling the bias by it.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    taken = tensor_names(model.graph)
    for node in model.graph.node:
        beta = next((item for item in node.attribute if item.name == "beta"), None)
        if node.op_type != "Gemm" or len(node.input) < 3 or beta is None or beta.f == 1:  # noqa: PLR2004 - the bias
            continue
        bias = weights.get(node.input[2])
        if bias is None or bias.data_type != TensorProto.FLOAT:
            continue
        name = fresh_name(f"{node_label(node)}/scaled_bias", taken)
        taken.add(name)
        values = numpy_helper.to_array(bias) * np.float32(beta.f)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
        node.input[2] = name
        others = [item for item in node.attribute if item.name != "beta"]
        replace_items(node.attribute, [*others, helper.make_attribute("beta", 1.0)])


def part_weights(model: ModelProto) -> None:
    """Give products that read one weight along different axes a copy each.

    Channels of a shared weight lie along one axis for one reader and along the other for the next,
    which the integer kernels do not notice (38 dB become 17 dB).
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    taken = tensor_names(model.graph)
    copies: dict[tuple[str, bool], str] = {}
    for node in model.graph.node:
        if node.op_type not in {"Gemm", "MatMul"} or node.input[1] not in weights:
            continue
        weight, turned = node.input[1], _is_turned(node)
        if (weight, not turned) in copies and (weight, turned) not in copies:
            name = fresh_name(f"{node_label(node)}/weight", taken)
            taken.add(name)
            copy = model.graph.initializer.add()
            copy.CopyFrom(weights[weight])
            copy.name = name
            copies[weight, turned] = name
        node.input[1] = copies.setdefault((weight, turned), weight)


def _is_turned(node: NodeProto) -> bool:
    return any(item.name == "transB" and item.i for item in node.attribute)


def batched_products(model: ModelProto) -> Iterable[NodeProto]:
    """Yield the products whose constant weight has rank 3 or more: they take no scale per channel.

    Opening such a graph succeeds, running it does not.
    """
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMul" and ranks.get(node.input[1], 0) > 2:  # noqa: PLR2004 - a matrix
            yield node


def cut_outputs(model: ModelProto) -> Iterable[NodeProto]:
    """Yield the Relu and Clip nodes that read an output of the model.

    The quantizer gives what they read the range of what they give, which would cut the output.
    """
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type in {"Clip", "Relu"} and node.input[0] in outputs:
            yield node
