"""`model.inputs` from a function of the user's own, where conf does not state them itself.

The function takes no arguments and returns an example per input name: an array of one batch, or
`(array, axes)`, where `axes` names the dynamic axes from the first on and has None for fixed ones,
as in `(ids, ("batch", "sequence"))`. An array alone has the dynamic axis `batch` first. Types,
ranks and fixed extents are the example's; the extents of dynamic axes are `model.axes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from trtproof.config import InputConfig, ModelConfig, Params
from trtproof.errors import AdapterError, ConfigError
from trtproof.own_code import calling, require_callable
from trtproof.registry import extend_path, load_object
from trtproof.tensor import Array

BATCH: Final = ("batch",)
DTYPES: Final = ("float32", "float16", "int64", "int32", "uint8", "bool")
EXAMPLE_AND_AXES: Final = 2


def resolve_params(params: Params) -> Params:
    """Return all settings with the model's inputs stated; this may import the user's own code."""
    extend_path(params.pythonpath)
    return msgspec.structs.replace(params, model=resolve_model(params.model))


def resolve_model(config: ModelConfig) -> ModelConfig:
    """Return conf/model with its inputs stated.

    Raises:
        ImportPathError, AdapterError: the function that shall state them cannot.
    """
    return msgspec.structs.replace(config, inputs=resolve_inputs(config.inputs))


def stated_inputs(config: ModelConfig) -> dict[str, InputConfig]:
    """Return conf/model's inputs by name, which must be stated.

    Raises:
        ConfigError: they are a function's, which was not asked.
    """
    if isinstance(config.inputs, str):
        raise ConfigError(
            key="model.inputs",
            problem=f"{config.inputs} was not asked for the inputs",
            repair="state the inputs here",
        )
    return config.inputs


def axis_bounds(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest extent of every dynamic axis."""
    return {name: (axis.min, axis.max) for name, axis in config.axes.items()}


def resolve_inputs(stated: Mapping[str, InputConfig] | str) -> dict[str, InputConfig]:
    """Return inputs by name: those stated, or those that a function gives examples of.

    Raises:
        ImportPathError, AdapterError: the function cannot be had, fails, or gives no examples.
    """
    if not isinstance(stated, str):
        return dict(stated)
    function = load_object(stated)
    require_callable(function, stated, "name another one in `model.inputs`")
    with calling(stated):
        given = function()
    if not isinstance(given, Mapping) or not given:
        what = "an empty dictionary" if isinstance(given, Mapping) else type(given).__name__
        raise AdapterError(
            function=stated,
            problem=f"it returned {what}, not examples by input name",
            repair='return {"input name": array} or {"input name": (array, ("batch", ...))}',
        )
    return {str(name): _describe(stated, str(name), value) for name, value in given.items()}


def _describe(function: str, name: str, given: Any) -> InputConfig:
    """Return what an example says of its input."""
    has_axes = isinstance(given, tuple) and len(given) == EXAMPLE_AND_AXES
    example, axes = given if has_axes else (given, BATCH)
    array = _as_array(function, name, example)
    axes = (axes,) if isinstance(axes, str) else tuple(axes or ())
    if not array.ndim or len(axes) > array.ndim or not _are_names(axes):
        raise AdapterError(
            function=function,
            problem=f"{name!r} has an example of shape {list(array.shape)} and axes {list(axes)}",
            repair="name its dynamic axes in order, the batch first, None for a fixed one",
        )
    fixed = [int(extent) for extent in array.shape]
    shape = [axis or extent for axis, extent in zip(axes, fixed, strict=False)]
    shape += fixed[len(axes) :]
    low, high = _bounds(array)
    return InputConfig(dtype=_dtype(function, name, array), shape=shape, low=low, high=high)


def _as_array(function: str, name: str, example: Any) -> Array:
    with calling(function, doing=f"to give an array as the example of {name!r}"):
        return np.asarray(example)


def _are_names(axes: Sequence[Any]) -> bool:
    return all(axis is None or (isinstance(axis, str) and axis) for axis in axes)


def _dtype(function: str, name: str, array: Array) -> Any:
    found = str(array.dtype)
    if found not in DTYPES:
        raise AdapterError(
            function=function,
            problem=f"{name!r} has an example of {found}",
            repair=f"give one of {', '.join(DTYPES)}, as in .astype('float32')",
        )
    return found


def _bounds(array: Array) -> tuple[int, int]:
    """Return the range of an integer example, its end excluded: synthetic samples keep to it."""
    if array.dtype.kind not in "iu" or not array.size:
        return 0, 2
    return int(array.min()), int(array.max()) + 1
