"""What each sample was and did: its hash, and how large every activation was for it.

Two sets of samples are compared by these (trtproof.calibration.exchangeability), which no histogram
over all samples allows: values of one sample depend on each other, samples do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trtproof.tensor import Array

Sizes = NDArray[np.float64]
"""(N, 2): the largest and the mean magnitude of one tensor for each of N samples."""

LARGEST: Final = 0
MEAN: Final = 1


@dataclass(frozen=True)
class Samples:
    """The samples of one set; row i of every tensor belongs to sample i.

    The order is that of the digests, hence the same however the samples came. `sizes` has the
    tensors whose values can be told apart by sample.
    """

    digests: Sequence[str] = ()
    sizes: Mapping[str, Sizes] = field(default_factory=dict)

    def finite(self) -> Samples:
        """Return the samples without those that made any tensor NaN or infinite."""
        if not self.sizes:
            return self
        whole = np.all([np.isfinite(rows).all(axis=1) for rows in self.sizes.values()], axis=0)
        digests = [digest for digest, good in zip(self.digests, whole, strict=True) if good]
        return Samples(digests, {name: rows[whole] for name, rows in self.sizes.items()})


def order_samples(digests: Sequence[str], sizes: Mapping[str, Sequence[Sizes]]) -> Samples:
    """Return samples that came in batches, in the order of their digests.

    A tensor that has not a row for every sample is left out.
    """
    order = sorted(range(len(digests)), key=digests.__getitem__)
    joined = {name: np.concatenate(parts) for name, parts in sizes.items() if parts}
    return Samples(
        [digests[position] for position in order],
        {name: rows[order] for name, rows in joined.items() if len(rows) == len(digests)},
    )


def measure_sizes(values: Array, count: int) -> Sizes:
    """Return the (count, 2) sizes of `count` samples that a tensor's first axis holds.

    Sample by sample: a sum over several of them would round differently with their number. A
    tensor without values for a sample has size 0.
    """
    sizes = np.zeros((count, 2))
    for row, sample in zip(sizes, values.reshape(count, -1), strict=True):
        if sample.size:
            magnitude = np.abs(sample)
            row[:] = magnitude.max(), magnitude.mean(dtype=np.float64)
    return sizes
