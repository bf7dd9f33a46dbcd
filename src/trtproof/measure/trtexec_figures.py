"""What is said of times by trtexec's protocols: its own statistics, for its exports and for ours.

Source: TensorRT's samples/common/sampleReporting.cpp (getPerformanceResult, printTiming,
printEpilog and the warnings after it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import median
from typing import Final

from trtproof.measure.quantiles import percentile

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
"""By trtexec's rule, sorted[all - 1 - floor((1 - p) * all)]: no interpolation."""

AVG_RUNS: Final = 10
"""Runs of one of the averages that trtexec prints as it goes (--avgRuns)."""

ENQUEUE_BOUND: Final = 0.8
"""Above this share of the GPU's time, submitting may be what limits throughput."""

UNSTABLE_PCT: Final = 2.5
"""Above this coefficient of variation trtexec calls the GPU's time unstable."""


def summarise(values: Sequence[float]) -> dict[str, float]:
    """Return trtexec's statistics of at least one value, in the values' unit.

    `median` is trtexec's, which of an even number is the mean of the middle two; `p50` follows the
    rule of its other percentiles. `cv_pct` is the standard deviation as a percentage of the mean.
    `avg10_min` and `avg10_max` are the ends of the averages of ten runs; absent for fewer runs.
    """
    mean = sum(values) / len(values)
    figures = {"min": min(values), "mean": mean, "max": max(values), "median": median(values)}
    figures |= {name: percentile(values, share) for name, share in QUANTILES.items()}
    if mean > 0:
        spread = sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        figures["cv_pct"] = 100 * spread / mean
    averages = average_runs(values)
    if averages:
        figures |= {"avg10_min": min(averages), "avg10_max": max(averages)}
    return figures


def average_runs(values: Sequence[float]) -> list[float]:
    """Return the averages of every ten runs; an incomplete last ten has none, as in trtexec."""
    whole = len(values) - len(values) % AVG_RUNS
    return [sum(values[start : start + AVG_RUNS]) / AVG_RUNS for start in range(0, whole, AVG_RUNS)]


def warn(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return what trtexec would warn of, by its own thresholds.

    Args:
        figures: compute, enqueue, h2d and d2h -> `summarise` of each, where it was measured.
    """
    compute = figures.get("compute")
    if compute is None:
        return []
    texts = []
    if _median(figures, "enqueue") > ENQUEUE_BOUND * compute["median"]:
        texts.append("enqueue takes over 0.8 of the GPU's time: throughput may be bound by it")
    for part, words in (("h2d", "to the device"), ("d2h", "to the host")):
        if _median(figures, part) >= compute["median"] > 0:
            texts.append(f"copies {words} take as long as the GPU computes")
    if compute.get("cv_pct", 0.0) > UNSTABLE_PCT:
        texts.append(f"GPU compute time is unstable: it varies by {compute['cv_pct']:.1f} %")
    return texts


def _median(figures: Mapping[str, Mapping[str, float]], part: str) -> float:
    return figures[part]["median"] if part in figures else 0.0
