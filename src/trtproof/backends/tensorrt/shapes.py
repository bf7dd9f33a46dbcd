"""Optimization profiles: conf's axis extents as shapes of every dynamic input, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trtproof.errors import ConfigError
from trtproof.tensor import Dim, Signature

Extents = tuple[int, int, int]
"""The extents of one axis: (min, opt, max)."""

Shapes = dict[str, list[list[int]]]
"""One profile: input name -> its shapes at min, opt and max."""

WORDS: Final = ("min", "opt", "max")


def make_profiles(signature: Signature, ranges: Sequence[Mapping[str, Extents]]) -> list[Shapes]:
    """Return one profile per entry of `build.profiles`; none for a model without dynamic axes.

    TensorRT says nothing of a profile for an input that does not exist, and guesses nothing.

    Raises:
        ConfigError: an entry lacks an axis, has one that the model has not, or its extents do not
            rise; or a model with dynamic axes has no entry.
    """
    axes = {axis for spec in signature.inputs for axis in spec.dynamic_axes.values()}
    for position, extents in enumerate(ranges):
        _check(f"build.profiles[{position}]", extents, axes)
    if not axes:
        return []
    if not ranges:
        names = ", ".join(sorted(axes))
        raise _wrong(
            key="build.profiles",
            problem=f"there are none, but the model has the axes {names}",
            repair="give each its min, opt and max",
        )
    return [
        {
            spec.name: [_shape(spec.shape, extents, which) for which in range(len(WORDS))]
            for spec in signature.inputs
            if spec.dynamic_axes
        }
        for extents in ranges
    ]


def _shape(shape: Sequence[Dim], extents: Mapping[str, Extents], which: int) -> list[int]:
    return [extents[dim][which] if isinstance(dim, str) else dim for dim in shape]


def _check(key: str, extents: Mapping[str, Extents], axes: set[str]) -> None:
    for axis in sorted(set(extents) - axes):
        known = ", ".join(sorted(axes)) or "no dynamic axis"
        raise _wrong(
            key=f"{key}.{axis}",
            problem=f"no input has this axis (there is: {known})",
            repair="remove it",
        )
    for axis in sorted(axes - set(extents)):
        raise _wrong(key=f"{key}.{axis}", problem="missing", repair="give it min, opt and max")
    for axis, (low, usual, high) in extents.items():
        if not 1 <= low <= usual <= high:
            raise _wrong(
                key=f"{key}.{axis}",
                problem=f"min {low}, opt {usual}, max {high}",
                repair="make it 1 <= min <= opt <= max",
            )


def _wrong(*, key: str, problem: str, repair: str) -> ConfigError:
    return ConfigError(
        key=key, problem=problem, repair=f"{repair} in conf/variant and run `trtproof compose`"
    )
