"""Timing figures of one contender, computed from the raw samples and from nothing else.

Only rows with status "counted" enter a figure. A disturbed round is left out for all contenders
alike and stays in samples.parquet; its values are kept here beside the others, so that the result
with all rounds in it can be shown. Every percentile is trtproof.measure.quantiles's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from trtproof.measure import samples as measured
from trtproof.measure.figures import FIGURES, Figure, sessions_by_round
from trtproof.measure.protocols import protocol_of
from trtproof.measure.quantiles import (
    BEYOND_COUNT,
    MEDIAN,
    PUBLISHED,
    Quantile,
    estimate_quantile,
    may_bound_by_rounds,
    percentile,
)
from trtproof.measure.ratios import GATE_CONFIDENCE, Bounds
from trtproof.measure.schedule import PROTOCOL
from trtproof.tensor import Array

if TYPE_CHECKING:
    from pandas import DataFrame

NS_PER_MS: Final = 1e6
NS_PER_S: Final = 1e9
PERCENTILES: Final = {"p10": FIGURES["wall_p10"].share} | PUBLISHED
"""By their key in metrics. P10 is the steadier end on a processor that others use as well."""

CURVE_POINTS: Final = 90

Blocks = Mapping[int, Array]
"""Round -> what its block measured, in milliseconds."""


HEADLINE: Final = "wall_p50"
"""The compared figure that a reader sees first, by its key in measure.figures."""

CPU_TIME: Final = "cpu_p50"


@dataclass(frozen=True)
class NotMeasured:
    """Stand where a figure would, and say why there is none."""

    reason: str


@dataclass(frozen=True)
class Timing:
    """One contender at one batch size.

    Latencies are of one request, in milliseconds. `percentiles` holds only those that the number
    of samples can bound, and `curve_ms` (nines, share, latency) reaches as far; two nines are 99 %.
    `decisive_p50_ms` is the median's exact 99 % interval over rounds, None for too few rounds.
    `cpu_p50` is None where no CPU time was recorded or the clock was too coarse for it.
    `values_ms` is figure -> round -> the block's percentile, of every round that was measured, the
    ones in `left_out` included, and only of figures that every block can state. `all_p50_ms` is the
    median with the left-out rounds in. `throughput_ips` is samples per second of the host's wall
    time with one request in flight, what lies between two requests included.
    """

    batch: int
    latencies_ms: Array
    left_out: tuple[int, ...]
    percentiles: Mapping[str, Quantile]
    decisive_p50_ms: Bounds | None
    all_p50_ms: float
    mean_ms: float
    cpu_p50: Quantile | None
    throughput_ips: float
    values_ms: Mapping[str, Mapping[int, float]]
    sessions: Mapping[int, int]
    curve_ms: tuple[tuple[float, float, float], ...]
    protocol: str = PROTOCOL

    @property
    def p50_ms(self) -> float:
        """Return the median, which is always published."""
        return self.percentiles["p50"].value

    @property
    def samples_count(self) -> int:
        """Return how many requests count."""
        return len(self.latencies_ms)

    @property
    def rounds_ms(self) -> dict[int, float]:
        """Return round -> median of its block, of the rounds that count."""
        medians = self.values_ms[HEADLINE]
        return {number: ms for number, ms in medians.items() if number not in self.left_out}


def measured_batches(samples: DataFrame) -> tuple[int, ...]:
    """Return the batch sizes that were timed, ascending."""
    return tuple(sorted(int(batch) for batch in samples["batch"].unique()))


def time_contender(samples: DataFrame, contender: str, batch: int) -> Timing | NotMeasured:
    """Return the figures of one contender at one batch size, or why there are none."""
    rows = samples[(samples["contender"] == contender) & (samples["batch"] == batch)]
    rows = rows[rows["status"] != measured.WARMUP]
    counted = measured.counted(rows)
    left_out = tuple(sorted(set(rows["round"]) - set(counted["round"])))
    if counted.empty:
        why = f"all {len(left_out)} rounds were disturbed" if left_out else "no samples were taken"
        return NotMeasured(f"{why} of {contender} at batch {batch}")
    blocks, every_block = blocks_by_round(counted, "e2e_ns"), blocks_by_round(rows, "e2e_ns")
    sessions = sessions_by_round(rows)
    latencies_ms = np.sort(np.concatenate(list(blocks.values())))
    decisive = estimate_quantile(list(blocks.values()), MEDIAN, confidence=GATE_CONFIDENCE)
    return Timing(
        batch=batch,
        latencies_ms=latencies_ms,
        left_out=tuple(int(number) for number in left_out),
        percentiles=estimate_percentiles(blocks, sessions),
        decisive_p50_ms=decisive.bounds if decisive else None,
        all_p50_ms=percentile(np.concatenate(list(every_block.values())), MEDIAN),
        mean_ms=float(latencies_ms.mean()),
        cpu_p50=_cpu_p50(blocks_by_round(counted, FIGURES[CPU_TIME].column), sessions),
        throughput_ips=_throughput_ips(counted, batch),
        values_ms={
            key: values for key, figure in FIGURES.items() if (values := _values(rows, figure))
        },
        sessions=sessions,
        curve_ms=_curve_ms(latencies_ms),
        protocol=protocol_of(rows, what=f"{contender} at batch {batch}"),
    )


def blocks_by_round(rows: DataFrame, column: str) -> Blocks:
    """Return the values of each round; a round without any has no entry."""
    known = rows[rows[column].notna()]
    rounds = known["round"].to_numpy(dtype=np.int64)
    values_ms = known[column].to_numpy(dtype=np.int64) / NS_PER_MS
    return {int(number): values_ms[rounds == number] for number in np.unique(rounds)}


def estimate_percentiles(blocks: Blocks, sessions: Mapping[int, int]) -> dict[str, Quantile]:
    """Return the percentiles that so many values bound, with intervals over rounds."""
    order = [sessions[number] for number in blocks]
    found = {
        name: estimate_quantile(list(blocks.values()), share, sessions=order)
        for name, share in PERCENTILES.items()
    }
    return {name: quantile for name, quantile in found.items() if quantile is not None}


def _cpu_p50(blocks: Blocks, sessions: Mapping[int, int]) -> Quantile | None:
    """Return the median CPU time; a clock that stands still in half of a block measured none."""
    if not blocks or min(percentile(block, MEDIAN) for block in blocks.values()) <= 0:
        return None
    order = [sessions[number] for number in blocks]
    return estimate_quantile(list(blocks.values()), MEDIAN, sessions=order)


def _values(rows: DataFrame, figure: Figure) -> dict[int, float]:
    """Return round -> the block's figure; none unless every block can state a positive one."""
    blocks = blocks_by_round(rows, figure.column)
    values = {number: percentile(block, figure.share) for number, block in blocks.items()}
    fewest = min((len(block) for block in blocks.values()), default=0)
    bounded = figure.share <= MEDIAN or may_bound_by_rounds(figure.share, fewest)
    complete = len(values) == rows["round"].nunique() and all(ms > 0 for ms in values.values())
    return values if bounded and complete else {}


def _curve_ms(latencies_ms: Array) -> tuple[tuple[float, float, float], ...]:
    """Return latency by percentile, denser towards the tail, while ten samples lie beyond."""
    beyond = min(0.5, BEYOND_COUNT / len(latencies_ms))
    shares = [(nines, 1 - 10**-nines) for nines in np.linspace(0, -np.log10(beyond), CURVE_POINTS)]
    return tuple(
        (float(nines), float(share), percentile(latencies_ms, share)) for nines, share in shares
    )


def _throughput_ips(counted: DataFrame, batch: int) -> float:
    """Return samples answered over the wall time of the blocks, first start to last end."""
    ends = counted.assign(end_ns=counted["t_start_ns"] + counted["e2e_ns"])
    blocks = ends.groupby("round").agg({"t_start_ns": "min", "end_ns": "max"})
    wall_ns = int((blocks["end_ns"] - blocks["t_start_ns"]).sum())
    return len(counted) * batch * NS_PER_S / wall_ns
