"""Samples of one shape out of a split whose samples differ in shape, for requests of one size."""

from __future__ import annotations

from dataclasses import dataclass, field

from trtproof.data.base import Batch, Dataset, Label
from trtproof.tensor import Feeds, concatenate

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class _Alike:
    """The first samples of one shape, and how many there are in all."""

    count: int = 0
    feeds: list[Feeds] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)


def take_same_shape(dataset: Dataset, count: int) -> Batch:
    """Return `count` samples of one shape as one batch: the split's first, where these are alike.

    Else those of the shape that most samples have, in the split's order (of equally many, the
    shape that comes first); fewer where it has no more.
    """
    first = next(iter(dataset.batches(count)))
    if len(first.indices) == min(count, len(dataset)):
        return first
    found: dict[Shapes, _Alike] = {}
    for batch in dataset.batches(1):
        shapes = tuple((name, array.shape) for name, array in sorted(batch.feeds.items()))
        alike = found.setdefault(shapes, _Alike())
        alike.count += 1
        if len(alike.indices) < count:
            alike.feeds.append(batch.feeds)
            alike.indices += batch.indices
            alike.labels += batch.labels or ()
    most = max(found.values(), key=lambda alike: alike.count)
    labels = most.labels if first.labels is not None else None
    return Batch(concatenate(most.feeds), labels, most.indices)
