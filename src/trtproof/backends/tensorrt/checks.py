"""What TensorRT takes in silence or refuses in riddles: checked before it sees the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.backends.tensorrt.typed_checks import find_type_clashes
from trtproof.errors import BuildFailedError
from trtproof.tensor import TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto, ValueInfoProto

    from trtproof.models.base import ModelFiles

IO_TYPES: Final = (
    "FLOAT", "FLOAT16", "BFLOAT16", "INT32", "INT64", "INT8", "UINT8", "BOOL",
)  # fmt: skip
"""What TensorRT has as a network's input or output; it takes DOUBLE without a word and makes it
FLOAT, so that what the caller copies in is read as something else."""

UNKNOWN_OPERATOR: Final = "No Op registered for"
"""The ONNX checker's word for somebody else's operator: TensorRT may have a plug-in for it."""

MAKE_AGAIN: Final = "make it again: `dvc repro -f convert@RECIPE`"


def check_model(model: ModelFiles) -> ModelProto:
    """Return the graph, without its external data, once nothing is found wrong.

    Raises:
        BuildFailedError: the file is no whole model, is not what its signature says, or has values
            or types that TensorRT does not compute with.
    """
    proto = read_graph(model.onnx)
    _check_external_data(proto, model.onnx.parent)
    _check_structure(proto, model.onnx)
    problems = [
        *find_signature_problems(proto, model.signature.inputs),
        *find_io_problems(proto),
    ]
    if problems:
        raise _failure(
            code="model_io",
            problems=problems,
            repair="change the model's inputs or outputs, export again",
        )
    _check_weights(proto, model.onnx.parent)
    problems = find_type_clashes(proto)
    if problems:
        raise _failure(
            code="model_types",
            problems=problems,
            repair="TensorRT computes in the graph's own types: take a recipe that types it wholly",
        )
    return proto


def read_graph(path: Path) -> ModelProto:
    """Return the graph of an ONNX file, its external data left where it is.

    Raises:
        BuildFailedError: there is none, or it is not whole.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file() or path.stat().st_size == 0:
        raise BuildFailedError(
            code="model_empty", text=f"{path.name} is empty or not there", repair=MAKE_AGAIN
        )
    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise BuildFailedError(
            code="model_unreadable",
            text=f"{path.name} is not a whole ONNX model: protobuf cannot parse it",
            repair=MAKE_AGAIN,
        ) from None
    if not proto.opset_import or not proto.graph.node or not proto.graph.output:
        raise BuildFailedError(
            code="model_empty",
            text=f"{path.name} has no opset, no nodes or no outputs",
            repair=MAKE_AGAIN,
        )
    return proto


def find_signature_problems(proto: ModelProto, specs: Sequence[TensorSpec]) -> list[str]:
    """Return how the graph's inputs differ from what signature.json says of them."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    found = {value.name: value for value in proto.graph.input if value.name not in weights}
    stated = {spec.name: spec for spec in specs}
    if found.keys() != stated.keys():
        return [
            (
                f"the graph's inputs are {', '.join(found) or 'none'}, "
                f"its signature has {', '.join(stated) or 'none'}"
            )
        ]
    return [problem for name, spec in stated.items() for problem in _compare(found[name], spec)]


def _compare(value: ValueInfoProto, spec: TensorSpec) -> Iterator[str]:
    """Yield how a graph's input differs in rank, or in which axes are dynamic, from its spec."""
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(spec.shape):
        yield f"input {spec.name!r} has {len(dims)} axes, its signature {len(spec.shape)}"
        return
    for index, (dim, stated) in enumerate(zip(dims, spec.shape, strict=True)):
        fixed = dim.dim_value if dim.HasField("dim_value") else None
        if isinstance(stated, str) and fixed is not None:
            yield (
                f"axis {index} of input {spec.name!r} is {fixed} in the graph, but its signature "
                f"calls it {stated!r}, a dynamic axis"
            )
        if isinstance(stated, int) and fixed != stated:
            yield (
                f"axis {index} of input {spec.name!r} is {fixed or dim.dim_param or 'dynamic'} in "
                f"the graph, but {stated} in its signature"
            )


def find_io_problems(proto: ModelProto) -> list[str]:
    """Return the inputs and outputs of a type that TensorRT has no I/O tensor of."""
    from onnx import TensorProto

    weights = {tensor.name for tensor in proto.graph.initializer}
    kinds = (("input", proto.graph.input), ("output", proto.graph.output))
    return [
        f"{kind} {value.name!r} is {name}, TensorRT takes {', '.join(IO_TYPES)}"
        for kind, values in kinds
        for value in values
        if value.name not in weights
        and (name := TensorProto.DataType.Name(value.type.tensor_type.elem_type)) not in IO_TYPES
    ]


def _check_structure(proto: ModelProto, path: Path) -> None:
    """Refuse an operator set that ONNX does not know, and what ONNX's own checker refuses.

    Raises:
        BuildFailedError: with the checker's words.
    """
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = max((entry.version for entry in proto.opset_import if entry.domain == ""), default=0)
    if opset > newest:
        raise BuildFailedError(
            code="model_opset",
            text=f"{path.name} is of opset {opset}; the newest that ONNX knows here is {newest}",
            repair="export it with an older export.opset",
        )
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())
        if UNKNOWN_OPERATOR in words:
            return  # TensorRT's parser knows whether there is a plug-in for it
        raise BuildFailedError(
            code="model_invalid",
            text=f"{path.name} is not valid ONNX: {words[:400]}",
            repair=MAKE_AGAIN,
        ) from None


def _check_weights(proto: ModelProto, folder: Path) -> None:
    """Refuse weights that are not there or not numbers; TensorRT builds with NaN all the same.

    Raises:
        BuildFailedError: names the first such tensor.
    """
    for tensor in proto.graph.initializer:
        if np.isnan(_read(tensor, folder)).any():
            raise BuildFailedError(
                code="model_weights",
                text=f"weight {tensor.name!r} has NaN in it",
                repair="take sound weights, export again",
            )


def _read(tensor: TensorProto, folder: Path) -> Any:
    """Return a floating tensor's values (any other's are one zero: they cannot be NaN)."""
    from onnx import TensorProto, numpy_helper

    floating = {
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE,
    }  # fmt: skip
    if tensor.data_type not in floating:
        return np.zeros(1)
    return numpy_helper.to_array(tensor, base_dir=str(folder))


def _check_external_data(proto: ModelProto, folder: Path) -> None:
    """Refuse external data that is not there, or shorter than its tensor.

    Raises:
        BuildFailedError: names the first such tensor and its file.
    """
    from onnx import external_data_helper

    for tensor in filter(external_data_helper.uses_external_data, proto.graph.initializer):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = folder / entries.get("location", "")
        needed = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        size = file.stat().st_size if file.is_file() else None
        if size is None or size < needed:
            state = "not there" if size is None else f"{size} bytes, {needed} are needed"
            place = entries.get("location", "")
            raise BuildFailedError(
                code="model_external_data",
                text=f"weight {tensor.name!r} lies in {place!r}, which is {state}",
                repair="put the whole data file beside the model",
            )


def _failure(*, code: str, problems: Sequence[str], repair: str) -> BuildFailedError:
    return BuildFailedError(code=code, text="; ".join(problems), repair=repair)
