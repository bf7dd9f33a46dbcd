"""Timing figures, computed from the raw samples and from nothing else.

Only rows with status "counted" enter a figure; a disturbed round stays in samples.parquet and is
counted as left out. Percentiles and ratios are trtproof.measure.stats's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from trtproof.measure import samples as measured
from trtproof.measure import stats
from trtproof.measure.stats import Ratio
from trtproof.tensor import Array

if TYPE_CHECKING:
    from pandas import DataFrame

NS_PER_MS: Final = 1e6
NS_PER_S: Final = 1e9
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
BEYOND_COUNT: Final = 10
"""A percentile above the median is published only where this many samples lie beyond it."""

CURVE_POINTS: Final = 90


@dataclass(frozen=True)
class NotMeasured:
    """Stand where a figure would, and say why there is none."""

    reason: str


@dataclass(frozen=True)
class Timing:
    """One contender at one batch size.

    Latencies are of one request. `percentiles_ms` holds only those that the number of samples
    can bound, and `curve_ms` (nines, share, latency) reaches as far; two nines are 99 %.
    `rounds_ms` is the median of every counted round. `throughput_ips` is samples per second of
    the host's wall time with one request in flight, what lies between two requests included.
    """

    batch: int
    samples_count: int
    rounds_left_out_count: int
    percentiles_ms: Mapping[str, float]
    min_ms: float
    max_ms: float
    mean_ms: float
    cpu_p50_ms: float | None
    throughput_ips: float
    rounds_ms: Mapping[int, float]
    curve_ms: tuple[tuple[float, float, float], ...]

    @property
    def p50_ms(self) -> float:
        """Return the median, which is always published."""
        return self.percentiles_ms["p50"]


def measured_batches(samples: DataFrame) -> tuple[int, ...]:
    """Return the batch sizes that were timed, ascending."""
    return tuple(sorted(int(batch) for batch in samples["batch"].unique()))


def time_contender(samples: DataFrame, contender: str, batch: int) -> Timing | NotMeasured:
    """Return the figures of one contender at one batch size, or why there are none."""
    rows = samples[(samples["contender"] == contender) & (samples["batch"] == batch)]
    counted = measured.counted(rows)
    left_out = rows[rows["status"] == measured.DISTURBED]["round"].nunique()
    if counted.empty:
        why = f"all {left_out} rounds were disturbed" if left_out else "no samples were taken"
        return NotMeasured(f"{why} of {contender} at batch {batch}")
    latency_ns = counted["e2e_ns"].to_numpy(dtype=np.int64)
    latency_ms = np.sort(latency_ns) / NS_PER_MS
    return Timing(
        batch=batch,
        samples_count=len(latency_ms),
        rounds_left_out_count=int(left_out),
        percentiles_ms=_percentiles_ms(latency_ms),
        min_ms=float(latency_ms[0]),
        max_ms=float(latency_ms[-1]),
        mean_ms=float(latency_ms.mean()),
        cpu_p50_ms=_cpu_p50_ms(counted),
        throughput_ips=_throughput_ips(counted, batch),
        rounds_ms=_rounds_ms(counted),
        curve_ms=_curve_ms(latency_ms),
    )


def compare_rounds(reference: Timing, contender: Timing) -> Ratio | NotMeasured:
    """Return how many times as fast as the reference it was, over the rounds of both."""
    common = sorted(reference.rounds_ms.keys() & contender.rounds_ms.keys())
    if not common:
        return NotMeasured("no round counted for both it and the reference")
    return stats.ratio_of_rounds(
        [reference.rounds_ms[number] for number in common],
        [contender.rounds_ms[number] for number in common],
    )


def _percentiles_ms(latency_ms: Array) -> dict[str, float]:
    return {
        name: stats.percentile(latency_ms, fraction)
        for name, fraction in PERCENTILES.items()
        if name == "p50" or len(latency_ms) >= samples_needed(fraction)
    }


def samples_needed(fraction: float) -> int:
    """Return how many samples bound a percentile: ten beyond it."""
    return round(BEYOND_COUNT / (1 - fraction))


def _curve_ms(latency_ms: Array) -> tuple[tuple[float, float, float], ...]:
    """Return latency by percentile, denser towards the tail, while ten samples lie beyond."""
    beyond = min(0.5, BEYOND_COUNT / len(latency_ms))
    shares = [(nines, 1 - 10**-nines) for nines in np.linspace(0, -np.log10(beyond), CURVE_POINTS)]
    return tuple(
        (float(nines), float(share), stats.percentile(latency_ms, share)) for nines, share in shares
    )


def _rounds_ms(counted: DataFrame) -> dict[int, float]:
    rounds = counted["round"].to_numpy(dtype=np.int64)
    latency_ms = counted["e2e_ns"].to_numpy(dtype=np.int64) / NS_PER_MS
    return {
        int(number): stats.percentile(latency_ms[rounds == number], 0.5)
        for number in np.unique(rounds)
    }


def _throughput_ips(counted: DataFrame, batch: int) -> float:
    """Return samples answered over the wall time of the blocks, first start to last end."""
    ends = counted.assign(end_ns=counted["t_start_ns"] + counted["e2e_ns"])
    blocks = ends.groupby("round").agg({"t_start_ns": "min", "end_ns": "max"})
    wall_ns = int((blocks["end_ns"] - blocks["t_start_ns"]).sum())
    return len(counted) * batch * NS_PER_S / wall_ns


def _cpu_p50_ms(counted: DataFrame) -> float | None:
    cpu_ns = counted["cpu_ns"].dropna().to_numpy(dtype=np.int64)
    return stats.percentile(cpu_ns / NS_PER_MS, 0.5) if len(cpu_ns) else None
