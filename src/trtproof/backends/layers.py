"""layers.json of a plan that is an ONNX file: its nodes after optimisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def read_layers(plan: Path) -> list[dict[str, Any]]:
    """Return one entry per node in order: index, name, kind, onnx_nodes, inputs, outputs, tactic.

    Fusion renames nodes, so `onnx_nodes` is empty; the types of tensors between nodes are None
    where the file does not state them. `kind` carries the domain of an operator that is not
    ONNX's own, as in "com.microsoft.nchwc::Conv".
    """
    import onnx

    graph = onnx.load(str(plan), load_external_data=False).graph
    tensors = _describe_tensors(graph)

    def describe(names: Any) -> list[dict[str, Any]]:
        unknown = {"dtype": None, "format": None, "shape": None}
        return [{"name": name} | tensors.get(name, unknown) for name in names if name]

    return [
        {
            "index": index,
            "name": node.name,
            "kind": f"{node.domain}::{node.op_type}" if node.domain else node.op_type,
            "onnx_nodes": [],
            "inputs": describe(node.input),
            "outputs": describe(node.output),
            "tactic": None,
        }
        for index, node in enumerate(graph.node)
    ]


def _describe_tensors(graph: onnx.GraphProto) -> dict[str, dict[str, Any]]:
    """Return tensor name -> dtype, format and shape, for what the graph states."""
    from onnx import TensorProto

    tensors: dict[str, dict[str, Any]] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kind = value.type.tensor_type
        shape = [dim.dim_param or dim.dim_value for dim in kind.shape.dim]
        tensors[value.name] = {
            "dtype": TensorProto.DataType.Name(kind.elem_type).lower(),
            "format": None,
            "shape": shape,
        }
    for weight in graph.initializer:
        tensors[weight.name] = {
            "dtype": TensorProto.DataType.Name(weight.data_type).lower(),
            "format": None,
            "shape": list(weight.dims),
        }
    return tensors
