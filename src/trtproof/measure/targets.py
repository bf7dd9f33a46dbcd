"""Was a latency target met, with what confidence, and how many requests does it take to say so.

A target is "P99 at most 3 ms". Whether one request is over the limit is a yes or no, so the number
of those over is binomial and the answer exact: no distribution of latencies is assumed. Requests
count as independent, as in MLPerf; a run whose slow requests come in bursts knows less than this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, bdtrc, betainc

from trtproof.errors import InputError
from trtproof.measure.ratios import GATE_CONFIDENCE, Bounds


class Outcome(StrEnum):
    """What the requests say of a target."""

    MET = "met"
    MISSED = "missed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class TargetResult:
    """What was found; `allowed_count` is the most requests over the limit that still confirm it.

    `allowed_count` is None where even none over the limit would be too few requests to say.
    """

    outcome: Outcome
    samples_count: int
    over_count: int
    allowed_count: int | None
    confidence: float


def check_target(
    latencies: ArrayLike, limit: float, share: float, *, confidence: float = GATE_CONFIDENCE
) -> TargetResult:
    """Return whether the `share` quantile of latency is within `limit`, both in one unit.

    MET: if more than 1 - share of all requests were over the limit, so few over it would be seen
    with probability 1 - confidence at most. MISSED: the same in the other direction. INCONCLUSIVE
    otherwise: more requests are needed, or the quantile is at the limit.

    Raises:
        InputError: there are no requests.
    """
    values = np.asarray(latencies)
    if values.size == 0:
        problem = "there are no requests to check a target on; run `dvc repro -f benchmark`"
        raise InputError(problem)
    count, over = int(values.size), int((values > limit).sum())
    return TargetResult(
        outcome=judge_counts(count, over, share, confidence=confidence),
        samples_count=count,
        over_count=over,
        allowed_count=allowed_over(count, share, confidence=confidence),
        confidence=confidence,
    )


def judge_counts(
    samples_count: int, over_count: int, share: float, *, confidence: float = GATE_CONFIDENCE
) -> Outcome:
    """Return what so many requests, of which some are over the limit, say of it."""
    if bdtr(over_count, samples_count, 1 - share) <= 1 - confidence:
        return Outcome.MET
    if over_count and bdtrc(over_count - 1, samples_count, 1 - share) <= 1 - confidence:
        return Outcome.MISSED
    return Outcome.INCONCLUSIVE


def allowed_over(
    samples_count: int, share: float, *, confidence: float = GATE_CONFIDENCE
) -> int | None:
    """Return how many of so many requests may be over the limit and the target still be met.

    None where the requests are too few: P99 at 99 % takes 459.
    """
    counts = np.arange(samples_count + 1)
    allowed = counts[bdtr(counts, samples_count, 1 - share) <= 1 - confidence]
    return int(allowed[-1]) if allowed.size else None


def requests_needed(share: float, over_count: int, *, confidence: float = GATE_CONFIDENCE) -> int:
    """Return the fewest requests, of which `over_count` are over the limit, that confirm it.

    With h requests within the limit and t over it, the condition is I(share; h, t + 1) <=
    1 - confidence, I the regularised incomplete beta function; the result is h + t.

    Source: MLPerf inference rules, appendix "Early stopping criterion" (with tolerance d = 0).
    """
    low, high = 0, 1
    while betainc(high, over_count + 1, share) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if betainc(middle, over_count + 1, share) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high + over_count


def confirmed_latency(
    latencies: ArrayLike, share: float, *, confidence: float = GATE_CONFIDENCE
) -> float | None:
    """Return the lowest limit that these requests confirm, or None where they are too few.

    It is the one-sided upper bound of the quantile, one of the measured values: with t requests
    allowed over it, the (n - t)-th smallest. (MLPerf's SingleStream reports the value after it.)
    """
    ordered = np.sort(np.asarray(latencies))
    allowed = allowed_over(len(ordered), share, confidence=confidence)
    return float(ordered[len(ordered) - 1 - allowed]) if allowed is not None else None


def decisive_bounds(
    latencies: ArrayLike, share: float, *, confidence: float = GATE_CONFIDENCE
) -> Bounds | None:
    """Return the interval by which `check_target` decides, whatever the limit will be.

    A limit at its upper end or beyond is MET, one below its lower end MISSED, any between
    INCONCLUSIVE. None where the requests are too few to confirm any limit.
    """
    high = confirmed_latency(latencies, share, confidence=confidence)
    if high is None:
        return None
    ordered = np.sort(np.asarray(latencies))
    counts = np.arange(1, len(ordered) + 1)
    enough = counts[bdtrc(counts - 1, len(ordered), 1 - share) <= 1 - confidence]
    low = float(ordered[len(ordered) - int(enough[0])]) if enough.size else 0.0
    return low, high
