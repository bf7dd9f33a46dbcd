"""Predictions and labels of any kind as JSON, and back as what they were.

A label is whatever a scorer compares with: a class, a string, boxes of varying number, a mask.
Stored are JSON's own types; tuples become lists, numbers of NumPy plain numbers, and an array
`{"array": base64 of its zlib-compressed bytes, "dtype": ..., "shape": [...]}`. NaN and infinities,
which JSON lacks, become `{"number": "nan"}`.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from trtproof.data.base import Label
from trtproof.errors import AdapterError
from trtproof.tensor import Array

ARRAY: Final = {"array", "dtype", "shape"}
NUMBER: Final = {"number"}
KINDS: Final = "biuf"
"""Kinds of arrays that can be stored: numbers and booleans."""


def pack_value(value: Any, *, owner: str) -> Any:
    """Return a prediction or a label as JSON; `owner` is the function that made it, for the error.

    Raises:
        AdapterError: it holds something that JSON and arrays of numbers cannot express.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim):
        return pack_value(value.item(), owner=owner)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    if isinstance(value, list | tuple):
        return [pack_value(item, owner=owner) for item in value]
    if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
        return _pack_array(value)
    if isinstance(value, Mapping) and _has_plain_keys(value):
        return {key: pack_value(item, owner=owner) for key, item in value.items()}
    raise AdapterError(
        function=owner,
        problem=f"it gave {_describe(value)} as a prediction or a label",
        repair="give numbers, strings, lists and dictionaries of them with names as keys, "
        "NumPy arrays of numbers, or None",
    )


def unpack_value(value: Any) -> Any:
    """Return what `pack_value` stored: arrays and NaN as they were, tuples as lists."""
    if isinstance(value, list):
        return [unpack_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == ARRAY:
        return _unpack_array(value)
    if value.keys() == NUMBER and isinstance(value["number"], str):
        return float(value["number"])
    return {key: unpack_value(item) for key, item in value.items()}


def pack_labels(labels: Sequence[Label]) -> list[Label]:
    """Return the labels of a batch as JSON.

    Raises:
        AdapterError: one cannot be stored.
    """
    return [pack_value(label, owner="the dataset") for label in labels]


def _pack_array(array: Array) -> dict[str, Any]:
    data = zlib.compress(np.ascontiguousarray(array).tobytes())
    return {
        "array": base64.b64encode(data).decode(),
        "dtype": array.dtype.str,
        "shape": list(array.shape),
    }


def _unpack_array(stored: Mapping[str, Any]) -> Array:
    data = zlib.decompress(base64.b64decode(stored["array"]))
    return np.frombuffer(data, dtype=stored["dtype"]).reshape(stored["shape"]).copy()


def _has_plain_keys(value: Mapping[Any, Any]) -> bool:
    """Say whether a mapping's keys are strings that are not one of the stored forms."""
    return all(isinstance(key, str) for key in value) and value.keys() not in (ARRAY, NUMBER)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if isinstance(value, Mapping):
        return f"a dictionary with the keys {', '.join(map(repr, list(value)[:3]))}"
    return f"a value of type {type(value).__module__}.{type(value).__name__}"
