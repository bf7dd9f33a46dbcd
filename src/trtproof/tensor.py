"""What flows between stages: named arrays and their description.

Numpy only: workers import this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Feeds = dict[str, Array]
"""Arrays by tensor name, each C-contiguous and already preprocessed; axis 0 is the batch."""

Dim = int | str
"""A fixed extent, or the name of a dynamic axis."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; `shape` holds extents and axis names, as in ("batch", 1, 16, 16)."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    @property
    def dynamic_axes(self) -> dict[int, str]:
        """Return axis index -> axis name."""
        return {index: dim for index, dim in enumerate(self.shape) if isinstance(dim, str)}

    def resolve(self, extents: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape with every axis name replaced by its extent."""
        return tuple(dim if isinstance(dim, int) else int(extents[dim]) for dim in self.shape)


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, and the dataset's preprocessing as versioned steps."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "schema": 1,
            "inputs": [_spec_to_json(spec) for spec in self.inputs],
            "outputs": [_spec_to_json(spec) for spec in self.outputs],
            "preprocessing": [dict(step) for step in self.preprocessing],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        """Return the signature that `to_json` wrote."""
        return cls(
            inputs=tuple(_spec_from_json(item) for item in data["inputs"]),
            outputs=tuple(_spec_from_json(item) for item in data["outputs"]),
            preprocessing=tuple(data["preprocessing"]),
        )

    @property
    def input_names(self) -> list[str]:
        """Return the names in the model's own order."""
        return [spec.name for spec in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Return the names in the model's own order."""
        return [spec.name for spec in self.outputs]


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}


def _spec_from_json(data: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(name=data["name"], dtype=data["dtype"], shape=tuple(data["shape"]))


def batch_size(feeds: Mapping[str, Array]) -> int:
    """Return the extent of axis 0, which every input of a batch shares."""
    return len(next(iter(feeds.values())))


def resize_axis(
    feeds: Mapping[str, Array], specs: Sequence[TensorSpec], axis: str, extent: int
) -> Feeds:
    """Return the feeds with every dynamic axis called `axis` repeated and cut to `extent`."""
    resized: Feeds = {}
    for spec in specs:
        array = feeds[spec.name]
        for index, name in spec.dynamic_axes.items():
            if name == axis:
                positions = np.arange(extent) % array.shape[index]
                array = np.take(array, positions, axis=index)
        resized[spec.name] = np.ascontiguousarray(array)
    return resized


def concatenate(parts: Sequence[Mapping[str, Array]]) -> Feeds:
    """Return one batch made of several, in order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
