"""Optimization profiles: conf's axis extents as shapes of every dynamic input, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from trtproof.errors import ConfigError
from trtproof.tensor import Dim, Signature

Extents = tuple[int, int, int]
"""The extents of one axis: (min, opt, max)."""

Shapes = dict[str, list[list[int]]]
"""One profile: input name -> its shapes at min, opt and max."""

WORDS: Final = ("min", "opt", "max")


def make_profiles(signature: Signature, profiles: Sequence[Mapping[str, Extents]]) -> list[Shapes]:
    """Return one entry per profile; nothing for a model without dynamic axes.

    TensorRT says nothing of a profile for an input that does not exist, and guesses nothing.

    Raises:
        ConfigError: a profile lacks an axis, has one that the model has not, or its extents do not
            rise; or a model with dynamic axes has no profile.
    """
    axes = {axis for spec in signature.inputs for axis in spec.dynamic_axes.values()}
    for position, profile in enumerate(profiles):
        _check(f"build.profiles[{position}]", profile, axes)
    if not axes:
        return []
    if not profiles:
        names = ", ".join(sorted(axes))
        raise _wrong(
            key="build.profiles",
            problem=f"there are none, but the model has the axes {names}",
            repair="give each its min, opt and max",
        )
    return [
        {
            spec.name: [_shape(spec.shape, profile, which) for which in range(len(WORDS))]
            for spec in signature.inputs
            if spec.dynamic_axes
        }
        for profile in profiles
    ]


def _shape(shape: Sequence[Dim], profile: Mapping[str, Extents], which: int) -> list[int]:
    return [profile[dim][which] if isinstance(dim, str) else dim for dim in shape]


def _check(key: str, profile: Mapping[str, Extents], axes: set[str]) -> None:
    for axis in sorted(profile.keys() - axes):
        known = ", ".join(sorted(axes)) or "no dynamic axis"
        raise _wrong(
            key=f"{key}.{axis}",
            problem=f"no input has this axis (there is: {known})",
            repair="remove it",
        )
    for axis in sorted(axes - profile.keys()):
        raise _wrong(key=f"{key}.{axis}", problem="missing", repair="give it min, opt and max")
    for axis, extents in profile.items():
        if extents[0] < 1 or any(low > high for low, high in pairwise(extents)):
            shown = ", ".join(f"{word} {n}" for word, n in zip(WORDS, extents, strict=True))
            raise _wrong(
                key=f"{key}.{axis}", problem=shown, repair="make it 1 <= min <= opt <= max"
            )


def _wrong(*, key: str, problem: str, repair: str) -> ConfigError:
    return ConfigError(
        key=key, problem=problem, repair=f"{repair} in conf/variant and run `trtproof compose`"
    )
