"""scikit-learn's bundled handwritten digits: 1,797 real images of 8x8 pixels in ten classes.

The splits are fixed, disjoint and stratified. Samples of a split are ordered so that every prefix
has nearly the split's own share of each class: a `count` therefore takes a balanced subset.
Preprocessing is exact (all results are multiples of 2**-8 in float32), so the samples are the same
bits on every CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct

from trtproof.config import DatasetConfig, decode
from trtproof.data.arrays import ArrayDataset, resolve_count
from trtproof.data.base import Split
from trtproof.tensor import Array

Part = Literal["training", "calibration", "test"]

SPLIT_SEED: Final = 0
PART_SIZES: Final[dict[Part, int]] = {"test": 500, "calibration": 297, "training": 1000}
"""Samples per part; together all 1,797."""

PREPROCESSING: Final = (
    {"step": "scale", "version": 1, "factor": 0.0625},
    {
        "step": "resize",
        "version": 1,
        "mode": "bilinear",
        "coordinates": "half_pixel",
        "edge": "clamp",
        "from": [8, 8],
        "to": [16, 16],
    },
)


class _Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.options`: the name of the model's input that takes the images."""

    input: str = "input"


class _SplitOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.calibration` and `dataset.evaluation`: which part, and how many of its samples.

    `classes` takes the samples of some classes only, and `brightness` multiplies all pixels: for
    examples of calibration sets that do not represent the evaluation inputs.
    """

    split: Part
    count: Annotated[int, Meta(ge=1)] | None = None
    classes: Annotated[list[Annotated[int, Meta(ge=0, le=9)]], Meta(min_length=1)] | None = None
    brightness: Annotated[float, Meta(gt=0)] = 1.0


class DigitsFormat:
    """Open parts of the bundled digits; no file decides them but scikit-learn's own."""

    def files(self, config: DatasetConfig, split: Split) -> Sequence[Path]:
        """Return nothing: the samples come with the library, whose version is in the key."""
        del config, split
        return ()

    def open(self, config: DatasetConfig, split: Split) -> ArrayDataset:
        """Return the configured part.

        Raises:
            ConfigError: an unknown option, or more samples than the part has.
        """
        options = decode(_Options, config.options, key="dataset.options")
        chosen = decode(_SplitOptions, getattr(config, split), key=f"dataset.{split}")
        images, labels = load_part(chosen.split)
        if chosen.classes is not None:
            taken = np.isin(labels, chosen.classes)
            images, labels = images[taken], [label for label in labels if label in chosen.classes]
        count = resolve_count(chosen.count, len(labels), key=f"dataset.{split}")
        return ArrayDataset(
            feeds={options.input: images[:count] * np.float32(chosen.brightness)},
            labels=labels[:count],
            preprocessing=PREPROCESSING,
            synthetic=config.synthetic,
        )


def load_part(part: Part) -> tuple[Array, list[int]]:
    """Return images, float32 (N, 1, 16, 16) in [0, 1], and their classes, in stratified order."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    positions = split_positions(digits.target)[part]
    images = digits.images[positions].astype(np.float32) * np.float32(0.0625)
    enlarged = double_bilinear(images)[:, np.newaxis]
    return np.ascontiguousarray(enlarged), [int(label) for label in digits.target[positions]]


def split_positions(classes: Array) -> dict[Part, Array]:
    """Return the sample positions of each part, stratified by class and in stratified order.

    RandomState's streams are frozen by numpy's policy, so the splits never move.
    """
    order = stratified_order(classes, np.random.RandomState(SPLIT_SEED).permutation(len(classes)))
    # Consecutive runs of a stratified order are stratified themselves.
    starts = np.cumsum([0, *PART_SIZES.values()])
    return {
        part: order[start : start + size]
        for (part, size), start in zip(PART_SIZES.items(), starts, strict=False)
    }


def stratified_order(classes: Array, order: Array) -> Array:
    """Return `order` rearranged so that every prefix has nearly the whole's share of each class.

    The r-th of a class's n samples, in the given order, stands at (r + 0.5) / n of the way through.
    """
    place = np.empty(len(classes), dtype=np.float64)
    for label in np.unique(classes):
        members = order[classes[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.lexsort((classes[order], place[order]))]


def double_bilinear(images: Array) -> Array:
    """Return (N, H, W) images at (N, 2H, 2W): bilinear, half-pixel centres, edges clamped.

    At a factor of two every new pixel lies a quarter of a pixel from its nearer source, so the
    weights are 3/4 and 1/4 on each axis.
    """
    return _double_axis(_double_axis(images, 1), 2)


def _double_axis(images: Array, axis: int) -> Array:
    extent = images.shape[axis]
    before = np.take(images, np.maximum(np.arange(extent) - 1, 0), axis=axis)
    after = np.take(images, np.minimum(np.arange(extent) + 1, extent - 1), axis=axis)
    near, far = images.dtype.type(0.75), images.dtype.type(0.25)
    pairs = np.stack([near * images + far * before, near * images + far * after], axis=axis + 1)
    shape = list(images.shape)
    shape[axis] *= 2
    return pairs.reshape(shape)


FORMAT: Final = DigitsFormat()
