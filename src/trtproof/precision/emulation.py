"""Compute a bfloat16 graph where no bfloat16 kernels exist.

Every operator computes in float32 and its result is rounded to bfloat16, as tensor cores do, which
accumulate in float32. A kernel that fuses operators rounds less often: what is computed here is
what the graph states.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from trtproof.precision.cast import TYPE_ATTRIBUTES
from trtproof.precision.dtypes import infer_types
from trtproof.precision.graph import fresh_name, load_model, replace_items, save_model, tensor_names

NARROW = TensorProto.BFLOAT16


def write_emulated(model: Path, out: Path) -> None:
    """Write a float32 graph that computes what a bfloat16 graph does; run it unoptimised.

    Optimisation would remove the casts that round.

    Raises:
        MissingFileError, ModelError: the model cannot be read.
    """
    graph = load_model(model)
    widen(graph)
    save_model(graph, out)


def widen(model: ModelProto) -> None:
    """Make every bfloat16 tensor a float32 one that holds bfloat16 values, in place."""
    types = infer_types(model)
    narrow = {name for name, data_type in types.items() if data_type == NARROW}
    taken = tensor_names(model.graph)
    nodes = [new for node in model.graph.node for new in _widen_node(node, narrow, taken)]
    replace_items(model.graph.node, nodes)
    weights = [
        _widen_tensor(item) if item.data_type == NARROW else item
        for item in model.graph.initializer
    ]
    replace_items(model.graph.initializer, weights)
    del model.graph.value_info[:]  # states the old types


def _widen_node(node: NodeProto, narrow: set[str], taken: set[str]) -> Iterator[NodeProto]:
    copy = NodeProto()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        if attribute.name in TYPE_ATTRIBUTES and attribute.i == NARROW:
            attribute.i = TensorProto.FLOAT
        if attribute.t.data_type == NARROW:
            attribute.t.CopyFrom(_widen_tensor(attribute.t))
    rounded = [name for name in node.output if name in narrow]
    casts: list[NodeProto] = []
    for index, name in enumerate(node.output):
        if name in rounded:
            copy.output[index] = fresh_name(f"{name}/wide", taken)
            casts += _round(copy.output[index], name, fresh_name(f"{name}/bfloat16", taken))
    yield copy
    yield from casts


def _round(wide: str, name: str, between: str) -> list[NodeProto]:
    return [
        helper.make_node("Cast", [wide], [between], name=between, to=NARROW),
        helper.make_node("Cast", [between], [name], name=f"{name}/float32", to=TensorProto.FLOAT),
    ]


def _widen_tensor(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    if values.dtype != ml_dtypes.bfloat16:  # as onnx 1.18 has them: the bits, or float32 already
        values = values if values.dtype == np.float32 else values.view(ml_dtypes.bfloat16)
    return numpy_helper.from_array(np.asarray(values.astype(np.float32)), tensor.name)
