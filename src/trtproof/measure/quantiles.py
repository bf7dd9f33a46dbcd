"""Percentiles of latency and how far they can be trusted.

A point value is the nearest-rank percentile of all counted requests. Its interval comes from the
rounds' own percentiles where every round has enough requests to bound one; far in the tail, where
only the pooled requests do, from order statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, floor
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc

from trtproof.errors import InputError
from trtproof.measure.ratios import SHOWN_CONFIDENCE, Bounds, centre_interval

PUBLISHED: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
"""The percentiles of a report, by their key in metrics."""

MEDIAN: Final = 0.5
BEYOND_COUNT: Final = 10
"""A percentile is published only where this many samples are expected beyond it."""

HIGHEST_OVER_ROUNDS: Final = 0.99
"""Beyond this percentile a round has too few requests; only the pooled ones can bound it."""


class Method(StrEnum):
    """Where the interval of a percentile comes from."""

    ROUNDS = "rounds"
    ORDER_STATISTICS = "order statistics"
    NONE = "none"


@dataclass(frozen=True)
class Quantile:
    """A percentile of the pooled requests, in their unit; `bounds` is None with method NONE."""

    share: float
    value: float
    bounds: Bounds | None
    method: Method
    samples_count: int
    confidence: float


def percentile(values: ArrayLike, share: float) -> float:
    """Return the nearest-rank percentile, as trtexec does: no value that was not measured.

    Source: TensorRT's samples/common/sampleReporting.cpp, sorted[all - 1 - floor((1 - p) * all)].

    Args:
        values: at least one value.
        share: in (0, 1], as in 0.99.
    """
    ordered = np.sort(np.asarray(values))
    count = len(ordered)
    # The rounding keeps (1 - 0.9) * 10 from being 0.9999...: rank 8, as the exact formula says.
    exclude = floor(round((1 - share) * count, 9))
    return float(ordered[max(count - 1 - exclude, 0)])


def samples_needed(share: float) -> int:
    """Return how many samples a percentile needs to be published: ten beyond it."""
    return round(BEYOND_COUNT / (1 - share))


def may_publish(share: float, samples_count: int) -> bool:
    """Say whether so many samples bound the percentile; the median is always published."""
    return share <= MEDIAN or samples_count >= samples_needed(share)


def interval_ranks(count: int, share: float, confidence: float) -> tuple[int, int] | None:
    """Return the ranks (from 1) of the two ordered values that enclose a quantile.

    The number of values below the true quantile is binomial(count, share) for independent values
    of any distribution. Each end errs with at most (1 - confidence) / 2; None where the extreme
    values are not far enough out (P99 at 95 % needs 368 values).

    Source: David and Nagaraja, Order Statistics, section 7.1.
    """
    tail = (1 - confidence) / 2
    ranks = np.arange(1, count + 1)
    lows = ranks[bdtr(ranks - 1, count, share) <= tail]
    highs = ranks[bdtrc(ranks - 1, count, share) <= tail]
    if lows.size == 0 or highs.size == 0:
        return None
    return int(lows[-1]), int(highs[0])


def order_statistic_interval(values: ArrayLike, share: float, confidence: float) -> Bounds | None:
    """Return the distribution-free interval of a quantile, or None for too few values.

    It takes the values as independent. Requests of one block are not quite, so over rounds that
    differ it is too narrow: it is meant for the far tail, where nothing better exists.
    """
    ordered = np.sort(np.asarray(values))
    ranks = interval_ranks(len(ordered), share, confidence)
    if ranks is None:
        return None
    return float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1])


def estimate_quantile(
    rounds: Sequence[ArrayLike],
    share: float,
    *,
    sessions: Sequence[int] | None = None,
    confidence: float = SHOWN_CONFIDENCE,
) -> Quantile | None:
    """Return a percentile of all requests with its interval, or None where it is not published.

    Up to P99 the interval is `centre_interval`'s over the logs of the rounds' own percentiles, if
    `may_bound_by_rounds`; beyond P99 it is the order statistics'. It is widened to the point value
    where rounds are too unlike to contain it.

    Args:
        rounds: the counted, positive latencies of each round.
        share: in (0, 1), as in 0.99.
        sessions: which generation of workers measured each round; None leaves worker starts out.
        confidence: of the interval.

    Raises:
        InputError: there are no rounds, or one without requests.
    """
    blocks = [np.asarray(block, dtype=np.float64) for block in rounds]
    pooled = _pool(blocks)
    if not may_publish(share, pooled.size):
        return None
    value = percentile(pooled, share)
    method = Method.ROUNDS if share <= HIGHEST_OVER_ROUNDS else Method.ORDER_STATISTICS
    if method is Method.ROUNDS:
        bounds = _bounds_over_rounds(blocks, share, sessions, confidence)
    else:
        bounds = order_statistic_interval(pooled, share, confidence)
    return Quantile(
        share=share,
        value=value,
        bounds=(min(bounds[0], value), max(bounds[1], value)) if bounds else None,
        method=method if bounds else Method.NONE,
        samples_count=int(pooled.size),
        confidence=confidence,
    )


def _pool(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return all requests of all rounds, of which each has at least one."""
    if not blocks or not all(block.size for block in blocks):
        problem = "a round has no counted requests; run `dvc repro -f benchmark`"
        raise InputError(problem)
    return np.concatenate(blocks)


def _bounds_over_rounds(
    blocks: Sequence[NDArray[np.float64]],
    share: float,
    sessions: Sequence[int] | None,
    confidence: float,
) -> Bounds | None:
    if not may_bound_by_rounds(share, min(block.size for block in blocks)):
        return None
    logs = np.log([percentile(block, share) for block in blocks])
    bounds = centre_interval(logs, sessions=sessions, confidence=confidence)
    return (exp(bounds[0]), exp(bounds[1])) if bounds else None


def may_bound_by_rounds(share: float, fewest_per_round: int) -> bool:
    """Say whether every round has the requests to state the percentile by itself.

    Only then may the percentile gate: P99 takes 1000 requests a round, P50 and below 20.
    """
    return share <= HIGHEST_OVER_ROUNDS and fewest_per_round >= samples_needed(max(share, MEDIAN))
