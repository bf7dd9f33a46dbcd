"""ONNX files and graphs as every precision pass needs them.

Load, save the same bytes each time, check, copy, order. Types and sizes of tensors are in
trtproof.precision.dtypes.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from trtproof.errors import MissingFileError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

INLINE_LIMIT_BYTES: Final = 1 << 30
"""Tensor data beyond this goes to a file beside the model: one protobuf message ends at 2 GiB."""

EXTERNAL_TENSOR_BYTES: Final = 1024
"""Smaller tensors stay in the model: shape inference reads them."""

ONNX_DOMAINS: Final = ("", "ai.onnx")

MASK_MAGNITUDE: Final = 1e9
"""A number this large stands for "never" (attention masks), not for a measurement: clamped to
float16's 65504 it still does, and no scale may stretch over it."""


def load_model(path: Path, *, with_weights: bool = True) -> ModelProto:
    """Return the model in a file; `with_weights` also reads the external data beside it.

    Raises:
        MissingFileError: no such file.
        ModelError: it is not an ONNX model, or its external data is not there.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path, load_external_data=False)
        if with_weights:
            onnx.load_external_data_for_model(model, str(path.parent))
    except FileNotFoundError:
        raise MissingFileError(path, repair="run `dvc repro export` to make it") from None
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} is not a whole ONNX model ({reason}); export it again") from None
    if not model.opset_import or not model.graph.output:
        raise ModelError(f"{path} is not a whole ONNX model (no opset or outputs); export it again")
    return model


def save_model(
    model: ModelProto, path: Path, *, inline_limit_bytes: int = INLINE_LIMIT_BYTES
) -> None:
    """Write a model so that equal models give equal bytes.

    Tensor data beyond `inline_limit_bytes` in all goes to `<file name>.data` beside it (the
    model's tensors then point there).
    """
    data = path.with_name(f"{path.name}.data")
    data.unlink(missing_ok=True)  # onnx appends to it
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > inline_limit_bytes:
        onnx.external_data_helper.convert_model_to_external_data(
            model, location=data.name, size_threshold=EXTERNAL_TENSOR_BYTES
        )
        onnx.external_data_helper.write_external_data_tensors(model, str(path.parent))
    path.write_bytes(model.SerializeToString(deterministic=True))


def check_model(path: Path) -> None:
    """Check a written model: ONNX's rules, order of nodes, shapes and types throughout.

    Raises:
        ModelError: with the checker's first complaint.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path.name} is not valid ONNX: {_first_lines(error)}") from None


def _first_lines(error: Exception) -> str:
    """Return the part of a checker's message that names the fault, on one line."""
    return " ".join(str(error).split())[:300]


def copy_model(source: Path, out: Path) -> None:
    """Copy a model and the external data that it points to, byte for byte.

    Raises:
        ModelError: a tensor points outside the model's folder, or to no file.
    """
    model = load_model(source, with_weights=False)
    shutil.copyfile(source, out)
    copy_external_data(model, source.parent, out.parent)


def copy_external_data(model: ModelProto, source: Path, folder: Path) -> None:
    """Copy the external data files of a model that was loaded without weights from `source`.

    Raises:
        ModelError: a tensor points outside the model's folder, or to no file.
    """
    for location in sorted(_external_locations(model)):
        file = source / location
        if Path(location).is_absolute() or ".." in Path(location).parts or not file.is_file():
            raise ModelError(f"external data {location!r} is not beside the model; export it again")
        (folder / location).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / location)


