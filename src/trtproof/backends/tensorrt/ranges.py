"""The optimization profiles of an engine: which shapes each takes, and the one for a request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Extents = tuple[int, ...]
"""A shape; for an input that holds a shape itself, its values."""


@dataclass(frozen=True)
class Range:
    """The smallest, the tuned-for and the largest extents of one input in one profile."""

    low: Extents
    best: Extents
    high: Extents

    def takes(self, extents: Extents) -> bool:
        """Say whether every extent lies in the range."""
        return len(extents) == len(self.low) and all(
            low <= extent <= high
            for low, extent, high in zip(self.low, extents, self.high, strict=True)
        )

    def distance(self, extents: Extents) -> float:
        """Return how far a shape is from the one tuned for: the logarithm of their volumes' ratio.

        An empty tensor counts as one element.
        """
        volumes = (max(1, math.prod(extents)), max(1, math.prod(self.best)))
        return abs(math.log(volumes[0] / volumes[1]))

    def __str__(self) -> str:
        return f"{list(self.low)} to {list(self.high)}"


Ranges = Mapping[str, Range]
"""Input name -> its range, of one profile."""


def choose_profile(profiles: Sequence[Ranges], shapes: Mapping[str, Extents]) -> int:
    """Return the number of the profile to run these shapes with.

    Of those that take all of them the one tuned for the nearest volume, the first of equals; the
    first where none takes them, so that TensorRT says why.
    """
    fitting = [
        index
        for index, ranges in enumerate(profiles)
        if all(ranges[name].takes(shape) for name, shape in shapes.items())
    ]
    return min(
        fitting,
        key=lambda index: sum(
            profiles[index][name].distance(shape) for name, shape in shapes.items()
        ),
        default=0,
    )


def describe_ranges(profiles: Sequence[Ranges], name: str) -> str:
    """Return what every profile takes for one input, in words."""
    return "; ".join(
        f"profile {index} takes {ranges[name]}" for index, ranges in enumerate(profiles)
    )


def read_profiles(engine: Any, inputs: Sequence[str]) -> list[Ranges]:
    """Return the ranges of every profile; shapes of inputs, values of inputs that hold shapes.

    The bindings name the arguments of `get_tensor_profile_values` the wrong way round: they are
    passed by position. Outputs are never asked: their profile shape cannot be read at all.
    """
    profiles: list[Ranges] = []
    for index in range(engine.num_optimization_profiles):
        ranges = {}
        for name in inputs:
            limits = (
                engine.get_tensor_profile_values(index, name)
                if engine.is_shape_inference_io(name)
                else engine.get_tensor_profile_shape(name, index)
            )
            low, best, high = (tuple(int(extent) for extent in limit) for limit in limits)
            ranges[name] = Range(low, best, high)
        profiles.append(ranges)
    return profiles
