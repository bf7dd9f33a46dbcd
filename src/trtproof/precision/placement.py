"""Where a narrower floating-point type can take the place of float32.

By ONNX's own operator definitions. Knows nothing about values: trtproof.precision.cast rewrites a
graph by a placement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from trtproof.precision.dtypes import require_types
from trtproof.precision.graph import ONNX_DOMAINS, node_label

SINGLE: Final = TensorProto.FLOAT
TYPE_STRINGS: Final[dict[int, str]] = {
    TensorProto.FLOAT16: "tensor(float16)",
    TensorProto.BFLOAT16: "tensor(bfloat16)",
}
FLEXIBLE_OPS: Final = frozenset({"Cast", "Constant", "ConstantOfShape"})
"""Operators that give whichever type is asked of them."""

FLOAT32_INPUTS: Final = frozenset({("Resize", 1), ("Resize", 2)})
"""(operator, input) that stay float32 although ONNX allows less: the region and scales of Resize
are coordinates, where a rounded scale changes the output's extent."""


@dataclass(frozen=True)
class Placement:
    """For every tensor that was float32: the types in which it is made and read."""

    low: int
    """The narrower ONNX data type."""

    made: Mapping[str, int]
    """Tensor -> the type in which it first exists."""

    wanted: Mapping[tuple[int, int], int]
    """(node position, input position) -> the type read there; where absent, any will do."""

    needed: Mapping[str, frozenset[int]]
    """Tensor -> every type in which a node or a graph output reads it."""

    kept: Mapping[str, str]
    """Node -> why all its floating-point tensors stay float32."""


def place(model: ModelProto, low: int, keep: Mapping[str, str] = MappingProxyType({})) -> Placement:
    """Return where `low` can replace float32 in a flat graph; inputs and outputs keep their types.

    `keep` maps the nodes that shall stay in float32 to the reason.

    Raises:
        ModelError: a node's output has a type that ONNX cannot tell.
    """
    types = require_types(model)
    floats = {name for name, data_type in types.items() if data_type == SINGLE}
    versions = {item.domain: item.version for item in model.opset_import}
    allowed = [
        _Allowed(node, None if node_label(node) in keep else _schema(node, versions), low)
        for node in model.graph.node
    ]
    wanted = {
        (position, index): choice
        for position, node in enumerate(model.graph.node)
        for index, choice in allowed[position].reads(floats)
    }
    needed = _needed(model, wanted, floats)
    made: dict[str, int] = dict.fromkeys(floats, SINGLE)
    for tensor in model.graph.initializer:
        if tensor.name in floats and low in needed[tensor.name]:
            made[tensor.name] = low
    for position, node in enumerate(model.graph.node):
        for index, name in enumerate(node.output):
            if name in floats and allowed[position].gives(index, needed[name]):
                made[name] = low
    kept = dict(_kept(model, made, wanted, versions))
    kept |= {name: keep[name] for name in kept.keys() & keep.keys()}
    return Placement(low, made, wanted, needed, kept)


def _needed(
    model: ModelProto, wanted: Mapping[tuple[int, int], int], floats: set[str]
) -> dict[str, frozenset[int]]:
    needed: dict[str, set[int]] = {name: set() for name in floats}
    for (position, index), choice in wanted.items():
        needed[model.graph.node[position].input[index]].add(choice)
    for value in model.graph.output:
        if value.name in floats:
            needed[value.name].add(SINGLE)
    return {name: frozenset(choices) for name, choices in needed.items()}


class _Allowed:
    """What one node's operator allows for each of its tensors."""

    def __init__(self, node: NodeProto, schema: onnx.defs.OpSchema | None, low: int) -> None:
        self._node = node
        self._low = low
        self._schema = schema

    def reads(self, floats: set[str]) -> Iterator[tuple[int, int]]:
        """Yield (input position, type to read it in); none for an operator that reads any."""
        node = self._node
        if node.op_type == "Cast":
            return
        for index, name in enumerate(node.input):
            if name in floats:
                fits = (node.op_type, index) not in FLOAT32_INPUTS and self._fits(
                    self._schema.inputs if self._schema else (), index
                )
                yield index, self._low if fits else SINGLE

    def gives(self, index: int, needed: frozenset[int]) -> bool:
        """Say whether an output is made in the narrower type."""
        if self._node.op_type in FLEXIBLE_OPS:
            return self._low in needed
        return self._fits(self._schema.outputs if self._schema else (), index)

    def _fits(self, formals: Sequence[onnx.defs.OpSchema.FormalParameter], index: int) -> bool:
        """Say whether ONNX lets this formal parameter be of the narrower type.

        The last one may be variadic.
        """
        if not formals:
            return False
        return TYPE_STRINGS[self._low] in formals[min(index, len(formals) - 1)].types


def _schema(node: NodeProto, versions: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """Return the operator's definition at the model's opset, or None for a custom operator."""
    version = versions.get(node.domain, 1)
    if node.domain in ONNX_DOMAINS:
        version = max(versions.get(domain, 1) for domain in ONNX_DOMAINS)
    try:
        return onnx.defs.get_schema(node.op_type, version, node.domain.removeprefix("ai.onnx"))
    except onnx.defs.SchemaError:
        return None


def _kept(
    model: ModelProto,
    made: Mapping[str, int],
    wanted: Mapping[tuple[int, int], int],
    versions: Mapping[str, int],
) -> Iterator[tuple[str, str]]:
    for position, node in enumerate(model.graph.node):
        if node.op_type in FLEXIBLE_OPS:
            continue
        choices = [wanted[position, k] for k in range(len(node.input)) if (position, k) in wanted]
        choices += [made[name] for name in node.output if name in made]
        if choices and all(choice == SINGLE for choice in choices):
            known = _schema(node, versions) is not None
            reason = "takes float32 only" if known else "is not an operator of ONNX"
            yield node_label(node), f"{node.op_type} {reason}"
