"""Intervals by resampling the samples, for scores that are no plain share of right answers.

The random numbers are the raw output of PCG64, which numpy keeps the same for ever, scaled by a
multiplication; the seed comes from the samples themselves. Equal inputs give equal intervals.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from trtproof.scoring.proportions import Bounds, Values, share_interval

RESAMPLES: Final = 10_000
FEWEST_RESAMPLES: Final = 2_000
"""Ten of these lie beyond each end of a 99 % interval; a scorer is asked for no more."""

MOST_DRAWS: Final = 100_000_000
"""Samples drawn for the interval of a mean, over all resamples: some seconds."""

MOST_RESCORED: Final = 10_000
"""Samples of which a scorer scores FEWEST_RESAMPLES resamples: 20 million predictions a variant.
With more, a report would take many minutes."""

FEWEST_DIFFERING: Final = 10
"""Resamples of fewer samples that differ say nothing of those that were not met."""

CHUNK: Final = 2_000_000
"""Positions that are drawn at once."""

MIDDLE: Final = 0.5

Indices = NDArray[np.int64]


def seed_of(indices: Sequence[int]) -> int:
    """Return the seed that belongs to samples: the same for every variant scored on them."""
    text = json.dumps([int(index) for index in indices])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def resample(samples: int, seed: int, *, count: int) -> Iterator[Indices]:
    """Yield resamples of positions 0 .. samples - 1, in chunks of shape (resamples, samples)."""
    generator = np.random.PCG64(seed)
    rows = max(1, CHUNK // samples)
    for start in range(0, count, rows):
        shape = (min(rows, count - start), samples)
        raw = generator.random_raw(shape[0] * samples)
        # the upper half of each number, scaled to the range: every position is equally likely but
        # for a share below samples / 2**32
        positions = ((raw >> np.uint64(32)) * np.uint64(samples)) >> np.uint64(32)
        yield positions.astype(np.int64).reshape(shape)


def mean_intervals(values: Values, seed: int, confidences: Sequence[float]) -> list[Bounds] | None:
    """Return the intervals of a mean, or None for fewer than FEWEST_DIFFERING values besides 0.

    Each is the studentised bootstrap's, whose ends err equally also where values are skewed, as
    those of scores are (most samples lose nothing), widened to Student's t interval, which is the
    larger one where values are few. None as well where all values are equal, or the resamples are:
    nothing tells then how far the next sample could be.

    Source: Hall, Theoretical comparison of bootstrap confidence intervals, Annals of Statistics 16
    (1988) 927.
    """
    samples = len(values)
    if np.count_nonzero(values) < FEWEST_DIFFERING:
        return None
    mean, error = float(values.mean()), float(values.std(ddof=1)) / sqrt(samples)
    if error == 0:
        return None
    drawn, found = _studentised(values, mean, seed), []
    for confidence in confidences:
        tail = (1 - confidence) / 2
        usual = float(stdtrit(samples - 1, 1 - tail))
        below, above = -_quantile(drawn, tail), _quantile(drawn, 1 - tail)
        found.append((mean - error * max(above, usual), mean + error * max(below, usual)))
    return found if np.isfinite(found).all() else None


def bounded_interval(values: Values, reach: float, confidence: float) -> Bounds:
    """Return an interval of a mean of values in [-reach, reach] that holds however few differ.

    No sample can lose more than `reach`, and the share of samples that lose anything is a
    proportion with an exact interval: the mean is at most `reach` times its upper end.
    """
    samples = len(values)
    lost, gained = int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0))
    low, high = (most_lost(count, samples, confidence) for count in (gained, lost))
    return -reach * low, reach * high


def most_lost(count: int, samples: int, confidence: float) -> float:
    """Return the upper end of the exact interval of a share."""
    return share_interval(count, samples, confidence)[1]


def percentile_interval(values: Values, estimate: float, confidence: float) -> Bounds:
    """Return the percentile interval of resampled figures, widened to the normal one.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    ordered, tail = np.sort(values), (1 - confidence) / 2
    usual = float(ndtri(1 - tail)) * float(ordered.std(ddof=1))
    low, high = _quantile(ordered, tail), _quantile(ordered, 1 - tail)
    return min(low, estimate - usual), max(high, estimate + usual)


def too_many(samples: int) -> str:
    """Return why resamples of so many samples are not scored."""
    return (
        f"scoring resamples of {samples:,} samples would take too long (at most "
        f"{MOST_RESCORED:,}); give the scorer `per_sample`"
    )


def _studentised(values: Values, mean: float, seed: int) -> Values:
    """Return (resampled mean - mean) / its own standard error, sorted."""
    samples = len(values)
    count = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWS // samples))
    found = []
    for positions in resample(samples, seed, count=count):
        drawn = values[positions]
        errors = drawn.std(axis=1, ddof=1) / sqrt(samples)
        means = drawn.mean(axis=1) - mean
        endless = np.where(means < 0, -np.inf, np.inf)
        found.append(np.where(errors > 0, means / np.where(errors > 0, errors, 1.0), endless))
    return np.sort(np.concatenate(found))


def _quantile(ordered: Values, share: float) -> float:
    """Return the value at a share of the order, further out between two."""
    last = len(ordered) - 1
    place = share * last
    return float(ordered[int(place) if share < MIDDLE else min(last, int(np.ceil(place)))])
