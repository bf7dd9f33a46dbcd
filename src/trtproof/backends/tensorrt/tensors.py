"""The inputs and outputs of an engine, held against the signature of its model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from trtproof.backends.cuda.tensors import TensorPlace, Tensors
from trtproof.backends.tensorrt.datatypes import read_dtype
from trtproof.errors import BackendError
from trtproof.tensor import Signature, TensorSpec


def read_tensors(trt: Any, engine: Any, signature: Signature) -> Tensors:
    """Return what the engine takes and gives, in the signature's order.

    Raises:
        BackendError: a name or a type is not the signature's, or a tensor is not laid out row by
            row.
    """
    modes = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        modes[name] = engine.get_tensor_mode(name)
    inputs = [name for name, mode in modes.items() if mode == trt.TensorIOMode.INPUT]
    _require_names("inputs", inputs, signature.input_names)
    outputs = [name for name in modes if name not in inputs]
    _require_names("outputs", outputs, signature.output_names)
    return Tensors(
        inputs={spec.name: _read_tensor(trt, engine, spec) for spec in signature.inputs},
        outputs={spec.name: _read_tensor(trt, engine, spec) for spec in signature.outputs},
    )


def _require_names(kind: str, found: Iterable[str], wanted: Iterable[str]) -> None:
    if set(found) != set(wanted):
        raise BackendError(
            f"the engine's {kind} are {', '.join(sorted(found))}, the signature's "
            f"{', '.join(sorted(wanted))}; build it again: `dvc repro -f build@VARIANT`"
        )


def _read_tensor(trt: Any, engine: Any, spec: TensorSpec) -> TensorPlace:
    stated = engine.get_tensor_dtype(spec.name).name
    if read_dtype(stated) != spec.dtype:
        raise BackendError(
            f"tensor {spec.name!r} is {stated} in the engine and {spec.dtype} in the signature; "
            "build it again: `dvc repro -f build@VARIANT`"
        )
    layout = engine.get_tensor_format(spec.name)
    if layout != trt.TensorFormat.LINEAR:
        raise BackendError(
            f"tensor {spec.name!r} has the format {layout.name}; only LINEAR ones can be read and "
            "written from the host"
        )
    on_host = engine.get_tensor_location(spec.name) == trt.TensorLocation.HOST
    holds_shape = engine.is_shape_inference_io(spec.name)
    return TensorPlace(dtype=np.dtype(spec.dtype), on_host=on_host or holds_shape)
