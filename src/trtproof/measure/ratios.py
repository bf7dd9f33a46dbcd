"""Centres, ratios and their intervals over rounds: the one way that two contenders are compared.

Two units are respected. Requests inside a block are not independent, so a block gives one value
and the round is the unit. Rounds of one worker process share its start-up luck (memory layout,
chosen kernels, which core); told which generation of workers, here called session, measured which
round, an interval also covers what another start would have given. verdict.py says which interval
decides what.

Nothing here reads files or looks at single requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, expm1, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from trtproof.errors import InputError

SHOWN_CONFIDENCE: Final = 0.95
"""Of the intervals that are printed."""

GATE_CONFIDENCE: Final = 0.99
"""Of the intervals that decide: a report has many figures, and each may raise a false alarm."""

Bounds = tuple[float, float]

MOST_FEWEST: Final = 64
"""Rounds that are enough for an interval at any confidence that a float can state."""


@dataclass(frozen=True)
class Ratio:
    """A ratio over rounds with its interval; `low` and `high` are None for too few rounds.

    `sessions_count` is how many generations of workers measured it.
    """

    value: float
    low: float | None
    high: float | None
    rounds_count: int
    sessions_count: int = 1
    confidence: float = SHOWN_CONFIDENCE

    @property
    def bounds(self) -> Bounds | None:
        """Return both ends, None for too few rounds."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def halfwidth(self) -> float | None:
        """Return half the interval's width as a share of the value: 0.01 is +-1 %."""
        if self.low is None or self.high is None:
            return None
        return expm1(log(self.high / self.low) / 2)


def hodges_lehmann(values: ArrayLike) -> float:
    """Return the median of all pairwise means (Walsh averages).

    Source: Hodges and Lehmann, Estimates of location based on rank tests, 1963.
    """
    return float(np.median(_walsh_averages(values)))


def signed_rank_interval(values: ArrayLike, confidence: float) -> Bounds | None:
    """Return the exact distribution-free interval of the centre, or None for too few values.

    It inverts the Wilcoxon signed-rank test: from the k-th smallest to the k-th largest Walsh
    average, k the largest with P(T < k) <= (1 - confidence) / 2 when the centre is zero. Six
    values are the fewest for 95 %, eight for 99 %.

    Source: Hollander and Wolfe, Nonparametric Statistical Methods, section 3.3.
    """
    averages = np.sort(_walsh_averages(values))
    rank = _critical_rank(len(np.asarray(values)), confidence)
    if rank == 0:
        return None
    return float(averages[rank - 1]), float(averages[len(averages) - rank])


def centre_interval(
    values: ArrayLike, *, sessions: Sequence[int] | None = None, confidence: float
) -> Bounds | None:
    """Return an interval of the centre that is true to sessions, or None for too few values.

    It is the smallest that contains the signed-rank interval over rounds and, with at least two
    sessions, Student's t interval over the sessions' own centres. Sessions are few, so no
    distribution-free interval exists for them (99 % would take eight); three make a wide one.
    Repeating at the highest level that varies is Kalibera and Jones, Quantifying performance
    changes with effect size confidence intervals, 2020 (arXiv 2007.10899).

    Args:
        values: one per round.
        sessions: which generation of workers measured each round; None leaves worker starts out.
        confidence: of the interval, in (0, 1).
    """
    array = np.asarray(values, dtype=np.float64)
    over_rounds = signed_rank_interval(array, confidence)
    if over_rounds is None:
        return None
    centres = _session_centres(array, sessions)
    if len(centres) == 1:
        return over_rounds
    low, high = student_interval(centres, confidence)
    return min(over_rounds[0], low), max(over_rounds[1], high)


def student_interval(values: Sequence[float], confidence: float) -> Bounds:
    """Return Student's t interval of the mean of at least two values, taken as normal."""
    halfwidth = student_factor(len(values), confidence) * float(np.std(values, ddof=1))
    middle = float(np.mean(values))
    return middle - halfwidth, middle + halfwidth


