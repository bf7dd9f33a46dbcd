"""The interval of the difference of two paired proportions, exact for any number of samples.

Two models answer the same samples, each right or wrong. Only samples on which they differ say which
is better: `lost` are right with the reference and wrong with the variant, `gained` the reverse. The
drop is (lost - gained) / samples.

The interval inverts exact tests of "the drop is d". Samples are ordered by Tango's score statistic;
its tail probability is summed over all outcomes of the trinomial distribution and maximised over
the one unknown left, the share of samples that differ, within a confidence set of it, whose own
error is added (Berger and Boos). So its coverage is at least what is stated for any true rates and
any number of samples, also one, also where no answer differs; the conditional interval (Clopper and
Pearson on the samples that differ, times their observed share) has no such guarantee.

Whether 0 is inside is what McNemar's exact test says: it is never excluded where that test does not
reject.

Sources: Tango, Statistics in Medicine 17 (1998) 891, for the statistic; Tang, Tang and Chan,
Statistics in Medicine 24 (2005) 3565, for its exact inversion; Berger and Boos, JASA 89 (1994)
1012, for the confidence set; McNemar, Psychometrika 12 (1947) 153, for the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, inf, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrc, betaincinv, gammaln, xlog1py, xlogy

Bounds = tuple[float, float]
Values = NDArray[np.float64]
Counts = NDArray[np.int64]

SET_ASIDE: Final = 0.02
"""Share of a tail's error that the confidence set of the unknown share may use up."""

SHARES_COUNT: Final = 25
"""Places within that set where the tail probability is computed; it is flat between them."""

REACH: Final = 9.0
"""Standard deviations of the binomial count that are summed; what is beyond is below 1e-15."""

TOLERANCE: Final = 1e-7
"""Of an interval's end, as a share of the samples."""

TIE: Final = 1e-9
"""Statistics this close are equal: they differ by rounding."""

MOST_SAMPLES: Final = 1_000_000
"""Beyond this no number of samples is named."""


@dataclass(frozen=True)
class Discordance:
    """Counts of paired samples; those that are neither lost nor gained have the same result."""

    lost: int
    gained: int
    samples: int

    @property
    def drop(self) -> float:
        """Return the share of samples that the variant loses, net of those it gains."""
        return (self.lost - self.gained) / self.samples

    def mirrored(self) -> Discordance:
        """Return the counts with reference and variant exchanged."""
        return Discordance(self.gained, self.lost, self.samples)

    def at_rates(self, samples: int) -> Discordance:
        """Return what another number of samples would give at the same rates."""
        factor = samples / self.samples
        return Discordance(round(self.lost * factor), round(self.gained * factor), samples)


def mcnemar_p(counts: Discordance) -> float:
    """Return the two-sided p value of McNemar's exact test: equally many are lost and gained."""
    differing = counts.lost + counts.gained
    if differing == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(counts.lost, counts.gained), differing, 0.5)))


@lru_cache(maxsize=512)
def drop_interval(counts: Discordance, confidence: float) -> Bounds:
    """Return the interval of the drop, as shares in [-1, 1].

    Args:
        counts: at least one sample.
        confidence: of the interval, in (0, 1); each end errs with half of the rest at most.
    """
    low = _low_end(counts, confidence)
    return low, -_low_end(counts.mirrored(), confidence)


def is_below(counts: Discordance, limit: float, confidence: float) -> bool:
    """Say whether the interval lies wholly below a drop: it excludes the limit from below."""
    return _excludes_from_above(counts.mirrored(), -limit, confidence)


def is_above(counts: Discordance, limit: float, confidence: float) -> bool:
    """Say whether the interval lies wholly above a drop."""
    return _excludes_from_above(counts, limit, confidence)


def samples_to_settle(counts: Discordance, limit: float, confidence: float) -> int | None:
    """Return how many samples at the same rates put the interval on one side of a limit.

    None where more than MOST_SAMPLES would not: the drop is the limit, or too near to it.
    """
    excludes = is_below if counts.drop < limit else is_above

    def settles(samples: int) -> bool:
        return excludes(counts.at_rates(samples), limit, confidence)

    return first_that(settles, counts.samples) if counts.drop != limit else None


