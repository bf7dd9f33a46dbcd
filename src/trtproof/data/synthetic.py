"""Random inputs of the model's own shapes, for trying a model without data.

Scores on them mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct

from trtproof.config import AxisConfig, DatasetConfig, InputConfig, decode
from trtproof.data.arrays import ArrayDataset
from trtproof.data.base import Split
from trtproof.errors import ConfigError
from trtproof.model_inputs import resolve_inputs
from trtproof.tensor import Array, Feeds

DISTRIBUTION_VERSION: Final = 1


class _Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.options`: the model's inputs and axes, as conf/model states them."""

    inputs: Annotated[dict[str, InputConfig], Meta(min_length=1)] | str
    axes: dict[str, AxisConfig]


class _SplitOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.calibration` and `dataset.evaluation`: two seeds give two disjoint sets."""

    seed: Annotated[int, Meta(ge=0)]
    count: Annotated[int, Meta(ge=1)]


class SyntheticFormat:
    """Make samples from a seed: floats standard normal, the others uniform in [low, high)."""

    def files(self, config: DatasetConfig, split: Split) -> Sequence[Path]:
        """Return nothing: the seed and the shapes decide the samples."""
        del config, split
        return ()

    def open(self, config: DatasetConfig, split: Split) -> ArrayDataset:
        """Return `count` samples, without labels.

        Each sample has its own stream, so a larger count adds samples and changes none. Axis 0 is
        the batch; every other dynamic axis has its `opt` extent.

        Raises:
            ConfigError: an unknown option or axis, an empty range, or not labelled synthetic.
        """
        if not config.synthetic:
            raise ConfigError(
                key="dataset.synthetic",
                problem="false, but these samples are made up",
                repair="set it to true: every figure made from them is then labelled",
            )
        options = decode(_Options, config.options, key="dataset.options")
        chosen = decode(_SplitOptions, getattr(config, split), key=f"dataset.{split}")
        feeds: Feeds = {}
        for position, (name, spec) in enumerate(resolve_inputs(options.inputs).items()):
            shape = _sample_shape(name, spec, options.axes)
            streams = (
                np.random.Generator(np.random.PCG64([chosen.seed, sample, position]))
                for sample in range(chosen.count)
            )
            feeds[name] = np.stack([_draw(spec, shape, stream) for stream in streams])
        step = {"step": "synthetic", "version": DISTRIBUTION_VERSION}
        return ArrayDataset(feeds=feeds, labels=None, preprocessing=(step,), synthetic=True)


def _sample_shape(name: str, spec: InputConfig, axes: Mapping[str, AxisConfig]) -> tuple[int, ...]:
    """Return the extents after axis 0, dynamic ones at `opt`."""
    key = f"dataset.options.inputs.{name}"
    if not spec.shape:
        raise ConfigError(
            key=f"{key}.shape", problem="empty", repair="its first axis must be the batch"
        )
    if not spec.dtype.startswith("float") and spec.low >= spec.high:
        raise ConfigError(
            key=key,
            problem=f"no integer lies in low {spec.low} .. high {spec.high} (high excluded)",
            repair="make high larger than low",
        )
    unknown = [dim for dim in spec.shape if isinstance(dim, str) and dim not in axes]
    if unknown:
        raise ConfigError(
            key=f"{key}.shape",
            problem=f"axis {unknown[0]!r} is not in dataset.options.axes",
            repair="add it to `model.axes`",
        )
    return tuple(axes[dim].opt if isinstance(dim, str) else dim for dim in spec.shape[1:])


def _draw(spec: InputConfig, shape: tuple[int, ...], stream: np.random.Generator) -> Array:
    if spec.dtype.startswith("float"):
        return stream.standard_normal(shape).astype(spec.dtype)
    return stream.integers(spec.low, spec.high, shape).astype(spec.dtype)


FORMAT: Final = SyntheticFormat()
