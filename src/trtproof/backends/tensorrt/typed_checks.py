"""Where a graph's types are not what a strongly typed network can be: named node by node.

TensorRT's own words for these name neither the weight nor the scale that is of the odd type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtproof.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

SHOWN: Final = 5
"""How many problems an error lists before it only counts the rest."""

ONNX_DOMAINS: Final = ("", "ai.onnx")
ZERO_POINT: Final = 2
SCALE: Final = 1
QUANTIZE: Final = "QuantizeLinear"
DEQUANTIZE: Final = "DequantizeLinear"


@dataclass(frozen=True)
class Graph:
    """A model with what is known of its tensors: types by name, constants, who makes what."""

    model: ModelProto
    types: Mapping[str, int]
    constants: Mapping[str, TensorProto]
    makers: Mapping[str, NodeProto]
    opset: int


def find_type_clashes(model: ModelProto) -> list[str]:
    """Return what a strongly typed network cannot have, at most SHOWN of them and a count.

    Nothing where ONNX cannot tell the types: TensorRT decides then.
    """
    graph = _read(model)
    if graph is None:
        return []
    problems = [
        problem
        for node in model.graph.node
        for problem in (*_mixed(graph, node), *_qdq(graph, node))
    ]
    more = len(problems) - SHOWN
    return problems[:SHOWN] + ([f"and {more} more"] if more > 0 else [])


def _read(model: ModelProto) -> Graph | None:
    from trtproof.precision.dtypes import infer_types

    try:
        types = infer_types(model)
    except ModelError:
        return None
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
            constants |= dict(zip(node.output, values, strict=False))
    return Graph(
        model=model,
        types=types,
        constants=constants,
        makers={name: node for node in model.graph.node for name in node.output},
        opset=max((e.version for e in model.opset_import if e.domain in ONNX_DOMAINS), default=0),
    )


def _mixed(graph: Graph, node: NodeProto) -> Iterator[str]:
    """Yield inputs that the operator wants in one type and the graph has in several."""
    for names in _same_typed(graph, node):
        found = {name: graph.types[name] for name in names if name in graph.types}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{_origin(graph, name)} is {_word(t)}" for name, t in found.items())
            yield f"{node.op_type} {_label(node)} has inputs of several types: {listed}"


def _same_typed(graph: Graph, node: NodeProto) -> list[list[str]]:
    """Return the groups of a node's inputs that share a type parameter of its operator."""
    import onnx

    if node.domain not in ONNX_DOMAINS:
        return []
    try:
        schema = onnx.defs.get_schema(node.op_type, graph.opset, "")
    except onnx.defs.SchemaError:
        return []
    groups: dict[str, list[str]] = {}
    for index, name in enumerate(node.input):
        formal = schema.inputs[min(index, len(schema.inputs) - 1)]
        if name and formal.is_homogeneous:
            groups.setdefault(formal.type_str, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _qdq(graph: Graph, node: NodeProto) -> Iterator[str]:
    """Yield what TensorRT's explicit quantisation does not have."""
    if node.op_type not in {QUANTIZE, DEQUANTIZE} or node.domain not in ONNX_DOMAINS:
        return
    label = f"{node.op_type} {_label(node)}"
    if len(node.input) > ZERO_POINT and _is_shifted(graph, node.input[ZERO_POINT]):
        yield f"{label} has a zero point that is not zero: TensorRT quantises symmetrically"
    if node.op_type == QUANTIZE:
        yield from _unequal_scale(graph, node, label)
    elif _type_name(graph, node.input[0]) == "INT32":
        yield f"{label} dequantises INT32 (a bias): TensorRT wants biases unquantised"


def _unequal_scale(graph: Graph, node: NodeProto, label: str) -> Iterator[str]:
    data, scale = (_type_name(graph, name) for name in (node.input[0], node.input[SCALE]))
    if data and scale and data != scale:
        yield f"{label} has a scale in {scale} for data in {data}"


def _is_shifted(graph: Graph, name: str) -> bool:
    from onnx import numpy_helper

    tensor = graph.constants.get(name)
    if tensor is None or tensor.external_data:
        return False
    return bool((numpy_helper.to_array(tensor).astype("float32") != 0).any())


def _type_name(graph: Graph, name: str) -> str:
    return _word(graph.types[name]) if name in graph.types else ""


def _word(number: int) -> str:
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(number))


def _origin(graph: Graph, name: str) -> str:
    """Return where a tensor comes from, as an error names it."""
    if name in graph.constants:
        return f"weight {name!r}"
    maker: Any = graph.makers.get(name)
    return f"input {name!r}" if maker is None else f"the output of {maker.op_type} {_label(maker)}"


def _label(node: NodeProto) -> str:
    return repr(node.name or node.output[0])
