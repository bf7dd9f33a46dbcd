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

from trtproof.measure.quantiles import Quantile
from trtproof.measure.verdict import Verdict
from trtproof.report.comparisons import Comparisons
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, Plan, Scores, VariantFindings
from trtproof.report.ladder import path_figures
from trtproof.report.scenarios import Load, Scenarios

DIGITS: Final = 5
BYTES_PER_MIB: Final = 1024 * 1024

Metrics = dict[str, Any]
"""One variant's file: {schema, status, [reason], <slug>: {...}, [scores: {...}], [ladder: {...}]};
the ladder is step -> figures, see trtproof.report.ladder."""


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
    return metrics | _ladder(variant, findings)


def _ladder(variant: VariantFindings, findings: Findings) -> Metrics:
    figures = path_figures(findings.ladder, (variant.name, variant.config.recipe))
    return (
        {"ladder": {step: _rounded(values) for step, values in figures.items()}} if figures else {}
    )


def _on_device(variant: VariantFindings, findings: Findings) -> Metrics:
    metrics: Metrics = {}
    is_reference = variant is findings.reference
    for batch, timing in variant.timings.items():
        if isinstance(timing, Timing):
            metrics |= _timing(timing)
            metrics |= _comparisons(variant.comparisons[batch], batch, is_reference=is_reference)
    metrics |= _scenarios(variant.scenarios)
    if isinstance(variant.plan, Plan):
        metrics["plan_mib"] = round_significant(variant.plan.size_bytes / BYTES_PER_MIB)
        if variant.plan.build_s is not None:
            metrics["build_s"] = round_significant(variant.plan.build_s)
    return metrics


def _timing(timing: Timing) -> Metrics:
    batch = f"b{timing.batch}"
    latency = {
        "min": float(timing.latencies_ms[0]),
        "max": float(timing.latencies_ms[-1]),
        "mean": timing.mean_ms,
    }
    for name, quantile in timing.percentiles.items():
        latency |= _quantile(name, quantile)
    if timing.left_out:
        latency["p50_all_rounds"] = timing.all_p50_ms
    metrics: Metrics = {
        f"latency_{batch}_ms": _rounded(latency),
        f"throughput_{batch}_ips": round_significant(timing.throughput_ips),
        f"samples_{batch}_count": timing.samples_count,
        f"rounds_{batch}_count": len(timing.rounds_ms),
        f"rounds_left_out_{batch}_count": len(timing.left_out),
    }
    if timing.cpu_p50 is not None:
        metrics[f"cpu_{batch}_ms"] = _rounded(_quantile("p50", timing.cpu_p50))
    return metrics


def _quantile(name: str, quantile: Quantile) -> dict[str, float]:
    """Return the percentile and, where there is one, its interval."""
    low, high = quantile.bounds or (None, None)
    return _known({name: quantile.value, f"{name}_ci_lo": low, f"{name}_ci_hi": high})


def ratio_key(figure: str, batch: int, *, is_reference: bool) -> str:
    """Return where a comparison by a figure stands; the headline's has no name of its own."""
    name = "control" if is_reference else "speedup"
    return f"{name}{'' if figure == HEADLINE else f'_{figure}'}_b{batch}_ratio"


def _comparisons(
    comparisons: Comparisons | NotMeasured, batch: int, *, is_reference: bool
) -> Metrics:
    if isinstance(comparisons, NotMeasured):
        return {}
    metrics: Metrics = {
        ratio_key(figure, batch, is_reference=is_reference): _rounded(_ratio(comparison.verdict))
        for figure, comparison in comparisons.items()
    }
    if is_reference:
        floors = {key: one.verdict.noise_floor for key, one in comparisons.items()}
        shares = {key: 100 * floor for key, floor in floors.items() if floor is not None}
        metrics |= {f"noise_b{batch}_pct": _rounded(shares)} if shares else {}
    return metrics


def _ratio(verdict: Verdict) -> dict[str, float]:
    """Return the ratio with the shown and the deciding interval, where rounds suffice.

    `all_rounds` and its interval have the left-out rounds in; absent where none were.
    """
    shown, gate, every = verdict.shown, verdict.gate, verdict.shown_all
    return _known(
        {
            "value": shown.value,
            "ci_lo": shown.low,
            "ci_hi": shown.high,
            "gate_lo": gate.low,
            "gate_hi": gate.high,
            "all_rounds": every.value if every else None,
            "all_rounds_ci_lo": every.low if every else None,
            "all_rounds_ci_hi": every.high if every else None,
        }
    )


def load_key(load: Load, unit: str) -> str:
    """Return where a load's figures stand."""
    return f"load_b{load.batch}_s{load.streams}_{unit}"


def _scenarios(scenarios: Scenarios) -> Metrics:
    metrics: Metrics = {}
    if not isinstance(scenarios.throughput, NotMeasured):
        for load in scenarios.throughput:
            rates = {"value": load.rate_ips, "min": min(load.rates_ips), "max": max(load.rates_ips)}
            metrics[load_key(load, "ips")] = _rounded(rates)
            metrics[load_key(load, "ms")] = _rounded(load.latencies_ms)
    if not isinstance(scenarios.sustained, NotMeasured):
        for one in scenarios.sustained:
            metrics[f"sustained_b{one.batch}_ms"] = _rounded(one.latencies_ms)
    if not isinstance(scenarios.cold, NotMeasured):
        ends = {"total": scenarios.cold.total_ms, "total_min": scenarios.cold.least_ms}
        ends |= {"total_max": scenarios.cold.most_ms}
        metrics["cold_ms"] = _rounded(ends | dict(scenarios.cold.phases_ms))
    return metrics


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


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
