"""A few samples out of a long split, evenly spread: a sorted split would begin with one class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtproof.data.base import Batch, Dataset
from trtproof.tensor import Feeds


def spread(dataset: Dataset, count: int) -> Dataset:
    """Return `count` samples of a split, or all of a split that has no more."""
    total = len(dataset)
    if count >= total:
        return dataset
    return Spread(dataset, tuple((2 * place + 1) * total // (2 * count) for place in range(count)))


@dataclass(frozen=True)
class Spread:
    """The samples at these ascending positions, without their labels."""

    dataset: Dataset
    positions: Sequence[int]

    @property
    def synthetic(self) -> bool:
        """Say whether the samples are made up."""
        return self.dataset.synthetic

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Return the split's own steps."""
        return self.dataset.preprocessing

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.positions)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the samples `size` at a time, fewer before one of another shape and at the end."""
        waiting: list[tuple[int, Feeds]] = []
        for index, sample in self._samples(size):
            if waiting and (len(waiting) == size or _shapes(waiting[0][1]) != _shapes(sample)):
                yield _join(waiting)
                waiting = []
            waiting.append((index, sample))
        if waiting:
            yield _join(waiting)

    def _samples(self, size: int) -> Iterator[tuple[int, Feeds]]:
        """Yield index and feeds (1, ...) of every chosen sample."""
        chosen = set(self.positions)
        for batch in self.dataset.batches(size):
            for row, index in enumerate(batch.indices):
                if index in chosen:
                    yield (
                        index,
                        {name: array[row : row + 1] for name, array in batch.feeds.items()},
                    )


def _shapes(sample: Feeds) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in sample.items()}


def _join(samples: Sequence[tuple[int, Feeds]]) -> Batch:
    names = samples[0][1]
    feeds = {name: np.concatenate([sample[name] for _, sample in samples]) for name in names}
    return Batch(feeds, None, [index for index, _ in samples])