def student_factor(count: int, confidence: float) -> float:
    """Return how many standard deviations of one value the t interval of a mean reaches."""
    return float(stdtrit(count - 1, (1 + confidence) / 2)) / sqrt(count)


def fewest_rounds(confidence: float) -> int:
    """Return how many rounds `signed_rank_interval` takes: 6 for 95 %, 8 for 99 %."""
    return next(count for count in range(1, MOST_FEWEST) if _critical_rank(count, confidence))


def log_ratios(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return log(before / after) per round.

    Args:
        before: positive values, one per round.
        after: positive values of the same rounds, in the same order.

    Raises:
        InputError: the rounds differ in number, there are none, or a value is not positive.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape or first.size == 0:
        raise InputError(
            f"cannot compare {first.size} rounds with {second.size}; run `dvc repro -f benchmark`"
        )
    for values in (first, second):
        wrong = values[~((values > 0) & np.isfinite(values))]
        if wrong.size:
            raise InputError(
                f"a round's value is {wrong[0]}, which is not a positive time or rate; "
                "run `dvc repro -f benchmark`"
            )
    difference: NDArray[np.float64] = np.log(first) - np.log(second)
    return difference


def ratio_of_rounds(
    reference: Sequence[float],
    variant: Sequence[float],
    *,
    sessions: Sequence[int] | None = None,
    confidence: float = SHOWN_CONFIDENCE,
) -> Ratio:
    """Return how many times faster the variant is, from one value of each per round (its median).

    Computed on log ratios, so that reference / variant and variant / reference agree. The interval
    is `centre_interval`'s.

    Args:
        reference: positive times, one per round.
        variant: positive times of the same rounds, in the same order.
        sessions: which generation of workers measured each round; None leaves worker starts out.
        confidence: of the interval.

    Raises:
        InputError: as `log_ratios`.
    """
    logs = log_ratios(reference, variant)
    bounds = centre_interval(logs, sessions=sessions, confidence=confidence)
    low, high = (exp(bound) for bound in bounds) if bounds else (None, None)
    return Ratio(
        value=exp(hodges_lehmann(logs)),
        low=low,
        high=high,
        rounds_count=len(logs),
        sessions_count=len(set(sessions)) if sessions is not None else 1,
        confidence=confidence,
    )


def aa_halfwidth(control: Ratio) -> float | None:
    """Return the run's own noise floor from the reference against its second run (A/A).

    It is half the width, as a share, of the smallest interval around 1 that contains the control's:
    0.004 says that two runs of the same thing may differ by 0.4 % here. The centre's own distance
    from 1 counts, since the true ratio is known to be 1. None without an interval.

    Args:
        control: reference / second run over rounds, at the confidence that decides.
    """
    if control.low is None or control.high is None:
        return None
    return expm1(max(abs(log(control.low)), abs(log(control.high))))


def _session_centres(values: NDArray[np.float64], sessions: Sequence[int] | None) -> list[float]:
    if sessions is None:
        return [hodges_lehmann(values)]
    labels = np.asarray(sessions)
    if labels.shape != values.shape:
        raise InputError(
            f"{values.size} rounds but {labels.size} session numbers; run `dvc repro -f benchmark`"
        )
    return [hodges_lehmann(values[labels == label]) for label in np.unique(labels)]


def _walsh_averages(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    first, second = _pair_places(len(array))
    averages: NDArray[np.float64] = (array[first] + array[second]) / 2
    return averages


@cache
def _pair_places(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of every unordered pair of values, each value with itself included."""
    first, second = np.triu_indices(count)
    return first, second


@cache
def _critical_rank(count: int, confidence: float) -> int:
    """Return the largest k with P(T < k) <= (1 - confidence) / 2, T the sum of positive ranks."""
    shares = np.zeros(count * (count + 1) // 2 + 1)
    shares[0] = 1.0
    for rank in range(1, count + 1):  # each rank counts with probability one half
        with_rank = np.concatenate((np.zeros(rank), shares[:-rank]))
        shares = (shares + with_rank) / 2
    return int(np.searchsorted(np.cumsum(shares), (1 - confidence) / 2, side="right"))
