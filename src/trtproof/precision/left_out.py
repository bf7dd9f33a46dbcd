"""Which nodes int8_cpu leaves in float32, and why.

Those that the recipe excludes, those that touch a mask, and those that touch a tensor without a
scale because it was zero in every sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from trtproof.errors import ConfigError
from trtproof.precision.base import refuse_unknown_options
from trtproof.precision.graph import MASK_MAGNITUDE, data_dependent, node_label
from trtproof.precision.onnxruntime_forms import batched_products, cut_outputs

MULTIPLYING: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""What int8 is for: left in float32 without being told, the recipe would promise nothing."""

Ranges = Mapping[str, tuple[float, float]]


def find_left_out(graph: ModelProto, ranges: Ranges, options: Mapping[str, Any]) -> dict[str, str]:
    """Return node name -> reason; the option `exclude` names nodes.

    Raises:
        ConfigError: an unknown option, not a list of names, or no such node.
    """
    left_out = _unsuited_nodes(graph) | _masked_nodes(graph, ranges)
    left_out |= _excluded_nodes(graph, options)
    return _zero_nodes(graph, ranges, left_out) | left_out


def name_readers(graph: ModelProto) -> dict[str, list[str]]:
    """Return tensor -> the labels of the nodes that read it."""
    return {
        name: list(dict.fromkeys(map(node_label, nodes))) for name, nodes in _readers(graph).items()
    }


def _readers(graph: ModelProto) -> dict[str, list[NodeProto]]:
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _excluded_nodes(graph: ModelProto, options: Mapping[str, Any]) -> dict[str, str]:
    """Return node name -> reason for the nodes that the recipe excludes.

    Raises:
        ConfigError: an unknown option, not a list of names, or no such node.
    """
    refuse_unknown_options(options, known=("exclude",), precision="int8_cpu")
    names = options.get("exclude", [])
    repair = "correct the recipe in conf/recipe/ and run `trtproof compose`"
    key = "option 'exclude' of pass int8_cpu"
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(key=key, problem=f"{names!r} is not a list of node names", repair=repair)
    known = {node.name for node in graph.graph.node if node.name}
    for name in names:
        if name not in known:
            raise ConfigError(key=key, problem=f"the model has no node {name!r}", repair=repair)
    return dict.fromkeys(names, "excluded by the recipe")


def _unsuited_nodes(graph: ModelProto) -> dict[str, str]:
    """Return node name -> reason for what ONNX Runtime would quantise and get wrong."""
    batched = "its weight has more than two axes, which ONNX Runtime's kernel does not take"
    cut = "it reads an output of the model, whose range ONNX Runtime would cut to this node's"
    found = {node.name: batched for node in batched_products(graph)}
    return found | {node.name: cut for node in cut_outputs(graph)}


def _masked_nodes(graph: ModelProto, ranges: Ranges) -> dict[str, str]:
    """Return node name -> reason for the nodes that read or give a number that means "never".

    256 steps over its range would leave nothing of the others.
    """
    huge = {name for name, ends in ranges.items() if max(map(abs, ends)) >= MASK_MAGNITUDE}
    for tensor in graph.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            if values.size and np.abs(values).max() >= MASK_MAGNITUDE:
                huge.add(tensor.name)
    masked = {}
    for node in graph.graph.node:
        # Clip's bounds are such numbers where it has one bound only, and are never quantised.
        touched = [*(node.input[:1] if node.op_type == "Clip" else node.input), *node.output]
        found = next((name for name in touched if name in huge), None)
        if node.name and found:
            masked[node.name] = f"{found!r} holds a mask (magnitude of 1e9 or more)"
    return masked


def _zero_nodes(graph: ModelProto, ranges: Ranges, left_out: Mapping[str, str]) -> dict[str, str]:
    """Return node name -> reason for the nodes that read or give an activation that is all zero.

    So is a mask that lets everything through, as of samples without padding. Not where a node that
    multiplies it would be quantised: then the samples are not real ones, and no scale is made up.
    """
    readers = _readers(graph)
    unscaled = {
        name
        for name in data_dependent(graph)
        if ranges.get(name) == (0.0, 0.0)
        and not any(
            node.op_type in MULTIPLYING and node.name not in left_out
            for node in readers.get(name, [])
        )
    }
    touched: dict[str, str] = {}
    for node in graph.graph.node:
        found = next((name for name in (*node.input, *node.output) if name in unscaled), None)
        if node.name and found:
            touched[node.name] = f"{found!r} is zero in every calibration sample: it has no scale"
    return touched
