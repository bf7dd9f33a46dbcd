"""From a histogram of magnitudes to the range that is quantised, and to its scale.

Histograms hold integer counts in fixed bins, so that a range depends on neither the size nor the
order of the batches. A scale is the smallest float16 that covers its range, kept as float32:
graphs in float32 and in float16 then quantise to the same grid, and differences between CPUs in the
last bits of a range vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from trtproof.errors import CalibrationError
from trtproof.precision.float16 import LARGEST
from trtproof.precision.grids import INT8, Grid

if TYPE_CHECKING:
    from trtproof.calibration.histogram import Statistics

DEFAULT_PERCENTILE: Final = 99.99
SMALLEST_SCALE: Final = 2.0**-24
"""The smallest positive float16."""

MSE_CANDIDATES: Final = np.linspace(0.2, 1.0, 81)
"""Ranges that `mse` tries, as shares of the largest magnitude."""

ENTROPY_BINS: Final = 2048
ENTROPY_LEVELS: Final = 128
ENTROPY_STEP: Final = 8
"""`entropy` compares ranges of a multiple of ENTROPY_STEP of ENTROPY_BINS equal bins, as NVIDIA's
calibrator did (S. Migacz, "8-bit inference with TensorRT", GTC 2017)."""

Floats = NDArray[np.float64]


def max_range(statistics: Statistics) -> float:
    """Return the largest magnitude: nothing is clipped."""
    return statistics.largest


def percentile_range(statistics: Statistics, percentile: float) -> float:
    """Return the end of the bin that holds the given percentile of all magnitudes.

    Where that is the bin of zeros, as in a tensor with hardly any other value, it is the largest.
    """
    cumulative = np.cumsum(statistics.counts)
    rank = max(1, int(np.ceil(percentile / 100 * int(cumulative[-1]))))
    position = int(np.searchsorted(cumulative, rank))
    if statistics.bins[position] == 0:
        return statistics.largest
    return min(float(statistics.magnitudes[1][position]), statistics.largest)


def mse_range(statistics: Statistics, grid: Grid) -> float:
    """Return the range whose quantisation has the least squared error over the histogram."""
    values = _representatives(statistics)
    candidates = MSE_CANDIDATES * statistics.largest
    errors = [_squared_error(values, statistics.counts, end, grid) for end in candidates]
    return float(candidates[int(np.argmin(errors))])


def _squared_error(values: Floats, counts: NDArray[np.int64], end: float, grid: Grid) -> float:
    scale = end / grid.largest
    restored = grid.round(values / scale).astype(np.float64) * scale
    # Not a product of vectors: BLAS sums in an order that depends on its number of threads.
    return float(np.sum(counts * np.square(values - restored)))


def entropy_range(statistics: Statistics) -> float:
    """Return the range whose 128 levels lose the least information (Kullback-Leibler divergence).

    Zeros take no part: every scale represents them exactly.
    """
    largest = statistics.largest
    values, counts = _representatives(statistics), statistics.counts.astype(np.float64)
    positions = np.minimum((values / largest * ENTROPY_BINS).astype(int), ENTROPY_BINS - 1)
    present = values > 0
    linear = np.zeros(ENTROPY_BINS)
    np.add.at(linear, positions[present], counts[present])
    ends = range(ENTROPY_LEVELS, ENTROPY_BINS + 1, ENTROPY_STEP)
    losses = [_divergence(linear, end) for end in ends]
    return ends[int(np.argmin(losses))] / ENTROPY_BINS * largest


def _divergence(linear: Floats, end: int) -> float:
    """Return KL(P, Q): P is the histogram clipped at `end`, Q its 128 levels.

    Each level is spread over its bins that have values.
    """
    kept = linear[:end]
    clipped = kept.copy()
    clipped[-1] += linear[end:].sum()
    level = np.arange(end) * ENTROPY_LEVELS // end
    mass = np.bincount(level, kept, minlength=ENTROPY_LEVELS)
    occupied = np.bincount(level, kept > 0, minlength=ENTROPY_LEVELS)
    spread = np.where(kept > 0, mass[level] / np.maximum(occupied[level], 1), 0.0)
    total = spread.sum()
    if total == 0:
        return float("inf")
    some = clipped > 0
    wanted = clipped[some] / clipped.sum()
    had = np.maximum(spread[some] / total, np.finfo(np.float64).tiny)
    return float(np.sum(wanted * np.log(wanted / had)))


def _representatives(statistics: Statistics) -> Floats:
    """Return one value per bin: its middle, 0 for the first bin, never beyond the largest."""
    lower, upper = statistics.magnitudes
    middle: Floats = np.minimum((lower + upper) / 2, statistics.largest)
    return np.where(statistics.bins == 0, 0.0, middle)


METHODS: Final[Mapping[str, Callable[[Statistics, float, Grid], float]]] = {
    "max": lambda statistics, percentile, grid: max_range(statistics),
    "percentile": lambda statistics, percentile, grid: percentile_range(statistics, percentile),
    "mse": lambda statistics, percentile, grid: mse_range(statistics, grid),
    "entropy": lambda statistics, percentile, grid: entropy_range(statistics),
}
"""Name of a method -> function of a histogram, the percentile and the grid."""


def find_range(
    tensor: str,
    statistics: Statistics,
    *,
    method: str,
    percentile: float,
    grid: Grid = INT8,
    readers: Sequence[str] = (),
) -> float:
    """Return the magnitude that the grid's largest value shall stand for.

    `readers` are the nodes that read the tensor, for the message.

    Raises:
        CalibrationError: the tensor had no value, was not finite or was zero in every sample.
    """
    largest = statistics.largest
    if not statistics.bins.size or not np.isfinite(largest):
        raise CalibrationError(
            f"tensor {tensor!r} has no finite range in the calibration; correct the samples and "
            "run `dvc repro -f calibrate`"
        )
    if largest == 0:
        raise CalibrationError(
            f"tensor {tensor!r} is zero in every calibration sample, so that it has no scale; "
            f"calibrate with real samples, or exclude what reads it: {', '.join(readers)}"
        )
    return METHODS[method](statistics, percentile, grid)


def cover(ends: Floats, grid: Grid) -> NDArray[np.float32]:
    """Return the smallest float16 scales that cover these magnitudes, as float32.

    They are at least 2**-24, and infinite where float16 has none so large.
    """
    wanted = np.asarray(ends, np.float64) / grid.largest
    with np.errstate(over="ignore"):
        nearest = wanted.astype(np.float16)
        above = np.nextafter(nearest, np.float16(np.inf))
    scales = np.where(nearest.astype(np.float64) < wanted, above, nearest)
    return np.maximum(scales, np.float16(SMALLEST_SCALE)).astype(np.float32)


def find_scale(tensor: str, end: float, grid: Grid) -> float | None:
    """Return the scale of an activation's range, or None for a range beyond float16.

    There what is restored from the grid would be infinite in the graph's float16 form.

    Raises:
        CalibrationError: the range is so small that its scale underflows in float16.
    """
    if end / grid.largest < SMALLEST_SCALE:
        raise CalibrationError(
            f"tensor {tensor!r} is at most {end:.3g} in every calibration sample, and the scale "
            f"{end / grid.largest:.3g} underflows in float16; calibrate with real samples, or "
            "exclude the nodes that read it"
        )
    scale = float(cover(np.array(end), grid))
    return scale if scale * grid.largest <= LARGEST else None
