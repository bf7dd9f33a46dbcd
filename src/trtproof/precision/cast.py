"""Rewrite a float32 graph so that its tensors have the types of a placement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from trtproof.precision.graph import constant_tensor, fresh_name, replace_items, tensor_names
from trtproof.precision.placement import SINGLE, Placement

Convert = Callable[[TensorProto], TensorProto]
"""Turn a float32 tensor into the narrower type, keeping its name."""

TYPE_ATTRIBUTES: Final = ("to", "dtype", "output_datatype", "output_dtype")
DEFAULT_FLOAT32_ATTRIBUTES: Final = {
    "RandomNormal": "dtype",
    "RandomUniform": "dtype",
    "HannWindow": "output_datatype",
    "HammingWindow": "output_datatype",
    "BlackmanWindow": "output_datatype",
    "MelWeightMatrix": "output_datatype",
}
"""Operators that give float32 where this attribute is absent."""

Names = Mapping[tuple[str, int], str]


def cast_model(model: ModelProto, placement: Placement, convert: Convert) -> None:
    """Rewrite the model in place; the result is in topological order if the model is.

    Graph inputs and outputs keep name and type; a Cast is called after the tensor it casts.
    """
    names = _name_tensors(model, placement)
    nodes = list(_rewrite_nodes(model, placement, names, convert))
    weights = list(_rewrite_weights(model, placement, names, convert))
    replace_items(model.graph.node, nodes)
    replace_items(model.graph.initializer, weights)
    del model.graph.value_info[:]  # states the old types


def type_label(data_type: int) -> str:
    """Return the name of a type as in names of casts: "float16"."""
    label = str(TensorProto.DataType.Name(data_type)).lower()
    return "float32" if data_type == SINGLE else label


def _name_tensors(model: ModelProto, placement: Placement) -> dict[tuple[str, int], str]:
    """Return (tensor, type) -> the tensor's name in that type.

    Its own name stays with float32 for a graph input or output, otherwise with the type that it
    is made in.
    """
    fixed = {value.name for value in (*model.graph.input, *model.graph.output)}
    taken = tensor_names(model.graph)
    names = {}
    for name, made in sorted(placement.made.items()):
        own = SINGLE if name in fixed else made
        names[name, own] = name
        for other in sorted({made, *placement.needed[name]} - {own}):
            names[name, other] = fresh_name(f"{name}/{type_label(other)}", taken)
            taken.add(names[name, other])
    return names


def _rewrite_weights(
    model: ModelProto, placement: Placement, names: Names, convert: Convert
) -> Iterator[TensorProto]:
    for tensor in model.graph.initializer:
        if tensor.name not in placement.made:
            yield tensor
            continue
        made = placement.made[tensor.name]
        for data_type in sorted({made, *placement.needed[tensor.name]}):
            copy = convert(tensor) if data_type == placement.low else TensorProto()
            if data_type == SINGLE:
                copy.CopyFrom(tensor)
            copy.name = names[tensor.name, data_type]
            yield copy


def _rewrite_nodes(
    model: ModelProto, placement: Placement, names: Names, convert: Convert
) -> Iterator[NodeProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    taken = {node.name for node in model.graph.node}
    for value in model.graph.input:
        if value.name in placement.made and value.name not in weights:
            yield from _casts(value.name, placement, names, taken)
    for position, node in enumerate(model.graph.node):
        yield _rewrite_node(position, node, placement, names, convert)
        for name in node.output:
            if name in placement.made:
                yield from _casts(name, placement, names, taken)


def _casts(name: str, placement: Placement, names: Names, taken: set[str]) -> Iterator[NodeProto]:
    """Yield what turns a tensor from the type it is made in into the others that are needed."""
    made = placement.made[name]
    for other in sorted(placement.needed[name] - {made}):
        label = fresh_name(f"{name}/cast_{type_label(other)}", taken)
        taken.add(label)
        yield helper.make_node(
            "Cast", [names[name, made]], [names[name, other]], name=label, to=other
        )


def _rewrite_node(
    position: int, node: NodeProto, placement: Placement, names: Names, convert: Convert
) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    for index, name in enumerate(node.input):
        if name in placement.made:
            data_type = placement.wanted.get((position, index), placement.made[name])
            copy.input[index] = names[name, data_type]
    for index, name in enumerate(node.output):
        if name in placement.made:
            copy.output[index] = names[name, placement.made[name]]
    if any(placement.made.get(name) == placement.low for name in node.output):
        _retype_attributes(copy, placement.low, convert, name=node.output[0])
    return copy


def _retype_attributes(node: NodeProto, low: int, convert: Convert, *, name: str) -> None:
    """Make the attributes that state a float32 type or value state the narrower one.

    `name` is what a converted value is called in the record.
    """
    if node.op_type in {"Constant", "ConstantOfShape"}:
        value = constant_tensor(node) or numpy_helper.from_array(np.zeros(1, np.float32))
        value.name = name
        converted = convert(value)
        converted.ClearField("name")
        replace_items(node.attribute, [helper.make_attribute("value", converted)])
        return
    for attribute in node.attribute:
        if attribute.name in TYPE_ATTRIBUTES and attribute.i == SINGLE:
            attribute.i = low
    default = DEFAULT_FLOAT32_ATTRIBUTES.get(node.op_type)
    if default and all(attribute.name != default for attribute in node.attribute):
        node.attribute.append(helper.make_attribute(default, low))
