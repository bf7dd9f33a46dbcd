"""metrics/variants/<variant>.json: the figures that git keeps and `dvc metrics diff` compares.

Everything measured on a device is nested under the device's slug, so that two machines' figures
never pair. DVC drops lists, takes "." for nesting and shows NaN as changed: there are only
numbers, the texts `status` and `reason`, and keys that end in their unit. What was not measured
has no key. Numbers have five significant digits, and the report shows exactly these.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, isfinite, log10
from typing import Any, Final

from trtproof.measure.stats import Ratio
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import Findings, Plan, Scores, VariantFindings

DIGITS: Final = 5
BYTES_PER_MIB: Final = 1024 * 1024

Metrics = dict[str, Any]
"""One variant's file: {schema, status, [reason], <slug>: {...}, [scores: {...}]}."""


def make_metrics(findings: Findings) -> dict[str, Metrics]:
    """Return variant -> metrics, the reference first."""
    return {variant.name: _of_variant(variant, findings) for variant in findings.variants}


def round_significant(value: float) -> float:
    """Return a finite number to five significant digits.

    Raises:
        ValueError: NaN or infinite: such a figure must be said in words instead.
    """
    if not isfinite(value):
        raise ValueError(value)
    if value == 0:
        return 0.0
    return round(value, DIGITS - 1 - floor(log10(abs(value))))


def drop_name(metric: str) -> str:
    """Return the name of a metric's loss, as in top1_pct -> top1_drop_pp."""
    stem, _, unit = metric.rpartition("_")
    return f"{stem}_drop_{'pp' if unit == 'pct' else unit}"


def _of_variant(variant: VariantFindings, findings: Findings) -> Metrics:
    metrics: Metrics = {"schema": 1, "status": variant.status}
    if variant.reason_code:
        metrics["reason"] = variant.reason_code
    on_device = _on_device(variant, findings)
    if on_device:
        metrics[findings.hardware.slug] = on_device
    if isinstance(variant.scores, Scores):
        metrics["scores"] = _scores(variant.scores, variant is findings.reference)
    return metrics


def _on_device(variant: VariantFindings, findings: Findings) -> Metrics:
    metrics: Metrics = {}
    is_reference = variant is findings.reference
    for batch, timing in variant.timings.items():
        if isinstance(timing, Timing):
            metrics |= _timing(timing)
            name = "control" if is_reference else "speedup"
            ratio = (findings.control if is_reference else variant.speedups).get(batch)
            metrics |= _ratio(f"{name}_b{batch}_ratio", ratio)
    if isinstance(variant.plan, Plan):
        metrics["plan_mib"] = round_significant(variant.plan.size_bytes / BYTES_PER_MIB)
        if variant.plan.build_s is not None:
            metrics["build_s"] = round_significant(variant.plan.build_s)
    return metrics


def _timing(timing: Timing) -> Metrics:
    batch = f"b{timing.batch}"
    latency = dict(timing.percentiles_ms) | {
        "min": timing.min_ms,
        "max": timing.max_ms,
        "mean": timing.mean_ms,
    }
    metrics: Metrics = {
        f"latency_{batch}_ms": _rounded(latency),
        f"throughput_{batch}_ips": round_significant(timing.throughput_ips),
        f"samples_{batch}_count": timing.samples_count,
        f"rounds_{batch}_count": len(timing.rounds_ms),
        f"rounds_left_out_{batch}_count": timing.rounds_left_out_count,
    }
    if timing.cpu_p50_ms is not None:
        metrics[f"cpu_{batch}_ms"] = {"p50": round_significant(timing.cpu_p50_ms)}
    return metrics


def _ratio(name: str, ratio: Ratio | NotMeasured | None) -> Metrics:
    """Return {name: {value, ci_lo, ci_hi}}; without an interval where rounds are too few."""
    if not isinstance(ratio, Ratio):
        return {}
    ends = {"value": ratio.value, "ci_lo": ratio.low, "ci_hi": ratio.high}
    return {name: _rounded({key: value for key, value in ends.items() if value is not None})}


def _scores(scores: Scores, is_reference: bool) -> Metrics:  # noqa: FBT001 - private, one call
    metrics: Metrics = _rounded(scores.values)
    metrics |= _rounded({drop_name(name): value for name, value in scores.drops.items()})
    if not is_reference and isinstance(scores.agreement_pct, float):
        metrics["agreement_pct"] = round_significant(scores.agreement_pct)
    metrics["samples_count"] = scores.samples_count
    metrics["missing_count"] = scores.missing_count
    return metrics


def _rounded(values: Mapping[str, float]) -> Metrics:
    return {name.replace(".", "_"): round_significant(value) for name, value in values.items()}
