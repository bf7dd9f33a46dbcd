"""Histograms whose bins are fixed, so that they merge exactly whatever the order or the batches.

A bin is the top 17 bits of the float32 pattern of |x| (of which the sign bit is zero): 256 bins per
octave, hence values of one bin differ by at most 1/256 of their size. Counts are integers: no
rounding, nothing to lose by merging.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trtproof.tensor import Array

SHIFT: Final = 15
"""Low bits of the pattern that a bin ignores."""

BINS: Final = 1 << (31 - SHIFT)
NOT_FINITE: Final = 0x7F800000 >> SHIFT
"""The first bin of infinities and NaN."""

CHUNK: Final = 1 << 22
"""Values counted at once: bounds the memory of the index that numpy needs (8 bytes each)."""


def count_bins(values: Array) -> NDArray[np.int64]:
    """Return how many float32 values fall into each of the BINS bins."""
    counts = np.zeros(BINS, np.int64)
    flat = np.ascontiguousarray(values).reshape(-1)
    for start in range(0, flat.size, CHUNK):
        pattern = np.abs(flat[start : start + CHUNK]).view(np.uint32)
        counts += np.bincount(pattern >> SHIFT, minlength=BINS)
    return counts


def bin_edges(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the smallest magnitude that falls into each bin; the next bin's is where it ends."""
    return (bins.astype(np.uint32) << np.uint32(SHIFT)).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Statistics:
    """What a tensor's values were over all samples.

    The histogram is sparse: `bins` (ascending int64) are those with a count, `counts` (int64) the
    number of values in each. `lowest` and `highest` are float32 values, signed.
    """

    lowest: float
    highest: float
    bins: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def values_count(self) -> int:
        """Return how many values there were."""
        return int(self.counts.sum())

    @property
    def largest(self) -> float:
        """Return the largest magnitude."""
        return max(abs(self.lowest), abs(self.highest))

    @property
    def magnitudes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the magnitudes of each bin begin and where they end (excluded)."""
        return bin_edges(self.bins), bin_edges(self.bins + 1)

    def merge(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets of values together."""
        dense = Accumulator()
        dense.merge(self)
        dense.merge(other)
        return dense.statistics()


class Accumulator:
    """Statistics in the making: the dense histogram of one tensor, BINS * 8 bytes."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS, np.int64)
        self._lowest = np.inf
        self._highest = -np.inf

    @property
    def is_empty(self) -> bool:
        """Say whether no value came yet."""
        return self._lowest > self._highest

    def add(self, values: Array) -> bool:
        """Count float32 values; say whether all of them are finite (where not, nothing is kept)."""
        counts = count_bins(values)
        if counts[NOT_FINITE:].any():
            return False
        self._counts += counts
        if values.size:
            self._widen(float(values.min()), float(values.max()))
        return True

    def merge(self, statistics: Statistics) -> None:
        """Count values that were counted elsewhere."""
        self._counts[statistics.bins] += statistics.counts
        if statistics.bins.size:
            self._widen(statistics.lowest, statistics.highest)

    def _widen(self, lowest: float, highest: float) -> None:
        # Adding 0.0 turns -0.0 into 0.0: which of the two zeros came first must not show.
        self._lowest = min(self._lowest, lowest) + 0.0
        self._highest = max(self._highest, highest) + 0.0

    def statistics(self) -> Statistics:
        """Return what has come so far."""
        bins = np.nonzero(self._counts)[0]
        return Statistics(self._lowest, self._highest, bins, self._counts[bins])
