"""An exported graph brought to one form: readable names, no traces of its making.

The same model then gives the same bytes in every process and checkout folder, and the layers of a
plan can be traced to modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trtproof.models.base import ONNX_FILE

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

SCOPES_KEY: Final = "pkg.torch.onnx.name_scopes"
FUSED_KEY: Final = "pkg.onnxscript.rewriter.rule_name"
NO_MODULE: Final = "_empty_nn_module_stack_from_metadata_hook"
WEIGHT_SUFFIX: Final = ".weight"

MAX_INLINE_BYTES: Final = 2_000_000_000
"""Weights above this go into a file of their own: protobuf cannot serialise 2 GiB or more."""

DATA_FILE: Final = f"{ONNX_FILE}.data"
EXTERNAL_TENSOR_BYTES: Final = 1024
"""Smaller tensors stay in the graph: shape inference reads constants of shapes there."""


def normalise(model: ModelProto) -> None:
    """Bring the model to its one form, in place.

    Nodes are named by module path, as in `layer1/0/conv1/Conv`, each name once; metadata, doc
    strings and the producer are removed; weights that an exporter shared through Identity nodes
    are used directly; absent inputs at the end of a list are not listed.
    """
    bypass_shared_weights(model.graph)
    drop_absent_inputs(model.graph)
    rename_nodes(model)
    clear_origin(model)


def bypass_shared_weights(graph: GraphProto) -> None:
    """Remove Identity nodes whose input is a weight: the legacy exporter shares equal weights so.

    Later passes look for weights at the nodes that use them.
    """
    weights = {tensor.name for tensor in graph.initializer}
    outputs = {item.name for item in graph.output}
    source: dict[str, str] = {}
    for node in graph.node:
        if (
            node.op_type == "Identity"
            and node.input[0] in weights
            and node.output[0] not in outputs
        ):
            source[node.output[0]] = node.input[0]
    kept = [node for node in graph.node if not (node.output and node.output[0] in source)]
    del graph.node[:]
    graph.node.extend(kept)
    for inner in _walk(graph):
        for node in inner.node:
            node.input[:] = [source.get(name, name) for name in node.input]


def drop_absent_inputs(graph: GraphProto) -> None:
    """Shorten every node's inputs by the empty names at their end, which state an absent input.

    TensorRT's parser refuses a convolution whose absent bias is listed so.
    """
    for inner in _walk(graph):
        for node in inner.node:
            while node.input and not node.input[-1]:
                del node.input[-1]


def rename_nodes(model: ModelProto) -> None:
    """Name every node, also in subgraphs, by the module that it came from; each name once.

    Nodes of the dynamo exporter carry their modules as metadata. In other graphs a node keeps its
    own name; without one it gets its operator's.
    """
    nodes = [node for graph in _walk(model.graph) for node in graph.node]
    scoped = any(_metadata(node, SCOPES_KEY) for node in nodes)
    weights = {tensor.name for tensor in model.graph.initializer}
    used: dict[str, int] = {}
    for node in nodes:
        wanted = _scoped_name(node, weights) if scoped else node.name.strip("/") or node.op_type
        node.name = _make_unique(wanted, used)


def clear_origin(model: ModelProto) -> None:
    """Remove everything that says where, when and by which version the model was made.

    Fields are cleared, not set to "": a present empty field is other bytes than an absent one.
    """
    for field in ("producer_name", "producer_version", "doc_string", "metadata_props"):
        model.ClearField(field)
    owners: list[Any] = list(model.functions)
    for graph in _walk(model.graph):
        owners += [graph, *graph.node, *graph.initializer]
        owners += [*graph.input, *graph.output, *graph.value_info]
    owners += [node for function in model.functions for node in function.node]
    for owner in owners:
        for field in ("doc_string", "metadata_props"):
            owner.ClearField(field)


def write_model(
    model: ModelProto, folder: Path, *, max_inline_bytes: int = MAX_INLINE_BYTES
) -> Path:
    """Write model.onnx into the folder, with its weights in model.onnx.data if they are larger.

    Returns the path of model.onnx. The model is changed where its weights moved out.
    """
    from onnx import external_data_helper

    path = folder / ONNX_FILE
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > max_inline_bytes:
        external_data_helper.convert_model_to_external_data(
            model, location=DATA_FILE, size_threshold=EXTERNAL_TENSOR_BYTES
        )
        external_data_helper.write_external_data_tensors(model, str(folder))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _walk(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield the graph and every subgraph of its nodes, outer ones first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _walk(attribute.g)
            for inner in attribute.graphs:
                yield from _walk(inner)


def _scoped_name(node: NodeProto, weights: Iterable[str]) -> str:
    """Return `path/of/module/Operator`, from metadata such as "['', 'layer1', 'layer1.0', 'add']".

    The last scope is the traced operation, the one before it the module. A convolution that a
    batch norm was folded into says that it belongs to the norm; its weight knows better.
    """
    scopes = ast.literal_eval(_metadata(node, SCOPES_KEY) or "[]")
    module = scopes[-2] if len(scopes) > 1 and scopes[-2] != NO_MODULE else ""
    weight = node.input[1] if len(node.input) > 1 else ""
    if _metadata(node, FUSED_KEY) and weight in weights and weight.endswith(WEIGHT_SUFFIX):
        module = weight.removesuffix(WEIGHT_SUFFIX)
    return "/".join([*filter(None, module.split(".")), node.op_type])


def _metadata(node: NodeProto, key: str) -> str:
    return next((item.value for item in node.metadata_props if item.key == key), "")


def _make_unique(wanted: str, used: dict[str, int]) -> str:
    """Return the name, with _1, _2 ... behind it when it is taken."""
    name = wanted
    while name in used:
        used[wanted] += 1
        name = f"{wanted}_{used[wanted]}"
    used[name] = 0
    return name
