"""What an ONNX file says of itself, tried on ONNX Runtime where the file leaves extents open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args, get_type_hints

import numpy as np

from trtproof.backends.onnxruntime import Graph, open_graph
from trtproof.config import InputConfig
from trtproof.errors import BackendError, MissingFileError, ModelError
from trtproof.models.onnx import check_file, describe_tensor, read_model, require_float32
from trtproof.scaffold.described import BATCH, BATCH_EXTENTS, Described, Input, to_identifier
from trtproof.tensor import Array, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

DTYPES: Final = frozenset(get_args(get_type_hints(InputConfig)["dtype"]))
OF_IMAGES: Final = ((128, 224, 256), (256, 512, 640), (16, 32, 64), (8, 64, 128), (1, 8, 16))
OF_TOKENS: Final = ((8, 64, 128), (1, 8, 16), (128, 256, 512))
"""Smallest, usual and largest extent of axes that the file leaves open, tried in this order."""

VALUE: Final = 1
"""Of every synthetic integer: within any vocabulary, and a mask that hides nothing."""


def describe_onnx(path: Path) -> Described:
    """Return the inputs, outputs and axes of a float32 ONNX file.

    Raises:
        InputError: it is missing, broken, or no valid model.
        ModelError: it is quantised or not in float32, or has an input that no variant can take.
    """
    if not path.is_file():
        raise MissingFileError(path, repair="name an ONNX file")
    check_file(path)
    model = read_model(path)
    require_float32(model, path)
    weights = {tensor.name for tensor in model.graph.initializer}
    specs = [describe_tensor(item) for item in model.graph.input if item.name not in weights]
    inputs = {spec.name: _to_input(spec, path, _range(model, spec)) for spec in specs}
    axes, ran = _find_axes(path, inputs)
    return Described(
        name=to_identifier(path.stem),
        inputs=inputs,
        outputs=_outputs(model),
        axes=axes,
        ran=ran,
    )


def _range(model: ModelProto, spec: TensorSpec) -> tuple[int, int]:
    """Return lowest and highest (excluded) value: a mask of ones, or what a table is read with."""
    if "mask" in spec.name.lower():
        return VALUE, VALUE + 1
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[1] == spec.name and node.input[0] in sizes:
            return 0, int(sizes[node.input[0]][0])
    return 0, VALUE + 1


def _to_input(spec: TensorSpec, path: Path, bounds: tuple[int, int]) -> Input:
    if spec.dtype not in DTYPES:
        raise ModelError(
            f"{path}: input {spec.name!r} is {spec.dtype}, and inputs are "
            f"{', '.join(sorted(DTYPES))}; export the model with one of these"
        )
    if not spec.shape:
        raise ModelError(
            f"{path}: input {spec.name!r} has no batch axis; export the model with it as a constant"
        )
    shape = [_axis_name(dim) for dim in spec.shape]
    if isinstance(shape[0], str):
        shape[0] = BATCH
    return Input(spec.dtype, shape, low=bounds[0], high=bounds[1])


def _axis_name(dim: int | str) -> int | str:
    """Return the extent, or a name that a setting may have: files name axes with any text."""
    return dim if isinstance(dim, int) else to_identifier(dim)


def _outputs(model: ModelProto) -> dict[str, Sequence[int | str]]:
    found: dict[str, Sequence[int | str]] = {}
    for item in model.graph.output:
        first, *others = describe_tensor(item).shape or (BATCH,)
        found[item.name] = (BATCH if isinstance(first, str) else first, *others)
    return found


def _find_axes(
    path: Path, inputs: Mapping[str, Input]
) -> tuple[dict[str, tuple[int, int, int]], bool]:
    """Return extents of every open axis, and whether the model ran at them."""
    names = {dim for item in inputs.values() for dim in item.shape if isinstance(dim, str)}
    fixed = {BATCH: BATCH_EXTENTS} if BATCH in names else {}
    others = sorted(names - {BATCH})
    has_tokens = any(item.dtype.startswith("int") for item in inputs.values())
    extents = (OF_TOKENS if has_tokens else OF_IMAGES) if others else [BATCH_EXTENTS]
    tried = [fixed | dict.fromkeys(others, extent) for extent in extents]
    if find_spec("onnxruntime") is None:
        return tried[0], False
    graph = open_graph(path, threads=1)
    with _quiet():
        for axes in tried:
            if all(_runs(graph, feeds) for feeds in _feeds(inputs, axes)):
                return axes, True
    return tried[0], False


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen what native code says of every try that fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _runs(graph: Graph, feeds: dict[str, Array]) -> bool:
    try:
        graph.run(feeds)
    except BackendError:
        return False
    return True


def _feeds(
    inputs: Mapping[str, Input], axes: Mapping[str, tuple[int, int, int]]
) -> Iterator[dict[str, Array]]:
    """Yield inputs at the usual, the smallest and the largest extents."""
    for position in (1, 0, 2):
        yield {
            name: np.full(
                [axes[dim][position] if isinstance(dim, str) else dim for dim in item.shape],
                VALUE,
                dtype=item.dtype,
            )
            for name, item in inputs.items()
        }
