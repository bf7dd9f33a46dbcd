"""The raw outputs that evaluate keeps for comparison, as arrays that one .npz file can hold.

An output whose further extents change from batch to batch (padded to the longest of a batch, say)
is no single array: it is kept as all its values in a row and the extents of every sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from trtproof.tensor import Array, Feeds

VALUES: Final = "/values"
EXTENTS: Final = "/extents"
NUMBERS: Final = "biuf"
"""Kinds of numpy's own numbers, which an .npz file brings back as they were."""


def pack_outputs(parts: Sequence[Mapping[str, Array]]) -> Feeds:
    """Return what to store of the outputs of several batches, one row per sample."""
    packed: Feeds = {}
    for name in parts[0] if parts else ():
        arrays = [_storable(part[name]) for part in parts]
        if len({array.shape[1:] for array in arrays}) == 1:
            packed[name] = np.concatenate(arrays)
            continue
        packed[name + VALUES] = np.concatenate([array.ravel() for array in arrays])
        extents = [array.shape[1:] for array in arrays for _ in range(len(array))]
        packed[name + EXTENTS] = np.asarray(extents, dtype=np.int64)
    return packed


def unpack_outputs(stored: Mapping[str, Array]) -> Feeds:
    """Return the outputs by name; one of changing extents is an array of one array per sample."""
    outputs: Feeds = {}
    for name, array in stored.items():
        if name.endswith(VALUES):
            stem = name.removesuffix(VALUES)
            outputs[stem] = _split(array, stored[stem + EXTENTS])
        elif not name.endswith(EXTENTS):
            outputs[name] = array
    return outputs


def is_ragged(output: Array) -> bool:
    """Say whether an output has one array per sample."""
    return output.dtype == object


def _split(values: Array, extents: Array) -> Array:
    samples = np.empty(len(extents), dtype=object)
    start = 0
    for place, extent in enumerate(extents):
        size = int(np.prod(extent))
        samples[place] = values[start : start + size].reshape(tuple(extent))
        start += size
    return samples


def _storable(array: Array) -> Array:
    """Return bfloat16 and 8-bit floats as float32, which holds all their values."""
    return array if array.dtype.kind in NUMBERS else array.astype(np.float32)
