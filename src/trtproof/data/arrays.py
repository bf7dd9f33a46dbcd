"""A split whose samples lie in memory as arrays, and the checks that formats share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtproof.data.base import Batch, Dataset, Label
from trtproof.errors import ConfigError, InputError
from trtproof.tensor import Feeds, TensorSpec, batch_size


@dataclass(frozen=True)
class ArrayDataset:
    """Samples as arrays of shape (N, ...) by input name; sample i is position i of each.

    The arrays are the dataset's own: batches are views that callers must not write to.
    """

    feeds: Feeds
    labels: Sequence[Label] | None
    preprocessing: tuple[Mapping[str, Any], ...]
    synthetic: bool

    def __len__(self) -> int:
        """Return the number of samples."""
        return batch_size(self.feeds)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all samples in order, `size` at a time (the last batch may be smaller)."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield Batch(
                feeds={name: array[start:stop] for name, array in self.feeds.items()},
                labels=None if self.labels is None else self.labels[start:stop],
                indices=range(start, stop),
            )


def resolve_count(count: int | None, available: int, *, key: str) -> int:
    """Return how many samples to take; None takes all that there are.

    Raises:
        ConfigError: more than there are.
    """
    if count is None:
        return available
    if count > available:
        raise ConfigError(
            key=f"{key}.count",
            problem=f"asks for {count} samples, the split has {available}",
            repair="lower it, or null for all of them",
        )
    return count


def require_inputs(feeds: Mapping[str, Any], specs: Sequence[TensorSpec], *, where: str) -> None:
    """Refuse samples that the model cannot take; axis 0 holds the samples and may have any extent.

    Raises:
        InputError: an input is missing, or its type or shape is another than the model's.
    """
    for spec in specs:
        if spec.name not in feeds:
            raise InputError(
                f"{where} has no array {spec.name!r} "
                f"(it has: {', '.join(sorted(feeds)) or 'none'}); "
                "name its arrays as `model.inputs` names them"
            )
        array = np.asarray(feeds[spec.name])
        if str(array.dtype) != spec.dtype:
            raise InputError(
                f"{where}: {spec.name!r} is {array.dtype}, the model takes {spec.dtype}; "
                f"store it as {spec.dtype}, or correct `model.inputs`"
            )
        if not _fits(array.shape, spec):
            raise InputError(
                f"{where}: {spec.name!r} has shape {list(array.shape)}, "
                f"the model takes {list(spec.shape)}; correct the samples or `model.inputs`"
            )


def require_extents(
    feeds: Feeds, specs: Sequence[TensorSpec], bounds: Mapping[str, tuple[int, int]], *, where: str
) -> None:
    """Refuse samples beyond what a dynamic axis may be; axis 0 holds the samples.

    `bounds` is axis name -> smallest and largest extent; an axis that it lacks is free.

    Raises:
        InputError: names the axis, its extent and its bounds.
    """
    for spec in specs:
        for index, axis in spec.dynamic_axes.items():
            extent = feeds[spec.name].shape[index]
            low, high = bounds.get(axis, (extent, extent))
            if index > 0 and not low <= extent <= high:
                raise InputError(
                    f"{where}: {spec.name!r} has {axis} {extent}, the model takes {low} to {high}; "
                    f"cut or pad the samples, or change `model.axes.{axis}`"
                )


def _fits(shape: Sequence[int], spec: TensorSpec) -> bool:
    """Say whether a shape has the rank and, after axis 0, the fixed extents of a specification."""
    return len(shape) == len(spec.shape) and all(
        isinstance(wanted, str) or extent == wanted
        for extent, wanted in zip(shape[1:], spec.shape[1:], strict=True)
    )


def first_samples(dataset: Dataset, count: int) -> Feeds:
    """Return the first `count` samples as one batch; a smaller dataset is repeated.

    Raises:
        InputError: the dataset is empty.
    """
    batch = next(dataset.batches(count), None)
    if batch is None:
        text = "the dataset has no samples; correct `dataset`"
        raise InputError(text)
    positions = np.arange(count) % batch_size(batch.feeds)
    return {name: np.take(array, positions, axis=0) for name, array in batch.feeds.items()}
