"""A variant's throughput, tail latency, memory and size as multiples of the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from trtproof.measure.protocols import require_one_protocol
from trtproof.measure.ratios import (
    GATE_CONFIDENCE,
    SHOWN_CONFIDENCE,
    Bounds,
    Ratio,
    ratio_of_rounds,
    student_interval,
)
from trtproof.report.comparisons import NO_COMMON_ROUND, WALL_P99
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import Plan, VariantFindings
from trtproof.report.scenarios import Load

FEWEST_WINDOWS = 2
"""Windows of one load that an interval takes."""


@dataclass(frozen=True)
class Rate:
    """A rate or a ratio of rates over the windows of one load.

    `shown` and `gate` are Student's t intervals over the logs of the windows, at 95 % and 99 %:
    windows are few, and each holds many requests. They are None for a single window.
    """

    value: float
    shown: Bounds | None
    gate: Bounds | None
    windows: int


@dataclass(frozen=True)
class TailRatio:
    """The reference's P99 by the variant's, with the intervals that are shown and that decide."""

    shown: Ratio
    gate: Ratio


def best_load(variant: VariantFindings) -> Load | NotMeasured:
    """Return the batch and number of streams that answer most samples per second."""
    loads = variant.scenarios.throughput
    if isinstance(loads, NotMeasured):
        return loads
    if not loads:
        return NotMeasured("no load was measured")
    return max(loads, key=lambda load: load.rate_ips)


def rate_of(load: Load) -> Rate:
    """Return a load's samples per second."""
    return rate_over_windows(load.rates_ips)


def throughput_ratio(reference: VariantFindings, variant: VariantFindings) -> Rate | NotMeasured:
    """Return the variant's best load by the reference's best, window by window."""
    before, after = best_load(reference), best_load(variant)
    if isinstance(after, NotMeasured):
        return after
    if isinstance(before, NotMeasured):
        return NotMeasured(f"the reference has no throughput ({before.reason})")
    if len(before.rates_ips) != len(after.rates_ips):
        counts = f"{len(before.rates_ips)} and {len(after.rates_ips)}"
        return NotMeasured(f"the windows cannot be paired: {counts}; run `dvc repro -f benchmark`")
    return rate_over_windows(
        [new / old for old, new in zip(before.rates_ips, after.rates_ips, strict=True)]
    )


def throughput_control(reference: VariantFindings) -> Rate | NotMeasured:
    """Return the reference's second run by its first, at its best load: the noise (A/A)."""
    first = best_load(reference)
    if isinstance(first, NotMeasured):
        return first
    for load in reference.scenarios.again:
        same = (load.batch, load.streams) == (first.batch, first.streams)
        if same and len(load.rates_ips) == len(first.rates_ips):
            return rate_over_windows(
                [new / old for old, new in zip(first.rates_ips, load.rates_ips, strict=True)]
            )
    return NotMeasured("the reference has no second run under this load")


def tail_ratio(
    reference: Timing | NotMeasured, variant: Timing | NotMeasured
) -> TailRatio | NotMeasured:
    """Return how many times shorter the variant's P99 is, round by round."""
    for timing in (variant, reference):
        if isinstance(timing, NotMeasured):
            return timing
        if WALL_P99 not in timing.values_ms:
            return NotMeasured("a round's own P99 takes 1,000 requests; raise benchmark.requests")
    if isinstance(reference, NotMeasured) or isinstance(variant, NotMeasured):
        return NotMeasured(NO_COMMON_ROUND)
    require_one_protocol((reference.protocol, variant.protocol), what="a ratio of P99s")
    before, after = reference.values_ms[WALL_P99], variant.values_ms[WALL_P99]
    gone = {*reference.left_out, *variant.left_out}
    common = sorted((before.keys() & after.keys()) - gone)
    if not common:
        return NotMeasured(NO_COMMON_ROUND)
    pair = [[values[number] for number in common] for values in (before, after)]
    sessions = [reference.sessions[number] for number in common]
    return TailRatio(
        shown=ratio_of_rounds(*pair, sessions=sessions, confidence=SHOWN_CONFIDENCE),
        gate=ratio_of_rounds(*pair, confidence=GATE_CONFIDENCE),
    )


def host_peak_ratio(reference: VariantFindings, variant: VariantFindings) -> float | None:
    """Return the variant's peak of host memory by the reference's, None where one is missing."""
    before, after = reference.host_peak_bytes, variant.host_peak_bytes
    return after / before if before and after else None


def plan_size_ratio(reference: VariantFindings, variant: VariantFindings) -> float | None:
    """Return the variant's plan by the reference's, None where one is missing."""
    if isinstance(reference.plan, NotMeasured) or isinstance(variant.plan, NotMeasured):
        return None
    return _size_ratio(reference.plan, variant.plan)


def _size_ratio(before: Plan, after: Plan) -> float | None:
    return after.size_bytes / before.size_bytes if before.size_bytes else None


def rate_over_windows(values: Sequence[float]) -> Rate:
    """Return rates, or ratios of rates, of the windows of one load with their intervals."""
    value, shown, gate = median(values), None, None
    if len(values) >= FEWEST_WINDOWS:
        logs = [log(rate) for rate in values]
        shown, gate = (
            _around(value, student_interval(logs, confidence))
            for confidence in (SHOWN_CONFIDENCE, GATE_CONFIDENCE)
        )
    return Rate(value=value, shown=shown, gate=gate, windows=len(values))


def _around(value: float, bounds: Bounds) -> Bounds:
    """Return an interval of logs as one of rates that holds the stated value."""
    return min(value, exp(bounds[0])), max(value, exp(bounds[1]))