def first_that(settles: Callable[[int], bool], known: int) -> int | None:
    """Return the smallest number above `known` that settles, None beyond MOST_SAMPLES.

    Rates of whole samples make it rise and fall a little; found is a place from where it settles.
    """
    low, high = known, 2 * known
    while not settles(high):
        low, high = high, 2 * high
        if high > MOST_SAMPLES:
            return None
    while high - low > max(1, high // 1000):
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high


def share_interval(count: int, samples: int, confidence: float) -> Bounds:
    """Return the exact interval of a proportion.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    tail = (1 - confidence) / 2
    low = float(betaincinv(count, samples - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, samples - count, 1 - tail)) if count < samples else 1.0
    return low, high


def _low_end(counts: Discordance, confidence: float) -> float:
    """Return the lowest drop that the counts do not exclude, rounded outwards."""
    low, high = -1.0, counts.drop
    while high - low > TOLERANCE:
        middle = (low + high) / 2
        if _tail(counts, middle, confidence) <= (1 - confidence) / 2:
            low = middle
        else:
            high = middle
    return min(low, 0.0) if _mcnemar_keeps(counts, confidence) else low


def _excludes_from_above(counts: Discordance, drop: float, confidence: float) -> bool:
    """Say whether the interval's low end is above a drop."""
    if drop <= -1 or counts.drop <= drop:
        return False
    if drop >= 0 and _mcnemar_keeps(counts, confidence):
        return False
    return _tail(counts, drop, confidence) <= (1 - confidence) / 2


def _mcnemar_keeps(counts: Discordance, confidence: float) -> bool:
    """Say whether McNemar's exact test leaves it possible that nothing is lost."""
    return mcnemar_p(counts) > 1 - confidence


def _tail(counts: Discordance, drop: float, confidence: float) -> float:
    """Return the p value of "the drop is at most this", large counts of lost samples against it."""
    error = SET_ASIDE * (1 - confidence) / 2
    samples = counts.samples
    low, high = share_interval(counts.lost + counts.gained, samples, 1 - error)
    low = max(low, abs(drop))
    shares = np.linspace(low, max(high, low), SHARES_COUNT)
    differing = _differing_counts(shares, samples)
    least = _least_lost(differing, counts, drop)
    weights = _binomial_weights(differing, samples, shares)
    lost_share = np.clip((shares + drop) / (2 * np.maximum(shares, TIE * TIE)), 0.0, 1.0)
    inside = bdtrc(np.maximum(least - 1, 0), np.maximum(differing, 1), lost_share[:, None])
    inside = np.where(least == 0, 1.0, np.where(least > differing, 0.0, inside))
    return min(1.0, float((weights * inside).sum(axis=1).max()) + error)


def _differing_counts(shares: Values, samples: int) -> Counts:
    """Return every number of differing samples that is not next to impossible at all shares."""
    lowest, highest = samples * float(shares[0]), samples * float(shares[-1])
    first = max(0, floor(lowest - REACH * sqrt(lowest + REACH)))
    last = min(samples, ceil(highest + REACH * sqrt(highest + REACH)))
    return np.arange(first, last + 1, dtype=np.int64)


def _binomial_weights(differing: Counts, samples: int, shares: Values) -> Values:
    """Return P(so many of the samples differ), shape (shares, counts)."""
    ways = gammaln(samples + 1) - gammaln(differing + 1) - gammaln(samples - differing + 1)
    share = shares[:, None]
    weights: Values = np.exp(ways + xlogy(differing, share) + xlog1py(samples - differing, -share))
    return weights


def _least_lost(differing: Counts, counts: Discordance, drop: float) -> Counts:
    """Return, for each number of differing samples, the fewest lost that are as extreme as seen.

    The statistic rises with the lost, so that bisection finds them; one more than `differing` where
    even all lost are not as extreme.
    """
    seen = _statistic(
        np.float64(counts.lost), np.float64(counts.gained), samples=counts.samples, drop=drop
    )
    low, high = np.zeros_like(differing), differing + 1
    while np.any(low < high):
        middle = (low + high) // 2
        found = _statistic(middle, differing - middle, samples=counts.samples, drop=drop)
        extreme = (found >= seen - TIE) | (middle > differing)
        searching = low < high
        high = np.where(searching & extreme, middle, high)
        low = np.where(searching & ~extreme, middle + 1, low)
    return low


def _statistic(lost: Any, gained: Any, *, samples: int, drop: float) -> Values:
    """Return Tango's score statistic: the drop beyond `drop` in its standard deviations.

    The variance is the one under the tested drop, with the likeliest share of gained samples.
    """
    linear = 2 * samples * drop - (lost + gained) - (lost - gained) * drop
    constant = -gained * drop * (1 - drop)
    root = np.sqrt(np.maximum(linear**2 - 8 * samples * constant, 0.0))
    gained_share = (root - linear) / (4 * samples)
    variance = samples * (2 * gained_share + drop * (1 - drop))
    beyond = lost - gained - samples * drop
    certain = np.where(beyond > TIE, inf, np.where(beyond < -TIE, -inf, 0.0))
    scaled = beyond / np.sqrt(np.maximum(variance, TIE))
    statistic: Values = np.where(variance > TIE, scaled, certain)
    return statistic