def _external_locations(model: ModelProto) -> set[str]:
    tensors = [
        *model.graph.initializer,
        *(attribute.t for node in model.graph.node for attribute in node.attribute),
    ]
    return {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def opset_version(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that the model uses (0 if it uses none)."""
    versions = [item.version for item in model.opset_import if item.domain in ONNX_DOMAINS]
    return max(versions, default=0)


def node_label(node: NodeProto) -> str:
    """Return what a node is called in messages and records: its name, or what it computes."""
    return node.name or next(filter(None, node.output), node.op_type)


def refuse_unwalkable(model: ModelProto, *, precision: str) -> None:
    """Refuse what a pass that walks one flat graph would convert only in part.

    Raises:
        ModelError: names the node with a subgraph, the local function or the sparse tensor.
    """
    advice = f"{precision} cannot convert it; export the model without it or drop the recipe"
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
                raise ModelError(f"{node.op_type} {node_label(node)!r} holds a subgraph: {advice}")
            if attribute.type in {AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS}:
                raise ModelError(
                    f"{node.op_type} {node_label(node)!r} holds a sparse tensor: {advice}"
                )
    for function in model.functions:
        raise ModelError(f"the model defines a function {function.name!r}: {advice}")
    for sparse in model.graph.sparse_initializer:
        raise ModelError(f"tensor {sparse.values.name!r} is sparse: {advice}")


def drop_default_inputs(model: ModelProto) -> None:
    """Remove graph inputs that only let a weight be overridden, as old exporters wrote them.

    They would have to change their type with the weight.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in weights]
    if len(kept) < len(model.graph.input):
        replace_items(model.graph.input, kept)


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """Return the tensor or float32 numbers that a node's attributes hold, if they do."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            tensor: TensorProto = attribute.t
            return tensor
        if attribute.type == AttributeProto.FLOAT:
            return numpy_helper.from_array(np.array(attribute.f, np.float32))
        if attribute.type == AttributeProto.FLOATS:
            return numpy_helper.from_array(np.array(attribute.floats, np.float32))
    return None


def constants_to_weights(model: ModelProto) -> None:
    """Turn the Constant nodes that hold a tensor or floats into initialisers of the same name."""
    nodes = []
    for node in model.graph.node:
        value = constant_tensor(node) if node.op_type == "Constant" else None
        if value is None:
            nodes.append(node)
            continue
        weight = model.graph.initializer.add()
        weight.CopyFrom(value)
        weight.name = node.output[0]
    replace_items(model.graph.node, nodes)


def data_dependent(model: ModelProto) -> set[str]:
    """Return the tensors whose values depend on the samples; extents alone are not values."""
    weights = {tensor.name for tensor in model.graph.initializer}
    found = {value.name for value in model.graph.input} - weights
    for node in model.graph.node:
        if node.op_type not in {"Shape", "Size"} and found.intersection(node.input):
            found.update(name for name in node.output if name)
    return found


def tensor_names(graph: GraphProto) -> set[str]:
    """Return the names of all tensors of a graph."""
    names = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    return names | {name for node in graph.node for name in (*node.input, *node.output)} - {""}


def fresh_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with underscores appended until no other tensor or node has it."""
    while name in taken:
        name += "_"
    return name


def replace_items(field: object, items: Iterable[object]) -> None:
    """Make these the items of a repeated protobuf field, which they may come from."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]  # type: ignore[attr-defined]
    del field[:]  # type: ignore[attr-defined]
    field.extend(copies)  # type: ignore[attr-defined]


def sort_nodes(graph: GraphProto) -> None:
    """Put every node behind those it reads from, otherwise keeping the order.

    Raises:
        ModelError: the nodes form a cycle.
    """
    makers = {name: node for node in graph.node for name in node.output if name}
    replace_items(graph.node, _in_order(graph.node, makers))


def _in_order(nodes: Iterable[NodeProto], makers: Mapping[str, NodeProto]) -> Iterator[NodeProto]:
    done: set[int] = set()
    for root in nodes:
        stack, open_nodes = [root], set[int]()
        while stack:
            node = stack[-1]
            before = [makers[name] for name in node.input if name in makers]
            waiting = [item for item in before if id(item) not in done]
            if id(node) in done:
                stack.pop()
            elif not waiting:
                done.add(id(stack.pop()))
                yield node
            elif id(node) in open_nodes:
                raise ModelError(f"node {node_label(node)!r} depends on itself; export it again")
            else:
                open_nodes.add(id(node))
                stack.extend(reversed(waiting))


def batch_extent(model: ModelProto, *, wanted: int, samples_count: int) -> int:
    """Return how many samples the model takes at once.

    That is `wanted`, unless axis 0 of its inputs is fixed.

    Raises:
        ModelError: the fixed extent does not divide the number of samples.
    """
    weights = {tensor.name for tensor in model.graph.initializer}  # old exporters list them too
    shapes = [
        value.type.tensor_type.shape.dim for value in model.graph.input if value.name not in weights
    ]
    fixed: set[int] = {
        shape[0].dim_value for shape in shapes if shape and shape[0].HasField("dim_value")
    }
    if not fixed:
        return wanted
    extent = max(fixed)
    if samples_count % extent:
        raise ModelError(
            f"the model takes exactly {extent} samples at once, the split has {samples_count}; "
            f"make its `count` a multiple of {extent}, or axis 0 of the model dynamic"
        )
    return extent
