"""Types and sizes of a graph's tensors, from ONNX's own inference without running anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import onnx
from onnx import ModelProto, TensorProto

from trtproof.errors import ModelError
from trtproof.precision.graph import EXTERNAL_TENSOR_BYTES, node_label

FLOATING: Final = frozenset(
    value
    for name, value in TensorProto.DataType.items()
    if name in {"FLOAT", "DOUBLE"} or name.startswith(("FLOAT", "BFLOAT"))
)
QUANTIZE: Final = "QuantizeLinear"
DEQUANTIZE: Final = "DequantizeLinear"
QDQ_OPS: Final = frozenset({QUANTIZE, DEQUANTIZE})


def infer_types(model: ModelProto) -> dict[str, int]:
    """Return tensor name -> ONNX data type for every tensor whose type ONNX can tell.

    Graph inputs, initialisers and node outputs; sequences and other non-tensors are left out.

    Raises:
        ModelError: the graph contradicts itself.
    """
    values = infer_values(model)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {name: data_type for name, data_type in types.items() if data_type}


def infer_values(model: ModelProto) -> list[onnx.ValueInfoProto]:
    """Return what ONNX can tell of every graph input, node output and graph output.

    Raises:
        ModelError: the graph contradicts itself.
    """
    graph = _infer(_skeleton(model)).graph
    return [*graph.input, *graph.value_info, *graph.output]


def require_types(model: ModelProto) -> dict[str, int]:
    """Return `infer_types` of a model in which every node's outputs must have a known type.

    Raises:
        ModelError: the graph contradicts itself, or names the node whose output has no known type.
    """
    types = infer_types(model)
    for node in model.graph.node:
        for name in node.output:
            if name and name not in types:
                raise ModelError(
                    f"{node.op_type} {node_label(node)!r} gives {name!r} of a type that ONNX "
                    "cannot tell; export the model with ONNX's own operators"
                )
    return types


def infer_bytes(model: ModelProto, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return tensor name -> size in bytes when the graph inputs have these shapes.

    Tensors whose extents stay unknown are left out.

    Raises:
        ModelError: the graph contradicts itself.
    """
    bound = _skeleton(model)
    del bound.graph.value_info[:]
    for value in (*bound.graph.input, *bound.graph.output):
        value.type.tensor_type.ClearField("shape")
    for value in bound.graph.input:
        for extent in shapes.get(value.name, ()):
            value.type.tensor_type.shape.dim.add().dim_value = extent
    graph = _infer(bound).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    sizes = {value.name: _bytes(value) for value in values}
    return {name: size for name, size in sizes.items() if size is not None}


def _bytes(value: onnx.ValueInfoProto) -> int | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not tensor.elem_type:
        return None
    size = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    for dim in tensor.shape.dim:
        if not dim.HasField("dim_value"):
            return None
        size *= dim.dim_value
    return size


def _infer(model: ModelProto) -> ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"the graph contradicts itself: {' '.join(str(error).split())}") from None


def _skeleton(model: ModelProto) -> ModelProto:
    """Return the model without the bytes of its large tensors.

    Inference reads only small ones, and a whole model may be too large for one message.
    """
    skeleton = ModelProto(ir_version=model.ir_version)
    skeleton.opset_import.extend(model.opset_import)
    skeleton.graph.name = model.graph.name
    skeleton.graph.node.extend(model.graph.node)
    skeleton.graph.input.extend(model.graph.input)
    skeleton.graph.output.extend(model.graph.output)
    skeleton.graph.value_info.extend(model.graph.value_info)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) <= EXTERNAL_TENSOR_BYTES:
            skeleton.graph.initializer.append(tensor)
            continue
        hollow = skeleton.graph.initializer.add(name=tensor.name, data_type=tensor.data_type)
        hollow.dims.extend(tensor.dims)
        hollow.data_location = TensorProto.EXTERNAL
    return skeleton


def count_dtypes(model: ModelProto) -> dict[str, int]:
    """Return ONNX data type name -> number of floating-point or quantised tensors.

    Tensors are graph inputs, initialisers in use and node outputs. Integer tensors count where
    they are quantised values (what QuantizeLinear gives, what DequantizeLinear takes). Tensors that
    are only scales or zero points do not count: they are parameters of the format.
    """
    types = infer_types(model)
    quantised, used = set[str](), set[str]()
    for node in model.graph.node:
        if node.op_type in QDQ_OPS:
            quantised.add(node.output[0] if node.op_type == QUANTIZE else node.input[0])
            used.add(node.input[0])
        else:
            used.update(node.input)
        used.update(node.output)
    used |= {value.name for value in (*model.graph.input, *model.graph.output)}
    counted = (
        types[name]
        for name in sorted(used | quantised)
        if name in types and (types[name] in FLOATING or name in quantised)
    )
    counts = Counter(TensorProto.DataType.Name(data_type) for data_type in counted)
    return dict(sorted(counts.items()))
