"""The settings that judge: conf/budget, and from where on two revisions differ."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from trtproof.setting_types import Fraction, PositiveFloat, Section


class BudgetConfig(Section, frozen=True):
    """Conf/budget: what the optimisation must achieve; null is no limit.

    A `*_ratio` is relative to the reference: of speed and throughput at least so many times its,
    of memory and size at most.
    """

    latency_p50_ms: PositiveFloat | None = None
    latency_p99_ms: PositiveFloat | None = None
    speedup_ratio: PositiveFloat | None = None
    speedup_p99_ratio: PositiveFloat | None = None
    throughput_ips: PositiveFloat | None = None
    throughput_ratio: PositiveFloat | None = None
    top1_drop_pp: Annotated[float, Meta(ge=0)] | None = None
    """As {top1_pct: ...} in `score_drops`."""

    score_drops: dict[str, Annotated[float, Meta(ge=0)]] = field(default_factory=dict)
    """Metric -> the most that it may lose, in its own unit (percentage points for `_pct`)."""

    scores: dict[str, float] = field(default_factory=dict)
    """Metric -> the least that it must be; the most, where a lower value is better."""

    host_peak_mib: PositiveFloat | None = None
    host_peak_ratio: PositiveFloat | None = None
    plan_mib: PositiveFloat | None = None
    plan_size_ratio: PositiveFloat | None = None

    @property
    def drop_limits(self) -> dict[str, float]:
        """Return metric -> the most that it may lose."""
        top1 = {} if self.top1_drop_pp is None else {"top1_pct": self.top1_drop_pp}
        return top1 | self.score_drops


class CompareConfig(Section, frozen=True):
    """Smallest changes between two revisions that matter, as shares; of times, benchmark.figures.

    `score` is a share of a metric's range: 0.005 is half a point of one in per cent.
    """

    score: Fraction
    plan_size: Fraction
    memory: Fraction
    build_time: Fraction
